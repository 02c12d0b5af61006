//! The handle that programs hold.

use crate::{
    Builder, Committed, Error, EventStream, OpenError, RowStream, Snapshot,
    handle::{Handle, ended},
    message::Message,
    owner::batch_bytes,
    transfer::{self, Exported, Imported, TransferError},
    watch::{Scope, Watcher},
};
use anabranch_core::{
    Batch, Blocking, Bytes, Cid, DagName, Feed, FeedError, FeedToken, Head, Input, Key, MergeAll, Outcome, Query,
    Stats, TaskStatus,
};
use std::{fmt, path::Path};
use tokio::sync::oneshot;
use tracing::Span;

/// A replicated key-value store. Cheap to clone: all clones are handles of one replica, and may be used from any number of tasks.
///
/// # Durability
/// A write that has returned `Ok` survives a crash of the process and of the machine. Many writes at once share
/// one sync of the disk, so write from many tasks, or put many keys into one [`Batch`].
/// Reads show what is durable, never more: a read that comes after a write's acknowledgement sees it. They wait for no write: while a
/// sync is under way they are answered from the state before it.
///
/// # Cancellation
/// Every method may be dropped before it has ended. Of a write that is dropped it is unknown whether it is made;
/// it is made as a whole or not at all, once, and never after [`close`](Self::close) has returned.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use anabranch::{Batch, Datastore};
/// use std::time::Duration;
///
/// let store = Datastore::builder().memory().await?;
/// let write = store.commit(Batch::new().put("/from", "1").put("/to", "9"));
/// if tokio::time::timeout(Duration::from_micros(1), write).await.is_err() {
///     println!("no answer in time: both are there by the end, or neither is");
/// }
/// store.sync("/").await?;
/// assert_eq!(store.has("/from").await?, store.has("/to").await?);
/// # Ok(())
/// # }
/// ```
///
/// # The end
/// [`close`](Self::close) when the program is done: it waits until announcements have left and the store's files are closed.
/// When the last handle is dropped the same happens, and nobody waits for it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use anabranch::{Batch, Datastore, Query};
///
/// let store = Datastore::builder().memory().await?;
/// store.put("/fruit/apple", "red").await?;
/// store.commit(Batch::new().put("/fruit/pear", "green").delete("/fruit/apple")).await?;
///
/// let mut rows = store.query(Query { prefix: "/fruit".into(), ..Query::default() }).await?;
/// while let Some(row) = rows.next().await {
///     let row = row?;
///     println!("{} = {:?}", row.key, row.value);
/// }
/// store.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Datastore {
    handle: Handle,
}

fn feed_error(error: FeedError) -> Error {
    match error {
        FeedError::Off => Error::NotKept { option: "feed" },
        FeedError::UnknownEpoch => Error::UnknownEpoch,
        FeedError::Replica(why) => Error::Read(why),
    }
}

impl Datastore {
    /// A builder with the default options.
    #[must_use]
    pub fn builder() -> Builder<MergeAll> {
        Builder::new()
    }

