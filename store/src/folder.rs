//! The folder of a store: its marker, its lock, and the engine's files in a folder below.
//!
//! ```text
//! PATH/anabranch     the marker: what this is, in four lines of text
//! PATH/lock          locked while the store is open
//! PATH/data…         the engine's own files
//! ```
//!
//! The marker is written to a name beside it, synced and renamed: once before the engine makes its first file, saying that the store
//! is being made, and again when the engine has made and synced them all. What a crash leaves between the two is cleared away at
//! the next opening; nobody has been given the store before.

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
/// The last line of the marker of a store that is made, and of one that is not yet.
const MADE: &str = "never edit the files in this folder";
const MAKING: &str = "being made: opening it finishes that";

/// An open folder. Dropping it lets others open it.
#[derive(Debug)]
pub(crate) struct Folder {
    _lock: Lock,
    made: bool,
}

/// The file, locked as long as this lives.
///
/// Unlocked by name, not by closing it: a process that another thread is just starting holds every open file for a moment, and with
/// a mere copy of this one it would keep the lock.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Where it fails, closing the file does it.
        let _ = self.0.unlock();
    }
}

impl Folder {
    /// Opens the folder of a store of this kind (`fjall`, `fjall checked`, …), or begins to make one of an empty or absent folder. The
    /// engine keeps its files under the name `data`. Call [`finish`](Self::finish) when it is open.
    pub(crate) fn open(path: &Path, kind: &str, data: &str) -> Result<Self, OpenError> {
        check_place(path)?;
        make_folders(path).map_err(|error| OpenError::io(path, error))?;
        // Before anything is made, so that what is refused stays as it is; and once more under the lock.
        read_marker(path, kind)?;
        let lock = lock(path)?;
        let made = read_marker(path, kind)? == Marker::Made;
        let engine = path.join(data);
        if made && !engine.exists() {
            let what = format!("its `{data}` is gone");
            return Err(OpenError::Damaged { path: path.to_path_buf(), what });
        }
        if !made {
            let begun = write_marker(path, kind, MAKING).and_then(|()| clear(&engine));
            begun.map_err(|error| OpenError::io(path, error))?;
        }
        Ok(Self { _lock: lock, made })
    }

    /// Whether the engine has still to make its files, and make them durable.
    pub(crate) const fn is_new(&self) -> bool {
        !self.made
    }

    /// The engine is open, and all that it has made is durable.
    pub(crate) fn finish(&mut self, path: &Path, kind: &str) -> Result<(), OpenError> {
        if !self.made {
            write_marker(path, kind, MADE).map_err(|error| OpenError::io(path, error))?;
            self.made = true;
        }
        Ok(())
    }
}

/// What the marker says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marker {
    Absent,
    Making,
    Made,
}

/// Removes what an engine had begun to make.
fn clear(engine: &Path) -> io::Result<()> {
    let done = if engine.is_dir() { fs::remove_dir_all(engine) } else { fs::remove_file(engine) };
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
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

fn lock(path: &Path) -> Result<Lock, OpenError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(LOCK))
        .map_err(|error| OpenError::io(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io(path, error)),
    }
}

fn write_marker(path: &Path, kind: &str, state: &str) -> io::Result<()> {
    let new = path.join(MARKER_NEW);
    let mut file = File::create(&new)?;
    file.write_all(format!("{TITLE}\nformat {FORMAT}\nkind {kind}\n{state}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path.join(MARKER))?;
    sync_folder(path)
}

/// What the marker says. One that is not of this kind and format is an error.
fn read_marker(path: &Path, kind: &str) -> Result<Marker, OpenError> {
    match fs::read_to_string(path.join(MARKER)) {
        Ok(text) => check_marker(path, &text, kind),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Marker::Absent),
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::IsADirectory) => {
            Err(not_a_store(path, "a file `anabranch` that is no marker"))
        }
        Err(error) => Err(OpenError::io(path, error)),
    }
}

fn check_marker(path: &Path, text: &str, kind: &str) -> Result<Marker, OpenError> {
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
        Some(found) if found == kind => Ok(if lines.next() == Some(MAKING) { Marker::Making } else { Marker::Made }),
        found => Err(OpenError::OtherKind {
            path: path.to_path_buf(),
            found: found.unwrap_or("nothing").to_owned(),
            asked: kind.to_owned(),
        }),
    }
}

/// Makes the names in a folder and in all folders below it durable.
pub(crate) fn sync_names(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_names(&entry.path())?;
        }
    }
    sync_folder(path)
}

/// Makes the names in a folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_file_in_a_process_being_started_keeps_no_lock() {
        let place = tempfile::tempdir().unwrap();
        let first = lock(place.path()).unwrap();
        assert!(matches!(lock(place.path()), Err(OpenError::Locked { .. })));
        let copy = first.0.try_clone().unwrap();
        drop(first);
        lock(place.path()).unwrap();
        drop(copy);
    }
}
