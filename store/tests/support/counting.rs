//! An engine that writes down what it is asked, and fails when it is told to.

use anabranch_core::{
    Bytes,
    store::{Read, Store, StoreError, Table, Visit, WriteBatch},
};
use std::{cell::RefCell, rc::Rc};

/// What an engine was asked so far, and what is to fail.
#[derive(Debug, Default)]
pub struct Log {
    pub gets: usize,
    /// Rows that scans visited.
    pub scanned: usize,
    pub syncs: usize,
    pub commits: Vec<WriteBatch>,
    pub fail_commit: bool,
    pub fail_sync: bool,
    pub fail_read: bool,
}

/// An engine over another. Clones of the log see all.
#[derive(Debug)]
pub struct Counting<S> {
    pub inner: S,
    pub log: Rc<RefCell<Log>>,
}

impl<S> Counting<S> {
    pub fn new(inner: S) -> Self {
        Self { inner, log: Rc::default() }
    }
}

fn refused(refused: bool) -> Result<(), StoreError> {
    if refused { Err(StoreError::Io("told to fail".into())) } else { Ok(()) }
}

impl<S: Read> Read for Counting<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        refused(self.log.borrow().fail_read)?;
        self.log.borrow_mut().gets += 1;
        self.inner.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        refused(self.log.borrow().fail_read)?;
        self.inner.scan(table, prefix, from, &mut |key, row| {
            self.log.borrow_mut().scanned += 1;
            visit(key, row)
        })
    }
}

impl<S: Store> Store for Counting<S> {
    type Snapshot = S::Snapshot;

    fn snapshot(&mut self) -> Result<S::Snapshot, StoreError> {
        self.inner.snapshot()
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        refused(self.log.borrow().fail_commit)?;
        self.log.borrow_mut().commits.push(batch.clone());
        self.inner.commit(batch)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        refused(self.log.borrow().fail_sync)?;
        self.log.borrow_mut().syncs += 1;
        self.inner.sync()
    }
}
