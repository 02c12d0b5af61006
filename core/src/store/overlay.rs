//! Changes that are not in the store yet.

use super::{
    Read, StoreError, Table, Visit, VisitKey, WriteBatch,
    runs::{Runs, head},
};
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::ControlFlow;

/// Changes to rows, in order, to be laid over rows that do not have them yet: those of a step before they are
/// committed, or those of many commits before an engine is given them.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    /// By table and seven bytes of the key. One map, for a step changes a few rows each of many tables.
    changes: Runs<Option<Bytes>>,
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
        self.len() == 0
    }

    /// What the row is changed to: `Some(None)` when it is removed, `None` when it is not changed.
    #[must_use]
    pub fn get(&self, table: Table, key: &[u8]) -> Option<Option<&Bytes>> {
        self.changes.get(place(table, key), key).map(Option::as_ref)
    }

    /// Changes a row, or removes it with `None`. Gives what it was changed to before.
    pub fn set(&mut self, table: Table, key: Bytes, row: Option<Bytes>) -> Option<Option<Bytes>> {
        self.changes.insert(place(table, &key), key, row)
    }

    /// Takes a change back. Gives what the row was changed to.
    pub fn forget(&mut self, table: Table, key: &[u8]) -> Option<Option<Bytes>> {
        self.changes.remove(place(table, key), key)
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
        let start = from.max(prefix);
        let first = place(table, start);
        self.changes
            .range(first..=place(table, &[u8::MAX; 7]), (first, start))
            .map(|(_, key, row)| (key, row.as_ref()))
            .take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// The changes, tables in their order and keys ascending.
    #[must_use]
    pub fn into_batch(self) -> WriteBatch {
        let mut rows = Vec::with_capacity(self.len());
        let table = |place: u64| Table::ALL[(place >> 56) as usize];
        // Not `extend`, which asks a nested iterator for each row whether there is another.
        self.changes.into_rows().for_each(|(place, key, row)| rows.push((table(place), key, row)));
        WriteBatch { rows }
    }
}

/// Table, then the first seven bytes of the key: sorts as both do, up to ties.
fn place(table: Table, key: &[u8]) -> u64 {
    (table as u64) << 56 | head(key) >> 8
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    const TABLES: [Table; 3] = [Table::Meta, Table::Keys, Table::Stubs];

    /// Keys that differ before, at and behind the seventh byte.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        let tail = proptest::collection::vec(prop_oneof![Just(0u8), Just(b'a'), Just(0xff)], 0..4);
        (prop_oneof![Just(0usize), Just(6), Just(7)], 0u8..2).prop_flat_map(move |(len, byte)| {
            tail.clone().prop_map(move |tail| [&[byte * 0xff; 7][..len], &tail].concat())
        })
    }

    proptest! {
        #[test]
        fn changes_are_in_the_order_of_tables_and_keys(
            acts in proptest::collection::vec((0usize..3, key(), 0u8..4), 0..60),
            (table, prefix, from) in (0usize..3, key(), key()),
        ) {
            let (mut overlay, mut plain) = (Overlay::new(), BTreeMap::new());
            for (n, (table, key, act)) in acts.iter().enumerate() {
                let table = TABLES[*table];
                let row = (*act > 1).then(|| Bytes::copy_from_slice(&n.to_be_bytes()));
                let (before, expected) = match act {
                    0 => (overlay.forget(table, key), plain.remove(&(table, key.clone()))),
                    _ => (
                        overlay.set(table, Bytes::copy_from_slice(key), row.clone()),
                        plain.insert((table, key.clone()), row),
                    ),
                };
                prop_assert_eq!(before, expected);
                prop_assert_eq!(overlay.get(table, key), plain.get(&(table, key.clone())).map(Option::as_ref));
            }
            prop_assert_eq!((overlay.len(), overlay.is_empty()), (plain.len(), plain.is_empty()));
            let table = TABLES[table];
            let found: Vec<_> =
                overlay.changes_from(table, &prefix, &from).map(|(key, row)| (key.to_vec(), row.cloned())).collect();
            let is_in = |of: Table, key: &Vec<u8>| of == table && key.starts_with(&prefix) && *key >= from;
            let expected: Vec<_> = plain
                .iter()
                .filter(|((of, key), _)| is_in(*of, key))
                .map(|((_, key), row)| (key.clone(), row.clone()))
                .collect();
            prop_assert_eq!(found, expected);
            let rows: Vec<_> =
                overlay.into_batch().rows.into_iter().map(|(table, key, row)| ((table, key.to_vec()), row)).collect();
            prop_assert_eq!(rows, plain.into_iter().collect::<Vec<_>>());
        }
    }
}
