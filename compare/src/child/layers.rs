//! Layers over a store that watch what passes through.

use anabranch_core::{
    Bytes,
    store::{Read, Store, StoreError, Table, Visit, WriteBatch},
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// Counts the rows that are read.
pub(super) struct Counted<S> {
    store: S,
    rows: Cell<u64>,
}

impl<S> Counted<S> {
    pub(super) const fn new(store: S) -> Self {
        Self { store, rows: Cell::new(0) }
    }

    /// Rows read so far, found or not.
    pub(super) const fn rows(&self) -> u64 {
        self.rows.get()
    }
}

impl<S: Read> Read for Counted<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.rows.set(self.rows.get() + 1);
        self.store.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.store.scan(table, prefix, from, &mut |key, row| {
            self.rows.set(self.rows.get() + 1);
            visit(key, row)
        })
    }
}

impl<S: Store> Store for Counted<S> {
    type Snapshot = S::Snapshot;

    fn snapshot(&mut self) -> Result<S::Snapshot, StoreError> {
        self.store.snapshot()
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        self.store.commit(batch)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.store.sync()
    }
}

/// What a replica asked of its store.
pub(super) enum Asked {
    /// A commit of these rows.
    Commit(WriteBatch),
    /// A sync.
    Sync,
}

/// Remembers all commits and syncs, in order.
pub(super) struct Recorded<S> {
    store: S,
    asked: Rc<RefCell<Vec<Asked>>>,
}

impl<S> Recorded<S> {
    /// The layer, and where what it remembers is found.
    pub(super) fn new(store: S) -> (Self, Rc<RefCell<Vec<Asked>>>) {
        let asked = Rc::default();
        (Self { store, asked: Rc::clone(&asked) }, asked)
    }
}

impl<S: Read> Read for Recorded<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.store.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.store.scan(table, prefix, from, visit)
    }
}

impl<S: Store> Store for Recorded<S> {
    type Snapshot = S::Snapshot;

    fn snapshot(&mut self) -> Result<S::Snapshot, StoreError> {
        self.store.snapshot()
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        self.asked.borrow_mut().push(Asked::Commit(batch.clone()));
        self.store.commit(batch)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.asked.borrow_mut().push(Asked::Sync);
        self.store.sync()
    }
}
