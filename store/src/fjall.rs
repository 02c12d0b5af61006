//! fjall: the embedded default, a log-structured merge tree.

use crate::{
    OpenError,
    error::{guarded, guarded_scan, panicked, store_error},
    folder::{Folder, sync_names},
    journal::{self, PROGRESS_KEY, Progress, Unusable},
};
use anabranch_core::{
    Bytes,
    store::{Read, Store, StoreError, Table, Visit, WriteBatch},
};
use bytes::BytesMut;
use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable,
    config::{PartitioningPolicy, PinningPolicy},
};
use std::{ops::ControlFlow, path::Path, sync::Arc};

/// What fjall may use. The defaults suit a server with some gigabytes of memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FjallOptions {
    /// Memory for blocks of rows read from disk, in bytes.
    pub cache_bytes: u64,
    /// Rows are gathered in memory up to so many bytes a table before they are sorted into files.
    pub memtable_bytes: u64,
    /// Threads for flushing and compaction. With more than one, one of them does nothing but wait for flushes, and spins while another compacts
    /// (fjall 3.1): with two on two cores ingest is a fifth slower than with one.
    pub threads: usize,
    /// Keeps the index and the filters of the table of keys in memory, some 4 bytes a key (400 MB at 100 million keys), beside the
    /// cache. Without it they are read through the cache like all else: gets are a tenth slower at a million keys, scans a quarter.
    /// It is chosen when a store is made.
    pub pinned_keys: bool,
}

impl Default for FjallOptions {
    fn default() -> Self {
        Self { cache_bytes: 256 << 20, memtable_bytes: 16 << 20, threads: 1, pinned_keys: true }
    }
}

/// Journals together, before the tables that hold the oldest one back are flushed: the least that the engine takes. What stands in
/// journals is read again when a store is opened after a crash, some 0.2 s in all.
const JOURNAL_BYTES: u64 = 64 << 20;

/// The folder of the engine's files.
const DATA: &str = "data";

/// A store on disk, on [fjall](https://docs.rs/fjall).
///
/// [`sync`](Store::sync) is one `fdatasync` of the journal.
pub struct FjallStore {
    db: Database,
    spaces: Spaces,
    progress: Progress,
    // Last, so that the lock outlives the engine.
    folder: Arc<Folder>,
}

/// The keyspaces of the tables. Those with few or short-lived rows share one, each under the byte of its number, since every
/// keyspace costs buffers and files of its own.
#[derive(Clone)]
struct Spaces {
    blocks: Keyspace,
    nodes: Keyspace,
    keys: Keyspace,
    versions: Keyspace,
    small: Keyspace,
}

/// Index and filters in memory, each in one piece: by default the engine parts those of its last levels, where nearly all rows lie,
/// and reads the parts through the cache.
fn pinned(options: KeyspaceCreateOptions) -> KeyspaceCreateOptions {
    options
        .index_block_partitioning_policy(PartitioningPolicy::all(false))
        .filter_block_partitioning_policy(PartitioningPolicy::all(false))
        .index_block_pinning_policy(PinningPolicy::all(true))
        .filter_block_pinning_policy(PinningPolicy::all(true))
}

impl Spaces {
    fn open(db: &Database, options: &FjallOptions) -> fjall::Result<Self> {
        let base =
            || KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes).manual_journal_persist(true);
        Ok(Self {
            // Not in the engine's separate log of large values: that would spare compaction from copying blocks (ingest is 12 % faster
            // at 5 M keys), but the engine never syncs the names of that log's files, and a power cut may lose them with all they hold.
            blocks: db.keyspace("blocks", base)?,
            nodes: db.keyspace("nodes", base)?,
            keys: db.keyspace("keys", || if options.pinned_keys { pinned(base()) } else { base() })?,
            versions: db.keyspace("versions", base)?,
            small: db.keyspace("small", base)?,
        })
    }

    /// The keyspace of a table, and the byte that its rows begin with there.
    const fn of(&self, table: Table) -> (&Keyspace, Option<u8>) {
        match table {
            Table::Blocks => (&self.blocks, None),
            Table::Nodes => (&self.nodes, None),
            Table::Keys => (&self.keys, None),
            Table::Versions => (&self.versions, None),
            _ => (&self.small, Some(table as u8)),
        }
    }

    /// As `of`, for one row. The engine takes no empty keys: a row of such a key is in the shared keyspace.
    const fn at(&self, table: Table, key: &[u8]) -> (&Keyspace, Option<u8>) {
        match self.of(table) {
            (_, None) if key.is_empty() => (&self.small, Some(table as u8)),
            place => place,
        }
    }
}

