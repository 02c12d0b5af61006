//! What the shell says of stores that it cannot open.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch::{
    Bytes,
    store::{Store, Table, WriteBatch},
};
use anabranch_shell::run;
use std::path::Path;

fn refused(path: &Path) -> String {
    let said = run(path, false).unwrap_err().to_string();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with(&format!("{}: ", path.display())), "{said}");
    said
}

#[test]
fn what_is_wrong_with_a_path_is_said_in_a_line_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = |name: &str| folder.path().join(name);
    assert!(refused(&here("none")).contains("there is no store here"));
    assert!(!here("none").exists());
    std::fs::create_dir(here("empty")).unwrap();
    assert!(refused(&here("empty")).contains("there is no store here"));
    std::fs::write(here("file"), "x").unwrap();
    assert!(refused(&here("file")).contains("a file"));
    std::fs::create_dir(here("strange")).unwrap();
    std::fs::write(here("strange/thesis.txt"), "x").unwrap();
    assert!(refused(&here("strange")).contains("thesis.txt"));
    // The rows inside are of a newer format; then the folder is.
    let mut store = anabranch_store::open(here("newer")).unwrap();
    assert!(refused(&here("newer")).contains("open elsewhere"));
    let row = (Table::Meta, Bytes::from_static(b"format"), Some(Bytes::copy_from_slice(&99_u32.to_le_bytes())));
    store.commit(WriteBatch { rows: vec![row] }).unwrap();
    store.sync().unwrap();
    drop(store);
    assert!(refused(&here("newer")).contains("the store is in format 99"));
    let marker = std::fs::read_to_string(here("newer/anabranch")).unwrap().replace("format 1", "format 99");
    std::fs::write(here("newer/anabranch"), marker).unwrap();
    assert!(refused(&here("newer")).contains("99"));
}

/// As somebody who may read the store and not write to it.
#[cfg(unix)]
#[test]
fn a_store_that_may_not_be_written_to_is_refused() {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};
    const STORE: &str = "ANABRANCH_TEST_SHELL_READ_ONLY";
    if let Some(path) = std::env::var_os(STORE) {
        let said = refused(Path::new(&path));
        assert!(said.contains("read-only") && said.contains("write permission"), "{said}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(anabranch_store::open(&path).unwrap());
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(&path, 0o555);
    mode(&path.join("lock"), 0o444);
    mode(folder.path(), 0o755);
    // The program where whoever it runs as can read it.
    let program = folder.path().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut child = std::process::Command::new(&program);
    child.args(["--exact", "a_store_that_may_not_be_written_to_is_refused"]).env(STORE, &path).current_dir("/");
    if std::fs::write(path.join("probe"), "").is_ok() {
        // Root may write everywhere.
        std::fs::remove_file(path.join("probe")).unwrap();
        child.uid(65_534).gid(65_534);
    }
    let done = child.output().unwrap();
    mode(&path, 0o755);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}
