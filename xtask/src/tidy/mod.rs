//! `cargo xtask tidy`: the conventions that code can check. Owns the order of the rules and how a finding reads.
//! It never changes a file.

mod cargo_manifest;
mod code_map;
mod cycles;
mod edges;
mod files;
mod names;
mod paths;
mod policy;
mod purity;
mod tokens;

use std::fmt;
use std::path::Path;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::tree::{self, SourceFile};
use cargo_manifest::CargoManifest;
use code_map::CodeMap;
use policy::Policy;

/// One thing that is wrong, where, and what would be right.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
    right: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, right: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
            right: right.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            what,
            right,
        } = self;
        write!(out, "{path}:{line}: {what}; {right}")
    }
}

/// The whole tree as the rules see it: read once.
pub(crate) struct Survey {
    policy: Policy,
    map: CodeMap,
    manifests: Vec<CargoManifest>,
    /// The workspace's own Cargo.toml, which holds the features of shared dependencies.
    workspace: CargoManifest,
    rust: Vec<SourceFile>,
    /// The web client and the clients in other languages.
    web: Vec<SourceFile>,
}

impl Survey {
    fn of(root: &Path) -> Result<Self> {
        let mut rust = tree::files(root, "crates", &[".rs"])?;
        rust.extend(tree::files(root, "xtask", &[".rs"])?);
        let mut web = tree::files(root, "web", &[".ts", ".svelte", ".js", ".mjs", ".css"])?;
        web.retain(|file| !file.path.ends_with(".d.ts"));
        web.extend(tree::files(root, "tests", &[".js", ".mjs", ".py", ".sh"])?);
        Ok(Self {
            policy: Policy::read(root)?,
            map: CodeMap::read(root)?,
            manifests: cargo_manifest::all(root)?,
            workspace: CargoManifest::read(root, "Cargo.toml")?,
            rust,
            web,
        })
    }

    fn findings(&self, root: &Path) -> Vec<Finding> {
        let mut findings = Vec::new();
        edges::check(self, &mut findings);
        purity::check(self, root, &mut findings);
        cycles::check(self, &mut findings);
        names::check(self, &mut findings);
        files::check(self, &mut findings);
        findings.sort();
        findings.dedup();
        findings
    }
}

/// Prints what is wrong; whether nothing is.
pub(crate) fn run(arguments: Arguments) -> Result<bool> {
    arguments.end()?;
    let findings = findings(&tree::root()?)?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("tidy: nothing to say"),
        count => println!("tidy: {count} to mend"),
    }
    Ok(findings.is_empty())
}

fn findings(root: &Path) -> Result<Vec<Finding>> {
    Ok(Survey::of(root)?.findings(root))
}

#[cfg(test)]
mod tests;
