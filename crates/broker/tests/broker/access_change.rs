//! An access list that allows less than before, on a reload and over a restart.

use std::sync::Arc;

use broker::{AccessList, Action, Input, Rule, Settings, Verdict, Who};
use mqtt_codec::Version::V5;

use crate::got::Got;
use crate::packets::{Hello, hello};
use crate::world::{Client, World, open_settings, resident};

/// How the list changes.
type Change = fn(&mut World, Settings);

fn rule(verdict: Verdict, filter: &str) -> Rule {
    Rule {
        verdict,
        actions: vec![Action::Publish, Action::Subscribe],
        who: Who::Everyone,
        filter: filter.into(),
    }
}

/// Where accounts may use what these rules allow.
fn closed(rules: Vec<Rule>) -> Settings {
    Settings {
        allow_anonymous: false,
        access: AccessList::new(rules),
        ..open_settings()
    }
}

fn wide() -> Settings {
    closed(vec![rule(Verdict::Allow, "#")])
}

fn narrow() -> Settings {
    closed(vec![
        rule(Verdict::Deny, "secret/#"),
        rule(Verdict::Allow, "#"),
    ])
}

fn reload(world: &mut World, settings: Settings) {
    world.settings = Arc::new(settings);
    for shard in 0..world.shards.len() {
        let settings = world.settings.clone();
        world.input(shard, Input::Reconfigure(settings));
    }
    world.settle();
}

fn restart(world: &mut World, settings: Settings) {
    world.settings = Arc::new(settings);
    world.restart();
}

fn alice() -> Hello {
    resident(V5, "alices").login("alice")
}

fn sum(world: &World, count: impl Fn(&broker::Counters) -> u64) -> u64 {
    let counts = world.shards.iter().map(|shard| count(&shard.counters()));
    counts.sum()
}

/// What a lasting session receives of two messages that waited for it, and of two that come later, when the list has become narrow.
fn check(change: Change, offline: bool) {
    let mut world = World::with(2, wide());
    let client = world.join(&alice());
    for filter in ["secret/#", "open/#", "$share/g/secret/a"] {
        world.subscribe(client, filter, 1);
    }
    let publisher = |world: &mut World| world.join(&hello(V5, "p").login("root"));
    if offline {
        world.cut(client);
    } else {
        world.block(client, true);
    }
    let root = publisher(&mut world);
    world.publish(root, "secret/x", "waited", 1);
    world.publish(root, "open/x", "waited", 1);

    change(&mut world, narrow());
    assert_eq!(sum(&world, |counters| counters.subscriptions_revoked), 2);
    let is_there = !world.is_closed(client);
    let client = if is_there {
        world.block(client, false);
        client
    } else {
        world.join_and_keep(&alice())
    };
    let texts = world.texts(client);
    assert!(texts.contains(&"open/x waited".to_owned()), "{texts:?}");
    if offline {
        assert_eq!(texts, ["open/x waited"]);
    }
    let root = publisher(&mut world);
    world.publish(root, "secret/a", "later", 1);
    world.publish(root, "open/a", "later", 1);
    assert_eq!(world.texts(client), ["open/a later"]);

    // It is so for good: the list that was there before brings nothing back.
    restart(&mut world, wide());
    assert_eq!(sum(&world, |counters| counters.subscriptions_revoked), 0);
    let client = world.join_and_keep(&alice());
    world.texts(client);
    let root = publisher(&mut world);
    world.publish(root, "secret/a", "at last", 1);
    assert_eq!(world.texts(client), Vec::<String>::new());
}

#[test]
fn a_tightened_list_ends_what_it_no_longer_allows_on_a_reload() {
    check(reload, true);
    check(reload, false);
}

#[test]
fn a_tightened_list_ends_what_it_no_longer_allows_over_a_restart() {
    check(restart, true);
}

#[test]
fn a_will_that_is_no_longer_allowed_is_withdrawn() {
    for change in [reload, restart] {
        let mut world = World::with(1, wide());
        let client = world.join(&alice().will("secret/will", "gone", 1, false));
        let watcher = hello(V5, "watcher").login("root");
        change(&mut world, narrow());
        let watching = world.join(&watcher);
        world.subscribe(watching, "#", 1);
        if !world.is_closed(client) {
            world.cut(client);
        }
        world.advance(60_000);
        assert_eq!(world.texts(watching), Vec::<String>::new());
    }
}

#[test]
fn clients_without_an_account_go_when_they_are_no_longer_let_in() {
    let changes: [(Change, &[Got]); 2] = [(reload, &[Got::Disconnect(0x87)]), (restart, &[])];
    for (change, expected) in changes {
        let mut world = World::with(2, open_settings());
        let connected: Vec<Client> = (0..4)
            .map(|number| world.join(&resident(V5, &format!("here {number}"))))
            .collect();
        for number in 0..4 {
            let offline = world.join(&resident(V5, &format!("offline {number}")));
            world.cut(offline);
        }
        let account = world.join(&alice());
        world.cut(account);
        change(&mut world, wide());
        for client in connected {
            assert_eq!(world.take(client), expected);
            assert!(world.is_closed(client));
        }
        let sessions = world.shards.iter().map(|shard| shard.population().sessions);
        assert_eq!(sessions.sum::<usize>(), 1, "only that of the account");
        assert_eq!(sum(&world, |counters| counters.sessions_revoked), 8);
        restart(&mut world, open_settings());
        let sessions = world.shards.iter().map(|shard| shard.population().sessions);
        assert_eq!(sessions.sum::<usize>(), 1, "on disk as well");
    }
}
