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
    /// Rows that were read on the way to their first change, as they were then, if [kept](Self::keep_before).
    before: Option<Vec<(Table, Bytes, Option<Bytes>)>>,
    codec: &'s dyn Codec,
    marks: Marks,
}

impl<'s, S: Read> Txn<'s, S> {
    /// Changes to this store, in whose blocks deltas are in this format.
    pub(crate) fn new(store: &'s S, codec: &'s dyn Codec) -> Self {
        Self { store, changes: Overlay::new(), before: None, codec, marks: Marks::default() }
    }

    /// From now on rows that are [changed](Self::change) are kept as they were.
    pub(crate) fn keep_before(&mut self) {
        self.before = Some(Vec::new());
    }

    /// The format of the deltas.
    pub(crate) const fn codec(&self) -> &'s dyn Codec {
        self.codec
    }

    /// Notes that a place is reached.
    pub(crate) const fn hit(&mut self, mark: Mark) {
        self.marks.hit(mark);
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

    /// As `put` and `remove`, where the row has just been read and was `old`.
    pub(crate) fn change(&mut self, table: Table, key: &Bytes, old: Option<Bytes>, row: Option<Bytes>) {
        let is_first = self.changes.set(table, key.clone(), row).is_none();
        if let Some(before) = self.before.as_mut().filter(|_| is_first) {
            before.push((table, key.clone(), old));
        }
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

    /// Puts what was kept in order, for [`before`](Self::before).
    pub(crate) fn sort_before(&mut self) {
        if let Some(before) = &mut self.before {
            before.sort_unstable_by(|(a, a_key, _), (b, b_key, _)| (a, a_key).cmp(&(b, b_key)));
        }
    }

    /// The row as the store has it, without the changes: read again only where it was not kept.
    pub(crate) fn before(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let kept = self.before.as_deref().unwrap_or_default();
        match kept.binary_search_by(|(other, other_key, _)| (*other, other_key.as_ref()).cmp(&(table, key))) {
            Ok(at) => Ok(kept.get(at).and_then(|(_, _, row)| row.clone())),
            Err(_) => self.store.get(table, key),
        }
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
