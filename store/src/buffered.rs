//! Commits held back until the sync.

use crate::window::{Change, Window, cost};
use anabranch_core::{
    Bytes,
    store::{Overlay, Read, Store, StoreError, Table, Visit, VisitKey, WriteBatch},
};
use std::ops::ControlFlow;

/// The tables whose front is kept in memory: short-lived rows, scanned from the front or many times.
const WINDOWED: [Table; 6] = [Table::Meta, Table::Heads, Table::Waiting, Table::Wants, Table::Ready, Table::Bodies];
/// Rows of a table that memory holds at most.
const WINDOW_ROWS_MAX: usize = 32_768;
/// Commits are handed to the engine when they hold so many bytes, sync or no sync.
const HELD_BYTES_MAX: usize = 16 << 20;

/// A layer that hands commits to the engine at the next sync, as one.
///
/// A commit need not be durable before the sync, so between two syncs rows that come and go, and rows that are written again and
/// again, cost the engine nothing. What a crash leaves is what the [`Store`] promises: all commits up to some point not before the last sync.
///
/// Memory: up to 16 MiB of commits, and the first 32,768 rows of each of six small tables, some 6 MiB a table that is so full.
#[derive(Debug)]
pub struct Buffered<S> {
    engine: S,
    /// What the engine has not been given, beside what the windows hold.
    held: Overlay,
    held_bytes: usize,
    windows: [Option<Window>; Table::ALL.len()],
    window_rows_max: usize,
    /// The engine failed to take what it was given: nothing below can be trusted to be of one moment.
    failed: bool,
}

impl<S: Store> Buffered<S> {
    /// Lays the layer over an engine, reading the fronts of its small tables.
    ///
    /// A damaged row is no error here but when it is read, so that the store can be opened to be rebuilt.
    ///
    /// # Errors
    /// When the engine cannot be read.
    pub fn new(engine: S) -> Result<Self, StoreError> {
        Self::with_window(engine, WINDOW_ROWS_MAX)
    }

    /// As `new`, with room for so many rows of a table, two at least: for tests of what happens at the end of it.
    ///
    /// # Errors
    /// As `new`.
    #[doc(hidden)]
    pub fn with_window(engine: S, rows_max: usize) -> Result<Self, StoreError> {
        let window_rows_max = rows_max.max(2);
        let mut windows = std::array::from_fn(|_| None);
        for table in WINDOWED {
            windows[table as usize] = match Window::read(&engine, table, &[], window_rows_max) {
                Ok(window) => Some(window),
                // Whoever reads the damaged row is told; a rebuild can do without. The table is read from the engine.
                Err(StoreError::Corrupt(_)) => None,
                Err(error) => return Err(error),
            };
        }
        Ok(Self { engine, held: Overlay::new(), held_bytes: 0, windows, window_rows_max, failed: false })
    }

