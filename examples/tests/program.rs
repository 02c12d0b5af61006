//! The program: what it prints, writes and returns.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Exit code, stdout and stderr of the program with these words, in this folder.
fn program(words: &[&str], folder: &Path) -> (Option<i32>, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_anabranch-examples")).args(words).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn it_runs_what_is_built_in_and_shrinks_what_fails() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("program");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let (code, out, err) = program(&[], &folder);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(out.matches("\n10 runs, 10 as expected, 0 not; ").count(), 2, "{out}");
    assert!(!folder.join("shrunk.toml").exists());

    let (code, out, _) = program(&["hasty"], &folder);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("\nreproduce: cargo run -p anabranch-examples -- hasty examples/yrs.toml "), "{out}");
    assert_eq!(out.matches("\nwritten: shrunk.toml").count(), 1, "{out}");
    let (code, out, _) = program(&["hasty", "shrunk.toml", "0"], &folder);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.starts_with("yrs, seed 0: broken invariant: ") && out.contains(", as expected\n"), "{out}");
    let (code, out, _) = program(&["shrunk.toml", "0"], &folder);
    assert_eq!(code, Some(1), "without the bug it passes: {out}");
    assert!(out.contains("  passed (the scenario expects broken-invariant)\nreproduce: "), "{out}");
}

#[test]
fn what_cannot_be_read_is_one_line() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (code, out, err) = program(&["nowhere.toml"], &folder);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.starts_with("error: nowhere.toml: cannot be read: ") && err.lines().count() == 1, "{err}");
    fs::write(folder.join("bad.toml"), "replicas = 0\n").unwrap();
    let (code, out, err) = program(&["bad.toml"], &folder);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.starts_with("error: bad.toml:"), "{err}");
}
