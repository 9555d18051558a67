//! From the text of `magpie.toml` to a `Config`, guided by the table. Pure: it reads no file, and it tells every
//! mistake it finds, not only the first.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::check::{address, shown};
use super::environment::{Variable, expand};
use super::listener::{LISTENER, ListenerDraft};
use super::mistake::{Mistake, Mistakes, nearest};
use super::network::Network;
use super::rule::{ACTIONS, RULE, RuleDraft};
use super::slot::{Key, Slot, TimeUnit};
use super::table::SECTIONS;
use super::values::{
    AccessActions, AccessRule, AccessVerdict, AccessWho, Config, ListenerConfig, RedirectMode,
};
use crate::secret::Secret;

/// Listeners in one configuration.
const LISTENERS_MAX: usize = 64;
/// Rules in one access list; each is asked in turn for every publish it might concern.
const RULES_MAX: usize = 10_000;
/// More keys than these are not listed in a message.
const LISTED_MAX: usize = 10;

/// What is expected of one in a list.
pub(super) const NETWORK: &str = "an address or a network such as \"10.0.0.0/8\"";

type Table<'t> = DeTable<'t>;
type Name<'t> = Spanned<DeString<'t>>;
type Value<'t> = Spanned<DeValue<'t>>;

/// Parses `text`; `file` is only used to name the place of a mistake. Every text is taken as it stands.
pub fn parse(file: &str, text: &str) -> Result<Config, Vec<Mistake>> {
    read(file, text, None)
}

