//! What the outer doors ask of the service: accounts, logins, WebSocket connections, another configuration.

use std::net::IpAddr;
use std::time::Instant;

use chat::{AccountAnswer, AccountCommand, AccountError, HashedPassword, Input, RequestId};
use net::{MessageLimits, Transport};
use records::{AccountId, Millis, Role, ScramVerifier};

use super::ServiceThread;
use super::audit::{Change, What};
use crate::config::{Changes, Config};
use crate::handle::{
    AccountInfo, AccountRole, Actor, AdoptedWebSocket, Login, NewAccount, Reply, Request,
    RequestError, Secret, UpgradedStream,
};
use crate::logins::{self, Caller, Known, PASSWORD_BYTES_MAX, TOKEN_PREFIX};
use crate::mailbox::Mailbox;
use crate::origin::{ListenerNumber, Origin};
use crate::post::{Purpose, ServiceEvent, ShardEvent};

/// The shortest password.
const PASSWORD_CHARS_MIN: usize = 8;
/// Bytes of a token's label.
const LABEL_BYTES_MAX: usize = 128;
/// Random bytes of a token.
const TOKEN_BYTES: usize = 24;

/// What is told to whom, and in the log, once the messenger has answered.
pub(super) struct Waiting {
    change: Option<Change>,
    reply: Replies,
}

enum Replies {
    Added(Reply<AccountInfo>),
    Done(Reply<()>),
    LoggedIn { login: Login, reply: Reply<Login> },
}

/// Who waits for a token.
struct LoginCaller {
    service: Mailbox<ServiceEvent>,
    device: String,
    peer: IpAddr,
    reply: Reply<Login>,
}

impl Caller for LoginCaller {
    fn is_gone(&self) -> bool {
        self.reply.is_closed()
    }

    fn answer(self: Box<Self>, outcome: Result<Known, RequestError>) {
        let Self {
            service,
            device,
            peer,
            reply,
        } = *self;
        service.send(ServiceEvent::Checked {
            outcome,
            device,
            peer,
            reply,
        });
    }
}

impl ServiceThread {
    /// Answers what has come, or begins to.
    pub(super) fn answer_requests(&mut self) {
        while let Ok(request) = self.requests.queue.try_recv() {
            self.answer(request);
            self.carry_out_all();
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::CreateFirstAccount {
                token,
                account,
                peer,
                reply,
            } => self.create_first_account(&token, account, peer, reply),
            Request::Login {
                name,
                password,
                device,
                peer,
                reply,
            } => {
                let caller = LoginCaller {
                    service: self.mailbox.clone(),
                    device,
                    peer,
                    reply,
                };
                self.logins.check(&name, password, peer, Box::new(caller));
            }
            Request::Logout { token, peer, reply } => self.logout(&token, peer, reply),
            Request::AddAccount { account, by, reply } => {
                self.add_account(account, false, by, reply);
            }
            Request::SetPassword {
                name,
                password,
                by,
                reply,
            } => self.set_password(name, password, by, reply),
            Request::SetDisabled {
                name,
                disabled,
                by,
                reply,
            } => {
                let what = What::of_disabled(disabled);
                let waiting = Waiting::done(by, what, &name, reply);
                self.command(AccountCommand::SetDisabled { name, disabled }, waiting);
            }
            Request::RemoveAccount { name, by, reply } => {
                let waiting = Waiting::done(by, What::Removed, &name, reply);
                self.command(AccountCommand::Remove { name }, waiting);
            }
            Request::DeleteGroup { slug, by, reply } => {
                let waiting = Waiting::done(by, What::GroupDeleted, &slug, reply);
                self.send_request(Some(waiting), |request| Input::DeleteGroup {
                    request,
                    slug,
                });
            }
            Request::AdoptWebSocket { adopted, reply } => send(reply, self.adopt(adopted)),
            Request::Reload { config, reply } => send(reply, Ok(self.reload(*config))),
        }
    }

    // Accounts.

