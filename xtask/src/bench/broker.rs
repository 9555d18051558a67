//! The servers that are measured: started on a free loopback port and core 0 with a folder of their own, and stopped.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{child, tree};

const CORE: &str = "0";
const READY_LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Takes as many files as the machine allows, then becomes the program behind it: the process id stays.
const WITH_MANY_FILES: &str = "ulimit -n \"$(ulimit -Hn)\"; exec \"$@\"";

#[derive(Clone, Copy)]
enum Kind {
    Magpie,
    Mosquitto,
}

/// A server that can be measured.
pub(crate) struct Broker {
    kind: Kind,
    pub(crate) name: &'static str,
    pub(crate) version: String,
    program: PathBuf,
}

/// A server that runs; it ends with this value.
pub(crate) struct Running {
    process: Child,
    pub(crate) port: u16,
    pub(crate) folder: PathBuf,
}

/// Magpie (`MAGPIE_BIN`, or a release build) and, where it is installed, mosquitto.
pub(crate) fn all(root: &Path) -> Result<Vec<Broker>> {
    let mut brokers = vec![Broker {
        kind: Kind::Magpie,
        name: "magpie",
        version: "magpie".to_owned(),
        program: magpie(root)?,
    }];
    let folders = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].map(PathBuf::from);
    let mosquitto = child::on_path("mosquitto")
        .or_else(|| folders.into_iter().find(|program| program.is_file()));
    match mosquitto {
        Some(program) => brokers.push(Broker {
            kind: Kind::Mosquitto,
            name: "mosquitto",
            version: mosquitto_version(&program),
            program,
        }),
        None => println!(
            "bench: no mosquitto to compare with; install: apt-get install mosquitto (then stop its service: it takes port 1883)"
        ),
    }
    Ok(brokers)
}

fn magpie(root: &Path) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("MAGPIE_BIN").filter(|named| !named.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    println!("bench: building the server (release)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--release", "--package", "magpie"])
        .current_dir(root);
    if !child::show(&mut build)? {
        bail!("the server does not build");
    }
    Ok(tree::target_dir(root).join("release/magpie"))
}

/// The first line of its help says `mosquitto version 2.0.11`; it ends with 3 then.
fn mosquitto_version(program: &Path) -> String {
    let said = Command::new(program)
        .arg("-h")
        .stdin(Stdio::null())
        .output();
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
    let first = said.unwrap_or_default().lines().next().map(str::to_owned);
    first.unwrap_or_else(|| "mosquitto".to_owned())
}

impl Broker {
    /// The program, if it is a messenger as well.
    pub(crate) fn messenger(&self) -> Option<&Path> {
        match self.kind {
            Kind::Magpie => Some(&self.program),
            Kind::Mosquitto => None,
        }
    }

    /// Starts it with nothing in its folder and awaits that it accepts connections.
    pub(crate) fn start(&self, work: &Path, persistent: bool) -> Result<Running> {
        let folder = work.join(self.name);
        if folder.exists() {
            fs::remove_dir_all(&folder).context("the last run's folder")?;
        }
        fs::create_dir_all(&folder)?;
        let port = free_port()?;
        let mut command = Command::new("sh");
        command
            .args(["-c", WITH_MANY_FILES, "sh", "taskset", "-c", CORE])
            .arg(&self.program)
            .args(self.arguments(&folder, port, persistent)?)
            .stdin(Stdio::null())
            .stdout(File::create(folder.join("output.txt"))?)
            .stderr(File::create(folder.join("log.txt"))?);
        let process = command.spawn().context("cannot start sh")?;
        let mut running = Running {
            process,
            port,
            folder,
        };
        running.await_ready(self.name)?;
        Ok(running)
    }

    fn arguments(&self, folder: &Path, port: u16, persistent: bool) -> Result<Vec<String>> {
        let folder = folder.display();
        match self.kind {
            Kind::Magpie => {
                let line = format!(
                    "serve --data {folder}/data --mqtt 127.0.0.1:{port} --http 127.0.0.1:0 --allow-anonymous"
                );
                Ok(line.split(' ').map(str::to_owned).collect())
            }
            Kind::Mosquitto => {
                // Its defaults, but for a queue that would drop messages, and its own user, who may not write here.
                let config = format!(
                    "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nmax_queued_messages 0\n\
                     persistence {persistent}\npersistence_location {folder}/\nlog_dest none\n"
                );
                let path = format!("{folder}/mosquitto.conf");
                fs::write(&path, config)?;
                Ok(vec!["-c".to_owned(), path])
            }
        }
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends it and awaits its end.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    fn await_ready(&mut self, name: &str) -> Result<()> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if began.elapsed() > READY_LIMIT {
                bail!("{name} does not listen on {address}: {}", self.last_words());
            }
            self.check_alive(name)?;
            thread::sleep(LOOK_EVERY);
        }
        // Had someone else taken the port, ours would have ended.
        self.check_alive(name)
    }

    fn check_alive(&mut self, name: &str) -> Result<()> {
        if let Some(status) = self.process.try_wait()? {
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
        // After `stop` both find nothing left to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
