//! Module cycles: within a crate no two top-level modules may need each other, directly or in a circle.
//! What `lib.rs` re-exports is no edge of `lib.rs`, but a use of the re-exported name is one to where it comes from.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::paths::{self, NamedPath};
use super::policy::{AllowedCycle, Hub, POLICY_PATH};
use super::tokens::{self, Token};
use super::{Finding, Survey};
use crate::tree::SourceFile;

pub(crate) fn check(survey: &Survey, findings: &mut Vec<Finding>) {
    for manifest in &survey.manifests {
        let source = format!("{}/src/", manifest.folder());
        let files = survey
            .rust
            .iter()
            .filter(|file| file.path.starts_with(&source));
        let mut graph = ModuleGraph::of(&source, files);
        for hub in &survey.policy.hub {
            if hub.package == manifest.name {
                exempt_hub(&mut graph, hub, findings);
            }
        }
        for cycle in &survey.policy.cycle {
            if cycle.package == manifest.name {
                exempt_cycle(&mut graph, cycle, findings);
            }
        }
        findings.extend(graph.cycles());
    }
}

/// Takes out the edges from the rooms of a hub to the hub.
fn exempt_hub(graph: &mut ModuleGraph, hub: &Hub, findings: &mut Vec<Finding>) {
    let rooms: BTreeSet<_> = graph
        .implementers
        .iter()
        .filter(|(_, state)| *state == hub.state)
        .map(|(module, _)| module.clone())
        .collect();
    let used = graph.take_out(|from, to| to == hub.module && rooms.contains(from));
    if !used || hub.reason.is_empty() {
        let what = format!("hub `{}` of `{}`", hub.module, hub.package);
        findings.push(useless(&what));
    }
}

/// Takes out the edges among modules that may need each other.
fn exempt_cycle(graph: &mut ModuleGraph, cycle: &AllowedCycle, findings: &mut Vec<Finding>) {
    let listed = |module: &str| cycle.modules.iter().any(|name| name == module);
    let in_circle = graph.cycles().iter().any(|circle| {
        cycle
            .modules
            .iter()
            .all(|name| circle.what.contains(&format!("`{name}`")))
    });
    graph.take_out(|from, to| listed(from) && listed(to));
    if !in_circle || cycle.reason.is_empty() {
        let what = format!(
            "cycle of `{}` in `{}`",
            cycle.modules.join("`, `"),
            cycle.package
        );
        findings.push(useless(&what));
    }
}

fn useless(exception: &str) -> Finding {
    Finding::new(
        POLICY_PATH,
        1,
        format!("the exception for the {exception} is not needed, or has no reason"),
        "take it out of the policy, or say why",
    )
}

/// Which top-level module of a crate names which.
#[derive(Default)]
struct ModuleGraph {
    /// From, to; and the first place that needs it.
    edges: BTreeMap<(String, String), (String, usize)>,
    /// Modules with an `impl Type` (not of a trait) and that type.
    implementers: BTreeSet<(String, String)>,
}

/// A file of the crate, read.
struct Module {
    path: String,
    /// `["a", "b"]` for `src/a/b.rs`, nothing for `lib.rs`.
    place: Vec<String>,
    tokens: Vec<Token>,
    test_modules: Vec<String>,
}