    fn create_first_account(
        &mut self,
        token: &Secret,
        account: NewAccount,
        address: IpAddr,
        reply: Reply<AccountInfo>,
    ) {
        if !self.chat.is_empty() {
            return send(reply, Err(RequestError::SetupDone));
        }
        // Digests: how long the comparison takes tells nothing about the token.
        let digest = |secret: &Secret| logins::sha256(secret.expose().as_bytes());
        if self.setup_token.as_ref().map(digest) != Some(digest(token)) {
            return send(reply, Err(RequestError::BadSetupToken));
        }
        let account = NewAccount {
            role: AccountRole::Admin,
            ..account
        };
        self.add_account(account, true, Actor::SetupLink { address }, reply);
    }

    fn add_account(
        &mut self,
        account: NewAccount,
        first: bool,
        by: Actor,
        reply: Reply<AccountInfo>,
    ) {
        if let Err(error) = check_password(&account.password) {
            return send(reply, Err(error));
        }
        let NewAccount {
            name,
            display,
            password,
            role,
            similar,
        } = account;
        let role = match role {
            AccountRole::Admin => Role::Admin,
            AccountRole::Member => Role::Member,
        };
        self.hash(
            password,
            Purpose::Add {
                name,
                display,
                role,
                first,
                similar,
                by,
                reply,
            },
        );
    }

    fn set_password(&mut self, name: String, password: Secret, by: Actor, reply: Reply<()>) {
        if let Err(error) = check_password(&password) {
            return send(reply, Err(error));
        }
        self.hash(password, Purpose::SetPassword { name, by, reply });
    }

    /// Hashes a password; [`ServiceThread::hashed`] goes on.
    fn hash(&mut self, password: Secret, purpose: Purpose) {
        let service = self.mailbox.clone();
        self.logins.hash(password, move |hash| {
            service.send(ServiceEvent::Hashed { hash, purpose });
        });
    }

    /// A password has been hashed.
    pub(super) fn hashed(&mut self, hash: Result<HashedPassword, RequestError>, purpose: Purpose) {
        match (hash, purpose) {
            (
                Ok(hash),
                Purpose::Add {
                    name,
                    display,
                    role,
                    first,
                    similar,
                    by,
                    reply,
                },
            ) => {
                let change = Change {
                    by,
                    what: What::Added(self::role(role)),
                    account: name.clone(),
                };
                let password = Some(hash);
                let command = AccountCommand::Add {
                    name,
                    display,
                    role,
                    password,
                    first,
                    similar,
                };
                let waiting = Waiting {
                    change: Some(change),
                    reply: Replies::Added(reply),
                };
                self.command(command, waiting);
            }
            (Ok(password), Purpose::SetPassword { name, by, reply }) => {
                let waiting = Waiting::done(by, What::Password, &name, reply);
                self.command(AccountCommand::SetPassword { name, password }, waiting);
            }
            (Err(error), Purpose::Add { reply, .. }) => send(reply, Err(error)),
            (Err(error), Purpose::SetPassword { reply, .. }) => send(reply, Err(error)),
        }
    }

    /// A password that was right is kept in the form of SCRAM; nobody waits for that.
    pub(super) fn keep_verifier(
        &mut self,
        account: AccountId,
        argon2: String,
        scram: ScramVerifier,
    ) {
        let command = AccountCommand::KeepVerifier {
            account,
            argon2,
            scram,
        };
        self.send_command(command, None);
    }

    /// Nobody waits for that either.
    pub(super) fn renew_token(&mut self, sha256: [u8; 32], expires: Millis) {
        self.send_command(AccountCommand::RenewToken { sha256, expires }, None);
    }

    fn command(&mut self, command: AccountCommand, waiting: Waiting) {
        self.send_command(command, Some(waiting));
    }

    fn send_command(&mut self, command: AccountCommand, waiting: Option<Waiting>) {
        self.send_request(waiting, |request| Input::Account { request, command });
    }

