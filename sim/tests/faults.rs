//! Every fault of the scenario format takes effect, is survived, and is counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch_sim::{
    outcome::{RunReport, Verdict},
    run,
    scenario::{FaultKind, Party, Scenario},
    sweep::{Life, Sweep, was_cut},
};
use std::time::Duration;

/// Runs five replicas for a minute with this in addition, under a few seeds: all must pass.
fn runs(rest: &str) -> Vec<RunReport> {
    let text = format!(
        "replicas = 5\nduration = \"40s\"\n[core]\nrebroadcast_interval = \"5s\"\nfetch_timeout = \"2s\"\n{rest}"
    );
    let scenario = Scenario::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    let reports: Vec<_> = (0..4).map(|seed| run(&scenario, seed)).collect();
    for report in &reports {
        let inert = matches!(report.verdict, Verdict::InertFaults { .. });
        assert!(inert || report.verdict == Verdict::Passed, "seed {}: {}\n{rest}", report.seed, report.verdict);
        assert_eq!(report.trace, run(&scenario, report.seed).trace, "seed {} does not repeat", report.seed);
    }
    reports
}

/// Such a run counts this kind, and it took effect in each.
fn takes_effect(kind: FaultKind, rest: &str) -> Vec<RunReport> {
    let reports = runs(rest);
    for report in &reports {
        let count = report.faults.get(&kind).unwrap_or_else(|| panic!("{kind} is not counted: {:?}", report.faults));
        assert!(count.effective > 0 && count.requested > 0, "{kind}: {count:?}");
    }
    reports
}

#[test]
fn messages_are_cut_short_go_astray_and_come_again_much_later() {
    takes_effect(FaultKind::Truncate, "[network]\ntruncate = 0.1");
    takes_effect(FaultKind::Misdeliver, "[network]\nmisdeliver = 0.1");
    takes_effect(FaultKind::Replay, "[network]\nreplay = 0.1");
}

#[test]
fn links_have_limits() {
    let free: u64 = runs("").iter().map(|report| report.simulated_ns).sum();
    let slow = takes_effect(FaultKind::Bandwidth, "[network]\nbandwidth = 3000");
    assert!(slow.iter().map(|report| report.simulated_ns).sum::<u64>() >= free);
    takes_effect(FaultKind::QueueLimit, "[network]\nlatency = \"400ms\"\nqueue = 2");
}

#[test]
fn links_are_clogged_and_the_network_has_bad_times() {
    let reports = takes_effect(FaultKind::Clog, "[[clog]]\nat = \"5s\"\nuntil = \"20s\"\nfrom = [\"r1\"]");
    assert!(reports.iter().all(|report| report.messages.values().map(|count| count.held).sum::<u64>() > 0));
    takes_effect(FaultKind::Clog, "[[swizzle]]\nat = \"5s\"\nuntil = \"30s\"");
    let reports = takes_effect(FaultKind::Burst, "[[burst]]\nat = \"5s\"\nuntil = \"20s\"\ndrop = 0.9\ndelay = \"1s\"");
    assert!(reports.iter().all(|report| report.messages.values().map(|count| count.dropped).sum::<u64>() > 20));
}

#[test]
fn partitions_of_every_shape_stop_messages_and_heal() {
    for shape in ["random", "majority", "bridge"] {
        takes_effect(
            FaultKind::Partition,
            &format!("[[partition]]\nat = \"5s\"\nuntil = \"25s\"\nshape = \"{shape}\""),
        );
    }
    takes_effect(FaultKind::RingPartition, "[[partition]]\nat = \"5s\"\nuntil = \"25s\"\nshape = \"ring\"");
    let ring = "[[partition]]\nat = \"5s\"\nring = [\"r0\", \"r2\", \"r4\", \"r1\"]\nmode = \"hold\"";
    takes_effect(FaultKind::RingPartition, ring);
    let flapping = "[[partition]]\nat = \"5s\"\nshape = \"random\"\nflap = \"700ms\"";
    let half = takes_effect(FaultKind::FlappingPartition, flapping);
    let whole = takes_effect(FaultKind::Partition, "[[partition]]\nat = \"5s\"\nshape = \"random\"");
    let cut = |reports: &[RunReport]| -> u64 {
        reports.iter().flat_map(|report| report.messages.values()).map(|count| count.cut).sum()
    };
    assert!(cut(&half) < cut(&whole), "{} {}", cut(&half), cut(&whole));
}

