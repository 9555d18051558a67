//! The code map of ARCHITECTURE.md: which crate lives in which layer. The document is the truth; this only reads it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

pub(crate) const MAP_PATH: &str = "ARCHITECTURE.md";

/// A crate's place among the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// `L0` at the bottom to `L5`.
    Floor(u8),
    /// Tools for tests and chores; no product crate builds on them.
    Dev,
}

pub(crate) struct CodeMap {
    places: BTreeMap<String, Place>,
}

struct Place {
    layer: Layer,
    line: usize,
}

impl CodeMap {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join(MAP_PATH)).context(MAP_PATH)?;
        Self::parse(&text)
    }

    /// Reads the rows `| L0 | \`crate\` | …` and `| dev | \`crate\` | …`.
    fn parse(text: &str) -> Result<Self> {
        let mut places = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let (Some(layer), Some(name)) = (cells.next(), cells.next()) else {
                continue;
            };
            let Some(name) = name
                .strip_prefix('`')
                .and_then(|name| name.strip_suffix('`'))
            else {
                continue;
            };
            let layer = match layer.strip_prefix('L').map(str::parse) {
                Some(Ok(floor)) => Layer::Floor(floor),
                None if layer == "dev" => Layer::Dev,
                Some(Err(_)) | None => continue,
            };
            let line = index + 1;
            if places
                .insert(name.to_owned(), Place { layer, line })
                .is_some()
            {
                bail!("{MAP_PATH}:{line}: `{name}` has two rows in the code map");
            }
        }
        if places.is_empty() {
            bail!("{MAP_PATH}: no code map found (rows such as \"| L0 | `mqtt-codec` | …\")");
        }
        Ok(Self { places })
    }

    pub(crate) fn layer(&self, package: &str) -> Option<Layer> {
        self.places.get(package).map(|place| place.layer)
    }

    /// Every crate of the map and the line of its row.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, usize)> {
        self.places
            .iter()
            .map(|(name, place)| (name.as_str(), place.line))
    }
}
