//! Every target with every input of its committed corpus, and with inputs changed at random. An input that fails is
//! written where libFuzzer would leave it, and the panic says how to try it again.

mod corpus;
mod mutations;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use fuzz_targets::Target;

/// `fuzz/` in the project's folder.
fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// Tries one input; what fails is kept.
fn attempt(target: Target, input: &[u8]) {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    if let Err(panic) = outcome {
        let name = target.name;
        let folder = fuzz_folder().join("artifacts").join(name);
        let sum = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        let file = folder.join(format!("crash-{sum:016x}"));
        std::fs::create_dir_all(&folder).expect("the project's folder can be written");
        std::fs::write(&file, input).expect("the project's folder can be written");
        let file = format!("fuzz/artifacts/{name}/crash-{sum:016x}");
        eprintln!("{name} fails; try it again: cargo xtask fuzz --target {name} --input {file}");
        resume_unwind(panic);
    }
}
