//! Topic aliases a client has set on its connection (MQTT 5). They end with the connection
//! [5 MQTT-3.3.2-7] and belong to one direction only.

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
}