impl FjallStore {
    /// Opens the store in this folder, or makes one in an empty or absent folder.
    ///
    /// # Errors
    /// When the folder holds something else, is open elsewhere, cannot be written to, or is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, &FjallOptions::default())
    }

    /// As [`open`](Self::open), with options.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with(path: impl AsRef<Path>, options: &FjallOptions) -> Result<Self, OpenError> {
        Self::open_kind(path.as_ref(), "fjall", options)
    }

    pub(crate) fn open_kind(path: &Path, kind: &str, options: &FjallOptions) -> Result<Self, OpenError> {
        let mut folder = Folder::open(path, kind, DATA)?;
        let new = folder.is_new();
        let data = path.join(DATA);
        if !new {
            journal::mend(&data).map_err(|why| match why {
                Unusable::Io(error) => OpenError::engine(path, error),
                Unusable::Damaged(what) => OpenError::Damaged { path: path.to_path_buf(), what },
            })?;
        }
        let open = || {
            let db = Database::builder(&data)
                .cache_size(options.cache_bytes)
                .max_journaling_size(JOURNAL_BYTES)
                .worker_threads(options.threads.max(1))
                .manual_journal_persist(true)
                .open()?;
            let spaces = Spaces::open(&db, options)?;
            if new {
                db.persist(PersistMode::SyncAll)?;
                // The engine leaves the names of its keyspaces' folders to chance.
                sync_names(&data)?;
            }
            let progress = spaces.small.get(PROGRESS_KEY)?;
            Ok((db, spaces, progress))
        };
        // The engine trusts lengths and names in its files, and panics where the trust is misplaced.
        let damaged = |what| OpenError::Damaged { path: path.to_path_buf(), what };
        let (db, spaces, progress) = panicked(open).map_err(damaged)?.map_err(|error| open_error(path, error))?;
        folder.finish(path, kind)?;
        let progress = progress.and_then(|row| Progress::of_row(&row)).unwrap_or_default();
        Ok(Self { db, spaces, progress, folder: Arc::new(folder) })
    }
}

fn open_error(path: &Path, error: fjall::Error) -> OpenError {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => OpenError::engine(path, error),
        fjall::Error::Locked => OpenError::Locked { path: path.to_path_buf() },
        other => OpenError::Damaged { path: path.to_path_buf(), what: other.to_string() },
    }
}

fn failed(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => store_error(&error),
        fjall::Error::Poisoned => {
            StoreError::Io("an earlier write failed, so the engine takes no more; open the store again".into())
        }
        other => StoreError::Corrupt(other.to_string()),
    }
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallStore").finish_non_exhaustive()
    }
}

/// Bytes that are packed together. A value that a program keeps keeps the others of its page alive, so pages are small.
const PAGE_BYTES: usize = 4 << 10;
/// Longer rows stand alone.
const PACKED_ROW_MAX: usize = 1 << 10;

/// Packs keys and rows into pages in the order in which they come, which is that of the keys. The engine holds them so in memory,
/// and a walk over keys that lie together is several times faster than over bytes allocated one by one.
#[derive(Default)]
struct Packed(BytesMut);

impl Packed {
    fn pack(&mut self, first: Option<u8>, rest: &[u8]) -> Bytes {
        let len = rest.len() + usize::from(first.is_some());
        if self.0.capacity() < len {
            self.0 = BytesMut::with_capacity(PAGE_BYTES.max(len));
        }
        self.0.extend(first);
        self.0.extend_from_slice(rest);
        self.0.split().freeze()
    }
}

/// A row's key in the keyspace.
fn in_space(byte: Option<u8>, key: &[u8]) -> Vec<u8> {
    byte.into_iter().chain(key.iter().copied()).collect()
}

