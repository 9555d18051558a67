//! A child process: its lines, its end, signals to it. It is killed when it is dropped; nothing else ever is.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;

use crate::{PATIENCE, Watched};

/// A running program.
#[derive(Debug)]
pub struct Program {
    name: String,
    pid: libc::pid_t,
    stdin: Option<ChildStdin>,
    out: Arc<Watched<Lines>>,
    err: Arc<Watched<Lines>>,
    ended: Arc<Watched<Option<ExitStatus>>>,
}

/// A signal that a test sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// End now: SIGKILL.
    Kill,
    /// End in order: SIGTERM.
    Terminate,
    /// End in order, from a terminal: SIGINT.
    Interrupt,
    /// Read the configuration again: SIGHUP.
    HangUp,
}

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    closed: bool,
}

impl Program {
    /// Starts it with pipes in place of the terminal. `name` is what messages call it.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started ({command:?}): {error}"));
        let pid = libc::pid_t::try_from(child.id()).expect("process ids fit pid_t");
        let out = gather(child.stdout.take().expect("standard output is piped"));
        let err = gather(child.stderr.take().expect("standard error is piped"));
        let stdin = child.stdin.take();
        let ended = Arc::new(Watched::new(None));
        let seen = Arc::clone(&ended);
        std::thread::spawn(move || wait(child, pid, &seen));
        Self {
            name: name.to_owned(),
            pid,
            stdin,
            out,
            err,
            ended,
        }
    }

    /// Starts it, gives it `input`, and awaits its end: exit status, standard output, standard error.
    pub fn run(name: &str, command: &mut Command, input: &str) -> (ExitStatus, String, String) {
        let mut program = Self::start(name, command);
        program.write(input);
        program.close_stdin();
        let status = program.end();
        (status, program.output(), program.errors())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Writes to its standard input. That it no longer reads shows in what it does.
    pub fn write(&mut self, input: &str) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin
                .write_all(input.as_bytes())
                .and_then(|()| stdin.flush());
        }
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Awaits a line of standard output that `wanted` wants, from line `from` on; its number and its text.
    pub fn line(&self, from: usize, wanted: impl Fn(&str) -> bool) -> (usize, String) {
        self.await_line(&self.out, "standard output", from, wanted)
    }

    /// Awaits a line of standard error that `wanted` wants, from line `from` on; its number and its text.
    pub fn error_line(&self, from: usize, wanted: impl Fn(&str) -> bool) -> (usize, String) {
        self.await_line(&self.err, "standard error", from, wanted)
    }

    /// Awaits the line number `index` of standard output, or the end of it.
    pub fn line_or_end(
        &self,
        from: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<(usize, String)> {
        let found = self.out.wait(|lines| lines.search(from, &wanted));
        found.unwrap_or_else(|| panic!("{}", self.report("neither a line nor the end came")))
    }

    /// How many lines of standard error there are yet: where to search for what comes next.
    pub fn error_mark(&self) -> usize {
        self.err.lock().lines.len()
    }

    /// How many lines of standard output there are yet.
    pub fn mark(&self) -> usize {
        self.out.lock().lines.len()
    }

    /// Everything on standard output so far.
    pub fn output(&self) -> String {
        self.out.lock().lines.join("\n")
    }

    /// Everything on standard error so far.
    pub fn errors(&self) -> String {
        self.err.lock().lines.join("\n")
    }

    /// Sends a signal, unless it has ended already.
    pub fn signal(&self, signal: Signal) {
        let number = match signal {
            Signal::Kill => libc::SIGKILL,
            Signal::Terminate => libc::SIGTERM,
            Signal::Interrupt => libc::SIGINT,
            Signal::HangUp => libc::SIGHUP,
        };
        let ended = self.ended.lock();
        if ended.is_none() {
            // SAFETY: no memory is involved. The process has not been reaped (that needs the lock held here), so the id
            // is still its own.
            #[allow(unsafe_code, reason = "std sends SIGKILL only")]
            unsafe {
                libc::kill(self.pid, number);
            }
        }
    }

    /// From here on it can write to no file behind this many bytes (RLIMIT_FSIZE), as if the disk were full. The program
    /// must ignore SIGXFSZ, or the attempt kills it.
    pub fn limit_file_size(&self, bytes: u64) {
        let limit = libc::rlimit {
            rlim_cur: bytes,
            rlim_max: bytes,
        };
        self.limit(libc::RLIMIT_FSIZE, &limit);
    }

    /// From here on it gets no descriptor beyond so many (RLIMIT_NOFILE); those that it has stay open.
    pub fn limit_descriptors(&self, descriptors: u64) {
        let hard = std::fs::read_to_string(format!("/proc/{}/limits", self.pid));
        let hard = hard.expect("it runs");
        let hard = hard.lines().find(|line| line.starts_with("Max open files"));
        let hard = hard.and_then(|line| line.split_whitespace().rev().nth(1));
        let limit = libc::rlimit {
            rlim_cur: descriptors,
            // `unlimited` is none.
            rlim_max: hard
                .and_then(|most| most.parse().ok())
                .unwrap_or(libc::RLIM_INFINITY),
        };
        self.limit(libc::RLIMIT_NOFILE, &limit);
    }

    fn limit(&self, resource: libc::__rlimit_resource_t, limit: &libc::rlimit) {
        // SAFETY: reads `limit`, which lives as long as the call, and writes nowhere.
        #[allow(unsafe_code, reason = "std knows no limits of processes")]
        let result = unsafe {
            libc::prlimit(
                self.pid,
                resource,
                std::ptr::from_ref(limit),
                std::ptr::null_mut(),
            )
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    /// Awaits its end and everything it wrote before.
    pub fn end(&self) -> ExitStatus {
        let status = self.ended.wait(|ended| *ended);
        let status =
            status.unwrap_or_else(|| panic!("{}", self.report(&format!("no end in {PATIENCE:?}"))));
        for stream in [&self.out, &self.err] {
            stream.wait(|lines| lines.closed.then_some(()));
        }
        status
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.lock().is_some()
    }

    fn await_line(
        &self,
        stream: &Watched<Lines>,
        stream_name: &str,
        from: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> (usize, String) {
        match stream.wait(|lines| lines.search(from, &wanted)) {
            Some(Some(found)) => found,
            Some(None) => panic!(
                "{}",
                self.report(&format!("{stream_name} ended without the line"))
            ),
            None => panic!(
                "{}",
                self.report(&format!("no such line on {stream_name} in {PATIENCE:?}"))
            ),
        }
    }

    fn report(&self, trouble: &str) -> String {
        format!(
            "{}: {trouble}\n--- standard output\n{}\n--- standard error\n{}\n---",
            self.name,
            self.output(),
            self.errors()
        )
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::Kill);
        if self.ended.wait(|ended| *ended).is_none() && !std::thread::panicking() {
            panic!("{} survived SIGKILL", self.name);
        }
    }
}

impl Lines {
    /// `None`: not yet. `Some(None)`: never.
    fn search(
        &self,
        from: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<Option<(usize, String)>> {
        let found = self
            .lines
            .iter()
            .enumerate()
            .skip(from)
            .find(|(_, line)| wanted(line));
        match found {
            Some((index, line)) => Some(Some((index, line.clone()))),
            None if self.closed => Some(None),
            None => None,
        }
    }
}

/// Reads lines on a thread of its own until the stream ends.
fn gather(stream: impl Read + Send + 'static) -> Arc<Watched<Lines>> {
    let gathered = Arc::new(Watched::new(Lines::default()));
    let into = Arc::clone(&gathered);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        // A broken pipe ends it like its end does.
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line)
                .trim_end_matches(['\r', '\n'])
                .to_owned();
            into.change(|lines| lines.lines.push(text));
            line.clear();
        }
        into.change(|lines| lines.closed = true);
    });
    gathered
}

/// Awaits the end without reaping, so that the process id stays its own until the lock is held.
fn wait(mut child: Child, pid: libc::pid_t, ended: &Watched<Option<ExitStatus>>) {
    let id = libc::id_t::try_from(pid).expect("process ids are positive");
    loop {
        // SAFETY: `siginfo_t` is plain data for which zeros are valid, and the call writes only to it.
        #[allow(unsafe_code, reason = "std can only wait and reap at once")]
        let result = unsafe {
            let mut information: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(
                libc::P_PID,
                id,
                &raw mut information,
                libc::WEXITED | libc::WNOWAIT,
            )
        };
        if result == 0 || std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted
        {
            break;
        }
    }
    ended.change(|ended| *ended = child.wait().ok());
}
