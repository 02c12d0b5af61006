//! The ancestors of a merged block are merged (invariant 2).

use super::Finding;
use crate::{
    ledger::{Ledger, Record},
    outcome::short,
    scenario::Party,
};
use anabranch_core::Cid;

/// Whether all parents of a block that a replica has merged are merged there: asked of each block when it is
/// merged, which by induction makes it true of all ancestors.
///
/// # Errors
/// The first that is not.
pub fn check(ledger: &Ledger, replica: Party, block: &Record) -> Finding {
    // What an operator has given up counts as merged.
    let is_decided = |link: &Cid| ledger.has_merged(replica, link) || ledger.has_abandoned(replica, link);
    match block.links.iter().find(|link| !is_decided(link)) {
        None => Ok(()),
        Some(link) => Err(format!("block {} is merged, and its parent {} is not", short(&block.cid), short(link))),
    }
}

/// The same of all blocks that a replica has merged.
///
/// # Errors
/// The first parent that is not merged.
pub fn check_all(ledger: &Ledger, replica: Party) -> Finding {
    ledger.all_merged(replica).try_for_each(|block| check(ledger, replica, block))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ledger::tests::block;

    #[test]
    fn fires_when_a_child_is_merged_before_its_parent() {
        let (parent, parent_bytes) = block(&[], "k", "1", 1);
        let (child, child_bytes) = block(&[parent], "k", "2", 2);
        let mut ledger = Ledger::new(1);
        ledger.author(Party(0), parent, parent_bytes);
        ledger.author(Party(0), child, child_bytes);
        ledger.merged(Party(0), &child);
        assert!(check(&ledger, Party(0), ledger.block(&child).unwrap()).unwrap_err().contains("its parent"));
        assert!(check_all(&ledger, Party(0)).is_err());
        ledger.merged(Party(0), &parent);
        assert_eq!(check_all(&ledger, Party(0)), Ok(()));
    }
}
