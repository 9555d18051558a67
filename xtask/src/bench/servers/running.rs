//! One server that runs: started below `taskset` on a free loopback port with a folder of its own, and ended with
//! everything that it started. Ends nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The Erlang ones take ten seconds on this machine.
const READY_LIMIT: Duration = Duration::from_secs(60);
const END_LIMIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Takes as many files as the machine allows, then becomes the program behind it: the process id stays.
const WITH_MANY_FILES: &str = "ulimit -n \"$(ulimit -Hn)\"; exec \"$@\"";

/// How to start a server.
pub(super) struct Start {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(&'static str, String)>,
    /// Runs beside it and is ended with it; not measured.
    pub(super) companion: Option<Command>,
}

impl Start {
    pub(super) fn new(program: &Path, arguments: Vec<String>) -> Self {
        Self {
            program: program.to_owned(),
            arguments,
            environment: Vec::new(),
            companion: None,
        }
    }
}

/// A server that runs; it ends with this value.
pub(crate) struct Running {
    name: &'static str,
    process: Child,
    companion: Option<Child>,
    pub(crate) port: u16,
    pub(crate) folder: PathBuf,
}

impl Running {
    pub(super) fn begin(
        name: &'static str,
        start: Start,
        cores: &str,
        port: u16,
        folder: PathBuf,
    ) -> Result<Self> {
        let companion = start
            .companion
            .map(|mut command| {
                command
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
            })
            .transpose()
            .with_context(|| format!("what {name} needs beside it"))?;
        let mut command = Command::new("sh");
        command
            .args(["-c", WITH_MANY_FILES, "sh", "taskset", "-c", cores])
            .arg(&start.program)
            .args(&start.arguments)
            .envs(start.environment)
            .env_remove("NOTIFY_SOCKET")
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(File::create(folder.join("output.txt"))?)
            .stderr(File::create(folder.join("log.txt"))?);
        let process = command.spawn().context("cannot start sh")?;
        let mut running = Self {
            name,
            process,
            companion,
            port,
            folder,
        };
        running.await_ready()?;
        Ok(running)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    fn await_ready(&mut self) -> Result<()> {
        let name = self.name;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if began.elapsed() > READY_LIMIT {
                bail!("{name} does not listen on {address}: {}", self.last_words());
            }
            self.check_alive()?;
            thread::sleep(LOOK_EVERY);
        }
        // Had someone else taken the port, ours would have ended.
        self.check_alive()
    }

    fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.process.try_wait()? {
            let name = self.name;
            bail!(
                "{name} ended at its start ({status}): {}",
                self.last_words()
            );
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log.txt")).unwrap_or_default();
        log.lines().last().unwrap_or("it said nothing").to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A shell script's server is its child: with the script alone it would live on.
        let family = descendants(self.process.id());
        if !family.is_empty() {
            let mut kill = Command::new("kill");
            kill.arg("-KILL").args(family.iter().map(u32::to_string));
            // Some may have ended by themselves, which `kill` complains about.
            let _ = kill.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        for process in [Some(&mut self.process), self.companion.as_mut()]
            .into_iter()
            .flatten()
        {
            let _ = process.kill();
            let _ = process.wait();
        }
        // The next run is not to share its core with what is still ending.
        let began = Instant::now();
        while family.iter().any(|id| runs(*id)) && began.elapsed() < END_LIMIT {
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// Whether there is such a process, and it is more than an entry that nobody has collected.
fn runs(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The processes that this one started, and that those started.
fn descendants(process: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // Behind the program's name, which may hold anything: its state, and its parent.
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        if let (Some(id), Some(parent)) = (id, parent) {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut found = Vec::new();
    let mut left = vec![process];
    while let Some(parent) = left.pop() {
        let more = children.remove(&parent).unwrap_or_default();
        left.extend(&more);
        found.extend(more);
    }
    found
}

/// A folder below `work`, without what the last run left.
pub(super) fn empty_folder(work: &Path, name: &str) -> Result<PathBuf> {
    let folder = work.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).context("the last run's folder")?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_ended_with_its_child() {
        let work = tempfile::tempdir().expect("a folder can be made");
        let folder = empty_folder(work.path(), "script").expect("can be made");
        // A listener of ours stands in for the server's, so that it counts as ready.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let port = listener.local_addr().expect("is bound").port();
        let script = "sleep 600 & echo $! >child; wait".to_owned();
        let start = Start::new(Path::new("sh"), vec!["-c".to_owned(), script]);
        let running =
            Running::begin("script", start, "0", port, folder.clone()).expect("sh is there");
        let child: u32 = loop {
            let written = fs::read_to_string(folder.join("child")).unwrap_or_default();
            if let Ok(child) = written.trim().parse() {
                break child;
            }
            thread::yield_now();
        };
        assert!(descendants(running.pid()).contains(&child));
        drop(running);
        assert!(!runs(child), "it lives on");
    }
}
