//! `anabranch shell`, as a script uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

/// Runs a shell on these lines.
fn shell(arguments: &[&str], path: &Path, lines: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_anabranch"))
        .arg("shell")
        .arg(path)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that refuses to open reads nothing.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_script_writes_reads_and_finds_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, car) = (folder.path().join("store"), folder.path().join("all.car"));
    let lines = "watch /fruit\nput /fruit/apple red\nput 'fruit/kiwi' \"light green\"\nput other x\ndel /fruit/apple\nls /fruit\nget fruit/kiwi\n";
    let done = shell(&["--create"], &path, lines);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let expected = "~ /fruit/apple: nothing → red\n~ /fruit/kiwi: nothing → light green\n~ /fruit/apple: red → nothing\n\
                    /fruit/kiwi  11 B\nlight green\n";
    assert_eq!(text(&done.stdout), expected);
    let lines = format!("heads\ndag 2\nstats\nexport {}\nquit\nnonsense\n", car.display());
    let done = shell(&[], &path, &lines);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let out = text(&done.stdout);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("bafybei") && lines[0].ends_with("height 4"), "{out}");
    assert!(lines[1].starts_with("●      4 …") && lines[1].contains("-/fruit/apple  → …"), "{out}");
    assert_eq!(lines[3], "and 2 blocks below");
    assert!(lines[4].starts_with("blocks merged") && lines[4].ends_with('4'), "{out}");
    let other = folder.path().join("other");
    let done = shell(&["--create"], &other, &format!("import {}\nget other\n", car.display()));
    assert_eq!(text(&done.stdout), "4 blocks are merged\nx\n");
}

#[test]
fn what_goes_wrong_is_said_in_a_line_and_in_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let refused = |arguments: &[&str], path: &Path, expected: &str| {
        let done = shell(arguments, path, "");
        assert_eq!(done.status.code(), Some(2));
        let said = text(&done.stderr);
        assert!(said.starts_with("error: ") && said.contains(expected) && said.lines().count() == 1, "{said}");
    };
    refused(&[], &path, "there is no store here");
    assert!(!path.exists(), "a refused shell made a folder");
    let strange = folder.path().join("strange");
    std::fs::create_dir(&strange).unwrap();
    std::fs::write(strange.join("thesis.txt"), "x").unwrap();
    refused(&["--create"], &strange, "expected an Anabranch store or an empty folder");
    let done = shell(&["--create"], &path, "get /k\nfetch\nput /k v\nget /k\ndel /j\n");
    assert_eq!(done.status.code(), Some(2));
    assert_eq!(text(&done.stdout), "v\n");
    let said = text(&done.stderr);
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(
        said.contains("/k has no value") && said.contains("no command `fetch`") && said.contains("/j has no value")
    );
}

/// A verification that finds faults has an exit code of its own, whatever else went wrong.
#[test]
fn a_failed_verification_shows_in_the_exit_code() {
    use anabranch_core::store::{Store, Table, WriteBatch};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let done = shell(&["--create"], &path, "put /k v\nput /j w\nverify\n");
    assert_eq!((done.status.code(), text(&done.stdout)), (Some(0), "2 blocks and 2 keys are sound\n".into()));
    // A key is lost from the index.
    let mut store = anabranch_store::open(&path).unwrap();
    store.commit(WriteBatch { rows: vec![(Table::Keys, anabranch_core::Bytes::from_static(b"/k"), None)] }).unwrap();
    store.sync().unwrap();
    drop(store);
    let done = shell(&[], &path, "nonsense\nverify\nget /none\n");
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("faults were found; `rebuild` mends"), "{said}");
    let done = shell(&[], &path, "rebuild\nverify\nget /k\n");
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert!(text(&done.stdout).ends_with("2 blocks and 2 keys are sound\nv\n"), "{}", text(&done.stdout));
}

#[test]
fn a_store_that_is_open_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = Command::new(env!("CARGO_BIN_EXE_anabranch"))
        .arg("shell")
        .arg(folder.path())
        .arg("--create")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = holder.stdin.take().unwrap();
    stdin.write_all(b"stats\n").unwrap();
    let mut first = [0];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut first).unwrap();
    let refused = shell(&[], folder.path(), "stats\n");
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("open elsewhere"), "{}", text(&refused.stderr));
    drop(stdin);
    assert!(holder.wait().unwrap().success());
    assert_eq!(shell(&[], folder.path(), "stats\n").status.code(), Some(0));
}
