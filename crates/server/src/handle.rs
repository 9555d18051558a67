//! What the HTTP server and the command line see of a running server: a `Handle` that sends requests to the service
//! thread and awaits answers. It holds no rule and no state but the queue; the rules are on the receiving side.

mod account;
mod actor;
pub mod control;
mod directory;
mod error;
mod request;
mod status;
mod storage;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use store::EmbeddedStore;
use tokio::sync::{mpsc, oneshot, watch};

pub use account::{
    AccountInfo, AccountPage, AccountQuery, AccountRole, Login, NewAccount, PAGE_ACCOUNTS_MAX,
    ServerInfo, Which,
};
pub use actor::Actor;
pub use broker::{BOUNDS_MICROS, Histogram, Latencies};
pub use directory::AccountDirectory;
pub use error::RequestError;
pub use request::{
    AdoptedWebSocket, Health, Reply, Request, Requests, Subprotocol, UpgradedStream,
};
pub(crate) use status::Figures;
pub use status::{ServerStatus, SlowClient};

use crate::config::{Changes, Config};
pub use crate::secret::Secret;
use directory::DirectoryAccess;
use status::StatusAccess;
use storage::StorageAccess;

/// Requests that may wait for the service thread; more are answered `RequestError::Busy`.
pub const REQUESTS_MAX: usize = 1024;

/// How long an answer is awaited before the caller is told that the server is busy.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// A running server, as HTTP and the command line see it. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    wake: Arc<dyn Fn() + Send + Sync>,
    health: watch::Receiver<Health>,
    storage: StorageAccess,
    status: StatusAccess,
    directory: DirectoryAccess,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Handle")
            .field("health", &*self.health.borrow())
            .finish_non_exhaustive()
    }
}

