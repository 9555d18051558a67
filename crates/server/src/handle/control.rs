//! `control.sock` in the data directory: how `magpie account` and the commands about the store ask a running server. One JSON line
//! in, one out; a backup and a check go on from there on a thread of their own. Whoever
//! may open the socket (the server's own user, or root) is an administrator; it must not be reachable otherwise.

mod groups;
mod remote;
mod serving;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::{
    AccountInfo, AccountPage, AccountQuery, AccountRole, Actor, Handle, NewAccount,
    PAGE_ACCOUNTS_MAX, RequestError, Secret, ServerStatus,
};
use crate::repeats::{Repeats, accept_failed};
pub use groups::GroupEntry;
pub(crate) use groups::all as all_groups;
pub(crate) use remote::{audit, back_up, groups, report, verify};
use serving::StorageCommand;
pub use serving::{AuditEntry, FamilyReport, StoreReport};

/// The socket's name in the data directory.
pub const SOCKET_NAME: &str = "control.sock";

/// Bytes of one request line.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of one answer line; the header of an image that lists a million files fits.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Connections served at once; more wait.
const CONNECTIONS_MAX: usize = 8;
/// How long one exchange may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections of users that it does not serve.
static REFUSED_USERS: Repeats = Repeats::new();

/// What `magpie account`, `magpie group` and `magpie status` ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// How the server is.
    Status,
    /// Accounts by name, a page of them.
    List {
        /// Only those behind this name.
        after: Option<String>,
    },
    /// A new account.
    Add {
        /// Login name.
        name: String,
        /// The name that people see; empty for the login name.
        display: String,
        /// What it may do.
        role: AccountRole,
        /// Its password.
        #[serde(serialize_with = "reveal")]
        password: Secret,
        /// Whether its name may look like another's.
        #[serde(default)]
        similar: bool,
    },
    /// Another password.
    Passwd {
        /// Login name.
        name: String,
        /// The new password.
        #[serde(serialize_with = "reveal")]
        password: Secret,
    },
    /// No logins any more.
    Disable {
        /// Login name.
        name: String,
    },
    /// Logins again.
    Enable {
        /// Login name.
        name: String,
    },
    /// No account any more.
    Remove {
        /// Login name.
        name: String,
    },
    /// No group any more, nor what was said in it.
    DeleteGroup {
        /// Its address.
        slug: String,
    },
}

/// The answer to a `Command`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To `Status`.
    Status {
        /// It.
        status: Box<ServerStatus>,
    },
    /// To `List`.
    Accounts {
        /// By name.
        page: AccountPage,
    },
    /// To `Add`.
    Added {
        /// The new account.
        account: AccountInfo,
    },
    /// To `DeleteGroup`.
    GroupDeleted {
        /// Its address, which is free again.
        slug: String,
    },
    /// To everything else that was done.
    Done {
        /// The account as it was before.
        account: AccountInfo,
    },
    /// It was not done.
    Refused {
        /// The code.
        error: String,
        /// The sentence.
        detail: String,
    },
}

/// Only for the socket above, which no other user can read.
fn reveal<S: serde::Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// Does what `command` says, for whom it comes from.
pub async fn execute(handle: &Handle, command: Command, by: Actor) -> Answer {
    let done = match command {
        Command::Status => Ok(Answer::Status {
            status: Box::new(handle.status()),
        }),
        Command::List { after } => list(handle, after.as_deref()),
        Command::Add {
            name,
            display,
            role,
            password,
            similar,
        } => {
            let account = NewAccount {
                name,
                display,
                password,
                role,
                similar,
            };
            let added = handle.add_account(account, by).await;
            added.map(|account| Answer::Added { account })
        }
        Command::Passwd { name, password } => {
            let change_password = |name| handle.set_password(name, password, by);
            change(handle, name, change_password).await
        }
        Command::Disable { name } => {
            change(handle, name, |name| handle.disable_account(name, by)).await
        }
        Command::Enable { name } => {
            change(handle, name, |name| handle.enable_account(name, by)).await
        }
        Command::Remove { name } => {
            change(handle, name, |name| handle.remove_account(name, by)).await
        }
        Command::DeleteGroup { slug } => {
            let deleted = handle.delete_group(slug.clone(), by).await;
            deleted.map(|()| Answer::GroupDeleted { slug })
        }
    };
    done.unwrap_or_else(|error| refused(&error))
}

