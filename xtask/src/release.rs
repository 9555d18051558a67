//! The server as it is released: named by `MAGPIE_BIN`, or built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::{child, tree};

/// Where the program is.
pub(crate) fn server(root: &Path) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("MAGPIE_BIN").filter(|named| !named.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    eprintln!("xtask: building the server (release)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--release", "--quiet", "--package", "magpie"])
        .current_dir(root);
    if !child::show(&mut build)? {
        bail!("the server does not build");
    }
    Ok(tree::target_dir(root).join("release/magpie"))
}
