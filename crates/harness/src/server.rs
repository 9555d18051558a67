//! One server under test: the real binary on free loopback ports with a data directory of its own. It can be killed and
//! started again on both.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Dial, Program, Signal, Version, http_get, magpie};

/// Ports of addresses that are a program's own: below those that Linux gives to outgoing connections.
const OWN_PORTS: std::ops::Range<u16> = 10_000..32_000;

/// How to start a server.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    config: Option<String>,
    wrapper: Vec<String>,
    kept: bool,
    own_listeners: bool,
    folder: Option<Arc<TempDir>>,
}

impl Launch {
    /// With nothing but ports and a data directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more argument of `magpie serve`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// With an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this text as `magpie.toml`.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// With the listeners of `config` and no other; the first that is said is the one that `Server::mqtt` names.
    #[must_use]
    pub fn own_listeners(mut self) -> Self {
        self.own_listeners = true;
        self
    }

    /// With this folder as its own in place of a new one.
    #[must_use]
    pub fn folder(mut self, folder: &Arc<TempDir>) -> Self {
        self.folder = Some(folder.clone());
        self
    }

    /// On addresses that stay its own while it is down.
    #[must_use]
    pub fn keeps_addresses(mut self) -> Self {
        self.kept = true;
        self
    }

    /// Below another program, which must run the server as its child or in its own place.
    #[must_use]
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Starts it in a new folder and awaits that it serves.
    pub fn start(self) -> Server {
        let folder = self.folder.clone().unwrap_or_else(|| {
            Arc::new(tempfile::tempdir().expect("a temporary folder can be made"))
        });
        if let Some(text) = &self.config {
            std::fs::write(folder.path().join("magpie.toml"), text)
                .expect("the folder can be written");
        }
        let (mqtt, http) = if self.kept {
            (own_address(), own_address())
        } else {
            (any_port(), any_port())
        };
        match self.serve(folder.path(), mqtt, http) {
            Ok((program, mqtt, http)) => Server {
                launch: self,
                folder,
                program,
                mqtt,
                http,
            },
            Err(errors) => panic!("the server did not start:\n{errors}"),
        }
    }

    /// Starts it where it has to refuse; what it says.
    pub fn refused(self) -> String {
        let folder = self.folder.clone().unwrap_or_else(|| {
            Arc::new(tempfile::tempdir().expect("a temporary folder can be made"))
        });
        if let Some(text) = &self.config {
            std::fs::write(folder.path().join("magpie.toml"), text)
                .expect("the folder can be written");
        }
        match self.serve(folder.path(), any_port(), any_port()) {
            Ok(_) => panic!("the server has started"),
            Err(errors) => errors,
        }
    }

    fn command(&self, folder: &Path, mqtt: SocketAddr, http: SocketAddr) -> Command {
        let mut words = self.wrapper.iter().map(PathBuf::from).chain([magpie()]);
        let mut command = Command::new(words.next().expect("the chain ends with the binary"));
        command
            .args(words)
            .args(["serve", "--data"])
            .arg(folder.join("data"))
            .args(["--http", &http.to_string()])
            .args(&self.arguments)
            .env_remove("RUST_LOG")
            .env_remove("NOTIFY_SOCKET")
            .current_dir(folder);
        if !self.own_listeners {
            command.args(["--mqtt", &mqtt.to_string()]);
        }
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }

    /// The running program and its addresses, or what it said when it ended.
    fn serve(
        &self,
        folder: &Path,
        mqtt: SocketAddr,
        http: SocketAddr,
    ) -> Result<(Program, SocketAddr, SocketAddr), String> {
        let program = Program::start("magpie", &mut self.command(folder, mqtt, http));
        let address = |scheme: &str| {
            let Some((_, line)) = program.line_or_end(0, |line| address_in(line, scheme).is_some())
            else {
                let status = program.end();
                return Err(format!("{}\n{status}", program.errors()));
            };
            address_in(&line, scheme).ok_or_else(|| format!("no address in {line:?}"))
        };
        let mqtt = address("mqtt")?;
        let http = address("http")?;
        Ok((program, mqtt, http))
    }
}

/// The address in a line of the banner: `mqtt://127.0.0.1:1883`, or with `s` behind the scheme.
fn address_in(line: &str, scheme: &str) -> Option<SocketAddr> {
    let word = line.split_whitespace().next()?;
    let rest = word.strip_prefix(scheme)?;
    let rest = rest.strip_prefix('s').unwrap_or(rest);
    rest.strip_prefix("://")?.split('/').next()?.parse().ok()
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    launch: Launch,
    folder: Arc<TempDir>,
    program: Program,
    mqtt: SocketAddr,
    http: SocketAddr,
}

impl Server {
    /// Starts one as it comes.
    pub fn start() -> Self {
        Launch::new().start()
    }

