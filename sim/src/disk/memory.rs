//! A disk that forgets: rows in memory, and what it takes to undo what was not synced.

use anabranch_core::{
    Bytes,
    store::{MemoryStore, Read, Store, StoreError, Table, Visit, WriteBatch},
};

/// A simulated disk under one replica.
///
/// Commits reach it in order. [`sync`](Store::sync) makes all of them durable; a [`crash`](SimDisk::crash) takes back
/// the last of those that came after it. Costs a second read of each row that is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SimDisk {
    rows: MemoryStore,
    /// For each unsynced commit, oldest first, what undoes it.
    undo: Vec<WriteBatch>,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many commits came after the last sync.
    #[must_use]
    pub const fn unsynced(&self) -> usize {
        self.undo.len()
    }

    /// How many rows there are, in all tables.
    #[must_use]
    pub fn rows(&self) -> usize {
        Table::ALL.iter().map(|table| self.rows.rows(*table)).sum()
    }

    /// What a crash leaves: all commits up to the last sync, and `kept` of those after it. Gives how many were lost.
    pub fn crash(&mut self, kept: usize) -> usize {
        let lost = self.undo.len().saturating_sub(kept);
        for undo in self.undo.drain(kept.min(self.undo.len())..).rev() {
            // A memory store cannot fail.
            let _ = self.rows.commit(undo);
        }
        self.undo.clear();
        lost
    }
}

impl Read for SimDisk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.rows.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.rows.scan(table, prefix, from, visit)
    }
}

impl Store for SimDisk {
    type Snapshot = MemoryStore;

    fn snapshot(&mut self) -> Result<MemoryStore, StoreError> {
        self.rows.snapshot()
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut undo = Vec::with_capacity(batch.rows.len());
        for (table, key, _) in &batch.rows {
            undo.push((*table, key.clone(), self.rows.get(*table, key)?));
        }
        self.undo.push(WriteBatch { rows: undo });
        self.rows.commit(batch)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.undo.clear();
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn write(disk: &mut SimDisk, rows: &[(&'static str, Option<&'static str>)]) {
        let row = |(key, value): &(&'static str, Option<&'static str>)| {
            (Table::Keys, Bytes::from_static(key.as_bytes()), value.map(|value| Bytes::from_static(value.as_bytes())))
        };
        disk.commit(WriteBatch { rows: rows.iter().map(row).collect() }).unwrap();
    }

    fn read(disk: &SimDisk, key: &str) -> Option<Bytes> {
        disk.get(Table::Keys, key.as_bytes()).unwrap()
    }

    /// Every crash leaves exactly the state that some commit after the last sync left.
    #[test]
    fn a_crash_leaves_the_state_after_some_commit() {
        let steps: [&[(&str, Option<&str>)]; 5] = [
            &[("a", Some("1")), ("b", Some("1"))],
            &[("a", Some("2")), ("b", None)],
            &[("b", Some("3")), ("c", Some("3"))],
            &[("a", None)],
            &[("a", Some("5")), ("c", None)],
        ];
        let mut states = vec![SimDisk::new()];
        for step in steps {
            let mut next = states.last().unwrap().clone();
            write(&mut next, step);
            next.sync().unwrap();
            states.push(next);
        }
        for synced in 0..=steps.len() {
            for kept in 0..=steps.len() - synced {
                let mut disk = states[synced].clone();
                steps[synced..].iter().for_each(|step| write(&mut disk, step));
                assert_eq!(disk.unsynced(), steps.len() - synced);
                assert_eq!(disk.crash(kept), steps.len() - synced - kept);
                assert_eq!(disk, states[synced + kept], "synced {synced}, kept {kept}");
            }
        }
    }

    #[test]
    fn a_crash_right_after_a_sync_loses_nothing() {
        let mut disk = SimDisk::new();
        write(&mut disk, &[("a", Some("1"))]);
        disk.sync().unwrap();
        assert_eq!(disk.crash(0), 0);
        assert_eq!(read(&disk, "a"), Some(Bytes::from_static(b"1")));
        write(&mut disk, &[("a", Some("2"))]);
        assert_eq!(disk.crash(0), 1);
        assert_eq!(read(&disk, "a"), Some(Bytes::from_static(b"1")));
        assert_eq!(disk.rows(), 1);
    }
}
