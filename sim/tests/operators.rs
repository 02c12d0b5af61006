//! Operators of the scenario format: each act takes effect, is survived, and is judged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch_sim::{
    outcome::{RunReport, Verdict},
    run,
    scenario::{FaultKind, Scenario},
};

/// Runs four replicas that crash now and then, with this in addition, under a few seeds: all pass, and the same again.
fn passes(rest: &str) -> Vec<RunReport> {
    let text = format!(
        "replicas = 4\nduration = \"40s\"\n[workload]\nrate = 5\ndags = [\"\", \"pins\"]\n[core]\nstep_bytes_max = 1000\n\
         rebroadcast_interval = \"5s\"\nfetch_timeout = \"2s\"\n[churn]\ncrash_every = \"2s\"\ndown = [\"100ms\", \"1s\"]\n{rest}"
    );
    let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    let reports: Vec<_> = (0..4).map(|seed| run(&scenario, seed)).collect();
    for report in &reports {
        assert_eq!(report.verdict, Verdict::Passed, "seed {}: {}\n{rest}", report.seed, report.verdict);
        assert_eq!(report.trace, run(&scenario, report.seed).trace, "seed {} does not repeat", report.seed);
    }
    reports
}

/// Such a run counts this kind as asked for and as effective so often at least.
fn takes_effect(kind: FaultKind, times: u64, rest: &str) {
    for report in passes(rest) {
        let count = report.faults.get(&kind).unwrap_or_else(|| panic!("{kind} is not counted: {:?}", report.faults));
        assert!(count.requested >= times && count.effective >= times, "{kind}, seed {}: {count:?}", report.seed);
    }
}

fn operator(at: &str, replica: &str, act: &str) -> String {
    format!("[[operator]]\nat = \"{at}\"\nreplica = \"{replica}\"\nact = \"{act}\"\n")
}

#[test]
fn a_dag_is_purged_here_and_there() {
    let rest =
        [operator("10s", "r0", "purge\"\ndag = \"pins"), operator("25s", "r3", "purge\"\ndag = \"pins")].concat();
    takes_effect(FaultKind::Purge, 2, &rest);
}

#[test]
fn replicas_are_verified_and_rebuilt() {
    let rest = [operator("5s", "r0", "verify"), operator("20s", "r1", "verify")].concat();
    takes_effect(FaultKind::Verify, 2, &rest);
    let rest = [operator("15s", "r0", "rebuild"), operator("30s", "r2", "rebuild")].concat();
    takes_effect(FaultKind::Rebuild, 2, &rest);
}

#[test]
fn one_thing_is_done_after_the_other() {
    let rest = [
        operator("20s", "r0", "rebuild"),
        operator("20s", "r0", "purge\"\ndag = \"pins"),
        operator("20s", "r0", "verify"),
        operator("20s", "r0", "rebuild"),
    ];
    takes_effect(FaultKind::Rebuild, 2, &rest.concat());
    takes_effect(FaultKind::Purge, 1, &rest.concat());
    takes_effect(FaultKind::Verify, 1, &rest.concat());
}

/// What was asked for and not synced is gone with a crash; the operator asks again.
#[test]
fn an_operator_asks_again_after_a_crash() {
    for (kind, act) in [(FaultKind::Rebuild, "rebuild"), (FaultKind::Verify, "verify")] {
        let text = format!(
            "replicas = 2\nduration = \"20s\"\n[disk]\nsync_delay = [\"400ms\", \"400ms\"]\n[core]\nstep_bytes_max = 1000\n\
             [[crash]]\nat = \"10100ms\"\nreplica = \"r0\"\ndown = \"100ms\"\n{}",
            operator("10s", "r0", act)
        );
        let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
        for seed in 0..8 {
            let report = run(&scenario, seed);
            // A crash that happens to take nothing says so.
            let is_fine = matches!(&report.verdict, Verdict::Passed)
                || matches!(&report.verdict, Verdict::InertFaults { kinds } if kinds == &[FaultKind::Crash]);
            assert!(is_fine, "{kind}, seed {seed}: {}", report.verdict);
            assert_eq!(report.faults[&kind].effective, 1, "{kind}, seed {seed}");
        }
    }
}

