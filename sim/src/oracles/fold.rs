//! A replica's state is the naive fold over the blocks that it has merged (invariants 1, 3 and 6).

use super::{
    Finding, Observed,
    observed::{difference, show_heads, show_value},
};
use crate::{
    fold::{Facts, Folded, fold_with},
    ledger::Ledger,
    scenario::Party,
};

/// The fold over all that a replica has merged, where of some blocks only `facts` are left: O(n log n) in blocks and writes.
#[must_use]
pub fn of(ledger: &Ledger, replica: Party, facts: &Facts) -> Folded {
    let blocks = ledger.all_merged(replica).map(|block| (block.cid, block.bytes.clone())).collect();
    let folded = fold_with(&blocks, facts);
    // Between two steps a void block may be merged, and the good one that builds upon it only be ready: the fold alone leaves it out.
    Folded { void: ledger.void(replica), ..folded }
}

/// Whether a replica shows what the fold gives.
///
/// # Errors
/// Where they first differ.
pub fn check(observed: &Observed, folded: &Folded) -> Finding {
    check_keys(observed)?;
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

/// Whether a replica that keeps so many tombstones for targets to come keeps those that the fold leaves open, and no other: what has
/// done its work is not kept (invariant 9). A void target may be merged before the good block upon it, and the fold leaves it out.
///
/// # Errors
/// How many there should be.
pub fn check_early(ledger: &Ledger, replica: Party, folded: &Folded, kept: u64) -> Finding {
    let open = folded.early.iter().filter(|(target, _)| !ledger.has_merged(replica, target)).count() as u64;
    match open == kept {
        true => Ok(()),
        false => Err(format!("{kept} tombstones are kept for targets to come, and {open} targets are still to come")),
    }
}

/// Whether a key is clean, as go-datastore cleans them (invariant 5). The decoder cleans keys for the fold too, so the fold cannot tell.
fn is_clean(key: &[u8]) -> bool {
    let mut parts = key.split(|byte| *byte == b'/').skip(1);
    key == b"/" || key.first() == Some(&b'/') && parts.all(|part| !matches!(part, b"" | b"." | b".."))
}

fn check_keys(observed: &Observed) -> Finding {
    match observed.state.keys().find(|key| !is_clean(key.as_bytes())) {
        None => Ok(()),
        Some(key) => Err(format!("{key} is shown, which is no clean key")),
    }
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
        assert_eq!(of(&ledger, Party(0), &Facts::default()).void, 1);
    }

    /// Of what is purged only the height is left; and what it had removed is there again.
    #[test]
    fn a_purged_block_counts_for_height_alone() {
        let mut ledger = Ledger::new(1);
        let (root, root_bytes) = block(&[], "k", "old", 1);
        let (child, child_bytes) = block(&[root], "k", "new", 2);
        for (cid, bytes) in [(root, root_bytes), (child, child_bytes)] {
            ledger.author(Party(0), cid, bytes);
            ledger.merged(Party(0), &cid);
        }
        let purged = |cid, height| Facts { purged: [(cid, height)].into(), ..Facts::default() };
        let folded = of(&ledger, Party(0), &purged(root, 1));
        assert_eq!((folded.state[&Key::new("k")].as_ref(), folded.heights[&child]), (&b"new"[..], 2));
        let folded = of(&ledger, Party(0), &purged(child, 2));
        assert_eq!(folded.state[&Key::new("k")].as_ref(), b"old");
        assert_eq!(folded.heads.values().flatten().copied().collect::<Vec<_>>(), [root], "it covers nothing any more");
    }

    #[test]
    fn fires_on_tombstones_that_are_kept_too_long_or_not_long_enough() {
        let (root, root_bytes) = block(&[], "k", "old", 1);
        let removal = anabranch_core::wire::Tombstone { key: Key::new("k"), target: root };
        let delta = anabranch_core::wire::Delta { tombstones: vec![removal], priority: 1, ..Default::default() };
        let bytes = anabranch_core::wire::Block::encode(&[], &delta);
        let mut ledger = Ledger::new(1);
        ledger.author(Party(0), root, root_bytes);
        ledger.author(Party(0), Cid::of(&bytes), bytes.clone());
        ledger.merged(Party(0), &Cid::of(&bytes));
        let judge =
            |ledger: &Ledger, kept| check_early(ledger, Party(0), &of(ledger, Party(0), &Facts::default()), kept);
        assert_eq!(judge(&ledger, 1), Ok(()));
        assert!(judge(&ledger, 0).is_err());
        ledger.merged(Party(0), &root);
        assert_eq!(judge(&ledger, 0), Ok(()));
        assert!(judge(&ledger, 1).unwrap_err().contains("kept for targets to come"));
    }

    #[test]
    fn fires_on_a_key_that_is_not_clean() {
        assert!(["/", "/a", "/a/b.", "/a/..b/...c"].iter().all(|key| is_clean(key.as_bytes())));
        let odd = ["", "a", "//", "/a/", "/a//b", "/./a", "/a/..", "/../a"];
        assert_eq!(odd.into_iter().find(|key| is_clean(key.as_bytes())), None);
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
        let folded = of(&ledger, Party(0), &Facts::default());
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
