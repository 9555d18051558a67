//! What must be so, while everything happens and in the end.

use std::collections::{BTreeMap, BTreeSet};

use records::{AccountId, Joined, Member, Pos, key};
use serde_json::{Value, json};

use crate::messenger::device::{Device, Keeps, pos_of};
use crate::messenger::journal::{Place, Story, Told};
use crate::messenger::world::{NAMES, World};
use crate::run::Verdict;

/// That something holds, or what does not.
fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

impl World {
    /// What was written makes sense.
    pub(super) fn check_store(&mut self) -> Verdict {
        self.store.wrong.take().map_or(Ok(()), Err)
    }

    /// Everything is at rest.
    pub(super) fn check(&mut self) -> Verdict {
        let names: BTreeMap<AccountId, String> = self
            .accounts
            .iter()
            .zip(NAMES)
            .map(|(id, name)| (*id, name.to_owned()))
            .collect();
        let name_of = |id: AccountId| names.get(&id).cloned().unwrap_or_default();
        let stories = self.store.journal.stories(name_of);
        for story in &stories {
            let numbers: Vec<u64> = story.entries.iter().filter_map(|told| told.seq).collect();
            let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
            must(numbers == expected, || {
                format!(
                    "{:?} has a gap, or a number twice: {numbers:?}",
                    story.place
                )
            })?;
        }
        self.check_sent(&stories)?;
        for (who, name) in NAMES.into_iter().enumerate() {
            for story in &stories {
                let conv = story.called(self.accounts[who], name_of);
                for device in self.devices.iter().filter(|device| device.who == who) {
                    check_order(device, &conv, story)?;
                    match &device.keeps {
                        Keeps::Cache(_) => {
                            check_cache(device, name, &conv, story)?;
                            if self.links.is_none() {
                                check_live(device, name, story)?;
                            }
                        }
                        Keeps::Session(_) => check_session(device, name, &conv, story)?,
                    }
                }
            }
            for node in 0..self.nodes.len() {
                self.check_answers(who, node, &stories, &names)?;
            }
        }
        self.check_store()
    }

    /// Sessions that are connected have had these entries.
    pub(super) fn check_told(&self, old: &BTreeSet<Pos>) -> Verdict {
        let names: BTreeMap<AccountId, &str> = self.accounts.iter().copied().zip(NAMES).collect();
        let name_of = |id: AccountId| names.get(&id).copied().unwrap_or_default().to_owned();
        for story in self.store.journal.stories(name_of) {
            for device in &self.devices {
                let name = NAMES[device.who];
                let lasts = matches!(device.keeps, Keeps::Session(_));
                let is_kept = story.ended.is_none() && story.stays(name) <= Joined::STAYS_MAX;
                if device.connected.is_none() || !lasts || !is_kept {
                    continue;
                }
                let owed = story.entries.iter();
                let owed =
                    owed.filter(|told| old.contains(&told.pos) && story.gets(name, told.pos));
                for told in owed {
                    must(device.got.iter().any(|got| got.pos == told.pos), || {
                        format!("{name} still waits for {}", told.json)
                    })?;
                }
            }
        }
        Ok(())
    }

    fn check_sent(&self, stories: &[Story]) -> Verdict {
        for sent in &self.sent {
            let text = &sent.text;
            must(sent.open.is_empty(), || format!("{text} is not answered"))?;
            let mut is_there = false;
            // A group that was deleted and made again is another one.
            for story in stories {
                let said = story.entries.iter();
                let said = said.filter(|told| told.json["text"] == text.as_str());
                let count = said.count();
                must(count <= 1, || format!("{text} is there {count} times"))?;
                is_there |= count > 0;
            }
            let was_refused = sent.is_refused && !sent.is_taken && !sent.is_lost;
            must(!is_there || !was_refused, || {
                format!("{text} was refused and is there")
            })?;
            must(is_there || !sent.is_taken, || {
                format!("{text} was taken and is lost")
            })?;
        }
        Ok(())
    }

