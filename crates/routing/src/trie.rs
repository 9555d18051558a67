//! Filters with wildcards, level by level, and what is kept for each. One table holds the edges of all nodes,
//! keyed by (node, level); `+` and `#` are fields of the node. It must not be given a filter without wildcard
//! for a topic to match by equality alone: that is the exact map's part, and cheaper.

use smallvec::SmallVec;

use crate::id_table::IdTable;
use crate::keys::Keys;
use crate::pages::Pages;
use crate::symbols::Symbols;

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;
/// Stands for `+` where a node keeps the level that leads to it.
const PLUS: u32 = u32::MAX - 1;
/// Nodes of one level kept without an allocation while matching.
const FRONTIER_INLINE: usize = 32;

type Frontier = SmallVec<[u32; FRONTIER_INLINE]>;

/// Values by wildcard filter.
#[derive(Debug)]
pub(crate) struct Trie<V> {
    keys: Keys,
    symbols: Symbols,
    nodes: Pages<Node>,
    /// (node, symbol) -> child; both are kept in the child.
    edges: IdTable,
    leaves: Pages<Leaf<V>>,
}

/// The filters that begin with the levels on the way from the root.
#[derive(Debug)]
struct Node {
    parent: u32,
    /// The level that leads here: a symbol or [`PLUS`].
    level: u32,
    /// Child for `+`.
    plus: u32,
    /// Leaf of the filter that ends in this level.
    here: u32,
    /// Leaf of the filter that goes on with `#`.
    below: u32,
    /// Children in the edge table.
    literal_children: u32,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            parent: NONE,
            level: NONE,
            plus: NONE,
            here: NONE,
            below: NONE,
            literal_children: 0,
        }
    }
}

#[derive(Debug, Default)]
struct Leaf<V> {
    value: V,
    node: u32,
}

