//! The replica: what it is asked, and what it tells.

mod blocking;
mod changes;
mod commit;
mod import;
mod merge;
mod read;
mod receive;
mod step;
mod traverse;
mod waits;

pub use blocking::Blocking;
pub(crate) use merge::height_over;
pub use read::View;
pub(crate) use step::Step;
pub use traverse::{Traverse, Visited};

use crate::{
    Bytes, Cid, Codec, Config, DagName, Effect, Error, Feed, FeedError, FeedToken, Input, Key, Mark, Marks, MergeAll,
    ProtobufCodec, Query, Row, Stub, TaskStatus, Timer, Validator, dag::counts::Counts, feed::Log, fetch::Fetcher,
    gossip, gossip::Gossip, mark::Trail, store::Store, task::Running, wire::Block,
};
use alloc::{collections::BTreeSet, format, string::ToString, vec::Vec};
use waits::Waits;

/// Whether a step left work to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a step that left work wants Input::Continue before the driver sleeps"]
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

/// Numbers about a replica, some of the store and some of this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stats {
    /// Blocks merged, void ones included, and purged ones not. Durable.
    pub merged: u64,
    /// Void blocks merged. Durable.
    pub void: u64,
    /// Good blocks merged that declare another priority than their height. Durable.
    pub misdeclared: u64,
    /// The greatest height that a merged block had, purged since or not. Durable.
    pub height_max: u64,
    /// Purged blocks, of which only the height is left. Durable.
    pub purged: u64,
    /// Abandoned blocks. Durable.
    pub abandoned: u64,
    /// Heads, of all DAG names. Durable.
    pub heads: u64,
    /// Tombstones that wait for their target. Durable.
    pub early_tombstones: u64,
    /// Obligations: blocks that must still be fetched or merged. Durable.
    pub obligations: u64,
    /// Bytes of the bodies of pending blocks in the store. Durable.
    pub pending_bytes: u64,
    /// Announced CIDs that are no obligations: not fetched yet, parked, or void. Volatile.
    pub rumours: usize,
    /// Fetches in flight. Volatile.
    pub fetches: usize,
}

/// One replica: a pure function of its inputs over a store.
///
/// It holds no clock, no randomness and no thread. [`step`](Self::step) takes one input and appends
/// [`Effect`]s to a sink; the driver carries them out and comes back with more inputs. Two replicas
/// that are equal give equal effects for equal inputs for ever, which is what makes a replica
/// something to simulate and to model-check: `Eq` and `Hash` see all that can change a later
/// effect, and nothing else.
///
/// Memory holds what is being fetched (at most some thousand CIDs) and what was heard of the
/// current heads; all else is in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica<S, V = MergeAll, C = ProtobufCodec> {
    store: S,
    config: Config,
    validator: V,
    codec: C,
    counts: Counts,
    task: Option<Running>,
    fetch: Fetcher,
    gossip: Gossip,
    waits: Waits,
    log: Log,
    trail: Trail,
    stopped: bool,
}

impl<S: Store> Replica<S> {
    /// Opens a store, an empty one or one that a replica left. Costs O(heads + obligations), the
    /// latter up to a limit; never a walk of the DAG.
    ///
    /// All heads are announced, for an announcement may have been lost in a crash. When
    /// [`progress`](Self::progress) says so, step with [`Input::Continue`] before sleeping.
    ///
    /// A store in an older format is upgraded: opening it is all that it takes. One in a newer format is left as it is.
    ///
    /// ```
    /// use anabranch_core::{
    ///     Config, Error, Replica,
    ///     store::{MemoryStore, Read, Store, Table, WriteBatch},
    /// };
    ///
    /// # fn main() -> Result<(), Error> {
    /// let in_format = |format: u32| {
    ///     let row = (Table::Meta, "format".into(), Some(format.to_le_bytes().to_vec().into()));
    ///     let mut store = MemoryStore::new();
    ///     store.commit(WriteBatch { rows: vec![row] }).map(|()| store)
    /// };
    /// let replica = Replica::open(in_format(1)?, Config::default(), &mut Vec::new())?;
    /// assert_eq!(replica.into_store().get(Table::Meta, b"format")?.as_deref(), Some(&2_u32.to_le_bytes()[..]));
    ///
    /// let refused = Replica::open(in_format(3)?, Config::default(), &mut Vec::new());
    /// assert!(matches!(refused, Err(Error::UnknownFormat { found: 3, newest_known: 2 })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the store fails, is damaged, or was written in a format that this version does not know.
    pub fn open(store: S, config: Config, out: &mut Vec<Effect>) -> Result<Self, Error> {
        Self::open_with(store, config, MergeAll, out)
    }
}

