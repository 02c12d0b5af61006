//! The store in memory that a replica shares with those who read.

use crate::view::{AnyView, Fixed, Rows, Walk};
use anabranch_core::{
    Bytes, Cid, Codec, Error as ReplicaError, Head, Key, Query, View,
    store::{MemoryStore, Read, Store, StoreError, Table, Visit, WriteBatch},
    wire::Block,
};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// A [`MemoryStore`] that others read while the replica writes. A clone is the same store.
///
/// Readers look at the rows themselves: a snapshot that is held costs the next commit a copy of each table that it changes. What a
/// commit has changed shows at once, for a sync adds nothing to it.
#[derive(Clone, Default)]
pub(crate) struct SharedMemory(Arc<RwLock<MemoryStore>>);

impl SharedMemory {
    pub(crate) fn new(rows: MemoryStore) -> Self {
        Self(Arc::new(RwLock::new(rows)))
    }

    /// The rows, to be given back: from then on there are none here.
    pub(crate) fn take(&self) -> MemoryStore {
        std::mem::take(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    // A panic does not leave the rows half changed in a way that a map could not be read.
    fn rows(&self) -> RwLockReadGuard<'_, MemoryStore> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows as they are at each moment.
    pub(crate) fn live<C: Codec + Clone + Send + Sync + 'static>(&self, codec: C) -> Arc<dyn AnyView> {
        Arc::new(Live { store: self.clone(), codec })
    }
}

impl Read for SharedMemory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.rows().get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.rows().scan(table, prefix, from, visit)
    }
}

impl Store for SharedMemory {
    type Snapshot = MemoryStore;

    fn snapshot(&mut self) -> Result<MemoryStore, StoreError> {
        Ok(self.rows().clone())
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).commit(batch)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Reads that show each commit as it is made.
struct Live<C> {
    store: SharedMemory,
    codec: C,
}

impl<C> Live<C> {
    fn now<T>(&self, read: impl FnOnce(View<&MemoryStore>) -> Result<T, ReplicaError>) -> Result<T, ReplicaError> {
        read(View::new(&*self.store.rows()))
    }
}

impl<C: Codec + Clone + Send + Sync + 'static> AnyView for Live<C> {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, ReplicaError> {
        self.now(|view| view.get(key))
    }

    fn has(&self, key: &Key) -> Result<bool, ReplicaError> {
        self.now(|view| view.has(key))
    }

    fn size(&self, key: &Key) -> Result<Option<usize>, ReplicaError> {
        self.now(|view| view.size(key))
    }

    fn heads(&self) -> Result<Vec<Head>, ReplicaError> {
        self.now(|view| view.heads())
    }

    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, ReplicaError> {
        self.now(|view| view.block(cid))
    }

    fn is_merged(&self, cid: &Cid) -> Result<bool, ReplicaError> {
        self.now(|view| view.is_merged(cid))
    }

    fn traverse<'a>(&'a self, from: &[Cid]) -> Result<Walk<'a>, ReplicaError> {
        let all = self.now(|view| Ok(view.traverse(from)?.collect::<Vec<_>>()))?;
        Ok(Box::new(all.into_iter()))
    }

    fn rows<'a>(&'a self, query: &Query) -> Rows<'a> {
        let all = View::new(&*self.store.rows()).rows(query).collect::<Vec<_>>();
        Box::new(all.into_iter())
    }

    fn decode(&self, bytes: &Bytes) -> Block {
        Block::decode_with(bytes, &self.codec)
    }

    fn is_in_memory(&self) -> bool {
        true
    }

    fn fixed(&self) -> Option<Arc<dyn AnyView>> {
        let rows = self.store.rows().clone();
        Some(Arc::new(Fixed::in_memory(View::new(rows), self.codec.clone())))
    }
}
