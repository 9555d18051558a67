//! Child processes: run to the end, within a time limit, without standard input.
//! Ends only what it started.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How often a silent child is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long after its end a child's output may still come; a grandchild may hold the pipe open for ever.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// What became of a child.
pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) timed_out: bool,
    /// Standard output and standard error, line by line as they came.
    pub(crate) output: String,
    pub(crate) took: Duration,
}

/// Runs the command with its output going where ours goes; whether it succeeded.
pub(crate) fn show(command: &mut Command) -> Result<bool> {
    let status = command.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start {}", name(command)))?;
    Ok(status.success())
}

/// Runs the command and keeps what it says; each line is also handed to `on_line`. At the limit it is ended.
pub(crate) fn capture(
    command: &mut Command,
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<Ended> {
    let began = Instant::now();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn();
    let mut child = child.with_context(|| format!("cannot start {}", name(command)))?;
    let (sender, lines) = mpsc::channel();
    pump(child.stdout.take(), sender.clone());
    pump(child.stderr.take(), sender);

    let mut ended = Ended {
        success: false,
        timed_out: false,
        output: String::new(),
        took: Duration::ZERO,
    };
    let mut gone_since = None;
    loop {
        match lines.recv_timeout(LOOK_EVERY) {
            Ok(line) => {
                on_line(&line);
                ended.output.push_str(&line);
                ended.output.push('\n');
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                if gone_since.is_none() && child.try_wait()?.is_some() {
                    gone_since = Some(Instant::now());
                }
                if gone_since.is_some_and(|since| since.elapsed() > OUTPUT_GRACE) {
                    break;
                }
            }
        }
        if !ended.timed_out && gone_since.is_none() && began.elapsed() > limit {
            ended.timed_out = true;
            end(&mut child)?;
        }
    }
    // Both pipes may be closed by a child that goes on: the limit holds all the same.
    while child.try_wait()?.is_none() {
        if began.elapsed() > limit {
            ended.timed_out = true;
            end(&mut child)?;
        }
        thread::sleep(LOOK_EVERY);
    }
    ended.success = child.wait()?.success() && !ended.timed_out;
    ended.took = began.elapsed();
    Ok(ended)
}

/// Whether the command can be started and succeeds; what it says is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The first line that the command prints, if it succeeds.
pub(crate) fn first_line(command: &mut Command) -> Option<String> {
    let said = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    said.status
        .success()
        .then(|| text.lines().next().unwrap_or_default().to_owned())
}

/// Whether a program of this name is on the PATH.
pub(crate) fn on_path(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

fn pump(pipe: Option<impl Read + Send + 'static>, lines: Sender<String>) {
    let Some(pipe) = pipe else { return };
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line)
                .trim_end_matches('\r')
                .to_owned();
            if lines.send(line).is_err() {
                break;
            }
        }
    });
}

fn end(child: &mut Child) -> Result<()> {
    match child.kill() {
        Err(error) if error.kind() != std::io::ErrorKind::InvalidInput => {
            Err(error).context("cannot end a child")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Ended {
        capture(Command::new("sh").args(["-c", script]), limit, |_| {}).expect("sh is there")
    }

    #[test]
    fn both_outputs_are_kept() {
        let ended = shell("echo one; echo two >&2; exit 3", Duration::from_secs(20));
        assert!(!ended.success && !ended.timed_out);
        let mut lines: Vec<_> = ended.output.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn a_child_that_hangs_is_ended() {
        let ended = shell("echo begun; exec sleep 600", Duration::from_millis(300));
        assert!(ended.timed_out && !ended.success);
        assert_eq!(ended.output, "begun\n");
        assert!(ended.took < Duration::from_secs(60));
    }

    #[test]
    fn a_grandchild_that_holds_the_pipe_does_not_hold_us() {
        let ended = shell("sleep 30 & echo done", Duration::from_secs(20));
        assert!(ended.success && !ended.timed_out);
        assert_eq!(ended.output, "done\n");
    }
}
