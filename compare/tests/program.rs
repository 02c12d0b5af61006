//! The program as a user meets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Runs the program where there is no `go`, with all its folders below this one.
fn compare(temp: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch-compare"));
    command.env("PATH", "").env("TMPDIR", temp).args(args).output().unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr)
        .lines()
        .find(|line| line.starts_with("error:"))
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn every_workload_of_ours_gives_measurements() {
    let workloads = [
        "ingest",
        "size",
        "get",
        "scan",
        "cold-sync",
        "live",
        "chain",
        "put1",
        "put64",
        "same-key",
        "delete",
        "raw-fjall",
    ];
    for (workload, store) in workloads.iter().flat_map(|workload| ["memory", "disk"].map(|store| (*workload, store))) {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().to_str().unwrap();
        let args =
            ["run", "--workload", workload, "--store", store, "--keys", "300", "--batch", "100", "--versions", "3,5"];
        let output = compare(temp.path(), &[&args[..], &["--dir", dir]].concat());
        assert_eq!(output.status.code(), Some(0), "{workload} on {store}: {}", error(&output));
        let lines = String::from_utf8(output.stdout).unwrap();
        let expected = match workload {
            "same-key" => 3,
            "delete" => 2,
            _ => 1,
        };
        assert_eq!(lines.lines().count(), expected, "{workload} on {store}: {lines}");
        for line in lines.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((line["workload"].as_str(), line["store"].as_str()), (Some(workload), Some(store)));
            assert!(line["rate"].as_f64().unwrap() > 0.0 && line["n"].as_u64().unwrap() > 0, "{line}");
            let on_disk = store == "disk" || workload == "raw-fjall";
            assert_eq!(line["disk_bytes"].as_u64().unwrap() > 0, on_disk, "{line}");
        }
    }
}

#[test]
#[cfg(unix)]
fn without_go_ours_is_compared_with_nothing_and_everything_is_tidied_up() {
    let (temp, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = |name: &str| out.path().join(name).to_str().unwrap().to_owned();
    let (json, markdown, svg) = (file("r.json"), file("r.md"), file("r.svg"));
    let args = [
        "--only",
        "ingest,reopen",
        "--keys",
        "1k,2k",
        "--runs",
        "2",
        "--json",
        &json,
        "--markdown",
        &markdown,
        "--svg",
        &svg,
    ];
    let output = compare(temp.path(), &args);
    assert_eq!(output.status.code(), Some(0), "{}", error(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no `go`"));
    let read: serde_json::Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let rows = read["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4, "two workloads, two sizes");
    assert!(
        rows.iter().flat_map(|row| row["results"].as_array().unwrap()).all(|result| result["runs"]
            .as_array()
            .unwrap()
            .len()
            == 2)
    );
    assert!(rows.iter().any(|row| row["results"][0]["rows_read"].as_u64().is_some_and(|rows| rows > 0)), "{rows:?}");
    assert_eq!(fs::read_to_string(markdown).unwrap().as_bytes(), output.stdout);
    assert!(fs::read_to_string(svg).unwrap().contains("nothing to compare"));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0, "folders were left behind");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 3, "files were left behind");
}

#[test]
fn bad_usage_is_told_before_anything_runs() {
    let temp = tempfile::tempdir().unwrap();
    let bad: [&[&str]; 7] = [
        &["--only", "digest"],
        &["--stores", "tape"],
        &["--keys", "many"],
        &["--runs", "0"],
        &["--quick", "--json", "no/such/folder/r.json"],
        &["--quick", "--temp", "no/such/folder"],
        &["--quick", "--only", "reopen", "--stores", "memory"],
    ];
    for args in bad {
        let output = compare(temp.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!error(&output).is_empty() && output.stdout.is_empty(), "{args:?}");
    }
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_the_run_and_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch-compare"));
    command
        .env("PATH", "")
        .env("TMPDIR", temp.path())
        .args(["--only", "ingest", "--keys", "1000m", "--stores", "disk"]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    while !fs::read_dir(temp.path()).unwrap().flatten().any(|entry| entry.path().join("stores").exists()) {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), error(&output).as_str()), (Some(130), "error: interrupted; nothing was written"));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0, "folders were left behind");
}
