//! What one account may store in conversations, so that it does not fill the disk of all.

use chat::Input;

use crate::world::World;

/// How many messages of 10,000 bytes an account can send until one is refused for its share.
fn send_all(world: &mut World, name: &str, topic: &str) -> usize {
    let device = world.device(name);
    for sent in 0.. {
        match world.publish(device, topic, "x".repeat(10_000)) {
            Some(Ok(())) => {}
            Some(Err(refusal)) => {
                assert_eq!(refusal.code, "quota", "{refusal:?}");
                assert!(refusal.sentence.contains("share"), "{refusal:?}");
                return sent;
            }
            None => panic!("it is open what became of it"),
        }
    }
    unreachable!("there is a limit")
}

fn connect(world: &mut World) {
    for name in ["alice", "bob", "carol"] {
        let device = world.connect(name);
        world.subscribe(device, "im/#");
    }
}

/// Messages that a crash may make an account forget: what it has stored is written down every 64 KiB.
const FORGOTTEN: usize = 6;

#[test]
fn an_account_has_stored_no_more_than_there_is_room_for() {
    let mut world = World::with(chat::Settings {
        stored_bytes_per_account_max: 200_000,
        messages_per_second_max: 1_000_000,
        messages_burst_max: 1_000_000,
        ..chat::Settings::default()
    });
    for name in ["alice", "bob", "carol"] {
        world.add(name);
    }
    connect(&mut world);
    // 10,256 bytes each.
    assert_eq!(send_all(&mut world, "alice", "im/to/@bob"), 19);
    // Others have their own share, and reading is free.
    world.say("bob", "im/to/@alice", "hi");
    world.restart();
    connect(&mut world);
    let forgotten = send_all(&mut world, "alice", "im/to/@bob");
    assert!(forgotten <= FORGOTTEN, "{forgotten}");

    // Leaving a group does not make room in it, but deleting it does.
    let created = world.ask(
        "carol",
        "group.create",
        r#"{"slug":"g","accounts":["bob"]}"#,
    );
    assert!(created["error"].is_null(), "{created}");
    assert_eq!(send_all(&mut world, "carol", "im/to/g"), 19);
    world.ask("carol", "group.leave", r#"{"conv":"g"}"#);
    assert_eq!(send_all(&mut world, "carol", "im/to/@bob"), 0);
    assert_eq!(send_all(&mut world, "bob", "im/to/g"), 19);
    world.ask("bob", "group.delete", r#"{"conv":"g","slug":"g"}"#);
    assert_eq!(send_all(&mut world, "bob", "im/to/@alice"), 19);
}

#[test]
fn what_an_account_has_stored_is_known_after_a_while_to_the_byte() {
    let mut world = World::with(chat::Settings {
        stored_bytes_per_account_max: 50_000,
        ..chat::Settings::default()
    });
    for name in ["alice", "bob", "carol"] {
        world.add(name);
    }
    connect(&mut world);
    world.ask(
        "bob",
        "group.create",
        r#"{"slug":"g","accounts":["alice"]}"#,
    );
    assert_eq!(send_all(&mut world, "alice", "im/to/g"), 4);
    // A while after its last device has gone it is forgotten, and written down before.
    let alice = world.device("alice");
    world.disconnect(alice);
    world.pass(20 * 60 * 1_000);
    world.restart();
    connect(&mut world);
    assert_eq!(send_all(&mut world, "alice", "im/to/@bob"), 0);
    // Who is not there gets it back all the same.
    world.restart();
    let bob = world.connect("bob");
    world.subscribe(bob, "im/#");
    let deleted = world.ask("bob", "group.delete", r#"{"conv":"g","slug":"g"}"#);
    assert!(deleted["error"].is_null(), "{deleted}");
    world.restart();
    connect(&mut world);
    assert_eq!(send_all(&mut world, "alice", "im/to/@bob"), 4);
}

#[test]
fn where_nothing_else_is_said_the_share_is_what_the_disk_has_room_for() {
    let mut world = World::of(&["alice", "bob"]);
    world.handle(Input::DiskRoom(25_000));
    assert_eq!(send_all(&mut world, "alice", "im/to/@bob"), 2);
    world.handle(Input::DiskRoom(45_000));
    assert_eq!(send_all(&mut world, "alice", "im/to/@bob"), 2);
    assert_eq!(send_all(&mut world, "bob", "im/to/@alice"), 4);
}
