//! The explicit form of a run is the run.
#![allow(clippy::unwrap_used, clippy::panic)]

use anabranch_sim::{
    choices::Choice,
    observe::What,
    outcome::{OperationKind, RunReport},
    plan::Plan,
    record::{Header, RecordError, Recorder, Recording, VERSION, explicit, fault_notes, first_difference},
    run::{run, run_plan},
    scenario::{Family, FaultKind, Scenario},
};
use std::{collections::BTreeSet, path::Path};

fn recorded(scenario: &Scenario, seed: u64) -> (RunReport, Recorder, Plan) {
    let mut recorder = Recorder::default();
    let scenario = &*scenario.drawn(seed);
    let plan = Plan::new(scenario, seed);
    let report = run_plan(scenario, seed, plan.clone(), &mut recorder);
    (report, recorder, plan)
}

/// Every bundled scenario, with churn, hostile peers, partitions that hold, corruption: written as lists, read
/// from the file's text, run with another seed, and it is the same run.
#[test]
fn an_explicit_run_has_the_trace_of_the_seeded_one_and_needs_no_seed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    assert!(files.len() >= 10);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let scenario = Scenario::parse(&text, &path.to_string_lossy()).unwrap();
        let (seeded, recorder, _) = recorded(&scenario, 3);
        assert!(seeded.verdict.is_passed(), "{}: {}", path.display(), seeded.verdict);
        let text = explicit(&scenario, 3, &recorder.events).to_toml();
        let lists = Scenario::parse(&text, "explicit.toml").unwrap_or_else(|error| panic!("{error}"));
        let listed = run(&lists, 99);
        assert_eq!(listed.trace, seeded.trace, "{}", path.display());
        assert_eq!(listed.verdict, seeded.verdict);
        assert_eq!((listed.faults, listed.summary), (seeded.faults, seeded.summary));
        assert_eq!(listed.marks, seeded.marks);
    }
}

/// What runs of a test had in them.
#[derive(Default)]
struct Had {
    asked: BTreeSet<FaultKind>,
    effective: BTreeSet<FaultKind>,
    operations: BTreeSet<OperationKind>,
    choices: BTreeSet<Choice>,
    joiners_out_of_order: bool,
}

/// The explicit form of a run is written, read again, equal, and the same run.
#[track_caller]
fn round_trip(scenario: &Scenario, seed: u64, had: &mut Had) {
    let (seeded, recorder, _) = recorded(scenario, seed);
    let lists = explicit(scenario, seed, &recorder.events);
    let text = lists.to_toml();
    let mut read =
        Scenario::parse(&text, "explicit.toml").unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
    // It follows from a length and a number, and nothing is drawn from it any more.
    assert!((read.workload.rate - lists.workload.rate).abs() < 1e-6, "seed {seed}");
    read.workload.rate = lists.workload.rate;
    assert_eq!(read, lists, "seed {seed}\n{text}");
    let (listed, again, _) = recorded(&read, seed + 1000);
    let difference = first_difference(&recorder.events, &again.events);
    assert_eq!((difference, &listed.trace), (None, &seeded.trace), "seed {seed}");
    assert_eq!(
        (listed.verdict, listed.faults, listed.summary),
        (seeded.verdict, seeded.faults.clone(), seeded.summary.clone())
    );
    assert_eq!(read.to_toml(), text, "seed {seed}: what is written is read and written the same");

    had.asked.extend(seeded.faults.keys());
    had.effective.extend(seeded.faults.iter().filter(|(_, count)| count.effective > 0).map(|(kind, _)| *kind));
    for seen in &recorder.events {
        match &seen.what {
            What::Operation { kind, .. } => drop(had.operations.insert(*kind)),
            What::Chose { choice, .. } => drop(had.choices.insert(*choice)),
            _ => {}
        }
    }
    let joins: Vec<_> = read.replicas.iter().filter_map(|replica| replica.joins_at).collect();
    had.joiners_out_of_order |= !joins.is_sorted();
}

