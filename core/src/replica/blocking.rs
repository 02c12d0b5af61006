//! What keeps a replica behind.

use super::Replica;
use crate::{
    Cid, Codec, Error, Peer, Validator,
    dag::pending::{self, Want},
    store::{Store, Txn},
};
use alloc::vec::Vec;

/// A block that must come before others can be merged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Blocking {
    /// The block.
    pub cid: Cid,
    /// How many blocks wait for this one itself, counted up to 1,024; what waits for them is not counted.
    pub waiting: u64,
    /// Whether all peers that may have it were asked several times and nobody served it. It is asked for again, after longer
    /// and longer pauses.
    pub parked: bool,
    /// The peer that was asked last in this round.
    pub asked: Option<Peer>,
    /// The peers that may have it, the likeliest first. None when it is not being asked for at the moment.
    pub peers: Vec<Peer>,
}

/// How many blocks that wait for one are counted.
const WAITING_MAX: usize = 1024;

impl<S: Store, V: Validator, C: Codec> Replica<S, V, C> {
    /// What keeps the replica [behind](Self::is_behind): up to `limit` blocks that are missing, those deepest below the heads
    /// first. Bodies that were dropped for want of room, and whose turn has not come, are not among them.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn blocking(&self, limit: usize) -> Result<Vec<Blocking>, Error> {
        let rows = Txn::new(&self.store, &self.codec);
        let mut found = Vec::new();
        for (_, cid, _) in pending::wants(&rows, Want::Now, None, limit)? {
            let waiting = pending::waiting(&rows, &cid, WAITING_MAX)?;
            let (parked, asked, peers) = self.fetch.situation(&cid);
            found.push(Blocking { cid, waiting, parked, asked, peers });
        }
        Ok(found)
    }
}