    /// Every node answers the same, which is what was stored.
    fn check_answers(
        &mut self,
        who: usize,
        node: usize,
        stories: &[Story],
        names: &BTreeMap<AccountId, String>,
    ) -> Verdict {
        let (name, account) = (NAMES[who], self.accounts[who]);
        let name_of = |id: AccountId| names.get(&id).cloned().unwrap_or_default();
        let device = self
            .devices
            .iter()
            .position(|device| device.who == who && matches!(device.keeps, Keeps::Cache(_)));
        let Some(device) = device else {
            return Ok(());
        };
        self.disconnect(device);
        self.connect(device, node);
        let list = self.answer(device, "conversations", &json!({}))?;
        let rows = list["conversations"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mine: Vec<&Story> = stories.iter().filter(|story| story.holds(name)).collect();
        must(rows.len() == mine.len(), || {
            format!("{name} has {} conversations: {list}", mine.len())
        })?;
        for story in mine {
            let conv = story.called(account, name_of);
            let row = rows.iter().find(|row| row["conv"] == conv.as_str());
            let member = self.store.row(&key::member(story.id, account));
            let member = member.and_then(|row| Member::decode(row).ok());
            let read = member.map_or(0, |member| member.read.value());
            check_row(row.unwrap_or(&Value::Null), story, read)?;
            if story.stays(name) <= Joined::STAYS_MAX {
                self.check_history(device, name, &conv, story)?;
            }
        }
        Ok(())
    }

    fn check_history(&mut self, device: usize, name: &str, conv: &str, story: &Story) -> Verdict {
        let (mut read, mut asked) = (Vec::new(), json!({"conv": conv}));
        loop {
            let answer = self.answer(device, "history", &asked)?;
            let entries = answer["entries"].as_array().cloned().unwrap_or_default();
            let mut page: Vec<Pos> = entries.iter().filter_map(pos_of).collect();
            page.append(&mut read);
            read = page;
            if answer["more"] != true {
                break;
            }
            asked = json!({"conv": conv, "before": answer["next"]});
        }
        let all = story.place != Place::Group("joined".to_owned());
        let may_read = story.entries.iter().map(|told| told.pos);
        let may_read: Vec<Pos> = may_read
            .filter(|pos| all || story.gets(name, *pos))
            .collect();
        must(read == may_read, || {
            format!("the history of {conv} is {read:?} for {name} instead of {may_read:?}")
        })
    }

    /// Asks, and waits for the answer.
    fn answer(&mut self, device: usize, method: &str, asked: &Value) -> Result<Value, String> {
        self.answers.clear();
        let topic = format!("im/ask/{method}/checked");
        self.publish(device, &topic, asked.to_string());
        for _ in 0..20 {
            if let Some(answer) = self.answers.remove("checked") {
                return Ok(answer);
            }
            self.rest(1)?;
        }
        Err(format!("{method} {asked} is not answered"))
    }
}

fn check_row(row: &Value, story: &Story, read: u64) -> Verdict {
    let last = story.entries.last();
    let seq = story.entries.iter().filter_map(|told| told.seq).next_back();
    let seq = seq.unwrap_or(0);
    let holds = row["last"]["pos"].as_str() == last.map(|told| told.pos.to_string()).as_deref()
        && row["last"]["seq"] == seq
        && row["member_count"] == story.member_count()
        && row["unread_count"] == seq.saturating_sub(read);
    must(holds, || {
        format!(
            "a list of conversations says {row} of {:?}, of which {seq} messages are there and {read} were read",
            story.place
        )
    })
}

/// Entries of a conversation come in order, each once a connection; of a lasting session once.
fn check_order(device: &Device, conv: &str, story: &Story) -> Verdict {
    let mut last = BTreeMap::new();
    for got in device.got.iter().filter(|got| got.conv == conv) {
        if !story.entries.iter().any(|told| told.pos == got.pos) {
            continue;
        }
        let connection = match device.keeps {
            Keeps::Cache(_) => got.connection,
            Keeps::Session(_) => 0,
        };
        let before = last.insert(connection, got.pos);
        must(before < Some(got.pos), || {
            format!(
                "{} got {conv} {} ({:?}) after {before:?}",
                NAMES[device.who], got.pos, got.seq
            )
        })?;
    }
    Ok(())
}

fn check_cache(device: &Device, name: &str, conv: &str, story: &Story) -> Verdict {
    let Keeps::Cache(cache) = &device.keeps else {
        return Ok(());
    };
    let is_kept = story.ended.is_none() && story.stays(name) <= Joined::STAYS_MAX;
    for told in &story.entries {
        let gets = story.gets(name, told.pos);
        let has = cache.entries.contains_key(&(conv.to_owned(), told.pos));
        must(!has || gets, || {
            format!("{name} has {} of others", told.json)
        })?;
        must(has || !gets || !is_kept, || {
            format!("{name} lacks {} of {conv}", told.json)
        })?;
    }
    if let (Some(left), true) = (story.left(name), story.stays(name) <= Joined::STAYS_MAX) {
        // Who made a group that all have left is told of its end instead.
        let mut left = [Some(left), story.ended].into_iter().flatten();
        let is_told = left.any(|left| cache.left.contains(&(conv.to_owned(), left)));
        must(is_told, || {
            format!("{name} does not know that {conv} was left")
        })?;
    }
    if story.holds(name) && is_kept {
        // Every number is an entry, or in a gap.
        for told in &story.entries {
            let Some(seq) = told.seq else { continue };
            let mut gaps = cache.gaps.iter();
            let in_gap =
                gaps.any(|(of, after, before)| of == conv && *after < seq && seq < *before);
            must(in_gap != story.gets(name, told.pos), || {
                format!("{name} {conv} {seq} is in a gap: {in_gap}")
            })?;
        }
    }
    Ok(())
}

/// On a node that is alone a client is told of everything since it connected, once.
fn check_live(device: &Device, name: &str, story: &Story) -> Verdict {
    if device.connected.is_none() {
        return Ok(());
    }
    for told in &story.entries {
        let (count, gets) = (device.count(told.pos), story.gets(name, told.pos));
        let is_due = gets && told.number >= device.since;
        must(
            count <= usize::from(gets) && count >= usize::from(is_due),
            || format!("{name} was told {} {count} times", told.json),
        )?;
    }
    Ok(())
}

fn check_session(device: &Device, name: &str, conv: &str, story: &Story) -> Verdict {
    let got = || device.got.iter().filter(|got| got.conv == conv);
    let told = |pos: Pos| story.entries.iter().find(|told: &&Told| told.pos == pos);
    for got in got() {
        if let Some(told) = told(got.pos) {
            must(story.gets(name, got.pos), || {
                format!("{name}'s session got {} of others", told.json)
            })?;
        }
    }
    if story.ended.is_some() || story.stays(name) > Joined::STAYS_MAX {
        return Ok(());
    }
    for told in &story.entries {
        let count = got().filter(|got| got.pos == told.pos).count();
        must(count == usize::from(story.gets(name, told.pos)), || {
            format!("{name}'s session got {} of {conv} {count} times", told.json)
        })?;
    }
    Ok(())
}
