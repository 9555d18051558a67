//! `[server]`: The data directory and what an acknowledgement promises.

use super::BYTES_MAX;
use crate::config::slot::{Key, Slot, TimeUnit, fixed, live, seconds, size};
use crate::config::values::{Config, Durability};

pub(super) static KEYS: &[Key<Config>] = &[
    fixed(
        "data",
        Slot::Path(|c| &mut c.server.data),
        "The data directory; made on the first start, used by one server at a time.",
    ),
    fixed(
        "durability",
        Slot::Choice {
            words: &["always", "interval"],
            index: |c| match c.server.durability {
                Durability::Always => 0,
                Durability::Interval => 1,
            },
            choose: |c, index| {
                c.server.durability = if index == 0 {
                    Durability::Always
                } else {
                    Durability::Interval
                }
            },
        },
        "`always`: an acknowledged message is on disk (fsync). `interval`: it is within `durability_interval_ms`; a power cut may lose that much.",
    ),
    fixed(
        "durability_interval_ms",
        Slot::Time {
            at: |c| &mut c.server.durability_interval,
            range: (1, 60_000),
            unit: TimeUnit::Milliseconds,
        },
        "How often the disk is synchronised when `durability` is `interval`.",
    ),
    live(
        "audit_secs",
        seconds(|c| &mut c.server.audit_age_max, 3_600, 1_000_000_000),
        "How long a change of accounts and limits can be read with `magpie audit`.",
    ),
    live(
        "audit_rows_max",
        size(|c| &mut c.server.audit_rows_max, 1, 1_000_000, "changes"),
        "How many changes can be; the oldest is forgotten for a new one.",
    ),
    live(
        "disk_free_min",
        size(|c| &mut c.server.disk_free_min, 0, BYTES_MAX, "bytes"),
        "With fewer bytes free where the data directory is, nothing is taken that would have to be stored (0x97) until there is a quarter more. The store writes up to an eighth of its size for a while when it tidies up: give a disk that it shares more. 0 switches this off.",
    ),
    live(
        "clock_believed_secs",
        seconds(|c| &mut c.server.clock_believed, 1, 1_000_000_000),
        "When the machine's clock jumps ahead by more than a minute, nothing expires by that before it has stayed so for so long. Time that the machine was asleep is no jump.",
    ),
];