impl<V: Default> Trie<V> {
    pub(crate) fn new(keys: Keys) -> Self {
        let mut nodes = Pages::default();
        assert!(
            nodes.insert(Node::default()) == ROOT,
            "the first id is zero"
        );
        let symbols = Symbols::new(keys.clone());
        Self {
            keys,
            symbols,
            nodes,
            edges: IdTable::default(),
            leaves: Pages::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.leaves.len()
    }

    pub(crate) fn find(&self, filter: &str) -> Option<u32> {
        let mut node = ROOT;
        for level in filter.split('/') {
            node = match level {
                "#" => return Some(self.nodes[node].below).filter(|&leaf| leaf != NONE),
                "+" => Some(self.nodes[node].plus).filter(|&child| child != NONE)?,
                literal => self.child(node, self.symbols.find(literal)?)?,
            };
        }
        Some(self.nodes[node].here).filter(|&leaf| leaf != NONE)
    }

    /// The filter's id; it gets a default value when it is new.
    pub(crate) fn find_or_insert(&mut self, filter: &str) -> u32 {
        let mut node = ROOT;
        for level in filter.split('/') {
            node = match level {
                "#" => {
                    if self.nodes[node].below == NONE {
                        self.nodes[node].below = self.leaves.insert(Leaf {
                            value: V::default(),
                            node,
                        });
                    }
                    return self.nodes[node].below;
                }
                "+" => self.plus_or_insert(node),
                literal => self.child_or_insert(node, literal),
            };
        }
        if self.nodes[node].here == NONE {
            self.nodes[node].here = self.leaves.insert(Leaf {
                value: V::default(),
                node,
            });
        }
        self.nodes[node].here
    }

    /// Takes out a filter that is there, and the nodes that only it needed.
    pub(crate) fn remove(&mut self, leaf: u32) -> V {
        let Leaf { value, node } = self.leaves.remove(leaf);
        let entry = &mut self.nodes[node];
        if entry.below == leaf {
            entry.below = NONE;
        } else {
            entry.here = NONE;
        }
        self.prune(node);
        value
    }

    pub(crate) fn value(&self, leaf: u32) -> Option<&V> {
        self.leaves.get(leaf).map(|leaf| &leaf.value)
    }

    pub(crate) fn value_mut(&mut self, leaf: u32) -> &mut V {
        &mut self.leaves[leaf].value
    }

    /// Visits every filter that matches the topic: level by level, so that the lookups of one level do not
    /// wait for each other. A level has at most as many nodes as there are filters.
    pub(crate) fn matches(&self, topic: &str, visit: &mut impl FnMut(u32, &V)) {
        if self.leaves.len() == 0 {
            return;
        }
        let mut nodes = Frontier::new();
        let mut next = Frontier::new();
        let (first, mut rest) = split_level(topic);
        // [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1] No wildcard for the first level of a topic that begins with `$`.
        if topic.starts_with('$') {
            next.extend(
                self.symbols
                    .find(first)
                    .and_then(|symbol| self.child(ROOT, symbol)),
            );
        } else {
            nodes.push(ROOT);
            self.descend(&nodes, first, &mut next, visit);
        }
        while let Some(levels) = rest {
            if next.is_empty() {
                return;
            }
            std::mem::swap(&mut nodes, &mut next);
            next.clear();
            let level;
            (level, rest) = split_level(levels);
            self.descend(&nodes, level, &mut next, visit);
        }
        for &node in &next {
            let node = &self.nodes[node];
            self.visit_leaf(node.here, visit);
            // `a/#` matches `a` too.
            self.visit_leaf(node.below, visit);
        }
    }

    /// Appends the filter to `text`.
    pub(crate) fn write_filter(&self, leaf: u32, text: &mut String) {
        let mut node = self.leaves[leaf].node;
        let below = self.nodes[node].below == leaf;
        let mut levels: SmallVec<[&str; FRONTIER_INLINE]> = SmallVec::new();
        if below {
            levels.push("#");
        }
        while node != ROOT {
            let Node { parent, level, .. } = self.nodes[node];
            levels.push(if level == PLUS {
                "+"
            } else {
                self.symbols.name(level)
            });
            node = parent;
        }
        for (place, level) in levels.iter().rev().enumerate() {
            if place > 0 {
                text.push('/');
            }
            text.push_str(level);
        }
    }

    /// Goes one level down from `nodes` to `next`, visiting the filters that end in `#` here.
    fn descend(
        &self,
        nodes: &Frontier,
        level: &str,
        next: &mut Frontier,
        visit: &mut impl FnMut(u32, &V),
    ) {
        let symbol = self.symbols.find(level);
        for &id in nodes {
            let node = &self.nodes[id];
            self.visit_leaf(node.below, visit);
            if node.plus != NONE {
                next.push(node.plus);
            }
            if node.literal_children > 0
                && let Some(symbol) = symbol
            {
                next.extend(self.child(id, symbol));
            }
        }
    }

    fn visit_leaf(&self, leaf: u32, visit: &mut impl FnMut(u32, &V)) {
        if leaf != NONE {
            visit(leaf, &self.leaves[leaf].value);
        }
    }

    fn child(&self, parent: u32, level: u32) -> Option<u32> {
        self.edges.find(self.keys.pair(parent, level), |child| {
            let child = &self.nodes[child];
            child.parent == parent && child.level == level
        })
    }

    fn plus_or_insert(&mut self, parent: u32) -> u32 {
        if self.nodes[parent].plus == NONE {
            self.nodes[parent].plus = self.nodes.insert(Node {
                parent,
                level: PLUS,
                ..Node::default()
            });
        }
        self.nodes[parent].plus
    }

    fn child_or_insert(&mut self, parent: u32, name: &str) -> u32 {
        if let Some(child) = self
            .symbols
            .find(name)
            .and_then(|level| self.child(parent, level))
        {
            return child;
        }
        let level = self.symbols.acquire(name);
        let child = self.nodes.insert(Node {
            parent,
            level,
            ..Node::default()
        });
        self.edges.insert(self.keys.pair(parent, level), child);
        self.nodes[parent].literal_children += 1;
        child
    }

    /// Frees a node that nothing hangs on any more, and then its parent likewise.
    fn prune(&mut self, mut id: u32) {
        while id != ROOT {
            let Node {
                parent,
                level,
                plus,
                here,
                below,
                literal_children,
            } = self.nodes[id];
            if plus != NONE || here != NONE || below != NONE || literal_children > 0 {
                return;
            }
            if level == PLUS {
                self.nodes[parent].plus = NONE;
            } else {
                assert!(
                    self.edges.remove(self.keys.pair(parent, level), id),
                    "a node in use has its edge"
                );
                self.symbols.release(level);
                self.nodes[parent].literal_children -= 1;
            }
            self.nodes.remove(id);
            id = parent;
        }
    }
}

/// The first level, and what follows its slash.
fn split_level(topic: &str) -> (&str, Option<&str>) {
    match topic.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (topic, None),
    }
}
