//! The service thread: owns the messenger, carries out what it asks for, and answers the outer doors. The rules are the
//! messenger's.

mod audit;
mod gauges;
mod queue;
mod requests;
mod system;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use broker::{Input as ShardInput, Settings, Shed};
use chat::{Chat, Output, Owner};
use mqtt_codec::ReasonCode;
use records::{KeyRange, SessionRef};
use store::{Append, CommitterHandle, Outcome, Refusal, Sink, Submitter, Ticket};

use crate::admission::Admission;
use crate::certificates::Certificates;
use crate::clock::Clock;
use crate::config::Config;
use crate::handle::{Health, Requests, Secret};
use crate::listener::ServedListeners;
use crate::logins::Logins;
use crate::mailbox::{Doorbell, Mailbox};
use crate::post::{Post, ServiceEvent, ShardEvent};
use crate::readers::{Readers, StoreSource};
use crate::repeats::Repeats;
use crate::stored_bytes::StoredBytes;
use crate::tally::Tallies;
use crate::translate;
use audit::Audit;
use gauges::Gauges;
pub(crate) use queue::Needs;
use queue::StoredQueue;
use requests::Waiting;
pub(crate) use requests::new_token;
use system::System;

/// Longest sleep; whatever is done once in a while is looked at so often.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Ranges of the queue that are deleted at once: the committer has places for twice as many.
const QUEUE_TRIMS_MAX: usize = store::TRIMS_MAX / 2;
/// Ranges of the messenger that wait for a place; of more, the next start deletes the rest.
const REFUSED_TRIMS_MAX: usize = 10_000;

/// Accounts that lose what waits for them, for as long as too much waits.
static SHEDS: Repeats = Repeats::new();

/// What the service's thread works with.
pub(crate) struct Parts {
    pub(crate) chat: Chat,
    pub(crate) source: StoreSource,
    pub(crate) bell: Arc<Doorbell>,
    pub(crate) mailbox: Mailbox<ServiceEvent>,
    pub(crate) post: Post,
    pub(crate) submitter: Submitter,
    pub(crate) committer: CommitterHandle,
    pub(crate) logins: Arc<Logins>,
    pub(crate) readers: Readers,
    pub(crate) admission: Arc<Admission>,
    pub(crate) served: Arc<ServedListeners>,
    /// What the watchdog holds the disk's free bytes against.
    pub(crate) disk_free_min: Arc<AtomicU64>,
    /// For how long it waits before it believes a jump of the machine's clock.
    pub(crate) clock_believed_secs: Arc<AtomicU64>,
    pub(crate) certificates: Certificates,
    pub(crate) requests: Requests,
    pub(crate) config: Config,
    pub(crate) setup_token: Option<Secret>,
    pub(crate) needs: Vec<Arc<Needs>>,
    pub(crate) stored: StoredBytes,
    pub(crate) tallies: Tallies,
}

/// The thread's state.
pub(crate) struct ServiceThread {
    chat: Chat,
    source: StoreSource,
    bell: Arc<Doorbell>,
    mailbox: Mailbox<ServiceEvent>,
    post: Post,
    submitter: Submitter,
    committer: CommitterHandle,
    logins: Arc<Logins>,
    readers: Readers,
    admission: Arc<Admission>,
    served: Arc<ServedListeners>,
    disk_free_min: Arc<AtomicU64>,
    clock_believed_secs: Arc<AtomicU64>,
    certificates: Certificates,
    requests: Requests,
    config: Config,
    setup_token: Option<Secret>,
    waiting: HashMap<u64, Waiting>,
    audit: Audit,
    next_request: u64,
    next_shard: usize,
    clock: Clock,
    queue: StoredQueue,
    /// What the messenger wants deleted and the committer had no place for.
    refused_trims: VecDeque<KeyRange>,
    appends: Appends,
    gauges: Gauges,
    system: System,
    stopping: bool,
}

