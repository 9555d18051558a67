//! The access list for ordinary topics: first match wins, and what no rule names is denied. The `im/` tree
//! is not its business, and administrators are not asked.

use std::sync::Arc;

use records::AccountId;

/// Why a topic that begins with `$` is refused.
pub(crate) const RESERVED: &str = "reserved topic";

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Publishing to a topic.
    Publish,
    /// Subscribing to a filter.
    Subscribe,
}

/// Whom a rule concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Accounts and anonymous clients.
    Everyone,
    /// Clients without an account.
    Anonymous,
    /// One account, by name.
    Account(Box<str>),
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The action is allowed.
    Allow,
    /// The action is refused.
    Deny,
}

/// One line of the access list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Allow or deny.
    pub verdict: Verdict,
    /// Publish, subscribe, or both.
    pub actions: Vec<Action>,
    /// Whom it concerns.
    pub who: Who,
    /// A topic filter in which `%u` stands for the account's name and `%c` for the client id, each a
    /// whole level.
    pub filter: Box<str>,
}

/// Who a client proved to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account, or `None` for an anonymous client.
    pub account: Option<AccountId>,
    /// The account's name.
    pub name: Arc<str>,
    /// Whether it may use every ordinary topic.
    pub admin: bool,
    /// The SHA-256 of the token that proved it, if one did: its connection ends with the token.
    pub token: Option<Arc<[u8; 32]>>,
}

/// The client that asks.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// Its account's name, unless it is anonymous.
    pub account: Option<&'a str>,
    /// Its client id.
    pub client_id: &'a str,
}

/// Rules in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessList {
    rules: Vec<Rule>,
}

impl AccessList {
    /// A list of rules, most important first.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// Whether `client` may publish to `topic`.
    pub fn may_publish(&self, client: Client<'_>, topic: &str) -> bool {
        self.decide(Action::Publish, client, |rule, _| {
            covers(rule, topic, client)
        })
    }

    /// Whether `client` may subscribe to `filter`. An allowing rule must cover everything the filter can
    /// receive; a denying rule refuses as soon as it overlaps it.
    pub fn may_subscribe(&self, client: Client<'_>, filter: &str) -> bool {
        self.decide(Action::Subscribe, client, |rule, verdict| match verdict {
            Verdict::Allow => covers(rule, filter, client),
            Verdict::Deny => overlaps(rule, filter, client),
        })
    }

    fn decide(
        &self,
        action: Action,
        client: Client<'_>,
        concerns: impl Fn(&str, Verdict) -> bool,
    ) -> bool {
        self.rules
            .iter()
            .filter(|rule| rule.actions.contains(&action) && rule.who.includes(client))
            .find(|rule| concerns(&rule.filter, rule.verdict))
            .is_some_and(|rule| rule.verdict == Verdict::Allow)
    }
}

impl Who {
    fn includes(&self, client: Client<'_>) -> bool {
        match self {
            Self::Everyone => true,
            Self::Anonymous => client.account.is_none(),
            Self::Account(name) => client.account == Some(name),
        }
    }
}

/// Replaces the placeholders of a rule's level; `None` is a level nobody can have.
fn level<'a>(rule_level: &'a str, client: Client<'a>) -> Option<&'a str> {
    match rule_level {
        "%u" => client.account,
        "%c" => Some(client.client_id).filter(|id| !id.contains(['/', '+', '#'])),
        plain => Some(plain),
    }
}

/// Whether the rule's filter matches every topic that `filter` matches.
fn covers(rule: &str, filter: &str, client: Client<'_>) -> bool {
    if filter.starts_with('$') != rule.starts_with('$') {
        return false;
    }
    let mut wanted = filter.split('/');
    for rule_level in rule.split('/') {
        let placeholder = rule_level.starts_with('%');
        match level(rule_level, client) {
            None => return false,
            Some("#") if !placeholder => return true,
            Some("+") if !placeholder => match wanted.next() {
                None | Some("#") => return false,
                Some(_) => {}
            },
            Some(exact) => {
                if wanted.next() != Some(exact) {
                    return false;
                }
            }
        }
    }
    wanted.next().is_none()
}

/// Whether some topic matches both the rule's filter and `filter`.
fn overlaps(rule: &str, filter: &str, client: Client<'_>) -> bool {
    let (mut ours, mut theirs) = (rule.split('/'), filter.split('/'));
    loop {
        let (mine, their) = (ours.next(), theirs.next());
        let mine = match mine.map(|rule_level| level(rule_level, client)) {
            Some(None) => return false,
            Some(Some(known)) => Some(known),
            None => None,
        };
        match (mine, their) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(left), Some(right)) if left == right => {}
            (Some(_), Some(_)) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(lines: &[(Verdict, &str)]) -> AccessList {
        let rule = |(verdict, filter): &(Verdict, &str)| Rule {
            verdict: *verdict,
            actions: vec![Action::Publish, Action::Subscribe],
            who: Who::Everyone,
            filter: (*filter).into(),
        };
        AccessList::new(lines.iter().map(rule).collect())
    }

    const BOB: Client<'static> = Client {
        account: Some("bob"),
        client_id: "phone",
    };

    #[test]
    fn placeholders_stand_for_whole_levels() {
        let access = list(&[(Verdict::Allow, "devices/%u/%c/#")]);
        assert!(access.may_publish(BOB, "devices/bob/phone/t"));
        assert!(!access.may_publish(BOB, "devices/alice/phone/t"));
        let anonymous = Client {
            account: None,
            client_id: "phone",
        };
        assert!(!access.may_publish(anonymous, "devices/bob/phone/t"));
        let sly = Client {
            account: Some("bob"),
            client_id: "#",
        };
        assert!(!access.may_subscribe(sly, "devices/bob/#"));
    }

    #[test]
    fn a_subscription_must_lie_inside_what_is_allowed() {
        let access = list(&[(Verdict::Allow, "a/+/c"), (Verdict::Allow, "b/#")]);
        assert!(access.may_subscribe(BOB, "a/+/c"));
        assert!(access.may_subscribe(BOB, "a/x/c"));
        assert!(!access.may_subscribe(BOB, "a/#"));
        assert!(!access.may_subscribe(BOB, "#"));
        assert!(access.may_subscribe(BOB, "b/#"));
        assert!(access.may_subscribe(BOB, "b"));
        assert!(!access.may_subscribe(BOB, "$SYS/#"));
    }

    #[test]
    fn a_denied_part_refuses_the_whole_filter() {
        let access = list(&[(Verdict::Deny, "a/secret/#"), (Verdict::Allow, "#")]);
        assert!(!access.may_subscribe(BOB, "a/#"));
        assert!(!access.may_subscribe(BOB, "a/+/x"));
        assert!(access.may_subscribe(BOB, "a/open"));
        assert!(access.may_publish(BOB, "a/open"));
        assert!(!access.may_publish(BOB, "a/secret/x"));
    }

    #[test]
    fn nothing_is_allowed_that_no_rule_names() {
        assert!(!AccessList::default().may_publish(BOB, "t"));
    }
}
