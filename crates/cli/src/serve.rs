//! `magpie serve`: starts the server, tells where it listens, and waits for a reason to end. The order of starting and
//! ending stands here; what a server does stands in `server` and `http-api`.

mod banner;
mod exposure;
mod memory;
mod notify;
mod settings;
mod signals;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http_api::{Credentials, Metrics};
use server::admission::Descriptors;
use server::config::HttpConfig;
use server::handle::Handle;
use server::handle::control::ControlSocket;
use server::{ListenError, Running, StartOptions};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::arguments::ServeArguments;
use crate::logging::{self, Log};
use banner::{Banner, Setup};
use settings::Settings;
use signals::{Signal, Signals};

/// Threads for HTTP, QUIC and the control socket; MQTT itself has its own.
const HTTP_THREADS: usize = 2;
/// How long HTTP requests under way are awaited at the end.
const HTTP_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long MQTT clients and the committer are awaited after that; together below the 5 s that are promised.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Serves until a signal or a failure ends it; an error is a failure.
pub(crate) fn run(arguments: &ServeArguments) -> anyhow::Result<()> {
    memory::give_back_large_blocks();
    let signals = Signals::catch().context("signals cannot be caught")?;
    let settings = Settings::new(arguments);
    let config = settings.read()?;
    let log = Log::start(&config.log)?;
    let metrics = Metrics::install().context("metrics cannot be counted")?;
    metrics::describe_gauge!("magpie_build_info", "Always 1; which version runs.");
    metrics::gauge!("magpie_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HTTP_THREADS)
        .thread_name("http")
        .enable_all()
        .build()
        .context("threads for HTTP cannot be started")?;

    let descriptors = Descriptors::of_process()?;
    let options = StartOptions {
        demo: arguments.demo,
        accept_data_loss: arguments.accept_data_loss,
        listen: true,
        runtime: Some(runtime.handle().clone()),
        descriptors: Some(descriptors.clone()),
    };
    let mut running = server::start(config.clone(), &options)?;
    // Only behind `start`: a port that answers says that the state is recovered.
    let others = match OtherServers::open(
        &runtime,
        &running.handle,
        metrics,
        &config.http,
        running.http_credentials.clone(),
        &descriptors,
        &config.server.data,
    ) {
        Ok(others) => others,
        Err(error) => {
            running.shutdown(DRAIN_TIMEOUT)?;
            return Err(error);
        }
    };
    let addresses: Vec<_> = running
        .mqtt
        .iter()
        .map(ToString::to_string)
        .chain([format!("{}://{}", others.scheme(), others.http)])
        .chain(
            others
                .metrics
                .map(|metrics| format!("http://{metrics}/metrics")),
        )
        .collect();
    running.announce(&addresses);
    if arguments.demo && running.demo_logins.is_empty() {
        tracing::warn!(
            "there are accounts already: --demo has added nothing, and none of them has a login of the demonstration"
        );
    }
    exposure::warn(&running.mqtt, (!others.secure).then_some(others.http));
    let connections_max = descriptors.max().min(config.mqtt.connections_max);
    tell(&running, &others, &config.server, connections_max);
    memory::give_back_after_bursts().context("a thread cannot be started")?;
    notify::ready();

    let ended = runtime.block_on(wait(signals, &running.handle, &settings, &log));
    notify::stopping();
    if let Ended::Failed(reason) = ended {
        // Nothing can be saved by draining: a commit has failed, or a thread is gone.
        bail!("the server has failed: {reason}");
    }
    others.close(&runtime);
    let shut = running
        .shutdown(DRAIN_TIMEOUT)
        .context("the server did not end in order");
    runtime.shutdown_background();
    shut
}

/// What is served beside MQTT: HTTP, the metrics where they have an address of their own, and the control socket.
struct OtherServers {
    http: SocketAddr,
    /// Whether it is HTTPS.
    secure: bool,
    metrics: Option<SocketAddr>,
    serving: JoinSet<()>,
    stop: watch::Sender<bool>,
    control: JoinHandle<()>,
}

impl OtherServers {
    /// Binds all of them before any is served.
    fn open(
        runtime: &Runtime,
        handle: &Handle,
        metrics: Metrics,
        config: &HttpConfig,
        credentials: Option<Arc<Credentials>>,
        descriptors: &Arc<Descriptors>,
        data: &std::path::Path,
    ) -> anyhow::Result<Self> {
        let _inside = runtime.enter();
        let listener = bind(
            runtime,
            config.address,
            "http.address in the configuration, or --http",
        )?;
        let http = listener.local_addr()?;
        let bind_metrics = |address| {
            bind(
                runtime,
                address,
                "http.metrics_address in the configuration",
            )
        };
        let metrics_listener = config.metrics_address.map(bind_metrics).transpose()?;
        let socket = ControlSocket::bind(data)
            .with_context(|| format!("cannot listen on control.sock in {}", data.display()))?;
        let secure = credentials.is_some();
        let stop = watch::channel(false).0;
        let mut serving = JoinSet::new();
        let mut metrics_address = None;
        if let Some(listener) = metrics_listener {
            metrics_address = Some(listener.local_addr()?);
            let stopped = stopped(&stop);
            let (handle, metrics) = (handle.clone(), metrics.clone());
            let (config, descriptors) = (config.clone(), descriptors.clone());
            serving.spawn(http_api::serve_metrics(
                listener,
                handle,
                metrics,
                config,
                descriptors,
                stopped,
            ));
        }
        serving.spawn(http_api::serve(
            listener,
            handle.clone(),
            metrics,
            config.clone(),
            credentials,
            descriptors.clone(),
            stopped(&stop),
        ));
        let asked = handle.clone();
        let control = runtime.spawn(async move { socket.serve(asked).await });
        Ok(Self {
            http,
            secure,
            metrics: metrics_address,
            serving,
            stop,
            control,
        })
    }

    fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// Takes no new requests and lets those under way finish, for a while.
    fn close(self, runtime: &Runtime) {
        let Self {
            mut serving,
            stop,
            control,
            ..
        } = self;
        stop.send_replace(true);
        control.abort();
        runtime.block_on(async {
            let _ = control.await;
            let ended = async { while serving.join_next().await.is_some() {} };
            if tokio::time::timeout(HTTP_DRAIN_TIMEOUT, ended)
                .await
                .is_err()
            {
                tracing::debug!("HTTP: requests cut off");
            }
        });
    }
}

/// Listens for HTTP; `keys` are what sets the address.
fn bind(runtime: &Runtime, address: SocketAddr, keys: &str) -> anyhow::Result<TcpListener> {
    runtime
        .block_on(TcpListener::bind(address))
        .map_err(|source| ListenError {
            address: address.to_string(),
            source,
        })
        .map_err(|error| anyhow!("HTTP: {error}; the address is set by {keys}"))
}

/// Waits until it is time to stop; a sender that is gone says so as well.
fn stopped(stop: &watch::Sender<bool>) -> impl Future<Output = ()> + use<> {
    let mut stop = stop.subscribe();
    async move {
        let _ = stop.wait_for(|stopping| *stopping).await;
    }
}

/// Why serving is over.
enum Ended {
    Asked,
    Failed(String),
}

async fn wait(mut signals: Signals, handle: &Handle, settings: &Settings, log: &Log) -> Ended {
    signals.serve();
    loop {
        tokio::select! {
            biased;
            reason = handle.failed() => return Ended::Failed(reason),
            signal = signals.next() => match signal {
                Signal::Stop => {
                    tracing::info!("stopping");
                    return Ended::Asked;
                }
                Signal::Reload => settings.reload(handle, log).await,
            },
        }
    }
}

fn tell(
    running: &Running,
    others: &OtherServers,
    server: &server::config::ServerConfig,
    connections_max: usize,
) {
    let setup = match (&running.setup_token, running.demo_logins.as_slice()) {
        (Some(token), []) => Setup::FirstAccount(token),
        (_, logins) if !logins.is_empty() => Setup::Demo(logins),
        _ => Setup::Done,
    };
    let banner = Banner {
        mqtt: &running.mqtt,
        http: others.http,
        secure: others.secure,
        metrics: others.metrics,
        server,
        connections_max,
        setup,
    };
    let colours = logging::colours(std::io::stdout().is_terminal());
    // A server whose standard output is closed serves all the same.
    let _ = banner.print(&mut std::io::stdout().lock(), colours);
}