    pub(crate) const fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// The key's value, or `None` when no version of it lives.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::Datastore;
    ///
    /// let store = Datastore::builder().memory().await?;
    /// store.put("/fruit/apple", "red").await?;
    /// assert_eq!(store.get("/fruit/apple").await?.as_deref(), Some(&b"red"[..]));
    /// assert_eq!((store.has("/fruit/apple").await?, store.size("/fruit/apple").await?), (true, Some(3)));
    /// store.delete("/fruit/apple").await?;
    /// assert_eq!((store.get("/fruit/apple").await?, store.size("/fruit/apple").await?), (None, None));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Read`] when the store cannot be read or is damaged, [`Error::Stopped`] and [`Error::Closed`]; likewise for all reads below.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>, Error> {
        let key = Key::new(key);
        self.handle.view(move |view| view.get(&key)).await
    }

    /// Whether the key has a value.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn has(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        let key = Key::new(key);
        self.handle.view(move |view| view.has(&key)).await
    }

    /// The length of the key's value in bytes.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn size(&self, key: impl AsRef<[u8]>) -> Result<Option<usize>, Error> {
        let key = Key::new(key);
        self.handle.view(move |view| view.size(&key)).await
    }

    /// Writes a value, durably, and announces it. An empty value is a value.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn put(&self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Result<Committed, Error> {
        let batch = Batch::new().put(key, value);
        self.commit(batch).await
    }

    /// Removes all versions of the key that are merged here, durably, and announces that. A concurrent put elsewhere stays.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<Committed, Error> {
        let batch = Batch::new().delete(key);
        self.commit(batch).await
    }

    /// Makes all writes of the batch together, durably, and announces them: here and on all peers they become visible
    /// together, except that a batch of more than 1 MiB becomes several blocks, each of which peers may see without the next.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::{Batch, Datastore, Error};
    ///
    /// let store = Datastore::builder().memory().await?;
    /// let made = store.commit(Batch::new().put("/a", "1").put("/b", "2").delete("/c")).await?;
    /// assert_eq!(made.blocks.len(), 1);
    ///
    /// // A value that fits into no block: refused, and nothing of the batch is made.
    /// let refused = store.commit(Batch::new().put("/a", "3").put("/large", vec![0; 2 << 20])).await;
    /// assert!(matches!(refused, Err(Error::Refused(_))));
    /// assert_eq!(store.get("/a").await?.as_deref(), Some(&b"1"[..]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] says what is wrong with which write, and nothing has changed; [`Error::Stopped`] and [`Error::Closed`] likewise changed nothing;
    /// [`Error::Unknown`] when the store failed and the outcome shows only when it is opened again.
    pub async fn commit(&self, batch: Batch) -> Result<Committed, Error> {
        let shared = self.handle.shared();
        let room = shared.writes().take(batch_bytes(&batch)).await;
        let (reply, answer) = oneshot::channel();
        if !self.handle.send(Message::Commit { batch, reply, room, caller: Span::current() }).await {
            return Err(shared.error());
        }
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// The rows that a query selects, of the moment of this call, as a stream: read in a blocking thread, a little ahead
    /// of whoever takes them, and unmoved by later writes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::{Batch, Datastore, Filter, Is, Key, Order, Query};
    ///
    /// let store = Datastore::builder().memory().await?;
    /// let fruit = Batch::new().put("/fruit/apple", "red").put("/fruit/kiwi", "green").put("/fruit/pear", "green");
    /// store.commit(fruit.put("/fruit/quince", "yellow").put("/tree", "tall")).await?;
    ///
    /// // What is green, and what comes after it in order of values; the last two of these, without their values.
    /// let query = Query {
    ///     prefix: "/fruit".into(),
    ///     filters: vec![Filter::Value(Is::GreaterOrEqual, "green".into()), Filter::Key(Is::NotEqual, Key::new("/fruit/apple"))],
    ///     order: Order::KeyDescending,
    ///     offset: 1,
    ///     limit: Some(2),
    ///     keys_only: true,
    /// };
    /// let mut rows = store.query(query).await?;
    /// let mut keys = Vec::new();
    /// while let Some(row) = rows.next().await {
    ///     let row = row?;
    ///     assert_eq!((row.value, row.size), (None, 5));
    ///     keys.push(row.key);
    /// }
    /// assert_eq!(keys, [Key::new("/fruit/pear"), Key::new("/fruit/kiwi")]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn query(&self, query: Query) -> Result<RowStream, Error> {
        Ok(self.snapshot().await?.query(query))
    }

    /// The state of this moment, for several reads of one moment.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::Datastore;
    ///
    /// let store = Datastore::builder().memory().await?;
    /// store.put("/k", "old").await?;
    /// let snapshot = store.snapshot().await?;
    /// store.put("/k", "new").await?;
    /// assert_eq!(snapshot.get("/k").await?.as_deref(), Some(&b"old"[..]));
    /// assert_eq!(snapshot.traverse(Vec::new(), 10).await?.len(), 1);
    /// print!("{}", store.snapshot().await?.picture(10).await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(Snapshot::new(self.handle.fixed()?, self.handle.shared().runtime.clone()))
    }

    /// Returns when all that was written or merged before the call is durable. Every acknowledged write is so already: this is for what
    /// came from peers, and takes a prefix, which changes nothing, only to look like go-ds-crdt's.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn sync(&self, prefix: impl AsRef<[u8]>) -> Result<(), Error> {
        let _ = prefix;
        self.handle.read(|_| Ok(())).await
    }

    /// All heads, by DAG name, highest first.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn heads(&self) -> Result<Vec<Head>, Error> {
        self.handle.view(|view| view.heads()).await
    }

    /// The bytes of a block that is merged or pending here.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn block(&self, cid: Cid) -> Result<Option<Bytes>, Error> {
        self.handle.view(move |view| view.block(&cid)).await
    }

    /// Whether the block is merged here.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn is_merged(&self, cid: Cid) -> Result<bool, Error> {
        self.handle.view(move |view| view.is_merged(&cid)).await
    }

    /// Numbers about the replica.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::Datastore;
    ///
    /// let store = Datastore::builder().memory().await?;
    /// let made = store.put("/k", "v").await?;
    /// assert!(store.is_merged(made.blocks[0]).await? && !store.is_behind().await?);
    /// assert_eq!((store.stats().await?.merged, store.heads().await?.len()), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn stats(&self) -> Result<Stats, Error> {
        Ok(*self.handle.shared().state()?.stats())
    }

    /// Whether there are blocks that must still be fetched or merged: below something that a peer announced and whose bytes
    /// were right. What was only announced does not count.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn is_behind(&self) -> Result<bool, Error> {
        Ok(self.stats().await?.obligations > 0)
    }

    /// The changes of a key from now on, as they become durable.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::{Datastore, Told};
    ///
    /// let store = Datastore::builder().memory().await?;
    /// let mut watcher = store.watch("/colour")?;
    /// store.put("/colour", "green").await?;
    /// match watcher.next().await {
    ///     Some(Told::Now(change)) => assert_eq!(change.new.as_deref(), Some(&b"green"[..])),
    ///     Some(Told::Missed(_) | Told::Reopened) => println!("{:?}", store.get("/colour").await?),
    ///     None => println!("closed"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotKept`] when the datastore was opened without [`Config::report_changes`](anabranch_core::Config::report_changes).
    pub fn watch(&self, key: impl AsRef<[u8]>) -> Result<Watcher, Error> {
        self.watch_scope(Scope::Key(Key::new(key)))
    }

    /// The changes of all keys below this one from now on, as they become durable: `/a` means `/a/b`, and neither `/a` itself nor `/ab`;
    /// empty and `/` mean all.
    ///
    /// # Errors
    /// As [`watch`](Self::watch).
    pub fn watch_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Watcher, Error> {
        self.watch_scope(Scope::Below(Key::new(prefix)))
    }

    fn watch_scope(&self, scope: Scope) -> Result<Watcher, Error> {
        let shared = self.handle.shared();
        if shared.reports_changes {
            Ok(shared.watchers.watch(scope))
        } else {
            Err(Error::NotKept { option: "report_changes" })
        }
    }

    /// What happens to the replica from now on: blocks merged, peers that sent what is bad, blocks that nobody serves.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.handle.shared().events.listen()
    }

    /// Writes blocks to a CARv1 file, parents first, as they are at this moment: what these blocks descend from, themselves included, and the whole
    /// history for `None`. Any IPFS tool reads it, and so does [`import`](Self::import).
    ///
    /// The file appears whole or not at all. Memory: about 100 bytes a block.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::Datastore;
    ///
    /// let file = std::env::temp_dir().join("anabranch-example.car");
    /// let store = Datastore::builder().memory().await?;
    /// store.put("/k", "v").await?;
    /// assert_eq!(store.export(&file, None).await?.blocks, 1);
    /// let other = Datastore::builder().memory().await?;
    /// assert_eq!(other.import(&file).await?.merged, 1);
    /// assert_eq!(other.heads().await?, store.heads().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When a block is not merged here, the file cannot be written, or the store cannot be read.
    pub async fn export(&self, path: impl AsRef<Path>, from: Option<Vec<Cid>>) -> Result<Exported, TransferError> {
        transfer::export(&self.handle, path.as_ref(), from).await
    }

    /// Takes the blocks of a CARv1 file in, in whatever order they are, whoever made them. The whole file is checked before
    /// anything changes. What they descend from and the file lacks is asked of peers, as for every other block.
    ///
    /// Memory: about 100 bytes a block. Dropping the future stops the import between two blocks; importing again goes on.
    ///
    /// # Errors
    /// When the file cannot be read, is no CARv1 or is damaged, and when the store fails.
    pub async fn import(&self, path: impl AsRef<Path>) -> Result<Imported, TransferError> {
        transfer::import(&self.handle, path.as_ref()).await
    }

    /// This moment, to [ask](Self::feed) later, also after a restart, what was merged since. Keep [`FeedToken::encode`]. Take it before
    /// the keys are read for the first time.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::{Datastore, FeedToken, Key};
    ///
    /// let store = Datastore::builder().options(|options| options.replica.feed = true).memory().await?;
    /// let kept = store.feed_token().await?.encode();
    /// store.put("/colour", "green").await?;
    /// // Later, after a restart perhaps:
    /// let feed = store.feed(FeedToken::decode(&kept).ok_or("no token")?, 1_000).await?;
    /// assert_eq!(feed.keys, [(Key::new("/colour"), Some("green".into()))]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotKept`] when the datastore was opened without [`Config::feed`](anabranch_core::Config::feed), else as [`get`](Self::get).
    pub async fn feed_token(&self) -> Result<FeedToken, Error> {
        self.handle.read(|replica| Ok(replica.feed_token())).await?.map_err(feed_error)
    }

    /// The keys that the blocks merged since the token name, each once with its value now or `None`: those of at most so many blocks.
    /// Go on with [`Feed::next`](anabranch_core::Feed::next) while there is more, and later.
    ///
    /// # Errors
    /// [`Error::UnknownEpoch`] when the token is not of this store's history: read all keys again; else as [`feed_token`](Self::feed_token).
    pub async fn feed(&self, since: FeedToken, blocks_max: usize) -> Result<Feed, Error> {
        self.handle.read(move |replica| Ok(replica.feed(&since, blocks_max))).await?.map_err(feed_error)
    }

    /// What keeps the replica behind: up to so many missing blocks, with the peers that may have them.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn blocking(&self, limit: usize) -> Result<Vec<Blocking>, Error> {
        self.handle.read(move |replica| replica.blocking(limit)).await
    }

    /// Removes the blocks of one DAG name that are merged by now, here alone: their bytes go, and every key that they name is derived anew
    /// from the blocks that remain. What of that name is merged later is merged as ever. Returns when it is done; reads and writes go on
    /// meanwhile, and a crash does not stop it: it goes on when the store is opened again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::{Batch, DagName, Datastore};
    ///
    /// let store = Datastore::builder().memory().await?;
    /// store.put("/k", "v").await?;
    /// store.commit(Batch::for_dag(DagName::new("cache")).put("/cached", "x")).await?;
    /// store.purge(DagName::new("cache")).await?;
    /// assert!(!store.has("/cached").await? && store.has("/k").await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Refusal::Busy`](anabranch_core::Refusal::Busy) while another task runs; else as [`commit`](Self::commit).
    pub async fn purge(&self, dag: DagName) -> Result<Outcome, Error> {
        self.handle.ask(0, move |token| Input::Purge { token, dag }).await
    }

    /// Checks every merged block, and everything that is derived from them, and changes nothing. [`Outcome::Verified`] counts the faults; what each is
    /// comes as an [event](Self::events). Reads and writes go on meanwhile, and a crash does not stop it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::{Datastore, Outcome};
    ///
    /// let store = Datastore::builder().memory().await?;
    /// store.put("/k", "v").await?;
    /// match store.verify().await? {
    ///     Outcome::Verified { faults: 0, blocks, .. } => println!("{blocks} blocks are sound"),
    ///     _ => println!("{:?}", store.rebuild().await?),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`purge`](Self::purge).
    pub async fn verify(&self) -> Result<Outcome, Error> {
        self.handle.ask(0, move |token| Input::Verify { token }).await
    }

    /// Makes everything that is derived from the blocks anew. Until it is done, reads give
    /// [`Rebuilding`](anabranch_core::Error::Rebuilding) and writes are refused; a crash does not stop it.
    /// A store that is too damaged to open is opened with [`Builder::rebuild`].
    ///
    /// # Errors
    /// As [`purge`](Self::purge).
    pub async fn rebuild(&self) -> Result<Outcome, Error> {
        self.handle.ask(0, move |token| Input::Rebuild { token }).await
    }

    /// Gives a block up that others wait for and that no peer can serve any more: from now on it counts as merged without links, and
    /// what waits for it is merged. It is undone when the block turns up. A decision of an operator, here alone.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::Datastore;
    ///
    /// let store = Datastore::builder().memory().await?;
    /// for block in store.blocking(10).await? {
    ///     println!("{} blocks wait for {}, which nobody serves", block.waiting, block.cid);
    ///     store.abandon(block.cid).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Refusal::NotMissing`](anabranch_core::Refusal::NotMissing) for a block that is here or that nothing waits for; else as [`purge`](Self::purge).
    pub async fn abandon(&self, cid: Cid) -> Result<Outcome, Error> {
        self.handle.ask(0, move |token| Input::Abandon { token, cid }).await
    }

    /// The task (purge, rebuild) that runs, and how far it is.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn task(&self) -> Result<Option<TaskStatus>, Error> {
        self.handle.read(|replica| Ok(replica.task())).await
    }

    /// Opens the store again after it has failed ([`Error::Stopped`], [`Error::Unknown`]). All handles go on with it. Does nothing
    /// while the datastore runs.
    ///
    /// # Errors
    /// When the store cannot be opened; the datastore stays stopped, and the call may be repeated.
    pub async fn reopen(&self) -> Result<(), OpenError> {
        let (reply, answer) = oneshot::channel();
        if !self.handle.send(Message::Reopen(reply)).await {
            return Err(OpenError::Closed);
        }
        answer.await.unwrap_or(Err(OpenError::Closed))
    }

    /// Finishes what was called before, lets announcements leave (as long as [`Options::close_timeout`](crate::Options::close_timeout) allows), and closes the store: when this
    /// returns, the store can be opened again. Calls that come later fail with [`Error::Closed`]. Closing twice does no harm.
    ///
    /// Dropping the future does not stop the closing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::{Datastore, Error};
    ///
    /// # let home = tempfile::tempdir()?;
    /// # let folder = home.path().join("store");
    /// let store = Datastore::builder().open(&folder).await?;
    /// store.put("/k", "v").await?;
    /// store.close().await;
    /// assert!(matches!(store.put("/k", "w").await, Err(Error::Closed)));
    ///
    /// let again = Datastore::builder().open(&folder).await?;
    /// assert_eq!(again.get("/k").await?.as_deref(), Some(&b"v"[..]));
    /// again.close().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.handle.send(Message::Close(reply)).await {
            let _ = closed.await;
        }
    }
}

impl fmt::Debug for Datastore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datastore").finish_non_exhaustive()
    }
}
