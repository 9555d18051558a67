//! Debian packages for what the tests need and the machine lacks. Only what is missing is installed, and only where
//! that needs no question: as root, or with a sudo that asks for no password.

use std::process::Command;
use std::time::Duration;

use super::step;
use crate::child;

/// Waits so long for another apt to end, in seconds.
const LOCK_WAIT_SECS: u32 = 180;
const APT_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Installs the packages one by one, so that one that this Debian lacks does not keep the others away.
/// What goes wrong is told in a line and left to the tests that need the package.
pub(crate) fn install(packages: &[&str]) {
    if packages.is_empty() {
        return;
    }
    if child::on_path("apt-get").is_none() {
        step(&format!(
            "missing here, and there is no apt to get it: {}",
            packages.join(", ")
        ));
        return;
    }
    let Some(sudo) = way_to_root() else {
        step(&format!(
            "missing here, and neither root nor sudo works: {}",
            packages.join(", ")
        ));
        return;
    };
    step("apt-get update");
    if let Err(reason) = apt(sudo, &["update"]) {
        step(&format!(
            "the lists of packages could not be renewed ({reason}); going on with those that are there"
        ));
    }
    for package in packages {
        step(&format!("apt-get install {package}"));
        if let Err(reason) = apt(
            sudo,
            &["install", "--yes", "--no-install-recommends", package],
        ) {
            step(&format!("{package} could not be installed ({reason})"));
        }
    }
}

/// The words before `apt-get`: none as root, `sudo -n` where that works.
fn way_to_root() -> Option<&'static [&'static str]> {
    let user = child::first_line(Command::new("id").arg("-u"));
    if user.as_deref() == Some("0") {
        return Some(&[]);
    }
    child::succeeds(Command::new("sudo").args(["-n", "true"])).then_some(&["sudo", "-n"])
}

fn apt(sudo: &[&str], arguments: &[&str]) -> Result<(), String> {
    let lock = format!("DPkg::Lock::Timeout={LOCK_WAIT_SECS}");
    let mut words = sudo.to_vec();
    words.extend([
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-q",
        "-o",
        &lock,
    ]);
    words.extend(arguments);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    let ended =
        child::capture(&mut command, APT_LIMIT, |_| {}).map_err(|error| format!("{error:#}"))?;
    match (ended.success, ended.timed_out) {
        (true, _) => Ok(()),
        (false, true) => Err("it took too long".to_owned()),
        (false, false) => Err(complaint(&ended.output)),
    }
}

/// The line in which apt says what is wrong, in words that say what to do where we know.
fn complaint(output: &str) -> String {
    let line = output
        .lines()
        .find(|line| line.starts_with("E: "))
        .or_else(|| output.lines().last())
        .unwrap_or("it said nothing")
        .trim_start_matches("E: ");
    if line.contains("Could not get lock") {
        format!("another apt or dpkg is at work: {line}")
    } else if output.contains("Temporary failure resolving") || output.contains("Could not connect")
    {
        format!("no connection to the package servers: {line}")
    } else {
        line.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apts_complaint_is_put_in_words() {
        let locked = "Reading…\nE: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7\n";
        assert!(
            complaint(locked).starts_with("another apt or dpkg is at work: Could not get lock")
        );
        let offline = "Err:1 x\n  Temporary failure resolving 'x'\nE: Failed to fetch y\n";
        assert_eq!(
            complaint(offline),
            "no connection to the package servers: Failed to fetch y"
        );
        assert_eq!(
            complaint("E: Unable to locate package x\n"),
            "Unable to locate package x"
        );
        assert_eq!(complaint(""), "it said nothing");
    }
}
