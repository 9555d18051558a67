//! Counts afterwards: conversations through `history`, readers through what they were handed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::{Client, PATIENCE, QoS, Server, Version};
use serde_json::{Value, json};

use super::ledger::{END, Entries, Key, TOPICS, conversation};
use super::reader::Seen;

/// Each conversation with a member, as that member sees it.
const CONVERSATIONS: [(&str, &str); 4] = [
    ("alice", "@bob"),
    ("carol", "@dave"),
    ("alice", "eng"),
    ("alice", "ops"),
];
const PAGE: usize = 200;

/// Writes a last message to every place, behind everything else.
pub fn write_ends(server: &Server) {
    for (account, conv) in CONVERSATIONS {
        let mut member = server
            .dial(Version::V5, account, "end")
            .connect()
            .expect("the server stays");
        let body = json!({"mid": format!("{END}-{conv}"), "text": END}).to_string();
        assert_eq!(
            member.publish(&format!("im/to/{conv}"), body, QoS::AtLeastOnce),
            Ok(0)
        );
    }
    let mut meter = server
        .dial(Version::V5, "dave", "end")
        .connect()
        .expect("the server stays");
    for topic in TOPICS {
        assert_eq!(
            meter
                .publish(topic, END, QoS::ExactlyOnce)
                .expect("the server stays")
                & 0x80,
            0
        );
    }
}

/// Every conversation's messages are numbered 1..n without gaps, each mid is there once, every acknowledged one is there,
/// under the number that its acknowledgement told.
pub fn conversations(server: &Server, ledger: &Entries) -> BTreeMap<String, usize> {
    let mut found: BTreeMap<Key, u64> = BTreeMap::new();
    let mut lengths = BTreeMap::new();
    for (account, conv) in CONVERSATIONS {
        let name = conversation(account, conv);
        let mut member = server
            .dial(Version::V5, account, "count")
            .connect()
            .expect("the server stays");
        member
            .subscribe(&[("im/answer/+", QoS::AtLeastOnce)])
            .expect("the server stays");
        let messages = history(&mut member, conv);
        for (index, message) in messages.iter().enumerate() {
            let seq = message["seq"].as_u64().expect("history filters on seq");
            assert_eq!(
                seq,
                index as u64 + 1,
                "{name}: a gap or a repetition before {message}"
            );
            let mid = message["mid"].as_str().expect("every writer gives a mid");
            let text = message["text"].as_str();
            assert!(
                text == Some(END) || text == Some(&format!("text of {mid}")),
                "{name}: {message}"
            );
            if text != Some(END) {
                let key = (name.clone(), mid.to_owned());
                assert!(ledger.sent.contains(&key), "{key:?} was never sent");
                let before = found.insert(key.clone(), seq);
                assert_eq!(before, None, "{key:?} is there twice");
            }
        }
        lengths.insert(name, messages.len());
    }
    let missing: Vec<_> = ledger
        .acknowledged
        .iter()
        .filter(|(name, _)| !name.starts_with("plant/"))
        .filter(|key| !found.contains_key(key))
        .collect();
    assert!(missing.is_empty(), "acknowledged, and lost: {missing:?}");
    for (key, told) in &ledger.seqs {
        assert_eq!(
            found.get(key),
            Some(told),
            "{key:?}: acknowledged under another number"
        );
    }
    lengths
}

/// All messages of a conversation, oldest first.
fn history(member: &mut Client, conv: &str) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::new();
    let mut before: Option<u64> = None;
    for page in 0.. {
        let mut ask = json!({"conv": conv, "limit": PAGE});
        if let Some(before) = before {
            ask["before_seq"] = before.into();
        }
        let answer = answer(member, &page.to_string(), &ask);
        let entries = answer["entries"]
            .as_array()
            .unwrap_or_else(|| panic!("{conv}: {answer}"));
        let mut older: Vec<_> = entries
            .iter()
            .filter(|entry| entry["kind"] == "message")
            .cloned()
            .collect();
        let Some(first) = older.first().and_then(|message| message["seq"].as_u64()) else {
            assert_ne!(answer["more"], true, "{conv}: more, and nothing there");
            return messages;
        };
        older.append(&mut messages);
        messages = older;
        if answer["more"] != true || first == 1 {
            return messages;
        }
        before = Some(first);
    }
    unreachable!("the pages have no end")
}

/// A page. A long run asks for more of them than are answered in a second, and has to ask some again.
fn answer(member: &mut Client, rid: &str, ask: &Value) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = member.ask("history", rid, ask).expect("the server stays");
        if answer["error"] != "quota" {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer}");
    }
}

/// What each reader's session owed it.
pub fn readers(ledger: &Entries, lengths: &BTreeMap<String, usize>, seen: &[Seen]) {
    for seen in seen {
        if seen.filter.starts_with("plant/") {
            plant(ledger, seen);
        } else {
            inbox(lengths, seen);
        }
    }
}

/// Every acknowledged message came, and what is QoS 2 on both sides came once.
fn plant(ledger: &Entries, seen: &Seen) {
    let mut times: BTreeMap<Key, usize> = BTreeMap::new();
    let mut exactly_once = BTreeSet::new();
    for message in seen.messages.iter().filter(|message| message.text() != END) {
        let key = (message.topic.clone(), message.text().to_owned());
        assert!(ledger.sent.contains(&key), "{key:?} was never sent");
        if message.qos == QoS::ExactlyOnce {
            exactly_once.insert(key.clone());
        }
        *times.entry(key).or_default() += 1;
    }
    let missing: Vec<_> = ledger
        .acknowledged
        .iter()
        .filter(|(name, _)| name.starts_with("plant/"))
        .filter(|key| !times.contains_key(key))
        .collect();
    let whose = format!("{} at {:?}", seen.account, seen.qos);
    assert!(
        missing.is_empty(),
        "{whose}: acknowledged, and never delivered: {missing:?}"
    );
    assert_eq!(
        exactly_once.is_empty(),
        seen.qos != QoS::ExactlyOnce,
        "{whose}: delivered at the wrong QoS"
    );
    for key in &exactly_once {
        assert_eq!(times[key], 1, "{whose}: {key:?} was to come exactly once");
    }
}

/// Each conversation's messages came in the order of `seq`, none left out; at QoS 2 none came twice.
fn inbox(lengths: &BTreeMap<String, usize>, seen: &Seen) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for message in &seen.messages {
        let conv = message
            .topic
            .strip_prefix("im/in/")
            .expect("nothing else is subscribed to");
        let name = conversation(&seen.account, conv);
        let seq = message.json()["seq"].as_u64().expect("a message has a seq");
        let last = last.entry(name.clone()).or_default();
        if seq == *last + 1 {
            *last = seq;
        } else {
            let again = seq <= *last && seen.qos == QoS::AtLeastOnce;
            assert!(again, "{}: {name}: {seq} came behind {last}", seen.account);
        }
    }
    for (name, last) in last {
        let length = lengths[&name] as u64;
        assert_eq!(last, length, "{}: {name} ended early", seen.account);
    }
}
