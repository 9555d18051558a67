//! Where the server of a command is: its configuration and its data directory. Must not open either.

use server::config::{Config, LogConfig};

use crate::arguments::PlaceArguments;
use crate::logging::Log;

/// The configuration, with the data directory that was named; starts the log.
pub(crate) fn open(place: &PlaceArguments) -> anyhow::Result<Config> {
    let mut config = Config::load(place.config.as_deref())?;
    if let Some(data) = &place.data {
        config.server.data.clone_from(data);
    }
    // What the store has to warn of must not be lost because no server runs.
    Log::start(&LogConfig {
        level: "warn".to_owned(),
        ..config.log.clone()
    })?;
    Ok(config)
}
