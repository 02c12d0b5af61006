//! The watched folder after each operation: what the process sees, and what the disk keeps.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::content::{Change, Content};
use super::image::{Image, Loss};
use super::log::{Inode, Kind, Log, Operation};
use super::names::{Directory, NameChange, NodeId};

/// A disk that does not do what it says: to test that a sweep notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Syncs return and do nothing, durable writes likewise: all since the start waits.
    Fsync,
}

/// A file's bytes.
#[derive(Clone, Default)]
pub(super) struct FileNode {
    pub(super) live: Content,
    pub(super) durable: Content,
    /// From durable to live.
    pub(super) pending: Vec<Change>,
}

impl FileNode {
    fn change(&mut self, change: Change) {
        self.live.apply(&change);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            self.durable.apply(&change);
        }
    }
}

/// The folder's files and names, brought forward operation by operation. An operation costs what it changes; an image
/// costs its names, a pointer per 4096 bytes of its files, and for [`Loss::Random`] the sectors that wait. Bytes of
/// removed files stay in memory.
#[derive(Clone)]
pub struct Tree {
    files: BTreeMap<NodeId, FileNode>,
    names: Directory,
    nodes: NodeId,
    inodes: BTreeMap<Inode, NodeId>,
    lie: Option<Lie>,
    applied: usize,
}

/// An operation that does not fit the tree: the log lacks one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Which operation.
    pub index: usize,
    /// The operation and what is wrong.
    pub what: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operation {} of the log: {}", self.index, self.what)
    }
}

impl std::error::Error for Misfit {}

/// The root's place.
const ROOT: NodeId = 0;

impl Tree {
    /// The folder of a log before its first operation: empty.
    pub fn new(log: &Log) -> Tree {
        Tree::empty(log.root_inode())
    }

    fn empty(root: Inode) -> Tree {
        let mut names = Directory::default();
        names.add_folder(ROOT);
        let inodes = BTreeMap::from([(root, ROOT)]);
        Tree { files: BTreeMap::new(), names, nodes: 1, inodes, lie: None, applied: 0 }
    }

    /// A folder that holds files already, all durable. Take it before the process starts: files are known by their
    /// inodes, so a copy of the folder will not do.
    pub fn of_folder(folder: &Path) -> io::Result<Tree> {
        let mut tree = Tree::empty(inode(&folder.metadata()?));
        tree.read_folder(ROOT, folder)?;
        tree.sync_all();
        Ok(tree)
    }

