//! The files that are written: opened before the first run, so that an hour of runs never ends at a path that cannot be written.

use crate::Stop;
use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// A file to be written at the end. Until then the path is as it was; a run that fails leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    file: NamedTempFile,
}

impl Output {
    /// Sees that the path can be written.
    pub(crate) fn open(path: &Path) -> Result<Self, Stop> {
        let refused = |why: &dyn std::fmt::Display| {
            Stop::Usage(format!(
                "{}: cannot be written: {why}; give a file in a folder that exists and that you may write to",
                path.display()
            ))
        };
        match fs::metadata(path) {
            Ok(found) if !found.is_file() => return Err(refused(&"it is no file")),
            Ok(found) if found.permissions().readonly() => return Err(refused(&"it is read-only")),
            _ => {}
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = make(parent).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => refused(&format!("there is no folder {}", parent.display())),
            kind => refused(&kind),
        })?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// Writes the file, all or nothing.
    pub(crate) fn write(mut self, text: &str) -> Result<(), Stop> {
        let failed = |error: &io::Error| Stop::failed(format!("{}: {error}", self.path.display()));
        self.file.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
        self.file.persist(&self.path).map_err(|error| failed(&error.error))?;
        Ok(())
    }
}

#[cfg(unix)]
fn make(parent: &Path) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    // As files are usually made; the umask takes its share.
    tempfile::Builder::new()
        .prefix(".anabranch-compare-")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(parent)
}

#[cfg(not(unix))]
fn make(parent: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(".anabranch-compare-").tempfile_in(parent)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_file_appears_at_the_end_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        drop(Output::open(&path).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        Output::open(&path).unwrap().write("{}").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
    }

    #[test]
    fn what_cannot_be_written_is_bad_usage() {
        let dir = tempfile::tempdir().unwrap();
        for bad in [dir.path().to_path_buf(), dir.path().join("no/such/folder.json")] {
            let Err(Stop::Usage(why)) = Output::open(&bad) else { panic!("{} was taken", bad.display()) };
            assert!(why.lines().count() == 1 && why.contains("cannot be written"), "{why}");
        }
    }
}
