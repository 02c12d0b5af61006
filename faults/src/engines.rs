//! The engines under test, as a process opens them.

use anabranch_core::store::Store;
use anabranch_store::{DiskStore, FjallOptions, OpenError, RedbDiskStore, open, open_redb, open_with};
use std::path::Path;

/// How a store is opened in a folder.
pub trait Engine {
    /// What the replica sees.
    type Store: Store;
    /// How a child process is told to open it.
    const NAME: &'static str;

    /// Opens the store in this folder, or makes one.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open(path: &Path) -> Result<Self::Store, OpenError>;
}

/// What [`anabranch_store::open`] gives.
#[derive(Clone, Copy, Debug)]
pub struct Default;
/// The same with so little memory that a short run flushes tables, compacts them and begins new journals.
#[derive(Clone, Copy, Debug)]
pub struct Small;
/// What [`anabranch_store::open_redb`] gives.
#[derive(Clone, Copy, Debug)]
pub struct Redb;

/// Rows that [`Small`] gathers in memory, in bytes a table.
const SMALL_MEMTABLE_BYTES: u64 = 64 << 10;

impl Engine for Default {
    type Store = DiskStore;
    const NAME: &'static str = "fjall";

    fn open(path: &Path) -> Result<DiskStore, OpenError> {
        open(path)
    }
}

impl Engine for Small {
    type Store = DiskStore;
    const NAME: &'static str = "fjall-small";

    fn open(path: &Path) -> Result<DiskStore, OpenError> {
        let mut options = FjallOptions::default();
        options.cache_bytes = 1 << 20;
        options.memtable_bytes = SMALL_MEMTABLE_BYTES;
        options.threads = 1;
        open_with(path, &options)
    }
}

impl Engine for Redb {
    type Store = RedbDiskStore;
    const NAME: &'static str = "redb";

    fn open(path: &Path) -> Result<RedbDiskStore, OpenError> {
        open_redb(path)
    }
}
