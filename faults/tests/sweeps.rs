//! The sweeps in a size for every change, and the defects that they must find.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch_core::{Outcome, store::Table};
use anabranch_faults::{
    check::Broken,
    recorder::Recorder,
    script::{Reference, Script},
    sweep::{Failure, calls, layers, rot},
};

const SCRIPT: Script = Script { seed: 1, actions: 150 };

#[test]
fn the_script_has_all_that_it_should() {
    let reference = Reference::of(&SCRIPT).unwrap();
    println!("{} syncs, {} blocks", reference.syncs(), reference.blocks());
    assert!(reference.syncs() > 40 && reference.blocks() > 100);
    let outcomes = reference.outcomes();
    let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
    let counts = [
        count(|outcome| matches!(outcome, Outcome::Purged { blocks: 1.., .. })),
        count(|outcome| matches!(outcome, Outcome::Verified { faults: 0, .. })),
        count(|outcome| matches!(outcome, Outcome::Rebuilt { damaged: 0, .. })),
        count(|outcome| matches!(outcome, Outcome::Imported { merged: 1.., .. })),
        count(|outcome| matches!(outcome, Outcome::Abandoned { .. })),
    ];
    println!("purged, verified, rebuilt, imported, abandoned: {counts:?}");
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

#[test]
fn a_crash_anywhere_under_any_layers() {
    for tally in [
        calls::crashes::<layers::Bare>(&SCRIPT, Recorder::default()),
        calls::crashes::<layers::Sums>(&SCRIPT, Recorder::default()),
        calls::crashes::<layers::Held>(&SCRIPT, Recorder::default()),
        calls::crashes::<layers::Default>(&SCRIPT, Recorder::default()),
    ] {
        println!("{}", tally.unwrap());
    }
}

#[test]
fn an_error_anywhere_is_told_and_loses_nothing() {
    for tally in [calls::errors::<layers::Bare>(&SCRIPT, 7), calls::errors::<layers::Default>(&SCRIPT, 7)] {
        let tally = tally.unwrap();
        println!("{tally}");
        assert_eq!(tally.requested, tally.effective);
    }
}

#[test]
fn rot_is_never_believed() {
    let tally = rot::rot(&SCRIPT, 5).unwrap();
    println!("{tally}");
    assert!(tally.effective > 10);
}

#[test]
fn a_disk_that_lies_is_found() {
    let Err(Failure { broken: Broken::Lost(_), .. }) = calls::crashes::<layers::Bare>(&SCRIPT, Recorder::lying())
    else {
        panic!("a sync that does nothing loses acknowledged writes");
    };
}

#[test]
fn a_commit_in_two_parts_is_found() {
    println!("{}", calls::crashes::<layers::Bare>(&SCRIPT, Recorder::halving()).unwrap_err());
}

#[test]
fn rows_that_are_forgotten_are_found() {
    // The script asks for no feed: it writes no rows of this one.
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Log) {
        let found = calls::crashes::<layers::Bare>(&SCRIPT, Recorder::forgetting(table));
        println!("{table:?}: {}", found.as_ref().unwrap_err());
    }
}
