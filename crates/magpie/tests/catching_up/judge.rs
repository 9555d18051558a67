//! What devices have come to, held against what a client without a cache lists and reads.

use std::collections::{BTreeMap, BTreeSet};

use harness::{Client, QoS, Server, Version};
use serde_json::{Value, json};

use crate::cache::{Conversation, names, place};
use crate::device::Device;
use crate::ledger::{Ledger, Sent};

/// Small, so that answers have several pages.
const PAGE: u64 = 50;
const LIST_PAGE: u64 = 3;

/// A conversation from its beginning: entries by `pos`.
type Entries = BTreeMap<u64, Value>;

/// What the server says of an account.
struct Account {
    name: String,
    rows: BTreeMap<String, Value>,
    entries: BTreeMap<String, Entries>,
}

/// Everything that is not as it must be.
pub(crate) fn findings(
    server: &Server,
    accounts: &[&str],
    devices: &[Device],
    ledger: &Ledger,
) -> Vec<String> {
    let accounts: Vec<_> = accounts
        .iter()
        .map(|name| Account::read(server, name))
        .collect();
    let mut findings = ledger.contradictions.clone();
    for account in &accounts {
        account.check(&accounts[0], ledger, &mut findings);
        for device in devices {
            if device.kind.account == account.name {
                check_device(device, account, &accounts[0], ledger, &mut findings);
            }
        }
    }
    check_sent(&accounts, devices, ledger, &mut findings);
    findings
}

impl Account {
    fn read(server: &Server, name: &str) -> Self {
        let dial = server.dial(Version::V5, name, "judge");
        let mut client = dial.connect().unwrap();
        client
            .subscribe(&[("im/answer/+", QoS::AtLeastOnce)])
            .unwrap();
        let rows = list(&mut client);
        let entries = rows
            .keys()
            .map(|conv| (conv.clone(), history(&mut client, conv)))
            .collect();
        Self {
            name: name.to_owned(),
            rows,
            entries,
        }
    }

    /// What the server says must fit together.
    fn check(&self, witness: &Self, ledger: &Ledger, findings: &mut Vec<String>) {
        for (conv, row) in &self.rows {
            let entries = &self.entries[conv];
            let truth = truth(self, witness, conv);
            let seqs: Vec<u64> = truth
                .values()
                .filter_map(|entry| entry["seq"].as_u64())
                .collect();
            let count = seqs.len() as u64;
            if !seqs.iter().copied().eq(1..=count) {
                findings.push(format!("{conv}: numbers with holes: {seqs:?}"));
            }
            let may_read_all = row["history"] != "joined";
            let expected: Entries = truth
                .iter()
                .filter(|(pos, _)| may_read_all || is_member_at(truth, conv, &self.name, **pos))
                .map(|(pos, entry)| (*pos, entry.clone()))
                .collect();
            compare(
                &format!("{}'s history of {conv}", self.name),
                entries,
                &expected,
                findings,
            );
            let newest = truth.keys().next_back().copied().unwrap_or(0);
            let said = (row["last"]["seq"].as_u64(), place(&row["last"]["pos"]));
            if said != (Some(count), newest) {
                findings.push(format!(
                    "{}'s list, of {conv}: {row}; {count} messages, newest {newest:x}",
                    self.name
                ));
            }
            let key = (self.name.clone(), conv.clone());
            let (confirmed, _) = ledger.reads.get(&key).copied().unwrap_or_default();
            let read = row["read"].as_u64().unwrap_or(0);
            if read < confirmed && !ledger.deleted.contains(conv) {
                findings.push(format!(
                    "{}'s marker in {conv} is {read}, but {confirmed} was confirmed",
                    self.name
                ));
            }
        }
    }
}

/// All entries: those of a group as whoever has been in it from the beginning reads them.
fn truth<'a>(account: &'a Account, witness: &'a Account, conv: &str) -> &'a Entries {
    let group = witness.entries.get(conv).filter(|_| !conv.starts_with('@'));
    group.unwrap_or_else(|| &account.entries[conv])
}

