//! `magpie backup`: a copy of the data directory at one commit, while its server runs or not.

use std::io::{BufWriter, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use server::storage::{self, BackupTerms, Summary, Target};

use crate::arguments::BackupArguments;
use crate::place;
use crate::progress::Display;
use crate::size;

/// Written to standard output at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Makes one backup.
pub(crate) fn run(arguments: &BackupArguments) -> anyhow::Result<()> {
    let config = place::open(&arguments.place)?;
    let data = &config.server.data;
    let terms = BackupTerms {
        rate: arguments.rate,
        keep: arguments.keep.map(|keep| keep as usize),
    };
    let mut display = Display::new("copied");
    let mut show = |progress| display.show(progress);
    let is_stream = arguments.target.as_os_str() == "-";
    let summary = if is_stream {
        let stdout = std::io::stdout().lock();
        if stdout.is_terminal() {
            bail!("`-` writes the backup to standard output, which is a terminal; redirect it");
        }
        if arguments.json || arguments.keep.is_some() {
            bail!(
                "--json and --keep are for a folder; `-` writes the backup itself to standard output"
            );
        }
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, stdout);
        storage::back_up(data, Target::Stream(&mut out), terms, &mut show)?
    } else {
        storage::back_up(data, Target::Folder(&arguments.target), terms, &mut show)?
    };
    drop(display);
    tell(arguments, &summary, is_stream)
}

fn tell(arguments: &BackupArguments, summary: &Summary, is_stream: bool) -> anyhow::Result<()> {
    let said = if arguments.json {
        serde_json::to_string(summary)? + "\n"
    } else {
        sentence(arguments, summary, is_stream)
    };
    let written = if is_stream {
        std::io::stderr().write_all(said.as_bytes())
    } else {
        std::io::stdout().write_all(said.as_bytes())
    };
    written.context("what was done cannot be said")
}

fn sentence(arguments: &BackupArguments, summary: &Summary, is_stream: bool) -> String {
    let mut said = if is_stream {
        format!(
            "backup at commit {}: {}\n",
            summary.commit,
            size::human(summary.bytes)
        )
    } else {
        format!(
            "generation {} in {}, at commit {}: {} in {} files, of which {} in {} files were copied\n",
            summary.generation,
            arguments.target.display(),
            summary.commit,
            size::human(summary.bytes),
            summary.files,
            size::human(summary.copied_bytes),
            summary.copied_files,
        )
    };
    if !summary.removed_generations.is_empty() {
        let removed: Vec<String> = summary
            .removed_generations
            .iter()
            .map(u64::to_string)
            .collect();
        said.push_str(&format!("removed: generation {}\n", removed.join(", ")));
    }
    said
}
