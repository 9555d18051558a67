//! The ids and names that records are keyed by, one type each so that two numbers cannot swap.
//! Must not hand out ids: who counts is the owner of the table.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

// A macro although this project avoids them: six identical newtypes by hand are six places for one of them to
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
    /// Where an entry stands among all entries of the server: milliseconds since 2025 (41 bits), a count within the millisecond
    /// (9), and the partition that gave it (10). It orders a conversation exactly and the whole server roughly. Shown as
    /// lower-case hexadecimal.
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

impl Pos {
    /// Every position that is given is below this one: 41 bits of milliseconds last until 2094.
    pub const END: Self = Self(1 << 60);

    const PARTITION_BITS: u32 = 10;
    const COUNT_BITS: u32 = 9;
    /// 2025-01-01T00:00:00Z in milliseconds since 1970.
    const EPOCH_MILLIS: u64 = 1_735_689_600_000;

    /// The position of a tick in a partition. Ticks are what a clock of positions counts, see [`Pos::tick_of`].
    pub const fn at(tick: u64, partition: PartitionId) -> Self {
        Self((tick << Self::PARTITION_BITS) | partition.0 as u64)
    }

    /// The first tick of a millisecond since 1970; there are 512 in each.
    pub const fn tick_of(millis: u64) -> u64 {
        millis.saturating_sub(Self::EPOCH_MILLIS) << Self::COUNT_BITS
    }

    /// The millisecond since 1970 that a tick is in.
    pub const fn millis_of(tick: u64) -> u64 {
        (tick >> Self::COUNT_BITS) + Self::EPOCH_MILLIS
    }

    /// Its tick.
    pub const fn tick(self) -> u64 {
        self.0 >> Self::PARTITION_BITS
    }

    /// The partition that gave it; of a position that no partition gave, any.
    pub const fn partition(self) -> PartitionId {
        PartitionId((self.0 % PartitionId::COUNT as u64) as u16)
    }

    /// The newest position of a partition that is not newer than this one; `ZERO` if there is none.
    #[must_use]
    pub const fn last_in(self, partition: PartitionId) -> Self {
        let same_tick = Self::at(self.tick(), partition);
        if same_tick.0 <= self.0 {
            return same_tick;
        }
        match self.tick().checked_sub(1) {
            Some(tick) => Self::at(tick, partition),
            None => Self::ZERO,
        }
    }

    /// The newest position that is older, whatever the partition.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The newest position that is older by so many milliseconds, whatever the partition.
    #[must_use]
    pub const fn earlier(self, millis: u64) -> Self {
        Self(
            self.0
                .saturating_sub(millis << (Self::COUNT_BITS + Self::PARTITION_BITS)),
        )
    }
}

/// A part of all conversations, which has one owner at a time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u16", into = "u16")]
pub struct PartitionId(u16);

/// A number that no partition has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "no partition: {found}, expected a number below {}",
    PartitionId::COUNT
)]
pub struct PartitionError {
    /// The number.
    pub found: u16,
}

impl TryFrom<u16> for PartitionId {
    type Error = PartitionError;

    fn try_from(number: u16) -> Result<Self, PartitionError> {
        if number < Self::COUNT {
            Ok(Self(number))
        } else {
            Err(PartitionError { found: number })
        }
    }
}

impl From<PartitionId> for u16 {
    fn from(partition: PartitionId) -> Self {
        partition.0
    }
}

impl PartitionId {
    /// How many there are.
    pub const COUNT: u16 = 256;

    /// The partition of this number.
    ///
    /// # Panics
    /// If it is not below [`PartitionId::COUNT`].
    pub const fn new(number: u16) -> Self {
        assert!(number < Self::COUNT, "partitions are numbered from zero");
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Where the group of this address belongs.
    pub fn of_group(slug: &str) -> Self {
        Self::of(slug.as_bytes())
    }

    /// Where the direct chat of two accounts belongs.
    pub fn of_pair(one: AccountId, other: AccountId) -> Self {
        let (low, high) = (one.min(other).0, one.max(other).0);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&low.to_be_bytes());
        bytes[8..].copy_from_slice(&high.to_be_bytes());
        Self::of(&bytes)
    }

