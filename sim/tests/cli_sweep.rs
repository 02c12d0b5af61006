//! `anabranch sweep`: the power cut at each write of a run, as a user asks for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod histories;

use anabranch_sim::{run, scenario::Scenario, sweep::was_cut};
use histories::{Answer, anabranch, scratch, text};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Two replicas, one of which also crashes: its store is opened twice.
const SHORT: &str = "\
name = \"short\"
replicas = 2
duration = \"2s\"
[disk]
engine = \"redb\"
[core]
rebroadcast_interval = \"2s\"
[workload]
rate = 3
[[crash]]
at = \"800ms\"
replica = \"r1\"
down = \"200ms\"
";

/// Without a cut all agree when the faults end; whoever dies shortly before is back too late.
const HASTY: &str = "\
name = \"hasty\"
replicas = 2
duration = \"2s\"
convergence_budget = \"500ms\"
[disk]
engine = \"redb\"
[core]
rebroadcast_interval = \"2s\"
[workload]
rate = 4
";

fn file(test: &str, scenario: &str) -> PathBuf {
    let file = scratch(test).join("scenario.toml");
    fs::write(&file, scenario).unwrap();
    file
}

/// The objects of a file of JSON lines, but for what differs from time to time.
fn objects(path: &Path) -> Vec<Value> {
    let object = |line: &str| {
        let mut object: Value = serde_json::from_str(line).unwrap();
        object.as_object_mut().unwrap().remove("wall_seconds");
        object
    };
    fs::read_to_string(path).unwrap().lines().map(object).collect()
}

/// What it says, but for how long it took.
fn said(answer: &Answer) -> String {
    answer.out.rsplit_once("; in ").unwrap().0.to_owned()
}

#[test]
fn each_write_has_a_run_in_which_the_power_is_cut_there() {
    let file = file("cli_sweep_all", SHORT);
    let json = file.with_file_name("cuts.jsonl");
    let answer = anabranch(["sweep", text(&file), "--seed", "1", "--json", text(&json)]);
    assert_eq!((answer.code, &*answer.err), (Some(0), ""), "{}", answer.out);
    let cuts = objects(&json);
    let mut all = Vec::new();
    for name in ["r0", "r1"] {
        let of: Vec<&Value> = cuts.iter().filter(|cut| cut["replica"] == name).collect();
        let writes: Vec<u64> = of.iter().map(|cut| cut["write"].as_u64().unwrap()).collect();
        assert_eq!(writes, (0..of.len() as u64).collect::<Vec<_>>(), "each of {name}'s writes once");
        assert!(of.len() > 20, "{name}: {}", of.len());
        all.push(format!("{name} {}", of.len()));
        // As many as there are: the file itself, with a cut at the last one and one further.
        let last = of.last().unwrap();
        let (at, write) = (&last["power_cut"]["at_ns"], last["power_cut"]["write"].as_u64().unwrap());
        for (write, is_there) in [(write, true), (write + 1, false)] {
            let cut = format!("{SHORT}[[power_cut]]\nat = \"{at}ns\"\nreplica = \"{name}\"\nwrite = {write}\n");
            let report = run(&Scenario::parse(&cut, "cut.toml").unwrap(), 1);
            assert_eq!(was_cut(&report), is_there, "{name}, write {write}: {:?}", report.timeline);
            if is_there {
                assert_eq!(*report.trace, last["trace"], "the run that the sweep made");
            }
        }
    }
    let end = |cut: &Value| cut["samples"].as_array().unwrap().last().unwrap()["replicas"].clone();
    assert!(
        cuts.iter().all(|cut| end(cut).as_array().unwrap().iter().all(|replica| replica.is_object())),
        "all came back"
    );
    assert!(cuts.iter().all(|cut| cut["verdict"]["outcome"] == "passed"));
    assert!(cuts.iter().all(|cut| cut["faults"]["power-cut"]["effective"] == 1), "each cut took effect");
    let traces: std::collections::BTreeSet<_> = cuts.iter().map(|cut| cut["trace"].to_string()).collect();
    assert!(traces.len() > 10, "{} courses of events in {} cuts", traces.len(), cuts.len());
    let second = |cut: &&Value| cut["power_cut"]["at_ns"] == 999_999_999_u64;
    let again = cuts.iter().filter(second).count();
    assert!(again > 10 && cuts.iter().filter(second).all(|cut| cut["replica"] == "r1"), "{again} after r1's crash");
    let end = format!("short, seed 1: {} power cuts ({}): {0} as expected, 0 not", cuts.len(), all.join(", "));
    assert_eq!(said(&answer), end);

    // Every seventh of one replica, with one thread: the same runs.
    let some = file.with_file_name("some.jsonl");
    let arguments =
        ["sweep", text(&file), "--seed", "1", "--replica", "r1", "--every", "7", "--jobs", "1", "--json", text(&some)];
    let answer = anabranch(arguments);
    assert_eq!(answer.code, Some(0), "{}{}", answer.out, answer.err);
    let expected: Vec<Value> =
        cuts.into_iter().filter(|cut| cut["replica"] == "r1" && cut["write"].as_u64().unwrap() % 7 == 0).collect();
    assert_eq!(objects(&some), expected);
}

