//! What a disk may hold after a power cut.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::content::Content;
use super::log::Log;
use super::names::{Directory, Folders, NodeId};
use super::torn;
use super::tree::{FileNode, Misfit, Tree};

/// What becomes of the changes that no sync has made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// All are lost: bytes, lengths and names.
    All,
    /// None is lost, as when only the process is killed.
    None,
    /// Names and lengths survive, bytes are lost: where a file grew it reads as zeros. So ext4 with data=writeback.
    Data,
    /// Of each file a random part of its sectors and lengths survives, of each folder a random beginning of its changes.
    /// The same seed on the same tree gives the same image.
    Random(u64),
}

/// A folder as a disk may hold it. Files with two names become two files.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// By path; `None` is a folder. A folder comes before what it holds.
    entries: BTreeMap<PathBuf, Option<Content>>,
}

/// The stream of random numbers for the names: files use their own places, which are lower.
const NAMES_STREAM: u64 = u64::MAX;

impl Image {
    /// The image if the power goes just before operation `index` of the log, of a folder that was empty at its start.
    /// Costs the operations before; to visit many points, bring one [`Tree`] forward.
    pub fn at(log: &Log, index: usize, loss: Loss) -> Result<Image, Misfit> {
        let mut tree = Tree::new(log);
        for operation in log.operations().iter().take(index) {
            tree.apply(operation)?;
        }
        Ok(tree.image(loss))
    }

    pub(super) fn new(root: NodeId, names: &Directory, files: &BTreeMap<NodeId, FileNode>, loss: Loss) -> Image {
        let folders = match loss {
            Loss::All => names.none(),
            Loss::None | Loss::Data => names.all(),
            Loss::Random(seed) => names.some(&mut stream(seed, NAMES_STREAM)),
        };
        let mut image = Image { entries: BTreeMap::new() };
        let mut pieces = Pieces { folders: &folders, files, loss, seen: BTreeSet::new() };
        image.add(&mut pieces, root, Path::new(""));
        image
    }

    fn add(&mut self, pieces: &mut Pieces<'_>, folder: NodeId, path: &Path) {
        // Seen twice only if folders were moved into each other and half of it lost: then the first place stands.
        if !pieces.seen.insert(folder) {
            return;
        }
        let folders = pieces.folders;
        for (name, node) in folders.get(&folder).into_iter().flatten() {
            let path = path.join(name);
            match pieces.files.get(node) {
                Some(file) => {
                    self.entries.insert(path, Some(content(file, *node, pieces.loss)));
                }
                None => {
                    self.entries.insert(path.clone(), None);
                    self.add(pieces, *node, &path);
                }
            }
        }
    }

    /// The bytes of a file, if there is one under this path relative to the root.
    pub fn file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.entries.get(path.as_ref())?.as_ref().map(Content::bytes)
    }

    /// All files and folders, relative to the root, in order of their paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.entries.keys().map(PathBuf::as_path)
    }

    /// Makes the image real in `folder`, which must be empty or absent. Zeros that were never written stay holes.
    pub fn write_to(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        if std::fs::read_dir(folder)?.next().is_some() {
            let what = format!("{}: not empty: an image needs a folder of its own", folder.display());
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, what));
        }
        for (path, entry) in &self.entries {
            let path = folder.join(path);
            match entry {
                None => std::fs::create_dir(path)?,
                Some(content) => content.write_to(&File::create_new(path)?)?,
            }
        }
        Ok(())
    }

    /// The paths whose file or folder is another in `folder` than here. After a run, the image without loss must be the
    /// folder itself: else operations passed the shim unseen.
    pub fn differences(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut real = Image { entries: BTreeMap::new() };
        real.read(folder, Path::new(""))?;
        let paths: BTreeSet<&PathBuf> = self.entries.keys().chain(real.entries.keys()).collect();
        Ok(paths.into_iter().filter(|path| self.entries.get(*path) != real.entries.get(*path)).cloned().collect())
    }

    fn read(&mut self, folder: &Path, path: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let path = path.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                self.entries.insert(path.clone(), None);
                self.read(&entry.path(), &path)?;
            } else {
                self.entries.insert(path, Some(Content::read_from(&File::open(entry.path())?)?));
            }
        }
        Ok(())
    }
}

/// Paths and lengths: the bytes would fill the screen.
impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(self.entries.iter().map(|(path, entry)| (path, entry.as_ref().map(Content::size))))
            .finish()
    }
}

/// What an image is built from.
struct Pieces<'a> {
    folders: &'a Folders,
    files: &'a BTreeMap<NodeId, FileNode>,
    loss: Loss,
    seen: BTreeSet<NodeId>,
}

fn content(file: &FileNode, node: NodeId, loss: Loss) -> Content {
    match loss {
        Loss::None => file.live.clone(),
        Loss::All => file.durable.clone(),
        Loss::Data => {
            let mut content = file.durable.clone();
            file.pending.iter().for_each(|change| content.apply_length(change));
            content
        }
        Loss::Random(seed) => torn::torn(&file.durable, &file.pending, &mut stream(seed, node as u64)),
    }
}

fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}
