//! The changes of one step, readable before they are committed.

use super::{Overlay, Read, StoreError, Table, WriteBatch};
use crate::{Codec, Mark, Marks};
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::ControlFlow;

/// A row that is there and cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Rows of a store with the changes of a step laid over them. Nothing reaches the store before
/// the step is whole, so that a commit never holds a part of a block.
pub(crate) struct Txn<'s, S> {
    store: &'s S,
    changes: Overlay,
    codec: &'s dyn Codec,
    marks: Marks,
}

impl<'s, S: Read> Txn<'s, S> {
    /// Changes to this store, in whose blocks deltas are in this format.
    pub(crate) fn new(store: &'s S, codec: &'s dyn Codec) -> Self {
        Self { store, changes: Overlay::new(), codec, marks: Marks::default() }
    }

    /// The format of the deltas.
    pub(crate) const fn codec(&self) -> &'s dyn Codec {
        self.codec
    }

    /// Notes that a place is reached.
    pub(crate) const fn hit(&mut self, mark: Mark) {
        self.marks.hit(mark);
    }

    /// Notes that all these are reached.
    pub(crate) const fn hit_all(&mut self, marks: Marks) {
        self.marks.hit_all(marks);
    }

    /// The places that were reached.
    pub(crate) const fn marks(&self) -> Marks {
        self.marks
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.changes.get(table, key) {
            Some(changed) => Ok(changed.cloned()),
            None => self.store.get(table, key),
        }
    }

    pub(crate) fn put(&mut self, table: Table, key: impl Into<Bytes>, row: impl Into<Bytes>) {
        self.changes.set(table, key.into(), Some(row.into()));
    }

    pub(crate) fn remove(&mut self, table: Table, key: impl Into<Bytes>) {
        self.changes.set(table, key.into(), None);
    }

    /// Up to `limit` rows whose key begins with `prefix` and is at least `from`, in order.
    pub(crate) fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        self.changes.scan(self.store, table, prefix, from, &mut |key, row| {
            found.push((Bytes::copy_from_slice(key), row.clone()));
            if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(found)
    }

    /// The rows of a table that are changed and what they are now, keys ascending.
    pub(crate) fn changed(&self, table: Table) -> impl Iterator<Item = (&Bytes, Option<&Bytes>)> {
        self.changes.changes_from(table, &[], &[])
    }

    /// The row as the store has it, without the changes.
    pub(crate) fn before(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.store.get(table, key)
    }

    /// As `scan`, keys only: rows whose values are damaged show too.
    pub(crate) fn scan_keys(
        &self,
        table: Table,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        self.changes.scan_keys(self.store, table, prefix, from, &mut |key| {
            found.push(Bytes::copy_from_slice(key));
            if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(found)
    }

    /// A row that is to be told of and not to stop at when it is damaged.
    pub(crate) fn get_or_damage(&self, table: Table, key: &[u8]) -> Result<Result<Option<Bytes>, Damaged>, StoreError> {
        match self.get(table, key) {
            Ok(row) => Ok(Ok(row)),
            Err(StoreError::Corrupt(_)) => Ok(Err(Damaged)),
            Err(error) => Err(error),
        }
    }

    /// The changes, tables in their order and keys ascending.
    pub(crate) fn into_batch(self) -> WriteBatch {
        self.changes.into_batch()
    }
}
