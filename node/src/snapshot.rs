//! Reads of one moment.

use crate::{Error, RowStream};
use anabranch_core::{Bytes, Cid, Error as ReplicaError, Head, Key, Query, Row, View, Visited, store::Read};
use std::{fmt, sync::Arc};

/// A view, whatever its store.
pub(crate) trait AnyView: Send + Sync {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, ReplicaError>;
    fn heads(&self) -> Result<Vec<Head>, ReplicaError>;
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, ReplicaError>;
    fn is_merged(&self, cid: &Cid) -> Result<bool, ReplicaError>;
    fn traverse(&self, from: &[Cid], limit: usize) -> Result<Vec<Visited>, ReplicaError>;
    fn rows<'a>(&'a self, query: &Query) -> Box<dyn Iterator<Item = Result<Row, ReplicaError>> + 'a>;
}

impl<R: Read + Send + Sync> AnyView for View<R> {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, ReplicaError> {
        Self::get(self, key)
    }

    fn heads(&self) -> Result<Vec<Head>, ReplicaError> {
        Self::heads(self)
    }

    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, ReplicaError> {
        Self::block(self, cid)
    }

    fn traverse(&self, from: &[Cid], limit: usize) -> Result<Vec<Visited>, ReplicaError> {
        self.by_ref().traverse(from)?.take(limit).collect()
    }

    fn is_merged(&self, cid: &Cid) -> Result<bool, ReplicaError> {
        Self::is_merged(self, cid)
    }

    fn rows<'a>(&'a self, query: &Query) -> Box<dyn Iterator<Item = Result<Row, ReplicaError>> + 'a> {
        Box::new(self.by_ref().rows(query))
    }
}

/// The state of one moment: what was durable when it was taken. Later writes do not show in it. A clone is the same snapshot.
///
/// As long as it lives, the engine keeps what it shows: on disk the files of that moment. Over a
/// [`MemoryStore`](anabranch_core::store::MemoryStore) the first write after a snapshot copies the tables that it changes.
#[derive(Clone)]
pub struct Snapshot {
    view: Arc<dyn AnyView>,
}

impl Snapshot {
    pub(crate) fn new(view: Box<dyn AnyView>) -> Self {
        Self { view: view.into() }
    }

    /// The key's value, or `None` when no version of it lives.
    ///
    /// # Errors
    /// [`Error::Read`] when the store cannot be read or is damaged; likewise for all reads below.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>, Error> {
        let key = Key::new(key);
        self.blocking(move |view| view.get(&key)).await
    }

    /// All heads, by DAG name, highest first.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn heads(&self) -> Result<Vec<Head>, Error> {
        self.blocking(|view| view.heads()).await
    }

    /// The bytes of a block that is merged or pending.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn block(&self, cid: Cid) -> Result<Option<Bytes>, Error> {
        self.blocking(move |view| view.block(&cid)).await
    }

    /// The rows that a query selects, as a stream. It is read in a blocking thread, a little ahead of whoever takes them.
    #[must_use]
    pub fn query(&self, query: Query) -> RowStream {
        RowStream::start(self.view.clone(), query)
    }

    /// Merged blocks from these down, or from all heads where none is given, the highest first and each once, at most so many.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn traverse(&self, from: Vec<Cid>, limit: usize) -> Result<Vec<Visited>, Error> {
        self.blocking(move |view| view.traverse(&from, limit)).await
    }

    /// The DAG of merged blocks as a graph for Graphviz: `dot -Tsvg` draws it. Heads have a double frame. Reads every block.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn dot(&self) -> Result<String, Error> {
        self.blocking(|view| crate::dag::dot(view)).await
    }

    /// The DAG of merged blocks as text, the highest first, at most so many: height, the end of the CID, what the block
    /// writes (+) and removes (-), and its parents. ● is a head. Reads every block.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn picture(&self, limit: usize) -> Result<String, Error> {
        self.blocking(move |view| crate::dag::picture(view, limit)).await
    }

    /// Reads in a thread that may wait for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn AnyView) -> Result<T, ReplicaError> + Send + 'static,
    ) -> Result<T, Error> {
        let view = self.view.clone();
        match tokio::task::spawn_blocking(move || read(&*view)).await {
            Ok(read) => read.map_err(Error::Read),
            // The runtime is shutting down.
            Err(_) => Err(Error::Closed),
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}