impl<S: Store, V: Validator> Replica<S, V> {
    /// As [`open`](Replica::open), with the embedder's validator. It must be the same for the
    /// whole life of the store.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with(store: S, config: Config, validator: V, out: &mut Vec<Effect>) -> Result<Self, Error> {
        Self::open_with_codec(store, config, validator, ProtobufCodec, out)
    }

    /// Opens a store that may be too damaged to be opened, and begins to [rebuild](Input::Rebuild) it from its blocks. A task
    /// that was running is begun anew after that.
    ///
    /// # Errors
    /// When the store fails, or was written in a format that this version does not know.
    pub fn open_rebuilding(store: S, config: Config, validator: V, out: &mut Vec<Effect>) -> Result<Self, Error> {
        Self::open_rebuilding_with_codec(store, config, validator, ProtobufCodec, out)
    }
}

impl<S: Store, V: Validator, C: Codec> Replica<S, V, C> {
    /// As [`open_with`](Replica::open_with), deltas in the embedder's format. It must be the same for the
    /// whole life of the store.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with_codec(
        mut store: S,
        config: Config,
        validator: V,
        codec: C,
        out: &mut Vec<Effect>,
    ) -> Result<Self, Error> {
        let trail = Trail(step::check_format(&mut store)?);
        let counts = Counts::read(&store)?;
        let task = Running::read(&store)?;
        let log = Log::read(&store)?;
        let (fetch, gossip, waits) = (Fetcher::default(), Gossip::default(), Waits::default());
        let mut replica =
            Self { store, config, validator, codec, counts, task, fetch, gossip, waits, log, trail, stopped: false };
        replica.transact(out, |step| {
            if step.task.is_some() {
                step.rows.hit(Mark::TaskResumed);
            }
            gossip::set_round(step.config, step.out);
            if step.is_rebuilding() {
                step.log.keep_after_rebuild(step.config.feed);
                return Ok(());
            }
            step.log.keep(step.config.feed, &step.rows)?;
            step.announce_all(|_, _| true)?;
            step.load_obligations()
        })?;
        Ok(replica)
    }

    /// As [`open_rebuilding`](Replica::open_rebuilding), deltas in the embedder's format.
    ///
    /// # Errors
    /// As `open_rebuilding`.
    pub fn open_rebuilding_with_codec(
        mut store: S,
        config: Config,
        validator: V,
        codec: C,
        out: &mut Vec<Effect>,
    ) -> Result<Self, Error> {
        let trail = Trail(step::check_format_of_damaged(&mut store)?);
        let task = match Running::read(&store) {
            Err(Error::Corrupt(_)) => None,
            task => task?,
        };
        let log = match Log::read(&store) {
            Err(Error::Corrupt(_)) => Log::default(),
            log => log?,
        };
        let (counts, waits) = (Counts::default(), Waits::default());
        let (fetch, gossip) = (Fetcher::default(), Gossip::default());
        let mut replica =
            Self { store, config, validator, codec, counts, task, fetch, gossip, waits, log, trail, stopped: false };
        replica.transact(out, |step| {
            step.log.keep_after_rebuild(step.config.feed);
            gossip::set_round(step.config, step.out);
            step.begin_rebuild(None);
            step.counts.write(&mut step.rows);
            Ok(())
        })?;
        Ok(replica)
    }

    /// Takes one input and appends what is to be done to `out`.
    ///
    /// The work is bounded by the input and [`Config::step_bytes_max`]; what is left over is done by
    /// [`Input::Continue`]. An input from a peer is never an error, whatever it holds.
    ///
    /// # Errors
    /// When the store fails or is damaged. Then nothing of the step is in the store, `out` is as it
    /// was, and the replica has stopped: open its store again.
    pub fn step(&mut self, input: Input, out: &mut Vec<Effect>) -> Result<Progress, Error> {
        let phase = self.task().map(|task| task.phase);
        let (was_rebuilding, effects) = (self.is_rebuilding(), out.len());
        self.transact(out, |step| match input {
            input if step.is_rebuilding() => step.while_rebuilding(input),
            Input::Commit { token, batch } => step.commit_or_wait(token, batch),
            Input::Broadcast { from, payload } => step.hear(from, &payload),
            Input::Block { from, cid, bytes, attempt } => step.receive(from, cid, &bytes, attempt),
            Input::FetchFailed { cid, attempt } => {
                step.fetch.failed(cid, attempt, step.out);
                Ok(())
            }
            Input::Timer(Timer::Rebroadcast) => step.announce_round(),
            Input::Timer(Timer::Answer) => step.answer(),
            Input::Timer(Timer::Fetch) => step.tick(),
            Input::Timer(Timer::Wait) => {
                step.waits.tick(step.config, step.out);
                Ok(())
            }
            Input::Import { token, blocks } => step.import(token, blocks),
            Input::Purge { token, dag } => step.purge(token, dag),
            Input::Continue => {
                step.merge_ready()?;
                step.go_on()
            }
            Input::Verify { token } => {
                step.verify(token);
                Ok(())
            }
            Input::Rebuild { token } => {
                step.rebuild(token);
                Ok(())
            }
            Input::Abandon { token, cid } => step.abandon(token, cid),
        })?;
        if was_rebuilding && phase != self.task().map(|task| task.phase) {
            // A store that holds commits back would still come by the damaged rows that the phase has removed.
            self.sync().inspect_err(|_| out.truncate(effects))?;
        }
        Ok(self.progress())
    }

    /// Whether there is work for [`Input::Continue`], as after reopening in the middle of merging.
    pub fn progress(&self) -> Progress {
        if self.counts.ready > 0 || self.task.is_some() || self.waits.is_due() {
            Progress::More
        } else {
            Progress::Done
        }
    }

    /// Makes all steps so far durable; then the effects that [wait for it](Effect::waits_for_sync) may leave.
    ///
    /// # Errors
    /// [`Error::SyncFailed`]: whether the steps since the last good sync survive is unknown. The
    /// replica has stopped; open its store again.
    pub fn sync(&mut self) -> Result<(), Error> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        self.store.sync().map_err(|why| {
            self.stopped = true;
            Error::SyncFailed(why.to_string())
        })
    }

    /// The store, as a crash leaves it.
    pub fn into_store(self) -> S {
        self.store
    }

    /// The store.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// The settings that the replica was opened with.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// A view of the state as it is now, which later steps do not change.
    ///
    /// # Errors
    /// When the store cannot give one; then the replica has stopped: open its store again.
    pub fn snapshot(&mut self) -> Result<View<S::Snapshot>, Error> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        if self.is_rebuilding() {
            return Err(Error::Rebuilding);
        }
        let rows = self.store.snapshot().inspect_err(|_| self.stopped = true)?;
        Ok(View::new(rows))
    }

    fn view(&self) -> Result<View<&S>, Error> {
        if self.is_rebuilding() { Err(Error::Rebuilding) } else { Ok(View::new(&self.store)) }
    }

    const fn is_rebuilding(&self) -> bool {
        matches!(&self.task, Some(running) if running.is_rebuild())
    }

    /// The key's value, or `None` when no version of it lives. One read of the store.
    ///
    /// # Errors
    /// When the store fails or is damaged; [`Error::Rebuilding`] while it is being rebuilt. Likewise for all reads below.
    pub fn get(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        self.view()?.get(key)
    }

    /// Whether the key has a value. One read of the store.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn has(&self, key: &Key) -> Result<bool, Error> {
        self.view()?.has(key)
    }

    /// The length of the key's value in bytes. One read of the store.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn size(&self, key: &Key) -> Result<Option<usize>, Error> {
        self.view()?.size(key)
    }

    /// The rows that the query selects, collected; [`View::rows`] streams them.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn query(&self, query: &Query) -> Result<Vec<Row>, Error> {
        self.view()?.rows(query).collect()
    }

    /// All heads, by DAG name, highest first.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn heads(&self) -> Result<Vec<Head>, Error> {
        self.view()?.heads()
    }

    /// The bytes of a block that is merged or pending here: the answer to another peer's fetch.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn block(&self, cid: &Cid) -> Result<Option<Bytes>, Error> {
        self.view()?.block(cid)
    }

    /// Whether the block is merged here, and was not purged since.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn is_merged(&self, cid: &Cid) -> Result<bool, Error> {
        self.view()?.is_merged(cid)
    }

    /// Up to `limit` merged blocks in order of their CIDs, after the one given. Purged ones are left out.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn merged(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<Cid>, Error> {
        self.view()?.merged(after, limit)
    }

    /// Up to `limit` purged and abandoned blocks in order of their CIDs, after the one given.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn stubs(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<(Cid, Stub)>, Error> {
        self.view()?.stubs(after, limit)
    }

    /// The task that runs, and how far it is.
    pub fn task(&self) -> Option<&TaskStatus> {
        self.task.as_ref().map(|running| &running.task.status)
    }

    /// Merged blocks from these down, or from all heads where none is given, the highest first and each once.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn traverse(&self, from: &[Cid]) -> Result<Traverse<&S>, Error> {
        self.view()?.traverse(from)
    }

    /// This moment, to [ask](Self::feed) later what was merged since. Free.
    ///
    /// # Errors
    /// [`FeedError::Off`].
    pub fn feed_token(&self) -> Result<FeedToken, FeedError> {
        self.log.token()
    }

    /// The keys that the blocks merged since the token name, with their values now: those of at most `limit` blocks, and of
    /// about [`Config::step_bytes_max`] bytes of them. Costs a read a block and one a key.
    ///
    /// To follow all keys, take a token first, then read all keys, then ask for the feed from that token on. What is shown is
    /// not synced yet where the last steps are not; after a crash such a token is unknown.
    ///
    /// ```
    /// use anabranch_core::{Batch, Config, FeedToken, Input, Replica, Token, store::MemoryStore};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (config, mut out) = (Config { feed: true, ..Config::default() }, Vec::new());
    /// let mut replica = Replica::open(MemoryStore::new(), config.clone(), &mut out)?;
    /// // Kept as bytes, it is good after a restart too.
    /// let token = replica.feed_token()?.encode();
    /// let batch = Batch::new().put("/a", "1").put("/b", "2").delete("/c");
    /// let _ = replica.step(Input::Commit { token: Token(1), batch }, &mut out)?;
    /// replica.sync()?;
    ///
    /// let replica = Replica::open(replica.into_store(), config, &mut out)?;
    /// let since = FeedToken::decode(&token).expect("our own");
    /// let feed = replica.feed(&since, 1_000)?;
    /// let keys: Vec<String> = feed.keys.iter().map(|(key, _)| key.to_string()).collect();
    /// assert_eq!((keys, feed.more), (vec!["/a".to_owned(), "/b".to_owned()], false));
    /// assert_eq!(replica.feed(&feed.next, 1_000)?.keys, []);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`FeedError::UnknownEpoch`] when the token is not of this store's history; then all keys are to be read again.
    pub fn feed(&self, since: &FeedToken, limit: usize) -> Result<Feed, FeedError> {
        let view = self.view()?;
        self.log.check(since, &self.store)?;
        let (mut keys, mut blocks, mut bytes) = (BTreeSet::new(), 0, 0);
        let next = self.log.after(since, &self.store, |cid| {
            if blocks == limit || blocks > 0 && bytes >= self.config.step_bytes_max {
                return Ok(false);
            }
            blocks += 1;
            let body = view.block(&cid)?;
            let body = body.ok_or_else(|| Error::Corrupt(format!("the bytes of block {cid} are missing")))?;
            bytes += body.len() as u64;
            if let Ok(delta) = Block::decode_with(&body, &self.codec).delta {
                // Copied: a key would keep the whole block alive.
                let elements = delta.elements.iter().map(|element| &element.key);
                let tombstones = delta.tombstones.iter().map(|tombstone| &tombstone.key);
                keys.extend(elements.chain(tombstones).map(|key| Key::cleaned(Bytes::copy_from_slice(key.as_bytes()))));
            }
            Ok(true)
        })?;
        let value = |key: Key| view.get(&key).map(|value| (key, value));
        let keys = keys.into_iter().map(value).collect::<Result<_, Error>>()?;
        Ok(Feed { keys, next, more: self.log.token()? != next })
    }

    /// Whether there are obligations: blocks below something that a peer announced and whose bytes
    /// were right, which are not merged yet. Rumours do not count. A replica that is being rebuilt is behind.
    pub const fn is_behind(&self) -> bool {
        self.counts.obligations > 0 || self.is_rebuilding()
    }

    /// The places that it has reached since it was opened.
    pub const fn marks(&self) -> Marks {
        self.trail.0.and(self.fetch.marks()).and(self.gossip.marks())
    }

    /// Numbers about this replica.
    pub const fn stats(&self) -> Stats {
        let counts = &self.counts;
        Stats {
            merged: counts.merged,
            void: counts.void,
            misdeclared: counts.misdeclared,
            height_max: counts.height_max,
            purged: counts.purged,
            abandoned: counts.abandoned,
            heads: counts.heads,
            early_tombstones: counts.early,
            obligations: counts.obligations,
            pending_bytes: counts.pending_bytes,
            rumours: self.fetch.rumours(),
            fetches: self.fetch.in_flight(),
        }
    }

    /// Runs one step and commits its changes, all or none.
    fn transact(
        &mut self,
        out: &mut Vec<Effect>,
        work: impl FnOnce(&mut Step<'_, S, V>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        let effects = out.len();
        let done = Step::run(self, out, work).and_then(|(batch, counts, log)| {
            if !batch.rows.is_empty() {
                self.store.commit(batch)?;
            }
            (self.counts, self.log) = (counts, log);
            Ok(())
        });
        if done.is_err() {
            out.truncate(effects);
            self.stopped = true;
        }
        done
    }
}
