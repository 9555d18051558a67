//! What has happened before the rows are damaged: accounts with tokens, direct chats, groups that live and one that has ended,
//! messages with and without a mid, markers, and whatever the input adds. Must not damage anything.

use chat::{AccountCommand, Input, RequestId};

use super::NAMES;
use super::world::World;
use crate::feed::Feed;

/// Messages that an input may add.
const MORE_MAX: usize = 12;
pub(super) const CONVERSATIONS: [&str; 5] = ["@alice", "@bob", "@carol", "eng", "ops"];

/// The mid of a message from alice to bob.
pub(super) const MID: &str = "m1";

/// Who publishes what where.
const BEFORE: [(usize, &str, &str); 18] = [
    (0, "im/to/@bob", r#"{"mid":"m1","text":"hi"}"#),
    (1, "im/to/@alice", "hi yourself"),
    (0, "im/to/@bob/read", r#"{"seq":2}"#),
    (
        2,
        "im/to/@bob",
        r#"{"mid":"m2","text":"x","x":{"pos":"1"}}"#,
    ),
    (0, "im/to/@alice", "a note"),
    (
        0,
        "im/ask/group.create",
        r#"{"slug":"eng","title":"Engineering","open":true,"accounts":["bob"]}"#,
    ),
    (1, "im/to/eng", "first"),
    (2, "im/ask/group.create", r#"{"slug":"gone"}"#),
    (2, "im/to/gone", "nobody will read this"),
    (2, "im/ask/group.delete", r#"{"conv":"gone","slug":"gone"}"#),
    (2, "im/ask/group.create", r#"{"slug":"left"}"#),
    (2, "im/to/left", "nor this"),
    (2, "im/ask/group.leave", r#"{"conv":"left"}"#),
    (
        1,
        "im/ask/group.create",
        r#"{"slug":"ops","accounts":["carol"]}"#,
    ),
    (2, "im/to/ops", r#"{"mid":"m3","text":"second"}"#),
    (1, "im/to/ops/read", r#"{"seq":1}"#),
    (0, "im/to/eng", r#"{"text":"third","reply":1}"#),
    (1, "im/to/@carol", "so it is"),
];

/// See the file's header.
pub(super) fn live(world: &mut World, feed: &mut Feed<'_>) {
    for (number, device) in (1u8..).zip([0, 1, 1]) {
        let Some(account) = world.account(device) else {
            continue;
        };
        world.handle(Input::Account {
            request: RequestId(0),
            command: AccountCommand::AddToken {
                account,
                sha256: [number; 32],
                label: "bot".to_owned(),
                expires: None,
            },
        });
    }
    for (device, topic, payload) in BEFORE {
        world.publish(device, topic, payload.as_bytes(), 0);
    }
    for _ in 0..feed.below(MORE_MAX + 1) {
        let device = feed.below(NAMES.len());
        let topic = format!("im/to/{}", feed.choose(&CONVERSATIONS));
        let text = vec![b'a' + feed.byte() % 26; usize::from(feed.byte())];
        world.publish(device, &topic, &text, 0);
    }
    world.pass(2_000);
    world.end();
}
