//! redb: a copy-on-write B-tree in one file.

use crate::{
    Buffered, Checked, OpenError,
    error::{guarded, guarded_scan, panicked, store_error},
    folder::Folder,
};
use anabranch_core::{
    Bytes,
    store::{Read, Store, StoreError, Table, Visit, WriteBatch},
};
use redb::{
    Builder, Database, Durability, Error, ReadOnlyTable, ReadableDatabase, StorageBackend, TableDefinition,
    WriteTransaction,
};
use std::{ops::ControlFlow, path::Path, sync::Arc};

/// The one table: the byte of the row's table and the row's key, to the row.
const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
const FILE: &str = "data.redb";
/// Memory for pages read and written, in bytes.
const CACHE_BYTES: usize = 256 << 20;
/// What errors name in place of a folder.
const NO_FOLDER: &str = "storage backend";

/// redb with what [`open`](crate::open) lays over fjall.
pub type RedbDiskStore = Buffered<Checked<RedbStore>>;

/// Opens the store in this folder, or makes one in an empty or absent folder: redb, its rows checked, commits held back until
/// the sync.
///
/// # Errors
/// As [`open`](crate::open).
pub fn open_redb(path: impl AsRef<Path>) -> Result<RedbDiskStore, OpenError> {
    let path = path.as_ref();
    let engine = Checked::new(RedbStore::open_kind(path, "redb checked")?);
    Buffered::new(engine).map_err(|error| OpenError::store(path, error))
}

/// A store on disk, on [redb](https://docs.rs/redb).
///
/// [`commit`](Store::commit) is a transaction that writes no more to the disk than memory cannot hold (256 MiB), and
/// [`sync`](Store::sync) writes all pages that have changed and flushes the file. Reads cost as much at any size of the log,
/// since there is none; writes cost whole pages. After a crash the first open reads the whole file.
pub struct RedbStore {
    /// The rows as they are now. `None` while a transaction writes (so that it may reuse the pages), and after one failed.
    now: Option<Rows>,
    shared: Arc<Shared>,
    failed: bool,
}

/// What the store and its snapshots keep open.
struct Shared {
    /// `None` once it is closed.
    db: Option<Database>,
    // Last, so that the lock outlives the engine.
    _folder: Option<Folder>,
}

impl Shared {
    fn new(db: Database, folder: Option<Folder>) -> Arc<Self> {
        Arc::new(Self { db: Some(db), _folder: folder })
    }

    fn db(&self) -> Result<&Database, StoreError> {
        self.db.as_ref().ok_or_else(earlier)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // redb makes a last commit when it is closed, and panics where it finds the file damaged. What was synced does not depend on that
        // commit, and whoever opens the file next is told of the damage.
        let db = self.db.take();
        let _ = panicked(|| drop(db));
    }
}

