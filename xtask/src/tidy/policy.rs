//! `xtask/tidy.toml`: what the rules hold the code to, as far as it is data. Owns its form, not its meaning.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// Where the policy stands, for findings about the policy itself.
pub(crate) const POLICY_PATH: &str = "xtask/tidy.toml";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Policy {
    #[serde(default)]
    pub(crate) edge: Vec<AllowedEdge>,
    #[serde(default)]
    pub(crate) forbidden_edge: Vec<ForbiddenEdge>,
    pub(crate) pure: Pure,
    pub(crate) names: Names,
    pub(crate) files: Files,
    #[serde(default)]
    pub(crate) mixed_folders: Vec<MixedFolders>,
}

/// An edge that may exist within one layer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllowedEdge {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) reason: String,
}

/// Edges that point downwards and are wrong all the same.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForbiddenEdge {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Pure {
    pub(crate) crates: Vec<String>,
    pub(crate) dependencies: Vec<String>,
    pub(crate) without_default_features: Vec<String>,
    pub(crate) paths: Vec<String>,
    pub(crate) clippy_methods: Vec<String>,
    pub(crate) clippy_types: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Names {
    pub(crate) words: Vec<String>,
    pub(crate) whole: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Files {
    pub(crate) lines_max: usize,
}

/// A crate in whose folders stands, side by side, what is held and what uses it: only its files may not go in circles.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MixedFolders {
    #[serde(rename = "crate")]
    pub(crate) package: String,
    pub(crate) reason: String,
}

impl Policy {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join(POLICY_PATH)).context(POLICY_PATH)?;
        toml::from_str(&text).context(POLICY_PATH)
    }
}
