//! Where in the queue table the bytes are: a stamp for about each MiB that a shard has put there.

use records::Stamp;

/// So many bytes go into the queue table from one mark to the next.
const MARK_BYTES: u64 = 1024 * 1024;
/// Marks that are kept until they are asked for; without the later ones it is only known less well where the bytes are.
const MARKS_MAX: usize = 4096;

/// The marks since they were last asked for.
#[derive(Debug, Default)]
pub(crate) struct QueueMarks(Vec<Stamp>);

impl QueueMarks {
    /// The message with this stamp has brought the total of bytes from `before` to `after`.
    pub(crate) fn note(&mut self, stamp: Stamp, before: u64, after: u64) {
        let crosses = before / MARK_BYTES != after / MARK_BYTES;
        if crosses && self.0.len() < MARKS_MAX {
            self.0.push(stamp);
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Stamp> {
        std::mem::take(&mut self.0)
    }
}
