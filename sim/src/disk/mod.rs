//! Simulated disks: one that keeps rows in memory and forgets, and the real engine over blocks that tear.

mod device;
mod format_1;
mod memory;

pub use device::Device;
pub use memory::SimDisk;

use crate::{
    engine::{Draws, Key},
    scenario::{Engine, FaultKind, Harm},
};
use anabranch_core::{
    Bytes,
    store::{MemoryStore, Read, Store, StoreError, Table, Visit, WriteBatch},
};
use anabranch_store::{Buffered, Checked, OpenError, RedbDiskStore, RedbStore};

/// About how many operations of an engine are in a sync.
const SYNC_CHANGES: u64 = 24;

/// What a replica keeps its rows in, while it runs.
#[derive(Debug)]
pub enum Disk {
    /// Rows in memory.
    Memory(SimDisk),
    /// redb over a simulated disk.
    Redb {
        /// The engine, with the layers that real nodes lay over it.
        store: Box<RedbDiskStore>,
        /// The disk below.
        device: Device,
        /// Commits since the last sync.
        unsynced: u64,
    },
}

/// A disk that nothing runs on.
#[derive(Clone, Debug)]
pub enum Medium {
    /// Rows in memory.
    Memory(SimDisk),
    /// Blocks. `true` once a store has been made on them.
    Blocks(Device, bool),
}

impl Medium {
    /// An empty disk for this engine, and memory for pages; `key` is what its harm is drawn from.
    #[must_use]
    pub fn new(engine: Engine, cache: u64, key: Key) -> Self {
        match engine {
            Engine::Memory => Self::Memory(SimDisk::new()),
            Engine::Redb => Self::Blocks(Device::new(key, usize::try_from(cache).unwrap_or(usize::MAX)), false),
        }
    }

    /// Opens the store on it, or makes one where there is none.
    ///
    /// # Errors
    /// When the disk fails, or what is on it is damaged. The disk is given back.
    pub fn open(self) -> Result<Disk, Box<(Self, StoreError)>> {
        let (device, is_made) = match self {
            Self::Memory(disk) => return Ok(Disk::Memory(disk)),
            Self::Blocks(device, is_made) => (device, is_made),
        };
        if !is_made {
            // What was cut short in the middle of being made holds nothing.
            device.empty();
        }
        let opened = RedbStore::on_with_cache(device.clone(), device.cache()).map_err(store_error);
        match opened.and_then(|engine| Buffered::new(Checked::new(engine))) {
            Ok(store) => Ok(Disk::Redb { store: Box::new(store), device, unsynced: 0 }),
            Err(error) => {
                // The engine may write when it is closed; this disk has moved on.
                let (image, _) = device.leave(&mut Key::of_seed(0).at(0, 0), true);
                Err(Box::new((Self::Blocks(image, is_made), error)))
            }
        }
    }

    /// What a store leaves that is not used any more: as it is, for nothing else happens to it.
    #[must_use]
    pub fn after_failure(device: &Device) -> Self {
        Self::Blocks(device.leave(&mut Key::of_seed(0).at(0, 0), true).0, true)
    }

    /// Whether there is anything on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Memory(disk) => disk.rows() == 0,
            Self::Blocks(_, is_made) => !is_made,
        }
    }

    /// As the release before would have left it: its rows in format 1. Says whether it is: not where nothing is on it, where something is that
    /// format 1 had no place for, or where the disk fails.
    #[must_use]
    pub fn set_back(self) -> (Self, bool) {
        if self.is_empty() {
            return (self, false);
        }
        match self.open() {
            Err(failure) => (failure.0, false),
            Ok(mut disk) => {
                let done = format_1::set_back(&mut disk).is_ok_and(|done| done) && disk.sync().is_ok();
                (disk.close(), done)
            }
        }
    }

    /// A copy that shares nothing with it.
    #[must_use]
    pub fn copy(&self) -> Self {
        match self {
            Self::Memory(disk) => Self::Memory(disk.clone()),
            Self::Blocks(device, is_made) => Self::Blocks(device.copy(), *is_made),
        }
    }
}

fn store_error(error: OpenError) -> StoreError {
    match error {
        OpenError::Damaged { what, .. } => StoreError::Corrupt(what),
        other => StoreError::Io(other.to_string()),
    }
}

