//! What small and old clients send, and is let pass.

use mqtt_codec::Version::V31;

use crate::connect::accepted;
use crate::packets::hello;
use crate::world::{ALL, World, open_settings};

// MQTT 3.1 section 3.1: reserved bits and those of a will that there is not are disregarded.
#[test]
fn version_3_1_disregards_connect_flags_that_mean_nothing() {
    for flags in [0x03, 0x0A, 0x1A, 0x22] {
        let mut world = World::new();
        let client = world.open(V31);
        world.send(client, &hello(V31, "c").bytes_with_flags(flags));
        assert_eq!(world.take(client), [accepted(false)], "{flags:02x}");
    }
}

#[test]
fn an_empty_user_name_is_none_where_none_is_needed() {
    for version in ALL {
        let mut world = World::new();
        world.join(&hello(version, "c").login(""));
        let mut settings = open_settings();
        settings.allow_anonymous = false;
        let mut world = World::with(1, settings);
        let client = world.connect(&hello(version, "c").login(""));
        assert_eq!(world.take(client).len(), 1);
        assert!(world.is_closed(client));
    }
}