    fn send_request(&mut self, waiting: Option<Waiting>, input: impl FnOnce(RequestId) -> Input) {
        let request = self.next_request;
        self.next_request += 1;
        if let Some(waiting) = waiting {
            self.waiting.insert(request, waiting);
        }
        let now = self.clock.now();
        self.chat
            .handle(input(RequestId(request)), &self.source, now);
    }

    /// The messenger's word on a command.
    pub(super) fn answered(
        &mut self,
        request: RequestId,
        outcome: Result<AccountAnswer, AccountError>,
    ) {
        let Some(waiting) = self.waiting.remove(&request.0) else {
            return;
        };
        let outcome = outcome.map_err(request_error);
        let Waiting { change, reply } = waiting;
        if let (Ok(_), Some(change)) = (&outcome, change) {
            let now = self.clock.now();
            self.audit.change(&change, &self.config.server, now);
        }
        match reply {
            Replies::Added(reply) => {
                let added = outcome.and_then(|answer| match answer {
                    AccountAnswer::Added { account, .. } => Ok(AccountInfo {
                        name: account.name.to_string(),
                        display: account.display,
                        role: role(account.role),
                        disabled: account.disabled,
                    }),
                    AccountAnswer::Done => Err(RequestError::Internal),
                });
                if added.is_ok() {
                    // The one-time link has done its work.
                    self.setup_token = None;
                }
                send(reply, added);
            }
            Replies::Done(reply) => send(reply, outcome.map(|_| ())),
            Replies::LoggedIn { login, reply } => send(reply, outcome.map(|_| login)),
        }
    }

    // Logins.

    /// A password has been checked: a right one gets a token.
    pub(super) fn checked(
        &mut self,
        outcome: Result<Known, RequestError>,
        device: String,
        address: IpAddr,
        reply: Reply<Login>,
    ) {
        let known = match outcome {
            // Nobody would ever have the token.
            Ok(_) if reply.is_closed() => return,
            Ok(known) => known,
            Err(error) => return send(reply, Err(error)),
        };
        // A password that was changed meanwhile must not get a token, whose predecessors have just been revoked.
        let current = self.logins.directory().by_name(known.name());
        let holds = current
            .is_some_and(|current| current.may_log_in() && current.password() == known.password());
        let Some(account) = known.info().filter(|_| holds) else {
            return send(reply, Err(RequestError::BadCredentials));
        };
        let Some(token) = new_token() else {
            return send(reply, Err(RequestError::Internal));
        };
        let sha256 = logins::sha256(token.expose().as_bytes());
        let mut label = device;
        label.truncate(label.floor_char_boundary(LABEL_BYTES_MAX));
        let change = Change {
            by: Actor::Account {
                name: account.name.clone(),
                address,
            },
            what: What::TokenMade(label.clone()),
            account: account.name.clone(),
        };
        let command = AccountCommand::AddToken {
            account: known.id(),
            sha256,
            label,
            expires: self.logins.token_end(self.clock.now()),
        };
        let login = Login { token, account };
        let waiting = Waiting {
            change: Some(change),
            reply: Replies::LoggedIn { login, reply },
        };
        self.command(command, waiting);
    }

    fn logout(&mut self, token: &Secret, address: IpAddr, reply: Reply<()>) {
        let known = self.logins.token(token, self.clock.now());
        // One that opens nothing ends without a word.
        let change = known.map(|known| Change {
            by: Actor::Account {
                name: known.name().to_owned(),
                address,
            },
            what: What::TokenRevoked,
            account: known.name().to_owned(),
        });
        let sha256 = logins::sha256(token.expose().as_bytes());
        let waiting = Waiting {
            change,
            reply: Replies::Done(reply),
        };
        self.command(AccountCommand::RevokeToken { sha256 }, waiting);
    }

    // Connections and configuration.

