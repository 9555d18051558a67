//! Asks on the terminal before something is done that cannot be undone. What that is the server knows.

use std::io::{BufRead, IsTerminal as _, Write};
use std::path::Path;

use anyhow::{Context as _, bail};

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 1024;

/// Whether account `name` may be removed; an error if not.
pub(crate) fn removal(name: &str, data: &Path) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask on whether {name} may be removed; say so with --yes");
    }
    let question = format!(
        "Remove {name} for good, from {}? What it wrote stays; the name is not given again. [y/N] ",
        data.display()
    );
    if yes(&question, std::io::stdin().lock(), std::io::stderr().lock())? {
        return Ok(());
    }
    bail!("nothing has been changed")
}

/// Whether a group may be deleted; an error if not. Its address is named again.
pub(crate) fn deletion(slug: &str, data: &Path) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "there is no terminal to ask on whether the group {slug} may be deleted; say so with --yes"
        );
    }
    let question = format!(
        "Delete the group {slug} for good, from {}? All that was said in it goes. Type its address again: ",
        data.display()
    );
    let answer = answer(&question, std::io::stdin().lock(), std::io::stderr().lock())?;
    if answer == slug {
        return Ok(());
    }
    bail!("nothing has been changed")
}

/// Everything but a clear yes is a no.
fn yes(question: &str, input: impl BufRead, output: impl Write) -> anyhow::Result<bool> {
    let answer = answer(question, input, output)?;
    Ok(answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"))
}

fn answer(question: &str, input: impl BufRead, mut output: impl Write) -> anyhow::Result<String> {
    write!(output, "{question}")
        .and_then(|()| output.flush())
        .context("the terminal cannot be written")?;
    let mut answer = String::new();
    input
        .take(ANSWER_BYTES_MAX)
        .read_line(&mut answer)
        .context("the answer cannot be read")?;
    Ok(answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for (answer, expected) in [
            ("y\n", true),
            ("Yes\r\n", true),
            ("n\n", false),
            ("\n", false),
            ("", false),
            ("yes please\n", false),
        ] {
            let mut asked = Vec::new();
            let said = yes("Sure? ", answer.as_bytes(), &mut asked).unwrap();
            assert_eq!((said, asked.as_slice()), (expected, &b"Sure? "[..]));
        }
    }
}
