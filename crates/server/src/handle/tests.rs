//! The handle and the control socket against a service that answers from a short list.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::control::{self, Answer, Command, ControlSocket};
use super::*;

fn account(name: &str) -> AccountInfo {
    AccountInfo {
        name: name.to_owned(),
        display: name.to_owned(),
        role: AccountRole::Member,
        disabled: false,
    }
}

/// Answers account requests: `taken` exists, everything else does not.
async fn service(mut requests: Requests) {
    requests.health.send_replace(Health::Ready);
    while let Some(request) = requests.queue.recv().await {
        match request {
            Request::AddAccount {
                account: new,
                reply,
                ..
            } => {
                let answer = match new.name.as_str() {
                    "taken" => Err(RequestError::AccountExists { name: new.name }),
                    name if new.password.expose() == "long enough" => Ok(account(name)),
                    _ => Err(RequestError::Invalid {
                        sentence: "the password is too short".to_owned(),
                    }),
                };
                drop(reply.send(answer));
            }
            Request::RemoveAccount { name, reply, .. } => {
                drop(reply.send(Err(RequestError::NoSuchAccount { name })))
            }
            Request::SetDisabled { reply, .. } => drop(reply.send(Ok(()))),
            other => drop(other),
        }
    }
}

fn list(after: Option<&str>) -> Command {
    Command::List {
        after: after.map(str::to_owned),
    }
}

/// `taken` on the first page, and the name that is asked behind on the last.
struct Directory;

impl AccountDirectory for Directory {
    fn is_empty(&self) -> bool {
        false
    }

    fn authenticate(&self, _: &Secret) -> Result<AccountInfo, RequestError> {
        Err(RequestError::BadToken)
    }

    fn admit_list(&self, _: &str) -> Result<(), RequestError> {
        Ok(())
    }

    fn account(&self, name: &str) -> Option<AccountInfo> {
        (name != "nobody").then(|| account(name))
    }

    fn page(&self, query: &AccountQuery) -> AccountPage {
        AccountPage {
            accounts: vec![account(query.after.as_deref().unwrap_or("taken"))],
            next: query.after.is_none().then(|| "behind".to_owned()),
        }
    }
}

#[test]
fn a_secret_never_prints() {
    let account = NewAccount {
        name: "alice".to_owned(),
        display: String::new(),
        password: Secret::new("hunter2"),
        role: AccountRole::Member,
        similar: false,
    };
    let printed = format!(
        "{account:?} {:?}",
        Request::Login {
            name: "alice".to_owned(),
            password: Secret::new("hunter2"),
            device: String::new(),
            peer: IpAddr::from([127, 0, 0, 1]),
            reply: oneshot::channel().0,
        }
    );
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[tokio::test]
async fn nothing_is_asked_before_the_server_is_ready_nor_while_it_drains() {
    let wakes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&wakes);
    let (handle, requests) = Handle::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(handle.health(), Health::Starting);
    let enable = || handle.enable_account("taken".to_owned(), Actor::CommandLine);
    let list = || handle.accounts(&AccountQuery::default());
    assert_eq!(enable().await, Err(RequestError::Starting));
    assert_eq!(list(), Err(RequestError::Starting));
    requests.health.send_replace(Health::Draining);
    assert_eq!(enable().await, Err(RequestError::Draining));
    assert_eq!(list(), Err(RequestError::Draining));
    assert_eq!(wakes.load(Ordering::SeqCst), 0);
    tokio::spawn(service(requests));
    tokio::task::yield_now().await;
    assert_eq!(enable().await, Ok(()));
    assert_eq!(wakes.load(Ordering::SeqCst), 1);
    assert_eq!(
        list(),
        Err(RequestError::Starting),
        "there is no directory yet"
    );
    handle.attach_directory(Arc::new(Directory));
    assert_eq!(list().unwrap().accounts, [account("taken")]);
    assert_eq!(wakes.load(Ordering::SeqCst), 1, "the service is not asked");
}

