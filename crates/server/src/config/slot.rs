//! What a row of the table is made of: a key, where its value lives, which values are allowed, when a change applies.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::network::Network;
use crate::secret::Secret;

/// One key; `T` is what it is a part of.
pub(super) struct Key<T: 'static> {
    pub(super) name: &'static str,
    pub(super) slot: Slot<T>,
    pub(super) applies: Applies,
    pub(super) about: &'static str,
}

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applies {
    /// When SIGHUP is received.
    OnReload,
    /// When the server is started again.
    OnRestart,
}

/// Where a key's value lives, and which values are allowed. Ranges are inclusive.
pub(super) enum Slot<T: 'static> {
    Flag(fn(&mut T) -> &mut bool),
    Number16 {
        at: fn(&mut T) -> &mut u16,
        range: (u16, u16),
        unit: &'static str,
    },
    Number32 {
        at: fn(&mut T) -> &mut u32,
        range: (u32, u32),
        unit: &'static str,
    },
    Size {
        at: fn(&mut T) -> &mut usize,
        range: (usize, usize),
        unit: &'static str,
    },
    Time {
        at: fn(&mut T) -> &mut Duration,
        range: (u32, u32),
        unit: TimeUnit,
    },
    Address(fn(&mut T) -> &mut SocketAddr),
    /// An address, or nothing where none is written.
    OptionalAddress(fn(&mut T) -> &mut Option<SocketAddr>),
    Path(fn(&mut T) -> &mut PathBuf),
    /// A path, or nothing where none is written.
    OptionalPath(fn(&mut T) -> &mut Option<PathBuf>),
    /// A text for which `check` says what is wrong with it.
    Text {
        at: fn(&mut T) -> &mut String,
        check: fn(&str) -> Result<(), String>,
        expected: &'static str,
    },
    /// A text that nobody may see, or nothing where none is written. `check` must not repeat it.
    OptionalSecret {
        at: fn(&mut T) -> &mut Option<Secret>,
        check: fn(&str) -> Result<(), String>,
        expected: &'static str,
    },
    /// A list of texts, each of which `check` looks at.
    Texts {
        at: fn(&mut T) -> &mut Vec<String>,
        max: usize,
        check: fn(&str) -> Result<(), String>,
        expected: &'static str,
    },
    /// A list of networks.
    Networks {
        at: fn(&mut T) -> &mut Vec<Network>,
        max: usize,
    },
    /// One of `words`, addressed by its index; an index beyond them is none.
    Choice {
        words: &'static [&'static str],
        index: fn(&T) -> usize,
        choose: fn(&mut T, usize),
    },
}

/// What a number of a `Slot::Time` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeUnit {
    Seconds,
    Milliseconds,
}

/// Of everything that is counted; keeps a slip of the finger from being taken for a number.
pub(super) const COUNT_MAX: usize = 1_000_000_000;

pub(super) const fn size<T>(
    at: fn(&mut T) -> &mut usize,
    min: usize,
    max: usize,
    unit: &'static str,
) -> Slot<T> {
    Slot::Size {
        at,
        range: (min, max),
        unit,
    }
}

pub(super) const fn number16<T>(
    at: fn(&mut T) -> &mut u16,
    min: u16,
    max: u16,
    unit: &'static str,
) -> Slot<T> {
    Slot::Number16 {
        at,
        range: (min, max),
        unit,
    }
}

pub(super) const fn number32<T>(
    at: fn(&mut T) -> &mut u32,
    min: u32,
    max: u32,
    unit: &'static str,
) -> Slot<T> {
    Slot::Number32 {
        at,
        range: (min, max),
        unit,
    }
}

pub(super) const fn seconds<T>(at: fn(&mut T) -> &mut Duration, min: u32, max: u32) -> Slot<T> {
    Slot::Time {
        at,
        range: (min, max),
        unit: TimeUnit::Seconds,
    }
}

pub(super) const fn live<T>(name: &'static str, slot: Slot<T>, about: &'static str) -> Key<T> {
    Key {
        name,
        slot,
        applies: Applies::OnReload,
        about,
    }
}

pub(super) const fn fixed<T>(name: &'static str, slot: Slot<T>, about: &'static str) -> Key<T> {
    Key {
        name,
        slot,
        applies: Applies::OnRestart,
        about,
    }
}
