//! Whole runs of the simulator over the real core.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch_sim::{
    outcome::{RunReport, Verdict},
    run,
    scenario::{FaultKind, Scenario},
};

fn scenario(text: &str) -> Scenario {
    Scenario::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}"))
}

/// Five replicas, every fault of the network, crashes and a partition.
const ROUGH: &str = r#"
    name = "rough"
    replicas = 5
    duration = "60s"
    [workload]
    mix = { put = 6, delete = 2, batch = 1, get = 1 }
    keys = 50
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
fn a_rough_world_converges() {
    let scenario = scenario(ROUGH);
    for seed in 0..20 {
        let report = run(&scenario, seed);
        assert_passed(&report);
        assert!(report.blocks > 300, "{} blocks", report.blocks);
        assert!(report.faults[&FaultKind::Corrupt].effective > 0 && report.faults[&FaultKind::Crash].effective > 0);
    }
}
