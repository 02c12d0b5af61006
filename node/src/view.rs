//! Reads over rows, whatever their store and the format of their blocks.

use anabranch_core::{
    Bytes, Cid, Codec, Error as ReplicaError, Head, Key, Query, Row, View, Visited, store::Read, wire::Block,
};
use std::sync::Arc;

pub(crate) type Rows<'a> = Box<dyn Iterator<Item = Result<Row, ReplicaError>> + 'a>;
pub(crate) type Walk<'a> = Box<dyn Iterator<Item = Result<Visited, ReplicaError>> + 'a>;

/// A view, whatever its store and codec.
pub(crate) trait AnyView: Send + Sync {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, ReplicaError>;
    fn has(&self, key: &Key) -> Result<bool, ReplicaError>;
    fn size(&self, key: &Key) -> Result<Option<usize>, ReplicaError>;
    fn heads(&self) -> Result<Vec<Head>, ReplicaError>;
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, ReplicaError>;
    fn is_merged(&self, cid: &Cid) -> Result<bool, ReplicaError>;
    /// Merged blocks from these down, or from all heads where none is given, the highest first.
    fn traverse<'a>(&'a self, from: &[Cid]) -> Result<Walk<'a>, ReplicaError>;
    fn rows<'a>(&'a self, query: &Query) -> Rows<'a>;
    /// What these bytes mean as a block.
    fn decode(&self, bytes: &Bytes) -> Block;
    /// Whether reads wait for nothing but memory.
    fn is_in_memory(&self) -> bool {
        false
    }
    /// What is shown now, for whoever wants it to stay so; `None`: it does anyway.
    fn fixed(&self) -> Option<Arc<dyn AnyView>> {
        None
    }
}

/// The rows of one moment, and the format of the blocks among them.
pub(crate) struct Fixed<R, C> {
    view: View<R>,
    codec: C,
    in_memory: bool,
}

impl<R: Read, C> Fixed<R, C> {
    pub(crate) const fn new(view: View<R>, codec: C) -> Self {
        Self { view, codec, in_memory: false }
    }

    pub(crate) const fn in_memory(view: View<R>, codec: C) -> Self {
        Self { view, codec, in_memory: true }
    }
}

impl<R: Read + Send + Sync, C: Codec + Send + Sync> AnyView for Fixed<R, C> {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, ReplicaError> {
        self.view.get(key)
    }

    fn has(&self, key: &Key) -> Result<bool, ReplicaError> {
        self.view.has(key)
    }

    fn size(&self, key: &Key) -> Result<Option<usize>, ReplicaError> {
        self.view.size(key)
    }

    fn heads(&self) -> Result<Vec<Head>, ReplicaError> {
        self.view.heads()
    }

    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, ReplicaError> {
        self.view.block(cid)
    }

    fn is_merged(&self, cid: &Cid) -> Result<bool, ReplicaError> {
        self.view.is_merged(cid)
    }

    fn traverse<'a>(&'a self, from: &[Cid]) -> Result<Walk<'a>, ReplicaError> {
        Ok(Box::new(self.view.by_ref().traverse(from)?))
    }

    fn rows<'a>(&'a self, query: &Query) -> Rows<'a> {
        Box::new(self.view.by_ref().rows(query))
    }

    fn decode(&self, bytes: &Bytes) -> Block {
        Block::decode_with(bytes, &self.codec)
    }

    fn is_in_memory(&self) -> bool {
        self.in_memory
    }
}
