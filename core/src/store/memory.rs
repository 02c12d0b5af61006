//! A store in memory.

use super::{Read, Store, StoreError, Table, Visit, WriteBatch, row_map::RowMap};
use alloc::sync::Arc;
use bytes::Bytes;
use core::ops::ControlFlow;

/// A store that lives as long as its value: for tests, simulation, and caches that may be lost.
///
/// `sync` does nothing. A clone and a snapshot share the rows until one of them writes; the next
/// commit to a shared table copies it once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemoryStore {
    tables: [Arc<RowMap<Bytes>>; Table::ALL.len()],
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy that shares no rows with this one.
    #[must_use]
    pub fn unshared(&self) -> Self {
        Self { tables: core::array::from_fn(|table| Arc::new(self.tables[table].as_ref().clone())) }
    }

    /// How many rows a table holds.
    #[must_use]
    pub fn rows(&self, table: Table) -> usize {
        self.tables[table as usize].len()
    }
}

impl Read for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.tables[table as usize].get(key).cloned())
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        for (key, row) in self.tables[table as usize].from(from.max(prefix)) {
            if !key.starts_with(prefix) || visit(key, row) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    type Snapshot = Self;

    fn snapshot(&mut self) -> Result<Self, StoreError> {
        Ok(self.clone())
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        for (table, key, row) in batch.rows {
            let rows = Arc::make_mut(&mut self.tables[table as usize]);
            match row {
                Some(row) => rows.insert(key, row),
                None => rows.remove(&key),
            };
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
