//! The other system passes under the same faults, repeats, is caught when it is wrong, and its failure is made smaller.
#![allow(clippy::unwrap_used, clippy::panic)]

use anabranch_examples::Documents;
use anabranch_sim::{
    harness::run_all,
    observe::Nobody,
    outcome::{RunReport, Verdict},
    plan::Plan,
    run::{Ended, attempt_system, run_system},
    scenario::{FaultKind, Scenario},
    shrink::smallest,
    signature::Signature,
};

const ALL_FAULTS: &str = include_str!("../yrs.toml");

fn run(text: &str, seed: u64) -> RunReport {
    let scenario = Scenario::parse(text, "yrs.toml").unwrap();
    run_system(Documents::default(), &scenario, seed, Plan::new(&scenario, seed), &mut Nobody)
}

fn sound(_: &Scenario) -> Documents {
    Documents::default()
}

fn hasty(_: &Scenario) -> Documents {
    Documents { hasty: true, ..Documents::default() }
}

#[test]
fn documents_converge_under_every_fault_and_runs_repeat() {
    for seed in 0..3 {
        let report = run(ALL_FAULTS, seed);
        assert_eq!(report.verdict, Verdict::Passed, "seed {seed}");
        assert!(report.faults.values().all(|count| count.effective > 0), "{:?}", report.faults);
        let asked_for =
            [FaultKind::Skew, FaultKind::ClockJump, FaultKind::Pause, FaultKind::Join, FaultKind::WipedDisk];
        assert!(asked_for.iter().all(|kind| report.faults.contains_key(kind)), "{:?}", report.faults);
        assert_eq!(report.trace, run(ALL_FAULTS, seed).trace);
    }
}

/// What is printed is what `anabranch run` prints, and a swarm draws something else for each seed.
#[test]
fn a_swarm_passes_and_is_reported_as_anabranch_reports() {
    let scenario = Scenario::parse(include_str!("../yrs-swarm.toml"), "yrs-swarm.toml").unwrap();
    let mut out = Vec::new();
    let failed = run_all(&sound, &scenario, 0..6, |seed| format!("again {seed}"), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(failed.is_empty(), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.starts_with("passed ") && line.contains("  trace ")).count(),
        6,
        "{text}"
    );
    assert!(text.contains("\n6 runs, 6 as expected, 0 not; "), "{text}");
    assert!(text.contains("\nfaults, effective/requested: "), "{text}");
    let mut out = Vec::new();
    run_all(&sound, &scenario, 2..3, |seed| format!("again {seed}"), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("yrs-swarm, seed 2: passed\n  time ") && text.contains("\n  checks "), "{text}");
}

/// A disk that is lost loses what nobody else has heard of: the judge sees it.
#[test]
fn what_is_lost_for_good_is_seen() {
    let text = "replicas = 2\nduration = \"20s\"\n[[partition]]\nat = \"0s\"\ngroups = { a = [\"r0\"], b = [\"r1\"] }\n\
                [[crash]]\nat = \"15s\"\nreplica = \"r1\"\ndown = \"1s\"\nwipe_disk = true\n[workload]\nmix = { put = 1 }";
    let Verdict::BrokenInvariant { message, .. } = run(text, 1).verdict else { panic!("it was not seen") };
    assert!(message.contains("is in no document"), "{message}");
}

/// Those who have no time to converge are told so. In which way they failed does not depend on how many there are: two are left.
#[test]
fn what_does_not_converge_is_shrunk_to_two() {
    let text = "replicas = 5\nduration = \"10s\"\nconvergence_budget = \"1ms\"\n[workload]\nrate = 2";
    let scenario = Scenario::parse(text, "short.toml").unwrap();
    let (signature, shrunk) = smallest(&sound, &scenario, 1, 2).unwrap();
    assert_eq!(signature.outcome, "not-converged", "{signature}");
    assert_eq!((shrunk.size.replicas, shrunk.size.operations), (2, 1), "{}", shrunk.size);
}

/// Replicas that acknowledge what they have not saved are caught, and what is left of the failure is a write and a crash behind it.
#[test]
fn a_planted_bug_is_found_shrunk_and_fails_in_the_same_way_from_its_file() {
    let text = "replicas = 3\nduration = \"15s\"\n[workload]\nrate = 4\n[network]\ndrop = 0.1\nduplicate = 0.1\n\
                [disk]\nsync_delay = [\"10ms\", \"1s\"]\n[churn]\ncrash_every = \"3s\"\ndown = \"1s\"\n\
                [[skew]]\nat = \"2s\"\nreplica = \"r0\"\nspeed = 2.0\n[[pause]]\nat = \"3s\"\nuntil = \"5s\"\nreplica = \"r1\"";
    let scenario = Scenario::parse(text, "hasty.toml").unwrap();
    let mut out = Vec::new();
    let failed = run_all(&hasty, &scenario, 0..20, |seed| format!("again {seed}"), &mut out).unwrap();
    let told = String::from_utf8(out).unwrap();
    let seed = *failed.first().unwrap_or_else(|| panic!("it was not found: {told}"));
    assert!(told.contains(&format!("is in no document\nreproduce: again {seed}\n")), "{told}");
    assert!(!attempt_system(&hasty, &scenario, seed).is_as_expected());
    assert!(attempt_system(&sound, &scenario, seed).is_as_expected(), "it is the bug that fails");

    let (signature, shrunk) = smallest(&hasty, &scenario, seed, 2).unwrap();
    assert_eq!(signature.outcome, "broken-invariant");
    let size = shrunk.size;
    assert!(shrunk.is_minimal && size.operations == 1 && size.faults <= 2 && size.replicas <= 2, "{size}");
    // As its file has it: it fails in the same way, as it says itself, and without the bug it does not.
    let small = Scenario::parse(&shrunk.scenario.to_toml(), "small.toml").unwrap();
    let ended = attempt_system(&hasty, &small, 0);
    assert_eq!(Signature::of(&ended, &small), signature);
    assert!(ended.is_as_expected(), "it expects to fail, with this trace");
    let Ended::Report(report) = attempt_system(&sound, &small, 0) else { panic!("it crashed") };
    assert!(report.verdict.is_passed(), "{}", report.verdict);
    assert!(smallest(&sound, &scenario, seed, 2).is_none(), "what passes has nothing to shrink");
}
