//! What a reload (SIGHUP) changes: which keys take effect at once and which wait for a restart.

use super::slot::{Applies, Slot, TimeUnit};
use super::table::SECTIONS;
use super::values::Config;

/// The keys in which two configurations differ, as `section.key`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Take effect on reload.
    pub applied: Vec<String>,
    /// Keep their old value until the server is started again.
    pub need_restart: Vec<String>,
    /// The values of those that take effect.
    pub values: Vec<ValueChange>,
}

/// A key's value, before and after, as it is written in the file; a secret's is a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueChange {
    /// As `section.key`.
    pub key: String,
    /// What it was.
    pub before: String,
    /// What it is.
    pub after: String,
}

impl Config {
    /// Compares with a configuration that was read later.
    pub fn reloadable_diff(&self, new: &Self) -> Changes {
        let mut changes = Changes::default();
        let (mut old, mut changed) = (self.clone(), new.clone());
        for section in SECTIONS {
            for key in section.keys {
                let (before, after) = (key.slot.show(&mut old), key.slot.show(&mut changed));
                if before == after {
                    continue;
                }
                let name = format!("{}.{}", section.name, key.name);
                match key.applies {
                    Applies::OnReload => {
                        changes.applied.push(name.clone());
                        changes.values.push(ValueChange {
                            key: name,
                            before,
                            after,
                        });
                    }
                    Applies::OnRestart => changes.need_restart.push(name),
                }
            }
        }
        if self.mqtt.listeners != new.mqtt.listeners {
            changes.need_restart.push("mqtt.listener".to_owned());
        }
        if self.acl != new.acl {
            changes.applied.push("acl".to_owned());
            let rules = |config: &Self| format!("{} rules", config.acl.len());
            changes.values.push(ValueChange {
                key: "acl".to_owned(),
                before: rules(self),
                after: rules(new),
            });
        }
        changes
    }
}

impl<T> Slot<T> {
    /// The value as it would be written in the file. Takes `&mut` because a slot hands out `&mut`; nothing changes.
    pub(super) fn show(&self, of: &mut T) -> String {
        match self {
            Self::Flag(at) => at(of).to_string(),
            Self::Number16 { at, .. } => at(of).to_string(),
            Self::Number32 { at, .. } => at(of).to_string(),
            Self::Size { at, .. } => at(of).to_string(),
            Self::Time {
                at,
                unit: TimeUnit::Seconds,
                ..
            } => at(of).as_secs().to_string(),
            Self::Time {
                at,
                unit: TimeUnit::Milliseconds,
                ..
            } => at(of).as_millis().to_string(),
            Self::Address(at) => format!("\"{}\"", at(of)),
            Self::OptionalAddress(at) => {
                at(of).map_or_else(|| "\"\"".to_owned(), |address| format!("\"{address}\""))
            }
            Self::Path(at) => format!("\"{}\"", at(of).display()),
            Self::OptionalPath(at) => at(of).as_ref().map_or_else(
                || "\"\"".to_owned(),
                |path| format!("\"{}\"", path.display()),
            ),
            Self::Texts { at, .. } => format!("{:?}", at(of)),
            Self::Text { at, .. } => format!("\"{}\"", at(of)),
            Self::Networks { at, .. } => {
                let networks: Vec<_> = at(of).iter().map(ToString::to_string).collect();
                format!("{networks:?}")
            }
            // Its digest: a change is seen, the secret is not.
            Self::OptionalSecret { at, .. } => at(of).as_ref().map_or_else(
                || "\"\"".to_owned(),
                |secret| format!("{:02x?}", secret.digest()),
            ),
            Self::Choice { words, index, .. } => {
                format!("\"{}\"", words.get(index(of)).unwrap_or(&""))
            }
        }
    }
}
