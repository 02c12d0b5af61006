//! A store that counts, fails where it is told to, and remembers what each commit left.

use anabranch_core::{
    Bytes,
    store::{MemoryStore, Read, Store, StoreError, Table, Visit, WriteBatch},
};
use std::{
    cell::{Cell, RefCell},
    ops::Sub,
    rc::Rc,
};

/// What a store has done so far. Tables by their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ops {
    /// Single rows asked for.
    pub gets: [u64; Table::ALL.len()],
    /// Scans begun.
    pub scans: [u64; Table::ALL.len()],
    /// Rows that scans showed.
    pub scanned: [u64; Table::ALL.len()],
    /// Rows written or removed.
    pub written: [u64; Table::ALL.len()],
    /// Bytes of rows that gets and scans showed.
    pub bytes_read: u64,
    /// Bytes of rows written.
    pub bytes_written: u64,
    /// Commits made.
    pub commits: u64,
    /// Syncs made.
    pub syncs: u64,
}

impl Ops {
    /// Rows read: by gets, found or not, and by scans; an empty scan counts as one.
    pub fn reads(&self) -> u64 {
        (0..Table::ALL.len()).map(|table| self.reads_of(Table::ALL[table])).sum()
    }

    pub fn reads_of(&self, table: Table) -> u64 {
        let table = table as usize;
        self.gets[table] + self.scanned[table].max(self.scans[table])
    }

    pub fn writes(&self) -> u64 {
        self.written.iter().sum()
    }
}

impl Sub for Ops {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        let each = |now: [u64; Table::ALL.len()], before: [u64; Table::ALL.len()]| {
            core::array::from_fn(|table| now[table] - before[table])
        };
        Self {
            gets: each(self.gets, before.gets),
            scans: each(self.scans, before.scans),
            scanned: each(self.scanned, before.scanned),
            written: each(self.written, before.written),
            bytes_read: self.bytes_read - before.bytes_read,
            bytes_written: self.bytes_written - before.bytes_written,
            commits: self.commits - before.commits,
            syncs: self.syncs - before.syncs,
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    ops: Cell<Ops>,
    commits_left: Cell<Option<u64>>,
    sync_fails: Cell<bool>,
    after_each_commit: RefCell<Option<Vec<MemoryStore>>>,
    /// How many of those copies had been made at the last sync.
    copies_synced: Cell<usize>,
}

/// A memory store with a meter on it. Clones share the meter.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    rows: MemoryStore,
    shared: Rc<Shared>,
}

impl Disk {
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that holds these rows, with a meter of its own.
    pub fn holding(rows: MemoryStore) -> Self {
        Self { rows, shared: Rc::default() }
    }

    /// From now on keeps a copy of the rows after each commit.
    pub fn record(&self) {
        *self.shared.after_each_commit.borrow_mut() = Some(vec![self.rows.clone()]);
    }

    /// The rows when recording began, and after each commit since.
    pub fn recorded(&self) -> Vec<MemoryStore> {
        self.shared.after_each_commit.borrow().clone().expect("recording was begun")
    }

    /// What a crash may leave: the rows as of the last sync, and after each commit since.
    pub fn after_a_crash(&self) -> Vec<MemoryStore> {
        self.recorded().split_off(self.shared.copies_synced.get().saturating_sub(1))
    }

    pub fn rows(&self) -> &MemoryStore {
        &self.rows
    }

    pub fn ops(&self) -> Ops {
        self.shared.ops.get()
    }

    /// Lets this many more commits pass, then fails them all.
    pub fn fail_commits_after(&self, commits: u64) {
        self.shared.commits_left.set(Some(commits));
    }

    pub fn fail_syncs(&self) {
        self.shared.sync_fails.set(true);
    }

    /// Nothing fails any more.
    pub fn mend(&self) {
        self.shared.commits_left.set(None);
        self.shared.sync_fails.set(false);
    }

    fn count(&self, change: impl FnOnce(&mut Ops)) {
        let mut ops = self.shared.ops.get();
        change(&mut ops);
        self.shared.ops.set(ops);
    }
}

impl Read for Disk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let row = self.rows.get(table, key)?;
        self.count(|ops| {
            ops.gets[table as usize] += 1;
            ops.bytes_read += row.as_ref().map_or(0, |row| row.len() as u64);
        });
        Ok(row)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.count(|ops| ops.scans[table as usize] += 1);
        self.rows.scan(table, prefix, from, &mut |key, row| {
            self.count(|ops| {
                ops.scanned[table as usize] += 1;
                ops.bytes_read += row.len() as u64;
            });
            visit(key, row)
        })
    }
}

impl Store for Disk {
    type Snapshot = Self;

    fn snapshot(&mut self) -> Result<Self, StoreError> {
        Ok(self.clone())
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        match self.shared.commits_left.get() {
            Some(0) => return Err(StoreError::Io("the test fails this commit".into())),
            Some(left) => self.shared.commits_left.set(Some(left - 1)),
            None => {}
        }
        self.count(|ops| {
            ops.commits += 1;
            for (table, _, row) in &batch.rows {
                ops.written[*table as usize] += 1;
                ops.bytes_written += row.as_ref().map_or(0, |row| row.len() as u64);
            }
        });
        self.rows.commit(batch)?;
        if let Some(copies) = self.shared.after_each_commit.borrow_mut().as_mut() {
            copies.push(self.rows.clone());
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if self.shared.sync_fails.get() {
            return Err(StoreError::Io("the test fails this sync".into()));
        }
        self.count(|ops| ops.syncs += 1);
        self.shared.copies_synced.set(self.shared.after_each_commit.borrow().as_ref().map_or(0, Vec::len));
        self.rows.sync()
    }
}
