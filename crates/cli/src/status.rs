//! `magpie status`: asks the running server how it is. It must not open the data directory.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use server::handle::control::{self, Answer, Command};
use server::handle::{ServerStatus, SlowClient};

use crate::arguments::StatusArguments;
use crate::place;
use crate::size::human;

/// The server runs and is not well.
const UNHEALTHY: u8 = 1;
/// No server answers; 2 is that of arguments that make no sense.
const NO_SERVER: u8 = 3;

/// Says how the server is, also by its exit code.
pub(crate) fn run(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let config = place::open(&arguments.place)?;
    let data = &config.server.data;
    let Some(status) = ask(data)? else {
        eprintln!(
            "magpie: no server answers for {}: none runs there, or it is still starting",
            data.display()
        );
        return Ok(ExitCode::from(NO_SERVER));
    };
    let said = if arguments.json {
        serde_json::to_string(&status)? + "\n"
    } else {
        text(&status)
    };
    io::stdout()
        .write_all(said.as_bytes())
        .context("standard output cannot be written")?;
    Ok(ExitCode::from(code(&status)))
}

fn code(status: &ServerStatus) -> u8 {
    if status.healthy { 0 } else { UNHEALTHY }
}

fn ask(data: &Path) -> anyhow::Result<Option<ServerStatus>> {
    match control::ask(data, &Command::Status) {
        Ok(None) => Ok(None),
        Ok(Some(Answer::Status { status })) => Ok(Some(*status)),
        Ok(Some(Answer::Refused { detail, .. })) => bail!(detail),
        Ok(Some(
            Answer::Accounts { .. }
            | Answer::Added { .. }
            | Answer::Done { .. }
            | Answer::GroupDeleted { .. },
        )) => {
            bail!("the server answered something else than it was asked")
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => bail!(
            "{} belongs to another user; run this as the user that the server runs as, or as root",
            data.display()
        ),
        Err(error) => Err(error).with_context(|| {
            format!(
                "the server that runs on {} was asked and did not answer",
                data.display()
            )
        }),
    }
}

fn text(status: &ServerStatus) -> String {
    let health = match &status.detail {
        Some(detail) => format!("{}: {detail}", status.health),
        None => status.health.clone(),
    };
    let free = status.disk_free_bytes.map_or("unknown".to_owned(), human);
    let mut lines = vec![
        ("health", health),
        ("version", status.version.clone()),
        ("process", status.pid.to_string()),
        ("uptime", duration(status.uptime_secs)),
        ("data", status.data.display().to_string()),
    ];
    let listeners = status.listeners.iter().enumerate();
    lines.extend(listeners.map(|(index, listener)| {
        let name = if index == 0 { "listeners" } else { "" };
        (name, listener.clone())
    }));
    lines.extend([
        ("connections", status.connections.to_string()),
        ("sessions", status.sessions.to_string()),
        ("accounts", status.accounts.to_string()),
        ("stored", human(status.stored_bytes)),
        ("disk free", free),
    ]);
    let slow = status.slow_clients.iter().enumerate();
    lines.extend(slow.map(|(index, client)| {
        let name = if index == 0 { "slow clients" } else { "" };
        (name, slow_client(client))
    }));
    let mut text = String::new();
    for (name, value) in lines {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{name:12} {value}");
    }
    text
}

/// `bob/phone: 1200 messages wait, 3.00 MiB`, in which the client has no word of its own.
fn slow_client(client: &SlowClient) -> String {
    let account = client.account.as_deref().unwrap_or("(anonymous)");
    format!(
        "{}/{}: {} messages wait, {}",
        account.escape_debug(),
        client.client_id.escape_debug(),
        client.messages,
        human(client.bytes)
    )
}

/// `3 d 04:05:06`
fn duration(secs: u64) -> String {
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    let clock = format!("{hours:02}:{minutes:02}:{:02}", secs % 60);
    match days {
        0 => clock,
        days => format!("{days} d {clock}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_in_lines_and_what_is_wrong_beside_the_health() {
        let status = ServerStatus {
            health: "stalled".to_owned(),
            detail: Some("a commit".to_owned()),
            uptime_secs: 3 * 86_400 + 4 * 3600 + 5 * 60 + 6,
            listeners: vec!["mqtt://a:1".to_owned(), "http://a:2".to_owned()],
            stored_bytes: 5 << 20,
            slow_clients: vec![
                SlowClient {
                    account: Some("bob".to_owned()),
                    client_id: "pho\u{1b}ne".to_owned(),
                    messages: 1200,
                    bytes: 3 << 20,
                },
                SlowClient::default(),
            ],
            ..ServerStatus::default()
        };
        let text = text(&status);
        for line in [
            "health       stalled: a commit",
            "uptime       3 d 04:05:06",
            "listeners    mqtt://a:1",
            "             http://a:2",
            "stored       5.00 MiB",
            "disk free    unknown",
            "slow clients bob/pho\\u{1b}ne: 1200 messages wait, 3.00 MiB",
            "             (anonymous)/: 0 messages wait, 0 B",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
        assert_eq!(code(&status), UNHEALTHY);
        let healthy = true;
        assert_eq!(code(&ServerStatus { healthy, ..status }), 0);
    }
}