#[test]
fn a_joiner_comes_up_from_a_file() {
    let rest = format!("[[join]]\nat = \"20s\"\nreplica = \"late\"\n{}", operator("20001ms", "late", "import"));
    takes_effect(FaultKind::Import, 1, &rest);
}

/// Without the operators who give up what is withheld, nobody merges what is built upon it.
#[test]
fn what_nobody_serves_is_given_up() {
    let mallory = "[[hostile]]\nname = \"mallory\"\nacts = [\"withheld\"]\nevery = \"4s\"\nuntil = \"30s\"\n";
    let each = ["r0", "r1", "r2", "r3"].map(|replica| operator("2s", replica, "abandon"));
    let rest = format!("{mallory}{}", each.concat());
    takes_effect(FaultKind::Abandon, 4, &rest);
    takes_effect(FaultKind::Withheld, 4, &rest);
    let text = format!("replicas = 4\nduration = \"40s\"\n{mallory}");
    let report = run(&Scenario::parse(&text, "test.toml").unwrap(), 0);
    assert!(
        matches!(&report.verdict, Verdict::InertFaults { kinds, .. } if kinds.contains(&FaultKind::Withheld)),
        "{}",
        report.verdict
    );
}

/// What was given up turns up in the end, everywhere: all merge it, and their state is a fold over it, too.
#[test]
fn what_was_given_up_turns_up() {
    let mallory = "[[hostile]]\nname = \"mallory\"\nacts = [\"withheld\"]\nevery = \"4s\"\nuntil = \"30s\"\n";
    let replicas = ["r0", "r1", "r2", "r3"];
    let given_up = replicas.map(|replica| operator("2s", replica, "abandon"));
    let found = replicas.map(|replica| operator("25s", replica, "recover"));
    let rest = format!("{mallory}{}{}", given_up.concat(), found.concat());
    takes_effect(FaultKind::Recover, 4, &rest);
    takes_effect(FaultKind::Abandon, 4, &rest);
    assert!(passes(&rest).iter().all(|report| report.marks["back-in-place"]));
}

/// One who has written a while by himself purges it before the other has come to its end: nobody can serve the rest any more, and it is given up.
#[test]
fn what_was_purged_before_others_had_it_is_given_up() {
    let each = ["r0", "r1"].map(|replica| operator("1s", replica, "abandon")).concat();
    let text = format!(
        "replicas = 2\nduration = \"10s\"\n[workload]\nrate = 20\ndags = [\"pins\"]\n[network]\nlatency = \"200ms\"\n\
         [[partition]]\nat = \"1s\"\nuntil = \"4900ms\"\ngroups = {{ a = [\"r0\"], b = [\"r1\"] }}\n{each}{}",
        operator("6500ms", "r0", "purge\"\ndag = \"pins")
    );
    let report = run(&Scenario::parse(&text, "test.toml").unwrap(), 0);
    assert_eq!(report.verdict, Verdict::Passed);
    assert!(report.faults[&FaultKind::Abandon].effective > 0);
}

/// With time between the steps of a task, a crash comes in the middle, and the task goes on after it.
#[test]
fn a_crash_comes_in_the_middle_of_a_task() {
    for act in ["rebuild", "verify", "purge\"\ndag = \"pins"] {
        let text = format!(
            "replicas = 2\nduration = \"20s\"\n[workload]\nrate = 10\ndags = [\"\", \"pins\"]\n[disk]\nstep_delay = \"5ms\"\n[core]\n\
             step_bytes_max = 1000\n[[crash]]\nat = \"10100ms\"\nreplica = \"r0\"\ndown = \"100ms\"\n{}",
            operator("10s", "r0", act)
        );
        let report = run(&Scenario::parse(&text, "test.toml").unwrap(), 0);
        assert_eq!(report.verdict, Verdict::Passed, "{act}");
        assert!(report.marks["task-resumed"] && report.marks["task-cut-short"], "{act}: {:?}", report.marks);
    }
}
