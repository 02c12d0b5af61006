//! Blocks to and from CAR files.

use crate::{Error, handle::Handle, sync::lock, view::AnyView};
use anabranch_car::{CarError, Reader, Writer};
use anabranch_core::{Bytes, Cid, Input, Outcome, wire::Block};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::runtime;

/// Blocks that are imported in one step, at most, and their bytes.
const CHUNK_BLOCKS: usize = 256;
const CHUNK_BYTES: usize = 1 << 20;
/// How often to look whether an import has come to its end.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Why blocks could not be exported or imported.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TransferError {
    /// The file is no CARv1, or is damaged. Nothing has changed.
    File(CarError),
    /// The file could not be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// What was to be done with it, and what the system said.
        what: String,
    },
    /// A block that was to be exported is not merged here. Nothing was written.
    NotMerged(Cid),
    /// The store failed or is closed. What was imported before stays.
    Store(Error),
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(why) => why.fmt(f),
            Self::Io { path, what } => write!(f, "{}: {what}", path.display()),
            Self::NotMerged(cid) => {
                write!(f, "block {cid} is not merged here; give the CID of a merged block, a head say")
            }
            Self::Store(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for TransferError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(why) => Some(why),
            Self::Store(why) => Some(why),
            Self::Io { .. } | Self::NotMerged(_) => None,
        }
    }
}

impl From<Error> for TransferError {
    fn from(why: Error) -> Self {
        Self::Store(why)
    }
}

/// What was exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The roots of the file.
    pub roots: Vec<Cid>,
    /// Blocks written.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What an import has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Blocks of the file that are merged now, or were before.
    pub merged: u64,
    /// Blocks of the file that wait for ancestors, which the file lacks.
    pub pending: u64,
    /// Blocks of the file that break a rule and that nothing good is known to build upon: they were left out.
    pub void: u64,
    /// Blocks and roots of the file that are of another kind (not dag-pb with sha2-256): they were left out.
    pub foreign: u64,
}

fn io_error(path: &Path, what: &str, error: &io::Error) -> TransferError {
    TransferError::Io { path: path.to_owned(), what: format!("{what}: {error}") }
}

/// Runs something that waits for disks in a thread where that does no harm.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TransferError> + Send + 'static,
) -> Result<T, TransferError> {
    // It is cancelled only when the runtime shuts down.
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(TransferError::Store(Error::Closed)))
}

pub(crate) async fn export(handle: &Handle, path: &Path, from: Option<Vec<Cid>>) -> Result<Exported, TransferError> {
    let view = handle.fixed()?;
    let path = path.to_owned();
    blocking(move || {
        let mut part = path.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let done = write_file(&*view, &part, from).and_then(|exported| {
            std::fs::rename(&part, &path).map_err(|error| io_error(&path, "cannot be put in its place", &error))?;
            Ok(exported)
        });
        if done.is_err() {
            // It may not be there.
            let _ = std::fs::remove_file(&part);
        }
        done
    })
    .await
}

fn write_file(view: &dyn AnyView, path: &Path, from: Option<Vec<Cid>>) -> Result<Exported, TransferError> {
    let fails = |error: io::Error| io_error(path, "cannot be written; free some space or give another path", &error);
    let read = |error| TransferError::Store(Error::Read(error));
    let roots = match from {
        Some(roots) => roots,
        None => view.heads().map_err(read)?.iter().map(|head| head.cid).collect(),
    };
    for root in &roots {
        if !view.is_merged(root).map_err(read)? {
            return Err(TransferError::NotMerged(*root));
        }
    }
    let file = File::create(path).map_err(fails)?;
    let mut out = Writer::start(BufWriter::new(file), &roots).map_err(fails)?;
    let mut exported = Exported { roots: roots.clone(), ..Exported::default() };
    let mut walk = Walk::from(view, roots);
    while let Some((cid, bytes)) = walk.next_block().map_err(read)? {
        out.block(&cid, &bytes).map_err(fails)?;
        exported.blocks += 1;
        exported.bytes += bytes.len() as u64;
    }
    let file = out.into_inner().into_inner().map_err(|error| fails(error.into_error()))?;
    file.sync_all().map_err(fails)?;
    Ok(exported)
}

