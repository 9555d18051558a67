//! `[log]`: What is written to standard error.

use crate::config::check;
use crate::config::slot::{Key, Slot, fixed, live};
use crate::config::values::{Config, LogFormat};

pub(super) static KEYS: &[Key<Config>] = &[
    live(
        "level",
        Slot::Text {
            at: |c| &mut c.log.level,
            check: check::log_level,
            expected: "`error`, `warn`, `info`, `debug`, `trace`, or `target=level` pairs separated by commas",
        },
        "How much is written; a level, or levels by part as in `info,net=debug`. The environment variable `RUST_LOG` goes first.",
    ),
    fixed(
        "format",
        Slot::Choice {
            words: &["text", "json"],
            index: |c| match c.log.format {
                LogFormat::Text => 0,
                LogFormat::Json => 1,
            },
            choose: |c, index| {
                c.log.format = if index == 0 {
                    LogFormat::Text
                } else {
                    LogFormat::Json
                }
            },
        },
        "`text` for people, `json` for one object per line.",
    ),
];
