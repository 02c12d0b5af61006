//! Changes that are not in the store yet.

use super::{
    Read, StoreError, Table, Visit, VisitKey, WriteBatch,
    row_key::{Comparable, Probe, RowKey},
};
use alloc::collections::BTreeMap;
use bytes::Bytes;
use core::ops::{Bound, ControlFlow};

/// Changes to rows, in order, to be laid over rows that do not have them yet: those of a step before they are
/// committed, or those of many commits before an engine is given them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Overlay {
    changes: BTreeMap<RowKey, Option<Bytes>>,
}

impl Overlay {
    /// No changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many rows are changed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether no row is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What the row is changed to: `Some(None)` when it is removed, `None` when it is not changed.
    #[must_use]
    pub fn get(&self, table: Table, key: &[u8]) -> Option<Option<&Bytes>> {
        self.changes.get(Probe::new(table as u8, key).key()).map(Option::as_ref)
    }

    /// Changes a row, or removes it with `None`. Gives what it was changed to before.
    pub fn set(&mut self, table: Table, key: Bytes, row: Option<Bytes>) -> Option<Option<Bytes>> {
        self.changes.insert(RowKey::new(table as u8, key), row)
    }

    /// Takes a change back. Gives what the row was changed to.
    pub fn forget(&mut self, table: Table, key: &[u8]) -> Option<Option<Bytes>> {
        self.changes.remove(Probe::new(table as u8, key).key())
    }

    /// As [`Read::scan`] over the rows below with these changes.
    ///
    /// # Errors
    /// When the rows below cannot be read.
    pub fn scan(
        &self,
        below: &(impl Read + ?Sized),
        table: Table,
        prefix: &[u8],
        from: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut changes = self.changes_from(table, prefix, from).peekable();
        if changes.peek().is_none() {
            return below.scan(table, prefix, from, visit);
        }
        let mut flow = ControlFlow::Continue(());
        below.scan(table, prefix, from, &mut |key, row| {
            while let Some((changed, change)) = changes.next_if(|(changed, _)| **changed <= *key) {
                flow = change.map_or(ControlFlow::Continue(()), |row| visit(changed, row));
                if flow.is_break() || **changed == *key {
                    return flow;
                }
            }
            flow = visit(key, row);
            flow
        })?;
        for (key, change) in changes {
            if flow.is_break() {
                break;
            }
            flow = change.map_or(ControlFlow::Continue(()), |row| visit(key, row));
        }
        Ok(())
    }

    /// As [`Read::scan_keys`] over the rows below with these changes.
    ///
    /// # Errors
    /// When the rows below cannot be read.
    pub fn scan_keys(
        &self,
        below: &(impl Read + ?Sized),
        table: Table,
        prefix: &[u8],
        from: &[u8],
        visit: &mut VisitKey<'_>,
    ) -> Result<(), StoreError> {
        self.scan(&KeysOnly(below), table, prefix, from, &mut |key, _| visit(key))
    }

    /// The changes of a table whose key begins with `prefix` and is at least `from`, in order; `None` for rows that are removed.
    pub fn changes_from(
        &self,
        table: Table,
        prefix: &[u8],
        from: &[u8],
    ) -> impl Iterator<Item = (&Bytes, Option<&Bytes>)> {
        let start = Probe::new(table as u8, if from > prefix { from } else { prefix });
        self.changes
            .range::<dyn Comparable, _>((Bound::Included(start.key()), Bound::Unbounded))
            .take_while(move |(key, _)| key.table() == table as u8 && key.bytes().starts_with(prefix))
            .map(|(key, row)| (key.bytes(), row.as_ref()))
    }

    /// The changes, tables in their order and keys ascending.
    #[must_use]
    pub fn into_batch(self) -> WriteBatch {
        let rows =
            self.changes.into_iter().map(|(key, row)| (Table::ALL[usize::from(key.table())], key.into_bytes(), row));
        WriteBatch { rows: rows.collect() }
    }
}

/// Rows whose values nobody looks at.
struct KeysOnly<'a, R: ?Sized>(&'a R);

impl<R: Read + ?Sized> Read for KeysOnly<'_, R> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.0.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.0.scan_keys(table, prefix, from, &mut |key| visit(key, &Bytes::new()))
    }
}
