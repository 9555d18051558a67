//! Wills, from the CONNECT that brings one to its publication. A will is on disk before its CONNACK, whatever the session,
//! because the end of the server ends the connection too: what stands there at the next start is published then.

use std::sync::Arc;

use mqtt_codec::{QoS, ReasonCode, UserProperties};
use records::{AccountId, Millis, Moment, SessionMid, Write, key};

use crate::access::list::Identity;
use crate::io::{ChatProperties, ChatPublish, Output, Service};
use crate::message::Message;
use crate::messenger::topics::is_chat;
use crate::sessions::session::Session;
use crate::shard::Shard;
use crate::stored::appends::{StoredPublish, Then};
use crate::stored::positions::stored_number;
use crate::wills::will::Will;

/// What the store knows of a connection that ended with the server.
#[derive(Debug)]
pub(crate) struct RecoveredWill {
    /// Whose it was; the account is `None` for an anonymous client.
    pub(crate) identity: Identity,
    /// Client id.
    pub(crate) client_id: Arc<str>,
    /// The will.
    pub(crate) record: records::Will,
}

impl Shard {
    // With the connection.

    /// What is written with the set-up of a connection: its will, or that the session's previous one is gone.
    pub(crate) fn will_write(&self, slot: u32, had_will: bool) -> Option<Write> {
        let session = &self.sessions[slot];
        let key = will_key(session.account, &session.client_id);
        match &session.will {
            Some(will) => Some(Write::Put {
                key,
                value: will.to_record().encode(),
            }),
            None => had_will.then_some(Write::Delete { key }),
        }
    }

    /// A client takes its will back. [3.1.1 MQTT-3.14.4-3] [5 MQTT-3.14.4-3]
    pub(crate) fn withdraw_will(&mut self, slot: u32, now: Millis) {
        let session = &mut self.sessions[slot];
        if session.will.take().is_some() {
            let key = will_key(session.account, &session.client_id);
            self.append(vec![Write::Delete { key }], Then::Nothing, now);
        }
    }

    /// Publishes the will of a connection that has ended, unless it is to wait. [5 MQTT-3.1.2-8]
    pub(crate) fn arrange_will(&mut self, slot: u32, now: Millis) {
        let session = &self.sessions[slot];
        let waits = session
            .will
            .as_ref()
            .is_some_and(|will| will.delay_secs.min(session.expiry_secs) > 0);
        if !waits {
            self.publish_will(slot, now);
        }
    }

    /// [3.1.1 MQTT-3.1.2-10] [5 MQTT-3.1.2-10]: published, it is no longer there.
    pub(crate) fn publish_will(&mut self, slot: u32, now: Millis) {
        let Some(will) = self.sessions[slot].will.take() else {
            return;
        };
        self.metrics.counters.wills_published += 1;
        if is_chat(&will.message.topic) {
            self.send_will_to_messenger(slot, &will);
            return;
        }
        let session = &self.sessions[slot];
        let publisher = self.sessions.reference(slot);
        let number = stored_number(session.number);
        let account = session.account;
        let gone = Write::Delete {
            key: will_key(session.account, &session.client_id),
        };
        let claims = self.begin_claims(&will.message.topic, will.message.qos, now);
        let stamp = self.clock.stamp(now);
        let message = Arc::new(Message {
            at: now,
            expires_at: will
                .expiry_secs
                .map(|secs| now.saturating_add(u64::from(secs) * 1000)),
            ..will.message
        });
        let durable = !claims.is_empty()
            || (message.qos != QoS::AtMostOnce && self.subscriptions.has_durable(&message.topic));
        let mut writes = Vec::new();
        if durable {
            writes.push(self.queue_write(stamp, &message, number));
            writes.extend(self.claim_writes(&claims, stamp));
        }
        let may_retain = message.payload.is_empty() || self.may_retain(slot, message.view());
        let retained = message.retain && may_retain;
        if retained {
            writes.push(crate::retained::message::retained_write(
                &message, stamp, account,
            ));
        }
        let stored = StoredPublish {
            retained: retained.then_some(stamp),
            stamp: durable.then_some(stamp),
            message,
            claims,
            publisher,
            account,
            ack: None,
        };
        // Whatever it is, it does not go before it is gone from the disk: a crash would publish it again.
        // [3.1.1 MQTT-4.3.1-1] [5 MQTT-4.3.1-1]
        writes.push(gone);
        self.append(writes, Then::Publish(Box::new(stored)), now);
    }

