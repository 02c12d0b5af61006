//! Engines for disks under an Anabranch replica.
//!
//! [`open`] gives the default, in one line from a path, and `open_redb` the same on redb. What they are made of can be taken
//! apart: engines ([`FjallStore`], `RedbStore`) and layers over any engine ([`Checked`], [`Buffered`]).

#![forbid(unsafe_code)]

mod buffered;
mod checked;
mod error;
mod fjall;
mod folder;
mod journal;
#[cfg(feature = "redb")]
mod redb;
mod window;

#[cfg(feature = "redb")]
pub use ::redb::StorageBackend;
pub use buffered::Buffered;
pub use checked::Checked;
pub use error::OpenError;
pub use fjall::{FjallOptions, FjallSnapshot, FjallStore};
#[cfg(feature = "redb")]
pub use redb::{RedbDiskStore, RedbSnapshot, RedbStore, open_redb};

use std::path::Path;

/// The default: fjall, its rows checked, commits held back until the sync.
pub type DiskStore = Buffered<Checked<FjallStore>>;

/// Opens the store in this folder, or makes one in an empty or absent folder.
///
/// # Errors
/// When the folder holds something else, is open elsewhere, cannot be written to, or is damaged. Nothing in it was changed then.
pub fn open(path: impl AsRef<Path>) -> Result<DiskStore, OpenError> {
    open_with(path, &FjallOptions::default())
}

/// As [`open`], with options for the engine.
///
/// # Errors
/// As `open`.
pub fn open_with(path: impl AsRef<Path>, options: &FjallOptions) -> Result<DiskStore, OpenError> {
    let path = path.as_ref();
    let engine = Checked::new(FjallStore::open_kind(path, "fjall checked", options)?);
    Buffered::new(engine).map_err(|error| OpenError::store(path, error))
}