impl ServiceThread {
    pub(crate) fn new(parts: Parts) -> Self {
        let audit = Audit::new(&*parts.source.0, &parts.committer, parts.mailbox.clone());
        Self {
            chat: parts.chat,
            source: parts.source,
            bell: parts.bell,
            mailbox: parts.mailbox,
            post: parts.post,
            submitter: parts.submitter,
            committer: parts.committer,
            logins: parts.logins,
            readers: parts.readers,
            admission: parts.admission,
            served: parts.served,
            disk_free_min: parts.disk_free_min,
            clock_believed_secs: parts.clock_believed_secs,
            certificates: parts.certificates,
            requests: parts.requests,
            config: parts.config,
            setup_token: parts.setup_token,
            waiting: HashMap::new(),
            audit,
            next_request: 0,
            next_shard: 0,
            clock: Clock::new(),
            queue: StoredQueue::new(parts.stored, parts.needs, parts.tallies.clone()),
            refused_trims: VecDeque::new(),
            appends: Appends::default(),
            gauges: Gauges::new(parts.tallies.clone()),
            system: System::new(parts.tallies),
            stopping: false,
        }
    }

    /// Works until it is told to stop.
    pub(crate) fn run(mut self) {
        let mut letters = VecDeque::new();
        self.carry_out_all();
        while !self.stopping {
            let sleep = self.sleep();
            self.bell.wait(sleep);
            self.mailbox.take(&mut letters);
            for letter in letters.drain(..) {
                self.open(letter);
                self.carry_out_all();
            }
            self.answer_requests();
            let now = self.clock.now();
            if self.chat.poll_timeout().is_some_and(|due| due <= now) {
                self.chat.handle_timeout(&self.source, now);
                self.carry_out_all();
            }
            self.watch_queue();
            self.logins.look_at_refusals();
            self.audit.look(&self.config.server, now);
            self.system
                .look(self.config.mqtt.sys_interval, &self.post, now);
            self.gauges
                .tell(&self.committer, &self.chat, self.mailbox.len());
        }
    }

    fn sleep(&mut self) -> Duration {
        let now = self.clock.now();
        let due = self
            .chat
            .poll_timeout()
            .map_or(SLEEP_MAX, |due| Duration::from_millis(due.since(now)));
        due.min(SLEEP_MAX)
    }

    fn open(&mut self, letter: ServiceEvent) {
        match letter {
            ServiceEvent::Chat(input) => {
                let now = self.clock.now();
                self.chat.handle(input, &self.source, now);
            }
            ServiceEvent::Appended(ticket) => self.appended(ticket),
            ServiceEvent::Refused(ticket) => self.refused(ticket),
            ServiceEvent::Checked {
                outcome,
                device,
                peer,
                reply,
            } => self.checked(outcome, device, peer, reply),
            ServiceEvent::Hashed { hash, purpose } => self.hashed(hash, purpose),
            ServiceEvent::KeepVerifier {
                account,
                argon2,
                scram,
            } => self.keep_verifier(account, argon2, scram),
            ServiceEvent::RenewToken { sha256, expires } => self.renew_token(sha256, expires),
            ServiceEvent::Failed(reason) => {
                let known = matches!(*self.requests.health.borrow(), Health::Failed(_));
                if !known {
                    let explained = self.explain(&reason);
                    self.requests.health.send_replace(Health::Failed(explained));
                }
            }
            ServiceEvent::DiskFull(full) => {
                self.queue.set_disk_full(full);
                let now = self.clock.now();
                self.chat
                    .handle(chat::Input::DiskFull(full), &self.source, now);
                self.carry_out_all();
            }
            ServiceEvent::DiskRoom(bytes) => {
                let now = self.clock.now();
                self.chat
                    .handle(chat::Input::DiskRoom(bytes), &self.source, now);
            }
            ServiceEvent::Stop => self.stopping = true,
        }
    }

    // What the messenger asks for.

