//! The script in a process of its own, on files: to be recorded, failed and killed.

mod marks;

pub(crate) use marks::synced;
pub use marks::{Marked, Marks};

use crate::{
    engines::{self, Engine},
    files::{Fail, Log, LogError, Shim},
    script::{Script, play},
};
use anabranch_core::Error;
use std::{
    fmt, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// The command of a program that plays scripts: `PROGRAM play ENGINE FOLDER MARKS SEED ACTIONS [--without-sync]`.
pub const PLAY: &str = "play";
/// Its flag that takes the syncs out.
pub const WITHOUT_SYNC: &str = "--without-sync";

/// Why a child ended before its script.
#[derive(Debug)]
pub enum Stopped {
    /// There is no such engine.
    NoEngine(String),
    /// The marks cannot be written.
    Marks(io::Error),
    /// The store did not open.
    Open(anabranch_store::OpenError),
    /// The store failed.
    Store(Error),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEngine(name) => {
                write!(f, "no engine `{name}`; expected {}, {} or {}", Names::DEFAULT, Names::SMALL, Names::REDB)
            }
            Self::Marks(error) => write!(f, "the marks: {error}"),
            Self::Open(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Stopped {}

struct Names;

impl Names {
    const DEFAULT: &'static str = engines::Default::NAME;
    const SMALL: &'static str = engines::Small::NAME;
    const REDB: &'static str = engines::Redb::NAME;
}

/// What a child does: it opens the store and plays the script, and marks what it has promised.
///
/// # Errors
/// When the store does not open, or fails.
pub fn child(engine: &str, folder: &Path, marks: &Path, script: &Script, syncs: bool) -> Result<(), Stopped> {
    let marks = Marks::create(marks).map_err(Stopped::Marks)?;
    match engine {
        Names::DEFAULT => play_on::<engines::Default>(folder, marks, script, syncs),
        Names::SMALL => play_on::<engines::Small>(folder, marks, script, syncs),
        Names::REDB => play_on::<engines::Redb>(folder, marks, script, syncs),
        other => Err(Stopped::NoEngine(other.to_owned())),
    }
}

fn play_on<E: Engine>(folder: &Path, marks: Marks, script: &Script, syncs: bool) -> Result<(), Stopped> {
    let store = E::open(folder).map_err(Stopped::Open)?;
    play(script, Marked::new(store, marks.clone(), syncs), &mut marks.clone()).map_err(Stopped::Store)
}

/// Starts children.
#[derive(Clone, Debug)]
pub struct Player {
    /// The program that knows the command [`PLAY`]: `anabranch-faults`.
    pub program: PathBuf,
    /// What they play.
    pub script: Script,
    /// Whether they sync.
    pub syncs: bool,
}

impl Player {
    /// A child that opens the store in this folder with this engine.
    #[must_use]
    pub fn command<E: Engine>(&self, folder: &Path, marks: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(PLAY).arg(E::NAME).arg(folder).arg(marks);
        command.arg(self.script.seed.to_string()).arg(self.script.actions.to_string());
        if !self.syncs {
            command.arg(WITHOUT_SYNC);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a child to its end in a new folder, with all that it does to its files recorded, and failed as told.
    ///
    /// # Errors
    /// When it cannot be started, or its log cannot be read.
    pub fn record<E: Engine>(&self, fail: Option<Fail>, fail_reads: Option<Fail>) -> io::Result<Recording> {
        let place = tempfile::Builder::new().prefix("anabranch-faults-").tempdir_in(scratch())?;
        std::fs::create_dir(place.path().join(ROOT))?;
        let (log, output) = self.recorded::<E>(place.path(), LOG, fail, fail_reads)?;
        Ok(Recording { place, log, output })
    }

    /// Runs another child on the folder that one has left, with its operations failed as told. Gives what it said, as
    /// [`Recording::ended`] does, and what it did.
    ///
    /// # Errors
    /// As `record`.
    pub fn again<E: Engine>(&self, left: &Recording, fail: Option<Fail>) -> io::Result<(Said, Log)> {
        let (log, output) = self.recorded::<E>(left.place.path(), "log of another", fail, None)?;
        Ok((said(&output), log))
    }

    fn recorded<E: Engine>(
        &self,
        place: &Path,
        log: &str,
        fail: Option<Fail>,
        fail_reads: Option<Fail>,
    ) -> io::Result<(Log, Output)> {
        let (root, log, marks) = (place.join(ROOT), place.join(log), place.join("marks"));
        let mut shim = Shim::new(&root, &log);
        shim.marks = Some(marks.clone());
        (shim.fail, shim.fail_reads) = (fail, fail_reads);
        let mut command = self.command::<E>(&root.join(STORE), &marks);
        shim.apply(&mut command)?;
        let output = command.output()?;
        let log = Log::read(&log).map_err(|error| match error {
            LogError::Io { .. } => io::Error::other(format!("{error}; the child said: {}", text(&output))),
            LogError::Bad { .. } => io::Error::other(error),
        })?;
        Ok((log, output))
    }
}

/// How a child ended: it played to the end, or it said in one line why not; or it ended otherwise than it should, by a signal, a panic, or
/// with more than one line, and this is what it said.
pub type Said = Result<Result<(), String>, String>;

/// The watched folder.
const ROOT: &str = "root";
/// The log beside it.
const LOG: &str = "log";
/// The store's folder in the watched one.
pub(crate) const STORE: &str = "store";

/// A child that has ended, and all that it did to its files.
#[derive(Debug)]
pub struct Recording {
    place: TempDir,
    /// What it did.
    pub log: Log,
    output: Output,
}

impl Recording {
    /// The watched folder, as the child left it.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.place.path().join(ROOT)
    }

    /// How it ended.
    ///
    /// # Errors
    /// See [`Said`].
    pub fn ended(&self) -> Said {
        said(&self.output)
    }

    /// Keeps the log and the folder, to be looked at, and gives their place.
    #[must_use]
    pub fn keep(self) -> PathBuf {
        self.place.keep()
    }
}

fn said(output: &Output) -> Said {
    let text = text(output);
    match output.status.code() {
        Some(0) if text.is_empty() => Ok(Ok(())),
        Some(1) if text.lines().count() == 1 => Ok(Err(text)),
        _ => Err(format!("the child ended with {}: {text}", output.status)),
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// Where folders that live for a moment are made: in memory where the system has such a place, since what is tested is the order
/// of operations and not this machine's disk.
#[must_use]
pub fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let usable = tempfile::Builder::new().prefix("anabranch-faults-").tempfile_in(memory).is_ok();
    if usable && std::env::var_os("TMPDIR").is_none() { memory.to_owned() } else { std::env::temp_dir() }
}
