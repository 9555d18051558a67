//! The command line: one module per command, and what they share: arguments and logging. It holds no rule of the
//! messenger and must not open the store or a socket of MQTT; it asks `server` and `http-api`.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")
)]

mod arguments;

mod account;
mod audit;
mod backup;
mod check_config;
mod group;
mod restore;
mod serve;
mod status;
mod store;
mod verify;

mod ask;
mod confirm;
mod logging;
mod place;
mod progress;
mod size;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};

/// Does what `arguments` (the program's name first) say; the answer is the process's exit code: 0 done, 1 not done
/// (standard error says why), 2 arguments that make no sense; `status` has more.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(told) => return tell(&told),
    };
    let done = match arguments.command {
        Some(Command::Status(status)) => return exit(status::run(&status)),
        Some(Command::Serve(serve)) => serve::run(&serve),
        Some(Command::CheckConfig(check)) => check_config::run(&check),
        Some(Command::Account(account)) => account::run(account),
        Some(Command::Group(group)) => group::run(group),
        Some(Command::Audit(audit)) => audit::run(&audit),
        Some(Command::Backup(backup)) => backup::run(&backup),
        Some(Command::Restore(restore)) => restore::run(&restore),
        Some(Command::Verify(verify)) => verify::run(&verify),
        Some(Command::Store(store)) => store::run(&store),
        None => serve::run(&arguments.serve),
    };
    exit(done.map(|()| ExitCode::SUCCESS))
}

fn exit(done: anyhow::Result<ExitCode>) -> ExitCode {
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("magpie: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and what it comes from, each said once: an error that names its cause has it as its source too.
fn sentence(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told.push_str(": ");
            told.push_str(&cause);
        }
    }
    told
}

/// Help and version go to standard output and are a success; a mistake goes to standard error.
fn tell(told: &clap::Error) -> ExitCode {
    // Nobody is left to be told that the terminal is gone.
    let _ = told.print();
    match told.exit_code() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use server::DataDirError;

    use super::*;

    #[test]
    fn a_cause_is_told_once_whether_its_error_names_it_or_not() {
        let refused = || io::Error::from_raw_os_error(libc::EIO);
        let named = DataDirError::Io {
            path: "data".into(),
            source: refused(),
        };
        let expected = "data: Input/output error (os error 5)";
        assert_eq!(sentence(&named.into()), expected);
        assert_eq!(
            sentence(&anyhow::Error::from(refused()).context("data")),
            expected
        );
    }
}
