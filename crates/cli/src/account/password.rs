//! Reads a password: twice from the terminal, unseen, or one line of standard input. What is a good one the server decides.

use std::io::{BufRead, IsTerminal as _};

use anyhow::{Context as _, bail};
use server::handle::Secret;

use crate::arguments::PasswordArguments;

/// The longest line that is read, in bytes; the server's own limit is lower.
const LINE_BYTES_MAX: u64 = 8 * 1024;

/// The password for account `name`.
pub(super) fn read(arguments: PasswordArguments, name: &str) -> anyhow::Result<Secret> {
    if arguments.from_stdin {
        return one_line(std::io::stdin().lock());
    }
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask for a password; pipe it in with --password-stdin");
    }
    let ask = |prompt: String| {
        rpassword::prompt_password(prompt)
            .map(Secret::new)
            .context("the password cannot be read")
    };
    let first = ask(format!("Password for {name}: "))?;
    let second = ask("Once more: ".to_owned())?;
    if first != second {
        bail!("the two passwords differ; nothing has been changed");
    }
    Ok(first)
}

/// The line without its end; spaces belong to the password.
fn one_line(input: impl BufRead) -> anyhow::Result<Secret> {
    let mut line = String::new();
    input
        .take(LINE_BYTES_MAX)
        .read_line(&mut line)
        .context("the password cannot be read from standard input")?;
    if line.len() as u64 == LINE_BYTES_MAX {
        bail!("the password on standard input is longer than {LINE_BYTES_MAX} bytes");
    }
    let end = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(end);
    if line.is_empty() {
        bail!("standard input holds no password");
    }
    Ok(Secret::new(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password_with_its_spaces() {
        for (input, password) in [
            ("long enough\nnext", "long enough"),
            (" spaces \r\n", " spaces "),
            ("까치", "까치"),
        ] {
            assert_eq!(one_line(input.as_bytes()).unwrap().expose(), password);
        }
        assert!(one_line("\n".as_bytes()).is_err());
        assert!(one_line(&b"\xff\xfe\n"[..]).is_err());
        assert!(one_line("x".repeat(10_000).as_bytes()).is_err());
    }
}
