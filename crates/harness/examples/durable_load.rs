//! Measures the durable path: pairs of clients, one sending at QoS 1, the other receiving in a persistent session, with a
//! window of unacknowledged messages. Either through the messenger (`im/to` -> `im/in`, which starts a server of its own)
//! or on ordinary topics (any broker), where the receivers may also be the members of a shared subscription. Reports
//! messages per server-CPU-second; checks that nothing is lost. What is late is not lost: it is awaited for as long as anything
//! still comes, and how long that took is reported.
//!
//!     durable_load chat  [--pairs 50] [--window 20] [--secs 5] [--size 64]
//!     durable_load topic --port 1883 --pid 123 [...]
//!     durable_load share --port 1883 --pid 123 [--pairs 10] [--members 5] [...]    a pair is a sender and a group
//!
//! `MAGPIE_BIN` names the server; core 0 is the server's, core 1 the generator's (`taskset -c 1`).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use harness::{Client, Dial, Event, Launch, QoS, Server, Version};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Chat,
    Topic,
    Share,
}

#[derive(Debug, Clone)]
struct Plan {
    path: Path,
    pairs: usize,
    /// Receivers of each pair.
    members: usize,
    window: u64,
    secs: u64,
    size: usize,
    port: u16,
    pid: u32,
}

/// Seconds of traffic before the measured window.
const WARMUP: Duration = Duration::from_secs(1);
/// A message is lost if for so long nothing came any more: far beyond what a broker on a busy machine stands still.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often it is looked at whether all have come.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How long a receiver waits for a packet before it asks whether it is to end.
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(500);
/// Clock ticks per second in `/proc/<pid>/stat`, as on every Linux we know.
const TICKS: f64 = 100.0;

fn main() {
    let mut plan = read_arguments();
    let server = match plan.path {
        Path::Chat => Some(start_server(&plan)),
        Path::Topic | Path::Share => None,
    };
    let address = match &server {
        Some(server) => {
            plan.pid = server.program().pid();
            server.mqtt()
        }
        None => SocketAddr::from(([127, 0, 0, 1], plan.port)),
    };
    let run = Arc::new(Run::new(&plan));
    let (mut receivers, mut senders) = (Vec::new(), Vec::new());
    for number in 0..plan.pairs {
        for member in 0..plan.members {
            let (plan, run) = (plan.clone(), run.clone());
            receivers.push(std::thread::spawn(move || {
                receive(number, member, address, &plan, &run)
            }));
        }
        let (plan, run) = (plan.clone(), run.clone());
        senders.push(std::thread::spawn(move || {
            send(number, address, &plan, &run)
        }));
    }
    run.ready.wait();
    std::thread::sleep(WARMUP);
    let before = Reading::take(&run, plan.pid);
    std::thread::sleep(Duration::from_secs(plan.secs));
    let after = Reading::take(&run, plan.pid);
    run.stop.store(true, Ordering::SeqCst);
    let join = |threads: Vec<JoinHandle<()>>| {
        for thread in threads {
            thread.join().expect("a client fails only with its reason");
        }
    };
    join(senders);
    let drained = await_all(&run);
    run.all_came.store(true, Ordering::SeqCst);
    join(receivers);
    report(&plan, &before, &after, &run, drained);
}

fn read_arguments() -> Plan {
    let mut words = std::env::args().skip(1);
    let path = match words.next().as_deref() {
        Some("chat") => Path::Chat,
        Some("topic") => Path::Topic,
        Some("share") => Path::Share,
        other => panic!("chat, topic or share, not {other:?}"),
    };
    let mut plan = Plan {
        path,
        pairs: if path == Path::Share { 10 } else { 50 },
        members: if path == Path::Share { 5 } else { 1 },
        window: 20,
        secs: 5,
        size: 64,
        port: 1883,
        pid: 0,
    };
    while let Some(word) = words.next() {
        let value = words
            .next()
            .unwrap_or_else(|| panic!("{word} needs a value"));
        let number: u64 = value
            .parse()
            .unwrap_or_else(|_| panic!("{word} needs a number, not {value}"));
        match word.as_str() {
            "--pairs" => plan.pairs = number as usize,
            "--members" if path == Path::Share => plan.members = number as usize,
            "--window" => plan.window = number,
            "--secs" => plan.secs = number,
            "--size" => plan.size = number as usize,
            "--port" => plan.port = number as u16,
            "--pid" => plan.pid = number as u32,
            _ => panic!("unknown: {word}"),
        }
    }
    plan
}

