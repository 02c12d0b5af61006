//! `anabranch dag`, as a user types it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod histories;

use anabranch_core::{Bytes, Cid};
use anabranch_sim::car;
use histories::{anabranch, data, scratch};
use serde_json::{Value, json};
use std::path::PathBuf;

fn history(name: &str) -> PathBuf {
    data().join("dags").join(name)
}

fn arguments(words: &[&str], file: &std::path::Path) -> Vec<std::ffi::OsString> {
    words.iter().map(Into::into).chain([file.into()]).collect()
}

#[test]
fn json_of_fold_and_merge_is_what_was_recorded() {
    for (path, recorded) in histories::all() {
        let mut heads = recorded.heads.clone();
        heads.sort();
        let expected = json!({ "heads": heads, "state": recorded.state_value_hex, "void": 0, "misdeclared": 0 });
        for command in [&["dag", "fold", "--json"][..], &["dag", "merge", "--json", "--seed", "7"]] {
            let answer = anabranch(arguments(command, &path));
            assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{}", path.display());
            let found: Value = serde_json::from_str(&answer.out).unwrap();
            assert_eq!(found, expected, "{command:?} {}", path.display());
        }
    }
}

#[test]
fn text_names_heads_and_keys() {
    let fold = anabranch(arguments(&["dag", "fold"], &history("0011.car")));
    assert_eq!(fold.code, Some(0));
    assert_eq!(
        fold.out,
        "heads (2)\n  bafybeicf7cc2mljoxjuav5oivtwsnkmqlsd7fhydqpnvlgu2ixo5d7tngu\n  \
         bafybeied2dtw27tqvdms7pel6gbysl4d536grlc5ucoo3qcszxzw67e2zi\n\
         state (2 keys, values in hex)\n  /long/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx = 19\n  /ключ = 789b\n\
         void blocks 0, misdeclared priorities 0\n"
    );
    let merge = anabranch(arguments(&["dag", "merge", "--seed", "3"], &history("0011.car")));
    assert!(merge.out.starts_with(&fold.out) && merge.out.contains("merged in the order of seed 3: 6 blocks given"));
}

#[test]
fn show_lists_every_block_and_draws_every_link() {
    let (path, recorded) = histories::all().swap_remove(12);
    let list = anabranch(arguments(&["dag", "show"], &path));
    let graph = anabranch(arguments(&["dag", "show", "--dot"], &path));
    assert_eq!((list.code, graph.code), (Some(0), Some(0)));
    for block in &recorded.blocks {
        assert!(list.out.contains(&format!("{}  height ", block.cid)), "{}", list.out);
        assert!(graph.out.contains(&format!("  \"{}\" [label=", block.cid)), "{}", graph.out);
    }
    let links = list.out.lines().filter(|line| line.trim_start().starts_with("link ")).count();
    assert!(links > 3 && graph.out.matches(" -> ").count() == links);
    assert!(list.out.contains("    put     /") && list.out.contains("    remove  /"), "{}", list.out);
    assert!(graph.out.starts_with("digraph history {\n") && graph.out.ends_with("}\n"));
}

/// A file with a void block, one that misdeclares, and one whose parent is missing.
fn odd() -> PathBuf {
    let path = scratch("cli_dag_odd").join("odd.car");
    let mut blocks: Vec<(Cid, Bytes)> = Vec::new();
    let mut add = |hex: &str| {
        let bytes = Bytes::from(data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap());
        blocks.push((Cid::of(&bytes), bytes));
    };
    // A root that declares 7, a void child, and a child of a block that is not there.
    add("0a0b0a070a022f7a1a01311807");
    add("122a0a2401701220428b5101b1777728b881f99ba41ec9c4222b818eaacf7887f8171a9a9d35e92c120018000a03ffffff");
    add(
        "122a0a24017012201922863752389031d2aeab1443a8484ca21e48bdc28be4fd898dded17f6abfd6120018000a0d0a090a032f6b331a0276331804",
    );
    let mut file = Vec::new();
    car::write(&[blocks[0].0], &blocks, &mut file).unwrap();
    std::fs::write(&path, file).unwrap();
    path
}

#[test]
fn an_incomplete_history_is_shown_but_not_folded() {
    let path = odd();
    let show = anabranch(arguments(&["dag", "show"], &path));
    assert_eq!(show.code, Some(0));
    for part in [
        "priority 7 (misdeclared)",
        "void: its data is no delta",
        "(not in the file)",
        "an ancestor is not in the file",
    ] {
        assert!(show.out.contains(part), "no {part:?} in {}", show.out);
    }
    let missing = "bafybeiazekddourysay5flvlcrb2qscmuiperpocrpsp3cmn33ix62v72y";
    for command in ["fold", "merge"] {
        let name = path.to_string_lossy();
        anabranch(arguments(&["dag", command], &path)).is_refused(&[
            &name,
            "incomplete",
            missing,
            "export the whole DAG",
        ]);
    }
}

#[test]
fn bad_files_get_one_line_and_exit_code_2() {
    let folder = scratch("cli_dag_bad");
    let whole = std::fs::read(history("0011.car")).unwrap();
    let bad = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let mut forged = whole.clone();
    forged[180] ^= 1;
    let files = [
        (bad("cut.car", &whole[..whole.len() - 1]), "truncated"),
        (bad("forged.car", &forged), "damaged or forged"),
        (bad("empty.car", b""), "the file is empty"),
        (bad("v2.car", b"\x0a\xa1gversion\x02 and more"), "CARv2"),
        (bad("text.car", b"hello, world"), "no CAR file"),
        (folder.join("absent.car"), "No such file"),
        (folder.clone(), "cannot be read"),
    ];
    for (path, part) in files {
        for command in ["fold", "merge", "show"] {
            anabranch(arguments(&["dag", command], &path)).is_refused(&[&path.to_string_lossy(), part]);
        }
    }
}

#[test]
fn a_full_disk_is_one_line_and_a_gone_reader_is_none() {
    use std::process::{Command, Stdio};
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch"));
        command.args(arguments(&["dag", "show"], &history("0014.car")));
        command
    };
    if let Ok(full) = std::fs::File::options().write(true).open("/dev/full") {
        let output = program().stdout(full).stderr(Stdio::piped()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.starts_with("error: stdout cannot be written: ") && err.lines().count() == 1, "{err}");
    }
    let mut child = program().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
