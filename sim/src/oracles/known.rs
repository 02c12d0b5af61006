//! Known blocks never shrink: what was merged and synced stays merged, and nothing comes from nowhere.

use super::Finding;
use crate::{ledger::Ledger, outcome::short, scenario::Party};
use anabranch_core::Cid;

/// Whether a replica still has all blocks merged that it had at its last sync, and none that it never merged.
/// `merged` is in order of the CIDs. To be asked after a crash before the ledger learns of it, and at any other time.
///
/// # Errors
/// The first block that is gone, or that is there without having been merged.
pub fn check(ledger: &Ledger, replica: Party, merged: &[Cid]) -> Finding {
    if let Some(gone) = ledger.all_durable(replica).find(|block| merged.binary_search(&block.cid).is_err()) {
        return Err(format!("block {} was merged and synced, and is not merged any more", short(&gone.cid)));
    }
    match merged.iter().find(|cid| !ledger.has_merged(replica, cid)) {
        Some(cid) => Err(format!("block {} is merged, and was never reported as merged", short(cid))),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ledger::tests::block;

    #[test]
    fn fires_when_a_synced_block_is_gone_and_when_one_comes_from_nowhere() {
        let mut blocks: Vec<_> = (0..3).map(|number| block(&[], "k", &number.to_string(), 1)).collect();
        blocks.sort();
        let cids: Vec<Cid> = blocks.iter().map(|(cid, _)| *cid).collect();
        let mut ledger = Ledger::new(1);
        blocks.into_iter().for_each(|(cid, bytes)| ledger.author(Party(0), cid, bytes));
        ledger.merged(Party(0), &cids[0]);
        ledger.synced(Party(0));
        ledger.merged(Party(0), &cids[1]);
        assert_eq!(check(&ledger, Party(0), &cids[..2]), Ok(()));
        assert_eq!(check(&ledger, Party(0), &cids[..1]), Ok(()), "the second was not synced");
        assert!(check(&ledger, Party(0), &cids[1..2]).unwrap_err().contains("not merged any more"));
        assert!(check(&ledger, Party(0), &cids).unwrap_err().contains("never reported"));
    }
}
