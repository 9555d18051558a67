//! The servers that are measured: where their programs are and how each is set up for a fair run. Owns what to start;
//! starting and stopping is `running`'s.

mod ejabberd;
mod magpie;
mod mosquitto;
mod nats;
mod rabbitmq;
mod running;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::{child, release};
pub(crate) use running::Running;

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Magpie,
    Mosquitto,
    Rabbitmq,
    Ejabberd,
    Nats,
}

/// In the order in which they run.
const KINDS: [Kind; 5] = [
    Kind::Magpie,
    Kind::Mosquitto,
    Kind::Rabbitmq,
    Kind::Ejabberd,
    Kind::Nats,
];

/// A server that can be measured.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) version: String,
    program: PathBuf,
}

/// What a scenario asks of a server's set-up.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// The cores it may use, for `taskset`.
    pub(crate) cores: &'a str,
    /// Text of Magpie's configuration file.
    pub(crate) magpie_config: &'a str,
    /// Whether mosquitto keeps its state on disk as well; the others do or do not by themselves.
    pub(crate) persistent: bool,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Magpie => "magpie",
            Self::Mosquitto => "mosquitto",
            Self::Rabbitmq => "rabbitmq",
            Self::Ejabberd => "ejabberd",
            Self::Nats => "nats",
        }
    }

    /// What mqload needs to be let in.
    pub(crate) fn login(self) -> &'static [&'static str] {
        match self {
            Self::Magpie | Self::Mosquitto | Self::Rabbitmq | Self::Nats => &[],
            Self::Ejabberd => &ejabberd::LOGIN,
        }
    }

    fn find(self) -> Option<PathBuf> {
        match self {
            Self::Magpie => None,
            Self::Mosquitto => installed("mosquitto"),
            Self::Rabbitmq => rabbitmq::find(),
            Self::Ejabberd => ejabberd::find(),
            Self::Nats => installed("nats-server"),
        }
    }

    fn version(self, program: &Path) -> String {
        match self {
            Self::Magpie => "magpie".to_owned(),
            Self::Mosquitto => mosquitto::version(program),
            Self::Rabbitmq => debian_version("rabbitmq-server"),
            Self::Ejabberd => debian_version("ejabberd"),
            Self::Nats => child::first_line(Command::new(program).arg("--version"))
                .unwrap_or_else(|| "nats-server".to_owned()),
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Magpie => "magpie",
            Self::Mosquitto => "mosquitto",
            Self::Rabbitmq => "rabbitmq-server",
            Self::Ejabberd => "ejabberd",
            Self::Nats => "nats-server",
        }
    }
}

/// Magpie (`MAGPIE_BIN`, or a release build) and whatever of the others is installed and wanted; all without a choice.
pub(crate) fn all(root: &Path, wanted: Option<&[String]>) -> Result<Vec<Server>> {
    if let Some(unknown) = wanted
        .unwrap_or_default()
        .iter()
        .find(|name| *name != "none" && !KINDS.iter().any(|kind| kind.name() == name.as_str()))
    {
        bail!("no such peer: {unknown} (there are mosquitto, rabbitmq, ejabberd, nats, none)");
    }
    let program = release::server(root)?;
    let mut servers = vec![Server {
        kind: Kind::Magpie,
        version: Kind::Magpie.version(&program),
        program,
    }];
    let is_wanted =
        |kind: Kind| wanted.is_none_or(|names| names.iter().any(|name| name == kind.name()));
    for kind in KINDS.into_iter().skip(1).filter(|kind| is_wanted(*kind)) {
        match kind.find() {
            Some(program) => servers.push(Server {
                kind,
                version: kind.version(&program),
                program,
            }),
            None => eprintln!(
                "bench: {} is not here to compare with; install: apt-get install {} (its service need not run)",
                kind.name(),
                kind.package()
            ),
        }
    }
    Ok(servers)
}

impl Server {
    pub(crate) fn name(&self) -> &'static str {
        self.kind.name()
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Starts it with nothing in its folder and awaits that it accepts connections.
    pub(crate) fn start(&self, work: &Path, setup: Setup<'_>) -> Result<Running> {
        let folder = running::empty_folder(work, self.name())?;
        let port = running::free_port()?;
        let start = match self.kind {
            Kind::Magpie => magpie::start(&self.program, &folder, port, setup)?,
            Kind::Mosquitto => mosquitto::start(&self.program, &folder, port, setup)?,
            Kind::Rabbitmq => rabbitmq::start(&self.program, &folder, port)?,
            Kind::Ejabberd => ejabberd::start(&self.program, &folder, port)?,
            Kind::Nats => nats::start(&self.program, &folder, port)?,
        };
        Running::begin(self.name(), start, setup.cores, port, folder)
    }
}

/// On the PATH, or where Debian puts servers.
fn installed(program: &str) -> Option<PathBuf> {
    child::on_path(program).or_else(|| {
        ["/usr/sbin", "/usr/local/sbin"]
            .map(|folder| Path::new(folder).join(program))
            .into_iter()
            .find(|program| program.is_file())
    })
}

fn debian_version(package: &str) -> String {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Package} ${Version}", package]);
    child::first_line(&mut query).unwrap_or_else(|| package.to_owned())
}
