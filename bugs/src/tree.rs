//! A copy of the sources, into which bugs are put, and the simulator that is built from it.

use crate::bug::Bug;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What is copied of the repository: all that the build reads, and the scenarios.
const LEFT_OUT: [&str; 2] = ["target", "node_modules"];

/// What of the simulator is ours.
const OURS: [&str; 4] = ["anabranch-core", "anabranch-store", "anabranch-car", "anabranch-sim"];

/// What the simulator is made of, beside its dependencies.
const SOURCES: [&str; 4] = ["core/src", "store/src", "sim/src", "scenarios"];

/// How much the compiler optimises what is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Little: it is built anew for each bug, and most bugs are found sooner than a faster program would be built.
    Soon,
    /// All it can: for thousands of seeds.
    Fast,
}

/// A copy of the sources. The product's own files are never touched, and what becomes of them while bugs are hunted makes no difference.
#[derive(Debug)]
pub struct Tree {
    copy: PathBuf,
    built: PathBuf,
    /// The files that the last bug has changed, as they were before.
    changed: Vec<(PathBuf, Vec<u8>)>,
    mark: u64,
}

impl Tree {
    /// Copies the sources of the repository into a folder below `work`.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub fn new(original: &Path, work: &Path) -> Result<Self, String> {
        let copy = work.join("tree");
        let failed = |error: io::Error| format!("{}: {error}", copy.display());
        if copy.exists() {
            fs::remove_dir_all(&copy).map_err(failed)?;
        }
        copy_folder(original, &copy).map_err(failed)?;
        let mut mark = Mark::default();
        for folder in SOURCES {
            mark_folder(&copy.join(folder), &mut mark).map_err(failed)?;
        }
        Ok(Self { copy, built: work.join("build"), changed: Vec::new(), mark: mark.0 })
    }

    /// Puts a bug in, in place of the one before; `None` gives the product as it is.
    ///
    /// # Errors
    /// When the patch does not apply, or a file cannot be written.
    pub fn put(&mut self, bug: Option<&Bug>) -> Result<(), String> {
        let failed = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
        for (path, text) in std::mem::take(&mut self.changed) {
            fs::write(self.copy.join(&path), text).map_err(|error| failed(&path, error))?;
        }
        for (path, text) in bug.map_or(Ok(Vec::new()), |bug| bug.applied(&self.copy))? {
            let before = fs::read(self.copy.join(&path)).map_err(|error| failed(&path, error))?;
            fs::write(self.copy.join(&path), text).map_err(|error| failed(&path, error))?;
            self.changed.push((path, before));
        }
        Ok(())
    }

    /// A mark of the sources and of a bug: equal for equal ones.
    #[must_use]
    pub fn mark(&self, bug: Option<&Bug>) -> String {
        let mut mark = Mark(self.mark);
        bug.into_iter().flat_map(Bug::texts).for_each(|text| mark.add(text.as_bytes()));
        format!("{:016x}", mark.0)
    }

    /// Builds the simulator, and gives the program.
    ///
    /// # Errors
    /// What the compiler says.
    pub fn build(&self, build: Build) -> Result<PathBuf, String> {
        let level = match build {
            Build::Soon => 1,
            Build::Fast => 3,
        };
        let output = Command::new("cargo")
            .current_dir(&self.copy)
            .args([
                "build",
                "--release",
                "--quiet",
                "--locked",
                "--no-default-features",
                "--package",
                "anabranch-sim",
                "--bin",
                "anabranch",
                "--target-dir",
            ])
            .arg(&self.built)
            .args(OURS.iter().flat_map(|name| {
                [String::from("--config"), format!("profile.release.package.{name}.opt-level={level}")]
            }))
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cargo cannot be run: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let errors: Vec<&str> = said.lines().skip_while(|line| !line.starts_with("error")).collect();
            return Err(format!("does not build: {}", errors.join("\n")));
        }
        Ok(self.built.join("release").join(format!("anabranch{}", std::env::consts::EXE_SUFFIX)))
    }

    /// A file or folder of the copy.
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        self.copy.join(path)
    }
}

/// FNV-1a over 64 bits: enough to tell sources apart that nobody has chosen to be alike.
struct Mark(u64);

impl Default for Mark {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Mark {
    /// Adds some bytes, and where they end.
    fn add(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn mark_folder(folder: &Path, mark: &mut Mark) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        mark.add(entry.file_name().as_encoded_bytes());
        if entry.file_type()?.is_dir() {
            mark_folder(&entry.path(), mark)?;
        } else {
            mark.add(&fs::read(entry.path())?);
        }
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with('.');
        if hidden || LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to.join(name))?;
        } else {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}