#[test]
fn replicas_stand_still_leave_in_order_and_return_with_an_old_disk() {
    takes_effect(FaultKind::Pause, "[[pause]]\nat = \"5s\"\nuntil = \"25s\"\nreplica = \"r1\"");
    takes_effect(FaultKind::Leave, "[[leave]]\nat = \"5s\"\nreplica = \"r1\"\nclean = true");
    takes_effect(FaultKind::Return, "[[leave]]\nat = \"5s\"\nreplica = \"r1\"\nreturns = \"30s\"");
    takes_effect(FaultKind::Return, "[[leave]]\nat = \"5s\"\nreplica = \"r1\"\nreturns = \"30s\"\nclean = true");
}

#[test]
fn a_backup_is_restored() {
    let reports = takes_effect(
        FaultKind::RolledBackDisk,
        "[[crash]]\nat = \"20s\"\nreplica = \"r1\"\ndown = \"2s\"\nrestore = \"10s\"",
    );
    assert!(reports.iter().all(|report| report.suspended.len() == 2));
}

#[test]
fn a_disk_of_the_release_before_is_upgraded_and_nothing_is_lost() {
    for engine in ["memory", "redb"] {
        let crash = "[[crash]]\nat = \"20s\"\nreplica = \"r1\"\ndown = \"2s\"\nolder_format = true";
        let reports = takes_effect(FaultKind::OlderFormat, &format!("{crash}\n[disk]\nengine = \"{engine}\""));
        for report in &reports {
            assert!(report.suspended.is_empty(), "all is promised");
            assert!(report.marks["upgraded"], "the core has seen the older format");
        }
    }
    assert!(runs("").iter().all(|report| !report.marks["upgraded"]));
}

#[test]
fn clocks_jump_both_ways() {
    takes_effect(FaultKind::ClockJump, "[[jump]]\nat = \"11s\"\nreplica = \"r1\"\nby = \"1h\"");
    takes_effect(FaultKind::ClockJump, "[[jump]]\nat = \"11s\"\nreplica = \"r1\"\nby = \"20s\"\nback = true");
}

#[test]
fn a_disk_is_slow() {
    takes_effect(
        FaultKind::SlowDisk,
        "[[disk_fault]]\nat = \"5s\"\nuntil = \"25s\"\nreplica = \"r1\"\nharm = \"slow\"",
    );
}

/// One replica's disk does this harm for some of the time.
fn harm(harm: &str) -> String {
    format!(
        "[disk]\nengine = \"redb\"\ncache = 65536\n[churn]\ncrash_every = \"1s\"\ndown = \"200ms\"\n\
         [[disk_fault]]\nat = \"5s\"\nuntil = \"30s\"\nreplica = \"r1\"\nharm = \"{harm}\""
    )
}

#[test]
fn the_engine_over_a_disk_survives_crashes_that_tear_lose_and_reorder_writes() {
    let reports = takes_effect(
        FaultKind::TornWrites,
        "[disk]\nengine = \"redb\"\nsync_delay = [\"50ms\", \"500ms\"]\n[churn]\ncrash_every = \"1s\"\ndown = \"500ms\"",
    );
    assert!(reports.iter().all(|report| report.suspended.is_empty()), "nothing is excused");
}

#[test]
fn the_engine_survives_a_disk_that_refuses() {
    for (name, kind) in [("io-error", FaultKind::IoError), ("full", FaultKind::FullDisk)] {
        let reports = takes_effect(kind, &harm(name));
        assert!(reports.iter().all(|report| report.suspended.is_empty()), "nothing is excused");
    }
}

