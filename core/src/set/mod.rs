//! The delta add-wins observed-remove set: versions, tombstones, winners.

mod merge;
pub(crate) mod record;
pub(crate) mod versions;

pub(crate) use merge::{Removal, apply, early_key, forget_early, targets};
