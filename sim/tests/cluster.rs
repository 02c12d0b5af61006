//! Whole runs of the simulator over the real core.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch_sim::{
    engine::{Cause, Fate, MessageKey},
    observe::{Observer, Seen, What},
    oracles::Oracle,
    outcome::{MessageKind, OperationKind, RunReport, Verdict},
    plan::Plan,
    run,
    run::run_plan,
    scenario::{FaultKind, Scenario},
};
use std::{collections::BTreeMap, time::Duration};

fn scenario(text: &str) -> Scenario {
    Scenario::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}"))
}

/// Five replicas, every fault of the network, crashes, a partition and a wrong clock.
const ROUGH: &str = r#"
    name = "rough"
    replicas = 5
    duration = "60s"
    [workload]
    mix = { put = 6, delete = 2, batch = 1, get = 1 }
    keys = 500
    skew = 0.9
    [network]
    drop = 0.1
    duplicate = 0.05
    reorder = 0.1
    corrupt = 0.03
    [churn]
    crash_every = "10s"
    down = ["1s", "8s"]
    [[partition]]
    at = "10s"
    until = "30s"
    groups = { west = ["r0", "r1"], east = ["r2", "r3", "r4"] }
    [[skew]]
    at = "5s"
    replica = "r4"
    speed = 2.0
"#;

fn assert_passed(report: &RunReport) {
    assert_eq!(report.verdict, Verdict::Passed, "seed {}: {}", report.seed, report.verdict);
}

#[test]
fn a_rough_world_converges_and_every_oracle_is_asked() {
    let scenario = scenario(ROUGH);
    for seed in 0..10 {
        let report = run(&scenario, seed);
        assert_passed(&report);
        assert!(report.as_expected && report.summary.blocks > 300, "{} blocks", report.summary.blocks);
        assert!(report.faults.values().all(|count| count.effective > 0), "{:?}", report.faults);
        assert_eq!(report.faults.len(), 7, "{:?}", report.faults);
        for oracle in Oracle::ALL {
            assert!(report.checks[&oracle] > 0, "{oracle} was never asked");
        }
        let gets = report.operations[&OperationKind::Get];
        assert_eq!(gets.requested, gets.done + gets.unavailable + gets.unknown);
        assert!(
            report.messages[&MessageKind::Broadcast].corrupted > 0
                && report.messages[&MessageKind::Block].corrupted > 0
        );
        assert!(report.messages[&MessageKind::Broadcast].cut > 0);
    }
}

/// Everything but the wall time.
fn facts(report: RunReport) -> String {
    format!("{:?}", RunReport { wall: Duration::ZERO, ..report })
}

#[test]
fn one_seed_gives_one_trace_in_any_thread_and_another_seed_another() {
    let scenario = scenario(ROUGH);
    let here = facts(run(&scenario, 7));
    assert_eq!(here, facts(run(&scenario, 7)));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| facts(run(&scenario, 7)))).collect();
        for thread in threads {
            assert_eq!(here, thread.join().unwrap());
        }
    });
    let traces: std::collections::BTreeSet<String> = (0..5).map(|seed| run(&scenario, seed).trace).collect();
    assert_eq!(traces.len(), 5);
}

#[derive(Default)]
struct Fates(BTreeMap<MessageKey, Fate>);

impl Observer for Fates {
    fn saw(&mut self, seen: Seen) {
        if let What::Sent { message, fate, .. } = seen.what {
            assert!(self.0.insert(message, fate).is_none(), "{message:?} was sent twice");
        }
    }
}

#[test]
fn without_one_of_200_operations_the_other_messages_keep_their_fates() {
    let scenario = scenario(
        "replicas = 5\noperations = 200\n[workload]\nrate = 10\nkeys = 50\n\
         [network]\ndrop = 0.1\nduplicate = 0.05\nreorder = 0.05\ncorrupt = 0.02",
    );
    for (seed, removed) in [(1, 0), (1, 57), (2, 100), (3, 150), (4, 199)] {
        let plan = Plan::new(&scenario, seed);
        let (mut all, mut fewer) = (Fates::default(), Fates::default());
        assert_passed(&run_plan(&scenario, seed, plan.clone(), &mut all));
        let report = run_plan(&scenario, seed, plan.without_operations(&[removed].into()), &mut fewer);
        assert_passed(&report);
        assert_eq!(report.operations.values().map(|count| count.requested).sum::<u64>(), 199);
        let others: Vec<_> = all.0.iter().filter(|(key, _)| key.cause != Cause::Operation(removed)).collect();
        let kept = others.iter().filter(|(key, fate)| fewer.0.get(key) == Some(fate)).count();
        assert!(others.len() > 2_000, "{} messages", others.len());
        assert!(
            kept * 100 >= others.len() * 95,
            "seed {seed} without operation {removed}: {kept} of {} messages kept their fates",
            others.len()
        );
        println!("seed {seed} without operation {removed}: {kept} of {} messages kept their fates", others.len());
        // What is in both runs takes equally long: that is drawn from its name. (In the second phase nothing is lost.)
        assert!(others.iter().all(|(key, fate)| fewer.0.get(key).is_none_or(|other| other.latency == fate.latency)));
    }
}

