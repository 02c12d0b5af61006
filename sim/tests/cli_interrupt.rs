//! Ctrl-C in the middle of a run of runs, a shrink and a campaign: the real program gets the real signal.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod histories;

use anabranch_sim::scenario::Scenario;
use histories::{Answer, anabranch, scratch, text};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// What is done before this cannot be stopped in the middle.
const SOONEST: Duration = Duration::from_millis(1);

/// Some seeds of it fail, for want of time to converge.
const SLOW: &str = "\
name = \"slow\"
replicas = 4
duration = \"20s\"
convergence_budget = \"1ms\"
[workload]
rate = 10
mix = { put = 6, delete = 1, batch = 3 }
[network]
drop = 0.1
duplicate = 0.1
corrupt = 0.05
[[crash]]
at = \"2s\"
replica = \"r3\"
down = \"1s\"
";

/// Starts the program, gives it so much time, and presses Ctrl-C (or worse).
fn interrupted(arguments: &[&str], after: Duration, signal: &str) -> Answer {
    let child = Command::new(env!("CARGO_BIN_EXE_anabranch"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    thread::sleep(after);
    // It may have ended by itself.
    let _ = Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// What is said at the first Ctrl-C.
const FIRST: &str = "Ctrl-C: finishing the runs under way; press again to stop at once";

/// Exit code 130, a line at once, and one at the end.
#[track_caller]
fn was_interrupted(answer: &Answer, part: &str) {
    assert_eq!(answer.code, Some(130), "{}{}", answer.out, answer.err);
    let lines: Vec<&str> = answer.err.lines().collect();
    assert!(lines.len() == 2 && lines[0] == FIRST && lines[1].starts_with("interrupted: "), "{}", answer.err);
    assert!(answer.err.contains(part), "no {part:?} in {}", answer.err);
}

/// How long a program that was to stop is waited for, before it is killed and the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run that takes far longer than that.
const LONG: &str = "name = \"long\"\nreplicas = 5\nduration = \"900000s\"\n[workload]\nrate = 20\n";

/// Starts the program in a group of its own, as a shell does; after so much time all of the group get Ctrl-C, as from a terminal, and once the first line
/// is there and `again`, once more.
fn pressed(arguments: &[&str], after: Duration, again: bool) -> Answer {
    let mut child = Command::new(env!("CARGO_BIN_EXE_anabranch"))
        .args(arguments)
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let group = format!("-{}", child.id());
    let press = || {
        assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
    };
    // A program that does not stop would be waited for until the end of days.
    let (done, waits) = mpsc::channel::<()>();
    let doomed = group.clone();
    let watchdog = thread::spawn(move || {
        if waits.recv_timeout(PATIENCE).is_err_and(|why| why == mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-KILL", "--", &doomed]).status();
        }
    });
    thread::sleep(after);
    press();
    let mut err = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    lines.read_line(&mut err).unwrap();
    if again {
        press();
    }
    lines.read_to_string(&mut err).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(done);
    watchdog.join().unwrap();
    Answer { code: output.status.code(), out: String::from_utf8(output.stdout).unwrap(), err }
}

#[test]
fn a_check_of_determinism_stops_after_the_pair_of_runs_under_way() {
    let file = scratch("cli_interrupt_determinism").join("slow.toml");
    fs::write(&file, SLOW).unwrap();
    let arguments = ["run", text(&file), "--seeds", "0..100000", "--check-determinism"];
    let answer = pressed(&arguments, Duration::from_secs(3), false);
    was_interrupted(&answer, "of 100,000 runs done");
    let pairs = answer.out.lines().count();
    assert!(pairs > 0 && answer.out.lines().all(|line| line.starts_with("repeats  slow  seed ")), "{}", answer.out);
    assert!(answer.err.contains(&format!("interrupted: {pairs} of ")), "{} of {}", answer.err, answer.out);
}

#[test]
fn a_sweep_that_is_stopped_says_how_far_it_came() {
    let folder = scratch("cli_interrupt_sweep");
    let file = folder.join("slow.toml");
    fs::write(&file, format!("{}[disk]\nengine = \"redb\"\n", SLOW.replace("\"1ms\"", "\"60s\""))).unwrap();
    let json = folder.join("cuts.jsonl");
    let answer = pressed(&["sweep", text(&file), "--json", text(&json)], Duration::from_secs(2), false);
    was_interrupted(&answer, "power cut");
    assert_eq!(files(&folder).into_keys().collect::<Vec<_>>(), ["slow.toml"], "nothing is left by half");
}

#[test]
fn the_first_ctrl_c_is_answered_and_the_second_ends_the_program_at_once() {
    let folder = scratch("cli_interrupt_twice");
    let file = folder.join("long.toml");
    fs::write(&file, LONG).unwrap();
    let json = folder.join("runs.jsonl");
    for arguments in [
        &["run", text(&file), "--json", text(&json)][..],
        &["run", text(&file), "--check-determinism"],
        &["replay", text(&file), "--out", text(&folder.join("kept"))],
        &["explain", text(&file)],
    ] {
        let answer = pressed(arguments, Duration::from_secs(1), true);
        was_interrupted(&answer, "interrupted: stopped at once");
        assert_eq!(
            files(&folder).into_keys().collect::<Vec<_>>(),
            ["long.toml"],
            "{arguments:?} leaves nothing by half"
        );
    }
}

/// All files below a folder, with what is in them.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_shrink_that_is_stopped_goes_on_to_the_same_end() {
    let folder = scratch("cli_interrupt_shrink");
    let file = folder.join("slow.toml");
    fs::write(&file, SLOW).unwrap();
    let failures = folder.join("failures");
    let ran = anabranch(["run", text(&file), "--seed", "7", "--failures", text(&failures)]);
    assert_eq!(ran.code, Some(3), "{}{}", ran.out, ran.err);
    let failure = failures.join("slow-7");
    let (whole, parts) = (folder.join("whole"), folder.join("parts"));
    fs::create_dir_all(&whole).unwrap();
    fs::create_dir_all(&parts).unwrap();
    let undisturbed = anabranch(["shrink", text(&failure), "--out", text(&whole.join("shrunk.toml"))]);
    assert_eq!(undisturbed.code, Some(0), "{}{}", undisturbed.out, undisturbed.err);

    let target = parts.join("shrunk.toml");
    let partial = parts.join("shrunk.toml.partial");
    let arguments = ["shrink", text(&failure), "--out", text(&target), "--jobs", "1"];
    let (mut stops, mut patience, mut kills) = (0, Duration::from_millis(300), 0);
    let last = loop {
        // Once it is killed outright: what it wrote down last is a whole file then too.
        let signal = if stops == 1 && kills == 0 { "-KILL" } else { "-INT" };
        kills += u32::from(signal == "-KILL");
        let answer = interrupted(&arguments, patience, signal);
        match answer.code {
            Some(0) if stops > 0 || patience < SOONEST => break answer,
            // It was done before: again, and sooner.
            Some(0) => {
                fs::remove_file(&target).unwrap();
                patience = patience * 2 / 3;
            }
            // It was not even listening yet, or it was killed.
            None => patience = patience * 5 / 4,
            Some(_) => {
                was_interrupted(&answer, "the same command goes on from there");
                stops += 1;
                // Later ones come further.
                patience = patience * 5 / 4;
                let left = Scenario::parse(&fs::read_to_string(&partial).unwrap(), "slow.toml").unwrap();
                let report = anabranch_sim::run(&left, 0);
                assert_eq!(report.verdict.kind(), "not-converged", "what is left so far fails");
                assert!(!target.exists(), "a result that is none yet");
            }
        }
    };
    assert!(stops > 0, "it was never stopped in the middle: {}", last.out);
    assert!(last.out.starts_with("going on from "), "{}", last.out);
    let drafts = files(&parts).into_keys().filter(|name| !name.contains(".tmp")).collect::<Vec<_>>();
    assert_eq!(drafts, ["shrunk.toml"], "no state is left");
    let result = |path: &Path| fs::read_to_string(path).unwrap();
    assert_eq!(result(&target), result(&whole.join("shrunk.toml")), "the result of an undisturbed shrink");
    let sizes = |answer: &Answer| answer.out.lines().find(|line| line.starts_with("to ")).map(str::to_owned);
    assert_eq!(sizes(&last), sizes(&undisturbed), "no candidate is tried twice or left out");

    // What is of another failure, or is damaged, is not gone on with.
    fs::write(&partial, "#: of ff\n#: tried 1\nreplicas = 1\n").unwrap();
    let anew = anabranch(arguments);
    assert_eq!(anew.code, Some(0), "{}", anew.err);
    assert!(anew.out.starts_with("note: ") && anew.out.contains("beginning anew"), "{}", anew.out);
    assert_eq!(result(&target), result(&whole.join("shrunk.toml")));
}

#[test]
fn runs_that_are_stopped_leave_no_file_by_half() {
    let folder = scratch("cli_interrupt_run");
    let file = folder.join("slow.toml");
    fs::write(&file, SLOW).unwrap();
    let (json, junit, failures) = (folder.join("runs.jsonl"), folder.join("junit.xml"), folder.join("failures"));
    let arguments = [
        "run",
        text(&file),
        "--seeds",
        "0..1000000",
        "--jobs",
        "2",
        "--json",
        text(&json),
        "--junit",
        text(&junit),
        "--failures",
        text(&failures),
    ];
    let answer = interrupted(&arguments, Duration::from_millis(1500), "-INT");
    was_interrupted(&answer, "of 1,000,000 runs done; ");
    assert!(answer.err.contains("runs.jsonl") && answer.err.contains("junit.xml not written"), "{}", answer.err);
    assert!(!json.exists() && !junit.exists());
    let left = files(&folder);
    assert!(left.keys().all(|name| !name.contains(".tmp")), "a draft is left: {:?}", left.keys());
    let kept: Vec<_> = fs::read_dir(&failures).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    assert!(!kept.is_empty(), "{}", answer.out);
    for failure in kept {
        assert_eq!(files(&failure).len(), 5, "{} is whole", failure.display());
    }
}

#[test]
fn a_campaign_that_is_stopped_goes_on_to_the_same_end() {
    let folder = scratch("cli_interrupt_campaign");
    let file = folder.join("slow.toml");
    fs::write(&file, SLOW).unwrap();
    let (whole, parts) = (folder.join("whole"), folder.join("parts"));
    let arguments = |out: &'static str, to: &Path| {
        let all = ["campaign", text(&file), "--seeds", "0..60", "--jobs", "2", out, text(to)];
        all.map(str::to_owned)
    };
    let undisturbed = anabranch(arguments("--out", &whole));
    assert_eq!(undisturbed.code, Some(3), "{}{}", undisturbed.out, undisturbed.err);
    let state = |folder: &Path| -> Value {
        serde_json::from_slice(&fs::read(folder.join("shard-0-of-1/state.json")).unwrap()).unwrap()
    };
    let (mut stops, mut patience) = (0, Duration::from_millis(300));
    let last = loop {
        let arguments = arguments("--out", &parts);
        let answer = interrupted(&arguments.each_ref().map(String::as_str), patience, "-INT");
        match answer.code {
            Some(3) if stops > 0 || patience < SOONEST => break answer,
            Some(3) => {
                fs::remove_dir_all(&parts).unwrap();
                patience = patience * 2 / 3;
            }
            None => patience = patience * 5 / 4,
            Some(_) => {
                was_interrupted(&answer, "is kept; the same command goes on");
                stops += 1;
                let done = state(&parts)["done"].as_u64().unwrap();
                assert!(done <= 60);
                patience = patience * 5 / 4;
            }
        }
    };
    assert!(stops > 0, "it was never stopped in the middle: {}", last.out);
    let (one, other) = (state(&whole), state(&parts));
    for field in ["order", "done", "total", "failed", "events", "faults", "kinds"] {
        assert_eq!(one[field], other[field], "{field}");
    }
    let failures = |folder: &Path| files(&folder.join("shard-0-of-1/failures"));
    assert!(!failures(&whole).is_empty());
    assert!(failures(&whole) == failures(&parts), "the same failures are kept, byte for byte");
    assert!(files(&parts).keys().all(|name| !name.contains(".tmp")));
}
