//! A copy of the sources, into which bugs are put, and the simulator that is built from it.

use crate::bug::Bug;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What is copied of the repository: all that the build reads, and the scenarios.
const LEFT_OUT: [&str; 2] = ["target", "node_modules"];

/// A copy of the sources. The product's own files are never touched.
#[derive(Debug)]
pub struct Tree {
    original: PathBuf,
    copy: PathBuf,
    built: PathBuf,
    /// What the last bug has changed.
    changed: Vec<PathBuf>,
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
        Ok(Self { original: original.to_path_buf(), copy, built: work.join("build"), changed: Vec::new() })
    }

    /// Puts a bug in, in place of the one before; `None` gives the product as it is.
    ///
    /// # Errors
    /// When the patch does not apply, or a file cannot be written.
    pub fn put(&mut self, bug: Option<&Bug>) -> Result<(), String> {
        let failed = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
        for path in std::mem::take(&mut self.changed) {
            let text = fs::read(self.original.join(&path)).map_err(|error| failed(&path, error))?;
            fs::write(self.copy.join(&path), text).map_err(|error| failed(&path, error))?;
        }
        for (path, text) in bug.map_or(Ok(Vec::new()), |bug| bug.applied(&self.original))? {
            fs::write(self.copy.join(&path), text).map_err(|error| failed(&path, error))?;
            self.changed.push(path);
        }
        Ok(())
    }

    /// Builds the simulator, and gives the program.
    ///
    /// # Errors
    /// What the compiler says.
    pub fn build(&self) -> Result<PathBuf, String> {
        let output = Command::new("cargo")
            .current_dir(&self.copy)
            .args([
                "build",
                "--release",
                "--quiet",
                "--locked",
                "--package",
                "anabranch-sim",
                "--bin",
                "anabranch",
                "--target-dir",
            ])
            .arg(&self.built)
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
