//! The delta add-wins observed-remove set: versions, tombstones, winners.

mod merge;
pub(crate) mod record;
mod versions;

pub(crate) use merge::{Removal, apply, forget_early, targets};
