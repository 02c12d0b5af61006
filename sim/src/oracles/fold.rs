//! A replica's state is the naive fold over the blocks that it has merged (invariants 1, 3 and 6).

use super::{
    Finding, Observed,
    observed::{difference, show_heads, show_value},
};
use crate::{fold::Folded, ledger::Ledger, scenario::Party};

/// The fold over all that a replica has merged: O(n log n) in blocks and writes.
#[must_use]
pub fn of(ledger: &Ledger, replica: Party) -> Folded {
    let folded = crate::fold::fold(&ledger.all_merged(replica).map(|block| (block.cid, block.bytes.clone())).collect());
    // Between two steps a void block may be merged, and the good one that builds upon it only be ready: the fold alone leaves it out.
    Folded { void: ledger.void(replica), ..folded }
}

/// Whether a replica shows what the fold gives.
///
/// # Errors
/// Where they first differ.
pub fn check(observed: &Observed, folded: &Folded) -> Finding {
    let state = difference(&observed.state, &folded.state, |key, replica, fold| {
        format!("{key} is {}, and the fold over its blocks gives {}", show_value(replica), show_value(fold))
    });
    let heads = || {
        difference(&observed.heads, &folded.heads, |dag, replica, fold| {
            format!(
                "heads of DAG \"{dag}\" are {}, and the fold over its blocks gives {}",
                show_heads(replica),
                show_heads(fold)
            )
        })
    };
    if let Some(difference) = state.or_else(heads) {
        return Err(difference);
    }
    let count = |name: &str, replica: u64, fold: u64| match replica == fold {
        true => Ok(()),
        false => Err(format!("{replica} blocks are {name}, and the fold over its blocks counts {fold}")),
    };
    count("void", observed.void, folded.void)?;
    count("misdeclared", observed.misdeclared, folded.misdeclared)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ledger::tests::block;
    use anabranch_core::{Bytes, Cid, DagName, Key};

    /// A replica that stops between a void block and the good one upon it is not wrong.
    #[test]
    fn a_void_block_counts_before_what_builds_upon_it() {
        let void = Bytes::from_static(b"\x0a\x01\xff");
        let mut ledger = Ledger::new(1);
        ledger.author(Party(0), Cid::of(&void), void.clone());
        ledger.merged(Party(0), &Cid::of(&void));
        assert_eq!(of(&ledger, Party(0)).void, 1);
    }

    #[test]
    fn fires_on_every_part_that_differs() {
        let mut ledger = Ledger::new(1);
        let (root, root_bytes) = block(&[], "k", "old", 1);
        let (child, child_bytes) = block(&[root], "k", "new", 2);
        ledger.author(Party(0), root, root_bytes);
        ledger.author(Party(0), child, child_bytes);
        ledger.merged(Party(0), &root);
        ledger.merged(Party(0), &child);
        let folded = of(&ledger, Party(0));
        let right = Observed {
            heads: [(DagName::default(), [child].into())].into(),
            state: [(Key::new("/k"), Bytes::from_static(b"new"))].into(),
            void: 0,
            misdeclared: 0,
        };
        assert_eq!(check(&right, &folded), Ok(()));
        let wrongs: [fn(&mut Observed); 6] = [
            |seen| drop(seen.state.insert(Key::new("/k"), Bytes::from_static(b"old"))),
            |seen| drop(seen.state.insert(Key::new("/other"), Bytes::new())),
            |seen| seen.state.clear(),
            |seen| drop(seen.heads.insert(DagName::default(), [Cid::of(b"other")].into())),
            |seen| seen.void = 1,
            |seen| seen.misdeclared = 1,
        ];
        for (number, wrong) in wrongs.iter().enumerate() {
            let mut seen = right.clone();
            wrong(&mut seen);
            assert!(check(&seen, &folded).is_err(), "wrong {number}");
        }
    }
}
