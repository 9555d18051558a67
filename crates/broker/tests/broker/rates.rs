//! An account that publishes too fast is not read for a while: nothing is lost, and others do not notice.

use mqtt_codec::Version;
use mqtt_codec::Version::{V5, V311};

use crate::got::Got;
use crate::packets::{hello, message, ping};
use crate::world::{World, open_settings};

fn burst(version: Version, count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|number| {
            message(
                version,
                "t",
                number.to_string(),
                1,
                number as u16 + 1,
                false,
            )
        })
        .collect()
}

#[test]
fn a_fast_publisher_is_read_as_fast_as_it_may_and_loses_nothing() {
    for version in [V311, V5] {
        let mut world = World::limited(|limits| limits.publishes_per_second_max = 10);
        let subscriber = world.guest(V5, "s");
        world.subscribe(subscriber, "t", 0);
        let fast = world.guest(version, "fast");
        let slow = world.guest(version, "slow");
        world.send(fast, &burst(version, 50));
        assert_eq!(world.messages(subscriber).len(), 20, "the burst");
        for _ in 0..30 {
            world.advance(100);
            assert_eq!(world.messages(subscriber).len(), 1);
        }
        world.advance(10_000);
        assert_eq!(world.messages(subscriber).len(), 0);
        assert_eq!(world.take(fast).len(), 50, "each is acknowledged");
        assert!(!world.is_closed(fast));
        assert!(world.shards[0].counters().publishers_slowed >= 30);
        // Somebody else has an allowance of its own, also while the first one waits.
        world.send(fast, &burst(version, 50));
        world.messages(subscriber);
        world.send(slow, &[burst(version, 1), ping()].concat());
        assert_eq!(world.take(slow), [Got::Puback(1, 0), Got::Pingresp]);
    }
}

#[test]
fn the_devices_of_an_account_share_its_allowance() {
    let mut settings = open_settings();
    settings.limits.publishes_per_second_max = 10;
    let mut world = World::with(1, settings);
    let subscriber = world.guest(V5, "s");
    world.subscribe(subscriber, "t", 0);
    let devices: Vec<_> = ["phone", "laptop"]
        .map(|device| world.join(&hello(V5, device).login("alice")))
        .into();
    for device in &devices {
        world.send(*device, &burst(V5, 15));
    }
    // The second device finds what the first has left.
    assert_eq!(world.messages(subscriber).len(), 20);
    world.advance(60_000);
    assert_eq!(world.messages(subscriber).len(), 10);
}

#[test]
fn an_account_has_one_allowance_whichever_shards_its_devices_are_on() {
    let mut settings = open_settings();
    settings.limits.publishes_per_second_max = 10;
    let mut world = World::with(4, settings);
    let subscriber = world.guest(V5, "s");
    world.subscribe(subscriber, "t", 0);
    let devices: Vec<_> = (0..8)
        .map(|number| world.join(&hello(V5, &format!("d{number}")).login("alice")))
        .collect();
    let shards: std::collections::BTreeSet<_> =
        devices.iter().map(|one| world.shard_of(*one)).collect();
    assert!(shards.len() > 1);
    for device in &devices {
        world.send(*device, &burst(V5, 50));
    }
    // The burst, and at most one more of each device: it is charged when it has been read.
    let got = world.messages(subscriber).len();
    assert!((20..20 + devices.len()).contains(&got), "{got}");
    for _ in 0..5 {
        world.advance(1000);
        let got = world.messages(subscriber).len();
        assert!((8..=12).contains(&got), "{got} in a second");
    }
    // Somebody else has an allowance of its own.
    let bob = world.join(&hello(V5, "b").login("bob"));
    world.send(bob, &burst(V5, 15));
    assert_eq!(world.take(bob).len(), 15);
    world.advance(60_000);
    assert_eq!(world.take(devices[0]).len(), 50, "nothing is lost");
}

#[test]
fn a_publisher_that_is_not_read_is_not_called_silent() {
    let mut world = World::limited(|limits| limits.publishes_per_second_max = 1);
    let fast = world.join(&hello(V5, "fast").keep_alive(2));
    world.send(fast, &burst(V5, 10));
    world.advance(5_000);
    world.send(fast, &ping());
    world.advance(4_500);
    assert!(!world.is_closed(fast));
    let got = world.take(fast);
    assert_eq!((got.len(), got.last()), (11, Some(&Got::Pingresp)));
}