#[test]
fn a_cut_that_ends_badly_is_told_kept_and_made_again() {
    let file = file("cli_sweep_fails", HASTY);
    let failures = file.with_file_name("failures");
    let json = file.with_file_name("cuts.jsonl");
    let arguments = ["sweep", text(&file), "--every", "3", "--json", text(&json), "--failures", text(&failures)];
    let answer = anabranch(arguments);
    assert_eq!(answer.code, Some(3), "{}{}", answer.out, answer.err);
    assert_eq!(anabranch(["run", text(&file)]).code, Some(0), "without a cut it passes");
    let bad: Vec<Value> = objects(&json).into_iter().filter(|cut| cut["as_expected"] == false).collect();
    assert!(!bad.is_empty() && answer.out.contains(&format!(" as expected, {} not", bad.len())), "{}", answer.out);
    assert_eq!(answer.out.matches("reproduce: anabranch sweep ").count(), bad.len(), "{}", answer.out);
    assert_eq!(fs::read_dir(&failures).unwrap().count(), bad.len(), "a folder each");

    let first = &bad[0];
    let (replica, write) = (first["replica"].as_str().unwrap(), first["write"].as_u64().unwrap());
    assert!(
        answer.out.contains(&format!("not-converged     {replica}  write {write}\n  no convergence: ")),
        "{}",
        answer.out
    );
    // The line that does it again does.
    let reproduce = first["reproduce"].as_str().unwrap();
    assert!(reproduce.ends_with(&format!(" --seed 0 --replica {replica} --write {write}")), "{reproduce}");
    let again = anabranch(reproduce.split(' ').skip(1).chain(["--json", text(&json)]));
    assert_eq!(again.code, Some(3), "{}{}", again.out, again.err);
    assert!(again.out.contains("hasty, seed 0: 1 power cut ("), "{}", again.out);
    assert_eq!(objects(&json), std::slice::from_ref(first));
    // And so does what was kept.
    let kept = failures.join(format!("hasty-{replica}-write-{write}-0"));
    let replayed = anabranch(["replay", text(&kept)]);
    assert_eq!(replayed.code, Some(3), "{}{}", replayed.out, replayed.err);
    assert!(replayed.out.contains("the same run, event by event"), "{}", replayed.out);
    let run = anabranch(["run", text(&kept.join("scenario.toml"))]);
    assert_eq!(run.code, Some(3), "{}{}", run.out, run.err);
    assert!(run.out.contains(first["trace"].as_str().unwrap()), "{}", run.out);

    // The same with one thread and with three.
    let [one, three] = ["1", "3"].map(|jobs| said(&anabranch(["sweep", text(&file), "--every", "9", "--jobs", jobs])));
    assert_eq!(one, three);
}

#[test]
fn what_fails_without_a_cut_is_told_and_not_swept() {
    let file = file("cli_sweep_anyway", &HASTY.replace("500ms", "1ms").replace("rate = 4", "rate = 40"));
    let answer = anabranch(["sweep", text(&file)]);
    assert_eq!(answer.code, Some(3), "{}{}", answer.out, answer.err);
    assert!(answer.out.starts_with("hasty: does not end as it expects without a power cut; no cut was made"));
    assert!(answer.out.contains("reproduce: anabranch run "), "{}", answer.out);
}

#[test]
fn what_cannot_be_swept_is_refused_in_one_line() {
    let file = file("cli_sweep_bad", SHORT);
    let other = |scenario: &str| {
        let path = file.with_file_name("other.toml");
        fs::write(&path, scenario).unwrap();
        path
    };
    let sweep = |path: &Path, more: &[&str]| anabranch(["sweep", text(path)].iter().chain(more));
    sweep(&other(&SHORT.replace("redb", "memory")), &[])
        .is_refused(&["other.toml: the engine in memory makes no writes", "expected `engine = \"redb\"` in [disk]"]);
    let cut = "[[power_cut]]\nat = \"1s\"\nreplica = \"r0\"\nwrite = 0\n";
    sweep(&other(&format!("{SHORT}{cut}")), &[]).is_refused(&["has a [[power_cut]] of its own", "take it out"]);
    sweep(&file, &["--replica", "r2"]).is_refused(&["--replica \"r2\" is none of its replicas", "one of r0, r1"]);
    sweep(&file, &["--replica", "r0", "--write", "9999"]).is_refused(&["--write 9999 is beyond the run", "r0 makes "]);
    sweep(file.parent().unwrap(), &[]).is_refused(&["is a folder, expected one scenario file"]);
    sweep(&file.with_file_name("absent.toml"), &[]).is_refused(&["absent.toml: cannot be read"]);
    let gone = format!("{SHORT}[[leave]]\nat = \"1us\"\nreplica = \"r0\"\n");
    sweep(&other(&gone), &["--replica", "r0"]).is_refused(&["no write of r0 in the run with seed 0"]);
    for (more, expected) in [
        (&["--every", "0"][..], "expected a number of writes, 1 or more"),
        (&["--every", "-1"], "expected a number of writes, 1 or more"),
        (&["--jobs", "0"], "expected a number of threads, 1 or more"),
        (&["--write", "3"], "--replica"),
        (&["--replica", "r0", "--write", "3", "--every", "2"], "cannot be used with"),
    ] {
        let answer = sweep(&file, more);
        answer.is_refused(&[expected]);
    }
}
