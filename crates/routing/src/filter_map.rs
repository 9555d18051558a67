//! What is kept for each topic filter, and which filters match a topic: the exact map and the trie as one, for
//! any kind of value. It knows nothing of subscribers or shards.

use crate::exact::ExactMap;
use crate::keys::Keys;
use crate::trie::Trie;

/// Handle of a filter while anything is subscribed to it; afterwards it may be given to another filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterId(pub(crate) u32);

/// Which table an id belongs to; the rest of the id is its number there.
const WILDCARD: u32 = 1 << 31;

/// Values by filter.
#[derive(Debug)]
pub(crate) struct FilterMap<V> {
    exact: ExactMap<V>,
    trie: Trie<V>,
}

impl<V: Default> FilterMap<V> {
    pub(crate) fn new(keys: Keys) -> Self {
        Self {
            exact: ExactMap::new(keys.clone()),
            trie: Trie::new(keys),
        }
    }

    /// Filters that have a value.
    pub(crate) fn len(&self) -> usize {
        self.exact.len() + self.trie.len()
    }

    pub(crate) fn find(&self, filter: &str) -> Option<FilterId> {
        if has_wildcard(filter) {
            self.trie.find(filter).map(|leaf| FilterId(leaf | WILDCARD))
        } else {
            self.exact.find(filter).map(FilterId)
        }
    }

    /// The filter's id; it gets a default value when it is new.
    pub(crate) fn find_or_insert(&mut self, filter: &str) -> FilterId {
        if has_wildcard(filter) {
            FilterId(self.trie.find_or_insert(filter) | WILDCARD)
        } else {
            FilterId(self.exact.find_or_insert(filter))
        }
    }

    /// Takes out a filter that is there.
    pub(crate) fn remove(&mut self, id: FilterId) -> V {
        match id.leaf() {
            Some(leaf) => self.trie.remove(leaf),
            None => self.exact.remove(id.0),
        }
    }

    /// The value of an id; for one that is not in use, none or a default value.
    pub(crate) fn value(&self, id: FilterId) -> Option<&V> {
        match id.leaf() {
            Some(leaf) => self.trie.value(leaf),
            None => self.exact.value(id.0),
        }
    }

    /// The value of an id in use.
    pub(crate) fn value_mut(&mut self, id: FilterId) -> &mut V {
        match id.leaf() {
            Some(leaf) => self.trie.value_mut(leaf),
            None => self.exact.value_mut(id.0),
        }
    }

    /// Appends the filter of an id in use to `text`.
    pub(crate) fn write_filter(&self, id: FilterId, text: &mut String) {
        match id.leaf() {
            Some(leaf) => self.trie.write_filter(leaf, text),
            None => self.exact.write_filter(id.0, text),
        }
    }

    /// Visits the value of every filter that matches the topic, each once.
    pub(crate) fn matches(&self, topic: &str, mut visit: impl FnMut(FilterId, &V)) {
        if self.exact.len() > 0
            && let Some(id) = self.exact.find(topic)
        {
            visit(
                FilterId(id),
                self.exact.value(id).expect("a found filter has a value"),
            );
        }
        self.trie.matches(topic, &mut |leaf, value| {
            visit(FilterId(leaf | WILDCARD), value)
        });
    }
}

impl FilterId {
    fn leaf(self) -> Option<u32> {
        (self.0 & WILDCARD != 0).then_some(self.0 & !WILDCARD)
    }
}

/// `+` and `#` are wildcards wherever a valid filter has them.
pub(crate) fn has_wildcard(filter: &str) -> bool {
    filter.bytes().any(|byte| byte == b'+' || byte == b'#')
}