/// Each family of faults by itself, and all of them together, with many seeds: what a swarm draws of workloads, settings,
/// faults and hostile peers survives being written down.
#[test]
fn whatever_a_swarm_draws_is_written_read_and_run_again() {
    let base = |more: &str| {
        let text = format!(
            "replicas = 4\nduration = \"5s\"\n[workload]\nrate = 12\nmix = {{ put = 4, delete = 2, batch = 1, get = 1 }}\n{more}"
        );
        Scenario::parse(&text, "swarm.toml").unwrap()
    };
    let mut had = Had::default();
    for family in Family::ALL {
        let name = serde_json::to_string(&family).unwrap();
        let scenario = base(&format!("[swarm]\noff = 0.0\nfamilies = [{name}]\n"));
        // Their members are many.
        let seeds = if matches!(family, Family::Disk | Family::Hostile) { 24 } else { 8 };
        (0..seeds).for_each(|seed| round_trip(&scenario, seed, &mut had));
    }
    let all = base("[swarm]\noff = 0.3\n");
    (100..150).for_each(|seed| round_trip(&all, seed, &mut had));
    // No swarm cuts the power; files name who joins in any order; and an engine reads little but when it is opened.
    let more = "[disk]\nengine = \"redb\"\ncache = 0\n[[join]]\nat = \"3s\"\nreplica = \"late\"\n[[join]]\nat = \"1s\"\nreplica = \"early\"\n\
                [[power_cut]]\nat = \"1s\"\nreplica = \"r1\"\nwrite = 7\n\
                [[disk_fault]]\nat = \"500ms\"\nreplica = \"r2\"\nharm = \"bit-rot\"\n\
                [[disk_fault]]\nat = \"500ms\"\nreplica = \"r3\"\nharm = \"misdirected-read\"\n\
                [[disk_fault]]\nat = \"500ms\"\nreplica = \"r0\"\nharm = \"misdirected-write\"\n\
                [churn]\ncrash_every = \"400ms\"\ndown = \"100ms\"\n[swarm]\noff = 0.6\nfamilies = [\"loss\", \"membership\"]\n";
    (200..224).for_each(|seed| round_trip(&base(more), seed, &mut had));

    // A kind that no run had would not have been tried.
    let missing: Vec<_> = had.asked.difference(&had.effective).collect();
    assert!(missing.is_empty(), "no run had {missing:?}");
    assert!(had.effective.len() >= 40, "{} kinds", had.effective.len());
    assert_eq!(had.operations.len(), 4, "{:?}", had.operations);
    assert_eq!(had.choices.len(), Choice::ALL.len(), "{:?}", had.choices);
    assert!(had.joiners_out_of_order);
}

#[test]
fn a_recording_is_read_as_it_was_written() {
    let text = "replicas = 3\nduration = \"8s\"\n[network]\ncorrupt = 0.1\n[[crash]]\nat = \"2s\"\nreplica = \"r1\"\ndown = \"1s\"";
    let scenario = Scenario::parse(text, "small.toml").unwrap();
    let (report, recorder, plan) = recorded(&scenario, 3);
    let header = Header {
        scenario: report.scenario,
        seed: Some(3),
        commit: String::from("abc"),
        trace: Some(report.trace),
        parties: report.replicas,
        replicas: 3,
        duration_ns: 8,
        faults: fault_notes(&plan),
    };
    let recording = Recording { header, events: recorder.events };
    assert!(recording.events.len() > 300);
    let mut bytes = Vec::new();
    recording.write(&mut bytes).unwrap();
    assert_eq!(Recording::read(&bytes).unwrap(), recording);

    // JSON too, with CIDs and values as text.
    for event in &recording.events {
        let line = serde_json::to_string(event).unwrap();
        assert_eq!(serde_json::from_str::<anabranch_sim::observe::Seen>(&line).unwrap(), *event, "{line}");
    }

    let half = Recording::read(&bytes[..bytes.len() - 3]).unwrap_err();
    assert!(matches!(half, RecordError::Damaged(event, _) if event as usize == recording.events.len() - 1), "{half}");
    assert!(matches!(Recording::read(b"replicas = 3"), Err(RecordError::NoRecording)));
    assert!(matches!(Recording::read(b""), Err(RecordError::NoRecording)));
    let at = bytes.windows(7).position(|window| window == b"version").unwrap() + 7;
    assert_eq!(u32::from(bytes[at]), VERSION, "the version follows its name");
    bytes[at] += 1;
    let other = Recording::read(&bytes).unwrap_err().to_string();
    let said = format!("has version {} of the format, expected version {VERSION}", VERSION + 1);
    assert!(other.contains(&said) && other.lines().count() == 1, "{other}");
}
