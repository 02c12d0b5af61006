//! The other system passes under the same faults, repeats, and is caught when it is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use anabranch_examples::Documents;
use anabranch_sim::{
    observe::Nobody,
    outcome::{RunReport, Verdict},
    plan::Plan,
    run::run_system,
    scenario::Scenario,
};

fn run(text: &str, seed: u64) -> RunReport {
    let scenario = Scenario::parse(text, "yrs.toml").unwrap();
    run_system(Documents::default(), &scenario, seed, Plan::new(&scenario, seed), &mut Nobody)
}

#[test]
fn documents_converge_under_every_fault_and_runs_repeat() {
    for seed in 0..3 {
        let report = run(include_str!("../yrs.toml"), seed);
        assert_eq!(report.verdict, Verdict::Passed, "seed {seed}");
        assert!(report.faults.values().all(|count| count.effective > 0), "{:?}", report.faults);
        assert_eq!(report.trace, run(include_str!("../yrs.toml"), seed).trace);
    }
}

/// A disk that is lost loses what nobody else has heard of: the judge sees it.
#[test]
fn what_is_lost_for_good_is_seen() {
    let text = "replicas = 2\nduration = \"20s\"\n[[partition]]\nat = \"0s\"\ngroups = { a = [\"r0\"], b = [\"r1\"] }\n\
                [[crash]]\nat = \"15s\"\nreplica = \"r1\"\ndown = \"1s\"\nwipe_disk = true\n[workload]\nmix = { put = 1 }";
    let Verdict::BrokenInvariant { message, .. } = run(text, 1).verdict else { panic!("it was not seen") };
    assert!(message.contains("is in no document"), "{message}");
}
