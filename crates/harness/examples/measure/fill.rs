//! Fills a server as clients do: persistent sessions that leave, and messages for them, each acknowledged.

use std::net::SocketAddr;
use std::time::Instant;

use harness::{Client, Dial, Event, PATIENCE, QoS, Version};

/// Clients at once: enough that each commit of the server holds many of them.
const CLIENTS: usize = 64;
const PUBLISHERS: usize = 16;
/// Unacknowledged messages of one publisher.
const WINDOW: usize = 200;
const PAYLOAD: [u8; 128] = [b'm'; 128];

/// A session's client, for coming back.
pub(crate) fn dial(address: SocketAddr, number: usize) -> Dial {
    Dial::new(address, Version::V311, &format!("session-{number}")).persistent()
}

/// Sessions number 0 to `count`, each with a subscription at QoS 1 to what `topic` says, all gone again.
pub(crate) fn sessions(address: SocketAddr, count: usize, topic: impl Fn(usize) -> String + Sync) {
    spread(count, CLIENTS, |numbers| {
        for number in numbers {
            let mut client = dial(address, number)
                .connect()
                .expect("the server takes it");
            let granted = client.subscribe(&[(&topic(number), QoS::AtLeastOnce)]);
            assert_eq!(granted, Ok(vec![1]), "session {number}");
            client.disconnect();
        }
    });
}

/// Messages number 0 to `count` at QoS 1 to what `topic` says, until all are acknowledged.
pub(crate) fn messages(address: SocketAddr, count: usize, topic: impl Fn(usize) -> String + Sync) {
    spread(count, PUBLISHERS, |numbers| {
        let name = format!("publisher-{}", numbers.start);
        let mut client = Dial::new(address, Version::V311, &name)
            .connect()
            .expect("the server takes it");
        let mut under_way = 0;
        for number in numbers {
            if under_way == WINDOW {
                await_acknowledgement(&mut client);
                under_way -= 1;
            }
            client
                .send(&topic(number), PAYLOAD, QoS::AtLeastOnce)
                .expect("the server stays");
            under_way += 1;
        }
        for _ in 0..under_way {
            await_acknowledgement(&mut client);
        }
        client.disconnect();
    });
}

fn await_acknowledgement(client: &mut Client) {
    match client.event(Instant::now() + PATIENCE) {
        Ok(Some(Event::Acknowledged(acknowledgement))) => {
            assert!(acknowledgement.reason < 0x80, "{acknowledgement:?}")
        }
        other => panic!("no acknowledgement: {other:?}"),
    }
}

/// Deals the numbers out to threads, in runs.
fn spread(count: usize, threads: usize, work: impl Fn(std::ops::Range<usize>) + Sync) {
    let each = count.div_ceil(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (work, begin) = (&work, (thread * each).min(count));
            scope.spawn(move || work(begin..(begin + each).min(count)));
        }
    });
}
