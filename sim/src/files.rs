//! Files that appear whole or not at all.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process,
};

/// Writes a file under another name, makes it durable, and gives it its name. Where the name is that of no
/// regular file (a pipe, a device), it is written in place. If anything fails, nothing is left.
///
/// # Errors
/// What the system says.
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // A link stays a link: what it points to is replaced.
    let name = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if name.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let mut file = BufWriter::new(File::options().write(true).open(&name)?);
        return content(&mut file).and_then(|()| file.flush());
    }
    let draft = draft_of(&name);
    let written = File::create(&draft).and_then(|file| {
        let mut file = BufWriter::new(file);
        content(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()
    });
    let written = written.and_then(|()| fs::rename(&draft, &name));
    if written.is_err() {
        // Nothing can be done about a draft that cannot be removed.
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Fills a folder under another name, and gives it its name; one that is there already is replaced. If
/// anything fails, nothing is left, and what was there stays.
///
/// # Errors
/// What the system says.
pub fn write_folder(path: &Path, fill: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let made = parent.filter(|parent| !parent.exists());
    parent.map_or(Ok(()), fs::create_dir_all)?;
    let draft = draft_of(path);
    let _ = fs::remove_dir_all(&draft);
    let filled = fs::create_dir(&draft).and_then(|()| fill(&draft)).and_then(|()| {
        let old = path.exists().then(|| draft.with_extension("old"));
        if let Some(old) = &old {
            fs::rename(path, old)?;
        }
        fs::rename(&draft, path)?;
        old.map_or(Ok(()), fs::remove_dir_all)
    });
    if filled.is_err() {
        let _ = fs::remove_dir_all(&draft);
        // Empty, unless somebody else has put something there.
        made.map(fs::remove_dir);
    }
    filled
}

fn draft_of(path: &Path) -> PathBuf {
    let mut draft = path.to_owned().into_os_string();
    draft.push(format!(".{}.tmp", process::id()));
    PathBuf::from(draft)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_leaves_nothing_and_what_was_there_stays() {
        let folder = std::env::temp_dir().join(format!("anabranch-files-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("x");
        write(&file, |to| to.write_all(b"one")).unwrap();
        let failed = write(&file, |to| to.write_all(b"tw").and_then(|()| Err(io::Error::other("full"))));
        assert_eq!(failed.unwrap_err().to_string(), "full");
        assert_eq!(fs::read(&file).unwrap(), b"one");
        let sub = folder.join("sub");
        write_folder(&sub, |at| fs::write(at.join("a"), "1")).unwrap();
        write_folder(&sub, |at| fs::write(at.join("b"), "2")).unwrap();
        assert!(!sub.join("a").exists() && sub.join("b").exists(), "replaced whole");
        let failed = write_folder(&sub, |at| fs::write(at.join("c"), "3").and(Err(io::Error::other("full"))));
        assert!(failed.is_err() && sub.join("b").exists());
        let failed = write_folder(&folder.join("new/sub"), |_| Err(io::Error::other("full")));
        assert!(failed.is_err() && !folder.join("new").exists(), "nor the folder that was made for it");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "no draft is left");
        fs::remove_dir_all(&folder).unwrap();
    }
}
