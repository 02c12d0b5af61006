//! What a child process tells of its progress: lines of a file, each written by one write.
//!
//! `C K`: the K-th commit has returned. `A K`: it is acknowledged. `S N`: N syncs of the script have succeeded.

use crate::script::{Run, Watch};
use anabranch_core::{
    Bytes, Error,
    store::{Read, Store, StoreError, Table, Visit, VisitKey, WriteBatch},
};
use std::{cell::RefCell, fs::File, io::Write, path::Path, rc::Rc};

/// Begins the line of a commit.
pub(crate) const SYNCED: &str = "S ";

/// The file, and what it says so far. Clones share it.
#[derive(Clone, Debug)]
pub struct Marks(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    file: File,
    committed: u64,
    acknowledged: u64,
}

impl Marks {
    /// A new file of marks.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self(Rc::new(RefCell::new(State { file: File::create(path)?, committed: 0, acknowledged: 0 }))))
    }

    fn committed(&self) -> Result<(), StoreError> {
        let state = &mut *self.0.borrow_mut();
        state.committed += 1;
        let line = format!("C {}\n", state.committed);
        state.file.write_all(line.as_bytes()).map_err(|error| StoreError::Io(format!("the marks: {error}")))
    }

    fn synced(&self, syncs: usize) -> std::io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        for commit in state.acknowledged + 1..=state.committed {
            state.file.write_all(format!("A {commit}\n").as_bytes())?;
        }
        state.acknowledged = state.committed;
        state.file.write_all(format!("{SYNCED}{syncs}\n").as_bytes())
    }
}

impl<S> Watch<S> for Marks {
    fn syncing(&mut self, _: usize) {}

    fn synced(&mut self, n: usize, _: &Run<S>) -> Result<(), Error> {
        Marks::synced(self, n + 1).map_err(|error| StoreError::Io(format!("the marks: {error}")).into())
    }
}

/// A layer that marks each commit, above all others: between it and the replica nothing can hold a commit back.
#[derive(Debug)]
pub struct Marked<S> {
    store: S,
    marks: Marks,
    /// Whether syncs reach the store. If not, the check of the order must fail.
    syncs: bool,
}

impl<S> Marked<S> {
    /// Lays it over a store.
    pub const fn new(store: S, marks: Marks, syncs: bool) -> Self {
        Self { store, marks, syncs }
    }
}

impl<S: Store> Read for Marked<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.store.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.store.scan(table, prefix, from, visit)
    }

    fn scan_keys(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        self.store.scan_keys(table, prefix, from, visit)
    }
}

impl<S: Store> Store for Marked<S> {
    type Snapshot = S::Snapshot;

    fn snapshot(&mut self) -> Result<S::Snapshot, StoreError> {
        self.store.snapshot()
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        let writes = !batch.rows.is_empty();
        self.store.commit(batch)?;
        if writes { self.marks.committed() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if self.syncs { self.store.sync() } else { Ok(()) }
    }
}

/// How many syncs had succeeded, by these lines. A last line that was cut short does not count.
pub(crate) fn synced<'a>(lines: impl DoubleEndedIterator<Item = &'a str>) -> usize {
    lines
        .rev()
        .filter_map(|line| line.strip_suffix('\n'))
        .find_map(|line| line.strip_prefix(SYNCED)?.parse().ok())
        .unwrap_or(0)
}
