//! `im/to/@<name>/device/<id>`: what one device tells another, such as the offers of a call. It is not stored, and what it says is
//! between the two.

use crate::format::device::DeviceId;
use crate::format::properties::MessageProperties;
use crate::io::Publish;
use crate::refusal::Refusal;
use crate::sessions::{Context, Sessions, delivery};

impl Sessions {
    /// Delivered to the device if it is connected; refused otherwise.
    pub(super) fn send_to_device(
        &mut self,
        publish: &Publish,
        (conv, device): (&str, &str),
        context: Context<'_>,
    ) -> Result<(), Refusal> {
        let account = publish.account;
        let Some(name) = conv.strip_prefix('@') else {
            let sentence = "a device is that of a person: im/to/@<name>/device/<id>";
            return Err(Refusal::not_allowed(sentence));
        };
        let Some(peer) = context.accounts.named(name) else {
            return Err(Refusal::no_such_account(name));
        };
        let (bytes, most) = (publish.payload.len(), self.settings.text_bytes_max);
        if bytes > most {
            return Err(Refusal::too_large("the payload", bytes, most));
        }
        let is_plain =
            |given: &MessageProperties| given.content_type.is_none() && given.user.is_empty();
        if !publish.properties.as_deref().is_none_or(is_plain) {
            let sentence =
                "a message to a device has a payload, but no content type and no user properties";
            return Err(Refusal::payload(sentence));
        }
        self.take_message_quota(account, 1, context.now)?;
        // Or anybody could make anybody's devices ring.
        let known = self.accounts.known(account);
        let talk =
            peer == account || known.is_some_and(|known| known.peers().any(|known| known == peer));
        if !talk {
            return Err(Refusal::no_such_conversation(conv));
        }
        let sessions = self.accounts.sessions(peer);
        let session = DeviceId::parse(device).and_then(|id| self.devices.of_id(sessions, id));
        let Some(session) = session else {
            return Err(Refusal::no_such_device(conv));
        };
        let from = context.accounts.name(account);
        let own = self.device_of(publish);
        let topic = format!("im/in/@{from}/device/{own}");
        let packet = delivery::packet(topic, publish.payload.clone());
        self.deliver_all(delivery::to_session(session, vec![packet]));
        self.counters.device_messages += 1;
        Ok(())
    }
}
