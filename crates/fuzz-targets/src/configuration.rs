//! Target `configuration`: any text as `magpie.toml`. A mistake is told with its line, and what is accepted says the
//! same when it is written down again.

use std::fmt::Write as _;

use server::config::{Config, parse};

/// Lines of the longest text that is told about.
const MISTAKES_MAX: usize = 20;

/// The text itself.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match parse("magpie.toml", text) {
        Ok(config) => {
            let numbers = numbers(&config);
            let written = write(&numbers);
            let again = parse("magpie.toml", &written)
                .unwrap_or_else(|mistakes| panic!("{mistakes:?} in\n{written}"));
            assert_eq!(numbers, self::numbers(&again));
            let unchanged = config.reloadable_diff(&config);
            assert!(unchanged.applied.is_empty() && unchanged.need_restart.is_empty());
        }
        Err(mistakes) => {
            assert!((1..=MISTAKES_MAX).contains(&mistakes.len()));
            for mistake in mistakes {
                let lines = text.lines().count().max(1) + 1;
                assert!(
                    (1..=lines).contains(&mistake.line),
                    "{mistake} of {lines} lines"
                );
                assert!(
                    !mistake.problem.is_empty() && mistake.to_string().lines().count() == 1,
                    "{mistake}"
                );
            }
        }
    }
}

/// Limits by section and key.
fn numbers(config: &Config) -> Vec<(&'static str, &'static str, u64)> {
    let (mqtt, chat, auth) = (&config.mqtt, &config.chat, &config.auth);
    let size = |size: usize| size as u64;
    vec![
        ("mqtt", "max_packet_size", mqtt.max_packet_size.into()),
        (
            "mqtt",
            "connect_timeout_secs",
            mqtt.connect_timeout.as_secs(),
        ),
        ("mqtt", "keepalive_max_secs", mqtt.keepalive_max_secs.into()),
        (
            "mqtt",
            "session_expiry_max_secs",
            mqtt.session_expiry_max_secs.into(),
        ),
        ("mqtt", "receive_maximum", mqtt.receive_maximum.into()),
        (
            "mqtt",
            "topic_alias_maximum",
            mqtt.topic_alias_maximum.into(),
        ),
        ("mqtt", "inflight_max", mqtt.inflight_max.into()),
        (
            "mqtt",
            "queued_messages_max",
            size(mqtt.queued_messages_max),
        ),
        ("mqtt", "queued_bytes_max", size(mqtt.queued_bytes_max)),
        ("mqtt", "outgoing_bytes_max", size(mqtt.outgoing_bytes_max)),
        ("mqtt", "subscriptions_max", size(mqtt.subscriptions_max)),
        ("mqtt", "topic_length_max", size(mqtt.topic_length_max)),
        ("mqtt", "topic_levels_max", size(mqtt.topic_levels_max)),
        (
            "mqtt",
            "user_properties_max",
            mqtt.user_properties_max.into(),
        ),
        ("mqtt", "connections_max", size(mqtt.connections_max)),
        ("mqtt", "sessions_max", size(mqtt.sessions_max)),
        (
            "mqtt",
            "retained_messages_max",
            size(mqtt.retained_messages_max),
        ),
        ("mqtt", "retained_bytes_max", size(mqtt.retained_bytes_max)),
        ("mqtt", "shards", mqtt.shards.into()),
        (
            "auth",
            "failures_per_minute_per_address",
            auth.failures_per_minute_per_address.into(),
        ),
        (
            "auth",
            "failures_per_minute_per_account",
            auth.failures_per_minute_per_account.into(),
        ),
        ("auth", "cache_secs", auth.cache.as_secs()),
        ("auth", "cache_entries_max", size(auth.cache_entries_max)),
        ("chat", "text_bytes_max", size(chat.text_bytes_max)),
        ("chat", "title_bytes_max", size(chat.title_bytes_max)),
        ("chat", "group_members_max", size(chat.group_members_max)),
        ("chat", "page_entries_max", size(chat.page_entries_max)),
        (
            "chat",
            "messages_per_second_max",
            chat.messages_per_second_max.into(),
        ),
    ]
}

fn write(numbers: &[(&'static str, &'static str, u64)]) -> String {
    let mut text = String::new();
    let mut section = "";
    for (name, key, value) in numbers {
        if *name != section {
            section = name;
            let _ = writeln!(text, "[{name}]");
        }
        let _ = writeln!(text, "{key} = {value}");
    }
    text
}
