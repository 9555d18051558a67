//! The committed corpora: each target passes with all of its inputs, and they stay small.

use std::path::Path;

use fuzz_targets::{TARGETS, Target};

use crate::{attempt, fuzz_folder};

/// Bytes of all corpora together.
const BYTES_MAX: usize = 1024 * 1024;

/// The inputs of a target's corpus, in the order of their names.
pub(crate) fn inputs(target: Target) -> Vec<Vec<u8>> {
    let folder = fuzz_folder().join("corpus").join(target.name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder that can be read").path())
        .collect();
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn every_target_passes_with_its_corpus() {
    let mut bytes = 0;
    for target in TARGETS {
        let inputs = inputs(*target);
        assert!(inputs.len() >= (target.seeds)().len(), "{}", target.name);
        for input in inputs {
            bytes += input.len();
            attempt(*target, &input);
        }
    }
    assert!(bytes <= BYTES_MAX, "the corpora have {bytes} bytes");
}

#[test]
fn every_target_passes_with_its_seeds() {
    for target in TARGETS {
        for seed in (target.seeds)() {
            attempt(*target, &seed);
        }
    }
}

/// `UPDATE_CORPUS=1` adds what is missing: the beginning of a new target.
#[test]
fn every_target_has_a_corpus() {
    for target in TARGETS {
        let folder = fuzz_folder().join("corpus").join(target.name);
        if std::env::var_os("UPDATE_CORPUS").is_some() && !folder.is_dir() {
            std::fs::create_dir_all(&folder).expect("the project's folder can be written");
            for (number, seed) in (target.seeds)().iter().enumerate() {
                let file = folder.join(format!("seed-{number:03}"));
                std::fs::write(file, seed).expect("the project's folder can be written");
            }
        }
        let source = fuzz_folder()
            .join("fuzz_targets")
            .join(format!("{}.rs", target.name));
        assert!(
            folder.is_dir(),
            "no corpus: UPDATE_CORPUS=1 cargo test -p fuzz-targets"
        );
        assert!(source.is_file(), "no program: {}", source.display());
    }
}
