//! One direction of a pipe: the bytes that have been written and not read, and which side waits. It calls nobody.

use std::io;

use bytes::{Bytes, BytesMut};

use crate::received::Received;

/// Bytes under way from one end to the other.
#[derive(Debug, Default)]
pub(super) struct Direction {
    bytes: BytesMut,
    /// Nothing more will be written.
    finished: bool,
    /// Nobody will read any more.
    abandoned: bool,
    /// The reader has found nothing and wants to be told.
    reader_waits: bool,
    /// The writer has found no room and wants to be told.
    writer_waits: bool,
}

impl Direction {
    /// What there is, `most` bytes of it. A direction that is empty keeps no memory.
    pub(super) fn take(&mut self, most: usize) -> Option<Bytes> {
        if self.bytes.is_empty() {
            return None;
        }
        let taken = if self.bytes.len() <= most {
            std::mem::take(&mut self.bytes)
        } else {
            self.bytes.split_to(most)
        };
        Some(taken.freeze())
    }

    /// What a reader that has found no bytes is told; it waits from here on, unless none can come.
    pub(super) fn nothing(&mut self) -> Received {
        if self.finished {
            return Received::Closed;
        }
        self.reader_waits = true;
        Received::Blocked
    }

    /// Appends what there is room for.
    pub(super) fn append(&mut self, bytes: &[u8], capacity: usize) -> io::Result<usize> {
        if self.abandoned || self.finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(capacity - self.bytes.len());
        if count == 0 {
            self.writer_waits = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.bytes.is_empty() {
            // Mostly it is read before more comes.
            self.bytes = BytesMut::with_capacity(count);
        }
        self.bytes.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// Room for a writer, who waits if there is none; `None` if nobody will read.
    pub(super) fn room(&mut self, capacity: usize) -> Option<usize> {
        if self.abandoned || self.finished {
            return None;
        }
        let room = capacity - self.bytes.len();
        self.writer_waits |= room == 0;
        Some(room)
    }

    pub(super) fn finish(&mut self) {
        self.finished = true;
    }

    /// Nobody will read: what was not read is given back to be let go of.
    pub(super) fn abandon(&mut self) -> BytesMut {
        self.abandoned = true;
        std::mem::take(&mut self.bytes)
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Whether a reader that begins to be told has something to read; if not, it waits from here on.
    pub(super) fn is_readable_now(&mut self) -> bool {
        let readable = self.finished || !self.bytes.is_empty();
        self.reader_waits = !readable;
        readable
    }

    /// Whether a writer that begins to be told need not wait any longer for room it has waited for.
    pub(super) fn is_writable_now(&mut self, capacity: usize) -> bool {
        let room = self.abandoned || self.bytes.len() < capacity;
        room && std::mem::take(&mut self.writer_waits)
    }

    /// Whether the reader has to be told; it is told once.
    pub(super) fn bytes_were_awaited(&mut self) -> bool {
        std::mem::take(&mut self.reader_waits)
    }

    /// Whether the writer has to be told; it is told once.
    pub(super) fn room_was_awaited(&mut self) -> bool {
        std::mem::take(&mut self.writer_waits)
    }

    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        self.bytes.capacity()
    }
}
