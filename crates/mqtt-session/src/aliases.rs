//! Topic aliases of a connection (MQTT 5): those its client has set, and those the server sets by itself. They end with
//! the connection [5 MQTT-3.3.2-7] and belong to one direction only.

use std::sync::Arc;

/// Why an alias can't be used; both are protocol errors answered with DISCONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    /// Above the maximum announced in CONNACK (reason 0x94).
    #[error("topic alias {alias} above the maximum of {maximum}")]
    Invalid {
        /// What the client sent.
        alias: u16,
        /// What CONNACK allowed.
        maximum: u16,
    },
    /// An empty topic with an alias that was never set (reason 0x82).
    #[error("topic alias {0} was never set")]
    Unset(u16),
}

/// Alias to topic, for one connection.
#[derive(Debug, Default)]
pub struct TopicAliases {
    topics: Vec<Option<Box<str>>>,
}

impl TopicAliases {
    /// The alias stands for this topic from here on. [5 MQTT-3.3.2-12]
    pub fn set(&mut self, alias: u16, topic: &str, maximum: u16) -> Result<(), AliasError> {
        let place = place(alias, maximum)?;
        if self.topics.len() <= place {
            self.topics.resize(place + 1, None);
        }
        self.topics[place] = Some(topic.into());
        Ok(())
    }

    /// The topic an alias stands for.
    pub fn topic(&self, alias: u16, maximum: u16) -> Result<&str, AliasError> {
        let place = place(alias, maximum)?;
        self.topics
            .get(place)
            .and_then(Option::as_deref)
            .ok_or(AliasError::Unset(alias))
    }
}

fn place(alias: u16, maximum: u16) -> Result<usize, AliasError> {
    if alias == 0 || alias > maximum {
        return Err(AliasError::Invalid { alias, maximum });
    }
    Ok(usize::from(alias) - 1)
}

/// How a topic is written into the next PUBLISH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alias {
    /// By its name.
    None,
    /// By its name, for which the alias stands from here on.
    Set(u16),
    /// By its alias alone.
    Use(u16),
}

/// Aliases the server has set for a client. A topic gets one when it comes again soon; when all are given, the one used
/// least recently stands for the new topic.
#[derive(Debug, Default)]
pub struct SentAliases {
    /// In the order of the aliases, from 1 on.
    given: Vec<Given>,
    /// Hashes of topics that came of late and have no alias.
    came: [u32; CAME_KEPT],
    next_came: usize,
    uses: u32,
}

/// How many topics without an alias are remembered.
const CAME_KEPT: usize = 16;

#[derive(Debug)]
struct Given {
    hash: u32,
    /// Number of its last use.
    used: u32,
    topic: Arc<str>,
}

impl SentAliases {
    /// How to write `topic` with at most `maximum` aliases, which must not change while the connection lasts. `hash` is
    /// the topic's, under a key the peer does not know; `shared` is called when the topic is to be kept.
    pub fn next(
        &mut self,
        topic: &str,
        hash: u32,
        maximum: u16,
        shared: impl FnOnce() -> Arc<str>,
    ) -> Alias {
        self.uses = self.uses.wrapping_add(1);
        let uses = self.uses;
        let known = self
            .given
            .iter_mut()
            .zip(1..)
            .find(|(given, _)| given.hash == hash && &*given.topic == topic);
        if let Some((given, alias)) = known {
            given.used = uses;
            return Alias::Use(alias);
        }
        if !self.came.contains(&hash) {
            self.came[self.next_came] = hash;
            self.next_came = (self.next_came + 1) % CAME_KEPT;
            return Alias::None;
        }
        let given = Given {
            hash,
            used: uses,
            topic: shared(),
        };
        if self.given.len() < usize::from(maximum) {
            self.given.push(given);
            return Alias::Set(self.given.len() as u16);
        }
        let oldest = self
            .given
            .iter_mut()
            .zip(1..)
            .max_by_key(|(given, _)| uses.wrapping_sub(given.used));
        let Some((place, alias)) = oldest else {
            return Alias::None;
        };
        *place = given;
        Alias::Set(alias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // [5 MQTT-3.3.2-8] [5 MQTT-3.3.2-9] [5 MQTT-3.3.2-12]
    #[test]
    fn every_alias_up_to_the_maximum_works_and_none_beyond() {
        let mut aliases = TopicAliases::default();
        assert_eq!(aliases.topic(1, 4), Err(AliasError::Unset(1)));
        for alias in 1..=4 {
            aliases
                .set(alias, &format!("t/{alias}"), 4)
                .expect("within the maximum");
        }
        aliases
            .set(2, "other", 4)
            .expect("an alias may be given anew");
        assert_eq!(aliases.topic(2, 4), Ok("other"));
        assert_eq!(aliases.topic(4, 4), Ok("t/4"));
        assert_eq!(
            aliases.set(5, "t", 4),
            Err(AliasError::Invalid {
                alias: 5,
                maximum: 4
            })
        );
        assert_eq!(
            aliases.topic(0, 4),
            Err(AliasError::Invalid {
                alias: 0,
                maximum: 4
            })
        );
    }

    #[test]
    fn a_topic_that_comes_again_gets_the_alias_used_least_recently() {
        let mut aliases = SentAliases::default();
        let mut next = |topic: &str| {
            let hash = topic.bytes().map(u32::from).sum();
            aliases.next(topic, hash, 2, || topic.into())
        };
        assert_eq!(next("a/1"), Alias::None);
        assert_eq!(next("a/2"), Alias::None);
        assert_eq!(next("a/1"), Alias::Set(1));
        assert_eq!(next("a/1"), Alias::Use(1));
        assert_eq!(next("a/2"), Alias::Set(2));
        assert_eq!(next("a/1"), Alias::Use(1));
        assert_eq!(next("a/3"), Alias::None);
        assert_eq!(next("a/3"), Alias::Set(2), "a/1 was used since");
        assert_eq!(next("a/3"), Alias::Use(2));
        assert_eq!(
            next("a/2"),
            Alias::Set(1),
            "it is still remembered as one that came"
        );
        // The same hash is not the same topic.
        assert_eq!(next("b/1"), Alias::Set(2));
        assert_eq!(next("b/1"), Alias::Use(2));
        assert_eq!(next("a/2"), Alias::Use(1));
    }

    #[test]
    fn topics_that_come_once_get_none() {
        let mut aliases = SentAliases::default();
        for number in 0..1000u32 {
            let topic = format!("t/{number}");
            let alias = aliases.next(&topic, number + 1, 2, || unreachable!("it is not kept"));
            assert_eq!(alias, Alias::None);
        }
    }

    #[test]
    fn nothing_is_given_where_nothing_is_allowed() {
        let mut aliases = SentAliases::default();
        for _ in 0..3 {
            assert_eq!(aliases.next("t", 1, 0, || "t".into()), Alias::None);
        }
    }
}
