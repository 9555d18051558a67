//! The configuration as the command line completes it, and reading it again on SIGHUP. What its keys do is the server's.

use std::path::PathBuf;

use server::config::{Config, ConfigError, Overrides};
use server::handle::Handle;

use crate::arguments::ServeArguments;
use crate::logging::Log;

/// Where the configuration comes from; the same at every reading.
pub(super) struct Settings {
    file: Option<PathBuf>,
    overrides: Overrides,
}

impl Settings {
    pub(super) fn new(arguments: &ServeArguments) -> Self {
        Self {
            file: arguments.settings.place.config.clone(),
            overrides: arguments.settings.overrides(),
        }
    }

    /// Reads the file and lays the command line over it.
    pub(super) fn read(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load(self.file.as_deref())?;
        self.overrides.apply(&mut config);
        Ok(config)
    }

    /// Reads it again and applies what can change while running. A mistake leaves everything as it is.
    pub(super) async fn reload(&self, handle: &Handle, log: &Log) {
        let config = match self.read() {
            Ok(config) => config,
            Err(ConfigError::Mistakes(mistakes)) => {
                for mistake in mistakes {
                    tracing::error!(%mistake, "configuration not reloaded");
                }
                return;
            }
            Err(error @ (ConfigError::Unreadable { .. } | ConfigError::TooLarge { .. })) => {
                tracing::error!(%error, "configuration not reloaded");
                return;
            }
        };
        if let Err(error) = log.reload(&config.log) {
            tracing::error!(error = format!("{error:#}"), "configuration not reloaded");
            return;
        }
        match handle.reload(config).await {
            Ok(changes) => {
                tracing::info!(
                    applied = changes.applied.join(", "),
                    "configuration reloaded"
                );
                if !changes.need_restart.is_empty() {
                    let keys = changes.need_restart.join(", ");
                    tracing::warn!(keys, "these keys have changed but wait for a restart");
                }
            }
            Err(error) => tracing::error!(%error, "configuration not reloaded"),
        }
    }
}