    /// Where it speaks MQTT.
    pub fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// The address of the listener number `index` among those that begin with `scheme`, such as `wss://`.
    pub fn listener(&self, scheme: &str, index: usize) -> SocketAddr {
        let address = |line: &str| -> Option<SocketAddr> {
            let word = line.split_whitespace().next()?;
            let rest = word.strip_prefix(scheme)?;
            rest.split('/').next()?.parse().ok()
        };
        // The server says them one after the other, and may still be about to.
        let (mut from, mut left) = (0, index);
        loop {
            let (at, line) = self.program.line(from, |line| address(line).is_some());
            match address(&line) {
                Some(found) if left == 0 => return found,
                Some(_) | None => {
                    from = at + 1;
                    left = left.saturating_sub(1);
                }
            }
        }
    }

    /// Where it speaks HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The sum of the series of a metric whose line contains `part`.
    pub fn metric(&self, name: &str, part: &str) -> u64 {
        let metrics = http_get(self.http, "/metrics").expect("the server tells its metrics");
        let values = metrics.body.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let wanted = series.split('{').next() == Some(name) && series.contains(part);
            let value: f64 = value.parse().ok()?;
            wanted.then_some(value as u64)
        });
        values.sum()
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder it was started in, with its `magpie.toml` if it has one.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process: banner on standard output, log on standard error.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&self) {
        self.program.signal(Signal::Kill);
        self.program.end();
    }

    /// SIGTERM; how it ended, and how long that took.
    pub fn terminate(&self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        self.program.signal(Signal::Terminate);
        (self.program.end(), begun.elapsed())
    }

    /// Starts it again, same addresses and directory, after it has ended.
    pub fn restart(&mut self) {
        if let Err(errors) = self.try_restart() {
            panic!("the server did not start again:\n{errors}");
        }
    }

    /// Starts it again; if it refuses to, what it says.
    pub fn try_restart(&mut self) -> Result<(), String> {
        self.try_restart_with(&[])
    }

    /// Starts it again, this once with more arguments; if it refuses to, what it says.
    pub fn try_restart_with(&mut self, arguments: &[&str]) -> Result<(), String> {
        assert!(self.program.has_ended(), "the server still runs");
        let mut launch = self.launch.clone();
        launch
            .arguments
            .extend(arguments.iter().map(|&argument| argument.to_owned()));
        let (program, mqtt, http) = launch.serve(self.folder.path(), self.mqtt, self.http)?;
        assert_eq!((mqtt, http), (self.mqtt, self.http));
        self.program = program;
        Ok(())
    }

    /// Starts it and kills it while it recovers: at once, or behind the first line of its log that holds `mark`.
    pub fn kill_while_starting(&self, mark: Option<&str>) {
        assert!(self.program.has_ended(), "the server still runs");
        let mut command = self
            .launch
            .command(self.folder.path(), self.mqtt, self.http);
        let program = Program::start("magpie, killed while starting", &mut command);
        if let Some(mark) = mark {
            program.error_line(0, |line| line.contains(mark));
        }
        program.signal(Signal::Kill);
        program.end();
    }

    /// Starts another server on the same data directory, with ports of its own: it has to end, and this is how.
    pub fn start_second(&self) -> (ExitStatus, String, String) {
        let mut command = self
            .launch
            .command(self.folder.path(), any_port(), any_port());
        Program::run("second magpie", &mut command, "")
    }

    /// Runs `magpie account …` on the data directory: exit status, standard output, standard error.
    pub fn account(&self, arguments: &[&str], input: &str) -> (ExitStatus, String, String) {
        account(&self.data(), arguments, input)
    }

    /// Makes an account through the command line; `password` tells its password.
    pub fn add_account(&self, name: &str) {
        let arguments = ["add", name, "--password-stdin"];
        let (status, _, errors) = self.account(&arguments, &format!("{}\n", password(name)));
        assert!(
            status.success(),
            "magpie account add {name}: {status}\n{errors}"
        );
    }

    /// A client of this server: account `name` on device `client_id`, with a clean session until told otherwise.
    pub fn dial(&self, version: Version, name: &str, client_id: &str) -> Dial {
        Dial::new(self.mqtt, version, client_id).login(name, &password(name))
    }
}

/// Runs `magpie account …` on a data directory.
pub(crate) fn account(
    data: &Path,
    arguments: &[&str],
    input: &str,
) -> (ExitStatus, String, String) {
    let mut command = Command::new(magpie());
    command
        .arg("account")
        .args(arguments)
        .arg("--data")
        .arg(data);
    Program::run("magpie account", &mut command, input)
}

/// The password of a test's account.
pub fn password(name: &str) -> String {
    format!("the password of {name}")
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// A loopback address that stays the caller's while nobody listens on it: of a free port on 127.0.0.1 that would be true
/// only until somebody else was given it. All of 127.0.0.0/8 is loopback: among sixteen million addresses with 22,000
/// ports each, two do not choose the same.
pub fn own_address() -> SocketAddr {
    use std::hash::{BuildHasher as _, Hasher as _};
    let random = std::hash::RandomState::new().build_hasher().finish();
    let [a, b, c, rest @ ..] = random.to_le_bytes();
    // Neither in 127.0.0.0/24, where the others are, nor the last address, which is the network's.
    let ip = Ipv4Addr::new(127, 1 + a % 254, b, c);
    let port = OWN_PORTS.start + u16::from_le_bytes([rest[0], rest[1]]) % OWN_PORTS.len() as u16;
    SocketAddr::from((ip, port))
}
