//! Asks the server that runs on a data directory, or opens the directory for the moment and asks there.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use server::config::Config;
use server::handle::Actor;
use server::handle::control::{self, Answer, Command};
use server::{StartError, StartOptions};

/// How long a server that holds the data directory may take to open its control socket (it recovers) or to leave (it
/// ends, or another `magpie account` is at work).
const HELD_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked at meanwhile.
const HELD_INTERVAL: Duration = Duration::from_millis(50);
/// How long the committer is awaited at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks whoever holds the data directory, or holds it and asks itself.
pub(crate) fn ask(config: &Config, command: &Command) -> anyhow::Result<Answer> {
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

#[cfg(test)]
mod tests {
    use anyhow::bail;
    use server::handle::{AccountInfo, AccountPage, AccountRole};

    use super::*;

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
}
