//! The owner of the replica: one thread, which steps it, syncs, and answers.
//!
//! It takes what waits in its queue as one group: steps all, syncs once, publishes the state for those who read, and lets the effects that
//! waited for the sync leave. So many callers share one sync, an acknowledgement comes only after the sync, and a read never shows
//! what a crash could take back, nor waits for what is under way.

mod fetches;
mod inbox;
mod outbox;
mod spans;
mod timers;
mod waiting;

use crate::{
    Change, Committed, Error, OpenError, Options,
    handle::WeakHandle,
    message::{Message, Read, Reply},
    metrics,
    net::{DynBroadcaster, DynSyncer},
    published::Publisher,
    shared::{Fate, Shared},
    view::AnyView,
    watch::HookThread,
};
use anabranch_core::{
    Codec, Effect, Error as ReplicaError, Event, Input, Outcome, Progress, Replica, Token, Validator, store::Store,
};
use fetches::Fetches;
use outbox::Outbox;
use std::{
    any::Any,
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Instant,
};
use timers::Timers;
use tokio::{
    runtime,
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
};
use tracing::{Span, debug_span};
pub(crate) use waiting::batch_bytes;
use waiting::{Group, Pace, Replies, Waiting};

/// Opens the store, a path's say, and opens it again.
pub(crate) type Opener<S> = Box<dyn FnMut() -> Result<S, OpenError> + Send>;

/// How those who read see the rows.
pub(crate) struct Viewer<S, V, C> {
    /// Gives the rows as they are now.
    pub(crate) view: Box<ViewOf<S, V, C>>,
    /// Whether what it has given shows each later commit as well.
    pub(crate) is_live: bool,
}

type ViewOf<S, V, C> = dyn Fn(&mut Replica<S, V, C>, &C) -> Result<Arc<dyn AnyView>, ReplicaError> + Send;

/// All that an owner is made of.
pub(crate) struct Parts<S, V, C> {
    pub(crate) opener: Opener<S>,
    pub(crate) viewer: Viewer<S, V, C>,
    pub(crate) validator: V,
    pub(crate) codec: C,
    pub(crate) options: Options,
    pub(crate) shared: Arc<Shared>,
    pub(crate) handle: WeakHandle,
    pub(crate) runtime: runtime::Handle,
    pub(crate) broadcaster: Option<Arc<dyn DynBroadcaster>>,
    pub(crate) syncer: Option<Arc<dyn DynSyncer>>,
    pub(crate) hooks: Option<HookThread>,
    pub(crate) rebuild: bool,
}

/// The owner.
pub(crate) struct Owner<S, V, C> {
    replica: Option<Replica<S, V, C>>,
    opener: Opener<S>,
    viewer: Viewer<S, V, C>,
    publisher: Publisher,
    validator: V,
    codec: C,
    options: Options,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Message>,
    outbox: Option<Outbox>,
    fetches: Fetches,
    timers: Timers,
    hooks: Option<HookThread>,
    /// Whether to rebuild when the store is opened; the first time only.
    rebuild: bool,
    /// Effects of the last step.
    out: Vec<Effect>,
    /// Effects that wait for the sync.
    held: Vec<Effect>,
    /// Whether something was stepped since the last sync.
    dirty: bool,
    asked: BTreeMap<Token, Waiting>,
    tokens: u64,
    reads: Vec<Read>,
    /// Who waits for the end, once it has come.
    closing: Option<Option<oneshot::Sender<()>>>,
    /// Whose call failed with the store: it is told when nothing can be read any more.
    failed: Option<Replies>,
    group: Group,
    pace: Pace,
    /// The task that runs.
    task: Option<Span>,
}

