//! The owner of the replica: one thread, which steps it, syncs, and answers.
//!
//! It takes what waits in its queue as one group: steps all, syncs once, lets the effects that waited for the sync
//! leave, and then answers the reads. So many callers share one sync, an acknowledgement comes only after the sync, and a read
//! never shows what a crash could take back.

mod fetches;
mod inbox;
mod outbox;
mod timers;

use crate::{
    Committed, Error, OpenError, Options,
    datastore::WeakHandle,
    message::{Message, Read, Reply},
    metrics,
    net::{DynBroadcaster, DynSyncer},
    shared::{Fate, Shared},
};
use anabranch_core::{
    Batch, Effect, Error as ReplicaError, Event, Input, Progress, Replica, Token, Validator, store::Store,
};
use fetches::Fetches;
use outbox::Outbox;
use std::{
    any::Any,
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::{Duration, Instant},
};
use timers::Timers;
use tokio::{
    runtime,
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
};

/// A group ends after so many messages …
const GROUP_MESSAGES_MAX: usize = 1_000;
/// … or so many bytes of writes and blocks …
const GROUP_BYTES_MAX: usize = 8 << 20;
/// … or so much time, so that a read waits no longer than that and a sync.
const GROUP_TIME_MAX: Duration = Duration::from_millis(10);

/// Where the store comes from when it is opened, and opened again.
pub(crate) enum Source<S> {
    /// From a function, a path's say.
    Opener(Box<dyn FnMut() -> Result<S, OpenError> + Send>),
    /// It was handed over, and is kept.
    Held(Option<S>),
}

impl<S> Source<S> {
    fn take(&mut self) -> Result<S, OpenError> {
        match self {
            Self::Opener(open) => open(),
            Self::Held(store) => store.take().ok_or_else(|| OpenError::Thread(String::from("it lost the store"))),
        }
    }
}

/// All that an owner is made of.
pub(crate) struct Parts<S, V> {
    pub(crate) source: Source<S>,
    pub(crate) validator: V,
    pub(crate) options: Options,
    pub(crate) shared: Arc<Shared>,
    pub(crate) handle: WeakHandle,
    pub(crate) runtime: runtime::Handle,
    pub(crate) broadcaster: Option<Arc<dyn DynBroadcaster>>,
    pub(crate) syncer: Option<Arc<dyn DynSyncer>>,
}

/// A commit that has not been answered.
struct Waiting {
    reply: Reply<Committed>,
    /// Its share of what may wait, given back with the answer.
    _room: Option<OwnedSemaphorePermit>,
}

/// The owner.
pub(crate) struct Owner<S, V> {
    replica: Option<Replica<S, V>>,
    source: Source<S>,
    validator: V,
    options: Options,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Message>,
    outbox: Option<Outbox>,
    fetches: Fetches,
    timers: Timers,
    /// Effects of the last step.
    out: Vec<Effect>,
    /// Effects that wait for the sync.
    held: Vec<Effect>,
    /// Whether something was stepped since the last sync.
    dirty: bool,
    commits: BTreeMap<Token, Waiting>,
    tokens: u64,
    reads: Vec<Read>,
    /// Who waits for the end, once it has come.
    closing: Option<Option<oneshot::Sender<()>>>,
    group: Group,
}

/// What a group has taken in.
struct Group {
    begun: Instant,
    messages: usize,
    bytes: usize,
    commits: usize,
}

impl Group {
    fn new() -> Self {
        Self { begun: Instant::now(), messages: 0, bytes: 0, commits: 0 }
    }

    fn is_full(&self) -> bool {
        self.messages >= GROUP_MESSAGES_MAX || self.bytes >= GROUP_BYTES_MAX || self.begun.elapsed() >= GROUP_TIME_MAX
    }
}

