//! The changes of one step, readable before they are committed.

use super::{
    Read, StoreError, Table, WriteBatch,
    row_key::{Comparable, Probe, RowKey},
};
use alloc::{collections::BTreeMap, vec::Vec};
use bytes::Bytes;
use core::ops::{Bound, ControlFlow};

/// Rows of a store with the changes of a step laid over them. Nothing reaches the store before
/// the step is whole, so that a commit never holds a part of a block.
pub(crate) struct Txn<'s, S> {
    store: &'s S,
    changes: BTreeMap<RowKey, Option<Bytes>>,
}

impl<'s, S: Read> Txn<'s, S> {
    pub(crate) fn new(store: &'s S) -> Self {
        Self { store, changes: BTreeMap::new() }
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.changes.get(Probe::new(table as u8, key).key()) {
            Some(changed) => Ok(changed.clone()),
            None => self.store.get(table, key),
        }
    }

    pub(crate) fn put(&mut self, table: Table, key: impl Into<Bytes>, row: impl Into<Bytes>) {
        self.changes.insert(RowKey::new(table as u8, key.into()), Some(row.into()));
    }

    pub(crate) fn remove(&mut self, table: Table, key: impl Into<Bytes>) {
        self.changes.insert(RowKey::new(table as u8, key.into()), None);
    }

    /// Removes a row that the store may not hold yet. Then no trace of it stays, for later scans to pass over.
    pub(crate) fn take_back(&mut self, table: Table, key: Bytes) -> Result<(), StoreError> {
        if self.store.get(table, &key)?.is_some() {
            self.remove(table, key);
        } else {
            self.changes.remove(Probe::new(table as u8, &key).key());
        }
        Ok(())
    }

    /// Up to `limit` rows whose key begins with `prefix` and is at least `from`, in order.
    pub(crate) fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let mut stored = Vec::new();
        if limit == 0 {
            return Ok(stored);
        }
        self.store.scan(table, prefix, from, &mut |key, row| {
            if !self.changes.contains_key(Probe::new(table as u8, key).key()) {
                stored.push((Bytes::copy_from_slice(key), row.clone()));
            }
            if stored.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let start = Probe::new(table as u8, if from > prefix { from } else { prefix });
        let changed = self
            .changes
            .range::<dyn Comparable, _>((Bound::Included(start.key()), Bound::Unbounded))
            .take_while(|(key, _)| key.table() == table as u8 && key.bytes().starts_with(prefix))
            .filter_map(|(key, row)| row.as_ref().map(|row| (key.bytes().clone(), row.clone())));
        let unchanged = stored.len();
        stored.extend(changed.take(limit));
        if unchanged > 0 && unchanged < stored.len() {
            stored.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        }
        stored.truncate(limit);
        Ok(stored)
    }

    /// Whether any row has the prefix.
    pub(crate) fn any(&self, table: Table, prefix: &[u8]) -> Result<bool, StoreError> {
        Ok(!self.scan(table, prefix, prefix, 1)?.is_empty())
    }

    /// The changes, tables in their order and keys ascending.
    pub(crate) fn into_batch(self) -> WriteBatch {
        let rows =
            self.changes.into_iter().map(|(key, row)| (Table::ALL[usize::from(key.table())], key.into_bytes(), row));
        WriteBatch { rows: rows.collect() }
    }
}
