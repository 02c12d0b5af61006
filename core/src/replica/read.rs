//! Reads.

use super::{Head, Traverse};
use crate::{
    Bytes, Cid, Error, Key,
    dag::{
        heads, node,
        stubs::{self, Stub},
    },
    query::{Query, Rows},
    set::record,
    store::{Read, Table},
};
use alloc::vec::Vec;
use core::ops::ControlFlow;

/// Reads over the rows of a store or of a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct View<R> {
    rows: R,
}

impl<R: Read> View<R> {
    /// Reads over these rows: those of a store that a replica has, or has left.
    pub const fn new(rows: R) -> Self {
        Self { rows }
    }

    /// The same view, borrowed: for what takes a view by value, as [`rows`](Self::rows) does.
    pub const fn by_ref(&self) -> View<&R> {
        View::new(&self.rows)
    }

    /// The key's value, or `None` when no version of it lives. One read.
    ///
    /// # Errors
    /// When the store fails or is damaged; likewise for all reads below.
    pub fn get(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        self.rows.get(Table::Keys, key.as_bytes())?.map(|row| record::value(&row)).transpose()
    }

    /// Whether the key has a value. One read.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn has(&self, key: &Key) -> Result<bool, Error> {
        Ok(self.rows.get(Table::Keys, key.as_bytes())?.is_some())
    }

    /// The length of the key's value in bytes. One read.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn size(&self, key: &Key) -> Result<Option<usize>, Error> {
        Ok(self.get(key)?.map(|value| value.len()))
    }

    /// The rows that a query selects, one by one.
    pub fn rows(self, query: &Query) -> Rows<R> {
        Rows::new(self.rows, query, record::value)
    }

    /// All heads, by DAG name, highest first.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn heads(&self) -> Result<Vec<Head>, Error> {
        let mut found = Vec::new();
        self.rows.scan(Table::Heads, &[], &[], &mut |key, row| {
            found.push(heads::decode(key, row).map(|(head, _)| head));
            ControlFlow::Continue(())
        })?;
        found.into_iter().collect()
    }

    /// Merged blocks from these down, or from all heads where none is given, the highest first and each once. What is not
    /// merged is left out.
    ///
    /// ```
    /// # use anabranch_core::{Batch, Config, Input, Replica, Token, store::MemoryStore};
    /// # fn main() -> Result<(), anabranch_core::Error> {
    /// # let mut out = Vec::new();
    /// # let mut replica = Replica::open(MemoryStore::new(), Config::default(), &mut out)?;
    /// for value in ["a", "b", "c"] {
    ///     let _ = replica.step(Input::Commit { token: Token(1), batch: Batch::new().put("/k", value) }, &mut out)?;
    /// }
    /// let view = replica.snapshot()?;
    /// let heights: Vec<u64> = view.traverse(&[])?.map(|visited| Ok(visited?.height)).collect::<Result<_, anabranch_core::Error>>()?;
    /// assert_eq!(heights, [3, 2, 1]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn traverse(self, from: &[Cid]) -> Result<Traverse<R>, Error> {
        Traverse::new(self.rows, from)
    }

    /// The bytes of a block that is merged or pending.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn block(&self, cid: &Cid) -> Result<Option<Bytes>, Error> {
        Ok(self.rows.get(Table::Blocks, cid.digest())?)
    }

    /// Whether the block is merged.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn is_merged(&self, cid: &Cid) -> Result<bool, Error> {
        let row = self.rows.get(Table::Nodes, cid.digest())?;
        row.map_or(Ok(false), |row| Ok(node::decode_row(cid, &row)?.is_merged()))
    }

    /// Up to `limit` purged and abandoned blocks in order of their CIDs, after the one given.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn stubs(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<(Cid, Stub)>, Error> {
        let mut from = after.map(|cid| cid.digest().to_vec()).unwrap_or_default();
        from.extend(after.map(|_| 0));
        let mut found = Vec::new();
        self.rows.scan(Table::Stubs, &[], &from, &mut |key, row| {
            if found.len() >= limit {
                return ControlFlow::Break(());
            }
            found.push(stubs::decode_row(key, row));
            ControlFlow::Continue(())
        })?;
        found.into_iter().collect()
    }

    /// Up to `limit` merged blocks in order of their CIDs, after the one given.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn merged(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<Cid>, Error> {
        let mut from = after.map(|cid| cid.digest().to_vec()).unwrap_or_default();
        from.extend(after.map(|_| 0));
        let mut found: Vec<Cid> = Vec::new();
        let mut damage = Ok(());
        self.rows.scan(Table::Nodes, &[], &from, &mut |key, row| {
            if found.len() >= limit {
                return ControlFlow::Break(());
            }
            let Ok(digest) = key.try_into() else { return ControlFlow::Continue(()) };
            let cid = Cid::from_digest(digest);
            match node::decode_row(&cid, row) {
                Ok(node) if node.is_merged() => found.push(cid),
                Ok(_) => {}
                Err(error) => {
                    damage = Err(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        damage.map(|()| found)
    }
}
