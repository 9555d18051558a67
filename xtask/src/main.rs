//! The project's own chores: `cargo xtask ci | tidy | test | crash | hostile | sim | soak | torture | fuzz | bench | spec`.
//! Owns the command line only; each chore is a module. Nothing here is part of the product.

mod arguments;
mod child;
mod tree;

mod bench;
mod ci;
mod fuzz;
mod hostile;
mod release;
mod sim;
mod soak;
mod spec;
mod test;
mod tidy;
mod torture;

use std::process::ExitCode;

use arguments::Arguments;

const USAGE: &str = "\
usage: cargo xtask <chore>

  ci                        all that must hold before a change lands: format, lints, tidy, spec, licences, tests
  tidy                      layers, module cycles, names, file sizes and headers, purity of the cores
  spec [--missing|--check]  which statements of the MQTT specifications have a test that names them
  test [--strict] [--only rust|web|e2e|clients|crash]... [--rounds N]
                            sets up what the tests need and runs them; --strict makes a skip a failure
  crash [--rounds N]        only the crash tests
  hostile [--rounds N] [--only NAME]...
                            attacks on the released server, each beside a pair that talks
  sim [--worlds broker|messenger] [--seeds N] [--seed S] [--steps N]
                            seeded worlds around the broker's core, held to a model of the specification; or one again
  soak [--minutes N] [--seed N]
                            mixed load, cut connections, kills and clean restarts: nothing lost, memory flat
  torture [--only write|drain|history|kill]... [--quick] [--dir DIR] [--seed N] [--memory-mib N] [--nofile N]
                            the store at full speed, at size and killed, held to its bounds: hours, or minutes with --quick
  fuzz [--target NAME]... [--secs N] [--input FILE] [--minimise]
                            runs the fuzz targets with libFuzzer, or tries one input again
  bench [--only NAME,...] [--peers NAME,...|none] [--runs N] [--secs N] [--quick] [--write docs/benchmarks.md]
                            measures the server, and whatever of mosquitto, rabbitmq, ejabberd and nats is installed, and
                            holds the figures against the goals";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_command_line();
    let chore = arguments.next_word();
    let outcome = match chore.as_deref() {
        Some("ci") => ci::run(arguments),
        Some("tidy") => tidy::run(arguments),
        Some("spec") => spec::run(arguments),
        Some("test") => test::run(arguments),
        Some("crash") => test::run_crash(arguments),
        Some("hostile") => hostile::run(arguments),
        Some("sim") => sim::run(arguments),
        Some("soak") => soak::run(arguments),
        Some("torture") => torture::run(arguments),
        Some("fuzz") => fuzz::run(arguments),
        Some("bench") => bench::run(arguments),
        Some("help" | "--help" | "-h") | None => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(other) => Err(anyhow::anyhow!("no such chore: {other}\n\n{USAGE}")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}
