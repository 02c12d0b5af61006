//! The check "sync order": nothing is acknowledged before a sync.

use std::collections::BTreeMap;
use std::fmt;

use super::log::{Kind, Log};

/// The first acknowledgement that breaks the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Acknowledged, and no sync of a file began between.
    NoSync {
        /// What was acknowledged.
        commit: String,
        /// How many operations had run before the mark of the commit.
        committed: usize,
        /// How many had run before the mark of the acknowledgement.
        acknowledged: usize,
    },
    /// Acknowledged, and no commit marked before.
    NoCommit {
        /// What was acknowledged.
        commit: String,
        /// How many operations had run before.
        acknowledged: usize,
    },
    /// Committed twice under one name: the second would hide behind the first.
    Twice {
        /// What was committed.
        commit: String,
        /// How many operations had run before.
        committed: usize,
    },
    /// A mark that is not whole lines of text.
    Mark {
        /// How many operations had run before.
        before: usize,
        /// The bytes, as text.
        text: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::NoSync { commit, committed, acknowledged } => write!(
                f,
                "commit {commit} was acknowledged before operation {acknowledged}, and since its mark before operation \
                 {committed} no file was synced"
            ),
            Violation::NoCommit { commit, acknowledged } => {
                write!(
                    f,
                    "commit {commit} was acknowledged before operation {acknowledged}, and never marked `C {commit}`"
                )
            }
            Violation::Twice { commit, committed } => {
                write!(f, "commit {commit} is marked again before operation {committed}: give each its own name")
            }
            Violation::Mark { before, text } => {
                write!(f, "the mark before operation {before} is not whole lines of text, each in one write: {text:?}")
            }
        }
    }
}

impl std::error::Error for Violation {}

/// Checks that between the marks `C K` (the commit K begins) and `A K` (it is acknowledged) of each K a sync of a file
/// succeeded, and returns how many acknowledgements there were. Marks are lines, each written whole by one write; other
/// lines are passed over. A sync that failed, of a folder, or by sync_file_range does not count.
///
/// The check does not know which file a commit is in: that the right one was synced, the crash images tell.
pub fn sync_order(log: &Log) -> Result<usize, Violation> {
    // For each operation, how many syncs succeeded before it.
    let mut syncs = vec![0usize];
    for operation in log.operations() {
        let sync =
            operation.errno.is_none() && matches!(operation.kind, Kind::Sync { directory: false, .. } | Kind::SyncAll);
        syncs.push(syncs[syncs.len() - 1] + usize::from(sync));
    }
    let mut commits: BTreeMap<&str, usize> = BTreeMap::new();
    let mut acknowledged = 0;
    for mark in log.marks() {
        let bad = || Violation::Mark { before: mark.before, text: String::from_utf8_lossy(&mark.bytes).into_owned() };
        let text = std::str::from_utf8(&mark.bytes).map_err(|_| bad())?;
        if !text.ends_with('\n') {
            return Err(bad());
        }
        for line in text.lines() {
            if let Some(commit) = line.strip_prefix("C ") {
                if commits.insert(commit, mark.before).is_some() {
                    return Err(Violation::Twice { commit: commit.to_owned(), committed: mark.before });
                }
            } else if let Some(commit) = line.strip_prefix("A ") {
                let at = mark.before;
                let Some(committed) = commits.get(commit).copied() else {
                    return Err(Violation::NoCommit { commit: commit.to_owned(), acknowledged: at });
                };
                if syncs[committed] == syncs[at] {
                    return Err(Violation::NoSync { commit: commit.to_owned(), committed, acknowledged: at });
                }
                acknowledged += 1;
            }
        }
    }
    Ok(acknowledged)
}