/// Whether an account gets an entry, by the entries that say who came and went.
fn is_member_at(truth: &Entries, conv: &str, account: &str, pos: u64) -> bool {
    if conv.starts_with('@') {
        return true;
    }
    let mut is_member = false;
    for (at, event) in truth.range(..=pos) {
        if !names(event, account) {
            continue;
        }
        match event["action"].as_str() {
            Some("join") => is_member = true,
            // The entry with which it leaves is the last that it gets.
            Some("leave") => is_member = *at == pos,
            _ => {}
        }
    }
    is_member
}

fn compare(what: &str, found: &Entries, expected: &Entries, findings: &mut Vec<String>) {
    for (pos, entry) in expected {
        match found.get(pos) {
            None => findings.push(format!("{what} lacks {entry}")),
            Some(other) if other != entry => {
                findings.push(format!("{what} has {other} for {entry}"));
            }
            Some(_) => {}
        }
    }
    for (pos, entry) in found {
        if !expected.contains_key(pos) {
            findings.push(format!("{what} has {entry} too much"));
        }
    }
}

fn check_device(
    device: &Device,
    account: &Account,
    witness: &Account,
    ledger: &Ledger,
    findings: &mut Vec<String>,
) {
    let who = device.kind.client_id;
    let cache = &device.memory;
    let member_of: BTreeSet<_> = cache
        .conversations
        .iter()
        .filter(|(_, known)| known.is_member())
        .map(|(conv, _)| conv)
        .collect();
    let listed: BTreeSet<_> = account.rows.keys().collect();
    if member_of != listed {
        findings.push(format!(
            "{who} is in {member_of:?}, the list says {listed:?}"
        ));
    }
    for (conv, known) in &cache.conversations {
        let is_readable = account.entries.contains_key(conv) || witness.entries.contains_key(conv);
        // Whoever had left a group before it was deleted keeps what is known of it until there is another one.
        if !known.is_member() && (ledger.deleted.contains(conv) || !is_readable) {
            continue;
        }
        if !is_readable {
            findings.push(format!("{who} still has {conv}"));
            continue;
        }
        let truth = truth(account, witness, conv);
        check_entries(device, conv, known, truth, findings);
        if let Some(row) = account.rows.get(conv) {
            check_markers(who, conv, known, row, findings);
        }
    }
}

fn check_entries(
    device: &Device,
    conv: &str,
    known: &Conversation,
    truth: &Entries,
    findings: &mut Vec<String>,
) {
    let (who, account) = (device.kind.client_id, device.kind.account);
    let listed = known.listed.max(device.memory.begun);
    let mut found: Entries = known.events.clone();
    for message in known.messages.values() {
        found.insert(place(&message["pos"]), message.clone());
    }
    let expected: Entries = truth
        .iter()
        .filter(|(pos, _)| is_member_at(truth, conv, account, **pos))
        // What was listed when it began need not be there, but may have come all the same.
        .filter(|(pos, _)| **pos > listed || found.contains_key(pos))
        .map(|(pos, entry)| (*pos, entry.clone()))
        .collect();
    compare(
        &format!("{who}'s cache of {conv}"),
        &found,
        &expected,
        findings,
    );
    for (pos, entry) in truth {
        let Some(seq) = entry["seq"].as_u64().filter(|seq| *seq <= known.last) else {
            continue;
        };
        let is_explained = *pos <= listed
            || known.messages.contains_key(&seq)
            || known.gaps.iter().any(|gap| gap.0 < seq && seq < gap.1);
        if !is_explained && !expected.contains_key(pos) {
            findings.push(format!(
                "{who} has no {seq} of {conv} and was told of no gap: {:?}",
                known.gaps
            ));
        }
    }
    for (seq, entry) in &known.filled {
        if truth.get(&place(&entry["pos"])) != Some(entry) {
            findings.push(format!("{who} has filled {seq} of {conv} with {entry}"));
        }
    }
}

