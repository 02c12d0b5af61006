//! `anabranch run`, as a user types it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod histories;

use histories::{Answer, anabranch, scratch};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const SMALL: &str = "\
replicas = 3
duration = \"10s\"
[network]
drop = 0.2
[core]
rebroadcast_interval = \"2s\"
fetch_timeout = \"1s\"
";

/// A folder with these files in it.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = scratch(name);
    for (file, text) in files {
        std::fs::write(folder.join(file), text).unwrap();
    }
    folder
}

fn run(path: &Path, more: &[&str]) -> Answer {
    let path = path.to_str().unwrap();
    anabranch(["run", path].iter().chain(more))
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn traces(runs: &[Value]) -> Vec<String> {
    runs.iter().map(|run| run["trace"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn help_names_commands_and_exit_codes() {
    let help = anabranch(["--help"]);
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    for part in ["run", "dag", "Exit codes:", "101  the program crashed", "4    inert faults"] {
        assert!(help.out.contains(part), "no {part:?} in {}", help.out);
    }
    assert!(anabranch(["run", "--help"]).out.contains("3    no convergence"));
    assert_eq!(anabranch(["--version"]).out, format!("anabranch {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn bad_usage_is_exit_code_2() {
    let bad = [
        (vec!["walk"], "unrecognized subcommand"),
        (vec!["run", "--seeds", "5..2"], "expected the second number to be over 5"),
        (vec!["run", "--seeds", "five"], "expected two numbers, such as 0..100"),
        (vec!["run", "--seed", "-1"], "-1"),
        (vec!["run", "--seed", "1", "--seeds", "0..2"], "cannot be used with"),
        (vec!["run", "--jobs", "0"], "--jobs"),
        (vec!["dag"], "Usage"),
        (vec!["dag", "fold"], "FILE.car"),
    ];
    for (arguments, part) in bad {
        let answer = anabranch(&arguments);
        assert_eq!((answer.code, answer.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(answer.err.contains(part), "{arguments:?}: no {part:?} in {}", answer.err);
    }
    anabranch(["run", "x.toml", "absent.toml"]).code.filter(|code| *code == 2).expect("exit code 2");
}

#[test]
fn a_typo_is_named_with_its_place_and_the_right_word() {
    let text = SMALL.replace("drop", "dorp");
    let path = folder("cli_run_typo", &[("typo.toml", &text)]).join("typo.toml");
    let place = format!("{}:4:1: ", path.display());
    run(&path, &[]).is_refused(&[&place, "unknown field `dorp`", "did you mean `drop`?"]);
}

#[test]
fn files_that_cannot_be_run() {
    let folder = folder("cli_run_unreadable", &[("ok.toml", SMALL), ("no.toml", "replicas = \"many\"")]);
    let absent = folder.join("absent.toml");
    run(&absent, &[]).is_refused(&[&absent.to_string_lossy(), "cannot be read: No such file"]);
    run(&folder, &[]).is_refused(&["no.toml:1:12: "]);
    let empty = scratch("cli_run_empty");
    run(&empty, &[]).is_refused(&[&empty.to_string_lossy(), "no *.toml in this folder"]);
    std::fs::write(folder.join("no.toml"), [0xff, 0xfe]).unwrap();
    run(&folder, &[]).is_refused(&["no.toml", "UTF-8"]);
}

#[test]
fn all_bad_files_are_named() {
    let folder = folder("cli_run_two_bad", &[("a.toml", "replicas = 0"), ("b.toml", "x"), ("c.toml", SMALL)]);
    let answer = run(&folder, &[]);
    assert_eq!((answer.code, answer.out.as_str()), (Some(2), ""));
    let lines: Vec<_> = answer.err.lines().collect();
    assert_eq!(lines.len(), 2, "{}", answer.err);
    assert!(lines[0].contains("a.toml:") && lines[1].contains("b.toml:"), "{}", answer.err);
}

#[test]
fn one_run_says_all_that_matters() {
    let path = folder("cli_run_one", &[("small.toml", SMALL)]).join("small.toml");
    let answer = run(&path, &["--seed", "5"]);
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{}", answer.out);
    for part in ["small, seed 5: passed", "simulated in", "events", "faults      drop ", "converged", "trace       "] {
        assert!(answer.out.contains(part), "no {part:?} in {}", answer.out);
    }
    let again = run(&path, &["--seed", "5"]);
    let trace = |answer: &Answer| answer.out.lines().find(|line| line.contains("trace  ")).unwrap().to_owned();
    assert_eq!(trace(&answer), trace(&again));
    assert_ne!(trace(&answer), trace(&run(&path, &["--seed", "6"])));
}

#[test]
fn folders_are_run_in_order_of_their_names_and_seeds() {
    let folder = folder("cli_run_order", &[("b.toml", SMALL), ("a.toml", SMALL), ("notes.txt", "no scenario")]);
    let answer = run(&folder, &["--seeds", "3..=5", "--jobs", "3"]);
    assert_eq!(answer.code, Some(0), "{}", answer.out);
    let words = |line: &str| line.split_whitespace().take(4).map(str::to_owned).collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = answer.out.lines().take(6).map(words).collect();
    let expected: Vec<_> =
        ["a", "b"].iter().flat_map(|name| (3..6).map(move |seed| format!("passed {name} seed {seed}"))).collect();
    assert_eq!(lines, expected);
    assert!(answer.out.contains("\n6 runs, 6 as expected, 0 not; "), "{}", answer.out);
}

#[test]
fn the_same_seed_gives_the_same_trace_with_any_number_of_jobs() {
    let path = folder("cli_run_jobs", &[("small.toml", SMALL)]).join("small.toml");
    let one = json_lines(&run(&path, &["--seeds", "0..12", "--jobs", "1", "--json", "-"]).out);
    let four = json_lines(&run(&path, &["--seeds", "0..12", "--jobs", "4", "--json", "-"]).out);
    assert_eq!(one.len(), 12);
    assert_eq!(traces(&one), traces(&four));
    let distinct: std::collections::BTreeSet<_> = traces(&one).into_iter().collect();
    assert_eq!(distinct.len(), 12, "seeds differ");
    let strip = |runs: Vec<Value>| -> Vec<Value> {
        let without_wall = |mut run: Value| {
            run.as_object_mut().unwrap().remove("wall_seconds").expect("how long it took");
            run
        };
        runs.into_iter().map(without_wall).collect()
    };
    assert_eq!(strip(one), strip(four), "nothing but the wall time may differ");
}

#[test]
fn json_holds_what_people_are_told() {
    let path = folder("cli_run_json", &[("small.toml", SMALL)]).join("small.toml");
    let file = path.with_file_name("runs.jsonl");
    std::fs::write(&file, "what was there before").unwrap();
    let answer = run(&path, &["--seeds", "0..3", "--json", file.to_str().unwrap()]);
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    assert!(answer.out.starts_with("passed"), "people are told on stdout: {}", answer.out);
    let runs = json_lines(&std::fs::read_to_string(&file).unwrap());
    assert_eq!(runs.len(), 3);
    for (seed, run) in runs.iter().enumerate() {
        assert_eq!(run["seed"], seed);
        assert_eq!(run["scenario"], "small");
        assert_eq!(run["verdict"]["outcome"], "passed");
        assert_eq!(run["as_expected"], true);
        assert_eq!(run["file"], path.to_str().unwrap());
        assert_eq!(run["reproduce"], format!("anabranch run {} --seed {seed}", path.display()));
        assert_eq!(run["trace"].as_str().unwrap().len(), 64);
        assert!(run["events"].as_u64().unwrap() > 0 && run["simulated_ns"].as_u64().unwrap() > 0);
        assert!(run["faults"]["drop"]["effective"].as_u64().unwrap() > 0);
        assert!(run["wall_seconds"].as_f64().unwrap() >= 0.0);
        assert!(run["timeline"].is_array() && run["samples"].is_array());
    }
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 2, "no draft is left: {left:?}");
    let stdout = run(&path, &["--seed", "1", "--json", "-"]);
    assert_eq!(json_lines(&stdout.out).len(), 1, "nothing else is on stdout");
    assert!(stdout.err.contains("small, seed 1: passed"));
}

#[test]
fn outputs_that_cannot_be_written() {
    let path = folder("cli_run_full", &[("small.toml", SMALL)]).join("small.toml");
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch"));
        command.arg("run").arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let absent = path.with_file_name("no/such/folder.jsonl");
    run(&path, &["--json", absent.to_str().unwrap()]).is_refused(&["folder.jsonl cannot be written"]);
    if let Ok(full) = std::fs::File::options().write(true).open("/dev/full") {
        let output = program().args(["--seeds", "0..30"]).stdout(full).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.starts_with("error: stdout cannot be written: ") && err.lines().count() == 1, "{err}");
        let answer = run(&path, &["--json", "/dev/full"]);
        assert_eq!(answer.code, Some(2));
        assert!(answer.err.starts_with("error: /dev/full cannot be written"), "{}", answer.err);
        assert!(!std::fs::metadata("/dev/full").unwrap().is_file(), "a device stays a device");
    }
    let mut child = program().args(["--seeds", "0..30"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "a reader that has gone");
}

/// Exit code, outcome and reproduce line of a run that does not end as expected.
#[track_caller]
fn fails(name: &str, text: &str, code: i32, part: &str) {
    let path = folder(name, &[("bad one.toml", text)]).join("bad one.toml");
    let answer = run(&path, &[]);
    assert_eq!(answer.code, Some(code), "{}{}", answer.out, answer.err);
    assert!(answer.out.contains(part), "no {part:?} in {}", answer.out);
    let reproduce: Vec<_> = answer.out.lines().filter(|line| line.starts_with("reproduce: ")).collect();
    assert_eq!(reproduce, [format!("reproduce: anabranch run '{}' --seed 0", path.display())]);
}

#[test]
fn no_convergence_is_exit_code_3() {
    let text = "replicas = 2\nduration = \"5s\"\nconvergence_budget = \"1ms\"\n[network]\ndrop = 1.0\n";
    fails("cli_run_3", text, 3, "no convergence");
}

#[test]
fn inert_faults_are_exit_code_4() {
    let text = "replicas = 2\nduration = \"5s\"\noperations = 0\n[network]\ndrop = 0.5\n";
    fails("cli_run_4", text, 4, "inert faults");
}

#[test]
fn what_is_expected_and_does_not_come_is_exit_code_1() {
    let text = format!("{SMALL}[expect]\noutcome = \"broken-invariant\"\n");
    fails("cli_run_1", &text, 1, "the scenario expects broken-invariant");
}

#[test]
fn another_trace_than_the_pinned_one_is_exit_code_1() {
    let text = format!("{SMALL}[expect]\nseed = 0\ntrace = \"{}\"\n", "ab".repeat(32));
    fails("cli_run_pin", &text, 1, "another trace than the pinned one");
}

#[test]
fn an_expected_failure_and_a_pinned_trace_pass() {
    let inert = "replicas = 2\nduration = \"5s\"\noperations = 0\n[network]\ndrop = 0.5\n[expect]\noutcome = \"inert-faults\"\n";
    let folder = folder("cli_run_expected", &[("inert.toml", inert), ("small.toml", SMALL)]);
    let answer = run(&folder.join("inert.toml"), &[]);
    assert_eq!(answer.code, Some(0), "{}", answer.out);
    assert!(answer.out.contains("as expected"), "{}", answer.out);
    let small = folder.join("small.toml");
    let trace = traces(&json_lines(&run(&small, &["--seed", "3", "--json", "-"]).out)).remove(0);
    std::fs::write(&small, format!("{SMALL}[expect]\nseed = 3\ntrace = \"{trace}\"\n")).unwrap();
    let pinned = run(&small, &[]);
    assert_eq!(pinned.code, Some(0), "{}", pinned.out);
    assert!(pinned.out.contains("seed 3: passed"), "the pinned seed is the default: {}", pinned.out);
}

#[test]
fn the_worst_failure_is_the_exit_code() {
    let inert = "replicas = 2\nduration = \"5s\"\noperations = 0\n[network]\ndrop = 0.5\n";
    let slow = "replicas = 2\nduration = \"5s\"\nconvergence_budget = \"1ms\"\n[network]\ndrop = 1.0\n";
    let folder = folder("cli_run_worst", &[("a.toml", SMALL), ("b.toml", slow), ("c.toml", inert)]);
    let answer = run(&folder, &[]);
    assert_eq!(answer.code, Some(3), "{}", answer.out);
    assert!(answer.out.contains("3 runs, 1 as expected, 2 not"), "{}", answer.out);
    assert!(answer.out.contains("not as expected: inert-faults 1, not-converged 1"), "{}", answer.out);
}

/// All but the time that it took is the same everywhere, so the README can say what will be seen.
#[test]
fn the_readme_shows_what_the_first_command_prints() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let shown = readme.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let printed = anabranch::<&str>([]).out;
    let plain = |line: &str| line.split(" of simulated time took ").next().unwrap().to_owned();
    let from = printed.lines().skip_while(|line| *line != shown.lines().next().unwrap());
    let printed: Vec<String> = from.take(shown.lines().count()).map(plain).collect();
    assert_eq!(shown.lines().map(plain).collect::<Vec<_>>(), printed);
}

#[test]
fn without_arguments_the_quickstart_is_explained() {
    let answer = anabranch::<&str>([]);
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{}", answer.out);
    for part in
        ["5 replicas", "Messages get lost", "What happened", "█", "✗", "▒", "✓", "quickstart, seed ", "passed", "Next"]
    {
        assert!(answer.out.to_lowercase().contains(&part.to_lowercase()), "no {part:?} in\n{}", answer.out);
    }
    for line in answer.out.lines().filter(|line| !line.contains("trace") && !line.starts_with("  ")) {
        assert!(line.chars().count() <= 120, "too wide: {line}");
    }
}

#[test]
fn bundled_scenarios_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let answer = run(&folder, &[]);
    assert_eq!(answer.code, Some(0), "{}", answer.out);
    let passed = answer.out.lines().filter(|line| line.starts_with("passed ")).count();
    assert!(passed >= 10, "{}", answer.out);
}

#[test]
fn runs_are_told_by_two_processes_and_compared() {
    let folder = folder("told-twice", &[("small.toml", SMALL)]);
    let answer = run(&folder.join("small.toml"), &["--seeds", "0..3", "--check-determinism"]);
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    assert_eq!(answer.out, "repeats  small  seed 0\nrepeats  small  seed 1\nrepeats  small  seed 2\n");
}

#[test]
fn what_was_found_once_stays_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/regressions");
    let answer = run(&folder, &[]);
    assert_eq!(answer.code, Some(0), "{}", answer.out);
    assert!(answer.out.lines().filter(|line| line.starts_with("passed ")).count() >= 6, "{}", answer.out);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("# "), "{} says what it is for", path.display());
            let needs_no_seed = text.contains("\n[explicit]\n") || text.contains("Not explicit, for ");
            assert!(needs_no_seed, "{} needs no seed, or says why it does", path.display());
        }
    }
}
