//! Known bugs, put back one at a time into a copy of the sources, and how soon the simulator finds them.
//!
//! A harness that has never found a bug has shown nothing. So each file of `bugs/patches` takes one thing out of the core that must be there,
//! and the same campaign that the real core passes must object. Read [`bug`] first, then [`hunt`].
#![forbid(unsafe_code)]

pub mod bug;
pub mod hunt;
pub mod real;
pub mod report;
pub mod shrink;
pub mod tree;

use std::path::{Path, PathBuf};

/// The root of the repository that this was built from.
#[must_use]
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
