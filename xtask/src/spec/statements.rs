//! The numbered statements of MQTT 3.1.1 and 5, as `docs/spec/mqtt-statements.tsv` lists them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Where the list stands.
pub(crate) const PATH: &str = "docs/spec/mqtt-statements.tsv";
const HEADER: &str = "version\tid\tbinds\tpacket\tsummary";

pub(crate) struct Statement {
    pub(crate) version: String,
    pub(crate) id: String,
    /// Whether it is a duty of a server (or of both sides).
    pub(crate) binds_server: bool,
    pub(crate) summary: String,
}

impl Statement {
    /// As tests cite it: `3.1.1 MQTT-3.1.2-24`.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.version, self.id)
    }
}

pub(crate) fn read(root: &Path) -> Result<Vec<Statement>> {
    let text = fs::read_to_string(root.join(PATH)).context(PATH)?;
    parse(&text).context(PATH)
}

fn parse(text: &str) -> Result<Vec<Statement>> {
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        bail!("the first line must be {HEADER:?}");
    }
    let mut statements = Vec::new();
    for (index, line) in lines.enumerate() {
        let [version, id, binds, _packet, summary] = line.split('\t').collect::<Vec<_>>()[..]
        else {
            bail!("line {}: five columns are needed", index + 2);
        };
        let binds_server = match binds {
            "server" | "both" => true,
            "client" => false,
            other => bail!(
                "line {}: binds is server, client or both, not {other}",
                index + 2
            ),
        };
        statements.push(Statement {
            version: version.to_owned(),
            id: id.to_owned(),
            binds_server,
            summary: summary.to_owned(),
        });
    }
    Ok(statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_list_has_both_versions() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let statements = read(&root).expect("the list can be read");
        let count = |version: &str| statements.iter().filter(|s| s.version == version).count();
        assert_eq!((count("3.1.1"), count("5")), (141, 251));
    }

    #[test]
    fn a_bad_row_is_named() {
        for row in ["5\tMQTT-1\tserver\tx", "5\tMQTT-1\tnobody\tx\ty"] {
            let error = parse(&format!("{HEADER}\n{row}\n"))
                .err()
                .expect("is refused");
            assert!(error.to_string().contains("line 2"), "{error}");
        }
    }
}
