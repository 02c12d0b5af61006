//! Failures, as a user keeps, replays, shrinks and explains them; and campaigns.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod histories;

use histories::{Answer, anabranch, scratch, text};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// A cluster that has no time to converge after a partition, among faults that have nothing to do with it.
const SLOW: &str = "\
name = \"slow\"
replicas = 4
duration = \"8s\"
convergence_budget = \"1ms\"
[workload]
rate = 8
mix = { put = 6, delete = 1, batch = 3 }
[network]
drop = 0.1
duplicate = 0.1
corrupt = 0.05
[[partition]]
at = \"1s\"
groups = { a = [\"r0\"], b = [\"r1\", \"r2\", \"r3\"] }
[[crash]]
at = \"2s\"
replica = \"r3\"
down = \"1s\"
";

const GOOD: &str = "name = \"good\"\nreplicas = 2\nduration = \"2s\"\n";

/// A scenario file in a folder of its own, and the folder of its failure.
fn failure(name: &str) -> (PathBuf, PathBuf) {
    histories::failure(name, SLOW, 7)
}

#[track_caller]
fn refused(answer: &Answer, parts: &[&str]) {
    assert_eq!(answer.code, Some(2), "{}{}", answer.out, answer.err);
    assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
    for part in parts {
        assert!(answer.err.contains(part), "no {part:?} in {}", answer.err);
    }
}

#[test]
fn a_failure_is_kept_whole_and_replays_event_by_event_in_both_forms() {
    let (_, kept) = failure("cli_failures_replay");
    let mut files: Vec<_> = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["explicit.toml", "failure.json", "report.json", "scenario.toml", "trace.cbor"]);
    let json: Value = serde_json::from_str(&fs::read_to_string(kept.join("failure.json")).unwrap()).unwrap();
    assert_eq!((&json["seed"], &json["signature"]["outcome"]), (&Value::from(7), &Value::from("not-converged")));
    assert_eq!(fs::read_to_string(kept.join("scenario.toml")).unwrap(), SLOW);
    for more in [&[][..], &["--seeded"]] {
        let answer = anabranch(["replay", text(&kept)].iter().chain(more));
        assert_eq!(answer.code, Some(3), "{}{}", answer.out, answer.err);
        assert!(answer.out.starts_with("fails in the same way: not-converged"), "{}", answer.out);
        assert!(answer.out.contains("the same run, event by event"), "{}", answer.out);
    }
    // Another run: the first event that differs is named.
    let explicit = fs::read_to_string(kept.join("explicit.toml")).unwrap();
    let line = explicit.lines().find(|line| line.contains("number = ")).unwrap();
    fs::write(kept.join("explicit.toml"), explicit.replace(&format!("{line}\n"), "")).unwrap();
    let answer = anabranch(["replay", text(&kept)]);
    assert!(answer.out.contains("the first event that differs is number "), "{}", answer.out);
    assert!(answer.out.contains("  recorded: ") && answer.out.contains("  now:      "), "{}", answer.out);
}

#[test]
fn what_is_no_failure_is_refused_in_one_line() {
    let (file, kept) = failure("cli_failures_bad");
    let folder = file.parent().unwrap();
    refused(
        &anabranch(["replay", text(&folder.join("absent"))]),
        &["absent: cannot be read", "give the folder of a failure"],
    );
    refused(&anabranch(["explain", text(folder)]), &["no failure.json in this folder"]);
    refused(&anabranch(["replay", text(&kept), "--seed", "3"]), &["--seed is for a scenario file"]);
    refused(&anabranch(["replay", text(&file), "--seeded"]), &["--seeded is for the folder of a failure"]);
    refused(
        &anabranch(["replay", text(&file), "--html", text(&folder.join("no/x.html"))]),
        &["x.html cannot be written", "is no folder"],
    );
    let good = folder.join("good.toml");
    fs::write(&good, GOOD).unwrap();
    refused(&anabranch(["shrink", text(&good)]), &["does not fail with seed 0"]);

    let trace = fs::read(kept.join("trace.cbor")).unwrap();
    let mut other = trace.clone();
    let at = other.windows(7).position(|window| window == b"version").unwrap() + 7;
    other[at] += 1;
    fs::write(kept.join("trace.cbor"), &other).unwrap();
    refused(&anabranch(["replay", text(&kept)]), &["trace.cbor has version 3 of the format, expected version 2"]);
    // What the line says to do helps.
    let anew = folder.join("anew");
    let again = anabranch(["replay", text(&kept), "--out", text(&anew)]);
    assert_eq!(again.code, Some(3), "{}", again.err);
    assert!(
        again.out.contains("not compared event by event: ") && again.out.contains("fails in the same way"),
        "{}",
        again.out
    );
    assert!(anabranch(["replay", text(&anew)]).out.contains("the same run, event by event"));
    damaged_recordings_are_refused_in_words(&kept, &trace);
    fs::remove_file(kept.join("trace.cbor")).unwrap();
    refused(&anabranch(["explain", text(&kept)]), &["trace.cbor: cannot be read"]);
    let json = fs::read_to_string(kept.join("failure.json")).unwrap();
    fs::write(kept.join("failure.json"), json.replacen("\"version\": 1", "\"version\": 9", 1)).unwrap();
    refused(&anabranch(["replay", text(&kept)]), &["failure.json: has version 9 of the format, expected version 1"]);
    fs::write(kept.join("failure.json"), "{").unwrap();
    refused(&anabranch(["replay", text(&kept)]), &["failure.json: is not what `anabranch` writes"]);
    fs::write(kept.join("explicit.toml"), SLOW.replace("drop", "dorp")).unwrap();
}

/// A recording that is cut short or changed: which file, at which event, and what to do; nothing that only who wrote the types can read.
#[track_caller]
fn damaged_recordings_are_refused_in_words(kept: &Path, trace: &[u8]) {
    let file = kept.join("trace.cbor");
    let cut = trace[..trace.len() - 3].to_vec();
    let changed = |from: &[u8], to: &[u8]| {
        let mut bytes = trace.to_vec();
        let at = bytes.windows(from.len()).rposition(|window| window == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    let what_to_do = "record the run again (`anabranch replay FOLDER --out NEW`)";
    for (bytes, how) in [
        (cut, &["at event ", "the file ends in the middle of what begins at byte "][..]),
        (changed(b"timer", b"tamer"), &["at event ", "is no event of a run"]),
        (changed(b"\x65timer", b"\xfe"), &["at event ", "is no CBOR"]),
        (changed(b"duration_ns", b"turation_ns"), &["before event 0", "is no header"]),
    ] {
        fs::write(&file, bytes).unwrap();
        for command in ["explain", "replay"] {
            let answer = anabranch([command, text(kept)]);
            refused(&answer, &[&["trace.cbor is damaged ", what_to_do], how].concat());
            for debug in ["Semantic", "Syntax", "Error {", "kind:", "None", "Some("] {
                assert!(!answer.err.contains(debug), "{debug:?} in {}", answer.err);
            }
        }
    }
}

#[test]
fn outputs_that_cannot_be_written_leave_nothing() {
    let (file, _) = failure("cli_failures_full");
    let folder = file.parent().unwrap();
    if Path::new("/dev/full").exists() {
        for option in ["--html", "--events", "--shiviz", "--dot"] {
            refused(&anabranch(["replay", text(&file), option, "/dev/full"]), &["/dev/full cannot be written"]);
        }
        refused(&anabranch(["run", text(&file), "--failures", "/dev/full"]), &["/dev/full", "cannot be written"]);
        refused(
            &anabranch(["campaign", text(&file), "--seeds", "0..1", "--out", "/dev/full"]),
            &["/dev/full", "cannot be made"],
        );
    }
    let absent = folder.join("no/x.toml");
    refused(&anabranch(["shrink", text(&file), "--seed", "7", "--out", text(&absent)]), &["cannot be written"]);
    let left =
        fs::read_dir(folder).unwrap().filter(|entry| entry.as_ref().unwrap().path().to_string_lossy().contains(".tmp"));
    assert_eq!(left.count(), 0, "a draft is left");
}

#[test]
fn a_failure_is_shrunk_to_a_scenario_that_fails_in_the_same_way() {
    let (_, kept) = failure("cli_failures_shrink");
    let one = anabranch(["shrink", text(&kept), "--jobs", "1"]);
    assert_eq!(one.code, Some(0), "{}{}", one.out, one.err);
    let small = kept.join("shrunk.toml");
    let first = fs::read_to_string(&small).unwrap();
    assert!(one.out.contains("fails in the same way: not-converged"), "{}", one.out);
    let to = one.out.lines().find(|line| line.starts_with("to ")).unwrap();
    let number = |what: &str| -> u64 {
        let before = to.split(what).next().unwrap();
        before.split_whitespace().last().unwrap().parse().unwrap()
    };
    assert!(number(" operation") + number(" fault") <= 10, "{to}");
    assert!(number(" replica") == 2, "two are enough not to converge: {to}");
    assert!(!kept.join("shrunk.toml.partial").exists(), "the state is gone");
    let ran = anabranch(["run", text(&small)]);
    assert_eq!(ran.code, Some(0), "its expectation and its pinned trace are met: {}{}", ran.out, ran.err);
    assert!(first.contains("outcome = \"not-converged\"") && first.contains("\ntrace = \""), "{first}");
    let stopped = anabranch(["shrink", text(&kept), "--fresh", "--until", "0s"]);
    assert_eq!(stopped.code, Some(0), "{}", stopped.err);
    assert!(stopped.out.contains(" so far ") && stopped.out.contains("the time is over"), "{}", stopped.out);
    assert!(kept.join("shrunk.toml.partial").exists(), "it is kept");
    let three = anabranch(["shrink", text(&kept), "--jobs", "3"]);
    assert_eq!(three.code, Some(0), "{}", three.err);
    assert!(three.out.contains("going on from"), "{}", three.out);
    assert_eq!(first, fs::read_to_string(&small).unwrap(), "no result depends on the number of jobs");
    let story = anabranch(["explain", text(&kept)]);
    assert_eq!(story.code, Some(0), "{}", story.err);
    for part in ["(of shrunk.toml", "What became of block …", "makes it (operation ", "never merged by r"] {
        assert!(story.out.contains(part), "no {part:?} in {}", story.out);
    }
    assert!(anabranch(["explain", text(&kept), "--whole"]).out.contains("What became of block …"));
    // The whole run is drawn from its recording, and the small one from the small scenario.
    let page = kept.join("run.html");
    let events = |more: &[&str]| {
        let answer = anabranch(["explain", text(&kept), "--html", text(&page)].iter().chain(more));
        assert_eq!(answer.code, Some(0), "{}", answer.err);
        fs::read_to_string(&page).unwrap().matches("\"k\":").count()
    };
    assert!(events(&["--whole"]) > events(&[]));
}

#[test]
fn pictures_need_nothing_else() {
    let (file, _) = failure("cli_failures_html");
    let at = |name: &str| file.with_file_name(name);
    let (page, events, log, dot) = (at("run.html"), at("events.jsonl"), at("shiviz.log"), at("dag.dot"));
    let answer = anabranch([
        "replay",
        text(&file),
        "--seed",
        "7",
        "--html",
        text(&page),
        "--events",
        text(&events),
        "--shiviz",
        text(&log),
        "--dot",
        text(&dot),
    ]);
    assert_eq!(answer.code, Some(3), "{}", answer.err);
    let page = fs::read_to_string(page).unwrap();
    for outside in ["src=", "@import", "url(", "fetch(", "XMLHttpRequest", "<link rel=\"stylesheet"] {
        assert!(!page.contains(outside), "{outside} asks for something from outside");
    }
    let addresses: Vec<&str> = page.match_indices("http").map(|(at, _)| &page[at..at + 26]).collect();
    assert_eq!(addresses, ["http://www.w3.org/2000/svg"], "a name, not an address");
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let lines: Vec<Value> =
        fs::read_to_string(events).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(data["events"].as_array().unwrap().len(), lines.len());
    assert!(data["messages"].as_array().unwrap().iter().any(|message| message["fate"] == "cut"));
    assert!(!data["story"].as_array().unwrap().is_empty());
    let log = fs::read_to_string(log).unwrap();
    assert!(log.starts_with("(?<host>") && log.contains("\nr0 {\"r0\":1}\n"), "{}", &log[..200]);
    let dot = fs::read_to_string(dot).unwrap();
    assert!(dot.starts_with("digraph run {") && dot.contains(" -> ") && dot.ends_with("}\n"));
}

#[test]
fn junit_has_a_case_for_each_run() {
    let (file, _) = failure("cli_failures_junit");
    fs::write(file.with_file_name("good.toml"), GOOD).unwrap();
    let xml = file.with_file_name("junit.xml");
    let answer = anabranch(["run", text(file.parent().unwrap()), "--seeds", "0..2", "--junit", text(&xml)]);
    assert_eq!(answer.code, Some(3), "{}", answer.err);
    let xml = fs::read_to_string(xml).unwrap();
    assert!(xml.contains("<testsuites name=\"anabranch run\" tests=\"4\" failures=\"2\""), "{xml}");
    assert!(
        xml.contains("<testcase classname=\"good\" name=\"seed 1\"") && xml.contains("type=\"not-converged\""),
        "{xml}"
    );
}

fn state(folder: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(folder).unwrap()).unwrap()
}

/// Short runs of quiet scenarios reach some marks of the core, and not all: the merged campaign names those that it missed.
fn says_what_was_missed(folder: &Path, marks: &Value) {
    let runs = |mark: &str| marks[mark].as_u64().unwrap_or_else(|| panic!("no mark {mark}: {marks}"));
    assert!(runs("anyone-asked") > 0 && runs("upgraded") == 0, "{marks}");
    let missed = marks.as_object().unwrap().iter().filter(|(_, runs)| **runs == 0).map(|(mark, _)| mark.clone());
    let missed = format!("; missed: {}", missed.collect::<Vec<_>>().join(", "));
    let merged = anabranch(["campaign", "merge", text(folder)]);
    assert!(merged.out.contains("marks: ") && merged.out.contains(&missed), "{missed}\n{}", merged.out);
    assert!(!merged.out.contains("(runs that reached it)"), "{}", merged.out);
    let all = anabranch(["campaign", "merge", text(folder), "--marks"]);
    assert!(all.out.contains("(runs that reached it)") && all.out.contains("upgraded 0"), "{}", all.out);
    let summary = fs::read_to_string(folder.join("summary.md")).unwrap();
    assert!(summary.contains(&missed) && summary.contains("| upgraded | 0 |"), "{summary}");
}

#[test]
fn shards_together_are_the_whole_campaign() {
    let (file, _) = failure("cli_failures_campaign");
    let folder = file.parent().unwrap();
    fs::write(folder.join("good.toml"), GOOD).unwrap();
    let campaign = |out: &Path, shard: &str| {
        let answer = anabranch([
            "campaign",
            text(folder),
            "--seeds",
            "0..6",
            "--out",
            text(out),
            "--shard",
            shard,
            "--jobs",
            "2",
        ]);
        assert_eq!(answer.code, Some(3), "{}{}", answer.out, answer.err);
    };
    let (whole, parts) = (folder.join("whole"), folder.join("parts"));
    campaign(&whole, "0/1");
    campaign(&parts, "1/3");
    campaign(&parts, "0/3");
    let partial = anabranch(["campaign", "merge", text(&parts)]);
    assert!(partial.out.contains("shard 2/3 is missing"), "{}", partial.out);
    campaign(&parts, "2/3");
    for out in [&whole, &parts] {
        let merged = anabranch(["campaign", "merge", text(out)]);
        assert_eq!(merged.code, Some(3), "{}{}", merged.out, merged.err);
        assert!(merged.out.contains("12 of 12 runs done, 6 not as expected"), "{}", merged.out);
    }
    let (one, other) = (state(&whole.join("summary.json")), state(&parts.join("summary.json")));
    for field in ["order", "done", "failed", "events", "faults", "marks", "kinds"] {
        assert_eq!(one[field], other[field], "{field}");
    }
    let kept = parts.join("failures").join(other["kinds"][0]["folder"].as_str().unwrap());
    assert_eq!(anabranch(["replay", text(&kept)]).code, Some(3), "the fastest failure replays");
    assert!(fs::read_to_string(parts.join("junit.xml")).unwrap().contains("type=\"not-converged\""));
    says_what_was_missed(&parts, &other["marks"]);
    // Nothing is left to do, and it says so; with other seeds it is another campaign.
    let again = anabranch(["campaign", text(folder), "--seeds", "0..6", "--out", text(&whole)]);
    assert!(again.out.contains("going on after 12 of 12 runs"), "{}", again.out);
    refused(
        &anabranch(["campaign", text(folder), "--seeds", "0..7", "--out", text(&whole)]),
        &["holds a campaign of other scenarios or seeds"],
    );
    let quiet = Command::new(env!("CARGO_BIN_EXE_anabranch"))
        .arg("campaign")
        .env("ANABRANCH_SCENARIOS", text(&file))
        .env("ANABRANCH_SEEDS", "0..2")
        .env("ANABRANCH_OUT", folder.join("by-variables"))
        .env("ANABRANCH_REPORT_ONLY", "true")
        .output()
        .unwrap();
    assert_eq!(quiet.status.code(), Some(0), "{}", String::from_utf8_lossy(&quiet.stderr));
}

#[test]
fn a_campaign_stops_by_itself_and_on_ctrl_c_and_goes_on() {
    let folder = scratch("cli_failures_stop");
    let (file, out) = (folder.join("good.toml"), folder.join("out"));
    fs::write(&file, GOOD).unwrap();
    let arguments = ["campaign", text(&file), "--seeds", "0..100000000", "--out", text(&out), "--jobs", "2"];
    let timed = anabranch(arguments.iter().chain(&["--until", "1s"]));
    assert_eq!(timed.code, Some(0), "{}{}", timed.out, timed.err);
    assert!(timed.out.contains("the time is over: the same command goes on"), "{}", timed.out);
    let file = out.join("shard-0-of-1/state.json");
    let done = state(&file)["done"].as_u64().unwrap();
    assert!(done > 0);
    #[cfg(unix)]
    {
        let child = Command::new(env!("CARGO_BIN_EXE_anabranch"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let output = child.wait_with_output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(130), "{stdout}{stderr}");
        let lines: Vec<&str> = stderr.lines().collect();
        assert!(
            matches!(lines[..], [first, last] if first.starts_with("Ctrl-C: finishing ") && last.starts_with("interrupted: ")),
            "{stderr}"
        );
        assert!(stdout.starts_with("going on after "), "{stdout}");
        assert!(state(&file)["done"].as_u64().unwrap() > done);
    }
}

#[test]
fn what_editors_and_shells_want_to_know() {
    let schema: Value = serde_json::from_str(&anabranch(["schema"]).out).unwrap();
    assert_eq!(schema["properties"]["network"]["properties"]["drop"]["maximum"], 1);
    for shell in ["bash", "zsh", "fish"] {
        let script = anabranch(["completions", shell]);
        assert!(script.code == Some(0) && script.out.contains("campaign") && script.out.contains("sweep"), "{shell}");
    }
    let page = anabranch(["man"]);
    assert!(page.code == Some(0) && page.out.contains(".SH NAME") && page.out.contains("shrink"), "{}", page.out);
    let folder = scratch("cli_failures_man");
    assert_eq!(anabranch(["man", "--out", text(&folder)]).code, Some(0));
    assert!(folder.join("anabranch-campaign.1").is_file());
}
