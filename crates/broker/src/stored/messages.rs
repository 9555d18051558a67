//! What a shard knows of the queue table as a whole: which stored messages have been routed here, where in the table the bytes
//! are, and whether there is room for more.

use records::Stamp;

use crate::io::Pressure;
use crate::stored::queue_marks::QueueMarks;

/// Shards of a server at most, by the bits that a stamp has for them.
const STAMPED_SHARDS: usize = 256;

/// The queue table as this shard sees it.
#[derive(Debug)]
pub(crate) struct StoredMessages {
    /// Per shard of origin, the newest stamp that was routed here.
    routed: Vec<Stamp>,
    marks: QueueMarks,
    pressure: Pressure,
}

impl Default for StoredMessages {
    fn default() -> Self {
        Self {
            routed: vec![Stamp::ZERO; STAMPED_SHARDS],
            marks: QueueMarks::default(),
            pressure: Pressure::default(),
        }
    }
}

impl StoredMessages {
    /// A stored message has found its recipients here.
    pub(crate) fn note_routed(&mut self, stamp: Stamp) {
        raise(&mut self.routed, stamp);
    }

    /// Per shard of origin, the newest stored message that was routed here.
    pub(crate) fn routed(&self) -> &[Stamp] {
        &self.routed
    }

    /// The newest of all that were routed here.
    pub(crate) fn newest_routed(&self) -> Stamp {
        self.routed.iter().copied().max().unwrap_or(Stamp::ZERO)
    }

    /// The message with this stamp has brought the bytes that were written to the table from `before` to `after`.
    pub(crate) fn note_written(&mut self, stamp: Stamp, before: u64, after: u64) {
        self.marks.note(stamp, before, after);
    }

    /// Stamps between which about a MiB was written each, since this was last asked.
    pub(crate) fn take_marks(&mut self) -> Vec<Stamp> {
        self.marks.take()
    }

    /// How much waits on disk in the whole server.
    pub(crate) fn press(&mut self, pressure: Pressure) {
        self.pressure = pressure;
    }

    /// Whether nothing more is taken that would have to wait on disk.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.pressure.full
    }

    /// Whether nothing at all is taken that would have to be stored.
    #[inline]
    pub(crate) fn is_disk_full(&self) -> bool {
        self.pressure.disk_full
    }
}

/// Sets the newest stamp of its shard to this one, if it is newer.
pub(crate) fn raise(newest: &mut [Stamp], stamp: Stamp) {
    let known = &mut newest[usize::from(stamp.shard())];
    *known = (*known).max(stamp);
}