    fn adopt(&mut self, adopted: AdoptedWebSocket) -> Result<(), RequestError> {
        let AdoptedWebSocket {
            stream,
            leftover,
            peer,
            subprotocol: _,
        } = adopted;
        let origin = Origin {
            address: peer.ip(),
            listener: ListenerNumber::HTTP,
            refused: None,
        };
        if self.admission.admit_or_close(origin).is_none() {
            return Err(RequestError::Limit {
                sentence: "too many connections".to_owned(),
            });
        }
        let limits = MessageLimits {
            unauthenticated_bytes_max: self.config.mqtt.connect_bytes_max as usize,
            bytes_max: self.config.mqtt.max_packet_size as usize,
        };
        let transport = match stream {
            UpgradedStream::Plain(socket) => Transport::websocket(socket, leftover, limits),
            UpgradedStream::Secure(tls) => Ok(Transport::secure_websocket(*tls, leftover, limits)),
        };
        let transport = transport.map_err(|error| {
            self.admission.release(origin);
            tracing::debug!(%error, "a WebSocket connection cannot be taken over");
            RequestError::Internal
        })?;
        // It moves to its session's shard with its CONNECT; until then any will do.
        self.next_shard = (self.next_shard + 1) % self.post.shards.len();
        let letter = ShardEvent::Connection {
            transport,
            origin,
            began: Instant::now(),
        };
        self.post.shards[self.next_shard].send(letter);
        Ok(())
    }

    fn reload(&mut self, mut config: Config) -> Changes {
        let changes = self.config.reloadable_diff(&config);
        // Those that are listened on; others wait for a restart.
        config
            .mqtt
            .listeners
            .clone_from(&self.config.mqtt.listeners);
        self.certificates.reload();
        self.reconfigure(config);
        let now = self.clock.now();
        self.audit.reload(&changes, &self.config.server, now);
        changes
    }
}

impl Waiting {
    /// For a change of an account or a group that has no more of an answer than that it is done.
    fn done(by: Actor, what: What, account: &str, reply: Reply<()>) -> Self {
        Self {
            change: Some(Change {
                by,
                what,
                account: account.to_owned(),
            }),
            reply: Replies::Done(reply),
        }
    }
}

fn send<T>(reply: Reply<T>, answer: Result<T, RequestError>) {
    // Whoever asked may have gone.
    drop(reply.send(answer));
}

fn role(role: Role) -> AccountRole {
    match role {
        Role::Admin => AccountRole::Admin,
        Role::Member => AccountRole::Member,
    }
}

fn request_error(error: AccountError) -> RequestError {
    match error {
        AccountError::Exists(name) => RequestError::AccountExists { name },
        AccountError::Similar { name, other } => RequestError::SimilarAccount { name, other },
        AccountError::NoSuch(name) => RequestError::NoSuchAccount { name },
        AccountError::NoSuchGroup(address) => RequestError::NoSuchGroup { address },
        AccountError::Invalid(sentence) => RequestError::Invalid { sentence },
        AccountError::LastAdministrator(name) => RequestError::LastAdministrator { name },
        AccountError::Limit(sentence) => RequestError::Limit { sentence },
        AccountError::SetupDone => RequestError::SetupDone,
    }
}

fn check_password(password: &Secret) -> Result<(), RequestError> {
    let secret = password.expose();
    let sentence = if secret.chars().count() < PASSWORD_CHARS_MIN {
        format!("a password has at least {PASSWORD_CHARS_MIN} characters")
    } else if secret.len() > PASSWORD_BYTES_MAX {
        // A character has four bytes at most.
        let fitting = PASSWORD_BYTES_MAX / 4;
        format!("the password is too long; one of up to {fitting} characters always fits")
    } else if secret.starts_with(TOKEN_PREFIX) {
        format!("a password cannot begin with {TOKEN_PREFIX}, which marks tokens")
    } else {
        return Ok(());
    };
    Err(RequestError::Invalid { sentence })
}

/// A secret nobody can guess.
pub(crate) fn new_token() -> Option<Secret> {
    use base64::Engine as _;
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    Some(Secret::new(format!("{TOKEN_PREFIX}{text}")))
}
