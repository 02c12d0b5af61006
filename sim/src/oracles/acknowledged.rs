//! What was acknowledged is there: after a crash, and at the end.

use super::Finding;
use crate::{ledger::Ledger, outcome::short, scenario::Party};
use anabranch_core::Cid;

/// Whether each block of an acknowledged commit is merged at the replica that acknowledged it.
///
/// # Errors
/// The first that is not.
pub fn check(ledger: &Ledger, replica: Party, is_merged: impl Fn(&Cid) -> bool) -> Finding {
    match ledger.all_acknowledged(replica).find(|cid| !is_merged(cid)) {
        None => Ok(()),
        Some(cid) => Err(format!("block {} of an acknowledged commit is lost", short(cid))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;
    use anabranch_core::{Batch, Config, Effect, Input, Replica, Token};

    /// A driver that acknowledges before it syncs is caught at the first crash.
    #[test]
    fn fires_when_a_commit_is_acknowledged_before_its_sync() {
        for synced in [true, false] {
            let mut out = Vec::new();
            let mut replica = Replica::open(SimDisk::new(), Config::default(), &mut out).unwrap();
            replica.sync().unwrap();
            let batch = Batch::new().put("k", "v");
            let _ = replica.step(Input::Commit { token: Token(1), batch }, &mut out).unwrap();
            let mut ledger = Ledger::new(1);
            for effect in out {
                if let Effect::Committed { blocks, .. } = effect {
                    ledger.acknowledged(Party(0), &blocks);
                }
            }
            if synced {
                replica.sync().unwrap();
            }
            let mut disk = replica.into_store();
            disk.crash(0);
            let replica = Replica::open(disk, Config::default(), &mut Vec::new()).unwrap();
            let finding = check(&ledger, Party(0), |cid| replica.is_merged(cid).unwrap());
            assert_eq!(finding.is_ok(), synced, "{finding:?}");
        }
    }
}