impl<S: Store, V: Validator + Clone, C: Codec + Clone> Owner<S, V, C> {
    /// Opens the store; says how that went; and if well, serves the queue to the end.
    pub(crate) fn run(parts: Parts<S, V, C>, queue: mpsc::Receiver<Message>, opened: Reply<(), OpenError>) {
        let Parts { opener, viewer, validator, codec, options, shared, handle, runtime, .. } = parts;
        let Parts { broadcaster, syncer, hooks, rebuild, .. } = parts;
        let inbox = broadcaster.clone().map(|from| (runtime.clone(), from, handle.clone()));
        let fetches = Fetches::new(runtime.clone(), syncer.clone(), handle.clone(), &options);
        let mut owner = Self {
            replica: None,
            opener,
            viewer,
            publisher: Publisher::new(),
            validator,
            codec,
            shared,
            queue,
            outbox: broadcaster.map(|to| Outbox::start(&runtime, to, options.broadcast_delay)),
            fetches,
            timers: Timers::new(runtime, handle),
            hooks,
            rebuild,
            options,
            out: Vec::new(),
            held: Vec::new(),
            dirty: false,
            asked: BTreeMap::new(),
            tokens: 0,
            reads: Vec::new(),
            closing: None,
            failed: None,
            group: Group::new(),
            pace: Pace::default(),
            task: None,
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
        let _span = tracing::info_span!("open", rebuild = self.rebuild).entered();
        let store = (self.opener)()?;
        let (config, validator) = (self.options.replica.clone(), self.validator.clone());
        let open = if self.rebuild { Replica::open_rebuilding_with_codec } else { Replica::open_with_codec };
        let replica = open(store, config, validator, self.codec.clone(), &mut self.out)?;
        self.rebuild = false;
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
            self.shared.watchers.reopened();
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
        let span = debug_span!("group", messages = tracing::field::Empty, asked = tracing::field::Empty).entered();
        let mut next = first;
        loop {
            match next {
                Some(message) => self.take(message)?,
                None => match self.fetches.next_failed() {
                    Some(input) => self.step(input)?,
                    None if self.group.asked == 0 && self.has_more() => self.step(Input::Continue)?,
                    // Someone waits for the sync: merging goes on after it.
                    None => match self.pace.others(&self.group, &mut self.queue) {
                        Some(message) => self.take(message)?,
                        None => break,
                    },
                },
            }
            if self.closing.is_some() || self.group.is_full() {
                break;
            }
            next = self.queue.try_recv().ok();
        }
        span.record("messages", self.group.messages).record("asked", self.group.asked);
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
            Message::Commit { batch, reply, room, caller } => {
                self.group.bytes += batch_bytes(&batch);
                self.ask(|token| Input::Commit { token, batch }, Replies::Commit(reply), room, &caller)
            }
            Message::Ask { what, reply, room } => self.ask(what, Replies::Ask(reply), room, &Span::none()),
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

    /// Steps the replica with something that comes back with its token.
    fn ask(
        &mut self,
        input: impl FnOnce(Token) -> Input,
        reply: Replies,
        room: Option<OwnedSemaphorePermit>,
        caller: &Span,
    ) -> Result<(), ReplicaError> {
        if self.replica.is_none() {
            reply.fail(self.shared.error());
            return Ok(());
        }
        self.tokens += 1;
        let token = Token(self.tokens);
        self.group.asked += 1;
        let input = input(token);
        if self.viewer.is_live && matches!(input, Input::Rebuild { .. }) {
            // Its first step clears rows that would be seen cleared.
            self.publish(Err(ReplicaError::Rebuilding));
        }
        let span = spans::step(&input);
        span.follows_from(caller);
        match self.step_in(&span, input) {
            Ok(()) => {
                self.asked.insert(token, Waiting { reply, _room: room });
                self.release_refused();
                Ok(())
            }
            Err(why) => {
                self.failed = Some(reply);
                Err(why)
            }
        }
    }

    /// Steps the replica, if there is one, and carries out what waits for no sync.
    fn step(&mut self, input: Input) -> Result<(), ReplicaError> {
        let span = spans::step(&input);
        self.step_in(&span, input)
    }

    fn step_in(&mut self, span: &Span, input: Input) -> Result<(), ReplicaError> {
        let Some(replica) = &mut self.replica else { return Ok(()) };
        self.dirty = true;
        let task = self.task.clone().filter(|_| matches!(input, Input::Continue));
        let done = task.unwrap_or_else(Span::none).in_scope(|| span.in_scope(|| replica.step(input, &mut self.out)));
        match (replica.task(), &self.task) {
            (Some(status), None) => self.task = Some(spans::task(status)),
            (None, Some(_)) => self.task = None,
            _ => {}
        }
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
        debug_span!("sync").in_scope(|| replica.sync())?;
        self.dirty = false;
        self.pace.synced(begun.elapsed(), self.group.asked);
        metrics::synced(begun.elapsed(), self.group.asked);
        metrics::state(&replica.stats(), self.fetches.running());
        tracing::trace!(messages = self.group.messages, asked = self.group.asked, bytes = self.group.bytes, took = ?begun.elapsed(), "synced");
        // Before anything is acknowledged or told, so that whoever looks then sees it.
        let view = match (self.viewer.view)(replica, &self.codec) {
            Err(why) if why != ReplicaError::Rebuilding => return Err(why),
            view => view,
        };
        self.publish(view);
        // Who writes and then looks at what a watcher was told finds the write there.
        let (told, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.held).into_iter().partition(|effect| matches!(effect, Effect::Notify(_)));
        told.into_iter().chain(others).for_each(|effect| self.release(effect));
        Ok(())
    }

    fn publish(&self, view: Result<Arc<dyn AnyView>, ReplicaError>) {
        let stats = self.replica.as_ref().map(Replica::stats).unwrap_or_default();
        self.publisher.publish(&self.shared.published, view, stats);
    }

    /// Nothing is to be read from now on, and nobody reads any more when this returns.
    fn withdraw(&mut self) {
        if !self.publisher.withdraw(&self.shared.published, self.options.close_timeout) {
            tracing::warn!(limit = ?self.options.close_timeout, "a read that is under way keeps the store open");
        }
    }

    fn release(&mut self, effect: Effect) {
        match effect {
            Effect::Broadcast(payload) => {
                if let Some(outbox) = &self.outbox {
                    outbox.push(payload);
                }
            }
            Effect::Committed { token, blocks, behind } => self.committed(token, Committed { blocks, behind }),
            Effect::Finished { token, outcome } => self.finished(token, outcome),
            Effect::Refused { token, why } => {
                metrics::refused();
                if let Some(waiting) = self.asked.remove(&token) {
                    waiting.reply.fail(Error::Refused(why));
                }
            }
            Effect::Notify(event) => self.notify(event),
            _ => {}
        }
    }

    // Whoever dropped the call does not want to know.
    fn committed(&mut self, token: Token, made: Committed) {
        metrics::committed(made.behind);
        if let Some(Waiting { reply: Replies::Commit(reply), .. }) = self.asked.remove(&token) {
            let _ = reply.send(Ok(made));
        }
    }

    fn finished(&mut self, token: Option<Token>, outcome: Outcome) {
        tracing::debug!(?outcome, resumed = token.is_none(), "finished");
        if let Some(Waiting { reply: Replies::Ask(reply), .. }) = token.and_then(|token| self.asked.remove(&token)) {
            let _ = reply.send(Ok(outcome));
        }
    }

    fn notify(&self, event: Event) {
        metrics::event(&event);
        if let Event::Changed { key, old, new } = event {
            let change = Change { key, old, new };
            self.shared.watchers.tell(&change);
            if let Some(hooks) = &self.hooks {
                hooks.tell(change);
            }
            return;
        }
        crate::events::log(&event);
        self.shared.events.tell(&event);
    }

    fn answer_reads(&mut self) {
        let Some(replica) = &mut self.replica else { return };
        self.reads.drain(..).for_each(|read| read(replica));
    }

    /// The store failed: nothing that waited for it may leave, and whoever waits is told.
    fn stop(&mut self, why: &ReplicaError) {
        tracing::error!(error = %why, "the store failed; the datastore has stopped until it is reopened");
        metrics::stopped();
        self.shared.set_fate(Fate::Stopped(why.clone()));
        self.withdraw();
        self.timers.stop();
        self.fetches.stop();
        self.held.clear();
        self.out.clear();
        self.dirty = false;
        if let Some(reply) = self.failed.take() {
            reply.fail(Error::Stopped(why.clone()));
        }
        for waiting in std::mem::take(&mut self.asked).into_values() {
            waiting.reply.fail(Error::Unknown(why.clone()));
        }
        self.reads.clear();
        self.task = None;
        self.replica = None;
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
        if let Some(hooks) = self.hooks.take()
            && !hooks.close(self.options.close_timeout)
        {
            tracing::warn!(limit = ?self.options.close_timeout, "closed before a hook had returned");
        }
        self.shared.set_fate(Fate::Closed);
        self.withdraw();
        self.shared.events.end();
        self.shared.watchers.end();
        for waiting in std::mem::take(&mut self.asked).into_values() {
            waiting.reply.fail(Error::Closed);
        }
        self.queue.close();
        while let Ok(message) = self.queue.try_recv() {
            match message {
                Message::Commit { reply, .. } => drop(reply.send(Err(Error::Closed))),
                Message::Ask { reply, .. } => drop(reply.send(Err(Error::Closed))),
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
