//! A stretch of the key space. Must not know how keys are laid out.

/// Keys from `from` up to but not including `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that belongs to it.
    pub from: Vec<u8>,
    /// The first key that no longer does.
    pub to: Vec<u8>,
}

impl KeyRange {
    /// The first key that belongs to it, and the first that no longer does.
    pub fn ends(&self) -> (&[u8], &[u8]) {
        (&self.from, &self.to)
    }

    /// All keys that begin with `prefix`, whose first byte is a table.
    pub fn prefix(prefix: Vec<u8>) -> Self {
        let mut to = prefix.clone();
        while to.last() == Some(&u8::MAX) {
            to.pop();
        }
        // Every table byte is below 0xff, so something is left to count up.
        let last = to.last_mut().expect("a prefix begins with a table");
        *last += 1;
        Self { from: prefix, to }
    }
}