fn list(handle: &Handle, after: Option<&str>) -> Result<Answer, RequestError> {
    let mut query = AccountQuery::default().limit(PAGE_ACCOUNTS_MAX)?;
    if let Some(after) = after {
        query = query.after(after)?;
    }
    let page = handle.accounts(&query)?;
    Ok(Answer::Accounts { page })
}

/// Changes an account; the answer says which one that was, for one that is removed cannot be looked up any more.
async fn change<C: Future<Output = Result<(), RequestError>>>(
    handle: &Handle,
    name: String,
    change: impl FnOnce(String) -> C,
) -> Result<Answer, RequestError> {
    let account = handle.account(&name)?;
    change(name).await?;
    Ok(Answer::Done { account })
}

fn refused(error: &RequestError) -> Answer {
    Answer::Refused {
        error: error.code().to_owned(),
        detail: error.to_string(),
    }
}

/// The listening socket; its file is removed when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl ControlSocket {
    /// Listens in `data`, whose lock the caller holds: a socket found there is a dead server's. Needs a tokio runtime.
    pub fn bind(data: &Path) -> io::Result<Self> {
        let path = data.join(SOCKET_NAME);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let owner = std::fs::metadata(&path)?.uid();
        Ok(Self {
            listener,
            path,
            owner,
        })
    }

    /// Answers until the future is dropped.
    pub async fn serve(&self, handle: Handle) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    accept_failed(&error);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // Between bind and chmod the file's mode was the umask's; who connected then is turned away here.
            let user = stream.peer_cred().map(|peer| peer.uid());
            let user = user.ok().filter(|user| *user == self.owner || *user == 0);
            let Some(user) = user else {
                if let Some(left_out) = REFUSED_USERS.meet("", Instant::now()) {
                    tracing::warn!(
                        left_out,
                        "control socket: another user's connection refused"
                    );
                }
                continue;
            };
            let handle = handle.clone();
            tokio::spawn(async move {
                match tokio::time::timeout(EXCHANGE_TIMEOUT, exchange(stream, user, &handle)).await
                {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "control socket: exchange broken off")
                    }
                    Err(_) => tracing::debug!("control socket: exchange timed out"),
                }
                drop(place);
            });
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // It may be gone with the whole directory; a socket left behind is harmless either way.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers one command of a process that runs as `user`.
async fn exchange(mut stream: UnixStream, user: u32, handle: &Handle) -> io::Result<()> {
    let mut line = Vec::new();
    // Nobody sends more before there is an answer.
    tokio::io::BufReader::new((&mut stream).take(LINE_BYTES_MAX))
        .read_until(b'\n', &mut line)
        .await?;
    if let Ok(command) = serde_json::from_slice::<StorageCommand>(&line) {
        return serving::begin(command, stream.into_std()?, &handle.storage);
    }
    let answer = match serde_json::from_slice::<Command>(&line) {
        Ok(command) => execute(handle, command, Actor::ControlSocket { user }).await,
        Err(error) => refused(&RequestError::Invalid {
            sentence: format!("not a command of this version: {error}"),
        }),
    };
    line.fill(0); // there may be a password in it
    let mut answer = serde_json::to_vec(&answer)?;
    answer.push(b'\n');
    stream.write_all(&answer).await
}

/// Asks the server that runs on `data`; `None` if none does. Blocks.
pub fn ask(data: &Path, command: &Command) -> io::Result<Option<Answer>> {
    let Some(mut stream) = connect(data)? else {
        return Ok(None);
    };
    let mut line = serde_json::to_vec(command)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    line.fill(0);
    let mut answer = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the server closed the connection without an answer",
        ));
    }
    Ok(Some(serde_json::from_str(&answer)?))
}

/// A connection to the server that runs on `data`; `None` if none does.
fn connect(data: &Path) -> io::Result<Option<std::os::unix::net::UnixStream>> {
    match std::os::unix::net::UnixStream::connect(data.join(SOCKET_NAME)) {
        Ok(stream) => {
            stream.set_read_timeout(Some(EXCHANGE_TIMEOUT))?;
            stream.set_write_timeout(Some(EXCHANGE_TIMEOUT))?;
            Ok(Some(stream))
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
