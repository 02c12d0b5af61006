//! A command line over an Anabranch store on disk, with history and completion: what `anabranch shell` runs.
//!
//! [`run`] reads commands from a terminal, or line by line from whatever else stdin is, so that a script can do what a
//! person can.
#![forbid(unsafe_code)]

mod command;
mod line;
mod session;

use anabranch::{Datastore, OpenError};
use session::{Flow, Session};
use std::{
    fmt,
    io::{self, BufRead, IsTerminal, Write as _},
    path::{Path, PathBuf},
};

/// What the shell understands.
pub const HELP: &str = command::HELP;

/// How a shell ended. What went wrong at a terminal was told there, and counts as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// All commands were carried out.
    Well,
    /// A command that did not come from a terminal was wrong or failed; the others were carried out.
    CommandFailed,
    /// A `verify` that did not come from a terminal found faults, whatever became of the other commands.
    Unsound,
}

/// Why a shell cannot go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum ShellError {
    /// There is no store, and none is to be made.
    NoStore(PathBuf),
    /// The store cannot be opened.
    Open {
        /// Where it is.
        path: PathBuf,
        /// Why.
        why: OpenError,
    },
    /// Reading commands or writing results failed.
    Io(io::Error),
}

impl fmt::Display for ShellError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStore(path) => {
                write!(
                    f,
                    "{}: there is no store here; give the folder of one, or make one with --create",
                    path.display()
                )
            }
            // These name the folder themselves.
            Self::Open { why: why @ OpenError::Folder(_), .. } => why.fmt(f),
            Self::Open { path, why } => write!(f, "{}: {why}", path.display()),
            Self::Io(why) => write!(f, "commands cannot be read or results written: {why}"),
        }
    }
}

impl std::error::Error for ShellError {}

impl From<io::Error> for ShellError {
    fn from(why: io::Error) -> Self {
        Self::Io(why)
    }
}

/// Opens the store in this folder, makes one if `create` says so, and does what stdin says until it ends or `quit`.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let home = tempfile::tempdir()?;
/// use anabranch_shell::{Ended, HELP, ShellError, run};
///
/// println!("{HELP}");
/// let folder = home.path().join("store");
/// assert!(matches!(run(&folder, false), Err(ShellError::NoStore(_))));
/// # if false {
/// // At a terminal it asks for commands; from a pipe it takes them line by line.
/// let ended = run(&folder, true)?;
/// assert_eq!(ended, Ended::Well);
/// # }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the store cannot be opened, or stdin not read, or stdout not written to. A reader of stdout that has gone away ends the shell well.
pub fn run(path: &Path, create: bool) -> Result<Ended, ShellError> {
    let is_empty = std::fs::read_dir(path)
        .map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |mut entries| entries.next().is_none());
    if is_empty && !create {
        return Err(ShellError::NoStore(path.to_owned()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let store = runtime.block_on(Datastore::builder().open(path));
    let store = store.map_err(|why| ShellError::Open { path: path.to_owned(), why })?;
    let mut session = Session::new(runtime, store);
    let ended = match io::stdin().is_terminal() {
        true => interact(&mut session),
        false => follow(&mut session, io::stdin().lock()),
    };
    session.close();
    match ended {
        Err(ShellError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Ended::Well),
        ended => ended,
    }
}

/// Does what a person types.
fn interact(session: &mut Session) -> Result<Ended, ShellError> {
    let mut editor = line::Editor::new(session)?;
    println!("{}", session.greeting());
    while let Some(line) = editor.next_line()? {
        if execute(session, &line)? == Flow::Quit {
            break;
        }
    }
    Ok(Ended::Well)
}

/// Does what a script says.
fn follow(session: &mut Session, from: impl BufRead) -> Result<Ended, ShellError> {
    let mut ended = Ended::Well;
    for line in from.lines() {
        match execute(session, &line?)? {
            Flow::Quit => break,
            Flow::Failed => ended = ended.max(Ended::CommandFailed),
            Flow::Unsound => ended = Ended::Unsound,
            Flow::On => {}
        }
    }
    Ok(ended)
}

/// Does what one line says. What is wrong with it goes to stderr.
fn execute(session: &mut Session, line: &str) -> Result<Flow, ShellError> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let flow = match command::parse(line) {
        Ok(None) => Flow::On,
        Ok(Some(command)) => match session.execute(command, &mut out) {
            Ok(flow) => flow,
            Err(session::Failed::Write(error)) => return Err(error.into()),
            Err(session::Failed::Command(what)) => {
                out.flush()?;
                eprintln!("error: {what}");
                Flow::Failed
            }
            Err(session::Failed::Unsound(what)) => {
                out.flush()?;
                eprintln!("error: {what}");
                Flow::Unsound
            }
        },
        Err(what) => {
            eprintln!("error: {what}");
            Flow::Failed
        }
    };
    session.tell_changes(&mut out)?;
    out.flush()?;
    Ok(flow)
}