impl<S, V> Owner<S, V>
where
    S: Store,
    S::Snapshot: Send + Sync + 'static,
    V: Validator + Clone,
{
    /// Opens the store; says how that went; and if well, serves the queue to the end.
    pub(crate) fn run(parts: Parts<S, V>, queue: mpsc::Receiver<Message>, opened: Reply<(), OpenError>) {
        let Parts { source, validator, options, shared, handle, runtime, broadcaster, syncer } = parts;
        let inbox = broadcaster.clone().map(|from| (runtime.clone(), from, handle.clone()));
        let fetches = Fetches::new(runtime.clone(), syncer.clone(), handle.clone(), &options);
        let mut owner = Self {
            replica: None,
            source,
            validator,
            shared,
            queue,
            outbox: broadcaster.map(|to| Outbox::start(&runtime, to, options.broadcast_delay)),
            fetches,
            timers: Timers::new(runtime, handle),
            options,
            out: Vec::new(),
            held: Vec::new(),
            dirty: false,
            commits: BTreeMap::new(),
            tokens: 0,
            reads: Vec::new(),
            closing: None,
            group: Group::new(),
        };
        let done = owner.open();
        let is_open = done.is_ok();
        if opened.send(done).is_ok() && is_open {
            let inbox = inbox.map(|(runtime, from, to)| runtime.spawn(inbox::receive_all(from, to)).abort_handle());
            owner.serve();
            if let Some(inbox) = inbox {
                inbox.abort();
            }
        }
        owner.end();
    }

    /// Opens the store, and makes durable and announces what it holds.
    fn open(&mut self) -> Result<(), OpenError> {
        let store = self.source.take()?;
        let replica = Replica::open_with(store, self.options.replica.clone(), self.validator.clone(), &mut self.out)?;
        self.replica = Some(replica);
        self.dirty = true;
        self.sort();
        self.sync().inspect_err(|why| self.stop(why))?;
        self.shared.set_fate(Fate::Running);
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), OpenError> {
        if self.replica.is_none() {
            self.open()?;
            tracing::info!("the store is open again");
            self.shared.events.reopened();
        }
        Ok(())
    }

    fn serve(&mut self) {
        while self.closing.is_none() {
            let waits = self.replica.as_ref().is_some_and(|replica| replica.progress() == Progress::More);
            let first = if waits { self.queue.try_recv().ok() } else { self.queue.blocking_recv() };
            if first.is_none() && (!waits || self.queue.is_closed()) {
                // The last handle is gone.
                self.closing = Some(None);
                break;
            }
            // A panic is one of a validator, or of an engine: the store is given up as if it had failed.
            let done = panic::catch_unwind(AssertUnwindSafe(|| self.group(first)));
            if let Err(why) = done.unwrap_or_else(|panic| Err(panicked(&*panic))) {
                self.stop(&why);
            }
        }
    }

    /// Takes what waits, as far as a group goes, and makes it durable.
    fn group(&mut self, first: Option<Message>) -> Result<(), ReplicaError> {
        self.group = Group::new();
        let mut next = first;
        loop {
            match next {
                Some(message) => self.take(message)?,
                None => match self.fetches.next_failed() {
                    Some(input) => self.step(input)?,
                    // Someone waits for the sync: merging goes on after it.
                    None if self.group.commits > 0 || !self.has_more() => break,
                    None => self.step(Input::Continue)?,
                },
            }
            if self.closing.is_some() || self.group.is_full() {
                break;
            }
            next = self.queue.try_recv().ok();
        }
        self.sync()?;
        self.answer_reads();
        Ok(())
    }

    fn has_more(&self) -> bool {
        self.replica.as_ref().is_some_and(|replica| replica.progress() == Progress::More)
    }

    fn take(&mut self, message: Message) -> Result<(), ReplicaError> {
        self.group.messages += 1;
        match message {
            Message::Commit { batch, reply, room } => self.commit(batch, reply, room),
            Message::Input { input, room } => {
                self.fetches.answered(&input);
                if let Input::Block { bytes, .. } = &input {
                    self.group.bytes += bytes.len();
                }
                let done = self.step(input);
                drop(room);
                done
            }
            Message::Read(read) => {
                // Those who hear nothing look at the fate.
                if self.replica.is_some() {
                    self.reads.push(read);
                }
                Ok(())
            }
            Message::Reopen(reply) => {
                let _ = reply.send(self.reopen());
                Ok(())
            }
            Message::Close(reply) => {
                self.closing = Some(Some(reply));
                Ok(())
            }
        }
    }

    fn commit(
        &mut self,
        batch: Batch,
        reply: Reply<Committed>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<(), ReplicaError> {
        if self.replica.is_none() {
            let _ = reply.send(Err(self.shared.error()));
            return Ok(());
        }
        self.tokens += 1;
        let token = Token(self.tokens);
        self.group.commits += 1;
        self.group.bytes += batch_bytes(&batch);
        let done = self.step(Input::Commit { token, batch });
        match &done {
            Ok(()) => {
                self.commits.insert(token, Waiting { reply, _room: room });
                self.release_refused();
            }
            Err(why) => drop(reply.send(Err(Error::Stopped(why.clone())))),
        }
        done
    }

    /// Steps the replica, if there is one, and carries out what waits for no sync.
    fn step(&mut self, input: Input) -> Result<(), ReplicaError> {
        let Some(replica) = &mut self.replica else { return Ok(()) };
        self.dirty = true;
        let done = replica.step(input, &mut self.out);
        self.sort();
        done.map(drop)
    }

    /// Carries out the effects of a step that wait for no sync, and keeps the others.
    fn sort(&mut self) {
        for effect in self.out.drain(..) {
            match effect {
                Effect::Fetch { cid, from, attempt } => self.fetches.start(cid, from, attempt),
                Effect::SetTimer { timer, after } => self.timers.set(timer, &after),
                effect => self.held.push(effect),
            }
        }
    }

    /// Answers refused commits at once: they have changed nothing, and wait for nothing.
    fn release_refused(&mut self) {
        let refused = |effect: &mut Effect| matches!(effect, Effect::Refused { .. });
        let effects: Vec<Effect> = self.held.extract_if(.., refused).collect();
        effects.into_iter().for_each(|effect| self.release(effect));
    }

    /// Makes all steps durable, and lets the effects that waited for that leave.
    fn sync(&mut self) -> Result<(), ReplicaError> {
        let Some(replica) = self.replica.as_mut().filter(|_| self.dirty) else { return Ok(()) };
        let begun = Instant::now();
        replica.sync()?;
        self.dirty = false;
        metrics::synced(begun.elapsed(), self.group.commits);
        metrics::state(&replica.stats(), self.fetches.running());
        tracing::trace!(messages = self.group.messages, commits = self.group.commits, bytes = self.group.bytes, took = ?begun.elapsed(), "synced");
        for effect in std::mem::take(&mut self.held) {
            self.release(effect);
        }
        Ok(())
    }

    fn release(&mut self, effect: Effect) {
        match effect {
            Effect::Broadcast(payload) => {
                if let Some(outbox) = &self.outbox {
                    outbox.push(payload);
                }
            }
            Effect::Committed { token, blocks, .. } => self.answer(token, Ok(Committed { blocks, behind: 0 })),
            Effect::Refused { token, why } => {
                metrics::refused();
                self.answer(token, Err(Error::Refused(why)));
            }
            Effect::Notify(event) => self.notify(&event),
            _ => {}
        }
    }

    fn answer(&mut self, token: Token, outcome: Result<Committed, Error>) {
        if let Some(waiting) = self.commits.remove(&token) {
            // Whoever dropped the call does not want to know.
            let _ = waiting.reply.send(outcome);
        }
    }

    fn notify(&self, event: &Event) {
        metrics::event(event);
        crate::events::log(event);
        self.shared.events.tell(event);
    }

    fn answer_reads(&mut self) {
        let Some(replica) = &mut self.replica else { return };
        metrics::reads(self.reads.len());
        self.reads.drain(..).for_each(|read| read(replica));
    }

    /// The store failed: nothing that waited for it may leave, and whoever waits is told.
    fn stop(&mut self, why: &ReplicaError) {
        tracing::error!(error = %why, "the store failed; the datastore has stopped until it is reopened");
        metrics::stopped();
        self.shared.set_fate(Fate::Stopped(why.clone()));
        self.timers.stop();
        self.fetches.stop();
        self.held.clear();
        self.out.clear();
        self.dirty = false;
        for waiting in std::mem::take(&mut self.commits).into_values() {
            let _ = waiting.reply.send(Err(Error::Unknown(why.clone())));
        }
        self.reads.clear();
        let store = self.replica.take().map(Replica::into_store);
        if let Source::Held(held) = &mut self.source {
            *held = store;
        }
    }

    /// The end: announcements leave, the store is closed, and whoever waits for that is told.
    fn end(mut self) {
        self.timers.stop();
        self.fetches.stop();
        if let Some(outbox) = self.outbox.take()
            && !outbox.close(self.options.close_timeout)
        {
            tracing::warn!(limit = ?self.options.close_timeout, "closed before all announcements had left; they go out when the store is opened again");
        }
        self.shared.set_fate(Fate::Closed);
        self.shared.events.end();
        for waiting in std::mem::take(&mut self.commits).into_values() {
            let _ = waiting.reply.send(Err(Error::Closed));
        }
        self.queue.close();
        while let Ok(message) = self.queue.try_recv() {
            match message {
                Message::Commit { reply, .. } => drop(reply.send(Err(Error::Closed))),
                Message::Reopen(reply) => drop(reply.send(Err(OpenError::Closed))),
                Message::Close(reply) => drop(reply.send(())),
                Message::Input { .. } | Message::Read(_) => {}
            }
        }
        let closing = self.closing.take().flatten();
        // The store first, so that who waits can open it again at once.
        drop(self);
        if let Some(closing) = closing {
            let _ = closing.send(());
        }
    }
}

/// A panic as a failure of the store.
fn panicked(panic: &(dyn Any + Send)) -> ReplicaError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message");
    ReplicaError::Store(format!("a panic in the thread that owns it: {}", text.replace('\n', "; ")))
}

/// What a batch weighs.
pub(crate) fn batch_bytes(batch: &Batch) -> usize {
    use anabranch_core::Write;
    let write = |write: &Write| match write {
        Write::Put(key, value) => key.as_bytes().len() + value.len(),
        Write::Delete(key) => key.as_bytes().len(),
    };
    batch.writes.iter().map(write).sum()
}
