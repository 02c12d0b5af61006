//! Starting a process with the shim.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::format::variable;

/// An error to inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    /// The disk is full: only what needs room fails (writes, growing, creating, renaming).
    Full,
    /// The device fails: all operations that change or sync.
    Io,
    /// The file system went read-only: all operations that change or sync.
    ReadOnly,
}

impl Errno {
    fn name(self) -> &'static str {
        match self {
            Errno::Full => "ENOSPC",
            Errno::Io => "EIO",
            Errno::ReadOnly => "EROFS",
        }
    }
}

/// Which operations fail. Those that change or sync are counted from 0, as in [`super::Log::operations`]; reads apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fail {
    /// The first that may fail.
    pub at: u64,
    /// The error.
    pub errno: Errno,
    /// Only the first that it concerns fails; else all from there on.
    pub once: bool,
    /// The first write that it concerns writes half of its bytes, and what follows fails: a disk that fills up. Nothing
    /// for reads.
    pub half: bool,
}

impl Fail {
    /// All from operation `at` on fail.
    pub fn from(at: u64, errno: Errno) -> Fail {
        Fail { at, errno, once: false, half: false }
    }

    fn text(self) -> String {
        let once = if self.once { ":once" } else { "" };
        let half = if self.half { ":half" } else { "" };
        format!("{}:{}{once}{half}", self.at, self.errno.name())
    }
}

/// What the shim is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shim {
    /// The folder to watch: it must exist.
    pub root: PathBuf,
    /// The log to write: outside the root, and not yet there.
    pub log: PathBuf,
    /// The file outside the root that the process writes its marks to; each write becomes a [`super::Mark`].
    pub marks: Option<PathBuf>,
    /// What to fail of the operations that change or sync.
    pub fail: Option<Fail>,
    /// What to fail of the reads.
    pub fail_reads: Option<Fail>,
}

impl Shim {
    /// Records `root` to `log`, without marks and faults.
    pub fn new(root: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Shim {
        Shim { root: root.into(), log: log.into(), marks: None, fail: None, fail_reads: None }
    }

    /// Sets the command's environment so that it runs with the shim. Finds the library, and builds it where needed:
    /// see [`shim_library`].
    pub fn apply(&self, command: &mut Command) -> io::Result<()> {
        let mut preload = shim_library()?.into_os_string();
        if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
            preload.push(OsString::from(":"));
            preload.push(others);
        }
        let root = self.root.canonicalize().map_err(|error| named(&self.root, &error))?;
        let log = outside(&root, &self.log)?;
        if log.exists() {
            return Err(named(&log, &io::Error::from(io::ErrorKind::AlreadyExists)));
        }
        command.env("LD_PRELOAD", preload).env(variable::ROOT, &root).env(variable::LOG, log);
        let marks = self.marks.as_deref().map(|marks| outside(&root, marks)).transpose()?;
        for (name, value) in [
            (variable::MARKS, marks.map(PathBuf::into_os_string)),
            (variable::FAIL, self.fail.map(|fail| fail.text().into())),
            (variable::FAIL_READS, self.fail_reads.map(|fail| Fail { half: false, ..fail }.text().into())),
        ] {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Ok(())
    }
}

/// The path of a file that may not exist yet, without symbolic links; it must not be under the root.
fn outside(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| named(path, &io::Error::from(io::ErrorKind::InvalidFilename)))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let path = parent.canonicalize().map_err(|error| named(parent, &error))?.join(name);
    match path.starts_with(root) {
        true => Err(io::Error::other(format!("{}: must not be in the watched folder", path.display()))),
        false => Ok(path),
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The library's file name.
const LIBRARY: &str = "libanabranch_faults_shim.so";

/// The shim's library beside the running executable (for a test, one folder up). Where it is missing, or older than its
/// sources where those are at hand, it is built with cargo in the same profile; the environment variable `CARGO` names
/// another cargo. Only for Linux with the GNU C library on 64 bits.
pub fn shim_library() -> io::Result<PathBuf> {
    if !cfg!(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")) {
        let what = "the shim works on 64-bit Linux with the GNU C library only";
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    let executable = std::env::current_exe()?;
    let mut folder = executable.parent().unwrap_or(Path::new("/"));
    if folder.ends_with("deps") {
        folder = folder.parent().unwrap_or(folder);
    }
    let library = folder.join(LIBRARY);
    let sources = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/shim"));
    let built = library.metadata().and_then(|meta| meta.modified()).ok();
    if built.is_some_and(|built| newest(sources).is_none_or(|newest| newest <= built)) {
        return Ok(library);
    }
    build(sources, folder)?;
    match library.exists() {
        true => Ok(library),
        false => Err(io::Error::new(io::ErrorKind::NotFound, format!("{}: cargo did not build it", library.display()))),
    }
}

/// When the newest of the sources changed; `None` where they are not at hand.
fn newest(sources: &Path) -> Option<SystemTime> {
    let sources = std::fs::read_dir(sources.join("src")).ok()?;
    sources.filter_map(|entry| entry.ok()?.metadata().ok()?.modified().ok()).max()
}

/// Builds the library into `folder`, which is `TARGET/PROFILE`.
fn build(sources: &Path, folder: &Path) -> io::Result<()> {
    let (Some(target), Some(profile)) = (folder.parent(), folder.file_name().and_then(|name| name.to_str())) else {
        return Err(io::Error::other(format!("{}: not a target folder of cargo", folder.display())));
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--package", "anabranch-faults-shim", "--manifest-path"])
        .arg(sources.join("Cargo.toml"))
        .args(["--profile", if profile == "debug" { "dev" } else { profile }, "--target-dir"])
        .arg(target)
        .env_remove("LD_PRELOAD")
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("cannot build the shim with cargo build -p anabranch-faults-shim: {said}")))
}
