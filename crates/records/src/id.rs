//! The ids and names that records are keyed by, one type each so that two numbers cannot swap.
//! Must not hand out ids: who counts is the owner of the table.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

// A macro although the house avoids them: six identical newtypes by hand are six places for one of them to
// silently differ in its derives.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The lowest value, before anything that was counted.
            pub const ZERO: Self = Self(0);
            /// The highest value, for the upper end of a range.
            pub const MAX: Self = Self(u64::MAX);

            /// Wraps a number.
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The number itself.
            pub const fn value(self) -> u64 {
                self.0
            }

            /// The one that follows; stays at `MAX` when there is none.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }
    };
}

macro_rules! display_decimal {
    ($($name:ident)*) => {
        $(impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        })*
    };
}

number! {
    /// A person, bot or device that logs in.
    AccountId
}
number! {
    /// A direct chat or a group.
    ConversationId
}
number! {
    /// One persistent session of one (account, client id), for as long as it lives.
    SessionNumber
}
number! {
    /// A message's number in its conversation: 1, 2, 3 … without gaps. `ZERO` is before the first.
    Seq
}
number! {
    /// The messenger's commit counter, one for all conversations. Shown as lower-case hexadecimal.
    Pos
}
number! {
    /// A shard's hybrid logical clock: `(microseconds << 8) | shard`.
    Stamp
}

impl Stamp {
    const SHARD_BITS: u32 = 8;
    const SHARD_MASK: u64 = (1 << Self::SHARD_BITS) - 1;

    /// A shard's clock at so many microseconds.
    pub const fn of(micros: u64, shard: u16) -> Self {
        Self((micros << Self::SHARD_BITS) | shard as u64)
    }

    /// The microseconds of the clock that gave it, which follows the time but is ahead of it at times.
    pub const fn micros(self) -> u64 {
        self.0 >> Self::SHARD_BITS
    }

    /// The shard that gave it.
    pub const fn shard(self) -> u16 {
        (self.0 & Self::SHARD_MASK) as u16
    }

    /// The last one of the same shard that can have come before it.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0 - (1 << Self::SHARD_BITS))
    }

    /// The last one that any shard can have given in its microsecond.
    #[must_use]
    pub const fn last_of_its_moment(self) -> Self {
        Self(self.0 | Self::SHARD_MASK)
    }
}

display_decimal!(AccountId ConversationId SessionNumber Seq Stamp);

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl FromStr for Pos {
    type Err = PosError;

    /// Reads what `Display` wrote, and nothing else: no sign, no upper case, no leading zero.
    fn from_str(text: &str) -> Result<Self, PosError> {
        const DIGITS_MAX: usize = 16;
        let canonical = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && (text == "0" || !text.starts_with('0'));
        if text.is_empty() || text.len() > DIGITS_MAX || !canonical {
            return Err(PosError);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| PosError)
    }
}

/// A text that is not a `Pos` as the server writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a pos: expected lower-case hexadecimal without leading zeros")]
pub struct PosError;

/// A live session as the server addresses it. Never on disk: it does not survive a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionRef {
    /// The shard that owns the session.
    pub shard: u16,
    /// Its place in the shard's table.
    pub slot: u32,
    /// Which use of that place: a late answer to a session that has gone finds another generation.
    pub generation: u32,
}

/// The longest account name or group slug, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Why a text is not an account name or a group slug.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// There is nothing.
    #[error("the name is empty")]
    Empty,
    /// Longer than `NAME_BYTES_MAX`.
    #[error(
        "the name is too long: at most {NAME_BYTES_MAX} letters, digits, dots, hyphens and underscores"
    )]
    TooLong {
        /// The length that was given.
        bytes: usize,
    },
    /// A character outside `[a-z0-9._-]`, or a first one outside `[a-z0-9]`.
    #[error(
        "a name cannot {} {found:?}: it has the small letters a-z, digits, dots, hyphens and underscores, and begins with a letter or a digit",
        if *at == 0 { "begin with" } else { "have" }
    )]
    Character {
        /// The character that was given.
        found: char,
        /// Where it begins.
        at: usize,
    },
}

/// An account's name, `[a-z0-9][a-z0-9._-]{0,63}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct AccountName(Box<str>);

/// A group's address, `[a-z0-9][a-z0-9._-]{0,63}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct GroupSlug(Box<str>);

// The two differ in meaning only, hence the macro.
macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// Checks the text and takes a copy of it.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check_name(text)?;
                Ok(Self(text.into()))
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<Box<str>> for $name {
            type Error = NameError;

            fn try_from(text: Box<str>) -> Result<Self, NameError> {
                check_name(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for Box<str> {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        // Hash, Ord and Eq are those of the text, so a map keyed by the name can be asked with a `&str`.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(AccountName);
name!(GroupSlug);

fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { bytes: text.len() });
    }
    for (at, found) in text.char_indices() {
        let allowed = match found {
            'a'..='z' | '0'..='9' => true,
            '.' | '_' | '-' => at > 0,
            _ => false,
        };
        if !allowed {
            return Err(NameError::Character { found, at });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pos_reads_only_what_it_shows() {
        for value in [0, 1, 0x9f2, u64::MAX] {
            let pos = Pos::new(value);
            assert_eq!(pos.to_string().parse(), Ok(pos));
        }
        assert_eq!(Pos::new(0x9f2).to_string(), "9f2");
        for text in [
            "",
            "00",
            "09",
            "9F2",
            "+1",
            "-1",
            "g",
            " 1",
            "10000000000000000",
        ] {
            assert_eq!(text.parse::<Pos>(), Err(PosError), "{text:?}");
        }
    }

    #[test]
    fn names_are_checked_character_by_character() {
        for text in [
            "a",
            "0",
            "bob",
            "a.b_c-d",
            "a23456789-123456789.123456789_123456789-123456789.123456789_1234",
        ] {
            assert_eq!(
                AccountName::parse(text).map(|name| name.to_string()),
                Ok(text.to_owned())
            );
        }
        let long = "a".repeat(65);
        let cases = [
            ("", NameError::Empty),
            (long.as_str(), NameError::TooLong { bytes: 65 }),
            (".a", NameError::Character { found: '.', at: 0 }),
            ("aB", NameError::Character { found: 'B', at: 1 }),
            ("a b", NameError::Character { found: ' ', at: 1 }),
            (
                "한",
                NameError::Character {
                    found: '한', at: 0
                },
            ),
            ("a/b", NameError::Character { found: '/', at: 1 }),
            ("a\0", NameError::Character { found: '\0', at: 1 }),
        ];
        for (text, error) in cases {
            assert_eq!(GroupSlug::parse(text), Err(error), "{text:?}");
        }
    }
}