fn start_server(plan: &Plan) -> Server {
    let limits = "[chat]\nmessages_per_second_max = 1000000\nmessages_burst_max = 1000000\n";
    let server = Launch::new()
        .config(limits)
        .under(&["taskset", "-c", "0"])
        .start();
    for number in 0..plan.pairs {
        server.add_account(&format!("from-{number}"));
        server.add_account(&format!("to-{number}"));
    }
    server
}

struct Run {
    ready: Barrier,
    /// Nothing more is sent.
    stop: AtomicBool,
    /// Nothing more is awaited.
    all_came: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
    latency_micros: AtomicU64,
}

impl Run {
    fn new(plan: &Plan) -> Self {
        Self {
            ready: Barrier::new((plan.members + 1) * plan.pairs + 1),
            stop: AtomicBool::new(false),
            all_came: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            latency_micros: AtomicU64::new(0),
        }
    }
}

fn dial(name: &str, address: SocketAddr, plan: &Plan) -> Dial {
    let dial = Dial::new(address, Version::V311, &format!("{name}-device"));
    match plan.path {
        Path::Chat => dial.login(name, &harness::password(name)),
        Path::Topic | Path::Share => dial,
    }
}

fn receive(number: usize, member: usize, address: SocketAddr, plan: &Plan, run: &Run) {
    let name = match plan.path {
        Path::Chat | Path::Topic => format!("to-{number}"),
        Path::Share => format!("to-{number}-{member}"),
    };
    let mut client = dial(&name, address, plan)
        .persistent()
        .connect()
        .expect("the server takes the login");
    let filter = match plan.path {
        Path::Chat => "im/in/+".to_owned(),
        Path::Topic => format!("load/{number}"),
        Path::Share => format!("$share/workers/load/{number}"),
    };
    client
        .subscribe(&[(filter.as_str(), QoS::AtLeastOnce)])
        .expect("granted");
    run.ready.wait();
    let mut count = 0;
    loop {
        let deadline = Instant::now() + RECEIVE_TIMEOUT;
        match client.event(deadline).expect("the server stays") {
            Some(Event::Message) => {
                let came = client.take_inbox().len() as u64;
                count += came;
                run.received.fetch_add(came, Ordering::SeqCst);
            }
            Some(_) => {}
            None if run.all_came.load(Ordering::SeqCst) => break,
            None => {}
        }
    }
    assert!(count > 0, "pair {number} received nothing");
    client.disconnect();
}

fn send(number: usize, address: SocketAddr, plan: &Plan, run: &Run) {
    let name = format!("from-{number}");
    let mut client = dial(&name, address, plan)
        .connect()
        .expect("the server takes the login");
    let topic = match plan.path {
        Path::Chat => format!("im/to/@to-{number}"),
        Path::Topic | Path::Share => format!("load/{number}"),
    };
    let payload = "m".repeat(plan.size);
    run.ready.wait();
    let mut under_way = std::collections::VecDeque::new();
    while !run.stop.load(Ordering::Relaxed) || !under_way.is_empty() {
        while (under_way.len() as u64) < plan.window && !run.stop.load(Ordering::Relaxed) {
            client
                .send(&topic, &payload, QoS::AtLeastOnce)
                .expect("the server stays");
            under_way.push_back(Instant::now());
            run.sent.fetch_add(1, Ordering::SeqCst);
        }
        wait_for_ack(&mut client, &mut under_way, run);
    }
    client.disconnect();
}

