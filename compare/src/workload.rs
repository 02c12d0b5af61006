//! The workloads and the stores that they run on.

use clap::ValueEnum;
use std::fmt;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Workload {
    /// Puts in batches, each batch durable
    Ingest,
    /// Gets of keys drawn at random, after an ingest
    Get,
    /// All rows below a prefix, after an ingest
    Scan,
    /// A fresh replica hears a head and fetches everything
    ColdSync,
    /// A writer goes on while a reader merges: until both have all keys durably
    Live,
    /// Durable puts one after another
    Put1,
    /// Durable puts of 64 callers at once
    Put64,
    /// A cold sync of blocks that hold one put each
    Chain,
    /// Durable deletes of keys that were written many times
    Delete,
    /// Puts of one key, made durable after every tenth of them
    SameKey,
    /// From nothing until a key is read, of a store whose process was killed
    Reopen,
    /// Memory and disk after an ingest
    Size,
    /// The rows of an ingest, committed and synced alike on the bare engine: the ceiling of ours
    RawFjall,
    /// Half of `reopen`: an ingest that ends in SIGKILL
    #[value(hide = true)]
    Crash,
}

impl Workload {
    /// All that a comparison is made of, in the order of the table.
    pub(crate) const ALL: [Self; 13] = [
        Self::Ingest,
        Self::RawFjall,
        Self::Get,
        Self::Scan,
        Self::ColdSync,
        Self::Live,
        Self::Put1,
        Self::Put64,
        Self::Chain,
        Self::Delete,
        Self::SameKey,
        Self::Reopen,
        Self::Size,
    ];

    /// How many operations a full and a quick run make, where that is not the number of keys that the user asks for.
    pub(crate) const fn own_size(self, quick: bool) -> Option<u64> {
        match (self, quick) {
            (Self::Put1 | Self::Chain, false) | (Self::SameKey, true) => Some(10_000),
            (Self::Put1 | Self::Chain, true) => Some(1_000),
            (Self::Put64, false) => Some(64_000),
            (Self::Put64, true) => Some(6_400),
            (Self::SameKey, false) => Some(100_000),
            (Self::Delete, _) => Some(1),
            _ => None,
        }
    }

    /// Whether the workload runs on this store.
    pub(crate) const fn runs_on(self, store: Store) -> bool {
        match self {
            Self::RawFjall => matches!(store, Store::Disk),
            Self::Reopen | Self::Crash => !store.is_memory(),
            _ => true,
        }
    }

    /// Whether the engine's memory, or the checksums over its rows, can change much of the result on this store. Where not, the
    /// variant is run only when asked for.
    pub(crate) const fn tells_of(self, store: Store) -> bool {
        match store {
            Store::PebbleDefaults => {
                matches!(self, Self::Ingest | Self::Get | Self::Scan | Self::ColdSync | Self::Live)
            }
            Store::DiskUnchecked => matches!(self, Self::Ingest | Self::Get | Self::Scan | Self::ColdSync),
            _ => true,
        }
    }

    /// Whether it shows how ours goes on at sizes that go-ds-crdt is not asked for.
    pub(crate) const fn shows_slope(self) -> bool {
        matches!(self, Self::Ingest | Self::Get | Self::Reopen)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

/// What a replica keeps its rows in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Store {
    /// Go: a map behind a mutex
    Map,
    /// Ours: `MemoryStore`
    Memory,
    /// Go: Pebble with the memory that our engine has
    Pebble,
    /// Go: Pebble as go-ds-pebble sets it up when told nothing
    PebbleDefaults,
    /// Ours: the default, fjall with checksums
    Disk,
    /// Ours: fjall without our checksums
    DiskUnchecked,
}

impl Store {
    /// Whether it is go-ds-crdt that runs on it.
    pub(crate) const fn is_go(self) -> bool {
        matches!(self, Self::Map | Self::Pebble | Self::PebbleDefaults)
    }

    /// Whether nothing of it outlives its process.
    pub(crate) const fn is_memory(self) -> bool {
        matches!(self, Self::Map | Self::Memory)
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}
