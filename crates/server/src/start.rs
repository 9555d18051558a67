//! Starts a server out of a configuration and stops it again: which threads there are, in which order they begin and end.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use broker::{AccountUsage, Output, Place, SHARDS_MAX, Shard};
use chat::Chat;
use mio::{Poll, Waker};
use records::Millis;
use store::{Committer, CommitterHandle, DataDir, EmbeddedStore, Holder, OpenOptions, Store};
use tokio::sync::watch;

use crate::admission::{Admission, Descriptors};
use crate::certificates::{self, Certificates};
use crate::clock::{self, Clock, Told};
use crate::config::{Config, Durability, HttpConfig};
use crate::demo::{self, DemoLogin};
use crate::drops::Drops;
use crate::handle::{Handle, Health, Requests, Secret};
use crate::listener::{self, Endpoint, ServedListeners};
use crate::listeners::{Bound, ListenerError, Share};
use crate::logins::{Directory, Keys, Logins};
use crate::mailbox::{Doorbell, Mailbox};
use crate::post::{Post, ServiceEvent, ShardEvent};
use crate::quic::{self, QuicListener};
use crate::random::{random, seeds};
use crate::readers::{Readers, StoreSource};
use crate::recovery::{self, RecoveryError};
use crate::service::{self, Needs, ServiceSink, ServiceThread, ShardSink};
use crate::shard::{self, MAILBOX, ShardThread};
use crate::stored_bytes::StoredBytes;
use crate::tally::Tallies;
use crate::watchdog::{self, Watchdog};
use crate::{figures, limits, repeats};

/// What is not configuration.
#[derive(Debug, Clone, Default)]
pub struct StartOptions {
    /// An empty server gets three people, two groups and some history.
    pub demo: bool,
    /// Go on with the longest undamaged beginning of a damaged journal.
    pub accept_data_loss: bool,
    /// Whether MQTT is listened for; `magpie account` without a running server does without.
    pub listen: bool,
    /// Where QUIC runs; only a listener of that kind needs one.
    pub runtime: Option<tokio::runtime::Handle>,
    /// What connections may hold of the process's descriptors; without a bound unless given.
    pub descriptors: Option<Arc<Descriptors>>,
}

