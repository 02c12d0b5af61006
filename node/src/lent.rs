//! A store that was handed over, and comes home whatever becomes of who had it.

use crate::{OpenError, sync::lock};
use anabranch_core::{
    Bytes,
    store::{Read, Store, StoreError, Table, Visit, VisitKey, WriteBatch},
};
use std::sync::{Arc, Mutex};

/// Where a store is when nobody has it.
pub(crate) struct Home<S>(Arc<Mutex<Option<S>>>);

impl<S> Home<S> {
    pub(crate) fn of(store: S) -> Self {
        Self(Arc::new(Mutex::new(Some(store))))
    }

    /// The same home.
    pub(crate) fn again(&self) -> Self {
        Self(self.0.clone())
    }

    /// Gives the store away, until what is given is dropped.
    pub(crate) fn lend(&self) -> Result<Lent<S>, OpenError> {
        match lock(&self.0).take() {
            Some(store) => Ok(Lent { store: Some(store), home: self.0.clone() }),
            None => Err(OpenError::Thread(String::from("it still has the store that is to be opened again"))),
        }
    }

    /// The store itself, if it is at home.
    pub(crate) fn take(&self) -> Option<S> {
        lock(&self.0).take()
    }
}

/// A store that goes home when this is dropped: after an opening that failed, a store that failed, or a panic.
pub(crate) struct Lent<S> {
    /// Gone in the drop alone.
    store: Option<S>,
    home: Arc<Mutex<Option<S>>>,
}

impl<S> Drop for Lent<S> {
    fn drop(&mut self) {
        *lock(&self.home) = self.store.take();
    }
}

fn gone() -> StoreError {
    StoreError::Io(String::from("the store was given back"))
}

impl<S> Lent<S> {
    fn store(&self) -> Result<&S, StoreError> {
        self.store.as_ref().ok_or_else(gone)
    }

    fn store_mut(&mut self) -> Result<&mut S, StoreError> {
        self.store.as_mut().ok_or_else(gone)
    }
}

impl<S: Read> Read for Lent<S> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.store()?.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.store()?.scan(table, prefix, from, visit)
    }

    fn scan_keys(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        self.store()?.scan_keys(table, prefix, from, visit)
    }
}

impl<S: Store> Store for Lent<S> {
    type Snapshot = S::Snapshot;

    fn snapshot(&mut self) -> Result<S::Snapshot, StoreError> {
        self.store_mut()?.snapshot()
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        self.store_mut()?.commit(batch)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.store_mut()?.sync()
    }
}
