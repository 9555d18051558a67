//! `magpie account`: asks the server that runs on the data directory, or opens the directory for the moment. The rules
//! of accounts are the server's.

mod confirm;
mod password;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use server::config::Config;
use server::handle::control::{self, Answer, Command};
use server::handle::{AccountInfo, AccountRole, Actor};
use server::storage::{self, StorageError};
use server::{StartError, StartOptions};

use crate::arguments::{AccountAction, AccountArguments, PlaceArguments};
use crate::place;

/// How long a server that holds the data directory may take to open its control socket (it recovers) or to leave (it
/// ends, or another `magpie account` is at work).
const HELD_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked at meanwhile.
const HELD_INTERVAL: Duration = Duration::from_millis(50);
/// How long the committer is awaited at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Does one thing to accounts.
pub(crate) fn run(arguments: AccountArguments) -> anyhow::Result<()> {
    let config = place::open(place_of(&arguments.action))?;
    let data = &config.server.data;
    let creates = matches!(arguments.action, AccountAction::Add { create: true, .. });
    if !creates {
        check_there(data, &arguments.action)?;
    }
    let command = command(arguments.action, data)?;
    let folder = std::path::absolute(data).unwrap_or_else(|_| data.clone());
    tell(&command, ask(&config, &command)?, &folder)
}

fn place_of(action: &AccountAction) -> &PlaceArguments {
    match action {
        AccountAction::List { place } => place,
        AccountAction::Add { whom, .. }
        | AccountAction::Passwd { whom, .. }
        | AccountAction::Disable { whom }
        | AccountAction::Enable { whom }
        | AccountAction::Remove { whom, .. } => &whom.place,
    }
}

/// An account in a folder that no server uses is of no use, and hides that the server's folder is another one.
fn check_there(data: &Path, action: &AccountAction) -> anyhow::Result<()> {
    match (storage::check_there(data), action) {
        (Err(error @ StorageError::NoDataDir(_)), AccountAction::Add { .. }) => {
            bail!("{error}, or begin a new one there with --create")
        }
        (checked, _) => Ok(checked?),
    }
}

/// What is asked for; passwords and consent are asked for here, before anything is opened.
fn command(action: AccountAction, data: &Path) -> anyhow::Result<Command> {
    Ok(match action {
        AccountAction::Add {
            whom,
            display,
            admin,
            create: _,
            password,
        } => {
            let password = password::read(password, &whom.name)?;
            Command::Add {
                name: whom.name,
                display: display.unwrap_or_default(),
                role: if admin {
                    AccountRole::Admin
                } else {
                    AccountRole::Member
                },
                password,
            }
        }
        AccountAction::Passwd { whom, password } => {
            let password = password::read(password, &whom.name)?;
            let name = whom.name;
            Command::Passwd { name, password }
        }
        AccountAction::List { .. } => Command::List { after: None },
        AccountAction::Disable { whom } => Command::Disable { name: whom.name },
        AccountAction::Enable { whom } => Command::Enable { name: whom.name },
        AccountAction::Remove { whom, yes } => {
            if !yes {
                confirm::removal(&whom.name, data)?;
            }
            Command::Remove { name: whom.name }
        }
    })
}

