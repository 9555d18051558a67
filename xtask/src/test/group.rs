//! The groups of tests that can be run alone.

use anyhow::{Result, bail};

/// What the names of tests of durability hold.
const DURABILITY: [&str; 6] = ["crash", "disk", "soak", "survives", "torn", "strace"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Unit and integration tests of all crates.
    Rust,
    /// The web client's type check and unit tests.
    Web,
    /// Pages in a headless Chromium against the real server.
    EndToEnd,
    /// The real server: its command line, and real MQTT clients.
    Clients,
    /// The real server, killed or on a damaged disk, and what it does before it acknowledges.
    Crash,
}

impl Group {
    pub(crate) const ALL: [Self; 5] = [
        Self::Rust,
        Self::Web,
        Self::EndToEnd,
        Self::Clients,
        Self::Crash,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Web => "web",
            Self::EndToEnd => "e2e",
            Self::Clients => "clients",
            Self::Crash => "crash",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|group| group.name() == name);
        match found {
            Some(group) => Ok(group),
            None => bail!(
                "no such group of tests: {name} (there are {})",
                Self::ALL.map(Self::name).join(", ")
            ),
        }
    }

    /// Which group a test program belongs to: the integration tests of `magpie` run the real server.
    pub(crate) fn of(package: &str, kind: &str, target: &str) -> Self {
        match (package, kind) {
            ("magpie", "test") if DURABILITY.iter().any(|part| target.contains(part)) => {
                Self::Crash
            }
            ("magpie", "test") => Self::Clients,
            _ => Self::Rust,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_is_found_by_its_name() {
        for group in Group::ALL {
            assert_eq!(Group::parse(group.name()).expect("is a group"), group);
        }
        let error = Group::parse("unit").expect_err("is none");
        assert!(
            error
                .to_string()
                .contains("unit (there are rust, web, e2e, clients, crash)")
        );
    }

    #[test]
    fn tests_of_the_real_server_are_told_from_the_others() {
        assert_eq!(Group::of("magpie", "test", "crash"), Group::Crash);
        assert_eq!(Group::of("magpie", "test", "torn_journal"), Group::Crash);
        assert_eq!(Group::of("magpie", "test", "paho"), Group::Clients);
        assert_eq!(Group::of("magpie", "bin", "magpie"), Group::Rust);
        assert_eq!(Group::of("store", "test", "crash"), Group::Rust);
    }
}
