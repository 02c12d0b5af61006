//! The embedder's word on what may be merged.

use crate::wire::Block;

/// What becomes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Its delta is merged.
    Merge,
    /// It counts for ancestry and nothing else, as a block that breaks a rule does.
    Void,
}

/// Judges blocks by their content alone. All replicas of a network must judge alike, or they
/// diverge: no clock, no local state, no peer.
pub trait Validator {
    /// The verdict on a block that breaks no rule of the format. Our own blocks are judged too,
    /// before they are made: what would be void is refused.
    fn judge(&self, block: &Block) -> Verdict;

    /// Whether any verdict can be other than [`Verdict::Merge`]. `false` spares the judging of own blocks.
    fn judges(&self) -> bool {
        true
    }
}

/// Merges every block that breaks no rule of the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MergeAll;

impl Validator for MergeAll {
    fn judge(&self, _: &Block) -> Verdict {
        Verdict::Merge
    }

    fn judges(&self) -> bool {
        false
    }
}