#[test]
fn a_fault_that_never_takes_effect_fails_the_run() {
    let scenario = scenario(
        "replicas = 2\nduration = \"5s\"\n[workload]\nrate = 1\n\
         [[partition]]\nat = \"1s\"\nuntil = \"2s\"\ngroups = { a = [\"r0\"], b = [] }",
    );
    let report = run(&scenario, 1);
    assert_eq!(report.verdict, Verdict::InertFaults { kinds: vec![FaultKind::Partition] });
    assert!(!report.as_expected);
}

#[test]
fn a_cluster_that_has_no_time_to_converge_is_told_so() {
    let scenario = scenario(
        "replicas = 3\nduration = \"20s\"\nconvergence_budget = \"1ms\"\n\
         [[partition]]\nat = \"1s\"\ngroups = { a = [\"r0\"], b = [\"r1\", \"r2\"] }\n[expect]\noutcome = \"not-converged\"",
    );
    let report = run(&scenario, 1);
    let Verdict::NotConverged { message, .. } = &report.verdict else { panic!("{}", report.verdict) };
    assert!(report.as_expected && message.contains("it lacks"), "{message}");
    assert_eq!(report.converged_after_ns, None);
}

#[test]
fn a_wiped_disk_suspends_what_it_breaks_and_the_replica_catches_up() {
    let scenario = scenario(
        "replicas = 3\nduration = \"30s\"\n[[crash]]\nat = \"20s\"\nreplica = \"r1\"\ndown = \"2s\"\nwipe_disk = true",
    );
    for seed in 0..5 {
        let report = run(&scenario, seed);
        assert_passed(&report);
        let suspended: Vec<Oracle> = report.suspended.iter().map(|suspension| suspension.oracle).collect();
        assert_eq!(suspended, [Oracle::AcknowledgedWrites, Oracle::KnownBlocks]);
        assert_eq!(report.faults[&FaultKind::WipedDisk].effective, 1);
    }
}

#[test]
fn who_joins_late_and_who_leaves_and_messages_that_are_held() {
    let scenario = scenario(
        "replicas = 3\nduration = \"40s\"\n[[join]]\nat = \"15s\"\nreplica = \"late\"\n[[leave]]\nat = \"30s\"\nreplica = \"r0\"\n\
         [[partition]]\nat = \"2s\"\nuntil = \"9s\"\ngroups = { a = [\"r1\"], b = [\"r2\"] }\none_way = { from = \"a\", to = \"b\" }\n\
         mode = \"hold\"",
    );
    for seed in 0..5 {
        let report = run(&scenario, seed);
        assert_passed(&report);
        assert!(report.messages[&MessageKind::Broadcast].held > 0);
        assert_eq!(report.faults[&FaultKind::OneWayPartition].effective, 1);
        let last = &report.samples.last().unwrap().replicas;
        assert!(last[0].is_none() && last[3].is_some_and(|late| late.merged == report.summary.blocks), "{last:?}");
    }
}

#[test]
fn hostile_peers_are_borne() {
    let scenario = scenario(
        "replicas = 4\nduration = \"60s\"\n[network]\ndrop = 0.05\n[[hostile]]\nname = \"mallory\"\nevery = \"500ms\"\n\
         acts = [\"forged-priority\", \"odd-keys\", \"foreign-links\", \"endless-heads\"]",
    );
    for seed in 0..5 {
        let report = run(&scenario, seed);
        assert_passed(&report);
        assert!(
            report.summary.blocks_void > 5 && report.summary.blocks_misdeclared > 5,
            "{} {}",
            report.summary.blocks_void,
            report.summary.blocks_misdeclared
        );
    }
}

#[derive(Default)]
struct Counter(BTreeMap<String, u64>);

impl Observer for Counter {
    fn saw(&mut self, seen: Seen) {
        let what = format!("{:?}", seen.what);
        let name = what.split([' ', '(']).next().unwrap_or_default().to_owned();
        *self.0.entry(name).or_default() += 1;
    }
}

#[test]
fn watching_changes_nothing_and_shows_every_kind_of_event() {
    let scenario = scenario(ROUGH);
    let mut counter = Counter::default();
    let watched = run_plan(&scenario, 7, Plan::new(&scenario, 7), &mut counter);
    let unwatched = run(&scenario, 7);
    assert_eq!(facts(watched), facts(unwatched.clone()));
    let count = |name: &str| counter.0.get(name).copied().unwrap_or_default();
    for name in
        ["Started", "Operation", "Read", "Acknowledged", "Made", "Sent", "Arrived", "Merged", "Shows", "Noticed"]
    {
        assert!(count(name) > 0, "no {name} in {:?}", counter.0);
    }
    for name in ["Synced", "Crashed", "Timer", "Chose", "FaultBegins", "FaultEnds", "Noted"] {
        assert!(count(name) > 0, "no {name} in {:?}", counter.0);
    }
    let sent: u64 = unwatched.messages.values().map(|count| count.sent).sum();
    assert_eq!(count("Sent"), sent);
    let asked: u64 = unwatched.operations.values().map(|count| count.requested).sum();
    assert_eq!(count("Operation"), asked);
    assert_eq!(count("Merged"), unwatched.summary.blocks_merged);
}
