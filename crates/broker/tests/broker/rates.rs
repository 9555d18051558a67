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
