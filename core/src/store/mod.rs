//! What a replica asks of a disk, and a store in memory that gives it.

mod memory;
mod overlay;
mod row_map;
mod runs;
mod txn;

pub use memory::MemoryStore;
pub use overlay::Overlay;
pub use row_map::RowMap;
pub(crate) use txn::Txn;

use alloc::{string::String, vec::Vec};
use bytes::Bytes;
use core::{fmt, ops::ControlFlow};

/// The tables of a store: each is an ordered map from bytes to bytes.
///
/// They differ in the size and the life of their rows, so an engine may keep them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// The format version and the counts. A handful of small rows.
    Meta = 0,
    /// Blocks as they stood on the wire, by digest. Up to megabytes a row; never rewritten.
    Blocks = 1,
    /// What is known of each block, by digest. Tens of bytes a row.
    Nodes = 2,
    /// The heads, by DAG name and falling height.
    Heads = 3,
    /// The winner of each key and its value, by key. The rows that reads touch.
    Keys = 4,
    /// The other versions of keys that have many, by key hash and falling rank.
    Versions = 5,
    /// Tombstones that came before their target, by target.
    Early = 6,
    /// Edges between pending blocks and the parents they wait for, both ways.
    Waiting = 7,
    /// Obligations whose body is to be fetched, in the order of fetching.
    Wants = 8,
    /// Pending blocks that may be merged now.
    Ready = 9,
    /// Bodies of pending blocks, nearest the heads first: the order in which they may be dropped.
    Bodies = 10,
    /// The good blocks in the order in which they were merged, for those that follow changes.
    Log = 11,
    /// What a task that derives keys anew has gathered. Empty when none runs.
    Derive = 12,
    /// Purged and abandoned blocks: what must be kept of them when all else is rebuilt.
    Stubs = 13,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Meta,
        Self::Blocks,
        Self::Nodes,
        Self::Heads,
        Self::Keys,
        Self::Versions,
        Self::Early,
        Self::Waiting,
        Self::Wants,
        Self::Ready,
        Self::Bodies,
        Self::Log,
        Self::Derive,
        Self::Stubs,
    ];
}

/// The longest row key that a replica makes, in bytes: a DAG name or a key and what is appended to it.
pub const ROW_KEY_BYTES_MAX: usize = crate::limits::KEY_BYTES_MAX + 64;

/// Changes that a store makes together or not at all, in the order given. `None` removes the row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WriteBatch {
    /// Table, row key, and the row's new bytes. No row comes twice.
    pub rows: Vec<(Table, Bytes, Option<Bytes>)>,
}

/// Why a store failed. The replica stops; the store is opened again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoreError {
    /// Reading or writing failed: I/O error, full disk.
    Io(String),
    /// What was read is not what was written.
    Corrupt(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(why) => f.write_str(why),
            Self::Corrupt(what) => write!(f, "damaged: {what}"),
        }
    }
}

impl core::error::Error for StoreError {}

/// What [`Read::scan`] calls for each row: key and value.
pub type Visit<'a> = dyn FnMut(&[u8], &Bytes) -> ControlFlow<()> + 'a;

/// What [`Read::scan_keys`] calls for each row: its key.
pub type VisitKey<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// Reading rows.
pub trait Read {
    /// The row's bytes, or `None` where there is no such row.
    ///
    /// # Errors
    /// When the engine cannot read or finds damage.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Visits the rows whose key is at least `from` and begins with `prefix`, in order of their
    /// keys, until the visitor breaks. `from` below `prefix` means all rows with the prefix.
    ///
    /// # Errors
    /// When the engine cannot read or finds damage.
    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// As [`scan`](Self::scan), keys only. A row whose value is damaged shows too, so that it can be told or
    /// removed: a layer that checks values passes this on to what is below it.
    ///
    /// # Errors
    /// When the engine cannot read.
    fn scan_keys(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        self.scan(table, prefix, from, &mut |key, _| visit(key))
    }
}

impl<R: Read + ?Sized> Read for &R {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        (**self).get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        (**self).scan(table, prefix, from, visit)
    }

    fn scan_keys(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        (**self).scan_keys(table, prefix, from, visit)
    }
}

/// An ordered, atomic, crash-safe map: all that a replica asks of a disk.
pub trait Store: Read {
    /// A view of the rows as they were when it was taken; commits that come later do not show in it.
    type Snapshot: Read;

    /// Takes a snapshot. A store that holds commits back may hand them to its engine for that.
    ///
    /// # Errors
    /// When the engine cannot. The store is then opened again; what was synced is there.
    fn snapshot(&mut self) -> Result<Self::Snapshot, StoreError>;

    /// Makes all changes of the batch, or none. Commits become durable in the order in which they
    /// were made: after a crash the store holds all commits up to some point not before the last sync.
    ///
    /// # Errors
    /// When the engine cannot; then nothing has changed.
    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError>;

    /// Makes all commits so far durable: they survive a crash of the process and of the machine.
    ///
    /// # Errors
    /// When the engine cannot; then whether the commits since the last good sync survive is unknown.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// [`commit`](Self::commit), then [`sync`](Self::sync): for engines that do both at once more cheaply.
    ///
    /// # Errors
    /// As `sync`: whether the batch is there is unknown then.
    fn commit_and_sync(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        self.commit(batch)?;
        self.sync()
    }
}
