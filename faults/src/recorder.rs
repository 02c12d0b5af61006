//! A store in memory that keeps what a crash may leave at every moment, and fails when it is told to.

use anabranch_core::{
    Bytes,
    store::{MemoryStore, Read, Store, StoreError, Table, Visit, WriteBatch},
};
use std::{cell::RefCell, rc::Rc};

/// What a store is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A get or a scan.
    Read,
    /// A commit.
    Commit,
    /// A sync.
    Sync,
}

/// Which calls fail, from which on, and how.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Calls of this kind fail.
    pub call: Call,
    /// How many of them pass first.
    pub after: usize,
    /// What they say.
    pub error: StoreError,
}

/// What happened to a store, in order.
#[derive(Clone, Debug)]
enum Done {
    /// A commit; the rows after it.
    Commit(MemoryStore),
    /// A sync.
    Sync,
    /// The driver told of a sync that it has seen succeed: from here on it may have promised.
    Promise,
}

#[derive(Debug, Default)]
struct State {
    rows: MemoryStore,
    log: Vec<Done>,
    calls: [usize; 3],
    fault: Option<Fault>,
    effective: usize,
    /// Defects, planted to see that the sweeps find them.
    lies: bool,
    halves: bool,
    forgets: Option<Table>,
}

/// The store. Clones are the same store: keep one to look at while a replica owns another.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Rc<RefCell<State>>);

impl Recorder {
    /// A store with these rows, all of them durable.
    #[must_use]
    pub fn holding(rows: MemoryStore) -> Self {
        Self(Rc::new(RefCell::new(State { rows, ..State::default() })))
    }

    /// An empty store that fails so.
    #[must_use]
    pub fn failing(fault: Fault) -> Self {
        Self(Rc::new(RefCell::new(State { fault: Some(fault), ..State::default() })))
    }

    /// A store whose sync does nothing: a defect to be found.
    #[must_use]
    pub fn lying() -> Self {
        Self(Rc::new(RefCell::new(State { lies: true, ..State::default() })))
    }

    /// A store that makes each commit in two parts: a defect to be found.
    #[must_use]
    pub fn halving() -> Self {
        Self(Rc::new(RefCell::new(State { halves: true, ..State::default() })))
    }

    /// A store that forgets what is written to a table: a defect to be found.
    #[must_use]
    pub fn forgetting(table: Table) -> Self {
        Self(Rc::new(RefCell::new(State { forgets: Some(table), ..State::default() })))
    }

    /// A sync has been seen to succeed by whoever makes promises.
    pub fn promise(&self) {
        self.0.borrow_mut().log.push(Done::Promise);
    }

    /// How many calls of each kind there were: reads, commits, syncs.
    #[must_use]
    pub fn calls(&self) -> [usize; 3] {
        self.0.borrow().calls
    }

    /// How many calls failed because they were told to.
    #[must_use]
    pub fn effective(&self) -> usize {
        self.0.borrow().effective
    }

    /// The rows as they are.
    #[must_use]
    pub fn rows(&self) -> MemoryStore {
        self.0.borrow().rows.clone()
    }

    /// Puts other rows in place of all, unlogged.
    pub fn replace(&self, rows: MemoryStore) {
        self.0.borrow_mut().rows = rows;
    }

    /// What is left now when the process ends (all commits), and when the machine does (those up to the last sync); with the promises made.
    #[must_use]
    pub fn left(&self) -> Vec<(MemoryStore, usize)> {
        let state = self.0.borrow();
        let (mut last, mut synced, mut promises) = (MemoryStore::new(), MemoryStore::new(), 0);
        for done in &state.log {
            match done {
                Done::Commit(rows) => last = rows.clone(),
                Done::Sync => synced = last.clone(),
                Done::Promise => promises += 1,
            }
        }
        vec![(last, promises), (synced, promises)]
    }

    /// What crashes may leave, each with how many promises had been made by then: for every moment of the run, the rows as of the
    /// last sync, and those after each commit since. What two moments may leave alike comes once.
    #[must_use]
    pub fn crashes(&self) -> Vec<(MemoryStore, usize)> {
        let mut crashes = vec![(MemoryStore::new(), 0)];
        let (mut since_sync, mut promises) = (vec![MemoryStore::new()], 0);
        for done in &self.0.borrow().log {
            match done {
                Done::Commit(rows) => {
                    since_sync.push(rows.clone());
                    crashes.push((rows.clone(), promises));
                }
                Done::Sync => drop(since_sync.drain(..since_sync.len() - 1)),
                Done::Promise => {
                    promises += 1;
                    crashes.extend(since_sync.iter().map(|rows| (rows.clone(), promises)));
                }
            }
        }
        crashes
    }

    fn call(&self, call: Call) -> Result<(), StoreError> {
        let mut state = self.0.borrow_mut();
        let before = state.calls[call as usize];
        state.calls[call as usize] += 1;
        let error = match &state.fault {
            Some(fault) if fault.call == call && before >= fault.after => fault.error.clone(),
            _ => return Ok(()),
        };
        state.effective += 1;
        Err(error)
    }
}

impl Read for Recorder {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.call(Call::Read)?;
        self.0.borrow().rows.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.call(Call::Read)?;
        // A copy, since the visitor may look at this store.
        let rows = self.0.borrow().rows.clone();
        rows.scan(table, prefix, from, visit)
    }
}

impl Store for Recorder {
    type Snapshot = MemoryStore;

    fn snapshot(&mut self) -> Result<MemoryStore, StoreError> {
        self.call(Call::Read)?;
        Ok(self.rows())
    }

    fn commit(&mut self, mut batch: WriteBatch) -> Result<(), StoreError> {
        self.call(Call::Commit)?;
        let mut state = self.0.borrow_mut();
        let forgets = state.forgets;
        batch.rows.retain(|(table, _, _)| Some(*table) != forgets);
        if state.halves {
            let rest = batch.rows.split_off(batch.rows.len() / 2);
            state.rows.commit(WriteBatch { rows: rest })?;
            let rows = state.rows.clone();
            state.log.push(Done::Commit(rows));
        }
        state.rows.commit(batch)?;
        let rows = state.rows.clone();
        state.log.push(Done::Commit(rows));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.call(Call::Sync)?;
        let mut state = self.0.borrow_mut();
        if !state.lies {
            state.log.push(Done::Sync);
        }
        Ok(())
    }
}
