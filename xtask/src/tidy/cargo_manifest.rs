//! Cargo.toml files: names, dependencies and the line each stands on. Owns no rule.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

/// In which table a dependency stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DependencyKind {
    Normal,
    Build,
    Dev,
    /// `[workspace.dependencies]`
    Workspace,
}

pub(crate) struct Dependency {
    /// The package's name, also where the manifest renames it.
    pub(crate) name: String,
    pub(crate) kind: DependencyKind,
    pub(crate) line: usize,
    /// `default-features`, where it is said.
    pub(crate) default_features: Option<bool>,
}

pub(crate) struct CargoManifest {
    /// Below the root.
    pub(crate) path: String,
    /// The package's name; empty for the workspace's own manifest.
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// The manifests of all crates: `crates/*` and `xtask`.
pub(crate) fn all(root: &Path) -> Result<Vec<CargoManifest>> {
    let mut folders = vec!["xtask".to_owned()];
    for entry in fs::read_dir(root.join("crates")).context("crates")? {
        folders.push(format!("crates/{}", entry?.file_name().to_string_lossy()));
    }
    folders.sort();
    folders.retain(|folder| root.join(folder).join("Cargo.toml").is_file());
    folders
        .iter()
        .map(|folder| CargoManifest::read(root, &format!("{folder}/Cargo.toml")))
        .collect()
}

impl CargoManifest {
    pub(crate) fn read(root: &Path, path: &str) -> Result<Self> {
        let text = fs::read_to_string(root.join(path)).with_context(|| path.to_owned())?;
        Self::parse(path, &text).with_context(|| path.to_owned())
    }

    pub(crate) fn parse(path: &str, text: &str) -> Result<Self> {
        let manifest: Table = text.parse()?;
        let name = manifest
            .get("package")
            .and_then(|package| package.get("name"))
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let mut dependencies = Vec::new();
        let mut collect = |table: Option<&Value>, kind| {
            for (key, value) in table.and_then(Value::as_table).into_iter().flatten() {
                dependencies.push(dependency(key, value, kind, text));
            }
        };
        let mut tables = vec![&manifest];
        let targets = manifest.get("target").and_then(Value::as_table);
        tables.extend(
            targets
                .into_iter()
                .flat_map(Table::values)
                .filter_map(Value::as_table),
        );
        for table in tables {
            collect(table.get("dependencies"), DependencyKind::Normal);
            collect(table.get("build-dependencies"), DependencyKind::Build);
            collect(table.get("dev-dependencies"), DependencyKind::Dev);
        }
        let workspace = manifest.get("workspace");
        collect(
            workspace.and_then(|w| w.get("dependencies")),
            DependencyKind::Workspace,
        );
        Ok(Self {
            path: path.to_owned(),
            name,
            dependencies,
        })
    }

    /// The folder that the manifest stands in.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

fn dependency(key: &str, value: &Value, kind: DependencyKind, text: &str) -> Dependency {
    let name = value.get("package").and_then(Value::as_str).unwrap_or(key);
    Dependency {
        name: name.to_owned(),
        kind,
        line: line_of(key, kind, text),
        default_features: value.get("default-features").and_then(Value::as_bool),
    }
}

/// The line on which `key` is set in the table of this kind; 1 if it cannot be told.
fn line_of(key: &str, kind: DependencyKind, text: &str) -> usize {
    let wanted = match kind {
        DependencyKind::Normal => "dependencies",
        DependencyKind::Build => "build-dependencies",
        DependencyKind::Dev => "dev-dependencies",
        DependencyKind::Workspace => "workspace.dependencies",
    };
    let mut within = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
        {
            within = header == wanted || header.ends_with(&format!(".{wanted}"));
            if header == format!("{wanted}.{key}") {
                return index + 1;
            }
        } else if within
            && line
                .strip_prefix(key)
                .is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        {
            return index + 1;
        }
    }
    1
}