/// Why the server did not start. The `Display` form says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] store::DataDirError),
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The state cannot be taken back.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// A listener cannot be opened.
    #[error(transparent)]
    Listener(#[from] ListenerError),
    /// The operating system refuses a thread, a descriptor or random numbers.
    #[error("the operating system refuses: {0}")]
    System(#[from] std::io::Error),
    /// The demonstration could not be made.
    #[error("--demo: {0}")]
    Demo(String),
}

/// A server that runs.
pub struct Running {
    /// What HTTP and the control socket ask.
    pub handle: Handle,
    /// Where MQTT is listened for, with the real ports.
    pub mqtt: Vec<Endpoint>,
    /// The certificates of the HTTP server, if it has any.
    pub http_credentials: Option<Arc<net::Credentials>>,
    /// The one-time token of the first start, while there is no account.
    pub setup_token: Option<Secret>,
    /// How one logs in as the people of `--demo`; empty where that was not asked for, or the server has other accounts.
    pub demo_logins: Vec<DemoLogin>,
    data_dir: DataDir,
    draining: Box<dyn Fn() + Send>,
    post: Post,
    quic_listeners: Vec<QuicListener>,
    shards: Vec<JoinHandle<()>>,
    service: JoinHandle<()>,
    readers: Vec<JoinHandle<()>>,
    committer: Committer,
    _certificates: certificates::Watch,
    watchdog: Watchdog,
    began: Instant,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Running")
            .field("mqtt", &self.mqtt)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Says which addresses this server listens on, for whoever asks how it is or finds the data directory taken, and in the log
    /// that it is ready: to be called once all of them are listened on.
    pub fn announce(&mut self, addresses: &[String]) {
        self.handle.announce(addresses);
        if let Err(error) = self.data_dir.announce(addresses.to_vec()) {
            tracing::warn!(%error, "the lock file cannot be written");
        }
        tracing::info!(took = ?self.began.elapsed(), shards = self.shards.len(), "ready");
    }

    /// Disconnects everybody, commits what has arrived, and ends. Says `Draining` first.
    pub fn shutdown(self, deadline: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + deadline;
        (self.draining)();
        for listener in &self.quic_listeners {
            listener.refuse();
        }
        self.post.tell_shards(|| ShardEvent::Stop);
        for shard in self.shards {
            join(shard, until)?;
        }
        for listener in &self.quic_listeners {
            listener.end(until);
        }
        self.post.service.send(ServiceEvent::Stop);
        join(self.service, until)?;
        // The readers' queue ended with the threads that could ask.
        for reader in self.readers {
            join(reader, until)?;
        }
        self.committer.stop();
        // It holds the store, which ends here.
        drop(self.watchdog);
        Ok(())
    }
}

/// Waits for a thread, but not for ever.
fn join(thread: JoinHandle<()>, until: Instant) -> anyhow::Result<()> {
    const LOOK: Duration = Duration::from_millis(2);
    let name = thread.thread().name().unwrap_or("thread").to_owned();
    while !thread.is_finished() {
        anyhow::ensure!(Instant::now() < until, "{name} did not end in time");
        thread::sleep(LOOK);
    }
    thread
        .join()
        .map_err(|_| anyhow::anyhow!("{name} panicked"))
}

/// Recovers the state and starts to serve; returns once the ports answer. Needs no tokio runtime but for
/// QUIC.
pub fn start(config: Config, options: &StartOptions) -> Result<Running, StartError> {
    let began = Instant::now();
    clock::begin(&config.server.data);
    let now = Clock::new().now();
    let data_dir = DataDir::open(&config.server.data, Holder::this_process(now))?;
    // Bound before the recovery, so that a taken port is said at once; nobody is answered before it is over.
    let shards = shards(&config);
    let (bound, http_credentials) = if options.listen {
        let (mqtt, hosts) = (&config.mqtt, &config.http.hosts);
        let bound = Bound::bind(mqtt, hosts, shards, options.runtime.as_ref())?;
        (bound, http_credentials(&config.http)?)
    } else {
        (Bound::nothing(), None)
    };
    let embedded = Arc::new(EmbeddedStore::open(
        &data_dir,
        store_options(&config, options),
    )?);
    let store: Arc<dyn Store> = embedded.clone();
    let mut state = State::recover(&store, &config, shards, now)?;
    let demo_logins = if options.demo {
        state.demonstrate(&store, now)?
    } else {
        Vec::new()
    };
    let descriptors = options.descriptors.clone();
    let descriptors = descriptors.unwrap_or_else(Descriptors::unbounded);
    let admission = Arc::new(Admission::new(&config.mqtt, descriptors));
    let entries = (bound, http_credentials, admission);
    let running = assemble(
        began,
        config,
        demo_logins,
        data_dir,
        &embedded,
        state,
        entries,
    )?;
    running.handle.attach_store(Arc::downgrade(&embedded));
    Ok(running)
}

/// The cores as they were when the server ended.
struct State {
    chat: Chat,
    directory: Arc<Directory>,
    shards: Vec<Shard>,
    first: Vec<Vec<Output>>,
    stored: StoredBytes,
    /// The server's own, the same at every start.
    secret: [u8; 32],
}

impl State {
    fn recover(
        store: &Arc<dyn Store>,
        config: &Config,
        shards: usize,
        now: Millis,
    ) -> Result<Self, StartError> {
        let seeds = seeds()?;
        let directory = Arc::new(Directory::default());
        let mut chat = Chat::new(limits::chat(config), seeds);
        recovery::chat(store, &mut chat, &directory, now)?;
        let settings = Arc::new(limits::broker(config, shards));
        let usage = Arc::new(AccountUsage::default());
        let place = |number| Place {
            usage: usage.clone(),
            shard: number as u16,
            shards: shards as u16,
            seeds,
        };
        let mut cores: Vec<Shard> = (0..shards)
            .map(|number| Shard::new(&place(number), settings.clone(), now))
            .collect();
        let (first, stored) = recovery::shards(&**store, &directory, &mut cores, &mut chat, now)?;
        Ok(Self {
            chat,
            directory,
            shards: cores,
            first,
            stored,
            secret: recovery::secret(&**store, random()?)?,
        })
    }

    /// Fills an empty server with the demonstration; how one logs in there.
    fn demonstrate(
        &mut self,
        store: &Arc<dyn Store>,
        now: Millis,
    ) -> Result<Vec<DemoLogin>, StartError> {
        if self.chat.is_empty() {
            demo::people(&mut self.chat, &self.directory, store, &self.secret, now)
                .map_err(StartError::Demo)?;
        }
        Ok(demo::logins(&self.directory, &self.secret))
    }
}

/// What is listened on, the HTTP server's certificate, and who is let in.
type Entries = (Bound, Option<Arc<net::Credentials>>, Arc<Admission>);

/// Makes the threads and lets them run.
fn assemble(
    began: Instant,
    config: Config,
    demo_logins: Vec<DemoLogin>,
    data_dir: DataDir,
    embedded: &Arc<EmbeddedStore>,
    state: State,
    (mut bound, http_credentials, admission): Entries,
) -> Result<Running, StartError> {
    let store: &Arc<dyn Store> = &(embedded.clone() as Arc<dyn Store>);
    let source = StoreSource(store.clone());
    let setup_token = state.chat.is_empty().then(service::new_token).flatten();
    let (mqtt, served) = (bound.endpoints.clone(), bound.served.clone());
    let all_credentials = bound.credentials().into_iter();
    let certificates = Certificates::new(all_credentials.chain(http_credentials.clone()).collect());
    let quic = std::mem::take(&mut bound.quic);
    let listeners = bound.open(state.shards.len())?;

    repeats::describe();
    let bell = Arc::new(Doorbell::default());
    let (polls, post) = mailboxes(state.shards.len(), &bell)?;
    let committer = Committer::start(store.clone())?;
    let (readers, reader_threads) = Readers::start(store, &post)?;
    let logins = start_logins(state.directory, state.secret, &config, &post)?;
    let needs: Vec<Arc<Needs>> = polls.iter().map(|_| Arc::default()).collect();
    let tallies = Tallies::new(state.shards.len());
    let wake_bell = bell.clone();
    let (handle, requests) = Handle::new(move || crate::mailbox::Bell::ring(&*wake_bell));
    let path = data_dir.path();
    handle.attach_directory(logins.clone());
    handle.attach_figures(figures::reader(Instant::now(), path, &tallies, &logins));
    let (health, draining) = watched(&requests);

    let disk_free_min = Arc::new(AtomicU64::new(config.server.disk_free_min as u64));
    let clock_believed_secs = Arc::new(AtomicU64::new(config.server.clock_believed.as_secs()));
    let watchdog = Watchdog::start(watchdog::Parts {
        store: embedded.clone(),
        committer: committer.handle(),
        data_dir: data_dir.path().to_owned(),
        disk_free_min: disk_free_min.clone(),
        clock_believed_secs: clock_believed_secs.clone(),
        service: post.service.clone(),
        health: health.clone(),
    })?;

    let starter = ShardStarter {
        post: post.clone(),
        committer: committer.handle(),
        logins: logins.clone(),
        readers: readers.clone(),
        admission: admission.clone(),
        told: known_to_clients(&state.shards),
        tallies: tallies.clone(),
        drops: Arc::default(),
        began,
        served: served.clone(),
        health: health.clone(),
    };
    let cores = state.shards.into_iter().zip(state.first);
    let ways = listeners.into_iter().zip(needs.iter().cloned());
    let shards = starter.start_all(cores.zip(polls).zip(ways))?;
    let quic_listeners = serve_quic(quic, &admission, served.clone(), &post)?;
    let service_parts = service::Parts {
        chat: state.chat,
        source,
        bell,
        mailbox: post.service.clone(),
        post: post.clone(),
        submitter: committer
            .handle()
            .submitter(Arc::new(ServiceSink(post.service.clone()))),
        committer: committer.handle(),
        logins,
        readers,
        admission,
        served,
        disk_free_min,
        clock_believed_secs,
        certificates: certificates.clone(),
        requests,
        config,
        setup_token: setup_token.clone(),
        needs,
        stored: state.stored,
        tallies,
    };
    let service = start_service(service_parts, health)?;
    Ok(Running {
        handle,
        mqtt,
        http_credentials,
        _certificates: certificates.watch()?,
        watchdog,
        setup_token,
        demo_logins,
        data_dir,
        draining,
        post,
        quic_listeners,
        shards,
        service,
        readers: reader_threads,
        committer,
        began,
    })
}

/// What was stamped before the restart, clients know of.
fn known_to_clients(cores: &[Shard]) -> Arc<Told> {
    let told = Told::default();
    for core in cores {
        told.tell(core.clock());
    }
    Arc::new(told)
}

/// Who checks logins. What it learns for an account's record, the service keeps.
fn start_logins(
    directory: Arc<Directory>,
    secret: [u8; 32],
    config: &Config,
    post: &Post,
) -> Result<Arc<Logins>, StartError> {
    let keys = Keys {
        process: random()?,
        server: secret,
    };
    let service = post.service.clone();
    let keep = Box::new(move |account, argon2, scram| {
        service.send(ServiceEvent::KeepVerifier {
            account,
            argon2,
            scram,
        });
    });
    let service = post.service.clone();
    let renew = Box::new(move |sha256, expires| {
        service.send(ServiceEvent::RenewToken { sha256, expires });
    });
    Ok(Logins::start(directory, config, &keys, keep, renew)?)
}

/// A mailbox for each shard, rung by its poll, and one for the service, rung by `bell`.
fn mailboxes(shards: usize, bell: &Arc<Doorbell>) -> Result<(Vec<Poll>, Post), std::io::Error> {
    let polls: Vec<Poll> = (0..shards).map(|_| Poll::new()).collect::<Result<_, _>>()?;
    let wakers = polls
        .iter()
        .map(|poll| Waker::new(poll.registry(), MAILBOX));
    let post = Post {
        shards: wakers
            .map(|waker| Ok(Mailbox::new(Arc::new(waker?))))
            .collect::<Result<_, std::io::Error>>()?,
        service: Mailbox::new(bell.clone()),
    };
    Ok((polls, post))
}

/// Starts shards: what every shard's thread gets a share of.
struct ShardStarter {
    post: Post,
    committer: CommitterHandle,
    logins: Arc<Logins>,
    readers: Readers,
    admission: Arc<Admission>,
    told: Arc<Told>,
    tallies: Tallies,
    drops: Arc<Drops>,
    began: Instant,
    served: Arc<ServedListeners>,
    health: watch::Sender<Health>,
}

/// A shard's own: its core and what that has to say first, its poll, and its listeners and where it leaves what it still needs.
type ShardOwn = (((Shard, Vec<Output>), Poll), (Vec<Share>, Arc<Needs>));

impl ShardStarter {
    fn start_all(
        self,
        shards: impl Iterator<Item = ShardOwn>,
    ) -> Result<Vec<JoinHandle<()>>, std::io::Error> {
        let numbered = shards.enumerate();
        numbered
            .map(|(number, own)| self.start(number as u16, own))
            .collect()
    }

    fn start(
        &self,
        number: u16,
        (((core, first), poll), (listeners, needs)): ShardOwn,
    ) -> Result<JoinHandle<()>, std::io::Error> {
        let mailbox = self.post.shard(number).clone();
        let sink = ShardSink {
            shard: mailbox.clone(),
            service: self.post.service.clone(),
        };
        let thread = ShardThread::new(shard::Parts {
            number,
            core,
            first,
            poll,
            mailbox: mailbox.clone(),
            post: self.post.clone(),
            submitter: self.committer.submitter(Arc::new(sink)),
            logins: self.logins.clone(),
            readers: self.readers.clone(),
            admission: self.admission.clone(),
            served: self.served.clone(),
            needs,
            told: self.told.clone(),
            tallies: self.tallies.clone(),
            drops: self.drops.clone(),
            began: self.began,
            listeners,
        })?;
        let run = move || thread.run();
        spawn(
            format!("shard-{number}"),
            self.health.clone(),
            run,
            move || mailbox.close(),
        )
    }
}

/// Serves the listeners of QUIC, whose connections come to the shards in the same way.
fn serve_quic(
    listeners: Vec<quic::Bound>,
    admission: &Arc<Admission>,
    served: Arc<ServedListeners>,
    post: &Post,
) -> Result<Vec<QuicListener>, StartError> {
    let destination = Arc::new(quic::Destination {
        admission: admission.clone(),
        served,
        post: post.clone(),
    });
    let served = listeners
        .into_iter()
        .map(|bound| QuicListener::serve(bound, destination.clone()));
    Ok(served.collect::<Result<_, _>>()?)
}

/// The messenger's thread. However it ends, nobody waits for its mailbox.
fn start_service(
    parts: service::Parts,
    health: watch::Sender<Health>,
) -> Result<JoinHandle<()>, std::io::Error> {
    let mailbox = parts.mailbox.clone();
    let service = ServiceThread::new(parts);
    let run = move || service.run();
    spawn("service".to_owned(), health, run, move || mailbox.close())
}

/// Ready from here on, and a way to say that it is no longer.
fn watched(requests: &Requests) -> (watch::Sender<Health>, Box<dyn Fn() + Send>) {
    requests.health.send_replace(Health::Ready);
    let health = requests.health.clone();
    let draining = Box::new(move || {
        // Whoever is broken stays broken.
        health.send_if_modified(|health| {
            let works = matches!(
                health,
                Health::Starting | Health::Ready | Health::Stalled(_) | Health::DiskFull(_)
            );
            if works {
                *health = Health::Draining;
            }
            works
        });
    });
    (requests.health.clone(), draining)
}

fn http_credentials(http: &HttpConfig) -> Result<Option<Arc<net::Credentials>>, ListenerError> {
    let (Some(certificate), Some(key)) = (&http.certificate, &http.key) else {
        return Ok(None);
    };
    let files = listener::http_files(certificate, key);
    Ok(Some(Arc::new(net::Credentials::load(files)?)))
}

/// A thread whose panic ends the server in good order: what it held cannot be trusted any more. However it ends,
/// `afterwards` is called, so that nobody waits for it.
fn spawn(
    name: String,
    health: watch::Sender<Health>,
    run: impl FnOnce() + Send + 'static,
    afterwards: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, std::io::Error> {
    let title = name.clone();
    thread::Builder::new().name(name).spawn(move || {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        if outcome.is_err() {
            // Said here: the service may be waiting for this very thread.
            health.send_replace(Health::Failed(format!("{title} panicked")));
        }
        afterwards();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    })
}

fn shards(config: &Config) -> usize {
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let wanted = match config.mqtt.shards {
        0 => cores(),
        number => usize::from(number),
    };
    wanted.clamp(1, usize::from(SHARDS_MAX))
}

fn store_options(config: &Config, options: &StartOptions) -> OpenOptions {
    OpenOptions {
        durability: match config.server.durability {
            Durability::Always => store::Durability::Always,
            Durability::Interval => store::Durability::Interval(config.server.durability_interval),
        },
        accept_loss: options.accept_data_loss,
        ..OpenOptions::default()
    }
}
