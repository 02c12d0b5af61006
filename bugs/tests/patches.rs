//! The patches still apply to the sources as they are.
#![allow(clippy::unwrap_used, clippy::panic)]

use anabranch_bugs::{bug::Bug, repository};
use std::path::Path;

#[test]
fn every_patch_applies() {
    let root = repository();
    let bugs = Bug::all(&root.join("bugs/patches")).unwrap();
    assert!(bugs.len() >= 41, "{} bugs", bugs.len());
    for bug in &bugs {
        bug.applied(&root).unwrap_or_else(|why| panic!("{why}"));
        assert!(bug.files().all(is_under_test), "{}: a bug of the product", bug.name);
        assert!(
            bug.scenario.as_ref().is_none_or(|path| root.join(path).is_file()),
            "{}: its scenario is not there",
            bug.name
        );
    }
}

/// The product, or the driver of it: the one that is simulated does what every driver must.
fn is_under_test(path: &Path) -> bool {
    ["core/src", "store/src", "sim/src/anabranch/replica.rs"].iter().any(|place| path.starts_with(place))
}
