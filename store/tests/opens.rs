//! Folders that cannot be opened: one clear line each, and nothing in them is changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Config, Error, Replica,
    store::{Read, Store, Table},
};
use anabranch_store::{Checked, FjallStore, OpenError, RedbStore, open, open_redb, open_with};
use std::{
    fs,
    io::{BufRead, BufReader, Read as _},
    path::Path,
    process::{Command, Stdio},
};
use support::{batch, copy, listing, rows, small};

/// Opens a folder and closes it again.
type Open = fn(&Path) -> Result<(), OpenError>;

/// The ways to open a folder, by the kind that their marker names.
const KINDS: [(&str, Open); 4] = [
    ("fjall", |path| FjallStore::open_with(path, &small()).map(drop)),
    ("fjall checked", |path| open_with(path, &small()).map(drop)),
    ("redb", |path| RedbStore::open(path).map(drop)),
    ("redb checked", |path| open_redb(path).map(drop)),
];

/// Every way to open it fails with one line that begins with the path and holds these words, and the folder is as it was.
#[track_caller]
fn assert_refused(path: &Path, words: &[&str]) {
    let before = listing(path);
    for (kind, open) in KINDS {
        let error = open(path).expect_err(kind);
        assert_line(&error, path, words);
        assert_eq!(listing(path), before, "{kind}: the folder was changed");
    }
}

#[track_caller]
fn assert_line(error: &OpenError, path: &Path, words: &[&str]) {
    let line = error.to_string();
    assert!(line.starts_with(&format!("{}: ", path.display())), "{line}");
    assert!(!line.contains('\n') && line.len() < 300, "{line}");
    for word in words {
        assert!(line.contains(word), "`{word}` is not in: {line}");
    }
}

/// A folder in which a store of this kind was made and holds a row.
fn made(path: &Path, kind: &str) {
    fn fill(mut store: impl Store) {
        store.commit(batch(&[(Table::Keys, b"k", Some(b"v"))])).unwrap();
        store.sync().unwrap();
    }
    match kind {
        "fjall" => fill(FjallStore::open_with(path, &small()).unwrap()),
        "fjall checked" => fill(open_with(path, &small()).unwrap()),
        "redb" => fill(RedbStore::open(path).unwrap()),
        _ => fill(open_redb(path).unwrap()),
    }
}

#[test]
fn a_path_that_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    fs::write(&file, "my notes").unwrap();
    assert_refused(&file, &["expected an Anabranch store or an empty folder, found a file", "give another path"]);
    assert_refused(&file.join("below"), &["found a file"]);
}

#[test]
fn a_folder_with_other_things() {
    for name in ["notes.txt", ".hidden", "data", "data.redb", "anabranch.bak"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), "mine").unwrap();
        assert_refused(
            folder.path(),
            &["found a folder with other things in it", &format!("`{name}`"), "give another"],
        );
        fs::write(folder.path().join("lock"), "").unwrap();
        assert_refused(folder.path(), &["found a folder with other things in it", &format!("`{name}`")]);
        fs::remove_file(folder.path().join(name)).unwrap();
        fs::create_dir(folder.path().join(name)).unwrap();
        assert_refused(folder.path(), &["found a folder with other things in it", &format!("`{name}`")]);
    }
}

#[test]
fn a_folder_whose_marker_is_no_marker() {
    let markers: [&[u8]; 6] = [
        b"",
        b"hello\n",
        b"anabranch store\n",
        b"anabranch store\nformat one\nkind fjall\n",
        &[0xff, 0xfe, 0x00, 0x80, b'\n'],
        b"anabranch store format 1\nkind fjall\n",
    ];
    for marker in markers {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("anabranch"), marker).unwrap();
        assert_refused(folder.path(), &["found a file `anabranch` that is no marker"]);
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("anabranch")).unwrap();
    assert_refused(folder.path(), &["found a file `anabranch` that is no marker"]);
}

#[test]
fn a_folder_in_a_newer_format() {
    for (kind, _) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        made(folder.path(), kind);
        fs::write(folder.path().join("anabranch"), format!("anabranch store\nformat 2\nkind {kind}\nand more\n"))
            .unwrap();
        assert_refused(folder.path(), &["in format 2", "reads formats up to 1", "use a newer version"]);
        fs::remove_file(folder.path().join("lock")).unwrap();
        assert_refused(folder.path(), &["in format 2"]);
    }
}

