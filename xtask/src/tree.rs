//! The project's folder: where it is and which source files it has. Reads, never writes.
//! What is generated or installed is not part of it.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

/// Folders that hold nothing written by hand.
const NOT_SOURCE: [&str; 11] = [
    ".git",
    "target",
    "node_modules",
    "dist",
    ".svelte-kit",
    ".vite",
    "paraglide",
    ".venv",
    "magpie-data",
    "test-results",
    "coverage",
];

/// A file of the project: its path below the root with `/` between the parts, and its text.
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The folder of the workspace that this program was built in.
pub(crate) fn root() -> Result<PathBuf> {
    let xtask = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = xtask.parent().context("xtask has no folder above it")?;
    Ok(root.to_owned())
}

/// Where cargo puts what it builds: `CARGO_TARGET_DIR`, or `target` in the root.
pub(crate) fn target_dir(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// Every file below `root/folder` whose name ends with one of the endings, in the order of their paths.
/// A folder that is not there has no files.
pub(crate) fn files(root: &Path, folder: &str, endings: &[&str]) -> Result<Vec<SourceFile>> {
    let mut found = Vec::new();
    let start = root.join(folder);
    if start.is_dir() {
        collect(root, &start, endings, &mut found)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn collect(
    root: &Path,
    folder: &Path,
    endings: &[&str],
    found: &mut Vec<SourceFile>,
) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        if kind.is_dir() && !NOT_SOURCE.contains(&name.as_str()) {
            collect(root, &entry.path(), endings, found)?;
        } else if kind.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
            let bytes =
                fs::read(entry.path()).with_context(|| entry.path().display().to_string())?;
            found.push(SourceFile {
                path: relative(root, &entry.path()),
                text: String::from_utf8_lossy(&bytes).into_owned(),
            });
        }
    }
    Ok(())
}

/// `path` as seen from `root`, with `/` between the parts.
pub(crate) fn relative(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = below
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}
