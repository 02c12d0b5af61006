//! The patches still apply to the sources as they are.
#![allow(clippy::unwrap_used, clippy::panic)]

use anabranch_bugs::{bug::Bug, repository};

#[test]
fn every_patch_applies() {
    let root = repository();
    let bugs = Bug::all(&root.join("bugs/patches")).unwrap();
    assert!(bugs.len() >= 24, "{} bugs", bugs.len());
    for bug in &bugs {
        bug.applied(&root).unwrap_or_else(|why| panic!("{why}"));
        assert!(
            bug.files().all(|path| path.starts_with("core/src") || path.starts_with("store/src")),
            "{}: a bug of the product",
            bug.name
        );
        assert!(
            bug.scenario.as_ref().is_none_or(|path| root.join(path).is_file()),
            "{}: its scenario is not there",
            bug.name
        );
    }
}
