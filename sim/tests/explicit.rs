//! The explicit form of a run is the run.
#![allow(clippy::unwrap_used, clippy::panic)]

use anabranch_sim::{
    outcome::RunReport,
    plan::Plan,
    record::{Header, RecordError, Recorder, Recording, explicit, fault_notes},
    run::{run, run_plan},
    scenario::Scenario,
};
use std::path::Path;

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
        let text = explicit(&scenario, 3, &recorder.events).to_toml();
        let lists = Scenario::parse(&text, "explicit.toml").unwrap_or_else(|error| panic!("{error}"));
        let listed = run(&lists, 99);
        assert_eq!(listed.trace, seeded.trace, "{}", path.display());
        assert_eq!(listed.verdict, seeded.verdict);
        assert_eq!((listed.faults, listed.state), (seeded.faults, seeded.state));
    }
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
    assert_eq!(bytes[at], 1, "the version follows its name");
    bytes[at] = 2;
    let other = Recording::read(&bytes).unwrap_err().to_string();
    assert!(other.contains("has version 2 of the format, expected version 1") && other.lines().count() == 1, "{other}");
}
