//! Real processes on real files, in a size for every change: recorded and cut off anywhere, failed anywhere, killed at random
//! moments; and the defects that these must find.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch_faults::{
    check::Broken,
    engines::{Default, Engine, Redb, Small},
    files::{Errno, Fail, Image, Lie, Loss, Tree},
    process::Player,
    script::Script,
    sweep::{Failure, Places, Tally, files, kill},
};
use std::{path::PathBuf, process::Command};

fn player(actions: usize) -> Player {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_anabranch-faults"));
    Player { program, script: Script { seed: 1, actions }, syncs: true }
}

/// The first places, and every so many of the others.
const fn every(stride: usize) -> Places {
    Places { stride, only: None }
}

fn power_cuts<E: Engine>(stride: usize) -> Tally {
    let tally = files::crashes::<E>(&player(150), every(stride), None).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{}: {tally}", E::NAME);
    assert!(tally.effective > 40, "something waits for a sync in most places: {tally}");
    tally
}

#[test]
fn the_power_may_go_anywhere() {
    power_cuts::<Default>(3);
    power_cuts::<Small>(3);
    power_cuts::<Redb>(3);
}

#[test]
fn a_disk_whose_syncs_do_nothing_is_found() {
    for found in [
        files::crashes::<Default>(&player(40), every(1), Some(Lie::Fsync)),
        files::crashes::<Redb>(&player(40), every(1), Some(Lie::Fsync)),
    ] {
        let failure = found.unwrap_err();
        println!("{failure}");
        let log = PathBuf::from(failure.place.split("the log is ").nth(1).unwrap().trim_end_matches("/log)"));
        assert!(log.join("log").is_file(), "the log is kept");
        std::fs::remove_dir_all(log).unwrap();
    }
}

fn errors<E: Engine>(stride: usize) {
    let tally = files::errors::<E>(&player(60), every(stride)).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{}: {tally}", E::NAME);
    assert!(tally.effective * 10 >= tally.requested * 8, "{tally}");
    let tally = files::read_errors::<E>(&player(60), 6).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{}, reads: {tally}", E::NAME);
    assert!(tally.effective > 0, "{tally}");
}

#[test]
fn files_may_fail_anywhere() {
    errors::<Default>(20);
    errors::<Small>(20);
    errors::<Redb>(10);
}

#[test]
fn acknowledgements_come_after_a_sync() {
    let mut player = player(60);
    let acknowledged = [
        files::acknowledgements::<Default>(&player).unwrap(),
        files::acknowledgements::<Small>(&player).unwrap(),
        files::acknowledgements::<Redb>(&player).unwrap(),
    ];
    assert!(acknowledged.iter().all(|count| *count > 30), "{acknowledged:?}");
    player.syncs = false;
    for found in [
        files::acknowledgements::<Default>(&player),
        files::acknowledgements::<Small>(&player),
        files::acknowledgements::<Redb>(&player),
    ] {
        let Err(Failure { broken: Broken::Fails(why), .. }) = found else {
            panic!("the syncs were taken out: {found:?}")
        };
        assert!(why.contains("no file was synced"), "{why}");
    }
}

#[test]
fn processes_may_be_killed_at_any_moment() {
    for tally in [
        kill::kills::<Default>(&player(400), 12).unwrap_or_else(|failure| panic!("{failure}")),
        kill::kills::<Redb>(&player(400), 12).unwrap_or_else(|failure| panic!("{failure}")),
    ] {
        println!("{tally}");
        assert!(tally.effective > 2, "most moments lie within the run: {tally}");
    }
}

/// Exit code, and what the program says to standard error.
fn said(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_anabranch-faults")).args(args).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_program_tells_what_is_wrong_in_one_line() {
    let (code, text) = said(&["sync-order", "--engine", "redb", "--actions", "30", "--without-sync"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("acknowledged") && text.lines().count() == 1, "{text}");
    let (code, text) = said(&["sweep", "--engine", "floppy"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("floppy") && text.contains("fjall-small"), "{text}");
    let (code, text) = said(&["images", "/nowhere/log", "--engine", "redb"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("/nowhere/log") && text.lines().count() == 1, "{text}");
    let (code, text) = said(&["images", "/nowhere/log"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--engine"), "{text}");
}

/// A store that is there cannot be opened on a disk that takes no writes; it is refused in one line that says why, and nothing changes.
fn refused<E: Engine>(errno: Errno, words: &str) {
    let player = player(30);
    let left = player.record::<E>(None, None).unwrap();
    left.ended().unwrap().unwrap();
    let before: Image = Tree::of_folder(&left.root()).unwrap().image(Loss::None);
    let (said, log) = player.again::<E>(&left, Some(Fail::from(0, errno))).unwrap();
    assert!(log.faults() > 0);
    let line = said.unwrap().unwrap_err();
    println!("{}: {line}", E::NAME);
    assert!(line.contains(words), "{line}");
    assert_eq!(before.differences(&left.root()).unwrap(), [] as [PathBuf; 0], "{line}");
    // And when the disk takes writes again it opens.
    E::open(&left.root().join("store")).unwrap();
}

#[test]
fn what_cannot_be_written_is_refused_and_left_as_it_is() {
    for (errno, words) in [(Errno::ReadOnly, "read-only"), (Errno::Io, "Input/output error")] {
        refused::<Default>(errno, words);
        refused::<Small>(errno, words);
        refused::<Redb>(errno, words);
    }
}

#[test]
fn a_full_disk_is_told() {
    refused::<Default>(Errno::Full, "no room left");
    refused::<Redb>(Errno::Full, "no room left");
}
