//! Checksums over rows, on any engine.

use anabranch_core::{
    Bytes,
    store::{Read, Store, StoreError, Table, Visit, VisitKey, WriteBatch},
};
use bytes::{BufMut, BytesMut};
use std::ops::ControlFlow;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes that a checksum adds to a row.
const SUM_LEN: usize = 8;

/// A layer that ends every row in a checksum over its table, key and value.
///
/// Rot, and rows that an engine or a disk gives in place of others, then show as
/// [`StoreError::Corrupt`] instead of being believed. A row that is missing altogether does not show.
/// The sum is XXH3 of 64 bits: it finds accidents; it is no defence against someone who writes to the files.
#[derive(Debug)]
pub struct Checked<S>(S);

impl<S> Checked<S> {
    /// Lays checksums over an engine. All of its rows must have been written through this layer.
    pub const fn new(engine: S) -> Self {
        Self(engine)
    }

    /// The engine below.
    pub const fn engine(&self) -> &S {
        &self.0
    }
}

/// The sum of a value, seeded with that of its key, seeded with its table: each parts what could run together. (One call for each
/// is several times faster on short rows than a running hash.)
fn sum(table: Table, key: &[u8], value: &[u8]) -> [u8; SUM_LEN] {
    let seed = xxh3_64_with_seed(key, table as u64);
    xxh3_64_with_seed(value, seed).to_le_bytes()
}

fn sealed(table: Table, key: &[u8], value: &[u8]) -> Bytes {
    let mut row = BytesMut::with_capacity(value.len() + SUM_LEN);
    row.put_slice(value);
    row.put_slice(&sum(table, key, value));
    row.freeze()
}

fn all_sealed(mut batch: WriteBatch) -> WriteBatch {
    for (table, key, row) in &mut batch.rows {
        if let Some(row) = row {
            *row = sealed(*table, key, row);
        }
    }
    batch
}

fn opened(table: Table, key: &[u8], mut row: Bytes) -> Result<Bytes, StoreError> {
    let damaged = || StoreError::Corrupt(format!("a row of table {table:?} does not match its checksum"));
    let len = row.len().checked_sub(SUM_LEN).ok_or_else(damaged)?;
    let found = row.split_off(len);
    if found == sum(table, key, &row)[..] { Ok(row) } else { Err(damaged()) }
}

impl<S: Read> Read for Checked<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.0.get(table, key)?.map(|row| opened(table, key, row)).transpose()
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let mut damage = Ok(());
        self.0.scan(table, prefix, from, &mut |key, row| match opened(table, key, row.clone()) {
            Ok(row) => visit(key, &row),
            Err(error) => {
                damage = Err(error);
                ControlFlow::Break(())
            }
        })?;
        damage
    }

    fn scan_keys(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        self.0.scan_keys(table, prefix, from, visit)
    }
}

impl<S: Store> Store for Checked<S> {
    type Snapshot = Checked<S::Snapshot>;

    fn snapshot(&mut self) -> Result<Self::Snapshot, StoreError> {
        Ok(Checked(self.0.snapshot()?))
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        self.0.commit(all_sealed(batch))
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.0.sync()
    }

    fn commit_and_sync(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        self.0.commit_and_sync(all_sealed(batch))
    }
}