/// Parses `text` with the environment variables that its texts name as `${NAME}`.
pub fn parse_in(
    file: &str,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Vec<Mistake>> {
    read(file, text, Some(variable))
}

fn read(file: &str, text: &str, variable: Option<Variable<'_>>) -> Result<Config, Vec<Mistake>> {
    let mut mistakes = Mistakes::new(file, text);
    let mut config = Config::default();
    match DeTable::parse(text) {
        Ok(mut root) => {
            if let Some(variable) = variable {
                expand("", root.get_mut(), variable, &mut mistakes);
            }
            // What a text would be whose variable is not set, nobody can judge.
            if mistakes.is_empty() {
                Walk {
                    mistakes: &mut mistakes,
                }
                .root(root.get_ref(), &mut config);
            }
        }
        Err(error) => {
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            mistakes.add(
                &error.span().unwrap_or_default(),
                "",
                format!("not valid TOML: {message}"),
            );
        }
    }
    let found = mistakes.found();
    if found.is_empty() {
        Ok(config)
    } else {
        Err(found)
    }
}

struct Walk<'m, 'a> {
    mistakes: &'m mut Mistakes<'a>,
}

impl Walk<'_, '_> {
    fn root(&mut self, root: &Table<'_>, config: &mut Config) {
        for (name, value) in root {
            let written: &str = name.get_ref();
            if written == "acl" {
                config.acl = self.rules(value);
                continue;
            }
            let Some(section) = SECTIONS.iter().find(|section| section.name == written) else {
                self.unknown_section(&name.span(), written);
                continue;
            };
            let Some(keys) = value.get_ref().as_table() else {
                self.mistakes.add(
                    &value.span(),
                    written,
                    format!("expected a section `[{written}]`, found {}", found(value)),
                );
                continue;
            };
            for (name, value) in keys {
                let key: &str = name.get_ref();
                if written == "mqtt" && key == "listener" {
                    config.mqtt.listeners = self.listeners(value);
                    continue;
                }
                self.key(written, section.keys, name, value, config);
            }
            if written == "http" && config.http.certificate.is_some() != config.http.key.is_some() {
                let problem = "`certificate` and `key` belong together: one of them is missing";
                self.mistakes.add(&value.span(), "http", problem);
            }
        }
        self.redirect_has_an_aim(root, config);
    }

    /// Whoever is sent away has to be told where.
    fn redirect_has_an_aim(&mut self, root: &Table<'_>, config: &Config) {
        let aimless =
            config.mqtt.redirect != RedirectMode::Off && config.mqtt.server_reference.is_empty();
        let mqtt = root.get("mqtt").and_then(|mqtt| mqtt.get_ref().as_table());
        if let Some(redirect) = mqtt
            .and_then(|mqtt| mqtt.get("redirect"))
            .filter(|_| aimless)
        {
            let problem = "needs `server_reference`, such as \"other.example:1883\"";
            self.mistakes
                .add(&redirect.span(), "mqtt.redirect", problem);
        }
    }

    /// Sets one key of `into`, or tells why not and answers false.
    fn key<T>(
        &mut self,
        section: &str,
        keys: &[Key<T>],
        name: &Name<'_>,
        value: &Value<'_>,
        into: &mut T,
    ) -> bool {
        let written: &str = name.get_ref();
        let path = format!("{section}.{}", shown(written));
        let Some(key) = keys.iter().find(|key| key.name == written) else {
            let tables = if section == "mqtt" {
                &["listener"][..]
            } else {
                &[]
            };
            let known = keys
                .iter()
                .map(|key| key.name)
                .chain(tables.iter().copied());
            self.mistakes
                .add(&name.span(), path, unknown_key(section, written, known));
            return false;
        };
        match fill(&key.slot, value, into) {
            Ok(()) => true,
            Err(problem) => {
                self.mistakes.add(&value.span(), path, problem);
                false
            }
        }
    }

    fn listeners(&mut self, value: &Value<'_>) -> Vec<ListenerConfig> {
        let mut listeners: Vec<ListenerConfig> = Vec::new();
        for (entry, table) in self.entries(value, "mqtt.listener", LISTENERS_MAX) {
            let mut draft = ListenerDraft::default();
            let mut right = true;
            for (name, value) in table {
                right &= self.key("mqtt.listener", LISTENER, name, value, &mut draft);
            }
            if !right {
                continue;
            }
            match draft.finish(|key| table.get(key).is_some()) {
                Ok(listener) if listeners.iter().any(|other| other.clashes_with(&listener)) => {
                    let problem = format!("{} is listened on twice", listener.address);
                    self.mistakes.add(&entry.span(), "mqtt.listener", problem);
                }
                Ok(listener) => listeners.push(listener),
                Err((key, problem)) => {
                    let span = table.get(key).map_or_else(|| entry.span(), Spanned::span);
                    let path = if key.is_empty() {
                        "mqtt.listener".to_owned()
                    } else {
                        format!("mqtt.listener.{key}")
                    };
                    self.mistakes.add(&span, path, problem);
                }
            }
        }
        listeners
    }

    fn rules(&mut self, value: &Value<'_>) -> Vec<AccessRule> {
        let mut rules = Vec::new();
        for (entry, table) in self.entries(value, "acl", RULES_MAX) {
            let mut draft = RuleDraft {
                who: "*".to_owned(),
                ..RuleDraft::default()
            };
            for (name, value) in table {
                self.key("acl", RULE, name, value, &mut draft);
            }
            if table.get("filter").is_none() {
                self.mistakes.add(
                    &entry.span(),
                    "acl",
                    "has no `filter`, such as \"devices/%u/#\"",
                );
            }
            if table.get("allow").is_some() == table.get("deny").is_some() {
                self.mistakes.add(
                    &entry.span(),
                    "acl",
                    "has to say either `allow` or `deny`, one of them",
                );
            }
            rules.extend(rule(draft));
        }
        rules
    }

    /// The tables of an array of tables.
    fn entries<'v, 't>(
        &mut self,
        value: &'v Value<'t>,
        key: &str,
        max: usize,
    ) -> Vec<(&'v Value<'t>, &'v Table<'t>)> {
        let Some(array) = value.get_ref().as_array() else {
            self.mistakes.add(
                &value.span(),
                key,
                format!("expected one or more `[[{key}]]`, found {}", found(value)),
            );
            return Vec::new();
        };
        if array.len() > max {
            self.mistakes.add(
                &value.span(),
                key,
                format!("there are {}, at most {max} are allowed", array.len()),
            );
            return Vec::new();
        }
        let mut tables = Vec::with_capacity(array.len());
        for entry in array.iter() {
            match entry.get_ref().as_table() {
                Some(table) => tables.push((entry, table)),
                None => self.mistakes.add(
                    &entry.span(),
                    key,
                    format!("expected `[[{key}]]`, found {}", found(entry)),
                ),
            }
        }
        tables
    }

    fn unknown_section(&mut self, span: &Range<usize>, written: &str) {
        let known = SECTIONS.iter().map(|section| section.name).chain(["acl"]);
        let problem = match (home_of(written), nearest(written, known)) {
            (Some(section), _) => format!("a key outside a section; it belongs in `[{section}]`"),
            (None, Some(meant)) => format!("unknown section; did you mean `{meant}`?"),
            (None, None) => {
                let known: Vec<_> = SECTIONS
                    .iter()
                    .map(|section| section.name)
                    .chain(["acl"])
                    .collect();
                format!("unknown section; there are {}", known.join(", "))
            }
        };
        self.mistakes.add(span, shown(written), problem);
    }
}

/// `None` where the mistake has been told already.
fn rule(draft: RuleDraft) -> Option<AccessRule> {
    let (verdict, index) = match (draft.allow, draft.deny) {
        (Some(index), None) => (AccessVerdict::Allow, index),
        (None, Some(index)) => (AccessVerdict::Deny, index),
        (Some(_), Some(_)) | (None, None) => return None,
    };
    let actions = match ACTIONS.get(index).copied() {
        Some("publish") => AccessActions::Publish,
        Some("subscribe") => AccessActions::Subscribe,
        Some(_) | None => AccessActions::All,
    };
    let who = match draft.who.as_str() {
        "*" => AccessWho::Everyone,
        "anonymous" => AccessWho::Anonymous,
        _ => AccessWho::Account(draft.who),
    };
    Some(AccessRule {
        verdict,
        actions,
        filter: draft.filter,
        who,
    })
}

/// The section that has a key of this name.
fn home_of(key: &str) -> Option<&'static str> {
    SECTIONS
        .iter()
        .find(|section| section.keys.iter().any(|known| known.name == key))
        .map(|section| section.name)
}

