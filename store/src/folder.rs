//! The folder of a store: its marker, its lock, and the engine's files in a folder below.
//!
//! ```text
//! PATH/anabranch     the marker: what this is, in four lines of text
//! PATH/lock          locked while the store is open
//! PATH/data…         the engine's own files
//! ```
//!
//! The marker is written to a name beside it, synced and renamed before the engine makes its first
//! file, so that a crash while a store is made leaves an empty folder or a store.

use crate::OpenError;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::Path,
};

/// The format of the folder that this version writes.
const FORMAT: u32 = 1;
const MARKER: &str = "anabranch";
const MARKER_NEW: &str = "anabranch.new";
const LOCK: &str = "lock";
const TITLE: &str = "anabranch store";

/// An open folder. Dropping it lets others open it.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Locked as long as it lives.
    _lock: File,
}

impl Folder {
    /// Opens the folder of a store of this kind (`fjall`, `fjall checked`, …), or makes one of an empty or absent folder.
    pub(crate) fn open(path: &Path, kind: &str) -> Result<Self, OpenError> {
        check_place(path)?;
        make_folders(path).map_err(|error| OpenError::io(path, error))?;
        // Before anything is made, so that what is refused stays as it is; and once more under the lock.
        read_marker(path, kind)?;
        let lock = lock(path)?;
        if !read_marker(path, kind)? {
            write_marker(path, kind).map_err(|error| OpenError::io(path, error))?;
        }
        Ok(Self { _lock: lock })
    }
}

fn not_a_store(path: &Path, found: &str) -> OpenError {
    OpenError::NotAStore { path: path.to_path_buf(), found: found.to_owned() }
}

/// Refuses a path that holds anything else, before a single file is made there.
fn check_place(path: &Path) -> Result<(), OpenError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(not_a_store(path, "a file")),
        Err(error) => return Err(OpenError::io(path, error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(|error| OpenError::io(path, error))?.file_name());
    }
    if names.iter().any(|name| name == MARKER) {
        return Ok(());
    }
    names.sort();
    match names.iter().find(|name| *name != LOCK && *name != MARKER_NEW) {
        Some(other) => Err(not_a_store(path, &format!("a folder with other things in it (`{}`)", other.display()))),
        None => Ok(()),
    }
}

/// Makes the folder and those above it that are absent, and their names durable.
fn make_folders(path: &Path) -> io::Result<()> {
    let absent: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(path)?;
    for folder in absent {
        match folder.parent() {
            Some(above) if !above.as_os_str().is_empty() => sync_folder(above)?,
            Some(_) => sync_folder(Path::new("."))?,
            None => {}
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(LOCK))
        .map_err(|error| OpenError::io(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io(path, error)),
    }
}

fn write_marker(path: &Path, kind: &str) -> io::Result<()> {
    let new = path.join(MARKER_NEW);
    let mut file = File::create(&new)?;
    write!(file, "{TITLE}\nformat {FORMAT}\nkind {kind}\nnever edit the files in this folder\n")?;
    file.sync_all()?;
    rename(path, &new, &path.join(MARKER))
}

/// Gives a file in this folder its name, durably.
pub(crate) fn rename(folder: &Path, from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(folder)
}

/// Whether there is a marker. One that is not of this kind and format is an error.
fn read_marker(path: &Path, kind: &str) -> Result<bool, OpenError> {
    match fs::read_to_string(path.join(MARKER)) {
        Ok(text) => check_marker(path, &text, kind).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::IsADirectory) => {
            Err(not_a_store(path, "a file `anabranch` that is no marker"))
        }
        Err(error) => Err(OpenError::io(path, error)),
    }
}

fn check_marker(path: &Path, text: &str, kind: &str) -> Result<(), OpenError> {
    let mut lines = text.lines();
    let title = lines.next();
    let format = lines.next().and_then(|line| line.strip_prefix("format ")).and_then(|found| found.parse().ok());
    let (Some(TITLE), Some(found)) = (title, format) else {
        return Err(not_a_store(path, "a file `anabranch` that is no marker"));
    };
    if found != FORMAT {
        return Err(OpenError::UnknownFormat { path: path.to_path_buf(), found, newest_known: FORMAT });
    }
    match lines.next().and_then(|line| line.strip_prefix("kind ")) {
        Some(found) if found == kind => Ok(()),
        found => Err(OpenError::OtherKind {
            path: path.to_path_buf(),
            found: found.unwrap_or("nothing").to_owned(),
            asked: kind.to_owned(),
        }),
    }
}

/// Makes the names in a folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}
