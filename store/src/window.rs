//! The front of a small table, in memory.

use anabranch_core::{
    Bytes,
    store::{Read, RowMap, StoreError, Table},
};
use std::ops::ControlFlow;

/// A row, and whether the engine may have a row of this key: only then need it be told of a removal.
#[derive(Debug)]
struct Held {
    row: Bytes,
    in_engine: bool,
}

/// Rows that are read at a time, at most.
const READ_MAX: usize = 4_096;

/// All rows of a table below a bound, as of now.
///
/// The tables of the pending graph are queues: rows come and go at their front within a few commits. In a log-structured engine
/// each leaves a tombstone, and a scan from the front would pass over all of them. So the front is answered from here.
#[derive(Debug)]
pub(crate) struct Window {
    /// Rows that it holds at most; half of them go when there are more.
    rows_max: usize,
    rows: RowMap<Held>,
    /// The window ends before this key; `None`: it holds the whole table.
    bound: Option<Bytes>,
}

impl Window {
    /// Reads the front of a table, from a key on below which there is nothing.
    pub(crate) fn read(
        rows: &(impl Read + ?Sized),
        table: Table,
        from: &[u8],
        rows_max: usize,
    ) -> Result<Self, StoreError> {
        let mut window = Self { rows_max, rows: RowMap::default(), bound: None };
        rows.scan(table, &[], from, &mut |key, row| {
            let key = Bytes::copy_from_slice(key);
            if window.rows.len() == READ_MAX.min(rows_max / 2) {
                window.bound = Some(key);
                return ControlFlow::Break(());
            }
            window.rows.insert(key, Held { row: row.clone(), in_engine: true });
            ControlFlow::Continue(())
        })?;
        Ok(window)
    }

    /// Whether the window knows about this key.
    pub(crate) fn covers(&self, key: &[u8]) -> bool {
        self.bound.as_ref().is_none_or(|bound| key < &bound[..])
    }

    /// Whether all of it is gone, and there may be more beyond it.
    pub(crate) fn bound_of_empty(&self) -> Option<&Bytes> {
        self.bound.as_ref().filter(|_| self.rows.is_empty())
    }

    pub(crate) const fn bound(&self) -> Option<&Bytes> {
        self.bound.as_ref()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.rows.get(key).map(|held| &held.row)
    }

    /// The rows from this key on.
    pub(crate) fn from<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = (&'a Bytes, &'a Bytes)> {
        self.rows.from(key).map(|(key, held)| (key, &held.row))
    }

    /// A row below the bound is written. `removal_due` says whether the engine is yet to be told of an earlier removal of it.
    pub(crate) fn put(&mut self, key: Bytes, row: Bytes, removal_due: impl FnOnce() -> bool) {
        if let Some(held) = self.rows.get_mut(&key) {
            held.row = row;
            return;
        }
        self.rows.insert(key, Held { row, in_engine: removal_due() });
        if self.rows.len() > self.rows_max {
            self.bound = self.rows.truncate(self.rows_max / 2);
        }
    }

    /// A row below the bound is removed. Whether the engine has it is returned; `None` when there was no row.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<bool> {
        self.rows.remove(key).map(|held| held.in_engine)
    }

    /// The engine has this row now.
    pub(crate) fn told(&mut self, key: &[u8]) {
        if let Some(held) = self.rows.get_mut(key) {
            held.in_engine = true;
        }
    }
}