fn unknown_key<'k>(
    section: &str,
    written: &str,
    known: impl Iterator<Item = &'k str> + Clone,
) -> String {
    if let Some(meant) = nearest(written, known.clone()) {
        return format!("unknown key; did you mean `{meant}`?");
    }
    match home_of(written) {
        Some(home) if home != section => format!("unknown key; it belongs in `[{home}]`"),
        Some(_) | None if known.clone().count() > LISTED_MAX => {
            format!("unknown key; docs/configuration.md has those of `{section}`")
        }
        Some(_) | None => {
            format!(
                "unknown key; `{section}` has {}",
                known.collect::<Vec<_>>().join(", ")
            )
        }
    }
}

/// Puts a value where it belongs; the error says what is wrong and what would be right.
fn fill<T>(slot: &Slot<T>, value: &Value<'_>, into: &mut T) -> Result<(), String> {
    match slot {
        Slot::Flag(at) => {
            let flag = value.get_ref().as_bool();
            *at(into) =
                flag.ok_or_else(|| format!("expected true or false, found {}", found(value)))?;
        }
        Slot::Number16 { at, range, unit } => *at(into) = number(value, *range, unit)?,
        Slot::Number32 { at, range, unit } => *at(into) = number(value, *range, unit)?,
        Slot::Size { at, range, unit } => *at(into) = number(value, *range, unit)?,
        Slot::Time { at, range, unit } => {
            *at(into) = match unit {
                TimeUnit::Seconds => {
                    Duration::from_secs(number::<u32>(value, *range, "seconds")?.into())
                }
                TimeUnit::Milliseconds => {
                    Duration::from_millis(number::<u32>(value, *range, "milliseconds")?.into())
                }
            }
        }
        Slot::Address(at) => {
            *at(into) = address(text(value, "an address such as \"127.0.0.1:1883\"")?)?
        }
        Slot::OptionalAddress(at) => {
            *at(into) = Some(address(text(
                value,
                "an address such as \"127.0.0.1:9100\"",
            )?)?);
        }
        Slot::Path(at) => {
            *at(into) = path(value, "a directory such as \"./magpie-data\"")?;
        }
        Slot::OptionalPath(at) => *at(into) = Some(path(value, "a file")?),
        Slot::Texts {
            at,
            max,
            check,
            expected,
        } => *at(into) = texts(value, *max, *check, expected)?,
        Slot::Text {
            at,
            check,
            expected,
        } => *at(into) = checked(value, *check, expected)?.to_owned(),
        Slot::OptionalSecret {
            at,
            check,
            expected,
        } => *at(into) = Some(Secret::new(checked(value, *check, expected)?)),
        Slot::Networks { at, max } => {
            let parses = |text: &str| text.parse::<Network>().map(drop);
            let texts = texts(value, *max, parses, NETWORK)?;
            *at(into) = texts
                .iter()
                .flat_map(|text| text.parse::<Network>())
                .collect();
        }
        Slot::Choice { words, choose, .. } => choose(into, choice(value, words)?),
    }
    Ok(())
}