/// A walk from heads down that gives each block once, after its parents.
pub(crate) struct Walk<'a> {
    view: &'a dyn AnyView,
    seen: BTreeSet<Cid>,
    path: Vec<Visit>,
}

#[derive(Clone, Copy)]
enum Visit {
    /// Its parents come first.
    Enter(Cid),
    /// They have come.
    Give(Cid),
}

impl<'a> Walk<'a> {
    pub(crate) fn from(view: &'a dyn AnyView, heads: Vec<Cid>) -> Self {
        Self { view, seen: BTreeSet::new(), path: heads.into_iter().rev().map(Visit::Enter).collect() }
    }

    pub(crate) fn next_block(&mut self) -> Result<Option<(Cid, Bytes)>, anabranch_core::Error> {
        while let Some(visit) = self.path.pop() {
            match visit {
                Visit::Enter(cid) if !self.seen.insert(cid) => {}
                Visit::Enter(cid) => {
                    // A purged block has no body, and what lies below it is reached from elsewhere or purged too.
                    let Some(bytes) = self.view.block(&cid)? else { continue };
                    self.path.push(Visit::Give(cid));
                    self.path.extend(Block::links(&bytes).into_iter().rev().map(Visit::Enter));
                }
                Visit::Give(cid) => {
                    if let Some(bytes) = self.view.block(&cid)? {
                        return Ok(Some((cid, bytes)));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// The blocks of a file that is being imported.
#[derive(Debug)]
pub(crate) struct FileBlocks {
    path: PathBuf,
    file: Mutex<File>,
    /// Where each block's bytes are.
    index: BTreeMap<Cid, (u64, u32)>,
    foreign: u64,
    /// Blocks that are being brought because the replica has asked for them.
    outstanding: AtomicUsize,
}

impl FileBlocks {
    /// Reads the file and checks all of it.
    fn open(path: &Path) -> Result<Self, TransferError> {
        let open = || {
            let why = "cannot be read; give the path of a CARv1 file, as `ipfs dag export` writes it";
            File::open(path).map_err(|error| io_error(path, why, &error))
        };
        let name = path.display().to_string();
        let mut reader =
            Reader::open(BufReader::with_capacity(1 << 20, open()?), &name).map_err(TransferError::File)?;
        let mut index = BTreeMap::new();
        while let Some((cid, bytes)) = reader.block().map_err(TransferError::File)? {
            let at = reader.offset() - bytes.len() as u64;
            index.entry(cid).or_insert((at, u32::try_from(bytes.len()).unwrap_or(u32::MAX)));
        }
        let foreign = reader.foreign();
        Ok(Self { path: path.to_owned(), file: Mutex::new(open()?), index, foreign, outstanding: AtomicUsize::new(0) })
    }

    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, TransferError> {
        let Some((at, length)) = self.index.get(cid) else { return Ok(None) };
        let mut bytes = vec![0; *length as usize];
        let mut file = lock(&self.file);
        file.seek(SeekFrom::Start(*at))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| io_error(&self.path, "cannot be read again; has it been changed?", &error))?;
        Ok(Some(bytes.into()))
    }

    /// All blocks, in the order of the file.
    fn in_order(&self) -> Vec<Cid> {
        let mut cids: Vec<(u64, Cid)> = self.index.iter().map(|(cid, (at, _))| (*at, *cid)).collect();
        cids.sort_unstable();
        cids.into_iter().map(|(_, cid)| cid).collect()
    }
}

/// Counts a block as outstanding as long as it lives.
struct Outstanding(Arc<FileBlocks>);

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Answers a fetch of the replica from a file that is being imported, if one holds the block.
pub(crate) fn fetch(runtime: &runtime::Handle, handle: &Handle, cid: Cid, attempt: u32) -> bool {
    let imports = lock(&handle.shared().imports);
    let Some(file) = imports.iter().find(|file| file.index.contains_key(&cid)).cloned() else { return false };
    drop(imports);
    file.outstanding.fetch_add(1, Ordering::AcqRel);
    let (counted, handle) = (Outstanding(file), handle.clone());
    drop(runtime.spawn(async move {
        let file = counted.0.clone();
        let bytes = blocking(move || file.block(&cid)).await;
        match bytes {
            Ok(Some(bytes)) => drop(take(&handle, vec![(cid, bytes)]).await),
            Ok(None) | Err(_) => drop(handle.input(Input::FetchFailed { cid, attempt }).await),
        }
        drop(counted);
    }));
    true
}

/// Hands blocks to the replica, and gives those back that it did not take.
async fn take(handle: &Handle, blocks: Vec<(Cid, Bytes)>) -> Result<Vec<Cid>, TransferError> {
    let bytes = blocks.iter().map(|(_, bytes)| bytes.len()).sum();
    match handle.ask(bytes, move |token| Input::Import { token, blocks }).await? {
        Outcome::Imported { left, .. } => Ok(left),
        #[allow(unreachable_patterns, reason = "an import ends as one")]
        _ => Ok(Vec::new()),
    }
}

/// A file among those that fetches are answered from, as long as it lives.
struct Registered {
    handle: Handle,
    file: Arc<FileBlocks>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock(&self.handle.shared().imports).retain(|file| !Arc::ptr_eq(file, &self.file));
    }
}

pub(crate) async fn import(handle: &Handle, path: &Path) -> Result<Imported, TransferError> {
    let path = path.to_owned();
    let file = Arc::new(blocking(move || FileBlocks::open(&path)).await?);
    lock(&handle.shared().imports).push(file.clone());
    let registered = Registered { handle: handle.clone(), file: file.clone() };
    let mut left = offer(handle, &file, file.in_order()).await?;
    loop {
        settle(handle, &file).await?;
        let again = offer(handle, &file, left.clone()).await?;
        if again.len() == left.len() {
            break;
        }
        left = again;
    }
    settle(handle, &file).await?;
    let merged = count_merged(handle, file.index.keys().copied().collect()).await?;
    drop(registered);
    let (all, void) = (file.index.len() as u64, left.len() as u64);
    Ok(Imported { merged, pending: all - merged - void, void, foreign: file.foreign })
}

/// Offers blocks to the replica, some at a time. Those that it did not take.
async fn offer(handle: &Handle, file: &Arc<FileBlocks>, cids: Vec<Cid>) -> Result<Vec<Cid>, TransferError> {
    let (mut left, mut rest) = (Vec::new(), &cids[..]);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |cid: &&Cid| {
            bytes += file.index.get(cid).map_or(0, |(_, length)| *length as usize);
            bytes <= CHUNK_BYTES
        };
        let count = rest.iter().take(CHUNK_BLOCKS).take_while(fits).count().max(1);
        let (chunk, after) = rest.split_at(count.min(rest.len()));
        rest = after;
        let (from, chunk) = (file.clone(), chunk.to_vec());
        let blocks = blocking(move || {
            let block = |cid: Cid| from.block(&cid).map(|bytes| bytes.map(|bytes| (cid, bytes)));
            chunk.into_iter().filter_map(|cid| block(cid).transpose()).collect()
        });
        left.append(&mut take(handle, blocks.await?).await?);
    }
    Ok(left)
}

/// Waits until the replica has nothing to merge, and asks for nothing that the file holds.
async fn settle(handle: &Handle, file: &FileBlocks) -> Result<(), TransferError> {
    while !handle.read(|replica| Ok(replica.is_idle())).await? || file.outstanding.load(Ordering::Acquire) > 0 {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn count_merged(handle: &Handle, cids: Vec<Cid>) -> Result<u64, TransferError> {
    let mut merged = 0;
    for chunk in cids.chunks(1_000) {
        let chunk = chunk.to_vec();
        let read = handle
            .view(move |view| chunk.iter().try_fold(0, |merged, cid| Ok(merged + u64::from(view.is_merged(cid)?))));
        merged += read.await?;
    }
    Ok(merged)
}