    /// FNV-1a of 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>), folded: the same on every machine for ever.
    fn of(bytes: &[u8]) -> Self {
        const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let hash = bytes.iter().fold(BASIS, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
        });
        Self(((hash ^ (hash >> 32)) % u64::from(Self::COUNT)) as u16)
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ConversationId {
    const NUMBER_BITS: u32 = 40;

    /// The conversation of this number in its partition.
    ///
    /// # Panics
    /// If the number has more than 40 bits.
    pub const fn in_partition(partition: PartitionId, number: u64) -> Self {
        assert!(
            number < 1 << Self::NUMBER_BITS,
            "a partition has fewer conversations"
        );
        Self(((partition.0 as u64) << Self::NUMBER_BITS) | number)
    }

    /// The partition it belongs to; `None` if there is no such partition.
    pub const fn partition(self) -> Option<PartitionId> {
        let partition = self.0 >> Self::NUMBER_BITS;
        if partition < PartitionId::COUNT as u64 {
            Some(PartitionId(partition as u16))
        } else {
            None
        }
    }

    /// Its number in its partition.
    pub const fn number(self) -> u64 {
        self.0 & ((1 << Self::NUMBER_BITS) - 1)
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

    /// The first three from FNV-1a's published test vectors; all of them computed apart from this code.
    #[test]
    fn a_partition_never_changes() {
        for (slug, partition) in [
            ("", 193),
            ("a", 192),
            ("foobar", 153),
            ("eng", 79),
            ("a.b_c-d", 105),
        ] {
            assert_eq!(PartitionId::of_group(slug).number(), partition, "{slug:?}");
        }
        for (low, high, partition) in [(1, 1, 94), (1, 2, 183), (1, 300, 84), (7, u64::MAX, 124)] {
            let (low, high) = (AccountId::new(low), AccountId::new(high));
            assert_eq!(PartitionId::of_pair(low, high).number(), partition);
            assert_eq!(PartitionId::of_pair(high, low).number(), partition);
        }
        for partition in [0, PartitionId::COUNT - 1] {
            assert_eq!(
                PartitionId::try_from(partition),
                Ok(PartitionId::new(partition))
            );
        }
        assert_eq!(
            PartitionId::try_from(256),
            Err(PartitionError { found: 256 })
        );
    }

    #[test]
    fn partitions_get_about_as_much_each() {
        let mut groups = [0; PartitionId::COUNT as usize];
        let mut pairs = groups;
        for number in 0..51_200 {
            let slug = format!("team-{number}");
            groups[usize::from(PartitionId::of_group(&slug).number())] += 1;
            let pair = PartitionId::of_pair(AccountId::new(number / 300), AccountId::new(number));
            pairs[usize::from(pair.number())] += 1;
        }
        for count in groups.into_iter().chain(pairs) {
            assert!((140..=260).contains(&count), "{count} of 200");
        }
    }

    #[test]
    fn a_position_has_its_time_and_its_partition() {
        const NEW_YEAR_2025: u64 = 1_735_689_600_000;
        assert_eq!(Pos::tick_of(0), 0);
        assert_eq!(Pos::tick_of(NEW_YEAR_2025), 0);
        assert_eq!(Pos::tick_of(NEW_YEAR_2025 + 3), 3 * 512);
        let partition = PartitionId::new(255);
        let pos = Pos::at(Pos::tick_of(NEW_YEAR_2025 + 3) + 511, partition);
        assert_eq!(pos.value(), 3 << 19 | 511 << 10 | 255);
        assert_eq!((pos.tick(), pos.partition()), (3 * 512 + 511, partition));
        assert!(pos < Pos::at(pos.tick() + 1, PartitionId::new(0)));
        assert_eq!(pos.earlier(2), Pos::new(pos.value() - (2 << 19)));
        assert_eq!(pos.earlier(4), Pos::ZERO);
        let last = Pos::at(((1 << 41) - 1) << 9 | 511, partition);
        assert!(last < Pos::END);
        // A stranger's position names no partition that is not there.
        assert_eq!(Pos::MAX.partition(), partition);
    }

    #[test]
    fn a_conversation_has_its_partition_and_its_number() {
        let partition = PartitionId::new(255);
        let number = (1 << 40) - 1;
        let id = ConversationId::in_partition(partition, number);
        assert_eq!(id.value(), 0xffff_ffff_ffff);
        assert_eq!((id.partition(), id.number()), (Some(partition), number));
        let next = ConversationId::new(id.value() + 1);
        assert_eq!((next.partition(), next.number()), (None, 0));
        assert_eq!(
            ConversationId::new(5).partition(),
            Some(PartitionId::new(0))
        );
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