impl Disk {
    /// How many commits came after the last sync.
    #[must_use]
    pub const fn unsynced(&self) -> u64 {
        match self {
            Self::Memory(disk) => disk.unsynced() as u64,
            Self::Redb { unsynced, .. } => *unsynced,
        }
    }

    /// What a crash leaves. In memory `kept` unsynced commits survive; on blocks `draws` says which writes do, and how much of each. Gives
    /// how many commits were lost for certain, and how many writes were torn, lost or reordered.
    pub fn crash(self, kept: u64, draws: &mut Draws) -> (Medium, u64, u64) {
        match self {
            Self::Memory(mut disk) => {
                let lost = disk.crash(usize::try_from(kept).unwrap_or(usize::MAX));
                (Medium::Memory(disk), lost as u64, 0)
            }
            // The engine writes in a sync only. So that there is something to tear, most crashes are in the middle of one.
            Self::Redb { mut store, device, unsynced } => {
                if unsynced > 0 && draws.chance(0.8) {
                    device.cut_power(Some(draws.below(SYNC_CHANGES)));
                    // It may even get to its end; nobody is told.
                    let _ = store.sync();
                }
                let (image, harmed) = device.leave(draws, false);
                drop(store);
                (Medium::Blocks(image, true), unsynced, harmed)
            }
        }
    }

    /// What is left when nothing runs on it any more: all that was synced.
    fn close(self) -> Medium {
        match self {
            Self::Memory(mut disk) => {
                disk.crash(0);
                Medium::Memory(disk)
            }
            Self::Redb { store, device, .. } => {
                let left = Medium::after_failure(&device);
                drop(store);
                left
            }
        }
    }

    /// What a backup of it holds: what was synced.
    #[must_use]
    pub fn backup(&self) -> Medium {
        match self {
            Self::Memory(disk) => {
                let mut copy = disk.clone();
                copy.crash(0);
                Medium::Memory(copy)
            }
            Self::Redb { device, .. } => Medium::Blocks(device.synced(), true),
        }
    }

    /// The disk below, where there is one.
    #[must_use]
    pub const fn device(&self) -> Option<&Device> {
        match self {
            Self::Memory(_) => None,
            Self::Redb { device, .. } => Some(device),
        }
    }
}

/// What a disk counts: how often harm was asked for, and how often it took effect.
pub type Harmed = Vec<(FaultKind, bool)>;

impl Medium {
    /// The disk below, where there is one.
    #[must_use]
    pub const fn device(&self) -> Option<&Device> {
        match self {
            Self::Memory(_) => None,
            Self::Blocks(device, _) => Some(device),
        }
    }
}

impl Device {
    /// Begins to do harm, or ends.
    pub fn harm(&self, harm: Harm, is_on: bool) {
        self.set(harm, is_on);
    }
}

impl Read for Disk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self {
            Self::Memory(disk) => disk.get(table, key),
            Self::Redb { store, device, .. } => device.reading(|| store.get(table, key)),
        }
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        match self {
            Self::Memory(disk) => disk.scan(table, prefix, from, visit),
            Self::Redb { store, device, .. } => device.reading(|| store.scan(table, prefix, from, visit)),
        }
    }
}

/// A view of a disk's rows.
pub enum Snapshot {
    /// Of rows in memory.
    Memory(MemoryStore),
    /// Of an engine's.
    Redb(Box<<RedbDiskStore as Store>::Snapshot>),
}

impl Read for Snapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self {
            Self::Memory(rows) => rows.get(table, key),
            Self::Redb(rows) => rows.get(table, key),
        }
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        match self {
            Self::Memory(rows) => rows.scan(table, prefix, from, visit),
            Self::Redb(rows) => rows.scan(table, prefix, from, visit),
        }
    }
}

impl Store for Disk {
    type Snapshot = Snapshot;

    fn snapshot(&mut self) -> Result<Snapshot, StoreError> {
        match self {
            Self::Memory(disk) => disk.snapshot().map(Snapshot::Memory),
            Self::Redb { store, .. } => store.snapshot().map(|rows| Snapshot::Redb(Box::new(rows))),
        }
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        match self {
            Self::Memory(disk) => disk.commit(batch),
            Self::Redb { store, unsynced, .. } => {
                *unsynced += 1;
                store.commit(batch)
            }
        }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Memory(disk) => disk.sync(),
            Self::Redb { store, unsynced, .. } => {
                store.sync()?;
                *unsynced = 0;
                Ok(())
            }
        }
    }
}