    fn read_folder(&mut self, into: NodeId, folder: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            let known = self.inodes.get(&inode(&meta)).copied();
            let node = known.unwrap_or_else(|| self.add_node(inode(&meta)));
            if meta.is_dir() {
                self.names.add_folder(node);
                self.read_folder(node, &entry.path())?;
            } else {
                let content = Content::read_from(&std::fs::File::open(entry.path())?)?;
                self.files.insert(node, FileNode { live: content.clone(), durable: content, pending: Vec::new() });
            }
            self.names.change(NameChange::Add { folder: into, name: entry.file_name(), node });
        }
        Ok(())
    }

    /// The same on a disk that lies. To be told before the first operation.
    pub fn lying(mut self, lie: Lie) -> Tree {
        self.lie = Some(lie);
        self
    }

    /// How many operations have been applied.
    pub fn applied(&self) -> usize {
        self.applied
    }

    /// Whether something waits for a sync. If not, the images of all losses are the same.
    pub fn unsynced(&self) -> bool {
        // With no name waiting, a file under no name is in no image.
        let waits = |node: NodeId| self.files.get(&node).is_some_and(|file| !file.pending.is_empty());
        self.names.unsynced() || self.names.live_nodes().any(waits)
    }

    /// What the disk may hold if the power goes now.
    pub fn image(&self, loss: Loss) -> Image {
        Image::new(ROOT, &self.names, &self.files, loss)
    }

    /// Brings the tree forward by the log's next operation. One that failed changes nothing. On an error the tree is
    /// as it was.
    pub fn apply(&mut self, operation: &Operation) -> Result<(), Misfit> {
        if operation.errno.is_none() {
            self.apply_kind(&operation.kind)
                .map_err(|what| Misfit { index: self.applied, what: format!("{operation}: {what}") })?;
        }
        self.applied += 1;
        Ok(())
    }

    fn apply_kind(&mut self, kind: &Kind) -> Result<(), String> {
        match kind {
            Kind::Write { inode, offset, data, durable } => {
                let lie = self.lie.is_some();
                let file = self.file(*inode)?;
                file.change(Change::Write(*offset, data.clone()));
                if *durable && !lie {
                    file.sync();
                }
            }
            Kind::SetLength { inode, length } => self.file(*inode)?.change(Change::Resize(*length)),
            Kind::Allocate { inode, end } => self.file(*inode)?.change(Change::Grow(*end)),
            Kind::SyncRange { .. } => {}
            Kind::Sync { .. } | Kind::SyncAll if self.lie == Some(Lie::Fsync) => {}
            Kind::Sync { inode, directory: false } => self.file(*inode)?.sync(),
            Kind::Sync { inode, directory: true } => {
                let folder = self.node(*inode)?;
                self.names.sync(folder);
            }
            Kind::SyncAll => self.sync_all(),
            Kind::Create { inode, path } => {
                let node = self.add_name(*inode, path)?;
                self.files.insert(node, FileNode::default());
            }
            Kind::MakeDir { inode, path } => {
                let node = self.add_name(*inode, path)?;
                self.names.add_folder(node);
            }
            Kind::Link { inode, from, to } => {
                let (_, node) = self.existing(*inode, from)?;
                let (folder, name) = self.free(to)?;
                self.names.change(NameChange::Add { folder, name: name.to_owned(), node });
            }
            Kind::Rename { inode, from, to } => self.rename(*inode, from, to)?,
            Kind::Unlink { inode, path } | Kind::RemoveDir { inode, path } => {
                let ((folder, name), node) = self.existing(*inode, path)?;
                if self.names.live(node).is_some_and(|names| !names.is_empty()) {
                    return Err("the folder is not empty: an operation on it was not recorded".to_owned());
                }
                self.names.change(NameChange::Remove { folder, name: name.to_owned() });
            }
        }
        Ok(())
    }

    fn rename(&mut self, inode: Inode, from: &Path, to: &Path) -> Result<(), String> {
        let ((from_folder, from_name), node) = self.existing(inode, from)?;
        let (to_folder, to_name) = self.place(to)?;
        let replaced = self.names.live(to_folder).and_then(|names| names.get(to_name));
        // Of two names of one file, rename leaves both: so POSIX.
        if replaced != Some(&node) {
            let (from, to) = ((from_folder, from_name.to_owned()), (to_folder, to_name.to_owned()));
            self.names.change(NameChange::Move { from, to });
        }
        Ok(())
    }

    fn sync_all(&mut self) {
        self.files.values_mut().for_each(FileNode::sync);
        self.names.sync_all();
    }

    fn add_node(&mut self, inode: Inode) -> NodeId {
        let node = self.nodes;
        self.nodes += 1;
        // In place of a removed file whose number is used again.
        self.inodes.insert(inode, node);
        node
    }

    fn add_name(&mut self, inode: Inode, path: &Path) -> Result<NodeId, String> {
        let (folder, name) = self.free(path)?;
        let node = self.add_node(inode);
        self.names.change(NameChange::Add { folder, name: name.to_owned(), node });
        Ok(node)
    }

    fn node(&self, inode: Inode) -> Result<NodeId, String> {
        let unknown = || format!("inode {} is not known: {NOT_RECORDED}", inode.number);
        self.inodes.get(&inode).copied().ok_or_else(unknown)
    }

    fn file(&mut self, inode: Inode) -> Result<&mut FileNode, String> {
        let node = self.node(inode)?;
        self.files.get_mut(&node).ok_or_else(|| format!("inode {} is no file: {NOT_RECORDED}", inode.number))
    }

    fn place<'a>(&self, path: &'a Path) -> Result<(NodeId, &'a std::ffi::OsStr), String> {
        self.names
            .place(ROOT, path)
            .ok_or_else(|| format!("the folder of {} is not known: {NOT_RECORDED}", path.display()))
    }

    /// The place of a name that is not taken.
    fn free<'a>(&self, path: &'a Path) -> Result<(NodeId, &'a std::ffi::OsStr), String> {
        let place = self.place(path)?;
        match self.names.live(place.0).is_some_and(|names| names.contains_key(place.1)) {
            true => Err(format!("{} is there already: {NOT_RECORDED}", path.display())),
            false => Ok(place),
        }
    }

    /// The place of a name and what it names, which must be `inode`.
    fn existing<'a>(&self, inode: Inode, path: &'a Path) -> Result<((NodeId, &'a std::ffi::OsStr), NodeId), String> {
        let place = self.place(path)?;
        let node = self.names.live(place.0).and_then(|names| names.get(place.1)).copied();
        match node {
            Some(node) if self.inodes.get(&inode) == Some(&node) => Ok((place, node)),
            Some(_) => Err(format!("{} is another file than the log's: {NOT_RECORDED}", path.display())),
            None => Err(format!("{} is not known: {NOT_RECORDED}", path.display())),
        }
    }
}

/// Why a log may not fit.
const NOT_RECORDED: &str = "an earlier operation was not recorded, or the folder was not empty (see Tree::of_folder)";

fn inode(meta: &std::fs::Metadata) -> Inode {
    Inode { device: meta.dev(), number: meta.ino() }
}
