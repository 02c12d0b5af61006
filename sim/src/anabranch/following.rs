//! A program beside each replica that follows its feed, and goes on after a restart with the token that it kept.

use super::Peer;
use crate::{
    ledger::Ledger,
    oracles::{Observed, Oracle, feed::Follower},
    scenario::Party,
    system::{Scene, Stop},
};
use anabranch_core::{Cid, FeedError, wire};
use std::collections::BTreeSet;

/// Blocks in a page. No divisor of anything, so that pages end in all places.
const PAGE: usize = 7;

/// The programs, one for each replica.
#[derive(Debug)]
pub(super) struct Followers(Vec<Follower>);

impl Followers {
    pub(super) fn new(replicas: usize) -> Self {
        Self(vec![Follower::default(); replicas])
    }

    /// A replica has merged a good block.
    pub(super) fn merged(&mut self, replica: Party, cid: &Cid, ledger: &Ledger) {
        let follower = &mut self.0[replica.index()];
        if let Some(block) = ledger.block(cid).filter(|_| follower.token().is_some())
            && let Ok(delta) = wire::Block::decode(&block.bytes).delta
        {
            let put = delta.elements.iter().map(|element| element.key.clone());
            let removed = delta.tombstones.iter().map(|tombstone| tombstone.key.clone());
            follower.merged(*cid, put.chain(removed).collect::<BTreeSet<_>>(), block.bytes.len() as u64);
        }
    }

    /// A replica was opened, and has these blocks.
    pub(super) fn reopened(&mut self, replica: Party, merged: &[Cid]) {
        self.0[replica.index()].reopened(|cid| merged.binary_search(cid).is_ok());
    }

    /// The history of a replica may be another one from now on.
    pub(super) fn may_be_lost(&mut self, replica: Party) {
        self.0[replica.index()].may_be_lost();
    }

    /// Reads up to so many pages; whoever reads to the end must know all. What is not synced is read, and forgotten again.
    pub(super) fn read(
        &mut self,
        replica: Party,
        process: &Peer,
        observed: &Observed,
        pages: usize,
        scene: &mut Scene<'_, '_>,
    ) -> Result<(), Stop> {
        let Some(core) = process.core() else { return Ok(()) };
        let is_synced = core.store().unsynced() == 0;
        let kept = &mut self.0[replica.index()];
        let mut unkept;
        let follower = if is_synced {
            kept
        } else {
            unkept = kept.clone();
            &mut unkept
        };
        let (who, now) = (Some(replica), scene.now);
        for _ in 0..pages {
            let Some(token) = follower.token() else { break };
            let read = core.feed(token, PAGE);
            let (finding, is_last) = match &read {
                Ok(page) => (follower.reads(page, PAGE, core.config().step_bytes_max), !page.more),
                Err(FeedError::UnknownEpoch) => (follower.refused(), true),
                // Nothing can be read while the store is rebuilt.
                Err(FeedError::Replica(anabranch_core::Error::Rebuilding)) => return Ok(()),
                Err(error) => return Err(Stop::Process { replica, why: error.to_string() }),
            };
            scene.panel.ask(Oracle::FeedTellsAll, who, now, || finding)?;
            if is_last && follower.token().is_some() {
                scene.panel.ask(Oracle::FeedTellsAll, who, now, || follower.knows(&observed.state))?;
            }
            if is_last {
                break;
            }
        }
        if is_synced && let (None, Ok(token)) = (follower.token(), core.feed_token()) {
            follower.begin(token, &observed.state);
        }
        Ok(())
    }
}