#[test]
fn a_disk_that_cannot_be_trusted_harms_nobody_else() {
    let kinds = [
        ("bit-rot", FaultKind::BitRot),
        ("misdirected-read", FaultKind::MisdirectedRead),
        ("misdirected-write", FaultKind::MisdirectedWrite),
        ("lying-sync", FaultKind::LyingSync),
    ];
    for (name, kind) in kinds {
        let reports = runs(&harm(name));
        let effective: u64 = reports.iter().map(|report| report.faults[&kind].effective).sum();
        assert!(effective > 0, "{name} had no effect in any run");
        assert!(reports.iter().all(|report| !report.suspended.is_empty()), "what is excused is said");
    }
}

/// How often a replica gets a new disk.
fn new_disks(report: &RunReport) -> usize {
    report.timeline.iter().filter(|moment| moment.what.ends_with("gets a new disk")).count()
}

/// A disk that has been replaced is a good one: the end of all faults takes nothing from it.
#[test]
fn a_disk_that_could_not_be_trusted_is_replaced_once() {
    let lies = "[[disk_fault]]\nat = \"2s\"\nuntil = \"8s\"\nreplica = \"r1\"\nharm = \"lying-sync\"";
    for report in runs(&format!("[disk]\nengine = \"redb\"\n{lies}")) {
        assert_eq!(new_disks(&report), 1, "seed {}: {:?}", report.seed, report.timeline);
    }
    let slow = "[[disk_fault]]\nat = \"2s\"\nuntil = \"8s\"\nreplica = \"r1\"\nharm = \"slow\"";
    assert!(runs(slow).iter().all(|report| new_disks(report) == 0));
}

/// Each disk that a replica gets while its disks rot rots too, and the end of one fault does not end another.
#[test]
fn harm_goes_on_on_new_disks_until_its_own_end() {
    let fault = |until: u32, harm: &str| {
        format!("[[disk_fault]]\nat = \"3s\"\nuntil = \"{until}s\"\nreplica = \"r2\"\nharm = \"{harm}\"\n")
    };
    let disk = "[disk]\nengine = \"redb\"\ncache = 65536\n";
    let count = |reports: &[RunReport]| reports.iter().map(|report| report.faults[&FaultKind::BitRot].effective).sum();
    let long: u64 = count(&runs(&format!("{disk}{}", fault(35, "bit-rot"))));
    let overlapped: u64 = count(&runs(&format!("{disk}{}{}", fault(35, "bit-rot"), fault(5, "lying-sync"))));
    assert!(long > 40 && overlapped > 40, "{long} {overlapped}");
}

/// What changes nothing is no effect, and a run in which a fault has none fails.
#[test]
fn what_changes_nothing_does_not_count() {
    let inert = |kind: FaultKind, rest: &str| {
        for report in runs(rest) {
            assert_eq!(report.faults[&kind].effective, 0, "{kind}, seed {}", report.seed);
            assert_eq!(report.verdict, Verdict::InertFaults { kinds: vec![kind] });
        }
    };
    // Messages are cut short, and none has a bit flipped.
    inert(FaultKind::Corrupt, "[network]\ntruncate = 0.3\ncorrupt = 1e-12");
    inert(FaultKind::Truncate, "[network]\ncorrupt = 0.3\ntruncate = 1e-12");
    // A burst that is no worse than the link always is.
    let burst = "[[burst]]\nat = \"5s\"\nuntil = \"20s\"\ndrop = 0.1\ncorrupt = 0.05";
    inert(FaultKind::Burst, &format!("[network]\ndrop = 0.3\ncorrupt = 0.1\n{burst}"));
}