#[test]
fn a_store_of_another_kind() {
    for (kind, _) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        made(folder.path(), kind);
        let before = listing(folder.path());
        for (asked, open) in KINDS.iter().filter(|(asked, _)| *asked != kind) {
            let error = open(folder.path()).expect_err(asked);
            assert_line(&error, folder.path(), &[&format!("made as `{kind}`, not `{asked}`"), "open it as what it is"]);
        }
        assert_eq!(listing(folder.path()), before);
    }
    // A kind that no version of this crate has made yet, or none at all.
    for (rest, found) in [("kind pebble\n", "`pebble`"), ("", "`nothing`"), ("sort fjall\n", "`nothing`")] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("anabranch"), format!("anabranch store\nformat 1\n{rest}")).unwrap();
        assert_refused(folder.path(), &["made as", found]);
    }
}

#[test]
fn a_store_that_is_open_in_this_process() {
    for (kind, open) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        made(folder.path(), kind);
        let path = folder.path().to_path_buf();
        let (fjall, redb);
        // Held until the end of the round.
        match kind {
            "fjall" => (fjall, redb) = (Some(FjallStore::open_with(&path, &small()).unwrap()), None),
            "redb" => (fjall, redb) = (None, Some(RedbStore::open(&path).unwrap())),
            _ => continue,
        }
        let error = open(&path).expect_err(kind);
        assert!(matches!(error, OpenError::Locked { .. }));
        assert_line(&error, &path, &["open elsewhere", "close it there first"]);
        drop((fjall, redb));
        open(&path).expect("closed, it opens");
    }
}

/// Not a test by itself: the other process of the tests below. It opens the store, writes a row, syncs, writes another, says so,
/// and waits to be killed.
#[test]
fn another_process() {
    let Ok(path) = std::env::var("ANABRANCH_TEST_HOLD") else { return };
    fn hold(mut store: impl Store) {
        store.commit(batch(&[(Table::Keys, b"synced", Some(b"row"))])).unwrap();
        store.sync().unwrap();
        store.commit(batch(&[(Table::Keys, b"not synced", Some(b"row"))])).unwrap();
        println!("\nholding");
        let _ = std::io::stdin().read(&mut [0]);
    }
    match std::env::var("ANABRANCH_TEST_KIND").unwrap().as_str() {
        "fjall" => hold(FjallStore::open_with(path, &small()).unwrap()),
        "fjall checked" => hold(open_with(path, &small()).unwrap()),
        "redb" => hold(RedbStore::open(path).unwrap()),
        _ => hold(open_redb(path).unwrap()),
    }
}

#[test]
fn a_store_that_is_open_in_another_process_and_then_that_process_is_killed() {
    for (kind, open) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let mut other = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "another_process", "--nocapture"])
            .env("ANABRANCH_TEST_HOLD", folder.path())
            .env("ANABRANCH_TEST_KIND", kind)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "holding"), "{kind}: the other process did not open the store");
        let error = open(folder.path()).expect_err(kind);
        assert!(matches!(error, OpenError::Locked { .. }), "{error}");
        assert_line(&error, folder.path(), &["open elsewhere", "close it there first"]);
        other.kill().unwrap();
        other.wait().unwrap();
        let found = match kind {
            "fjall" => rows(&FjallStore::open_with(folder.path(), &small()).unwrap()),
            "fjall checked" => rows(&open_with(folder.path(), &small()).unwrap()),
            "redb" => rows(&RedbStore::open(folder.path()).unwrap()),
            _ => rows(&open_redb(folder.path()).unwrap()),
        };
        assert_eq!(found.get(&(Table::Keys, b"synced".to_vec())).map(|row| &row[..]), Some(&b"row"[..]), "{kind}");
        assert!(found.len() <= 2, "{kind}");
    }
}

#[test]
fn a_making_that_was_cut_short_is_made_anew() {
    for (kind, open) in KINDS {
        let whole = tempfile::tempdir().unwrap();
        made(whole.path(), kind);
        let marker = fs::read(whole.path().join("anabranch")).unwrap();
        let text = String::from_utf8(marker.clone()).unwrap();
        let making = text.replace("never edit the files in this folder", "being made: opening it finishes that");
        assert_ne!(text, making);
        // What a crash can leave: the folder, the lock, a marker half written beside its place, the marker of a store that is
        // being made, what the engine had begun.
        let left: [&[(&str, &[u8])]; 6] = [
            &[],
            &[("lock", b"")],
            &[("lock", b""), ("anabranch.new", b"anabranch st")],
            &[("anabranch.new", b"")],
            &[("lock", b""), ("anabranch", making.as_bytes())],
            &[("lock", b""), ("anabranch", making.as_bytes()), (data(kind), &[0; 5_000])],
        ];
        for files in left {
            let folder = tempfile::tempdir().unwrap();
            for (name, bytes) in files {
                fs::write(folder.path().join(name), bytes).unwrap();
            }
            if let Err(error) = open(folder.path()) {
                panic!("{kind}: {error}");
            }
            open(folder.path()).expect("and it opens again");
            assert_eq!(fs::read(folder.path().join("anabranch")).unwrap(), marker);
            assert!(!folder.path().join("anabranch.new").exists());
        }
    }
}