impl Handle {
    /// A handle and its receiving end. `wake` is called after each request has been queued and must make the
    /// receiving thread look at its queue.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> (Self, Requests) {
        let (sender, queue) = mpsc::channel(REQUESTS_MAX);
        let (health_sender, health) = watch::channel(Health::Starting);
        let handle = Self {
            requests: sender,
            wake: Arc::new(wake),
            health,
            storage: StorageAccess::default(),
            status: StatusAccess::default(),
            directory: DirectoryAccess::default(),
        };
        (
            handle,
            Requests {
                queue,
                health: health_sender,
            },
        )
    }

    /// Gives the control socket access to the store; once. The store is not kept from ending.
    pub fn attach_store(&self, store: Weak<EmbeddedStore>) {
        self.storage.attach(store);
    }

    /// Says where accounts and tokens are read; once.
    pub fn attach_directory(&self, directory: Arc<dyn AccountDirectory>) {
        self.directory.attach(directory);
    }

    /// Says where `status` finds its figures; once.
    pub(crate) fn attach_figures(&self, read: impl Fn() -> Figures + Send + Sync + 'static) {
        self.status.attach(Box::new(read));
    }

    /// Says where the server listens; once.
    pub(crate) fn announce(&self, listeners: &[String]) {
        self.status.announce(listeners);
    }

    /// How the server is, in figures. Waits for no thread.
    pub fn status(&self) -> ServerStatus {
        let store = self.storage.store();
        self.status.status(self.health(), store.as_deref())
    }

    /// How long acknowledgements and deliveries have taken, a second ago at most. Waits for no thread.
    pub fn latencies(&self) -> Latencies {
        self.status.figures().latencies
    }

    /// Name, version, and whether the first account is still to be made. Waits for no thread.
    pub fn server_info(&self) -> Result<ServerInfo, RequestError> {
        self.check_ready()?;
        Ok(ServerInfo {
            name: "Magpie".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            setup_required: self.directory.directory()?.is_empty(),
        })
    }

    /// Makes the first account, an administrator, with the one-time token of the first start.
    pub async fn create_first_account(
        &self,
        token: Secret,
        account: NewAccount,
        peer: IpAddr,
    ) -> Result<AccountInfo, RequestError> {
        self.ask(|reply| Request::CreateFirstAccount {
            token,
            account,
            peer,
            reply,
        })
        .await
    }

    /// Checks a password and makes a token for `device`.
    pub async fn login(
        &self,
        name: String,
        password: Secret,
        device: String,
        peer: IpAddr,
    ) -> Result<Login, RequestError> {
        self.ask(|reply| Request::Login {
            name,
            password,
            device,
            peer,
            reply,
        })
        .await
    }

    /// Revokes a token.
    pub async fn logout(&self, token: Secret, peer: IpAddr) -> Result<(), RequestError> {
        self.ask(|reply| Request::Logout { token, peer, reply })
            .await
    }

    /// Whose token this is. Waits for no thread; nor do the next four.
    pub fn authenticate_token(&self, token: &Secret) -> Result<AccountInfo, RequestError> {
        self.check_ready()?;
        self.directory.directory()?.authenticate(token)
    }

    /// Counts a look at the accounts by an account, which may not look as often as it likes.
    pub fn admit_list(&self, account: &str) -> Result<(), RequestError> {
        self.check_ready()?;
        self.directory.directory()?.admit_list(account)
    }

    /// The account of this name.
    pub fn account(&self, name: &str) -> Result<AccountInfo, RequestError> {
        self.check_ready()?;
        let found = self.directory.directory()?.account(name);
        found.ok_or_else(|| RequestError::NoSuchAccount {
            name: name.to_owned(),
        })
    }

    /// A part of the list of accounts.
    pub fn accounts(&self, query: &AccountQuery) -> Result<AccountPage, RequestError> {
        self.check_ready()?;
        Ok(self.directory.directory()?.page(query))
    }

    /// Makes an account.
    pub async fn add_account(
        &self,
        account: NewAccount,
        by: Actor,
    ) -> Result<AccountInfo, RequestError> {
        self.ask(|reply| Request::AddAccount { account, by, reply })
            .await
    }

    /// Gives an account another password; its tokens are revoked and its connections closed.
    pub async fn set_password(
        &self,
        name: String,
        password: Secret,
        by: Actor,
    ) -> Result<(), RequestError> {
        self.ask(|reply| Request::SetPassword {
            name,
            password,
            by,
            reply,
        })
        .await
    }

    /// Closes an account to logins; what it wrote stays.
    pub async fn disable_account(&self, name: String, by: Actor) -> Result<(), RequestError> {
        self.ask(|reply| Request::SetDisabled {
            name,
            disabled: true,
            by,
            reply,
        })
        .await
    }

    /// Opens a disabled account again.
    pub async fn enable_account(&self, name: String, by: Actor) -> Result<(), RequestError> {
        self.ask(|reply| Request::SetDisabled {
            name,
            disabled: false,
            by,
            reply,
        })
        .await
    }

    /// Removes an account; what it wrote stays, under its name.
    pub async fn remove_account(&self, name: String, by: Actor) -> Result<(), RequestError> {
        self.ask(|reply| Request::RemoveAccount { name, by, reply })
            .await
    }

    /// Deletes a group, and what was said in it.
    pub async fn delete_group(&self, slug: String, by: Actor) -> Result<(), RequestError> {
        self.ask(|reply| Request::DeleteGroup { slug, by, reply })
            .await
    }

    /// Hands over a connection whose WebSocket handshake has been answered. `leftover` are the bytes that the client
    /// sent behind its request.
    pub async fn adopt_websocket(
        &self,
        stream: UpgradedStream,
        leftover: Vec<u8>,
        peer: SocketAddr,
        subprotocol: Subprotocol,
    ) -> Result<(), RequestError> {
        let adopted = AdoptedWebSocket {
            stream,
            leftover,
            peer,
            subprotocol,
        };
        self.ask(|reply| Request::AdoptWebSocket { adopted, reply })
            .await
    }

    /// Applies what has changed in the configuration and can change while running.
    pub async fn reload(&self, config: Config) -> Result<Changes, RequestError> {
        self.ask(|reply| Request::Reload {
            config: Box::new(config),
            reply,
        })
        .await
    }

    /// How the server is.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Waits until the server has ceased to work: `Failed`, or its threads are gone.
    pub async fn failed(&self) -> String {
        let mut health = self.health.clone();
        match health
            .wait_for(|health| matches!(health, Health::Failed(_)))
            .await
        {
            Ok(failed) => match &*failed {
                Health::Failed(reason) => reason.clone(),
                Health::Starting
                | Health::Ready
                | Health::Stalled(_)
                | Health::DiskFull(_)
                | Health::Draining => String::new(),
            },
            Err(_) => "the service thread has ended".to_owned(),
        }
    }

    fn check_ready(&self) -> Result<(), RequestError> {
        match &*self.health.borrow() {
            Health::Starting => Err(RequestError::Starting),
            Health::Draining | Health::Failed(_) => Err(RequestError::Draining),
            Health::Ready | Health::Stalled(_) | Health::DiskFull(_) => Ok(()),
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, RequestError> {
        self.check_ready()?;
        let (reply, answer) = oneshot::channel();
        match self.requests.try_send(request(reply)) {
            Ok(()) => (self.wake)(),
            Err(mpsc::error::TrySendError::Full(_)) => return Err(RequestError::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(RequestError::Draining),
        }
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(result)) => result,
            // The service drops a request unanswered only while it ends.
            Ok(Err(_)) => Err(RequestError::Draining),
            Err(_) => Err(RequestError::Busy),
        }
    }
}
