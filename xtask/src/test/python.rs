//! A Python environment of our own for the client tests, below the target folder, with pinned packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::step;
use crate::child;

/// The packages and their versions.
const REQUIREMENTS: &str = "xtask/python-requirements.txt";
const PIP_LIMIT: Duration = Duration::from_secs(10 * 60);

/// The environment's Python, with everything in it; the error says what is wrong.
pub(crate) fn environment(root: &Path, work: &Path) -> Result<PathBuf, String> {
    let wanted = fs::read_to_string(root.join(REQUIREMENTS))
        .map_err(|error| format!("{REQUIREMENTS}: {error}"))?;
    let folder = work.join("python");
    let python = folder.join("bin/python");
    // Written last: an environment that was left half made has none.
    let stamp = folder.join("installed-requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted)
        && child::succeeds(Command::new(&python).arg("--version"))
    {
        return Ok(python);
    }
    step("making the Python environment");
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&folder))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--no-input"])
        .args(["--disable-pip-version-check", "--requirement"])
        .arg(root.join(REQUIREMENTS)))?;
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(python)
}

/// Whether this machine's Python can make environments; Debian has that in a package of its own.
pub(crate) fn can_make_environments() -> bool {
    child::succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"]))
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = format!("{command:?}");
    let ended = child::capture(command, PIP_LIMIT, |_| {}).map_err(|error| format!("{error:#}"))?;
    if ended.success {
        return Ok(());
    }
    let last = ended
        .output
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty());
    Err(format!(
        "{name} failed ({})",
        last.unwrap_or("it said nothing")
    ))
}