fn path(value: &Value<'_>, expected: &str) -> Result<PathBuf, String> {
    match text(value, "a path in quotation marks")? {
        "" => Err(format!("an empty path; expected {expected}")),
        path => Ok(path.into()),
    }
}

/// A text that `check` finds nothing wrong with.
fn checked<'v>(
    value: &'v Value<'_>,
    check: fn(&str) -> Result<(), String>,
    expected: &str,
) -> Result<&'v str, String> {
    let text = text(value, &format!("{expected}, in quotation marks"))?;
    check(text).map_err(|problem| format!("{problem}; expected {expected}"))?;
    Ok(text)
}

/// A list of at most `max` such texts.
fn texts(
    value: &Value<'_>,
    max: usize,
    check: fn(&str) -> Result<(), String>,
    expected: &str,
) -> Result<Vec<String>, String> {
    let Some(list) = value.get_ref().as_array() else {
        return Err(format!("expected a list of texts, found {}", found(value)));
    };
    if list.len() > max {
        return Err(format!(
            "there are {}, at most {max} are allowed",
            list.len()
        ));
    }
    let texts = list.iter().map(|value| checked(value, check, expected));
    texts.map(|text| text.map(str::to_owned)).collect()
}

/// Which of the words it is.
fn choice(value: &Value<'_>, words: &[&str]) -> Result<usize, String> {
    let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    let choices = quoted.join(" or ");
    let written = text(value, &choices)?;
    let index = words.iter().position(|word| *word == written);
    index.ok_or_else(|| format!("expected {choices}, found \"{}\"", shown(written)))
}

fn number<N>(value: &Value<'_>, (min, max): (N, N), unit: &str) -> Result<N, String>
where
    N: TryFrom<i128> + PartialOrd + std::fmt::Display + Copy,
{
    let range = format!("{min} to {max} {unit}");
    let Some(written) = value.get_ref().as_integer() else {
        return Err(format!(
            "expected a whole number, {range}, found {}",
            found(value)
        ));
    };
    i128::from_str_radix(written.as_str(), written.radix())
        .ok()
        .and_then(|number| N::try_from(number).ok())
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| {
            format!(
                "{} is out of range; allowed are {range}",
                shown(written.as_str())
            )
        })
}

fn text<'v>(value: &'v Value<'_>, expected: &str) -> Result<&'v str, String> {
    value
        .get_ref()
        .as_str()
        .ok_or_else(|| format!("expected {expected}, found {}", found(value)))
}

/// What stands there in place of what was expected.
fn found(value: &Value<'_>) -> String {
    match value.get_ref() {
        DeValue::String(text) => format!("the text \"{}\"", shown(text)),
        DeValue::Integer(number) => format!("the number {}", shown(number.as_str())),
        DeValue::Float(number) => format!("the number {}", shown(number.as_str())),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a section".to_owned(),
    }
}
