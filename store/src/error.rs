//! Why a store could not be opened.

use anabranch_core::store::{StoreError, Visit};
use std::{
    any::Any,
    fmt, io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
};

/// Why a folder could not be opened as a store. Nothing in it was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The path is a file, or a folder that holds other things than a store.
    NotAStore {
        /// The path.
        path: PathBuf,
        /// What was found there.
        found: String,
    },
    /// Another process, or another value in this one, has the store open.
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder is in a format that this version does not know.
    UnknownFormat {
        /// The folder.
        path: PathBuf,
        /// The format that its marker names.
        found: u32,
        /// The newest format that this version reads.
        newest_known: u32,
    },
    /// The store was made with another engine, or with other layers.
    OtherKind {
        /// The folder.
        path: PathBuf,
        /// What its marker names.
        found: String,
        /// What was asked for.
        asked: String,
    },
    /// The folder may not be written to.
    ReadOnly {
        /// The folder.
        path: PathBuf,
    },
    /// There is no room left on the disk.
    Full {
        /// The folder.
        path: PathBuf,
    },
    /// The engine found damage.
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What it found.
        what: String,
    },
    /// Any other failure to read or write.
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    /// The kind that fits what the system said.
    pub(crate) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { path, source },
        }
    }

    /// The kind that fits what the system said about an engine's own files.
    pub(crate) fn engine(path: impl Into<PathBuf>, source: io::Error) -> Self {
        match source.kind() {
            // What comes of files that an engine cannot make sense of, that are missing, or cut short (which may send it to a
            // place before their beginning).
            io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotFound => Self::Damaged { path: path.into(), what: source.to_string() },
            _ => Self::io(path, source),
        }
    }

    /// What a failure to read the first rows is.
    pub(crate) fn store(path: &Path, error: StoreError) -> Self {
        let path = path.to_path_buf();
        match error {
            StoreError::Io(why) => Self::Io { path, source: io::Error::other(why) },
            StoreError::Corrupt(what) => Self::Damaged { path, what },
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAStore { path, found } => write!(
                f,
                "{}: expected an Anabranch store or an empty folder, found {found}; give another path",
                path.display()
            ),
            Self::Locked { path } => {
                write!(f, "{}: the store is open elsewhere; close it there first, or give another path", path.display())
            }
            Self::UnknownFormat { path, found, newest_known } => write!(
                f,
                "{}: the store is in format {found}, and this version reads formats up to {newest_known}; use a newer version",
                path.display()
            ),
            Self::OtherKind { path, found, asked } => {
                write!(f, "{}: the store was made as `{found}`, not `{asked}`; open it as what it is", path.display())
            }
            Self::ReadOnly { path } => write!(
                f,
                "{}: the folder is read-only, and a store is written to; give a folder with write permission",
                path.display()
            ),
            Self::Full { path } => write!(f, "{}: no room left on the disk; free some and open again", path.display()),
            Self::Damaged { path, what } => {
                write!(
                    f,
                    "{}: the store is damaged: {what}; restore it, or start empty and sync from a peer",
                    path.display()
                )
            }
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What an engine's input or output error means to a replica.
pub(crate) fn store_error(error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::Io(format!("no room left on the disk ({error}); free some and open the store again"))
        }
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Io(error.to_string()),
    }
}

/// Runs an engine's code, which may panic on damaged files, and gives the message of its panic in one line.
///
/// What the code was changing may be half changed: the caller gives it up.
pub(crate) fn panicked<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(run)).map_err(|panic| message(&*panic))
}

/// As [`panicked`] for reads and writes of an open store.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    panicked(run).map_err(StoreError::Corrupt)?
}

/// As [`guarded`] for a scan. A panic of the visitor is not the engine's, and goes on.
pub(crate) fn guarded_scan(
    visit: &mut Visit<'_>,
    scan: impl FnOnce(&mut Visit<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut visiting = false;
    let run = || {
        scan(&mut |key, row| {
            visiting = true;
            let flow = visit(key, row);
            visiting = false;
            flow
        })
    };
    match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => done,
        Err(panic) if visiting => panic::resume_unwind(panic),
        Err(panic) => Err(StoreError::Corrupt(message(&*panic))),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    format!("the engine panicked: {}", lines.join("; "))
}