/// The name of the engine's files.
fn data(kind: &str) -> &'static str {
    if kind.starts_with("fjall") { "data" } else { "data.redb" }
}

#[test]
fn a_store_whose_files_are_gone_is_no_empty_store() {
    for (kind, open) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        made(folder.path(), kind);
        let moved = folder.path().join("elsewhere");
        fs::rename(folder.path().join(data(kind)), &moved).unwrap();
        let error = open(folder.path()).expect_err(kind);
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert_line(&error, folder.path(), &[data(kind), "is gone"]);
        fs::rename(moved, folder.path().join(data(kind))).unwrap();
        open(folder.path()).expect(kind);
    }
}

#[test]
fn folders_are_made_down_to_the_store() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, open) in KINDS {
        let path = folder.path().join("a/b").join(kind).join("c");
        open(&path).unwrap();
        assert!(path.join("anabranch").is_file());
    }
}

#[test]
fn a_path_where_nothing_can_be_written() {
    // Nobody, root included, makes folders here.
    let mut tried = false;
    if cfg!(target_os = "linux") && Path::new("/sys").is_dir() {
        assert_refused(Path::new("/sys/anabranch-test"), &["the folder is read-only", "with write permission"]);
        tried = true;
    }
    tried |= a_folder_of_others();
    assert!(tried || cfg!(not(unix)), "no read-only place was found");
}

/// A folder and a store without write permission; says whether that means anything to this user.
#[cfg(unix)]
fn a_folder_of_others() -> bool {
    use std::os::unix::fs::PermissionsExt;
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    set(folder.path(), 0o555);
    if fs::write(folder.path().join("probe"), "").is_ok() {
        println!("SKIPPED: this user writes to folders without permission (root): only /sys was tried");
        return false;
    }
    assert_refused(folder.path(), &["the folder is read-only", "with write permission"]);
    assert_refused(&folder.path().join("below"), &["the folder is read-only", "with write permission"]);
    set(folder.path(), 0o755);
    for (kind, open) in KINDS {
        let path = folder.path().join(kind);
        made(&path, kind);
        let before = listing(&path);
        for name in ["lock", "."] {
            set(&path.join(name), 0o555);
        }
        let error = open(&path).expect_err(kind);
        assert_line(&error, &path, &["the folder is read-only"]);
        set(&path, 0o755);
        assert_eq!(listing(&path), before);
    }
    true
}

#[cfg(not(unix))]
fn a_folder_of_others() -> bool {
    false
}

#[test]
fn rows_in_a_newer_format_are_refused_by_the_replica() {
    let folder = tempfile::tempdir().unwrap();
    let mut replica =
        Replica::open(open_with(folder.path(), &small()).unwrap(), Config::default(), &mut Vec::new()).unwrap();
    replica.sync().unwrap();
    let mut store = replica.into_store();
    let found = store.get(Table::Meta, b"format").unwrap().expect("a replica marks its rows with their format");
    let newer = u32::from_le_bytes(found[..].try_into().unwrap()) + 1;
    store.commit(batch(&[(Table::Meta, b"format", Some(&newer.to_le_bytes()))])).unwrap();
    store.sync().unwrap();
    drop(store);
    let store = open(folder.path()).expect("the folder and the engine are as ever");
    let before = rows(&store);
    let error = Replica::open(store, Config::default(), &mut Vec::new()).expect_err("a newer format");
    assert!(matches!(error, Error::UnknownFormat { found, .. } if found == newer));
    let line = error.to_string();
    for words in [&format!("in format {newer}")[..], "reads formats up to", "use a newer version"] {
        assert!(line.contains(words) && !line.contains('\n'), "{line}");
    }
    assert_eq!(rows(&open(folder.path()).unwrap()), before, "nothing was changed");
}

#[test]
fn a_copy_of_a_store_is_a_store() {
    for (kind, open) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        made(&folder.path().join("a"), kind);
        copy(&folder.path().join("a"), &folder.path().join("b"));
        open(&folder.path().join("b")).unwrap();
    }
}

#[test]
fn checks_may_be_laid_over_an_engine_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Checked::new(RedbStore::open(folder.path()).unwrap());
    store.commit(batch(&[(Table::Keys, b"k", Some(b"v"))])).unwrap();
    store.sync().unwrap();
    drop(store);
    let store = Checked::new(RedbStore::open(folder.path()).unwrap());
    assert_eq!(store.get(Table::Keys, b"k").unwrap().as_deref(), Some(&b"v"[..]));
}
