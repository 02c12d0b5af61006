//! The oracles: who says that something is wrong. Each is a file of its own.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An oracle, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oracle {
    /// Replicas that have merged the same blocks have equal heads and equal states.
    Convergence,
    /// A replica's state and heads are those of the naive fold over its merged blocks.
    StateIsFold,
    /// A replica's heads are its merged good blocks to which no merged block of their DAG links.
    HeadsAreTips,
    /// The ancestors of a merged block are merged.
    AncestorsMerged,
    /// What was acknowledged is there after a crash.
    AcknowledgedWrites,
    /// The bytes of a merged block hash to its CID, and are those that its author made.
    NoCorruptBlock,
    /// A block that was merged and synced stays merged.
    KnownBlocks,
}

impl Oracle {
    /// All oracles.
    pub const ALL: [Self; 7] = [
        Self::Convergence,
        Self::StateIsFold,
        Self::HeadsAreTips,
        Self::AncestorsMerged,
        Self::AcknowledgedWrites,
        Self::NoCorruptBlock,
        Self::KnownBlocks,
    ];
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Convergence => "convergence",
            Self::StateIsFold => "state-is-fold",
            Self::HeadsAreTips => "heads-are-tips",
            Self::AncestorsMerged => "ancestors-merged",
            Self::AcknowledgedWrites => "acknowledged-writes",
            Self::NoCorruptBlock => "no-corrupt-block",
            Self::KnownBlocks => "known-blocks",
        })
    }
}
