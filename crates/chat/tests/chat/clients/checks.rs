//! What must be so in the end, whatever has happened.

use std::collections::BTreeMap;

use records::{AccountId, Joined, Member, Pos, key};
use serde_json::json;

use super::{NAMES, Run, pos_of};
use crate::journal::{Place, Story};
use crate::world::parse;

impl Run {
    pub(super) fn check(&mut self) {
        let names: BTreeMap<AccountId, String> = NAMES
            .map(|name| (self.world.id(name), name.to_owned()))
            .into();
        let name_of = |id: AccountId| names[&id].clone();
        let stories = self.world.disk.journal.stories(name_of);
        self.check_sent(&stories);
        for story in &stories {
            let numbers: Vec<u64> = story.entries.iter().filter_map(|told| told.seq).collect();
            let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
            assert_eq!(numbers, expected, "numbers have a gap");
            let positions = story.entries.iter().map(|told| told.pos);
            assert!(positions.is_sorted_by(|one, other| one < other));
        }
        for (who, name) in NAMES.into_iter().enumerate() {
            let account = self.world.id(name);
            for story in &stories {
                let conv = story.called(account, name_of);
                self.check_client(who, name, &conv, story);
                self.check_session(who, name, &conv, story);
                self.check_history(who, name, &conv, story);
            }
            self.check_list(name, &stories);
        }
        assert_eq!(self.world.disk.damaged.take(), [""; 0]);
    }

    fn check_sent(&self, stories: &[Story]) {
        for sent in &self.sent {
            assert!(sent.open.is_empty(), "{} is not answered", sent.text);
            let said = |story: &&Story| {
                let same = story
                    .entries
                    .iter()
                    .filter(|told| told.json["text"] == sent.text.as_str());
                let count = same.count();
                assert!(count <= 1, "{} is there {count} times", sent.text);
                count == 1
            };
            let count = stories.iter().filter(said).count();
            assert!(count > 0 || !sent.taken, "{} is lost", sent.text);
            if sent.refused && !sent.taken && !sent.lost {
                assert_eq!(count, 0, "{} was refused", sent.text);
            }
        }
    }

    fn check_client(&self, who: usize, name: &str, conv: &str, story: &Story) {
        let client = &self.clients[who];
        let is_kept = story.ended.is_none() && story.stays(name) <= Joined::STAYS_MAX;
        for told in &story.entries {
            let gets = story.gets(name, told.pos);
            let has = client.entries.get(&(conv.to_owned(), told.pos));
            assert!(has.is_none() || gets, "{name} has {} of others", told.json);
            assert!(
                has.is_some() || !gets || !is_kept,
                "{name} lacks {}",
                told.json
            );
            let live = client
                .live
                .iter()
                .filter(|(of, pos)| of == conv && *pos == told.pos);
            let expected = usize::from(gets && told.number >= client.connected);
            assert_eq!(live.count(), expected, "{name} live {}", told.json);
        }
        if let (Some(left), true) = (story.left(name), story.stays(name) <= Joined::STAYS_MAX) {
            // Who made a group that all have left is told of its end instead.
            let mut left = [Some(left), story.ended].into_iter().flatten();
            let told = left.any(|left| client.left.contains(&(conv.to_owned(), left)));
            assert!(told, "{name} does not know that {conv} was left");
        }
        if story.holds(name) && is_kept {
            // Every number is an entry, or in a gap.
            for told in &story.entries {
                let Some(seq) = told.seq else { continue };
                let mut gaps = client.gaps.iter();
                let in_gap =
                    gaps.any(|(of, after, before)| of == conv && *after < seq && seq < *before);
                assert!(in_gap != story.gets(name, told.pos), "{name} {conv} {seq}");
            }
        }
    }

    fn check_session(&self, who: usize, name: &str, conv: &str, story: &Story) {
        let got = &self.sessions[who].got;
        let mut last = 0;
        for (_, pos, seq) in got.iter().filter(|(of, ..)| of == conv) {
            if let Some(told) = story.entries.iter().find(|told| told.pos == *pos) {
                assert!(story.gets(name, *pos), "{name} got {} of others", told.json);
                assert_eq!(*seq, told.seq);
                if let Some(seq) = *seq {
                    assert!(seq > last, "{name} got {seq} after {last}");
                    last = seq;
                }
            }
        }
        if story.ended.is_some() || story.stays(name) > Joined::STAYS_MAX {
            return;
        }
        for told in story
            .entries
            .iter()
            .filter(|told| story.gets(name, told.pos))
        {
            let count = got.iter().filter(|(_, pos, _)| *pos == told.pos).count();
            assert_eq!(count, 1, "{name}'s session, {}", told.json);
        }
    }

    fn check_history(&mut self, who: usize, name: &str, conv: &str, story: &Story) {
        if !story.holds(name) || story.stays(name) > Joined::STAYS_MAX {
            return;
        }
        let device = self.clients[who].device;
        let mut read = Vec::new();
        let mut asked = json!({"conv": conv});
        loop {
            let topic = "im/ask/history/h";
            self.world.publish(device, topic, asked.to_string());
            let answers = self.world.take_from(device, "im/answer/h");
            let answer = parse(&answers[0].1);
            let entries = answer["entries"].as_array().unwrap();
            let mut page: Vec<Pos> = entries.iter().filter_map(pos_of).collect();
            page.append(&mut read);
            read = page;
            if answer["more"] == false {
                break;
            }
            asked = json!({"conv": conv, "before": answer["next"]});
        }
        let all = story.place != Place::Group("joined".to_owned());
        let may_read = story.entries.iter().map(|told| told.pos);
        let may_read: Vec<Pos> = may_read
            .filter(|pos| all || story.gets(name, *pos))
            .collect();
        assert_eq!(read, may_read, "{name} {conv}");
    }

    fn check_list(&mut self, name: &str, stories: &[Story]) {
        let account = self.world.id(name);
        let answer = self.world.ask(name, "conversations", "");
        let rows = answer["conversations"].as_array().unwrap();
        let mine = stories.iter().filter(|story| story.holds(name));
        assert_eq!(rows.len(), mine.clone().count(), "{answer}");
        let ids: BTreeMap<AccountId, String> = NAMES
            .map(|name| (self.world.id(name), name.to_owned()))
            .into();
        for story in mine {
            let conv = story.called(account, |id| ids[&id].clone());
            let row = rows
                .iter()
                .find(|row| row["conv"] == conv.as_str())
                .unwrap();
            let last = story.entries.last().unwrap();
            let seq = story.entries.iter().filter_map(|told| told.seq).next_back();
            assert_eq!(row["last"]["pos"], last.pos.to_string());
            assert_eq!(row["last"]["seq"].as_u64(), Some(seq.unwrap_or(0)));
            assert_eq!(row["members"], story.member_count());
            let member = &self.world.disk.keys[&key::member(story.id, account)];
            let read = Member::decode(member).unwrap().read.value();
            assert_eq!(row["unread"], seq.unwrap_or(0) - read);
        }
    }
}
