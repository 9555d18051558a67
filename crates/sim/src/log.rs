//! What happened, in words, for whoever has to understand a failure. It is written only when asked for: a seed
//! that failed is run again with it.

use std::collections::VecDeque;

/// Lines kept: the last ones.
const LINES_MAX: usize = 2000;

/// The last events of a world.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: Option<VecDeque<String>>,
}

impl Log {
    pub(crate) fn new(wanted: bool) -> Self {
        Self {
            lines: wanted.then(VecDeque::new),
        }
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let Some(lines) = &mut self.lines else {
            return;
        };
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line());
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default().into()
    }
}
