//! What keeps a replica behind.

use super::Replica;
use crate::{
    Cid, Codec, Error, Peer, Validator,
    dag::{
        node::Node,
        pending::{self, Want},
    },
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
    /// first. Bodies that were dropped for want of room, and whose turn has not come, are not among them. Costs a few reads a block.
    ///
    /// ```
    /// use anabranch_core::{Batch, Config, Input, Peer, Replica, Token, store::MemoryStore};
    ///
    /// # fn main() -> Result<(), anabranch_core::Error> {
    /// # let mut out = Vec::new();
    /// # let mut alice = Replica::open(MemoryStore::new(), Config::default(), &mut out)?;
    /// # let mut written = Vec::new();
    /// # for value in ["old", "new"] {
    /// #     let _ = alice.step(Input::Commit { token: Token(1), batch: Batch::new().put("/k", value) }, &mut out)?;
    /// #     written.push(alice.heads()?[0].cid);
    /// # }
    /// # let (first, second) = (written[0], written[1]);
    /// # let bytes = alice.block(&second)?.expect("her own");
    /// let mut bob = Replica::open(MemoryStore::new(), Config::default(), &mut out)?;
    /// // Alice's second block comes, and her first has not.
    /// let _ = bob.step(Input::Block { from: Peer(1), cid: second, bytes, attempt: 0 }, &mut out)?;
    /// let missing = &bob.blocking(10)?[0];
    /// assert_eq!((missing.cid, missing.waiting, missing.asked), (first, 1, Some(Peer(1))));
    /// assert!(bob.is_owed(&first)? && !bob.is_owed(&second)?);
    /// # Ok(())
    /// # }
    /// ```
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

    /// Whether the block is owed and its bytes never came: merged state to come depends on it. Costs one read.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn is_owed(&self, cid: &Cid) -> Result<bool, Error> {
        Ok(matches!(Txn::new(&self.store, &self.codec).node(cid)?, Some(Node::Wanted { .. })))
    }
}