/// Asks whoever holds the data directory, or holds it and asks itself.
fn ask(config: &Config, command: &Command) -> anyhow::Result<Answer> {
    let deadline = Instant::now() + HELD_TIMEOUT;
    loop {
        if let Some(answer) = ask_running(&config.server.data, command)? {
            return whole(answer, |command| {
                let answer = ask_running(&config.server.data, &command)?;
                answer.context("the server has ended meanwhile")
            });
        }
        match server::start(config.clone(), &StartOptions::default()) {
            Ok(running) => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .context("a thread cannot be started")?;
                let execute = |command| {
                    let done = control::execute(&running.handle, command, Actor::CommandLine);
                    runtime.block_on(done)
                };
                let answer = whole(execute(command.clone()), |command| Ok(execute(command)))?;
                // What was changed counts only once this has returned.
                running.shutdown(SHUTDOWN_TIMEOUT)?;
                return Ok(answer);
            }
            // Held, and yet nobody answered: it starts, it ends, or it is another `magpie account`.
            Err(StartError::DataDir(server::DataDirError::Held { .. }))
                if Instant::now() < deadline =>
            {
                std::thread::sleep(HELD_INTERVAL);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A list comes in pages: asks for those behind the first one.
fn whole(
    answer: Answer,
    mut ask: impl FnMut(Command) -> anyhow::Result<Answer>,
) -> anyhow::Result<Answer> {
    let Answer::Accounts { page: mut whole } = answer else {
        return Ok(answer);
    };
    while let Some(after) = whole.next.take() {
        let after = Some(after);
        match ask(Command::List { after })? {
            Answer::Accounts { page } => {
                whole.accounts.extend(page.accounts);
                whole.next = page.next;
            }
            refused => return Ok(refused),
        }
    }
    Ok(Answer::Accounts { page: whole })
}

fn ask_running(data: &Path, command: &Command) -> anyhow::Result<Option<Answer>> {
    control::ask(data, command).with_context(|| {
        format!(
            "the server that runs on {} was asked and did not answer",
            data.display()
        )
    })
}

/// Says what has come of it, to which account in which folder; a refusal is an error.
fn tell(command: &Command, answer: Answer, folder: &Path) -> anyhow::Result<()> {
    let told = match answer {
        Answer::Refused { detail, .. } => bail!("{detail} (in {})", folder.display()),
        Answer::Accounts { page } => table(&page.accounts),
        Answer::Status { .. } => bail!("the server answered something else than it was asked"),
        Answer::Added { account } => done(&account, "has been added", folder),
        Answer::Done { account } => {
            let what = match command {
                Command::Passwd { .. } => "has a new password and is logged out everywhere",
                Command::Disable { .. } => "is disabled",
                Command::Enable { .. } => "is enabled",
                Command::Remove { .. } => "has been removed",
                Command::Status | Command::List { .. } | Command::Add { .. } => {
                    bail!("the server answered something else than it was asked")
                }
            };
            done(&account, what, folder)
        }
    };
    std::io::stdout()
        .write_all(told.as_bytes())
        .context("standard output cannot be written")
}

/// `bob (member) has been removed; data in /var/lib/magpie`
fn done(account: &AccountInfo, what: &str, folder: &Path) -> String {
    let (name, role) = (&account.name, role(account.role));
    format!("{name} ({role}) {what}; data in {}\n", folder.display())
}

fn role(role: AccountRole) -> &'static str {
    match role {
        AccountRole::Admin => "admin",
        AccountRole::Member => "member",
    }
}

/// One line per account: name, role, state, display name. The last may hold anything, so it stands last.
fn table(accounts: &[AccountInfo]) -> String {
    if accounts.is_empty() {
        return "there is no account yet; make one with `magpie account add NAME`\n".to_owned();
    }
    let width = accounts
        .iter()
        .map(|account| account.name.len())
        .max()
        .unwrap_or(0);
    let mut lines = String::new();
    for account in accounts {
        let role = role(account.role);
        let state = if account.disabled {
            "disabled"
        } else {
            "enabled"
        };
        // A display name must not write to somebody's terminal.
        let display: String = account
            .display
            .chars()
            .filter(|letter| !letter.is_control())
            .collect();
        let _ = writeln!(
            lines,
            "{:width$}  {role:6}  {state:8}  {display}",
            account.name
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use server::handle::AccountPage;

    #[test]
    fn accounts_are_listed_one_on_a_line_without_control_characters() {
        let account = |name: &str, display: &str, role, disabled| AccountInfo {
            name: name.to_owned(),
            display: display.to_owned(),
            role,
            disabled,
        };
        assert_eq!(
            table(&[
                account("alice", "앨리스", AccountRole::Admin, false),
                account("bob", "Bob\x1b[2J\n", AccountRole::Member, true),
            ]),
            "alice  admin   enabled   앨리스\nbob    member  disabled  Bob[2J\n"
        );
        assert!(table(&[]).contains("account add"));
    }

    #[test]
    fn a_list_is_asked_for_page_by_page() {
        let page = |name: &str, next: Option<&str>| Answer::Accounts {
            page: AccountPage {
                accounts: vec![AccountInfo {
                    name: name.to_owned(),
                    display: name.to_owned(),
                    role: AccountRole::Member,
                    disabled: false,
                }],
                next: next.map(str::to_owned),
            },
        };
        let mut asked = Vec::new();
        let answer = whole(page("a", Some("a")), |command| {
            let Command::List { after: Some(after) } = command else {
                bail!("{command:?}");
            };
            let answer = match after.as_str() {
                "a" => page("b", Some("bb")),
                _ => page("c", None),
            };
            asked.push(after);
            Ok(answer)
        });
        let Answer::Accounts { page } = answer.unwrap() else {
            panic!("no list");
        };
        let names: Vec<_> = page.accounts.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(
            (names, asked),
            (vec!["a", "b", "c"], vec!["a".to_owned(), "bb".to_owned()])
        );
    }

    #[test]
    fn a_refusal_is_an_error_with_its_sentence() {
        let refused = Answer::Refused {
            error: "no_such_account".to_owned(),
            detail: "there is no account named bob".to_owned(),
        };
        let list = Command::List { after: None };
        let error = tell(&list, refused, Path::new("/data")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no account named bob (in /data)"
        );
    }
}
