//! Engines for disks under an Anabranch replica.
//!
//! [`open`] gives the default, in one line from a path. What it is made of can be taken apart: engines
//! ([`FjallStore`], [`RedbStore`]) and layers over any engine ([`Checked`]).

#![forbid(unsafe_code)]

mod checked;
mod error;
mod fjall;
mod folder;
#[cfg(feature = "redb")]
mod redb;

pub use checked::Checked;
pub use error::OpenError;
pub use fjall::{FjallOptions, FjallSnapshot, FjallStore};
#[cfg(feature = "redb")]
pub use redb::RedbStore;

use std::path::Path;

/// The default: fjall, its rows checked.
pub type DiskStore = Checked<FjallStore>;

/// Opens the store in this folder, or makes one in an empty or absent folder.
///
/// # Errors
/// When the folder holds something else, is open elsewhere, cannot be written to, or is damaged. Nothing in it was changed then.
pub fn open(path: impl AsRef<Path>) -> Result<DiskStore, OpenError> {
    Ok(Checked::new(FjallStore::open_kind(path.as_ref(), "fjall checked", &FjallOptions::default())?))
}
