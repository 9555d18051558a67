//! An account or a token that is closed while one of its clients is on its way in: checked already or not, on its own shard or
//! on the way to another.

use std::sync::Arc;

use broker::Input;
use mqtt_codec::ReasonCode;
use mqtt_codec::Version::{V5, V311};

use crate::chat::device;
use crate::got::Got;
use crate::logins::token_of;
use crate::world::{World, account, open_settings};

fn close(world: &mut World, name: &str) {
    for shard in 0..world.shards.len() {
        let input = Input::CloseAccount {
            account: account(name).expect("an account"),
            reason: ReasonCode::ADMINISTRATIVE_ACTION,
        };
        world.input(shard, input);
    }
}

#[test]
fn a_client_whose_account_was_closed_after_its_connect_does_not_come_in() {
    for version in [V5, V311] {
        let mut world = World::with(2, open_settings());
        world.slow_logins = true;
        // Sessions of either shard, connected through the first.
        let clients: Vec<_> = (0..8)
            .map(|number| world.connect(&device(version, &number.to_string(), "alice")))
            .collect();
        let bob = world.connect(&device(version, "phone", "bob"));
        close(&mut world, "alice");
        world.check_logins();
        for client in clients {
            let got = world.take(client);
            let [Got::Connack { code, .. }] = got[..] else {
                panic!("{got:?}");
            };
            assert_eq!(code, if version == V5 { 0x87 } else { 5 });
            assert!(world.is_closed(client));
        }
        assert!(matches!(
            world.take(bob)[..],
            [Got::Connack { code: 0, .. }]
        ));
        let sessions = |world: &World| -> usize {
            let shards = world.shards.iter();
            shards.map(|shard| shard.population().sessions).sum()
        };
        assert_eq!(sessions(&world), 1);
        // Whoever comes later is judged by the credentials of then.
        world.advance(1);
        world.slow_logins = false;
        for number in 0..8 {
            world.join(&device(version, &number.to_string(), "alice"));
        }
        assert_eq!(sessions(&world), 9);
    }
}

#[test]
fn a_client_whose_session_is_being_stored_is_closed_too() {
    let mut world = World::new();
    world.slow_disk = true;
    let client = world.connect(&device(V5, "phone", "alice").persistent());
    close(&mut world, "alice");
    assert!(world.is_closed(client));
    world.commit();
    assert_eq!(world.take(client), []);
}

/// Of the clients of this world `bob` comes by a token.
#[test]
fn a_token_that_is_revoked_closes_what_it_has_opened_and_nothing_else() {
    let mut world = World::with(2, open_settings());
    let revoke = |world: &mut World, token: Arc<[u8; 32]>| {
        for shard in 0..world.shards.len() {
            let input = Input::CloseToken {
                account: account("bob").expect("an account"),
                token: token.clone(),
                reason: ReasonCode::ADMINISTRATIVE_ACTION,
            };
            world.input(shard, input);
        }
    };
    let alice = world.join(&device(V5, "phone", "alice"));
    let bob: Vec<_> = (0..4)
        .map(|number| world.join(&device(V5, &number.to_string(), "bob")))
        .collect();
    revoke(&mut world, Arc::new([8; 32]));
    assert!(!bob.iter().any(|client| world.is_closed(*client)));
    let token = token_of("bob").expect("a token");
    revoke(&mut world, token.clone());
    for client in bob {
        assert!(world.is_closed(client));
    }
    assert!(!world.is_closed(alice));

    // On the way in.
    world.advance(1);
    world.slow_logins = true;
    let late = world.connect(&device(V5, "late", "bob"));
    revoke(&mut world, token);
    world.check_logins();
    assert!(matches!(
        world.take(late)[..],
        [Got::Connack { code: 0x87, .. }]
    ));
}