    // The messenger.

    /// A will that names a conversation is a message of its account like any other. It goes from the disk in the
    /// commit that holds the message.
    fn send_will_to_messenger(&mut self, slot: u32, will: &Will) {
        let message = &will.message;
        let session = &self.sessions[slot];
        let Some(account) = session.account else {
            return;
        };
        let client_id = session.client_id.clone();
        let ack = self.messenger.wills.push(session.account, client_id);
        let publish = ChatPublish {
            session: self.sessions.reference(slot),
            account,
            device: session.client_id.clone(),
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            ack: Some(ack),
            response_topic: None,
            correlation: None,
            properties: ChatProperties::of(
                mqtt_codec::publish::content_type(&message.properties),
                UserProperties::of_wire(&message.properties),
                will.expiry_secs,
            ),
            session_mid: Some(SessionMid::Will {
                account,
                client_id: (*session.client_id).into(),
            }),
            read_at: Moment::UNKNOWN,
        };
        self.messenger.note_asked();
        self.outputs
            .push(Output::Service(Service::Publish(Box::new(publish))));
    }

    /// The messenger has answered; false when it was no will. The client may have left another will meanwhile.
    pub(crate) fn chat_will_settled<R>(
        &mut self,
        ack: u64,
        outcome: &Result<(), (ReasonCode, R)>,
        now: Millis,
    ) -> bool {
        let Some(told) = self.messenger.wills.take(ack) else {
            return false;
        };
        let slot = self.sessions.find(told.account, &told.client_id);
        let again = slot.and_then(|slot| self.will_write(slot, false));
        // Stored or refused, it is not asked about again at every start. What the messenger knows it by goes with it.
        let key = will_key(told.account, &told.client_id);
        let gone = Write::Delete { key };
        let known = told.account.filter(|_| outcome.is_ok());
        let known = known.map(|account| Write::Delete {
            key: key::sent_will(account, &told.client_id),
        });
        let mut writes = vec![again.unwrap_or(gone)];
        writes.extend(known);
        self.append(writes, Then::Nothing, now);
        true
    }

    // After a restart.

    /// Takes back the will of a connection that ended with the server. Sessions come before.
    pub(crate) fn recover_will(&mut self, recovered: RecoveredWill, now: Millis) {
        let account = recovered.identity.account;
        let known = self.sessions.find(account, &recovered.client_id);
        let slot = known.unwrap_or_else(|| {
            // A session that ended with the server, for as long as it takes to say so.
            let serial = self.sessions.next_serial();
            let client_id = recovered.client_id.clone();
            let mut session = Session::new(serial, &recovered.identity, client_id);
            session.disconnected_at = Some(now);
            self.sessions.insert(session)
        });
        let will = Will::from_record(recovered.record);
        self.sessions[slot].will = Some(Box::new(will));
    }

    /// Publishes the wills that were taken back, once every shard knows what the others wait for; those that are to
    /// wait do so from the end of their connections on, which for a killed server is its start.
    pub(crate) fn publish_recovered_wills(&mut self, now: Millis) {
        let sessions = self.sessions.iter();
        let left: Vec<u32> = sessions
            .filter(|(_, session)| session.will.is_some())
            .map(|(slot, _)| slot)
            .collect();
        for slot in left {
            if self.sessions[slot].expiry_secs == 0 {
                self.end_session(slot, now);
            } else {
                self.arrange_will(slot, now);
                self.schedule_session_check(slot);
            }
        }
    }
}

fn will_key(account: Option<AccountId>, client_id: &str) -> Vec<u8> {
    key::will(account.unwrap_or(AccountId::ZERO), client_id)
}