fn check_markers(
    who: &str,
    conv: &str,
    known: &Conversation,
    row: &Value,
    findings: &mut Vec<String>,
) {
    let mut check = |what: &str, found: u64, said: &Value| {
        if said.as_u64().unwrap_or(0) != found {
            findings.push(format!(
                "{who}'s {what} of {conv} is {found}, the list says {row}"
            ));
        }
    };
    check("newest message", known.last, &row["last"]["seq"]);
    check("read", known.read, &row["read"]);
    check(
        "unread_count",
        known.last.saturating_sub(known.read),
        &row["unread_count"],
    );
    check("peer's read", known.peer_read, &row["peer"]["read"]);
    // Gathered for a second, so the newest may be on its way.
    let received = row["peer"]["received"].as_u64().unwrap_or(0);
    if known.peer_received > received {
        findings.push(format!("{who} has a larger received of {conv} than {row}"));
    }
}

/// Everything that was sent is there exactly once, unless its user was told that it is not.
fn check_sent(
    accounts: &[Account],
    devices: &[Device],
    ledger: &Ledger,
    findings: &mut Vec<String>,
) {
    let mut said: BTreeMap<(&str, &str), Vec<&Value>> = BTreeMap::new();
    for account in accounts {
        for (conv, entries) in &account.entries {
            for entry in entries.values() {
                if let Some(mid) = entry["mid"]
                    .as_str()
                    .filter(|_| entry["from"] == *account.name)
                {
                    said.entry((conv, mid)).or_default().push(entry);
                }
            }
        }
    }
    for (mid, sent) in &ledger.sent {
        let found = said.get(&(sent.conv.as_str(), mid.as_str()));
        let found = found.map_or(&[][..], Vec::as_slice);
        let describe = || format!("{mid} of {sent:?} is there as {found:?}");
        if let [message] = found {
            let is_same =
                message["text"] == *sent.text && sent.seq.is_none_or(|seq| message["seq"] == seq);
            if !is_same && !ledger.deleted.contains(&sent.conv) {
                findings.push(describe());
            }
        }
        // What was said in a group that was deleted is gone, and who has left does not see what was said later.
        let is_readable = (accounts.iter())
            .any(|account| *account.name == sent.account && account.rows.contains_key(&sent.conv));
        let is_certain = is_readable && !ledger.deleted.contains(&sent.conv);
        // Its author has died after it was refused, sent it again, and has seen the echo.
        let is_shown = || devices.iter().any(|device| shows(device, sent, mid));
        let is_right = match found.len() {
            0 => !is_certain || sent.refused.is_some(),
            1 => !is_certain || sent.refused.is_none() || is_shown(),
            _ => false,
        };
        if !is_right {
            findings.push(describe());
        }
    }
}

fn shows(device: &Device, sent: &Sent, mid: &str) -> bool {
    let known = device.memory.conversations.get(&sent.conv);
    device.kind.account == sent.account
        && known.is_some_and(|known| known.messages.values().any(|message| message["mid"] == mid))
}

fn list(client: &mut Client) -> BTreeMap<String, Value> {
    let mut rows = BTreeMap::new();
    let mut question = json!({ "limit": LIST_PAGE });
    loop {
        let answer = client.ask("conversations", "list", &question).unwrap();
        for row in answer["conversations"].as_array().unwrap() {
            let conv = row["conv"].as_str().unwrap().to_owned();
            assert!(
                rows.insert(conv, row.clone()).is_none(),
                "listed twice: {row}"
            );
        }
        if answer["more"] != true {
            return rows;
        }
        question = json!({"limit": LIST_PAGE, "before": answer["next"]});
    }
}

fn history(client: &mut Client, conv: &str) -> Entries {
    let mut entries = Entries::new();
    let mut question = json!({"conv": conv, "limit": PAGE});
    loop {
        let answer = client.ask("history", "page", &question).unwrap();
        let page = answer["entries"]
            .as_array()
            .unwrap_or_else(|| panic!("{conv}: {answer}"));
        for entry in page {
            let is_new = entries
                .insert(place(&entry["pos"]), entry.clone())
                .is_none();
            assert!(is_new, "read twice: {entry}");
        }
        if answer["more"] != true {
            return entries;
        }
        question = json!({"conv": conv, "limit": PAGE, "before": answer["next"]});
    }
}
