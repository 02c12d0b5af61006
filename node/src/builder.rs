//! Making a datastore.

use crate::{
    Blocks, Change, Datastore, NotOpened, OpenError, Options,
    handle::Handle,
    lent::Home,
    memory::SharedMemory,
    metrics,
    net::{Broadcaster, DagSyncer, DynBroadcaster, DynSyncer},
    owner::{Opener, Owner, Parts, Viewer},
    readers::Readers,
    shared::Shared,
    view::{AnyView, Fixed},
    watch::{HookThread, Hooks},
};
use anabranch_core::{
    Codec, MergeAll, ProtobufCodec, Replica, Validator,
    store::{MemoryStore, Store},
};
use std::{any::Any, fmt, path::Path, sync::Arc};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
};

/// Makes a [`Datastore`]: options first, then one of [`open`](Self::open), [`memory`](Self::memory), and those beside them.
///
/// ```no_run
/// # async fn example() -> Result<(), anabranch::OpenError> {
/// use anabranch::Datastore;
/// use std::time::Duration;
///
/// let store = Datastore::builder()
///     .options(|options| options.replica.rebroadcast_interval = Duration::from_secs(10))
///     .open("/var/lib/registry")
///     .await?;
/// # Ok(())
/// # }
/// ```
pub struct Builder<V = MergeAll, C = ProtobufCodec> {
    options: Options,
    validator: V,
    codec: C,
    broadcaster: Option<Arc<dyn DynBroadcaster>>,
    syncer: Option<Arc<dyn DynSyncer>>,
    hooks: Hooks,
    rebuild: bool,
}

impl Builder<MergeAll> {
    pub(crate) fn new() -> Self {
        Self {
            options: Options::default(),
            validator: MergeAll,
            codec: ProtobufCodec,
            broadcaster: None,
            syncer: None,
            hooks: Hooks::default(),
            rebuild: false,
        }
    }
}