/// Where rows are read: the keyspace as it is, or a snapshot of it.
trait Source {
    fn row(&self, space: &Keyspace, key: &[u8]) -> fjall::Result<Option<fjall::UserValue>>;
    fn rows(&self, space: &Keyspace, start: Vec<u8>) -> fjall::Iter;
}

/// Rows as they are now.
struct Now;

impl Source for Now {
    fn row(&self, space: &Keyspace, key: &[u8]) -> fjall::Result<Option<fjall::UserValue>> {
        space.get(key)
    }

    fn rows(&self, space: &Keyspace, start: Vec<u8>) -> fjall::Iter {
        space.range(start..)
    }
}

impl Source for fjall::Snapshot {
    fn row(&self, space: &Keyspace, key: &[u8]) -> fjall::Result<Option<fjall::UserValue>> {
        self.get(space, key)
    }

    fn rows(&self, space: &Keyspace, start: Vec<u8>) -> fjall::Iter {
        self.range(space, start..)
    }
}

fn get(source: &impl Source, spaces: &Spaces, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
    let (space, byte) = spaces.at(table, key);
    let row = match byte {
        None => source.row(space, key),
        Some(_) => source.row(space, &in_space(byte, key)),
    };
    Ok(row.map_err(failed)?.map(Bytes::from))
}

fn scan(
    source: &impl Source,
    spaces: &Spaces,
    (table, prefix, from): (Table, &[u8], &[u8]),
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let (space, byte) = spaces.of(table);
    let skip = usize::from(byte.is_some());
    let prefix = in_space(byte, prefix);
    let start = in_space(byte, from).max(prefix.clone());
    if start.is_empty()
        && let Some(row) = get(source, spaces, table, &[])?
        && visit(&[], &row) == ControlFlow::Break(())
    {
        return Ok(());
    }
    for row in source.rows(space, start) {
        let (key, row) = row.into_inner().map_err(failed)?;
        if !key.starts_with(&prefix) || visit(&key[skip..], &row.into()) == ControlFlow::Break(()) {
            break;
        }
    }
    Ok(())
}

impl Read for FjallStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        guarded(|| get(&Now, &self.spaces, table, key))
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        guarded_scan(visit, |visit| scan(&Now, &self.spaces, (table, prefix, from), visit))
    }
}

impl Store for FjallStore {
    type Snapshot = FjallSnapshot;

    fn snapshot(&mut self) -> Result<FjallSnapshot, StoreError> {
        let Self { db, spaces, folder, .. } = self;
        Ok(FjallSnapshot { at: db.snapshot(), spaces: spaces.clone(), _folder: folder.clone() })
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        if batch.rows.is_empty() {
            return Ok(());
        }
        let mut packed = Packed::default();
        let mut writes = fjall::OwnedWriteBatch::with_capacity(self.db.clone(), batch.rows.len() + 1);
        for (table, key, row) in batch.rows {
            let (space, byte) = self.spaces.at(table, &key);
            let key = packed.pack(byte, &key);
            match row {
                Some(row) if row.len() > PACKED_ROW_MAX => writes.insert(space, key, row),
                Some(row) => writes.insert(space, key, packed.pack(None, &row)),
                None => writes.remove(space, key),
            }
        }
        self.progress.commit += 1;
        writes.insert(&self.spaces.small, PROGRESS_KEY, self.progress.row());
        guarded(|| writes.commit().map_err(failed))
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        guarded(|| self.db.persist(PersistMode::SyncData).map_err(failed))?;
        self.progress.synced = self.progress.commit;
        Ok(())
    }
}

/// A view of a [`FjallStore`] at one moment. It holds back the engine's cleaning up: keep it for a query, not for ever.
#[derive(Clone)]
pub struct FjallSnapshot {
    at: fjall::Snapshot,
    spaces: Spaces,
    _folder: Arc<Folder>,
}

impl Read for FjallSnapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        guarded(|| get(&self.at, &self.spaces, table, key))
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        guarded_scan(visit, |visit| scan(&self.at, &self.spaces, (table, prefix, from), visit))
    }
}