    /// The engine below. It lacks what is held back.
    pub const fn engine(&self) -> &S {
        &self.engine
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Io("an earlier write failed, so the store takes no more; open it again".into()));
        }
        Ok(())
    }

    fn change(&mut self, table: Table, key: Bytes, row: Option<Bytes>) {
        let window = self.windows[table as usize].as_mut().filter(|window| window.covers(&key));
        match (window, row) {
            (Some(window), Some(row)) => {
                let gone = window.put(key, row, |key| self.held.get(table, key) == Some(None));
                self.hold(table, gone);
            }
            (Some(window), None) => window.remove(&key),
            (None, row) => self.hold(table, [(key, row)]),
        }
    }

    /// Holds changes that no window does.
    fn hold(&mut self, table: Table, changes: impl IntoIterator<Item = Change>) {
        for (key, row) in changes {
            let (len, added) = (key.len(), cost(&key, row.as_ref()));
            if let Some(before) = self.held.set(table, key, row) {
                // Another of the same key, so of the same length.
                self.held_bytes -= cost(&[], before.as_ref()) + len;
            }
            self.held_bytes += added;
        }
    }

    /// Holds what a window does.
    fn take_due(&mut self, table: Table) {
        if let Some(window) = &mut self.windows[table as usize] {
            let changes = window.take_due();
            self.hold(table, changes);
        }
    }

    /// What all changes that are held take of memory, roughly.
    fn due_bytes(&self) -> usize {
        self.held_bytes + self.windows.iter().flatten().map(Window::due_bytes).sum::<usize>()
    }

    /// Visits the rows that the table's window holds. Gives where the scan goes on below it, if it does.
    fn scan_window<'a>(
        &'a self,
        table: Table,
        prefix: &'a [u8],
        from: &'a [u8],
        visit: &mut Visit<'_>,
    ) -> Option<&'a [u8]> {
        let from = from.max(prefix);
        let Some(window) = &self.windows[table as usize] else { return Some(from) };
        for (key, row) in window.from(from) {
            if !key.starts_with(prefix) || visit(key, row) == ControlFlow::Break(()) {
                return None;
            }
        }
        window.bound().map(|bound| from.max(bound))
    }

    /// Hands what is held to the engine.
    fn flush(&mut self) -> Result<(), StoreError> {
        self.check()?;
        let Some(batch) = self.take() else { return Ok(()) };
        let done = self.engine.commit(batch);
        self.failed = done.is_err();
        done
    }

    /// Takes what is held, if anything is, for the engine.
    fn take(&mut self) -> Option<WriteBatch> {
        WINDOWED.into_iter().for_each(|table| self.take_due(table));
        self.held_bytes = 0;
        (!self.held.is_empty()).then(|| std::mem::take(&mut self.held).into_batch())
    }

    /// Moves windows on that have run empty.
    fn refill(&mut self) -> Result<(), StoreError> {
        for table in WINDOWED {
            if let Some(from) = self.windows[table as usize].as_ref().and_then(Window::bound_of_empty).cloned() {
                self.take_due(table);
                let rows = Merged { held: &self.held, engine: &self.engine };
                self.windows[table as usize] = match Window::read(&rows, table, &from, self.window_rows_max) {
                    Ok(window) => Some(window),
                    Err(StoreError::Corrupt(_)) => None,
                    Err(error) => return Err(error),
                };
            }
        }
        Ok(())
    }
}

/// The engine's rows with what is held laid over them.
struct Merged<'a, S> {
    held: &'a Overlay,
    engine: &'a S,
}

impl<S: Read> Read for Merged<'_, S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.held.get(table, key) {
            Some(change) => Ok(change.cloned()),
            None => self.engine.get(table, key),
        }
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.held.scan(self.engine, table, prefix, from, visit)
    }

    fn scan_keys(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        self.held.scan_keys(self.engine, table, prefix, from, visit)
    }
}

impl<S: Store> Read for Buffered<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.check()?;
        match self.windows[table as usize].as_ref().filter(|window| window.covers(key)) {
            Some(window) => Ok(window.get(key).cloned()),
            None => Merged { held: &self.held, engine: &self.engine }.get(table, key),
        }
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.check()?;
        match self.scan_window(table, prefix, from, visit) {
            Some(from) => Merged { held: &self.held, engine: &self.engine }.scan(table, prefix, from, visit),
            None => Ok(()),
        }
    }

    fn scan_keys(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        self.check()?;
        match self.scan_window(table, prefix, from, &mut |key, _| visit(key)) {
            Some(from) => Merged { held: &self.held, engine: &self.engine }.scan_keys(table, prefix, from, visit),
            None => Ok(()),
        }
    }
}

impl<S: Store> Store for Buffered<S> {
    type Snapshot = S::Snapshot;

    fn snapshot(&mut self) -> Result<S::Snapshot, StoreError> {
        self.flush()?;
        self.engine.snapshot()
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        self.check()?;
        // Before the batch is taken, so that after a failure nothing of it is here.
        if self.due_bytes() > HELD_BYTES_MAX {
            self.flush()?;
        }
        self.refill()?;
        for (table, key, row) in batch.rows {
            self.change(table, key, row);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.check()?;
        let done = match self.take() {
            Some(batch) => self.engine.commit_and_sync(batch),
            None => self.engine.sync(),
        };
        // A second try might succeed and still have lost what the first was to write.
        self.failed = done.is_err();
        done
    }
}