#[test]
fn the_power_is_cut_at_every_write() {
    let text = "replicas = 2\nduration = \"2s\"\n[disk]\nengine = \"redb\"\n[core]\nrebroadcast_interval = \"2s\"\n[workload]\nrate = 4";
    let sweep = Sweep::new(&Scenario::parse(text, "test.toml").unwrap(), 1).unwrap();
    let life = Life { replica: Party(0), from: Duration::ZERO };
    let mut cuts = 0;
    for write in (0..sweep.writes(life)).step_by(3) {
        let report = sweep.run(life, write);
        assert_eq!(report.verdict, Verdict::Passed, "write {write}: {}", report.verdict);
        assert!(was_cut(&report), "write {write}");
        cuts += 1;
    }
    assert!(cuts > 15, "{cuts} cuts");
    assert_eq!(sweep.uncut().0.verdict, Verdict::Passed);
}

/// The store is opened again after a crash, which writes: the power goes before each of these writes.
#[test]
fn the_power_is_cut_while_a_store_is_opened() {
    let mut cuts = 0;
    for write in 0..8 {
        let text = format!(
            "replicas = 2\nduration = \"4s\"\n[disk]\nengine = \"redb\"\n[workload]\nrate = 10\n[[crash]]\nat = \"1s\"\nreplica = \"r0\"\n\
             down = \"1s\"\n[[power_cut]]\nat = \"1500ms\"\nreplica = \"r0\"\nwrite = {write}\n"
        );
        let report = run(&Scenario::parse(&text, "test.toml").unwrap(), 0);
        let inert = matches!(report.verdict, Verdict::InertFaults { .. });
        assert!(inert || report.verdict == Verdict::Passed, "write {write}: {}", report.verdict);
        cuts += report.faults[&FaultKind::PowerCut].effective;
    }
    assert!(cuts >= 4, "{cuts} cuts");
}

#[test]
fn hostile_peers_are_borne() {
    let acts = [
        ("bad-blocks", FaultKind::BadBlocks),
        ("odd-dags", FaultKind::OddDags),
        ("strangers", FaultKind::Strangers),
        ("wrong-blocks", FaultKind::WrongBlocks),
        ("go-like", FaultKind::GoLike),
    ];
    for (act, kind) in acts {
        takes_effect(
            kind,
            &format!("[network]\ndrop = 0.3\n[[hostile]]\nname = \"mallory\"\nevery = \"1s\"\nacts = [\"{act}\"]"),
        );
    }
}

#[test]
fn a_core_converges_without_those_that_do_not_heal() {
    let text = "replicas = 5\nduration = \"20s\"\nfrozen = [\"r1\", \"r4\"]\n\
                [[crash]]\nat = \"15s\"\nreplica = \"r4\"\ndown = \"3s\"\n\
                [[partition]]\nat = \"5s\"\nshape = \"random\"";
    let scenario = Scenario::parse(text, "test.toml").unwrap();
    for seed in 0..5 {
        let report = run(&scenario, seed);
        assert_eq!(report.verdict, Verdict::Passed, "seed {seed}");
        let last = report.samples.last().unwrap();
        assert_eq!(last.replicas.iter().filter(|replica| replica.is_none()).count(), 2, "seed {seed}");
    }
}

/// The core alone must converge, and in its time.
#[test]
fn a_core_that_does_not_converge_is_told_so() {
    let text = "replicas = 5\nduration = \"20s\"\nconvergence_budget = \"1us\"\nfrozen = [\"r1\", \"r4\"]\n\
                [[partition]]\nat = \"5s\"\nshape = \"random\"";
    let report = run(&Scenario::parse(text, "test.toml").unwrap(), 0);
    assert!(matches!(report.verdict, Verdict::NotConverged { .. }), "{}", report.verdict);
}

#[test]
fn swarms_pass() {
    let scenario = Scenario::parse("replicas = 4\nduration = \"15s\"\n[swarm]", "swarm.toml").unwrap();
    for seed in 0..30 {
        let report = run(&scenario, seed);
        assert!(report.as_expected, "seed {seed}: {}", report.verdict);
        assert_eq!(report.trace, run(&scenario, seed).trace, "seed {seed} does not repeat");
    }
}
