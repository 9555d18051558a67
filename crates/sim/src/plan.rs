//! What kind of world a seed makes: how many shards and clients, how tight the limits, how rough the weather.

use broker::{Limits, Settings};

use crate::dice::Dice;

const FILTERS: [&str; 14] = [
    "a",
    "a/b",
    "a/+",
    "a/#",
    "#",
    "+/b",
    "+/+/c",
    "b",
    "b/#",
    "own",
    "+",
    "$share/g/a/#",
    "$share/h/+",
    "$share/g/b",
];

/// One world's frame.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) shards: u16,
    pub(crate) clients: usize,
    pub(crate) steps: usize,
    pub(crate) settings: Settings,
    /// How rough: weights of what goes wrong.
    pub(crate) cuts: u32,
    pub(crate) crashes: u32,
    pub(crate) restarts: u32,
    /// Percent of clients that keep their sessions, and of those that speak MQTT 5.
    pub(crate) persistent: u32,
    pub(crate) v5: u32,
    /// Percent of CONNECTs of those that begin anew all the same.
    pub(crate) clean: u32,
    /// Bytes that a socket takes.
    pub(crate) socket_room: usize,
    /// What clients subscribe to: many filters that overlap, or a few.
    pub(crate) filters: Vec<&'static str>,
    /// Largest payload.
    pub(crate) payload_max: u64,
    /// Weight of a commit: how fast the disk is.
    pub(crate) disk: u32,
    /// The only quality of service used, if there is only one.
    pub(crate) qos: Option<u8>,
    /// Percent of MQTT 5 publishes that expire.
    pub(crate) expires: u32,
    /// Some connections have a keep-alive.
    pub(crate) keeps_alive: bool,
}

impl Plan {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let tight = dice.percent(30);
        Self {
            shards: *dice.pick(&[1, 1, 1, 2, 2, 3, 4]),
            clients: dice.between(2, 6) as usize,
            steps: dice.between(100, 3000) as usize,
            settings: Settings {
                limits: limits(dice, tight),
                allow_anonymous: true,
                ..Settings::default()
            },
            cuts: *dice.pick(&[0, 1, 1, 2, 5]),
            crashes: *dice.pick(&[0, 0, 1, 2, 5]),
            restarts: *dice.pick(&[0, 0, 0, 1]),
            persistent: *dice.pick(&[0, 50, 80, 100]),
            v5: *dice.pick(&[0, 50, 50, 100]),
            clean: *dice.pick(&[0, 0, 5, 20]),
            socket_room: *dice.pick(&[50, 300, 2000, 1_000_000]),
            filters: filters(dice),
            payload_max: *dice.pick(&[8, 8, 40, 300]),
            disk: *dice.pick(&[2, 10, 40]),
            qos: *dice.pick(&[None, None, None, Some(1), Some(2)]),
            expires: *dice.pick(&[0, 0, 15, 50]),
            keeps_alive: dice.percent(30),
        }
    }
}

fn filters(dice: &mut Dice) -> Vec<&'static str> {
    let mut filters = FILTERS.to_vec();
    let kept = *dice.pick(&[2, 4, filters.len()]);
    while filters.len() > kept {
        filters.swap_remove(dice.below(filters.len()));
    }
    filters
}

fn limits(dice: &mut Dice, tight: bool) -> Limits {
    let mut limits = Limits {
        receive_maximum: *dice.pick(&[2, 5, 20, 1024]),
        topic_alias_maximum: *dice.pick(&[0, 2, 32]),
        inflight_max: *dice.pick(&[1, 2, 10, 1024]),
        outgoing_bytes_max: *dice.pick(&[64, 500, 256 * 1024]),
        appends_max: *dice.pick(&[2, 10, 16_384]),
        deliveries_at_once_max: *dice.pick(&[1, 1, 3, 4096]),
        session_expiry_max_secs: *dice.pick(&[60, 7 * 24 * 3600]),
        ..Limits::default()
    };
    if tight {
        limits.queued_messages_max = *dice.pick(&[2, 10]);
        limits.stored_messages_max = *dice.pick(&[2, 10]);
    }
    limits
}
