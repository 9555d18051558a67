//! How large buffers and files become: as the server has them, or a part of that, for tests.

use std::num::NonZeroU32;

/// Divides every size at which a buffer is flushed, a file is ended, or tables are merged. Only tests have another than `FULL`: they
/// see in kilobytes what takes gigabytes otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    divisor: NonZeroU32,
}

impl Scale {
    /// The sizes of the server.
    pub const FULL: Self = Self {
        divisor: NonZeroU32::MIN,
    };

    /// Sizes so many times smaller.
    pub const fn one_in(divisor: NonZeroU32) -> Self {
        Self { divisor }
    }

    pub(super) fn bytes(self, full: u64) -> u64 {
        (full / u64::from(self.divisor.get())).max(1)
    }

    /// The same of what is kept in memory.
    pub(super) fn memory(self, full: usize) -> usize {
        (full / self.divisor.get() as usize).max(1)
    }
}

impl Default for Scale {
    fn default() -> Self {
        Self::FULL
    }
}
