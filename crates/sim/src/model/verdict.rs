//! What must have come by the time everything is at rest and every client has read all there is.

use std::collections::BTreeSet;

use super::delivery::came;
use super::session::{Session, Subscription};
use super::{MessageNumber, Model, Moment, NEVER, Verdict};

/// Most bytes that a PUBLISH takes beyond topic and payload.
const HEAD_BYTES: usize = 80;

impl Model {
    /// Everything is at rest, and so many messages were dropped for a limit.
    pub(crate) fn finish(&self, dropped: u64) -> Verdict {
        let mut missing = Vec::new();
        for session in self.sessions.iter().filter(|session| !session.ended) {
            for number in 0..self.messages.len() {
                if let Some(filter) = self.owes(session, number)
                    && !session.got.contains_key(&number)
                {
                    missing.push(format!("client {} m{number} for {filter}", session.client));
                }
            }
            self.check_retained_came(session, dropped)?;
        }
        if missing.len() as u64 > dropped {
            let dropped = match dropped {
                0 => String::new(),
                dropped => format!(", and only {dropped} were dropped for a limit"),
            };
            return Err(format!(
                "acknowledged and not delivered: {}{dropped}",
                missing.join(", ")
            ));
        }
        Ok(())
    }

    /// Whether any session got a message.
    pub(crate) fn was_delivered(&self, number: MessageNumber) -> bool {
        self.sessions
            .iter()
            .any(|session| session.got.contains_key(&number))
    }

    /// Everything is at rest, and no connection ever broke: each message reached one member of each group, and not
    /// more. [5 MQTT-4.8.2-4]
    pub(crate) fn finish_shares(&self) -> Verdict {
        let filters: BTreeSet<&str> = self
            .sessions
            .iter()
            .flat_map(|session| &session.subscriptions)
            .filter(|known| known.shared())
            .map(|known| known.filter.as_str())
            .collect();
        for filter in filters {
            for number in 0..self.messages.len() {
                self.check_group(filter, number)?;
            }
        }
        Ok(())
    }

    fn check_group(&self, filter: &str, number: MessageNumber) -> Verdict {
        let message = &self.messages[number];
        let mut copies = 0;
        let (mut owed, mut sure) = (false, true);
        for session in &self.sessions {
            let matching = session
                .subscriptions
                .iter()
                .filter(|known| known.matches(&message.topic));
            // Whoever may have got it in another way as well tells nothing.
            let alone = matching.clone().all(|known| known.filter == filter);
            let Some(known) = matching.clone().find(|known| known.filter == filter) else {
                continue;
            };
            if !alone {
                return Ok(());
            }
            copies += session.got.get(&number).map_or(0, Vec::len);
            let fits = self.fits(number, session);
            // It may have been the turn of one who gets it at QoS 0 or not at all.
            sure &= fits && known.versions.iter().all(|version| version.qos > 0);
            owed |= fits && !session.ended && self.held_throughout(known, number, usize::MAX);
        }
        let promised = message.qos > 0
            && came(message.done)
            && !message.refused
            && !self.may_have_expired(number);
        if copies > message.sends as usize {
            return Err(format!(
                "m{number} came {copies} times to the group {filter}"
            ));
        }
        if copies == 0 && owed && sure && promised && !message.payload.is_empty() && !message.will {
            return Err(format!(
                "acknowledged and not delivered: m{number} to the group {filter}"
            ));
        }
        Ok(())
    }

    /// The filter for which a session must have got a message, if there is one.
    fn owes<'a>(&self, session: &'a Session, number: MessageNumber) -> Option<&'a str> {
        let message = &self.messages[number];
        let promised = message.qos > 0 && came(message.done) && !message.refused;
        let fits = self.size(number) <= session.packet_max as usize;
        if !promised || !fits || self.may_have_expired(number) || message.payload.is_empty() {
            return None;
        }
        session
            .subscriptions
            .iter()
            .filter(|known| !known.shared() && known.matches(&message.topic))
            .find(|known| self.held_when_published(known, number, session.client))
            .map(|known| known.filter.as_str())
    }

    /// Whether a subscription was granted before a message was sent and stood at QoS 1 or 2 until it was acknowledged. What
    /// became of it later changes nothing: the message waits as it was matched.
    fn held_when_published(
        &self,
        known: &Subscription,
        number: MessageNumber,
        client: usize,
    ) -> bool {
        self.held_until(known, number, client, self.messages[number].done)
    }

    /// Whether it has stood ever since: what a group waits for goes to whoever is in it by then.
    fn held_throughout(&self, known: &Subscription, number: MessageNumber, client: usize) -> bool {
        self.held_until(known, number, client, NEVER)
    }

    fn held_until(
        &self,
        known: &Subscription,
        number: MessageNumber,
        client: usize,
        until: Moment,
    ) -> bool {
        let message = &self.messages[number];
        let since = known
            .versions
            .iter()
            .rposition(|version| version.granted <= message.sent);
        let own = message.publisher == client;
        since.is_some_and(|since| {
            let versions = known.versions[since..].iter();
            let mut versions = versions.take_while(|version| version.requested <= until);
            known.unsure >= until
                && versions.all(|version| version.qos > 0 && !(own && version.no_local))
        })
    }

    /// Retained messages follow a subscription made on a connection that is still there.
    fn check_retained_came(&self, session: &Session, dropped: u64) -> Verdict {
        if dropped > 0 {
            return Ok(());
        }
        for known in session.subscriptions.iter().filter(|known| !known.shared()) {
            for (place, version) in known.versions.iter().enumerate() {
                let sends = version.handling == 0 || (version.handling == 1 && place == 0);
                let stands = came(version.granted)
                    && version.requested > session.connected
                    && !came(known.unsure);
                if !sends || !stands || self.had_before(session, known, place) {
                    continue;
                }
                for topic in self.retained_topics().filter(|topic| known.matches(topic)) {
                    let Some(number) = self.surely_retained(topic, version) else {
                        continue;
                    };
                    let message = &self.messages[number];
                    let owed = message.qos.min(version.qos) > 0
                        && !self.may_have_expired(number)
                        && self.size(number) <= session.packet_max as usize;
                    let came = session.got.get(&number).is_some_and(|copies| {
                        copies
                            .iter()
                            .any(|copy| copy.retain && copy.at > version.requested)
                    });
                    if owed && !came {
                        return Err(format!(
                            "[MQTT-3.3.1-9] client {} did not get the retained m{number} for {}",
                            session.client, known.filter
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the same filter may have been held before, so that retain handling 1 sends nothing.
    fn had_before(&self, session: &Session, known: &Subscription, place: usize) -> bool {
        known.versions[place].handling == 1
            && session.subscriptions.iter().any(|other| {
                other.filter == known.filter
                    && other.gone > known.versions[place].requested
                    && !std::ptr::eq(other, known)
            })
    }

    fn retained_topics(&self) -> impl Iterator<Item = &str> {
        let mut topics: Vec<&str> = self
            .messages
            .iter()
            .filter(|message| message.retain)
            .map(|message| message.topic.as_str())
            .collect();
        topics.sort_unstable();
        topics.dedup();
        topics.into_iter()
    }

    /// Whether a message surely fits every connection that the session has had.
    pub(super) fn fits(&self, number: MessageNumber, session: &Session) -> bool {
        self.size(number) <= session.packet_max as usize
    }

    fn size(&self, number: MessageNumber) -> usize {
        let message = &self.messages[number];
        message.topic.len() + message.payload.len() + HEAD_BYTES
    }
}
