//! Where log lines go and which of them are written. It must not write any itself.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use server::config::{LogConfig, LogFormat};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

/// Goes before the configuration, at start and at every reload.
const LEVEL_VARIABLE: &str = "RUST_LOG";

/// The log of this process; its level can be changed.
#[derive(Debug)]
pub(crate) struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    /// Writes to standard error from here on; once per process.
    pub(crate) fn start(config: &LogConfig) -> anyhow::Result<Self> {
        let (filter, handle) = reload::Layer::new(filter(config)?);
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let lines = match config.format {
            LogFormat::Text => lines
                .with_ansi(colours(std::io::stderr().is_terminal()))
                .boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .try_init()
            .context("the log was started before")?;
        Ok(Self { filter: handle })
    }

    /// Applies another level; the format stays until the next start.
    pub(crate) fn reload(&self, config: &LogConfig) -> anyhow::Result<()> {
        self.filter.reload(filter(config)?)?;
        Ok(())
    }
}

fn filter(config: &LogConfig) -> anyhow::Result<EnvFilter> {
    let level = std::env::var(LEVEL_VARIABLE)
        .ok()
        .filter(|level| !level.is_empty());
    let (level, source) = match &level {
        Some(level) => (level.as_str(), LEVEL_VARIABLE),
        None => (config.level.as_str(), "the log level"),
    };
    EnvFilter::try_new(level).with_context(|| {
        format!(
            "{source} is `{level}`; a level (info) or directives (info,broker=debug) would be right"
        )
    })
}

/// Whether to colour what goes to a terminal, or to something else; <https://no-color.org>.
pub(crate) fn colours(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_level_is_told_with_what_would_be_right() {
        let config = LogConfig {
            level: "info,=,".to_owned(),
            format: LogFormat::Text,
        };
        let told = format!("{:#}", filter(&config).unwrap_err());
        assert!(
            told.contains("info,=,") && told.contains("would be right"),
            "{told}"
        );
    }
}
