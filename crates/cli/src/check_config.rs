//! `magpie check-config`: whether `magpie serve` would take its configuration, and what it would listen on then. What is
//! right the server knows.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use server::config::{Config, Source};
use server::{Endpoint, check_certificates};

use crate::arguments::ConfigArguments;

/// Reads it as `magpie serve` does; an error if that would not start with it.
pub(crate) fn run(arguments: &ConfigArguments) -> anyhow::Result<()> {
    let settings = &arguments.settings;
    let source = Source::read(settings.place.config.as_deref())?;
    let mut config = match &source {
        Some(source) => source.parse()?,
        None => Config::default(),
    };
    settings.overrides().apply(&mut config);
    let wrong = check_certificates(&config);
    if !wrong.is_empty() {
        let told = wrong.into_iter().map(|(place, error)| match &source {
            Some(source) => source.mistake(place, &error.to_string()).to_string(),
            None => error.to_string(),
        });
        bail!(told.collect::<Vec<_>>().join("\n"));
    }
    std::io::stdout()
        .write_all(text(source.as_ref(), &config).as_bytes())
        .context("standard output cannot be written")
}

/// `magpie.toml: ok`, and below it the addresses.
fn text(source: Option<&Source>, config: &Config) -> String {
    let file = source.map_or("no magpie.toml, every key has its default", |source| {
        &source.file
    });
    let mut lines = vec![format!("{file}: ok")];
    let listeners = config.mqtt.listeners.iter();
    lines.extend(listeners.map(|listener| format!("  {}", Endpoint::of(listener))));
    let s = if config.http.certificate.is_some() {
        "s"
    } else {
        ""
    };
    lines.push(format!("  http{s}://{}", config.http.address));
    let metrics = config.http.metrics_address;
    lines.extend(metrics.map(|address| format!("  http://{address}/metrics")));
    lines.push(format!("  data in {}", config.server.data.display()));
    lines.join("\n") + "\n"
}
