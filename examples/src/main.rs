//! `cargo run -p anabranch-examples`: documents of yrs under loss, partitions and crashes.

use anabranch_examples::Documents;
use anabranch_sim::{observe::Nobody, plan::Plan, run::run_system, scenario::Scenario};
use std::process::ExitCode;

const SCENARIO: &str = include_str!("../yrs.toml");

fn main() -> ExitCode {
    let scenario = match Scenario::parse(SCENARIO, "yrs.toml") {
        Ok(scenario) => scenario,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let mut code = ExitCode::SUCCESS;
    for seed in 0..10 {
        let plan = Plan::new(&scenario, seed);
        let report = run_system(Documents::default(), &scenario, seed, plan, &mut Nobody);
        println!("seed {seed}: {}, {} events, trace {}", report.verdict, report.events, report.trace);
        if !report.as_expected {
            code = ExitCode::FAILURE;
        }
    }
    code
}
