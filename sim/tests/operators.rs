//! Operators of the scenario format: each act takes effect, is survived, and is judged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch_core::{
    Bytes, Cid, DagName, Key,
    wire::{Block, Delta, Element, Tombstone},
};
use anabranch_sim::{
    fold::{Facts, fold_with},
    outcome::{RunReport, Verdict},
    run,
    scenario::{FaultKind, Scenario},
};
use std::collections::BTreeMap;

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

fn block(links: &[Cid], priority: u64, dag: &str, puts: &[(&str, &str)], removals: &[(&str, Cid)]) -> Bytes {
    let element = |(key, value): &(&str, &str)| Element { key: Key::new(key), value: value.to_string().into() };
    let tombstone = |(key, target): &(&str, Cid)| Tombstone { key: Key::new(key), target: *target };
    let delta = Delta {
        elements: puts.iter().map(element).collect(),
        tombstones: removals.iter().map(tombstone).collect(),
        priority,
        dag: DagName::new(dag),
    };
    Block::encode(links, &delta)
}

/// The fold that judges operators: stubs count for ancestry and height, and for nothing else.
#[test]
fn a_fold_over_stubs_and_blocks_that_were_given_up() {
    let root = block(&[], 1, "", &[("k", "old")], &[]);
    let pin = block(&[Cid::of(&root)], 2, "pins", &[("k", "pin")], &[("k", Cid::of(&root))]);
    let upon = block(&[Cid::of(&pin)], 3, "pins", &[("other", "1")], &[]);
    let blocks: BTreeMap<Cid, Bytes> = [&root, &pin, &upon].map(|bytes| (Cid::of(bytes), bytes.clone())).into();
    let value = |folded: &anabranch_sim::fold::Folded| folded.state.get(&Key::new("k")).cloned();

    let folded = fold_with(&blocks, &Facts::default());
    assert_eq!(value(&folded).as_deref(), Some(&b"pin"[..]));
    let facts = Facts { purged: [(Cid::of(&pin), 2)].into(), ..Facts::default() };
    let folded = fold_with(&blocks, &facts);
    assert_eq!(value(&folded).as_deref(), Some(&b"old"[..]), "what the purged block removed is back");
    assert_eq!(folded.heights[&Cid::of(&upon)], 3, "its height is remembered");
    assert!(folded.missing.is_empty() && folded.unmerged.is_empty());

    // The parent is given up: the child is as high as it declares.
    let lost: BTreeMap<Cid, Bytes> = [(Cid::of(&upon), upon.clone())].into();
    assert_eq!(fold_with(&lost, &Facts::default()).missing, [Cid::of(&pin)].into());
    let facts = Facts { abandoned: [Cid::of(&pin)].into(), ..Facts::default() };
    let folded = fold_with(&lost, &facts);
    assert_eq!((folded.heights[&Cid::of(&upon)], folded.misdeclared, folded.missing.len()), (3, 0, 0));
}
