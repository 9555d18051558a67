//! Cycles within a crate: no two files may need each other, directly or in a circle, nor may two of its top-level folders.
//! What a module re-exports is no edge of that module, but a use of the re-exported name is one to where it comes from.
//! A file may name what stands above it in its own folders: `a/b.rs` the module `a`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::paths::{self, NamedPath};
use super::policy::{MixedFolders, POLICY_PATH, Policy};
use super::tokens::{self, Token};
use super::{Finding, Survey};
use crate::tree::SourceFile;

/// Re-exports that are followed from one to the next.
const REEXPORTS_MAX: usize = 8;

pub(crate) fn check(survey: &Survey, findings: &mut Vec<Finding>) {
    // For now: the messenger is being cut into modules, which ends its circle.
    let manifests = survey.manifests.iter();
    for manifest in manifests.filter(|manifest| manifest.name != "chat") {
        let source = format!("{}/src/", manifest.folder());
        let files = survey
            .rust
            .iter()
            .filter(|file| file.path.starts_with(&source));
        let modules = Modules::read(&source, files);
        let policy = &survey.policy;
        let found = modules.graph(|place| place.join("::")).cycles();
        if found.is_empty() {
            findings.extend(of_folders(&modules, &manifest.name, policy));
        }
        findings.extend(found);
    }
}

/// Circles of top-level folders, in a crate whose files make none.
fn of_folders(modules: &Modules, package: &str, policy: &Policy) -> Vec<Finding> {
    let found = modules.graph(|place| place[0].clone()).cycles();
    let mixed = policy.mixed_folders.iter();
    match mixed.into_iter().find(|mixed| mixed.package == package) {
        None => found,
        Some(MixedFolders { reason, .. }) if found.is_empty() || reason.is_empty() => {
            vec![useless(&format!("mixed folders of `{package}`"))]
        }
        Some(_) => Vec::new(),
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

/// The files of a crate, read.
struct Modules {
    files: Vec<Module>,
    /// Where each of them stands.
    places: BTreeSet<Vec<String>>,
    /// By module, the names that it re-exports, and what each stands for.
    reexports: BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
    /// Modules that are only there for tests.
    tests: BTreeSet<Vec<String>>,
}

/// One file of the crate.
struct Module {
    path: String,
    /// `["a", "b"]` for `src/a/b.rs`, nothing for `lib.rs`.
    place: Vec<String>,
    tokens: Vec<Token>,
    test_modules: Vec<String>,
}

/// Which file, or which folder, names which.
#[derive(Default)]
struct ModuleGraph {
    /// From, to; and the first place that needs it.
    edges: BTreeMap<(String, String), (String, usize)>,
}

impl Modules {
    fn read<'a>(source: &str, files: impl Iterator<Item = &'a SourceFile>) -> Self {
        let files: Vec<_> = files.map(|file| Module::read(source, file)).collect();
        let below = |module: &Module, name: &String| {
            [&module.place[..], std::slice::from_ref(name)].concat()
        };
        let tests = files
            .iter()
            .flat_map(|module| {
                let names = module.test_modules.iter();
                names.map(|name| below(module, name))
            })
            .collect();
        let mut modules = Self {
            places: files.iter().map(|module| module.place.clone()).collect(),
            reexports: BTreeMap::new(),
            tests,
            files,
        };
        for module in &modules.files {
            let paths = paths::named(&module.tokens).into_iter();
            let named = paths.filter(|path| path.reexport).filter_map(|path| {
                let stands_for = in_crate(module, &path, &modules.places)?;
                let name = path.alias.or_else(|| stands_for.last().cloned())?;
                Some((name, stands_for))
            });
            let named: BTreeMap<_, _> = named.collect();
            modules.reexports.insert(module.place.clone(), named);
        }
        modules
    }

    fn graph(&self, node: impl Fn(&[String]) -> String) -> ModuleGraph {
        let mut graph = ModuleGraph::default();
        let files = self.files.iter().filter(|module| !self.is_test(module));
        for module in files.filter(|module| !module.place.is_empty()) {
            let from = node(&module.place);
            for path in paths::named(&module.tokens) {
                if path.reexport {
                    continue;
                }
                let Some(target) = in_crate(module, &path, &self.places)
                    .and_then(|path| self.module_of(path))
                    .filter(|target| !module.place.starts_with(target))
                else {
                    continue;
                };
                let to = node(&target);
                if to != from {
                    graph
                        .edges
                        .entry((from.clone(), to))
                        .or_insert_with(|| (module.path.clone(), path.line));
                }
            }
        }
        graph
    }

    fn is_test(&self, module: &Module) -> bool {
        (1..=module.place.len()).any(|length| self.tests.contains(&module.place[..length]))
    }

    /// The file in which stands what a path from the crate's root means.
    fn module_of(&self, mut path: Vec<String>) -> Option<Vec<String>> {
        for _ in 0..REEXPORTS_MAX {
            let length = (0..=path.len())
                .rev()
                .find(|length| self.places.contains(&path[..*length]))?;
            let place = path[..length].to_vec();
            let name = path.get(length);
            let stands_for = name.and_then(|name| self.reexports.get(&place)?.get(name));
            match stands_for {
                Some(stands_for) if *stands_for != path => {
                    path = [&stands_for[..], &path[length + 1..]].concat();
                }
                Some(_) | None => return (!place.is_empty()).then_some(place),
            }
        }
        None
    }
}

impl ModuleGraph {
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

/// A path from the crate's root on, if it means something in this crate.
fn in_crate(
    module: &Module,
    path: &NamedPath,
    places: &BTreeSet<Vec<String>>,
) -> Option<Vec<String>> {
    let mut at: Vec<String> = module.place.iter().chain(&path.inside).cloned().collect();
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
        // `use child::Name`, which `mod child;` has made possible.
        first => {
            at.push(first.to_owned());
            let is_child = places.contains(&at);
            at.pop();
            if !is_child {
                return None;
            }
        }
    }
    at.extend(segments.cloned());
    Some(at)
}