fn wait_for_ack(
    client: &mut Client,
    under_way: &mut std::collections::VecDeque<Instant>,
    run: &Run,
) {
    let deadline = Instant::now() + harness::PATIENCE;
    match client.event(deadline).expect("the server stays") {
        Some(Event::Acknowledged(ack)) => {
            assert!(ack.reason < 0x80, "refused: {ack:?}");
            let began = under_way
                .pop_front()
                .expect("only what was sent is acknowledged");
            run.latency_micros
                .fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
        }
        Some(_) => {}
        None => panic!("no acknowledgement"),
    }
}

/// Awaits what was sent; how long the last of it took from here on.
fn await_all(run: &Run) -> Duration {
    let mut drain = Drain::begin(Instant::now());
    loop {
        let received = run.received.load(Ordering::SeqCst);
        let sent = run.sent.load(Ordering::SeqCst);
        if drain.is_over(Instant::now(), sent, received) {
            return drain.took();
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// What is still on its way when nothing more is sent.
struct Drain {
    began: Instant,
    received: u64,
    /// When something came last.
    last: Instant,
}

impl Drain {
    fn begin(now: Instant) -> Self {
        Self {
            began: now,
            received: 0,
            last: now,
        }
    }

    /// Whether all have come, or nothing has for too long.
    fn is_over(&mut self, now: Instant, sent: u64, received: u64) -> bool {
        if received != self.received {
            self.received = received;
            self.last = now;
        }
        received >= sent || now.duration_since(self.last) >= SILENCE_MAX
    }

    fn took(&self) -> Duration {
        self.last.duration_since(self.began)
    }
}

struct Reading {
    at: Instant,
    received: u64,
    cpu_secs: f64,
}

impl Reading {
    fn take(run: &Run, pid: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the server runs");
        // Behind the program's name, which may hold anything: user and system time are words 12 and 13.
        let (_, rest) = stat.rsplit_once(") ").expect("a stat line has a name");
        let ticks: f64 = rest
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|word| word.parse::<f64>().ok())
            .sum();
        Self {
            at: Instant::now(),
            received: run.received.load(Ordering::Relaxed),
            cpu_secs: ticks / TICKS,
        }
    }
}

fn report(plan: &Plan, before: &Reading, after: &Reading, run: &Run, drained: Duration) {
    let (sent, received) = (
        run.sent.load(Ordering::SeqCst),
        run.received.load(Ordering::SeqCst),
    );
    assert!(
        received >= sent,
        "lost: {sent} sent and acknowledged, {received} received, and nothing more for {SILENCE_MAX:?}"
    );
    let messages = (after.received - before.received) as f64;
    let secs = (after.at - before.at).as_secs_f64();
    let cpu = after.cpu_secs - before.cpu_secs;
    println!(
        "{:?}: {} pairs with {} receivers each, window {}, {} B: {:.0} messages/s, {:.0} messages per server-CPU-second, {:.2} cores, mean time to PUBACK {:.1} ms, {sent} sent, {received} received, the last {:.2} s after the last was acknowledged",
        plan.path,
        plan.pairs,
        plan.members,
        plan.window,
        plan.size,
        messages / secs,
        messages / cpu,
        cpu / secs,
        run.latency_micros.load(Ordering::SeqCst) as f64 / sent as f64 / 1000.0,
        drained.as_secs_f64(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_is_not_lost() {
        let began = Instant::now();
        let at = |secs| began + Duration::from_secs(secs);
        let mut drain = Drain::begin(began);
        // Silent for 29 s, and then one by one for minutes.
        for (secs, received) in [(0, 3), (29, 3), (30, 4), (59, 5), (88, 6)] {
            assert!(!drain.is_over(at(secs), 7, received), "{secs} s");
        }
        assert!(drain.is_over(at(100), 7, 7));
        assert_eq!(drain.took(), Duration::from_secs(100));
    }

    #[test]
    fn what_has_not_come_after_a_long_silence_is_lost() {
        let began = Instant::now();
        let mut drain = Drain::begin(began);
        assert!(!drain.is_over(began, 7, 6));
        assert!(drain.is_over(began + SILENCE_MAX, 7, 6));
    }
}
