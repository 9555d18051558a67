//! What a device is called where others see it: not its client id, which is its own business, but a word that stays the same for as
//! long as the client id does. Must not know which devices are connected.

use std::fmt;

use records::AccountId;
use sha2::{Digest, Sha256};

/// See the file's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DeviceId(u64);

/// Digits of one.
const DIGITS: usize = 16;

impl DeviceId {
    /// Of something that no device does.
    pub(crate) const NONE: Self = Self(0);

    /// The device of an account that has this client id.
    pub(crate) fn of(account: AccountId, client_id: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(account.value().to_be_bytes());
        hash.update(client_id);
        let hash: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = hash;
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// One that was written with `Display`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != DIGITS || !text.as_bytes().iter().all(is_digit) {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_one_word_and_another_account_s_another() {
        let (alice, bob) = (AccountId::new(1), AccountId::new(2));
        let phone = DeviceId::of(alice, "phone");
        assert_eq!(phone, DeviceId::of(alice, "phone"));
        assert_ne!(phone, DeviceId::of(alice, "laptop"));
        assert_ne!(phone, DeviceId::of(bob, "phone"));
        let word = phone.to_string();
        assert_eq!((word.len(), DeviceId::parse(&word)), (16, Some(phone)));
        for wrong in [
            "",
            "phone",
            "0",
            "00000000000000zz",
            "+000000000000001",
            "00000000000000000",
        ] {
            assert_eq!(DeviceId::parse(wrong), None, "{wrong}");
        }
        let upper = word.to_uppercase();
        assert!(upper == word || DeviceId::parse(&upper).is_none());
    }
}
