//! Names in folders: which are durable, and which changes wait for a sync of their folder.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;

use rand_chacha::ChaCha8Rng;

use super::torn;

/// A file's or folder's place in the tree's list.
pub(super) type NodeId = usize;

/// The names of one folder.
pub(super) type Names = BTreeMap<OsString, NodeId>;

/// The names of all folders, by the folder.
pub(super) type Folders = BTreeMap<NodeId, Names>;

/// A change to names, each whole or not at all.
#[derive(Clone)]
pub(super) enum NameChange {
    /// A name for a new file or folder, or one more for a file.
    Add { folder: NodeId, name: OsString, node: NodeId },
    /// A name less.
    Remove { folder: NodeId, name: OsString },
    /// A name moved, in place of what stood there.
    Move { from: (NodeId, OsString), to: (NodeId, OsString) },
}

impl NameChange {
    fn folders(&self) -> [NodeId; 2] {
        match self {
            NameChange::Add { folder, .. } | NameChange::Remove { folder, .. } => [*folder, *folder],
            NameChange::Move { from, to } => [from.0, to.0],
        }
    }

    fn apply(&self, folders: &mut Folders) {
        match self {
            NameChange::Add { folder, name, node } => {
                folders.entry(*folder).or_default().insert(name.clone(), *node);
            }
            NameChange::Remove { folder, name } => {
                folders.entry(*folder).or_default().remove(name);
            }
            NameChange::Move { from, to } => {
                if let Some(node) = folders.entry(from.0).or_default().remove(&from.1) {
                    folders.entry(to.0).or_default().insert(to.1.clone(), node);
                }
            }
        }
    }
}

/// The names as the process sees them and as the disk keeps them.
#[derive(Clone, Default)]
pub(super) struct Directory {
    live: Folders,
    durable: Folders,
    pending: Vec<NameChange>,
}

impl Directory {
    /// Adds a folder without names.
    pub(super) fn add_folder(&mut self, folder: NodeId) {
        self.live.insert(folder, Names::new());
        self.durable.insert(folder, Names::new());
    }

    pub(super) fn change(&mut self, change: NameChange) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    /// The names of a folder now; `None` for a file.
    pub(super) fn live(&self, folder: NodeId) -> Option<&Names> {
        self.live.get(&folder)
    }

    /// All that has a name now, once for each.
    pub(super) fn live_nodes(&self) -> impl Iterator<Item = NodeId> {
        self.live.values().flat_map(|names| names.values().copied())
    }

    /// The folder and name that a path stands for now, from `root`.
    pub(super) fn place<'a>(&self, root: NodeId, path: &'a Path) -> Option<(NodeId, &'a OsStr)> {
        let name = path.file_name()?;
        let mut folder = root;
        for part in path.parent()?.iter() {
            folder = *self.live.get(&folder)?.get(part)?;
        }
        self.live.contains_key(&folder).then_some((folder, name))
    }

    /// A sync of `folder`: what waits for it becomes durable, with all that must come before or along.
    pub(super) fn sync(&mut self, folder: NodeId) {
        // Backwards: a rename that becomes durable takes its other folder's earlier changes with it.
        let mut synced = BTreeSet::from([folder]);
        let mut keep: Vec<bool> = Vec::with_capacity(self.pending.len());
        for change in self.pending.iter().rev() {
            let folders = change.folders();
            let taken = folders.iter().any(|folder| synced.contains(folder));
            if taken {
                synced.extend(folders);
            }
            keep.push(!taken);
        }
        let mut keep = keep.into_iter().rev();
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let keep = keep.next().unwrap_or(true);
            if !keep {
                change.apply(durable);
            }
            keep
        });
    }

    /// A sync of all.
    pub(super) fn sync_all(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn unsynced(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The names with all changes.
    pub(super) fn all(&self) -> Folders {
        self.live.clone()
    }

    /// The names without those that wait.
    pub(super) fn none(&self) -> Folders {
        self.durable.clone()
    }

    /// The names with, of each folder, a random beginning of the changes that wait.
    pub(super) fn some(&self, rng: &mut ChaCha8Rng) -> Folders {
        let mut waiting: BTreeMap<NodeId, usize> = BTreeMap::new();
        for change in &self.pending {
            for folder in BTreeSet::from(change.folders()) {
                *waiting.entry(folder).or_default() += 1;
            }
        }
        let mut left: BTreeMap<NodeId, usize> =
            waiting.into_iter().map(|(folder, count)| (folder, torn::beginning(rng, count))).collect();
        let mut folders = self.durable.clone();
        for change in &self.pending {
            let touched = BTreeSet::from(change.folders());
            if touched.iter().all(|folder| left.get(folder).is_some_and(|left| *left > 0)) {
                change.apply(&mut folders);
                for folder in touched {
                    left.entry(folder).and_modify(|left| *left -= 1);
                }
            } else {
                // Lost in one folder, so in both, and with it all that follows there.
                left.extend(touched.into_iter().map(|folder| (folder, 0)));
            }
        }
        folders
    }
}