#[tokio::test]
async fn a_request_that_is_dropped_reads_as_draining_and_a_full_queue_as_busy() {
    let (handle, mut requests) = Handle::new(|| {});
    requests.health.send_replace(Health::Ready);
    let waiting: Vec<_> = (0..REQUESTS_MAX)
        .map(|_| {
            let handle = handle.clone();
            tokio::spawn(async move {
                handle
                    .remove_account("bob".to_owned(), Actor::CommandLine)
                    .await
            })
        })
        .collect();
    while requests.queue.len() < REQUESTS_MAX {
        tokio::task::yield_now().await;
    }
    let refused = handle
        .remove_account("bob".to_owned(), Actor::CommandLine)
        .await;
    assert_eq!(refused, Err(RequestError::Busy));
    while requests.queue.try_recv().is_ok() {}
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), Err(RequestError::Draining));
    }
}

#[tokio::test]
async fn a_failed_server_says_why() {
    let (handle, requests) = Handle::new(|| {});
    requests
        .health
        .send_replace(Health::Failed("disk gone".to_owned()));
    assert_eq!(handle.failed().await, "disk gone");
    let (handle, requests) = Handle::new(|| {});
    drop(requests);
    assert_eq!(handle.failed().await, "the service thread has ended");
}

#[tokio::test]
async fn the_control_socket_carries_commands_and_refusals() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().unwrap();
    let (handle, requests) = Handle::new(|| {});
    handle.attach_directory(Arc::new(Directory));
    tokio::spawn(service(requests));
    tokio::task::yield_now().await;
    let path = data.path().to_path_buf();
    assert!(
        control::ask(&path, &list(None)).unwrap().is_none(),
        "nobody runs there"
    );

    let socket = ControlSocket::bind(&path).unwrap();
    let mode = std::fs::metadata(path.join(control::SOCKET_NAME))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let server = tokio::spawn(async move { socket.serve(handle).await });
    let asking = path.clone();
    let ask = move |command: Command| {
        let path = asking.clone();
        tokio::task::spawn_blocking(move || control::ask(&path, &command).unwrap().unwrap())
    };
    let add = |name: &str, password: &str| Command::Add {
        name: name.to_owned(),
        display: String::new(),
        role: AccountRole::Member,
        password: Secret::new(password),
        similar: false,
    };
    for (after, name, next) in [
        (None, "taken", Some("behind")),
        (Some("behind"), "behind", None),
    ] {
        let page = AccountPage {
            accounts: vec![account(name)],
            next: next.map(str::to_owned),
        };
        let answer = ask(list(after)).await.unwrap();
        assert_eq!(answer, Answer::Accounts { page });
    }
    assert_eq!(
        ask(add("bob", "long enough")).await.unwrap(),
        Answer::Added {
            account: account("bob")
        }
    );
    assert_eq!(
        ask(add("taken", "long enough")).await.unwrap(),
        Answer::Refused {
            error: "account_exists".to_owned(),
            detail: "there is an account named taken already".to_owned()
        }
    );
    let Answer::Refused { error, .. } = ask(Command::Remove {
        name: "nobody".to_owned(),
    })
    .await
    .unwrap() else {
        panic!("removed nobody");
    };
    assert_eq!(error, "no_such_account");
    assert_eq!(
        ask(Command::Enable {
            name: "bob".to_owned()
        })
        .await
        .unwrap(),
        Answer::Done {
            account: account("bob")
        }
    );
    server.abort();
    let _ = server.await;
    assert!(
        !path.join(control::SOCKET_NAME).exists(),
        "the socket goes with the server"
    );
}

#[tokio::test]
async fn the_control_socket_answers_nonsense_with_a_sentence() {
    use std::io::{Read, Write};
    let data = tempfile::tempdir().unwrap();
    let (handle, requests) = Handle::new(|| {});
    tokio::spawn(service(requests));
    tokio::task::yield_now().await;
    let socket = ControlSocket::bind(data.path()).unwrap();
    tokio::spawn(async move { socket.serve(handle).await });
    for nonsense in [
        &b"\n"[..],
        b"{\"command\":\"explode\"}\n",
        b"\xff\xfe\n",
        &[b'x'; 70_000],
    ] {
        let path = data.path().join(control::SOCKET_NAME);
        let nonsense = nonsense.to_vec();
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
            // The server may close before it has read all of an overlong line.
            let _ = stream.write_all(&nonsense);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8(answer).unwrap()
        });
        let answer = answer.await.unwrap();
        assert!(answer.contains("\"error\":\"invalid\""), "{answer}");
    }
}
