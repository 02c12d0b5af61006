//! The shim's log, read back.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{HEADER, MAGIC, RECORD, VERSION, flag, kind};

/// A file's or folder's identity while it exists: the kernel gives a removed file's number to a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inode {
    /// The file system's number.
    pub device: u64,
    /// The number within the file system.
    pub number: u64,
}

/// What an operation does. Paths are relative to the watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes written into a file; of a short write, only those that were written.
    Write {
        /// The file.
        inode: Inode,
        /// Where the first byte went, in bytes from the file's start.
        offset: u64,
        /// The bytes.
        data: Arc<[u8]>,
        /// Durable when it returned: the descriptor had `O_SYNC` or `O_DSYNC`.
        durable: bool,
    },
    /// A file cut or extended, by ftruncate or an open with `O_TRUNC`.
    SetLength {
        /// The file.
        inode: Inode,
        /// The new length in bytes.
        length: u64,
    },
    /// Room allocated: the file grows to `end` if it is shorter.
    Allocate {
        /// The file.
        inode: Inode,
        /// The least length in bytes; 0 where the length is to stay.
        end: u64,
    },
    /// fsync or fdatasync.
    Sync {
        /// The file or folder.
        inode: Inode,
        /// Whether it is a folder.
        directory: bool,
    },
    /// sync_file_range: makes nothing durable.
    SyncRange {
        /// The file.
        inode: Inode,
    },
    /// sync or syncfs: makes all durable.
    SyncAll,
    /// A new, empty file.
    Create {
        /// The file; zeros where the operation failed.
        inode: Inode,
        /// Its name.
        path: PathBuf,
    },
    /// A new, empty folder.
    MakeDir {
        /// The folder; zeros where the operation failed.
        inode: Inode,
        /// Its name.
        path: PathBuf,
    },
    /// A second name for a file.
    Link {
        /// The file.
        inode: Inode,
        /// The name it has.
        from: PathBuf,
        /// The name it gets.
        to: PathBuf,
    },
    /// A file or folder renamed, in place of what stood there.
    Rename {
        /// The file or folder.
        inode: Inode,
        /// The name it had.
        from: PathBuf,
        /// The name it gets.
        to: PathBuf,
    },
    /// A file's name removed.
    Unlink {
        /// The file.
        inode: Inode,
        /// The name.
        path: PathBuf,
    },
    /// An empty folder removed.
    RemoveDir {
        /// The folder.
        inode: Inode,
        /// The name.
        path: PathBuf,
    },
}

/// An operation that changes or syncs the folder, tried by the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What it does.
    pub kind: Kind,
    /// The error that it returned: then it did nothing.
    pub errno: Option<i32>,
    /// Whether the shim made it fail, or cut it short.
    pub injected: bool,
}

/// Bytes that the process wrote to its marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How many operations had run before it.
    pub before: usize,
    /// The bytes of one write.
    pub bytes: Vec<u8>,
}

/// A recorded run, whole in memory.
#[derive(Clone, Debug)]
pub struct Log {
    root: PathBuf,
    root_inode: Inode,
    operations: Vec<Operation>,
    marks: Vec<Mark>,
    read_faults: usize,
}

/// Why a log cannot be read.
#[derive(Debug)]
pub enum LogError {
    /// The file itself cannot be read.
    Io {
        /// The log.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a log, or is damaged.
    Bad {
        /// The log.
        path: PathBuf,
        /// Where, in bytes from its start.
        offset: usize,
        /// What is wrong there.
        what: String,
    },
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Io { path, source } => {
                write!(f, "{}: cannot read the log: {source}; did the process run with the shim?", path.display())
            }
            LogError::Bad { path, offset, what } => write!(f, "{}: at byte {offset}: {what}", path.display()),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LogError::Io { source, .. } => Some(source),
            LogError::Bad { .. } => None,
        }
    }
}

impl Log {
    /// Reads the log at `path`, of a process that has ended. A last record that is not whole, as of a process killed
    /// while it recorded, is an error: its operation may have run.
    pub fn read(path: &Path) -> Result<Log, LogError> {
        let bytes = std::fs::read(path).map_err(|source| LogError::Io { path: path.to_owned(), source })?;
        parse(&bytes).map_err(|(offset, what)| LogError::Bad { path: path.to_owned(), offset, what })
    }

    /// The operations in their order, failed ones included. Operation `i` is the one that a [`super::Fail`] with `at`
    /// `i` makes fail, if the process runs the same again.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// All marks in their order.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The marks written before operation `index`, or before the end where `index` is the count of operations.
    pub fn marks_before(&self, index: usize) -> &[Mark] {
        &self.marks[..self.marks.partition_point(|mark| mark.before <= index)]
    }

    /// How many faults took effect: operations and reads that the shim made fail or cut short.
    pub fn faults(&self) -> usize {
        self.operations.iter().filter(|operation| operation.injected).count() + self.read_faults
    }

    /// The folder that was watched.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The watched folder's identity.
    pub fn root_inode(&self) -> Inode {
        self.root_inode
    }
}

/// An error's place and text.
type Bad = (usize, String);

