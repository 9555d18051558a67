//! `magpie restore`: a data directory out of a backup.

use std::fs::File;
use std::io::{BufReader, Write as _};

use anyhow::Context as _;
use server::storage::{self, Source};

use crate::arguments::RestoreArguments;
use crate::place;
use crate::progress::Display;
use crate::size;

/// Read from a stream at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Restores, or lists what could be.
pub(crate) fn run(arguments: &RestoreArguments) -> anyhow::Result<()> {
    let config = place::open(&arguments.place)?;
    let source = &arguments.source;
    if arguments.list {
        return list(arguments);
    }
    let data = &config.server.data;
    let mut display = Display::new("restored");
    let mut show = |progress| display.show(progress);
    let is_stream = source.as_os_str() == "-" || source.is_file();
    if is_stream && arguments.at.is_some() {
        anyhow::bail!("a stream holds one backup: --at is for a folder");
    }
    let summary = if source.as_os_str() == "-" {
        let mut stdin = BufReader::with_capacity(BUFFER_BYTES, std::io::stdin().lock());
        storage::restore(Source::Stream(&mut stdin), data, &mut show)?
    } else if is_stream {
        let file = File::open(source).with_context(|| source.display().to_string())?;
        let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
        storage::restore(Source::Stream(&mut file), data, &mut show)?
    } else {
        storage::restore(Source::Folder(source, arguments.at), data, &mut show)?
    };
    drop(display);
    let said = if arguments.json {
        serde_json::to_string(&summary)? + "\n"
    } else {
        format!(
            "restored the backup of {}, at commit {}: {} in {} files\nstart the server with `magpie --data {}`\n",
            storage::utc(summary.at),
            summary.commit,
            size::human(summary.bytes),
            summary.files,
            data.display(),
        )
    };
    say(&said)
}

fn list(arguments: &RestoreArguments) -> anyhow::Result<()> {
    let generations = storage::generations(&arguments.source)?;
    if arguments.json {
        return say(&(serde_json::to_string(&generations)? + "\n"));
    }
    if generations.is_empty() {
        return say(&format!(
            "{} holds no complete backup\n",
            arguments.source.display()
        ));
    }
    let mut lines = String::new();
    for generation in generations {
        lines.push_str(&format!(
            "{:6}  {}  commit {}  {}\n",
            generation.generation,
            storage::utc(generation.at),
            generation.commit,
            size::human(generation.bytes()),
        ));
    }
    say(&lines)
}

fn say(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("standard output cannot be written")
}
