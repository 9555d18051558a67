//! One message to many offline sessions: the bytes written for it, and what each waiting copy takes in memory.

use serde_json::{Map, Value, json};

use crate::{fill, launch, process};

const SESSIONS: [usize; 3] = [20, 200, 2_000];
/// Enough that what a commit rounds up to whole pages is shared by many.
const MESSAGES: usize = 5_000;
const TOPIC: &str = "news/all";

pub(crate) fn measure() -> Value {
    let mut written = Map::new();
    let mut each = Vec::new();
    let mut rss_per_copy = 0.0;
    for sessions in SESSIONS {
        let server = launch().start();
        fill::sessions(server.mqtt(), sessions, |_| TOPIC.to_owned());
        let pid = server.program().pid();
        let (bytes, resident) = (process::written(pid), process::resident(pid));
        fill::messages(server.mqtt(), MESSAGES, |_| TOPIC.to_owned());
        let per_message = (process::written(pid) - bytes) as f64 / MESSAGES as f64;
        let copies = (MESSAGES * sessions) as f64;
        rss_per_copy = process::resident(pid).saturating_sub(resident) as f64 / copies;
        check(&server, sessions);
        written.insert(sessions.to_string(), per_message.into());
        each.push(per_message);
    }
    let growth = each[each.len() - 1] / each[0];
    json!({ "written": written, "growth": growth, "rss_per_copy": rss_per_copy })
}

/// The first and the last session get all of it.
fn check(server: &harness::Server, sessions: usize) {
    for number in [0, sessions - 1] {
        let mut client = fill::dial(server.mqtt(), number)
            .connect()
            .expect("the server takes it");
        assert!(client.session_present());
        for _ in 0..MESSAGES {
            client.receive().expect("the server stays");
        }
    }
}
