//! The replica.

use crate::{
    Bytes, Cid, Config, DagName, Effect, Error, Input, Key, MergeAll, Query, Row, Validator,
    store::{Read, Store},
};
use alloc::vec::Vec;

/// Whether a step left work to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Progress {
    /// Nothing to do until the next input.
    Done,
    /// Step with [`Input::Continue`] before sleeping.
    More,
}

/// A head: a merged block to which no merged block of its DAG links.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Head {
    /// The DAG.
    pub dag: DagName,
    /// The block.
    pub cid: Cid,
    /// Its height.
    pub height: u64,
}

/// Numbers about a replica. What is durable counts over all that was ever merged here; the rest is of now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stats {
    /// Blocks merged, void ones included. Durable.
    pub merged: u64,
    /// Void blocks merged. Durable.
    pub void: u64,
    /// Good blocks merged that declare another priority than their height. Durable.
    pub misdeclared: u64,
    /// The greatest height of a merged block. Durable.
    pub height_max: u64,
    /// Heads, of all DAG names. Durable.
    pub heads: u64,
    /// Tombstones that wait for their target. Durable.
    pub early_tombstones: u64,
    /// Obligations: blocks that must still be fetched or merged. Durable.
    pub obligations: u64,
    /// Bytes of the bodies of pending blocks in the store. Durable.
    pub pending_bytes: u64,
    /// Announced CIDs whose bytes have not come. Volatile.
    pub rumours: usize,
    /// Fetches in flight. Volatile.
    pub fetches: usize,
}

/// One replica: a pure function of its inputs over a store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica<S, V = MergeAll> {
    store: S,
    config: Config,
    validator: V,
}

impl<S: Store> Replica<S> {
    /// Opens a store, an empty one or one that a replica left.
    pub fn open(_store: S, _config: Config, _out: &mut Vec<Effect>) -> Result<Self, Error> {
        todo!()
    }
}

impl<S: Store, V: Validator> Replica<S, V> {
    /// As [`open`](Replica::open), with the embedder's validator.
    pub fn open_with(_store: S, _config: Config, _validator: V, _out: &mut Vec<Effect>) -> Result<Self, Error> {
        todo!()
    }

    /// Takes one input and appends what is to be done to `out`. The work of a step is bounded.
    pub fn step(&mut self, _input: Input, _out: &mut Vec<Effect>) -> Result<Progress, Error> {
        todo!()
    }

    /// Whether there is work for [`Input::Continue`]: as after a crash in the middle of merging.
    pub fn progress(&self) -> Progress {
        todo!()
    }

    /// Makes all steps so far durable; then the effects that wait for it may leave.
    pub fn sync(&mut self) -> Result<(), Error> {
        todo!()
    }

    /// The store, as a crash leaves it.
    pub fn into_store(self) -> S {
        self.store
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// A view of the state as it is now, which later steps do not change.
    pub fn snapshot(&self) -> Result<View<S::Snapshot>, Error> {
        todo!()
    }

    /// The key's value. One read.
    pub fn get(&self, _key: &Key) -> Result<Option<Bytes>, Error> {
        todo!()
    }

    /// Whether the key has a value. One read.
    pub fn has(&self, _key: &Key) -> Result<bool, Error> {
        todo!()
    }

    /// The length of the key's value in bytes. One read.
    pub fn size(&self, _key: &Key) -> Result<Option<usize>, Error> {
        todo!()
    }

    /// The rows that the query selects.
    pub fn query(&self, _query: &Query) -> Result<Vec<Row>, Error> {
        todo!()
    }

    /// All heads, by DAG name, highest first.
    pub fn heads(&self) -> Result<Vec<Head>, Error> {
        todo!()
    }

    /// The bytes of a block that is merged or pending here: the answer to another peer's fetch.
    pub fn block(&self, _cid: &Cid) -> Result<Option<Bytes>, Error> {
        todo!()
    }

    /// Whether the block is merged here.
    pub fn is_merged(&self, _cid: &Cid) -> Result<bool, Error> {
        todo!()
    }

    /// Up to `limit` merged blocks in order of their CIDs, after the one given.
    pub fn merged(&self, _after: Option<&Cid>, _limit: usize) -> Result<Vec<Cid>, Error> {
        todo!()
    }

    /// Whether merged state waits for blocks that peers have announced: whether there are obligations.
    pub fn is_behind(&self) -> bool {
        todo!()
    }

    /// Numbers about this replica.
    pub fn stats(&self) -> Stats {
        todo!()
    }
}

/// Reads over the rows of a store or a snapshot of one.
#[derive(Clone, Debug)]
pub struct View<R> {
    rows: R,
}

impl<R: Read> View<R> {
    /// The key's value. One read.
    pub fn get(&self, _key: &Key) -> Result<Option<Bytes>, Error> {
        let _ = &self.rows;
        todo!()
    }
}