impl ModuleGraph {
    fn of<'a>(source: &str, files: impl Iterator<Item = &'a SourceFile>) -> Self {
        let modules: Vec<_> = files.map(|file| Module::read(source, file)).collect();
        let tests: BTreeSet<Vec<String>> = modules
            .iter()
            .flat_map(|module| {
                module
                    .test_modules
                    .iter()
                    .map(|name| [&module.place[..], std::slice::from_ref(name)].concat())
            })
            .collect();
        let names: BTreeSet<String> = modules
            .iter()
            .filter_map(|module| module.place.first().cloned())
            .collect();
        let reexports = reexports(&modules, &names);

        let mut graph = Self::default();
        for module in &modules {
            let Some(from) = module.place.first() else {
                continue;
            };
            if (1..=module.place.len()).any(|length| tests.contains(&module.place[..length])) {
                continue;
            }
            for path in paths::named(&module.tokens) {
                let Some(name) = first_in_crate(module, &path) else {
                    continue;
                };
                let to = if names.contains(&name) {
                    name
                } else if let Some(origin) = reexports.get(&name) {
                    origin.clone()
                } else {
                    continue;
                };
                if to != *from {
                    graph
                        .edges
                        .entry((from.clone(), to))
                        .or_insert_with(|| (module.path.clone(), path.line));
                }
            }
            let implemented = implemented(&module.tokens).into_iter();
            graph
                .implementers
                .extend(implemented.map(|state| (from.clone(), state)));
        }
        graph
    }

    /// Drops the edges that `exempt` names; whether there were any.
    fn take_out(&mut self, exempt: impl Fn(&str, &str) -> bool) -> bool {
        let before = self.edges.len();
        self.edges.retain(|(from, to), _| !exempt(from, to));
        self.edges.len() < before
    }

    /// The shortest circle through each module; those of a tangle that contain a told one's modules are left out, since
    /// mending the shorter one may mend them too.
    fn cycles(&self) -> Vec<Finding> {
        let modules: BTreeSet<&String> = self.edges.keys().map(|(from, _)| from).collect();
        let mut circles: Vec<_> = modules
            .into_iter()
            .filter_map(|module| self.shortest_circle(module))
            .collect();
        circles.sort_by_key(Vec::len);
        let mut told = BTreeSet::new();
        let mut findings = Vec::new();
        for circle in circles {
            let known = circle
                .iter()
                .filter(|(from, _)| told.contains(from))
                .count();
            if known == circle.len() || (known > 0 && circle.len() > 2) {
                continue;
            }
            told.extend(circle.iter().map(|(from, _)| from.clone()));
            let steps: Vec<_> = circle
                .iter()
                .map(|edge| {
                    let (path, line) = &self.edges[edge];
                    format!("`{}` needs `{}` ({path}:{line})", edge.0, edge.1)
                })
                .collect();
            let (path, line) = &self.edges[&circle[0]];
            findings.push(Finding::new(
                path,
                *line,
                format!("module cycle: {}", steps.join(", ")),
                "move what both need into the lower one or a module of its own",
            ));
        }
        findings
    }

    fn shortest_circle(&self, start: &str) -> Option<Vec<(String, String)>> {
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(module) = queue.pop_front() {
            for (from, to) in self.edges.keys().filter(|(from, _)| from == module) {
                if to == start {
                    let mut circle = vec![(from.clone(), to.clone())];
                    let mut at = from.as_str();
                    while at != start {
                        let before = came_from[at];
                        circle.push((before.to_owned(), at.to_owned()));
                        at = before;
                    }
                    circle.reverse();
                    return Some(circle);
                }
                if !came_from.contains_key(to.as_str()) {
                    came_from.insert(to, from);
                    queue.push_back(to);
                }
            }
        }
        None
    }
}

impl Module {
    fn read(source: &str, file: &SourceFile) -> Self {
        let below = file.path[source.len()..].trim_end_matches(".rs");
        let mut place: Vec<_> = below.split('/').map(str::to_owned).collect();
        if place
            .last()
            .is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main"))
        {
            place.pop();
        }
        let (tokens, test_modules) = tokens::without_tests(&tokens::tokens(&file.text));
        Self {
            path: file.path.clone(),
            place,
            tokens,
            test_modules,
        }
    }
}

/// The first segment below the crate's root that the path means, if it means something in this crate.
fn first_in_crate(module: &Module, path: &NamedPath) -> Option<String> {
    let mut at: Vec<&String> = module.place.iter().chain(&path.inside).collect();
    let mut segments = path.segments.iter().peekable();
    match segments.peek().map(|segment| segment.as_str())? {
        "crate" => {
            segments.next();
            at.clear();
        }
        "self" => {
            segments.next();
        }
        "super" => {
            while segments.next_if(|segment| *segment == "super").is_some() {
                at.pop();
            }
        }
        _ => return None,
    }
    at.extend(segments);
    at.first().map(|first| (*first).clone())
}

/// Names that `lib.rs` (or `main.rs`) takes out of a module, and that module.
fn reexports(modules: &[Module], names: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for root in modules.iter().filter(|module| module.place.is_empty()) {
        for path in paths::named(&root.tokens) {
            let own = path
                .segments
                .iter()
                .find(|segment| !matches!(segment.as_str(), "crate" | "self"));
            let (Some(origin), Some(last)) = (own, path.segments.last()) else {
                continue;
            };
            if path.reexport && names.contains(origin) {
                let name = path.alias.as_ref().unwrap_or(last);
                found.insert(name.clone(), origin.clone());
            }
        }
    }
    found
}

/// The types that have an `impl Type { … }` here; `impl Trait for Type` does not count.
fn implemented(tokens: &[Token]) -> Vec<String> {
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if !token.is_word("impl") {
            continue;
        }
        let header = tokens[index + 1..]
            .iter()
            .take_while(|token| !token.is_sign('{') && !token.is_sign(';'));
        let mut depth = 0_usize;
        let mut last = None;
        for token in header {
            if token.is_sign('<') {
                depth += 1;
            } else if token.is_sign('>') {
                depth = depth.saturating_sub(1);
            } else if token.is_word("for") {
                last = None;
                break;
            } else if token.is_word("where") {
                break;
            } else if depth == 0 && token.word().is_some() {
                last = token.word();
            }
        }
        found.extend(last.map(str::to_owned));
    }
    found
}
