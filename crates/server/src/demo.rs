//! `--demo`: three people, two groups and some history in an empty server, made as clients make them, through the messenger's inputs. Their
//! passwords follow from the server's secret, so that every start can tell them without keeping them.

use std::sync::Arc;

use bytes::Bytes;
use chat::{
    AccountAnswer, AccountCommand, Chat, HashedPassword, Input, Output, Publish, RequestId,
};
use records::{AccountId, Millis, Moment, Role, SessionRef};
use store::{Batch, Store};

use crate::config::AuthConfig;
use crate::handle::Secret;
use crate::logins::{self, Directory, derive_verifier, hash_password};
use crate::readers::StoreSource;

/// Name, what people see, and what they may do.
const PEOPLE: [(&str, &str, Role); 3] = [
    ("mina", "김미나", Role::Admin),
    ("jun", "이준", Role::Member),
    ("sora", "Sora Lindqvist", Role::Member),
];

/// Slug, title, members beside the first person.
const GROUPS: [(&str, &str, &[&str]); 2] = [
    ("balcony", "베란다 정원 · Balcony garden", &["jun", "sora"]),
    ("release", "Release 0.1", &["jun", "sora"]),
];

/// Who says what where, and how many minutes before the demonstration begins.
const HISTORY: [(&str, &str, u64, &str); 22] = [
    (
        "mina",
        "balcony",
        1562,
        "다들 안녕하세요! 베란다 정원 방을 만들었어요 🌱",
    ),
    (
        "sora",
        "balcony",
        1558,
        "Hi both! Finally a place for all the tomato photos.",
    ),
    (
        "jun",
        "balcony",
        1540,
        "저는 올해 고추랑 바질 심었어요. 바질이 벌써 무릎까지 왔네요.",
    ),
    (
        "mina",
        "balcony",
        1539,
        "와, 벌써요? 우리 집은 까치가 자꾸 흙을 파요 😅",
    ),
    (
        "sora",
        "balcony",
        1531,
        "Magpies are good luck though, right?",
    ),
    (
        "jun",
        "balcony",
        1530,
        "맞아요. 까치가 울면 반가운 손님이 온다고 하죠.",
    ),
    (
        "sora",
        "release",
        1490,
        "Morning! Agenda for today: the load test, then the notes.",
    ),
    (
        "mina",
        "release",
        1488,
        "부하 시험은 제가 어젯밤에 돌려 놨어요. 결과 정리해서 올릴게요.",
    ),
    (
        "jun",
        "release",
        1485,
        "좋아요. 저는 설치 문서를 처음부터 다시 따라 해 볼게요.",
    ),
    (
        "sora",
        "release",
        1300,
        "Install notes read well. One thing: say which port the web page is on.",
    ),
    (
        "jun",
        "release",
        1297,
        "고쳤습니다. `http://127.0.0.1:8080` 이라고 맨 위에 적었어요.",
    ),
    (
        "mina",
        "@sora",
        420,
        "Sora, are you joining us for lunch on Friday?",
    ),
    ("sora", "@mina", 418, "Yes! Is the noodle place still open?"),
    ("mina", "@sora", 417, "열려 있어요. 12시에 예약할게요."),
    ("sora", "@mina", 416, "감사합니다 :)"),
    (
        "jun",
        "@mina",
        190,
        "미나님, 백업 서버 전원 한 번 뽑아 봐도 될까요?",
    ),
    (
        "mina",
        "@jun",
        188,
        "네, 그러려고 만든 거잖아요. 뽑아 보세요.",
    ),
    (
        "jun",
        "@mina",
        171,
        "뽑았다 꽂았어요. 메시지 하나도 안 없어졌습니다 👍",
    ),
    (
        "sora",
        "release",
        95,
        "Notes are ready for review:\n\n- what changed\n- how to upgrade\n- known limits",
    ),
    (
        "mina",
        "release",
        90,
        "읽어 볼게요. 저녁 전에 의견 남길게요.",
    ),
    ("jun", "balcony", 24, "바질 수확했어요. 필요하신 분?"),
    (
        "sora",
        "balcony",
        12,
        "Me, please! Trading for cherry tomatoes.",
    ),
];

/// Letters and digits that are not mistaken for each other.
const READABLE: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
const PASSWORD_LETTERS: usize = 10;

/// One of the people of the demonstration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoLogin {
    /// Its account's name.
    pub name: &'static str,
    /// How one logs in.
    pub state: DemoLoginState,
}

/// How one logs in as one of the people of the demonstration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DemoLoginState {
    /// With this password.
    Password(Secret),
    /// With a password that somebody has given it.
    OtherPassword,
    /// Not while the account is disabled.
    Disabled,
    /// Not at all: there is no such account any more.
    Removed,
}

/// How one logs in as each of them, as their accounts are; none if this server is no demonstration, where accounts may
/// have the same names.
pub(crate) fn logins(directory: &Directory, secret: &[u8; 32]) -> Vec<DemoLogin> {
    let mut demonstration = false;
    let logins: Vec<DemoLogin> = PEOPLE
        .iter()
        .map(|(name, _, _)| {
            let known = directory.by_name(name);
            let account = known.as_ref().and_then(|known| known.info());
            let password = readable_password(secret, name);
            let right =
                known.is_some_and(|known| logins::verify(known.password(), password.expose()));
            demonstration |= right;
            let state = match account {
                None => DemoLoginState::Removed,
                Some(account) if account.disabled => DemoLoginState::Disabled,
                Some(_) if right => DemoLoginState::Password(password),
                Some(_) => DemoLoginState::OtherPassword,
            };
            DemoLogin { name, state }
        })
        .collect();
    if demonstration { logins } else { Vec::new() }
}

