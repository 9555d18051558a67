//! The text that a configuration is read from, kept so that what turns out to be wrong later can be told with its line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Mistakes};
use super::parse::parse_in;
use super::{Config, ConfigError, DEFAULT_FILE, FILE_BYTES_MAX};

/// The text of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file, as it was named.
    pub file: String,
    text: String,
}

/// Which certificate, key or authority of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificatePlace {
    /// Of the `[[mqtt.listener]]` of this number, from 0; none is `[http]`.
    pub listener: Option<usize>,
    /// `certificate`, `key` or `client_ca`.
    pub key: &'static str,
}

impl Source {
    /// Reads `path`, or, where none is named, `magpie.toml` in the current directory, if there is one.
    pub fn read(path: Option<&Path>) -> Result<Option<Self>, ConfigError> {
        let path = match path {
            Some(path) => path,
            None if Path::new(DEFAULT_FILE).exists() => Path::new(DEFAULT_FILE),
            None => return Ok(None),
        };
        let unreadable = |source| ConfigError::Unreadable {
            path: path.to_path_buf(),
            source,
        };
        let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge {
                path: path.to_path_buf(),
                bytes,
            });
        }
        Ok(Some(Self {
            file: path.display().to_string(),
            text: std::fs::read_to_string(path).map_err(unreadable)?,
        }))
    }

    /// The configuration that it says, with the environment of this process.
    pub fn parse(&self) -> Result<Config, ConfigError> {
        let variable = |name: &str| std::env::var(name).ok();
        parse_in(&self.file, &self.text, &variable).map_err(ConfigError::Mistakes)
    }

    /// What is wrong with a certificate, with the line that names it.
    pub fn mistake(&self, place: CertificatePlace, problem: &str) -> Mistake {
        let section = match place.listener {
            Some(_) => "mqtt.listener",
            None => "http",
        };
        let mut mistakes = Mistakes::new(&self.file, &self.text);
        let span = self.span(place).unwrap_or_default();
        mistakes.add(&span, format!("{section}.{}", place.key), problem);
        mistakes.found().remove(0)
    }

    fn span(&self, place: CertificatePlace) -> Option<std::ops::Range<usize>> {
        let root = DeTable::parse(&self.text).ok()?;
        let root = root.get_ref();
        let table = match place.listener {
            None => root.get("http")?.get_ref().as_table()?,
            Some(index) => {
                let mqtt = root.get("mqtt")?.get_ref().as_table()?;
                let listeners = mqtt.get("listener")?.get_ref().as_array()?;
                listeners.get(index)?.get_ref().as_table()?
            }
        };
        table.get(place.key).map(Spanned::<DeValue<'_>>::span)
    }
}