fn parse(bytes: &[u8]) -> Result<Log, Bad> {
    let header = bytes.get(..HEADER).ok_or((0, format!("{} bytes are too few for a log", bytes.len())))?;
    if header[..8] != MAGIC {
        return Err((0, "not a log of the shim: the first bytes are others".to_owned()));
    }
    let version = word(header, 8);
    if version != VERSION {
        return Err((8, format!("version {version} of the format, expected {VERSION}: rebuild the shim")));
    }
    let root =
        bytes.get(HEADER..HEADER + word(header, 12) as usize).ok_or((12, "the root's path is cut".to_owned()))?;
    let mut log = Log {
        root: path(root),
        root_inode: inode(header, 16),
        operations: Vec::new(),
        marks: Vec::new(),
        read_faults: 0,
    };
    let mut offset = HEADER + root.len();
    let mut sequence = 0;
    while offset < bytes.len() {
        offset = record(&mut log, bytes, offset, sequence)?;
        sequence += 1;
    }
    Ok(log)
}

/// Reads the record at `offset`, adds it to the log, and returns where the next one begins.
fn record(log: &mut Log, bytes: &[u8], offset: usize, sequence: u64) -> Result<usize, Bad> {
    let cut = || (offset, format!("record {sequence} is cut: was the process killed?"));
    let head = bytes.get(offset..offset + RECORD).ok_or_else(cut)?;
    if long(head, 0) != sequence {
        let what = format!("record {sequence} is numbered {}: did two processes write one log?", long(head, 0));
        return Err((offset, what));
    }
    let (flags, errno) = (head[9], word(head, 12).cast_signed());
    let mut end = offset + RECORD;
    let mut part = |place: usize| {
        let start = end;
        end += word(head, place) as usize;
        bytes.get(start..end).ok_or_else(cut)
    };
    let (from, to, data) = (part(48)?, part(52)?, part(56)?);
    let inode = inode(head, 16);
    let (at, size) = (long(head, 32), long(head, 40));
    let kind = match head[8] {
        kind::WRITE => {
            at.checked_add(data.len() as u64).ok_or((offset + 32, format!("offset {at} is too large")))?;
            Kind::Write { inode, offset: at, data: data.into(), durable: flags & flag::DURABLE != 0 }
        }
        kind::SET_LENGTH => Kind::SetLength { inode, length: size },
        kind::ALLOCATE if flags & flag::KEEP_SIZE != 0 => Kind::Allocate { inode, end: 0 },
        kind::ALLOCATE => Kind::Allocate { inode, end: at.saturating_add(size) },
        kind::SYNC => Kind::Sync { inode, directory: flags & flag::DIRECTORY != 0 },
        kind::SYNC_RANGE => Kind::SyncRange { inode },
        kind::SYNC_ALL => Kind::SyncAll,
        kind::CREATE => Kind::Create { inode, path: path(from) },
        kind::MAKE_DIR => Kind::MakeDir { inode, path: path(from) },
        kind::LINK => Kind::Link { inode, from: path(from), to: path(to) },
        kind::RENAME => Kind::Rename { inode, from: path(from), to: path(to) },
        kind::UNLINK => Kind::Unlink { inode, path: path(from) },
        kind::REMOVE_DIR => Kind::RemoveDir { inode, path: path(from) },
        kind::MARK => {
            log.marks.push(Mark { before: log.operations.len(), bytes: data.to_vec() });
            return Ok(end);
        }
        kind::READ => {
            log.read_faults += 1;
            return Ok(end);
        }
        other => return Err((offset + 8, format!("record {sequence} is of kind {other}, which is not known"))),
    };
    let errno = (errno != 0).then_some(errno);
    log.operations.push(Operation { kind, errno, injected: flags & flag::INJECTED != 0 });
    Ok(end)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    let mut long = [0; 8];
    long.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(long)
}

fn inode(bytes: &[u8], at: usize) -> Inode {
    Inode { device: long(bytes, at), number: long(bytes, at + 8) }
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Write { inode, offset, data, .. } => {
                write!(f, "write of {} bytes at {offset} to file {}", data.len(), inode.number)?;
            }
            Kind::SetLength { inode, length } => write!(f, "length of file {} set to {length}", inode.number)?,
            Kind::Allocate { inode, end } => write!(f, "room up to {end} for file {}", inode.number)?,
            Kind::Sync { inode, directory: false } => write!(f, "sync of file {}", inode.number)?,
            Kind::Sync { inode, directory: true } => write!(f, "sync of folder {}", inode.number)?,
            Kind::SyncRange { inode } => write!(f, "sync_file_range of file {}", inode.number)?,
            Kind::SyncAll => write!(f, "sync of all")?,
            Kind::Create { inode, path } => write!(f, "file {} created as {}", inode.number, path.display())?,
            Kind::MakeDir { inode, path } => write!(f, "folder {} made as {}", inode.number, path.display())?,
            Kind::Link { from, to, .. } => write!(f, "{} linked as {}", from.display(), to.display())?,
            Kind::Rename { from, to, .. } => write!(f, "{} renamed to {}", from.display(), to.display())?,
            Kind::Unlink { path, .. } => write!(f, "{} unlinked", path.display())?,
            Kind::RemoveDir { path, .. } => write!(f, "folder {} removed", path.display())?,
        }
        match self.errno {
            Some(errno) => write!(f, ": {}", io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }
}