impl<V, C> Builder<V, C>
where
    V: Validator + Clone + Send + 'static,
    C: Codec + Clone + Send + Sync + 'static,
{
    /// Changes options.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::{Datastore, WhenBehind};
    ///
    /// // A write is refused while blocks are known to be missing, instead of waiting for them.
    /// let builder = Datastore::builder().options(|options| options.replica.when_behind = WhenBehind::Refuse);
    /// let store = builder.memory().await?;
    /// assert_eq!(store.put("/k", "v").await?.behind, 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    /// Judges each block by its content: merge or void. All replicas of a network must judge alike.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::{Datastore, Validator, Verdict, wire::Block};
    ///
    /// /// Values of more than a kilobyte are not for this network.
    /// #[derive(Clone)]
    /// struct Short;
    ///
    /// impl Validator for Short {
    ///     fn judge(&self, block: &Block) -> Verdict {
    ///         let short = block.delta.as_ref().is_ok_and(|delta| delta.elements.iter().all(|put| put.value.len() <= 1_024));
    ///         if short { Verdict::Merge } else { Verdict::Void }
    ///     }
    /// }
    ///
    /// let store = Datastore::builder().validator(Short).memory().await?;
    /// store.put("/k", "v").await?;
    /// store.put("/k", vec![0; 2_000]).await.unwrap_err();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn validator<W: Validator + Clone + Send + 'static>(self, validator: W) -> Builder<W, C> {
        let Self { options, codec, broadcaster, syncer, hooks, rebuild, .. } = self;
        Builder { options, validator, codec, broadcaster, syncer, hooks, rebuild }
    }

    /// Reads and writes deltas in the embedder's own format. It must be the same for all replicas of a network, and for the whole life of a store.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::{Bytes, Codec, Datastore, Key, ProtobufCodec, wire::{Delta, Flaw}};
    ///
    /// /// The usual format behind a byte that tells this network's blocks from all others.
    /// #[derive(Clone)]
    /// struct Marked;
    ///
    /// impl Codec for Marked {
    ///     fn decode(&self, data: &Bytes) -> Result<Delta, Flaw> {
    ///         match data.first() {
    ///             Some(0xa7) => ProtobufCodec.decode(&data.slice(1..)),
    ///             _ => Err(Flaw::NotDelta("not of this network".into())),
    ///         }
    ///     }
    ///     fn encode(&self, delta: &Delta) -> Vec<u8> {
    ///         [vec![0xa7], ProtobufCodec.encode(delta)].concat()
    ///     }
    ///     fn element_bytes(&self, key: &Key, value: &Bytes) -> usize {
    ///         ProtobufCodec.element_bytes(key, value)
    ///     }
    ///     fn tombstone_bytes(&self, key: &Key) -> usize {
    ///         ProtobufCodec.tombstone_bytes(key)
    ///     }
    /// }
    ///
    /// let store = Datastore::builder().codec(Marked).memory().await?;
    /// store.put("/k", "v").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn codec<D: Codec + Clone + Send + Sync + 'static>(self, codec: D) -> Builder<V, D> {
        let Self { options, validator, broadcaster, syncer, hooks, rebuild, .. } = self;
        Builder { options, validator, codec, broadcaster, syncer, hooks, rebuild }
    }

    /// Carries announcements. Without one the datastore announces nothing, and hears nothing.
    #[must_use]
    pub fn broadcaster(mut self, broadcaster: impl Broadcaster) -> Self {
        self.broadcaster = Some(Arc::new(broadcaster));
        self
    }

    /// Fetches blocks from peers, and serves ours. Without one every fetch fails.
    #[must_use]
    pub fn syncer(mut self, syncer: impl DagSyncer) -> Self {
        self.syncer = Some(Arc::new(syncer));
        self
    }

    /// Both parts of a network.
    #[must_use]
    pub fn network(self, (broadcaster, syncer): (impl Broadcaster, impl DagSyncer)) -> Self {
        self.broadcaster(broadcaster).syncer(syncer)
    }

    /// Makes everything that is derived from the blocks anew when the store is opened: for a store whose rows are too damaged to be opened otherwise.
    /// Until it is done ([`Datastore::task`] says how far it is), reads give [`Rebuilding`](anabranch_core::Error::Rebuilding). Damaged blocks are fetched again.
    #[must_use]
    pub const fn rebuild(mut self) -> Self {
        self.rebuild = true;
        self
    }

    /// Calls this for every key that gets another value, after that is durable: from a thread of its own, in the order of the changes, also for
    /// what peers wrote, and when a delete lets another version take over. Nothing is left out but in a crash.
    ///
    /// A hook that is slow slows the datastore down, so it must not wait for it: spawn a task for that.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::Datastore;
    ///
    /// let (send, told) = std::sync::mpsc::channel();
    /// let builder = Datastore::builder().on_put(move |change| drop(send.send((change.old.clone(), change.new.clone()))));
    /// let store = builder.on_delete(|change| println!("{} is gone", change.key)).memory().await?;
    /// store.put("/colour", "red").await?;
    /// store.put("/colour", "green").await?;
    /// store.close().await;
    /// assert_eq!(told.iter().collect::<Vec<_>>(), [(None, Some("red".into())), (Some("red".into()), Some("green".into()))]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn on_put(mut self, hook: impl FnMut(&Change) + Send + 'static) -> Self {
        self.hooks.put = Some(Box::new(hook));
        self
    }

    /// As [`on_put`](Self::on_put), for every key that loses its value.
    #[must_use]
    pub fn on_delete(mut self, hook: impl FnMut(&Change) + Send + 'static) -> Self {
        self.hooks.delete = Some(Box::new(hook));
        self
    }

    /// Opens the store in this folder, or makes one in an empty or absent folder. A store that an older version has left is upgraded; one
    /// that a newer version has left is refused.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::Datastore;
    ///
    /// # let home = tempfile::tempdir()?;
    /// # let folder = home.path().join("store");
    /// Datastore::builder().open(&folder).await?.close().await;
    /// // As a newer version would leave it:
    /// let marker = folder.join("anabranch");
    /// std::fs::write(&marker, std::fs::read_to_string(&marker)?.replace("format 1\n", "format 9\n"))?;
    /// let why = Datastore::builder().open(&folder).await.unwrap_err().to_string();
    /// assert!(why.contains("is in format 9, and this version reads formats up to 1; use a newer version"), "{why}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When an option makes no sense, or the folder cannot be opened: the message says why and what to do.
    /// Nothing on disk has changed then.
    ///
    /// # Panics
    /// Outside of a tokio runtime; likewise below.
    pub async fn open(self, path: impl AsRef<Path>) -> Result<Datastore, OpenError> {
        let path = path.as_ref().to_owned();
        self.open_with(move || Ok(anabranch_store::open(&path)?)).await
    }

    /// Opens a store in memory, which is gone when the datastore is closed.
    ///
    /// # Errors
    /// When an option makes no sense.
    pub async fn memory(self) -> Result<Datastore, OpenError> {
        self.open_memory(&SharedMemory::default()).await
    }

    /// Opens the store that the function gives, in the thread that will own it. It is called again when the datastore is
    /// [reopened](Datastore::reopen), and gives a store in which all is that was synced.
    ///
    /// The datastore takes a snapshot of the store after each sync, and holds it until the next one: that is what is read while a write is under
    /// way. In an engine for disks that costs some microseconds. (A [`MemoryStore`] is better handed to [`open_store`](Self::open_store).)
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with<S>(
        self,
        open: impl FnMut() -> Result<S, OpenError> + Send + 'static,
    ) -> Result<Datastore, OpenError>
    where
        S: Store + Send + 'static,
        S::Snapshot: Send + Sync + 'static,
    {
        self.start(Box::new(open), snapshots()).await
    }

    /// Opens a store that is there already: one of your own, or a [`MemoryStore`] that has something in it. It is kept when it fails, and tried again
    /// when the datastore is [reopened](Datastore::reopen): whether that can succeed is up to it. Otherwise as [`open_with`](Self::open_with).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use anabranch::{Datastore, NotOpened, store::MemoryStore};
    ///
    /// match Datastore::builder().options(|options| options.queue_max = 0).open_store(MemoryStore::new()).await {
    ///     Ok(store) => store.close().await,
    ///     Err(NotOpened { why, store }) => println!("{why}; the store is still here: {}", store.is_some()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`open`](Self::open); the store is handed back.
    pub async fn open_store<S>(self, mut store: S) -> Result<Datastore, NotOpened<S>>
    where
        S: Store + Send + 'static,
        S::Snapshot: Send + Sync + 'static,
    {
        // Its snapshots would make each commit copy what it changes.
        let as_memory = |store: &mut S| (store as &mut dyn Any).downcast_mut::<MemoryStore>().map(std::mem::take);
        if let Some(rows) = as_memory(&mut store) {
            let shared = SharedMemory::new(rows);
            let opened = self.open_memory(&shared).await;
            return opened.map_err(|why| {
                if let Some(rows) = (&mut store as &mut dyn Any).downcast_mut::<MemoryStore>() {
                    *rows = shared.take();
                }
                NotOpened { why, store: Some(store) }
            });
        }
        let home = Home::of(store);
        let lender = home.again();
        let opened = self.start(Box::new(move || lender.lend()), snapshots()).await;
        opened.map_err(|why| NotOpened { why, store: home.take() })
    }

    async fn open_memory(self, store: &SharedMemory) -> Result<Datastore, OpenError> {
        let (opened, shown) = (store.clone(), store.clone());
        let viewer = Viewer {
            view: Box::new(move |replica, codec: &C| {
                // Asked for its error alone.
                replica.snapshot()?;
                Ok(shown.live(codec.clone()))
            }),
            is_live: true,
        };
        self.start(Box::new(move || Ok(opened.clone())), viewer).await
    }

    async fn start<S: Store + Send + 'static>(
        self,
        opener: Opener<S>,
        viewer: Viewer<S, V, C>,
    ) -> Result<Datastore, OpenError> {
        let Self { mut options, validator, codec, broadcaster, syncer, hooks, rebuild } = self;
        options.check()?;
        metrics::describe();
        let hooks = if hooks.is_empty() {
            None
        } else {
            options.replica.report_changes = true;
            let hooks = HookThread::start(hooks);
            Some(hooks.map_err(|error| OpenError::Thread(format!("that of the hooks cannot be started: {error}")))?)
        };
        let runtime = runtime::Handle::current();
        let (queue, messages) = mpsc::channel(options.queue_max);
        let readers = if viewer.is_live { Ok(Readers::default()) } else { Readers::start() };
        let readers =
            readers.map_err(|error| OpenError::Thread(format!("those of reads cannot be started: {error}")))?;
        let shared = Arc::new(Shared::new(&options, runtime.clone(), readers));
        let handle = Handle::new(shared.clone(), queue);
        let weak = handle.downgrade();
        let parts = Parts {
            opener,
            viewer,
            validator,
            codec,
            options,
            shared,
            handle: weak.clone(),
            runtime,
            broadcaster,
            syncer: syncer.clone(),
            hooks,
            rebuild,
        };
        let (reply, opened) = oneshot::channel();
        let thread = std::thread::Builder::new().name(String::from("anabranch"));
        thread
            .spawn(move || Owner::run(parts, messages, reply))
            .map_err(|error| OpenError::Thread(format!("it cannot be started: {error}")))?;
        opened.await.map_err(|_| OpenError::Thread(String::from("it died while it opened the store")))??;
        if let Some(syncer) = syncer {
            syncer.serve(Blocks::new(weak));
        }
        Ok(Datastore::new(handle))
    }
}

/// Those who read see snapshots.
fn snapshots<S, V, C>() -> Viewer<S, V, C>
where
    S: Store,
    S::Snapshot: Send + Sync + 'static,
    V: Validator,
    C: Codec + Clone + Send + Sync + 'static,
{
    let view = |replica: &mut Replica<S, V, C>, codec: &C| {
        let view: Arc<dyn AnyView> = Arc::new(Fixed::new(replica.snapshot()?, codec.clone()));
        Ok(view)
    };
    Viewer { view: Box::new(view), is_live: false }
}

impl<V, C> fmt::Debug for Builder<V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("options", &self.options).finish_non_exhaustive()
    }
}
