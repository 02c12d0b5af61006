//! A store that fails, waits and loses power when a test says so.

use anabranch::{
    Bytes,
    store::{MemoryStore, Read, Store, StoreError, Table, Visit, WriteBatch},
};
use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

/// What the disk holds, and what it does next. A clone is the same disk.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
    changed: Arc<Condvar>,
}

#[derive(Default)]
struct State {
    durable: MemoryStore,
    syncs: u64,
    commits: u64,
    /// Syncs wait.
    held: bool,
    waiting: u64,
    /// How long a sync takes.
    takes: Duration,
    fault: Option<Fault>,
}

/// What fails next, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A read fails.
    Read,
    /// A commit fails, and nothing of it is there.
    Commit,
    /// A sync fails, and what it was to keep is lost.
    SyncLoses,
    /// A sync fails, and what it was to keep is there all the same.
    SyncKeeps,
}

impl Disk {
    /// Opens what is durable.
    pub(crate) fn open(&self) -> FaultyStore {
        FaultyStore { rows: self.state.lock().unwrap().durable.unshared(), disk: self.clone() }
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.state.lock().unwrap().fault = Some(fault);
    }

    /// Whether the fault has happened.
    pub(crate) fn has_failed(&self) -> bool {
        self.state.lock().unwrap().fault.is_none()
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.state.lock().unwrap().syncs
    }

    pub(crate) fn commits(&self) -> u64 {
        self.state.lock().unwrap().commits
    }

    /// Makes syncs wait, or lets them go on.
    pub(crate) fn hold(&self, held: bool) {
        self.state.lock().unwrap().held = held;
        self.changed.notify_all();
    }

    /// Makes each sync take so long.
    pub(crate) fn slow(&self, takes: Duration) {
        self.state.lock().unwrap().takes = takes;
    }

    /// How many syncs wait now: 0 or 1.
    pub(crate) fn waiting(&self) -> u64 {
        self.state.lock().unwrap().waiting
    }

    fn take(&self, fault: Fault) -> bool {
        let mut state = self.state.lock().unwrap();
        let fails = state.fault == Some(fault);
        if fails {
            state.fault = None;
        }
        fails
    }
}

/// A store over a [`Disk`].
pub(crate) struct FaultyStore {
    rows: MemoryStore,
    disk: Disk,
}

impl Read for FaultyStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if self.disk.take(Fault::Read) {
            return Err(StoreError::Io("the test made a read fail".into()));
        }
        self.rows.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.rows.scan(table, prefix, from, visit)
    }
}

impl Store for FaultyStore {
    type Snapshot = MemoryStore;

    fn snapshot(&mut self) -> Result<MemoryStore, StoreError> {
        Ok(self.rows.clone())
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        if self.disk.take(Fault::Commit) {
            return Err(StoreError::Io("the test made a commit fail".into()));
        }
        self.disk.state.lock().unwrap().commits += 1;
        self.rows.commit(batch)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let takes = self.disk.state.lock().unwrap().takes;
        std::thread::sleep(takes);
        let mut state = self.disk.state.lock().unwrap();
        state.waiting += 1;
        while state.held {
            state = self.disk.changed.wait(state).unwrap();
        }
        state.waiting -= 1;
        let fault = state.fault.take_if(|fault| matches!(fault, Fault::SyncLoses | Fault::SyncKeeps));
        if fault != Some(Fault::SyncLoses) {
            state.durable = self.rows.unshared();
        }
        state.syncs += 1;
        match fault {
            None => Ok(()),
            Some(_) => Err(StoreError::Io("the test made a sync fail".into())),
        }
    }
}
