//! `magpie account`: asks the server that runs on the data directory, or opens the directory for the moment. The rules
//! of accounts are the server's.

mod password;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use server::handle::control::{Answer, Command};
use server::handle::{AccountInfo, AccountRole};
use server::storage::{self, StorageError};

use crate::arguments::{AccountAction, AccountArguments, PlaceArguments};
use crate::ask::ask;
use crate::{confirm, place};

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
            similar,
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
                similar,
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

/// Says what has come of it, to which account in which folder; a refusal is an error.
fn tell(command: &Command, answer: Answer, folder: &Path) -> anyhow::Result<()> {
    let told = match answer {
        Answer::Refused { detail, .. } => bail!("{detail} (in {})", folder.display()),
        Answer::Accounts { page } => table(&page.accounts),
        Answer::Status { .. } | Answer::GroupDeleted { .. } => {
            bail!("the server answered something else than it was asked")
        }
        Answer::Added { account } => done(&account, "has been added", folder),
        Answer::Done { account } => {
            let what = match command {
                Command::Passwd { .. } => "has a new password and is logged out everywhere",
                Command::Disable { .. } => "is disabled",
                Command::Enable { .. } => "is enabled",
                Command::Remove { .. } => "has been removed",
                Command::Status
                | Command::List { .. }
                | Command::Add { .. }
                | Command::DeleteGroup { .. } => {
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