/// Makes them, their groups and what they have said.
pub(crate) fn people(
    chat: &mut Chat,
    directory: &Directory,
    store: &Arc<dyn Store>,
    secret: &[u8; 32],
    now: Millis,
) -> Result<(), String> {
    let mut stage = Stage {
        chat,
        directory,
        store,
        source: StoreSource(store.clone()),
        people: Vec::new(),
    };
    let oldest = HISTORY
        .iter()
        .map(|(_, _, minutes, _)| *minutes)
        .max()
        .unwrap_or_default();
    let before = |minutes: u64| now.saturating_sub(minutes * 60_000);
    let begin = before(oldest + 30);
    for (name, display, role) in PEOPLE {
        let password = readable_password(secret, name);
        stage.add(name, display, role, &password, begin)?;
    }
    for (slug, title, members) in GROUPS {
        let wanted = serde_json::json!({ "slug": slug, "title": title, "accounts": members });
        stage.publish(
            PEOPLE[0].0,
            "im/ask/group.create/demo",
            wanted.to_string(),
            before(oldest + 20),
        )?;
    }
    for (from, conversation, minutes, text) in HISTORY {
        stage.publish(
            from,
            &format!("im/to/{conversation}"),
            text.to_owned(),
            before(minutes),
        )?;
    }
    Ok(())
}

/// The messenger and what its outputs go to while nobody is connected.
struct Stage<'a> {
    chat: &'a mut Chat,
    directory: &'a Directory,
    store: &'a Arc<dyn Store>,
    source: StoreSource,
    people: Vec<(&'static str, AccountId)>,
}

impl Stage<'_> {
    fn add(
        &mut self,
        name: &'static str,
        display: &str,
        role: Role,
        password: &Secret,
        at: Millis,
    ) -> Result<(), String> {
        let command = AccountCommand::Add {
            name: name.to_owned(),
            display: display.to_owned(),
            role,
            password: Some(HashedPassword {
                argon2: hash_password(password).ok_or("the password cannot be hashed")?,
                scram: derive_verifier(password, AuthConfig::default().scram_iterations),
            }),
            first: false,
            // The names are ours.
            similar: true,
        };
        match self.run(
            Input::Account {
                request: RequestId(0),
                command,
            },
            at,
        )? {
            Some(id) => self.people.push((name, id)),
            None => return Err(format!("no account for {name}")),
        }
        Ok(())
    }

    fn publish(
        &mut self,
        from: &str,
        topic: &str,
        payload: String,
        at: Millis,
    ) -> Result<(), String> {
        let known = self.people.iter().find(|(name, _)| *name == from);
        let (_, account) = *known.ok_or_else(|| format!("nobody is called {from}"))?;
        let publish = Publish {
            session: SessionRef {
                shard: 0,
                slot: u32::MAX,
                generation: u32::MAX,
            },
            account,
            device: "demo".into(),
            topic: topic.into(),
            payload: Bytes::from(payload),
            ack: Some(0),
            response_topic: None,
            correlation: None,
            properties: None,
            session_mid: None,
            read_at: Moment::UNKNOWN,
        };
        self.run(Input::Publish(Box::new(publish)), at).map(|_| ())
    }

    /// Carries out what comes of an input; the id of a new account, if it makes one.
    fn run(&mut self, input: Input, at: Millis) -> Result<Option<AccountId>, String> {
        self.chat.handle(input, &self.source, at);
        let mut added = None;
        while let Some(output) = self.chat.poll_output() {
            match output {
                Output::Append {
                    owner,
                    ticket,
                    writes,
                    ..
                } => {
                    let batch = Batch {
                        writes,
                        ..Batch::default()
                    };
                    self.store
                        .commit(batch)
                        .map_err(|error| error.to_string())?;
                    let appended = Input::Appended { owner, ticket };
                    self.chat.handle(appended, &self.source, at);
                }
                Output::Credentials(change) => self.directory.change(change),
                Output::Answered { outcome, .. } => {
                    match outcome.map_err(|error| error.to_string())? {
                        AccountAnswer::Added { id, .. } => added = Some(id),
                        AccountAnswer::Done => {}
                    }
                }
                Output::Acknowledge { outcome, .. } => {
                    outcome.map_err(|refusal| refusal.sentence.to_string())?
                }
                // What the messenger needs to go on; nobody is connected to be answered.
                Output::Read(query) => {
                    let found = query.run(&self.source).found;
                    self.chat.handle(Input::Found(found), &self.source, at);
                }
                Output::Deliver(_)
                | Output::CloseAccount { .. }
                | Output::CloseToken { .. }
                | Output::Frame(_)
                | Output::Missed
                | Output::Trim(_) => {}
            }
        }
        Ok(added)
    }
}

/// The password of one of them, which can be read out and typed on a phone; whoever knows it learns nothing of `secret`.
fn readable_password(secret: &[u8; 32], name: &str) -> Secret {
    let mut seed = b"magpie demonstration\0".to_vec();
    seed.extend_from_slice(secret);
    seed.extend_from_slice(name.as_bytes());
    let letter = |byte: &u8| char::from(READABLE[usize::from(*byte) % READABLE.len()]);
    let digest = logins::sha256(&seed);
    let letters = digest.iter().take(PASSWORD_LETTERS).map(letter);
    Secret::new(letters.collect::<String>())
}
