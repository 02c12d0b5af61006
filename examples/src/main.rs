//! `cargo run -p anabranch-examples -- [hasty] [FILE.toml]… [SEED]`: documents of yrs under the faults of scenarios.

use anabranch_examples::Documents;
use anabranch_sim::{harness, scenario::Scenario};
use std::{env, process::ExitCode};

const FILES: [(&str, &str); 2] = [
    ("examples/yrs.toml", include_str!("../yrs.toml")),
    ("examples/yrs-swarm.toml", include_str!("../yrs-swarm.toml")),
];

fn main() -> ExitCode {
    let (hasty, words): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|word| word == "hasty");
    let program = ["cargo run -p anabranch-examples --", if hasty.is_empty() { "" } else { " hasty" }].concat();
    let make = |_: &Scenario| Documents { hasty: !hasty.is_empty(), ..Documents::default() };
    harness::main(&make, &FILES, &program, words)
}