impl RedbStore {
    /// Opens the store in this folder, or makes one in an empty or absent folder.
    ///
    /// # Errors
    /// When the folder holds something else, is open elsewhere, cannot be written to, or is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_kind(path.as_ref(), "redb")
    }

    /// Opens the store on this backend, or makes one when it is empty: for disks that are no folder, such as simulated ones.
    ///
    /// A backend on which the making was cut short holds no database, and is refused: it must be emptied first. (In a
    /// folder that is done at the next opening.)
    ///
    /// # Errors
    /// When the backend fails or is damaged.
    pub fn on(backend: impl StorageBackend) -> Result<Self, OpenError> {
        Self::on_with_cache(backend, CACHE_BYTES)
    }

    /// As [`on`](Self::on), with so many bytes of memory for pages read and written, where [`on`](Self::on) takes 256 MiB. With
    /// little memory pages are read from the backend again and again.
    ///
    /// # Errors
    /// As [`on`](Self::on).
    pub fn on_with_cache(backend: impl StorageBackend, cache_bytes: usize) -> Result<Self, OpenError> {
        let create = || Ok(builder().set_cache_size(cache_bytes).create_with_backend(backend)?);
        let (db, rows) = Self::build(Path::new(NO_FOLDER), create)?;
        Ok(Self { now: Some(rows), shared: Shared::new(db, None), failed: false })
    }

    fn open_kind(path: &Path, kind: &str) -> Result<Self, OpenError> {
        let mut folder = Folder::open(path, kind, FILE)?;
        let new = folder.is_new();
        let file = path.join(FILE);
        let (db, rows) = Self::build(path, || Ok(if new { builder().create(file)? } else { builder().open(file)? }))?;
        folder.finish(path, kind)?;
        Ok(Self { now: Some(rows), shared: Shared::new(db, Some(folder)), failed: false })
    }

    /// Opens the database, and makes the table in a new one.
    fn build(path: &Path, open: impl FnOnce() -> Result<Database, Error>) -> Result<(Database, Rows), OpenError> {
        // redb trusts a file that was closed well, and panics where the trust is misplaced.
        let opened = panicked(|| {
            let db = open()?;
            let rows = match Rows::of(&db) {
                Err(Error::TableDoesNotExist(_)) => {
                    write(&db, Durability::Immediate, |txn| drop_ok(txn.open_table(ROWS)))?;
                    Rows::of(&db)?
                }
                rows => rows?,
            };
            Ok((db, rows))
        });
        let damaged = |what| OpenError::Damaged { path: path.to_path_buf(), what };
        opened.map_err(damaged)?.map_err(|error| open_error(path, error))
    }

    /// Runs a transaction and takes the new view of the rows.
    fn write(
        &mut self,
        durability: Durability,
        change: impl FnOnce(&WriteTransaction) -> Result<(), Error>,
    ) -> Result<(), StoreError> {
        if self.failed {
            return Err(earlier());
        }
        self.now = None;
        self.failed = true;
        let db = self.shared.db()?;
        let rows = guarded(|| write(db, durability, change).and_then(|()| Rows::of(db)).map_err(failed))?;
        self.now = Some(rows);
        self.failed = false;
        Ok(())
    }

    fn now(&self) -> Result<&Rows, StoreError> {
        self.now.as_ref().ok_or_else(earlier)
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn write(
    db: &Database,
    durability: Durability,
    change: impl FnOnce(&WriteTransaction) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut txn = db.begin_write()?;
    txn.set_durability(durability)?;
    change(&txn)?;
    Ok(txn.commit()?)
}

fn change(txn: &WriteTransaction, batch: &WriteBatch) -> Result<(), Error> {
    let mut rows = txn.open_table(ROWS)?;
    for (table, key, row) in &batch.rows {
        let key = &in_table(*table, key)[..];
        match row {
            Some(row) => drop(rows.insert(key, &row[..])?),
            None => drop(rows.remove(key)?),
        }
    }
    Ok(())
}

fn drop_ok<T, E: Into<Error>>(result: Result<T, E>) -> Result<(), Error> {
    result.map(drop).map_err(Into::into)
}

fn open_error(path: &Path, error: Error) -> OpenError {
    match error {
        Error::Io(error) => OpenError::engine(path, error),
        Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => OpenError::Locked { path: path.to_path_buf() },
        Error::Backend(error) => OpenError::io(path, std::io::Error::other(error)),
        other => OpenError::Damaged { path: path.to_path_buf(), what: other.to_string() },
    }
}

fn earlier() -> StoreError {
    StoreError::Io("an earlier write failed, so the engine takes no more; open the store again".into())
}

fn failed(error: Error) -> StoreError {
    match error {
        Error::Io(error) => store_error(&error),
        Error::PreviousIo | Error::TransactionPoisoned | Error::LockPoisoned(_) => earlier(),
        Error::Backend(error) => StoreError::Io(error.to_string()),
        error @ Error::ValueTooLarge(_) => StoreError::Io(error.to_string()),
        other => StoreError::Corrupt(other.to_string()),
    }
}

impl std::fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbStore").finish_non_exhaustive()
    }
}

/// The rows as a read transaction sees them, which the table keeps open.
struct Rows(ReadOnlyTable<&'static [u8], &'static [u8]>);

/// A row's key in the one table.
fn in_table(table: Table, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.len());
    out.push(table as u8);
    out.extend_from_slice(key);
    out
}

impl Rows {
    fn of(db: &Database) -> Result<Self, Error> {
        Ok(Self(db.begin_read()?.open_table(ROWS)?))
    }

    fn visit(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        let start = in_table(table, prefix.max(from));
        let prefix = in_table(table, prefix);
        for row in self.0.range(&start[..]..)? {
            let (key, row) = row?;
            let key = key.value();
            if !key.starts_with(&prefix)
                || visit(&key[1..], &Bytes::copy_from_slice(row.value())) == ControlFlow::Break(())
            {
                break;
            }
        }
        Ok(())
    }
}

impl Read for Rows {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        guarded(|| {
            let row = self.0.get(&in_table(table, key)[..]).map_err(|error| failed(error.into()))?;
            // A copy: a row that borrows from the engine's page would keep the transaction and all that it sees.
            Ok(row.map(|row| Bytes::copy_from_slice(row.value())))
        })
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        guarded_scan(visit, |visit| self.visit(table, prefix, from, visit).map_err(failed))
    }
}

impl Read for RedbStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.now()?.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.now()?.scan(table, prefix, from, visit)
    }
}

impl Store for RedbStore {
    type Snapshot = RedbSnapshot;

    fn snapshot(&mut self) -> Result<RedbSnapshot, StoreError> {
        if self.failed {
            return Err(earlier());
        }
        let db = self.shared.db()?;
        let rows = guarded(|| Rows::of(db).map_err(failed))?;
        Ok(RedbSnapshot(Arc::new(SnapshotRows { rows, _shared: self.shared.clone() })))
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        self.write(Durability::None, |txn| change(txn, &batch))
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        // Of its own it changes nothing: it makes the commits before it durable.
        self.write(Durability::Immediate, |_| Ok(()))
    }

    /// One transaction instead of two.
    fn commit_and_sync(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        self.write(Durability::Immediate, |txn| change(txn, &batch))
    }
}

/// A view of a [`RedbStore`] at one moment; clones share it. The file cannot reuse what it sees: keep it for a query, not for ever.
#[derive(Clone)]
pub struct RedbSnapshot(Arc<SnapshotRows>);

struct SnapshotRows {
    rows: Rows,
    // The rows can be read as long as the database is open.
    _shared: Arc<Shared>,
}

impl Read for RedbSnapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.0.rows.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.0.rows.scan(table, prefix, from, visit)
    }
}
