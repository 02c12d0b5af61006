//! Reads of one moment.

use crate::{Error, RowStream, readers::panicked, view::AnyView};
use anabranch_core::{Bytes, Cid, Error as ReplicaError, Head, Key, Query, Visited};
use std::{fmt, sync::Arc};
use tokio::runtime;

/// The state of one moment: what was durable when it was taken. Later writes do not show in it. A clone is the same snapshot.
///
/// As long as it lives, the engine keeps what it shows: on disk the files of that moment. Over a
/// [`MemoryStore`](anabranch_core::store::MemoryStore) the first write after a snapshot copies the tables that it changes.
#[derive(Clone)]
pub struct Snapshot {
    view: Arc<dyn AnyView>,
    runtime: runtime::Handle,
}

impl Snapshot {
    pub(crate) const fn new(view: Arc<dyn AnyView>, runtime: runtime::Handle) -> Self {
        Self { view, runtime }
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
        RowStream::start(self.view.clone(), query, &self.runtime)
    }

    /// Merged blocks from these down, or from all heads where none is given, the highest first and each once, at most so many.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn traverse(&self, from: Vec<Cid>, limit: usize) -> Result<Vec<Visited>, Error> {
        self.blocking(move |view| view.traverse(&from)?.take(limit).collect()).await
    }

    /// The DAG of merged blocks as a graph for Graphviz: `dot -Tsvg` draws it. Heads have a double frame, void blocks a dashed red one, purged
    /// ones a dotted grey one. Reads every block.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn dot(&self) -> Result<String, Error> {
        self.blocking(|view| crate::dag::dot(view)).await
    }

    /// The DAG of merged blocks as text, the highest first, at most so many: height, the end of the CID, what the block
    /// writes (+) and removes (-), and its parents. ● is a head, ✗ a void block, · a purged one. Walks the whole DAG.
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
        blocking(&self.runtime, move || read(&*view)).await
    }
}

/// Reads in a thread that may wait for the disk.
async fn blocking<T: Send + 'static>(
    runtime: &runtime::Handle,
    read: impl FnOnce() -> Result<T, ReplicaError> + Send + 'static,
) -> Result<T, Error> {
    match runtime.spawn_blocking(read).await {
        Ok(read) => read.map_err(Error::Read),
        Err(error) if error.is_panic() => Err(Error::Read(panicked())),
        // The runtime is shutting down.
        Err(_) => Err(Error::Closed),
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}