    fn carry_out_all(&mut self) {
        while let Some(output) = self.chat.poll_output() {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Append {
                owner,
                ticket,
                writes,
                ..
            } => {
                let append = Append {
                    ticket: self.appends.begin(owner, ticket),
                    preconditions: Vec::new(),
                    writes,
                };
                // The committer waits for nobody, so it comes to this one; if it has ended, nothing is acknowledged.
                drop(self.submitter.submit(append));
            }
            Output::Deliver(delivery) => {
                for shard in self.post.shards.iter() {
                    shard.wait_for_room();
                }
                translate::deliver(delivery, &self.post);
            }
            Output::Acknowledge {
                session,
                ack,
                outcome,
            } => self.acknowledge(session, ack, outcome),
            Output::Read(query) => self.readers.query(query, &self.post),
            Output::Credentials(change) => self.logins.directory().change(change),
            Output::CloseAccount { account } => self.post.tell_shards(|| {
                let reason = ReasonCode::ADMINISTRATIVE_ACTION;
                ShardEvent::Input(ShardInput::CloseAccount { account, reason })
            }),
            Output::CloseToken { account, sha256 } => {
                let token = Arc::new(sha256);
                self.post.tell_shards(|| {
                    ShardEvent::Input(ShardInput::CloseToken {
                        account,
                        token: token.clone(),
                        reason: ReasonCode::ADMINISTRATIVE_ACTION,
                    })
                });
            }
            Output::Answered { request, outcome } => self.answered(request, outcome),
            // There is no other node.
            Output::Frame(_) | Output::Missed => {}
            Output::Trim(range) => {
                // Refused only while many are under way.
                if !self.committer.trim(range.clone())
                    && self.refused_trims.len() < REFUSED_TRIMS_MAX
                {
                    self.refused_trims.push_back(range);
                }
            }
        }
    }

    /// Every append up to this one is on disk. The messenger hears of each in the order in which they were made: what follows from
    /// them goes out in the order of positions.
    fn appended(&mut self, upto: Ticket) {
        while let Some((owner, ticket)) = self.appends.end_upto(upto) {
            let now = self.clock.now();
            let appended = chat::Input::Appended { owner, ticket };
            self.chat.handle(appended, &self.source, now);
            self.carry_out_all();
        }
    }

    /// This append was refused, and those before it are on disk.
    fn refused(&mut self, refused: Ticket) {
        self.appended(Ticket(refused.0.saturating_sub(1)));
        if let Some((owner, ticket)) = self.appends.end_upto(refused) {
            let now = self.clock.now();
            let fenced = chat::Input::Fenced { owner, ticket };
            self.chat.handle(fenced, &self.source, now);
        }
    }

    fn acknowledge(&mut self, session: SessionRef, ack: u64, outcome: Result<(), chat::Refusal>) {
        let outcome = translate::outcome(outcome);
        let input = ShardInput::Acknowledged {
            session,
            ack,
            outcome,
        };
        self.post
            .shard(session.shard)
            .send(ShardEvent::Input(input));
    }

    // Limits that change while the server runs.

    fn reconfigure(&mut self, config: Config) {
        let shards = self.post.shards.len();
        let settings: Arc<Settings> = Arc::new(crate::limits::broker(&config, shards));
        self.post
            .tell_shards(|| ShardEvent::Input(ShardInput::Reconfigure(settings.clone())));
        self.logins.reconfigure(&config);
        self.admission.reconfigure(&config.mqtt);
        self.served.reconfigure(&config.mqtt);
        self.disk_free_min
            .store(config.server.disk_free_min as u64, Ordering::Relaxed);
        self.clock_believed_secs
            .store(config.server.clock_believed.as_secs(), Ordering::Relaxed);
        let now = self.clock.now();
        self.chat.handle(
            chat::Input::Reconfigure(crate::limits::chat(&config)),
            &self.source,
            now,
        );
        self.carry_out_all();
        self.config = config;
    }

    // Stored messages that nobody needs any more.

    /// Why the server ends, with what can be done about it.
    fn explain(&self, reason: &str) -> String {
        const FULL_BELOW_BYTES: u64 = 16 * 1024 * 1024;
        let data = &self.config.server.data;
        let free = rustix::fs::statvfs(data)
            .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let advice = if free < FULL_BELOW_BYTES {
            ", whose disk is full: free some room there and start again; nothing that was acknowledged is lost"
        } else {
            ""
        };
        format!("{reason}; the data are in {}{advice}", data.display())
    }

