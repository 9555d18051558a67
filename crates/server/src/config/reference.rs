//! `docs/configuration.md`, written from the table. A test compares the file in the tree with it.

use std::fmt::Write as _;

use super::listener::{INHERITED, LISTENER, ListenerDraft};
use super::parse::NETWORK;
use super::rule::{RULE, RuleDraft};
use super::slot::{Applies, Key, Slot, TimeUnit};
use super::table::SECTIONS;
use super::values::Config;

const OPENING: &str = "# Configuration

This page is written from the table in `crates/server/src/config/table/`; to renew it after a change:
`UPDATE_DOCS=1 cargo test -p server config`.

`magpie serve` reads `magpie.toml` from the current directory, or the file named with `--config`. Every key has a
default, and without a file all of them apply. What the command line says goes before the file.

In every text `${NAME}` stands for the environment variable `NAME` of the server; one that is not set is a mistake. For a `${` as it
stands write `$${`; any other `$` is one, as in `$SYS/#`. Options of the command line have variables too, `MAGPIE_` and the option's
name in capitals: `MAGPIE_CONFIG`, `MAGPIE_DATA`, `MAGPIE_MQTT` (several addresses with commas between them), `MAGPIE_HTTP`,
`MAGPIE_ALLOW_ANONYMOUS`, `MAGPIE_DEMO`, `MAGPIE_DURABILITY`, `MAGPIE_LOG`. An option goes before its variable, and both go before the file.

A mistake stops the start (or leaves the running configuration as it is, on reload) and is told with file, line, key
and what would be right:

    magpie.toml:3: mqtt.max_packt_size: unknown key; did you mean `max_packet_size`?

`magpie check-config` says so without a start, of certificates too, and otherwise what `serve` would listen on; its exit code is 1 or 0.

On SIGHUP the file is read again. Keys marked *reload* take effect at once; of the others the log says that they wait for a
restart.
";

const LISTENERS: &str =
    "Any number of them, one for each address. Without any, MQTT listens on `127.0.0.1:1883`. Examples of every kind stand
in [listeners.md](listeners.md).

    [[mqtt.listener]]
    address = \"127.0.0.1:1883\"

    [[mqtt.listener]]
    kind = \"tls\"
    address = \"[::]:8883\"
    certificate = \"/etc/magpie/chain.pem\"
    key = \"/etc/magpie/key.pem\"
";

const RULES: &str = "The access list of ordinary topics, everything outside `im/`. Rules are asked in their order and the first that
matches decides; what no rule names is denied. It is not asked about administrators, nor with
`allow_anonymous`, which opens ordinary topics to all.

What a changed list no longer allows ends at once, after a reload and after a restart: subscriptions with the messages that wait for
them, wills, and without `allow_anonymous` the sessions of clients without an account. MQTT has no word for a subscription that has ended, so its client
is not told; the log and `magpie_subscriptions_revoked_total`, `magpie_wills_revoked_total` and `magpie_sessions_revoked_total` are. What was
sent before and is not acknowledged is sent again.

    [[acl]]                      # everybody reads the news,
    allow = \"subscribe\"
    filter = \"news/#\"

    [[acl]]                      # and has a place of their own
    allow = \"all\"
    filter = \"devices/%u/#\"
";

/// The whole page.
pub fn reference() -> String {
    let mut page = OPENING.to_owned();
    for section in SECTIONS {
        heading(&mut page, &format!("[{}]", section.name), section.about);
        rows(&mut page, section.keys, &mut Config::default(), &[]);
        if section.name == "mqtt" {
            heading(&mut page, "[[mqtt.listener]]", LISTENERS);
            rows(
                &mut page,
                LISTENER,
                &mut ListenerDraft::default(),
                INHERITED,
            );
        }
        if section.name == "auth" {
            heading(&mut page, "[[acl]]", RULES);
            let mut example = RuleDraft {
                who: "*".to_owned(),
                ..RuleDraft::default()
            };
            rows(&mut page, RULE, &mut example, &[]);
        }
    }
    page
}

fn heading(page: &mut String, name: &str, about: &str) {
    let _ = write!(page, "\n## `{name}`\n\n{}\n\n", about.trim_end());
}

/// One row for each key; the default of those `inherited` is the value in `[mqtt]`.
fn rows<T>(page: &mut String, keys: &[Key<T>], defaults: &mut T, inherited: &[&str]) {
    page.push_str("| key | default | allowed | applies on | meaning |\n|---|---|---|---|---|\n");
    for key in keys {
        let default = match key.slot.show(defaults).as_str() {
            "\"\"" => "–".to_owned(),
            _ if matches!(key.name, "allow" | "deny") => "–".to_owned(),
            _ if inherited.contains(&key.name) => "as in `[mqtt]`".to_owned(),
            shown => format!("`{shown}`"),
        };
        let applies = match key.applies {
            Applies::OnReload => "reload",
            Applies::OnRestart => "restart",
        };
        let _ = writeln!(
            page,
            "| `{}` | {default} | {} | {applies} | {} |",
            key.name,
            allowed(&key.slot),
            key.about
        );
    }
}

fn allowed<T>(slot: &Slot<T>) -> String {
    match slot {
        Slot::Flag(_) => "`true`, `false`".to_owned(),
        Slot::Number16 {
            range: (min, max),
            unit,
            ..
        } => format!("{min} to {max} {unit}"),
        Slot::Number32 {
            range: (min, max),
            unit,
            ..
        } => format!("{min} to {max} {unit}"),
        Slot::Size {
            range: (min, max),
            unit,
            ..
        } => format!("{min} to {max} {unit}"),
        Slot::Time {
            range: (min, max),
            unit: TimeUnit::Seconds,
            ..
        } => format!("{min} to {max} seconds"),
        Slot::Time {
            range: (min, max),
            unit: TimeUnit::Milliseconds,
            ..
        } => format!("{min} to {max} milliseconds"),
        Slot::Address(_) | Slot::OptionalAddress(_) => "IP address and port".to_owned(),
        Slot::Path(_) | Slot::OptionalPath(_) => "a path".to_owned(),
        Slot::Networks { .. } => format!("a list, each {NETWORK}"),
        Slot::Texts { expected, .. } => format!("a list, each {expected}"),
        Slot::Text { expected, .. } | Slot::OptionalSecret { expected, .. } => {
            (*expected).to_owned()
        }
        Slot::Choice { words, .. } => words
            .iter()
            .map(|word| format!("`\"{word}\"`"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}
