//! The front of a small table, in memory.

use anabranch_core::{
    Bytes,
    store::{Read, RowMap, StoreError, Table},
};
use std::ops::ControlFlow;

/// What a row costs beside its bytes, roughly.
const ROW_BYTES: usize = 64;
/// Changes that are listed, so that the rows need not be walked for them; with more, the walk costs little beside them.
const LISTED_MAX: usize = 1_024;

/// What is known of a row.
#[derive(Debug)]
struct Held {
    /// `None`: it is removed, and the engine is yet to be told.
    row: Option<Bytes>,
    /// Whether the engine may have a row of this key: only then need it be told of a removal.
    in_engine: bool,
    /// Whether the engine is yet to be told.
    due: bool,
}

impl Held {
    /// What it counts for among the changes that are held.
    fn due_bytes(&self, key: &[u8]) -> usize {
        if self.due { cost(key, self.row.as_ref()) } else { 0 }
    }
}

/// A row that the engine is to be told of; `None`: of its removal.
pub(crate) type Change = (Bytes, Option<Bytes>);

/// Rows that are read at a time, at most.
const READ_MAX: usize = 4_096;

/// All rows of a table below a bound, as of now, and what the engine is to be told of them.
///
/// The tables of the pending graph are queues: rows come and go at their front within a few commits. In a log-structured engine
/// each leaves a tombstone, and a scan from the front would pass over all of them. So the front is answered from here, and what comes
/// and goes between two syncs is held nowhere else.
#[derive(Debug)]
pub(crate) struct Window {
    /// Rows that it holds at most, removed ones among them; half of them go when there are more.
    rows_max: usize,
    rows: RowMap<Held>,
    /// How many of the rows are there, not removed.
    live: usize,
    /// The window ends before this key; `None`: it holds the whole table.
    bound: Option<Bytes>,
    /// The keys whose change may be due; `None`: too many to be listed.
    listed: Option<Vec<Bytes>>,
    due_bytes: usize,
}

impl Window {
    /// Reads the front of a table, from a key on below which there is nothing.
    pub(crate) fn read(
        rows: &(impl Read + ?Sized),
        table: Table,
        from: &[u8],
        rows_max: usize,
    ) -> Result<Self, StoreError> {
        let (rows_held, listed) = (RowMap::default(), Some(Vec::new()));
        let mut window = Self { rows_max, rows: rows_held, live: 0, bound: None, listed, due_bytes: 0 };
        rows.scan(table, &[], from, &mut |key, row| {
            let key = Bytes::copy_from_slice(key);
            if window.rows.len() == READ_MAX.min(rows_max / 2) {
                window.bound = Some(key);
                return ControlFlow::Break(());
            }
            window.rows.insert(key, Held { row: Some(row.clone()), in_engine: true, due: false });
            window.live += 1;
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
        self.bound.as_ref().filter(|_| self.live == 0)
    }

    pub(crate) const fn bound(&self) -> Option<&Bytes> {
        self.bound.as_ref()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.rows.get(key)?.row.as_ref()
    }

    /// The rows from this key on.
    pub(crate) fn from<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = (&'a Bytes, &'a Bytes)> {
        self.rows.from(key).filter_map(|(key, held)| held.row.as_ref().map(|row| (key, row)))
    }

    /// What the changes that are due take of memory, roughly.
    pub(crate) const fn due_bytes(&self) -> usize {
        self.due_bytes
    }

    /// A row below the bound is written. `removal_due` says whether the engine is yet to be told of an earlier removal of it, of which
    /// the window does not know. When the window has grown too large, the changes of what leaves it are returned.
    pub(crate) fn put(&mut self, key: Bytes, row: Bytes, removal_due: impl FnOnce(&[u8]) -> bool) -> Vec<Change> {
        let added = cost(&key, Some(&row));
        if let Some(held) = self.rows.get_mut(&key) {
            self.due_bytes = self.due_bytes - held.due_bytes(&key) + added;
            self.live += usize::from(held.row.is_none());
            held.row = Some(row);
            if !std::mem::replace(&mut held.due, true) {
                self.list(key);
            }
            return Vec::new();
        }
        let in_engine = removal_due(&key);
        self.list(key.clone());
        self.rows.insert(key, Held { row: Some(row), in_engine, due: true });
        self.live += 1;
        self.due_bytes += added;
        if self.rows.len() > self.rows_max { self.cut() } else { Vec::new() }
    }

    /// A row below the bound is removed, if it is there.
    pub(crate) fn remove(&mut self, key: &[u8]) {
        let Some(held) = self.rows.get_mut(key).filter(|held| held.row.is_some()) else { return };
        self.live -= 1;
        self.due_bytes -= held.due_bytes(key);
        if !held.in_engine {
            // The engine never heard of the row: it comes and goes without.
            self.rows.remove(key);
            return;
        }
        held.row = None;
        self.due_bytes += cost(key, None);
        if !std::mem::replace(&mut held.due, true) {
            self.list(Bytes::copy_from_slice(key));
        }
    }

    /// The changes that are due: the engine is told of them now.
    pub(crate) fn take_due(&mut self) -> Vec<Change> {
        self.due_bytes = 0;
        let mut changes = Vec::new();
        let mut tell = |key: &Bytes, held: &mut Held| {
            if std::mem::take(&mut held.due) {
                held.in_engine = true;
                changes.push((key.clone(), held.row.clone()));
            }
            held.row.is_some()
        };
        match self.listed.replace(Vec::new()) {
            Some(keys) => {
                for key in keys {
                    if self.rows.get_mut(&key).is_some_and(|held| !tell(&key, held)) {
                        self.rows.remove(&key);
                    }
                }
            }
            None => self.rows.retain(tell),
        }
        changes
    }

    fn list(&mut self, key: Bytes) {
        match &mut self.listed {
            Some(listed) if listed.len() < LISTED_MAX => listed.push(key),
            _ => self.listed = None,
        }
    }

    /// Half of the rows go; their changes are returned.
    fn cut(&mut self) -> Vec<Change> {
        let gone = self.rows.truncate(self.rows_max / 2);
        self.bound = gone.first().map(|(key, _)| key.clone());
        let mut changes = Vec::new();
        for (key, held) in gone {
            self.live -= usize::from(held.row.is_some());
            self.due_bytes -= held.due_bytes(&key);
            if held.due {
                changes.push((key, held.row));
            }
        }
        changes
    }
}

/// What a change that is held takes of memory, roughly.
pub(crate) fn cost(key: &[u8], row: Option<&Bytes>) -> usize {
    key.len() + row.map_or(0, Bytes::len) + ROW_BYTES
}