    fn watch_queue(&mut self) {
        let now = self.clock.now();
        let limit = self.config.mqtt.stored_bytes_max as u64;
        if let Some(pressure) = self.queue.look(limit, now) {
            self.post
                .tell_shards(|| ShardEvent::Input(ShardInput::Storage(pressure)));
        }
        let Some(findings) = self.queue.ask(now, &self.post) else {
            return;
        };
        while let Some(range) = self.refused_trims.front()
            && self.committer.trim(range.clone())
        {
            self.refused_trims.pop_front();
        }
        for range in findings.unneeded.iter().take(QUEUE_TRIMS_MAX) {
            // Refused only while many are under way: then it is found again.
            if !self.committer.trim(queue::keys(range)) {
                break;
            }
            self.queue.deleted(range);
        }
        let survey = findings.survey.as_ref();
        if let Some(shed) = survey.and_then(|survey| self.queue.shed(survey, limit, now)) {
            self.say_who_sheds(&shed);
            let shed = Arc::new(shed);
            self.post
                .tell_shards(|| ShardEvent::Input(ShardInput::Shed(shed.clone())));
        }
    }

    /// Names the accounts that lose what waits for them, each once a minute.
    fn say_who_sheds(&self, shed: &Shed) {
        const NAMED_MAX: usize = 5;
        let directory = self.logins.directory();
        let mut parts: Vec<_> = shed.parts.iter().collect();
        parts.sort_by_key(|(_, part)| std::cmp::Reverse(**part));
        for (holder, part) in parts.iter().take(NAMED_MAX) {
            let known = holder.and_then(|id| directory.by_id(id));
            let account = known.as_ref().map_or("", |known| known.name());
            let percent = u64::from(**part) * 100 / u64::from(Shed::PARTS);
            let accounts = parts.len();
            let Some(left_out) = SHEDS.meet(account, Instant::now()) else {
                continue;
            };
            tracing::warn!(
                account,
                percent,
                accounts,
                left_out,
                "holds most of what waits on disk, and loses so much of it"
            );
        }
    }
}

/// Whose each append of the messenger is that is under way: the committer numbers them all together.
#[derive(Debug, Default)]
struct Appends {
    under_way: VecDeque<(Ticket, Owner, chat::Ticket)>,
    last: u64,
}

impl Appends {
    /// The number of an append that begins.
    fn begin(&mut self, owner: Owner, ticket: chat::Ticket) -> Ticket {
        self.last += 1;
        self.under_way.push_back((Ticket(self.last), owner, ticket));
        Ticket(self.last)
    }

    /// The oldest that is under way, up to this one; it is over.
    fn end_upto(&mut self, upto: Ticket) -> Option<(Owner, chat::Ticket)> {
        let (number, owner, ticket) = *self.under_way.front()?;
        if number > upto {
            return None;
        }
        self.under_way.pop_front();
        Some((owner, ticket))
    }
}

/// Tells the service what became of the messenger's appends.
pub(crate) struct ServiceSink(pub(crate) Mailbox<ServiceEvent>);

impl Sink for ServiceSink {
    fn appended(&self, tickets: &[Ticket], outcome: &Outcome) {
        let Some(last) = tickets.last() else { return };
        self.0.send(match outcome {
            Outcome::Committed => ServiceEvent::Appended(*last),
            Outcome::Refused(Refusal::Precondition { .. }) => ServiceEvent::Refused(*last),
            failure => ServiceEvent::Failed(describe(failure)),
        });
    }
}

/// Tells a shard what became of its appends.
pub(crate) struct ShardSink {
    pub(crate) shard: Mailbox<ShardEvent>,
    pub(crate) service: Mailbox<ServiceEvent>,
}

impl Sink for ShardSink {
    fn appended(&self, tickets: &[Ticket], outcome: &Outcome) {
        let Some(last) = tickets.last() else { return };
        match outcome {
            Outcome::Committed => {
                let input = ShardInput::Appended(broker::Ticket(last.0));
                self.shard.send(ShardEvent::Input(input));
            }
            failure => self.service.send(ServiceEvent::Failed(describe(failure))),
        }
    }

    fn room(&self) {
        self.shard.send(ShardEvent::Room);
    }
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Committed => String::new(),
        // Limits are far below what the committer takes and nothing here has preconditions: a fault of ours, and going on
        // would leave its sender without an answer for ever.
        Outcome::Refused(refusal) => format!("the committer refused an append: {refusal:?}"),
        Outcome::Failed(error) => error.to_string(),
    }
}
