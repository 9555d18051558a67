//! The configuration in the words of the cores. No default stands here: those are the configuration's.

use std::sync::Arc;
use std::time::Duration;

use broker::{
    AccessList, Action, Limits, ListenerSettings, Redirect, Rule, Settings, Verdict, Who,
};

use crate::config::{
    AccessActions, AccessRule, AccessVerdict, AccessWho, Config, ListenerLimits, MqttConfig,
    RedirectMode,
};

/// For one of `shards` shards.
pub(crate) fn broker(config: &Config, shards: usize) -> Settings {
    let mqtt = &config.mqtt;
    let share = |whole: usize| whole.div_ceil(shards.max(1));
    let defaults = Limits::default();
    Settings {
        limits: Limits {
            connect_timeout_secs: secs16(mqtt.connect_timeout),
            connect_bytes_max: mqtt.connect_bytes_max,
            sessions_per_account_max: mqtt.sessions_per_account_max,
            filter_bytes_per_account_max: mqtt.filter_bytes_per_account_max,
            unauthenticated_bytes_max: share(mqtt.unauthenticated_bytes_max),
            client_id_bytes_max: mqtt.client_id_bytes_max,
            exchange_steps_max: config.auth.exchange_steps_max,
            exchange_bytes_max: config.auth.exchange_bytes_max,
            packet_bytes_max: mqtt.max_packet_size,
            keepalive_max_secs: mqtt.keepalive_max_secs,
            session_expiry_max_secs: mqtt.session_expiry_max_secs,
            receive_maximum: mqtt.receive_maximum,
            topic_alias_maximum: mqtt.topic_alias_maximum,
            topic_aliases_sent_max: mqtt.topic_aliases_sent_max,
            inflight_max: mqtt.inflight_max,
            queued_messages_max: mqtt.queued_messages_max,
            queued_bytes_max: mqtt.queued_bytes_max,
            stored_messages_max: mqtt.queued_messages_max,
            stored_bytes_max: mqtt.queued_disk_bytes_max as u64,
            outgoing_bytes_max: mqtt.outgoing_bytes_max,
            publishes_per_second_max: mqtt.publishes_per_second_max,
            subscriptions_max: mqtt.subscriptions_max,
            chat_filters_max: config.chat.filters_max,
            chat_shares_max: config.chat.shares_max,
            topic_bytes_max: mqtt.topic_length_max,
            topic_levels_max: mqtt.topic_levels_max,
            user_properties_max: mqtt.user_properties_max,
            // Counted for the whole server where connections are accepted.
            connections_max: mqtt.connections_max,
            sessions_max: share(mqtt.sessions_max),
            offline_sessions_max: share(mqtt.offline_sessions_max),
            // Every shard keeps every retained message.
            retained_messages_max: mqtt.retained_messages_max,
            retained_bytes_max: mqtt.retained_bytes_max,
            retained_messages_per_account_max: mqtt.retained_messages_per_account_max,
            retained_bytes_per_account_max: mqtt.retained_bytes_per_account_max,
            appends_max: mqtt.appends_max,
            deliveries_at_once_max: defaults.deliveries_at_once_max,
        },
        allow_anonymous: mqtt.allow_anonymous,
        allowances: Arc::default(),
        access: AccessList::new(config.acl.iter().map(rule).collect()),
        redirect: match mqtt.redirect {
            RedirectMode::Off => Redirect::Off,
            RedirectMode::Temporary => Redirect::Temporary(mqtt.server_reference.as_str().into()),
            RedirectMode::Permanent => Redirect::Permanent(mqtt.server_reference.as_str().into()),
        },
        listeners: mqtt
            .listeners
            .iter()
            .map(|listener| listener_settings(mqtt, &listener.limits))
            .collect(),
    }
}

/// For one listener.
fn listener_settings(mqtt: &MqttConfig, own: &ListenerLimits) -> ListenerSettings {
    ListenerSettings {
        packet_bytes_max: own.max_packet_size.unwrap_or(mqtt.max_packet_size),
        connect_timeout_secs: secs16(own.connect_timeout.unwrap_or(mqtt.connect_timeout)),
        allow_anonymous: own.allow_anonymous.unwrap_or(mqtt.allow_anonymous),
    }
}

fn secs16(time: Duration) -> u16 {
    u16::try_from(time.as_secs()).unwrap_or(u16::MAX)
}

/// For the messenger.
pub(crate) fn chat(config: &Config) -> chat::Settings {
    let chat = &config.chat;
    chat::Settings {
        text_bytes_max: chat.text_bytes_max,
        title_bytes_max: chat.title_bytes_max,
        extension_bytes_max: chat.extension_bytes_max,
        group_members_max: chat.group_members_max,
        conversations_per_account_max: chat.conversations_per_account_max,
        stored_bytes_per_account_max: chat.stored_bytes_per_account_max as u64,
        loaded_bytes_max: chat.loaded_bytes_max,
        page_entries_max: chat.page_entries_max,
        accounts_max: chat.accounts_max,
        messages_per_second_max: chat.messages_per_second_max,
        messages_burst_max: chat.messages_burst_max,
        filters_max: chat.filters_max,
        questions_waiting_max: chat.questions_waiting_max,
        tokens_max: chat.tokens_max,
        groups_per_minute_max: chat.groups_per_minute_max,
    }
}

fn rule(rule: &AccessRule) -> Rule {
    Rule {
        verdict: match rule.verdict {
            AccessVerdict::Allow => Verdict::Allow,
            AccessVerdict::Deny => Verdict::Deny,
        },
        actions: match rule.actions {
            AccessActions::Publish => vec![Action::Publish],
            AccessActions::Subscribe => vec![Action::Subscribe],
            AccessActions::All => vec![Action::Publish, Action::Subscribe],
        },
        who: match &rule.who {
            AccessWho::Everyone => Who::Everyone,
            AccessWho::Anonymous => Who::Anonymous,
            AccessWho::Account(name) => Who::Account(name.as_str().into()),
        },
        filter: rule.filter.as_str().into(),
    }
}

// What a shard appends at once is what the committer takes at once, or a client could end the server with a large packet.
const _: () = assert!(broker::APPEND_BYTES_MAX <= store::BATCH_BYTES_MAX);
