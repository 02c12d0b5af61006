//! One replica with a driver: its effects leave as those of a real process would.

use anabranch_core::{
    Bytes, Cid, Config, Effect, Error, Event, Input, Outcome, Peer, Progress, Replica, Stub, TaskKind, Timer, Token,
    store::{Read, Store},
    wire::Block,
};
use anabranch_sim::fold::Facts;
use std::collections::{BTreeMap, BTreeSet};

/// Steps that one input may leave to do: far more than a script has blocks.
const STEPS_MAX: usize = 100_000;

/// Steps of a task that go by with one input: few, so that much happens while it runs.
const TASK_STEPS: usize = 4;

/// Where blocks come from: what others serve.
pub type World = BTreeMap<Cid, Bytes>;

/// A fetch that nobody has answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetch {
    pub(crate) cid: Cid,
    from: Option<Peer>,
    attempt: u32,
}

/// A replica, and what waits between it and the world.
pub struct Side<S> {
    pub(crate) replica: Replica<S>,
    /// Promises of steps that no sync has covered.
    held: Vec<Effect>,
    pub(crate) fetches: Vec<Fetch>,
    timers: BTreeSet<Timer>,
    /// Announcements that have left.
    pub(crate) sent: Vec<Bytes>,
    /// Commits whose acknowledgement has left, with the blocks that they made.
    pub(crate) acknowledged: Vec<(Token, Vec<Cid>)>,
    /// Blocks that were merged by a step, whatever became of them.
    pub(crate) merged: BTreeSet<Cid>,
    /// What came of tasks and imports, told or not yet.
    pub(crate) outcomes: Vec<Outcome>,
    /// Whether inputs come in between the steps of a task.
    pub(crate) is_patient: bool,
}

impl<S: Store> Side<S> {
    /// Opens a replica on this store. Not synced yet.
    pub(crate) fn open(store: S, config: Config) -> Result<Self, Error> {
        let mut effects = Vec::new();
        let replica = Replica::open(store, config, &mut effects)?;
        let mut side = Self {
            replica,
            held: Vec::new(),
            fetches: Vec::new(),
            timers: BTreeSet::new(),
            sent: Vec::new(),
            acknowledged: Vec::new(),
            merged: BTreeSet::new(),
            outcomes: Vec::new(),
            is_patient: false,
        };
        side.take(effects);
        side.go_on()?;
        Ok(side)
    }

    /// Takes an input, and all the steps that it leaves to do; of a task's, a few at a time if it is patient.
    pub(crate) fn input(&mut self, input: Input) -> Result<(), Error> {
        self.step(input)?;
        self.go_on()
    }

    /// Does what is left to do.
    pub(crate) fn go_on(&mut self) -> Result<(), Error> {
        for step in 0..STEPS_MAX {
            let rests = self.is_patient && self.replica.task().is_some() && step == TASK_STEPS;
            if rests || self.replica.progress() == Progress::Done {
                return Ok(());
            }
            self.step(Input::Continue)?;
        }
        Err(Error::Corrupt(format!("there is work to do after {STEPS_MAX} steps")))
    }

    fn step(&mut self, input: Input) -> Result<(), Error> {
        let mut effects = Vec::new();
        let _ = self.replica.step(input, &mut effects)?;
        self.take(effects);
        Ok(())
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match &effect {
                Effect::Notify(Event::Merged { cid, .. }) => drop(self.merged.insert(*cid)),
                Effect::Finished { outcome, .. } => self.outcomes.push(outcome.clone()),
                _ => {}
            }
            if effect.waits_for_sync() { self.held.push(effect) } else { self.leave(effect) }
        }
    }

    /// Whether it is being rebuilt.
    pub(crate) fn is_rebuilding(&self) -> bool {
        self.replica.task().is_some_and(|task| matches!(task.kind, TaskKind::Rebuild(_)))
    }

    /// The block, if it is here and can be read.
    pub(crate) fn serve(&self, cid: &Cid) -> Result<Option<Bytes>, Error> {
        match self.replica.block(cid) {
            Err(Error::Rebuilding) => Ok(None),
            block => block,
        }
    }

    /// Makes all steps so far durable. What waited for it leaves with [`release`](Self::release).
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.replica.sync()
    }

    /// Lets leave what waited for a sync.
    pub(crate) fn release(&mut self) {
        for effect in std::mem::take(&mut self.held) {
            self.leave(effect);
        }
    }

    fn leave(&mut self, effect: Effect) {
        match effect {
            Effect::Broadcast(payload) => self.sent.push(payload),
            Effect::Fetch { cid, from, attempt } => self.fetches.push(Fetch { cid, from, attempt }),
            Effect::SetTimer { timer, .. } => {
                self.timers.insert(timer);
            }
            Effect::Committed { token, blocks, .. } => self.acknowledged.push((token, blocks)),
            Effect::Finished { .. } | Effect::Refused { .. } | Effect::Notify(_) => {}
        }
    }

    /// Lets a timer run out, if it is set.
    pub(crate) fn fire(&mut self, timer: Timer) -> Result<(), Error> {
        if self.timers.remove(&timer) { self.input(Input::Timer(timer)) } else { Ok(()) }
    }

    pub(crate) fn hear(&mut self, from: Peer, payload: Bytes) -> Result<(), Error> {
        self.input(Input::Broadcast { from, payload })
    }

    /// Answers a fetch, with the block or with a failure. Gives what arrived.
    pub(crate) fn answer(&mut self, Fetch { cid, from, attempt }: Fetch, block: Option<Bytes>) -> Result<(), Error> {
        let from = from.unwrap_or(Peer(99));
        self.input(match block {
            Some(bytes) => Input::Block { from, cid, bytes, attempt },
            None => Input::FetchFailed { cid, attempt },
        })
    }

    /// Answers all fetches, and those that come of it, until none is out; then syncs.
    pub(crate) fn pull(&mut self, serve: impl Fn(&Cid) -> Result<Option<Bytes>, Error>) -> Result<(), Error> {
        let mut answered = 0;
        while let Some(fetch) = self.fetches.pop() {
            answered += 1;
            if answered > STEPS_MAX {
                return Err(Error::Corrupt(format!("{} is asked for after {STEPS_MAX} answers", fetch.cid)));
            }
            let block = serve(&fetch.cid)?;
            self.answer(fetch, block)?;
        }
        self.sync()?;
        self.release();
        Ok(())
    }

    /// As `pull`, and the fetch timer runs out until nothing is owed, at most so often.
    pub(crate) fn settle(
        &mut self,
        rounds: usize,
        serve: impl Fn(&Cid) -> Result<Option<Bytes>, Error>,
    ) -> Result<(), Error> {
        self.pull(&serve)?;
        for _ in 0..rounds {
            if !self.replica.is_behind() {
                break;
            }
            self.fire(Timer::Fetch)?;
            self.pull(&serve)?;
        }
        Ok(())
    }
}

/// All merged blocks, with their bytes.
pub(crate) fn merged<S: Store>(replica: &Replica<S>) -> Result<World, Error> {
    let mut world = World::new();
    let mut last = None;
    loop {
        let more = replica.merged(last.as_ref(), 1_000)?;
        let Some(end) = more.last() else { return Ok(world) };
        last = Some(*end);
        for cid in more {
            let bytes = replica.block(&cid)?.ok_or_else(|| Error::Corrupt(format!("{cid} is merged and not kept")))?;
            world.insert(cid, bytes);
        }
    }
}

/// What is decided of blocks without their bytes; and the void ones among those that are merged, if there was a purge.
pub(crate) fn facts<S: Store>(replica: &Replica<S>, merged: &World) -> Result<Facts, Error> {
    let (mut facts, mut last) = (Facts::default(), None);
    loop {
        let more = replica.stubs(last.as_ref(), 1_000)?;
        let Some((end, _)) = more.last() else { break };
        last = Some(*end);
        for (cid, stub) in more {
            match stub {
                Stub::Purged { height, .. } => drop(facts.purged.insert(cid, height)),
                Stub::Abandoned => drop(facts.abandoned.insert(cid)),
            }
        }
    }
    if !facts.purged.is_empty() {
        facts.void.extend(merged.iter().filter(|(_, bytes)| is_void(bytes)).map(|(cid, _)| *cid));
    }
    Ok(facts)
}

/// Whether the block breaks a rule.
pub(crate) fn is_void(bytes: &Bytes) -> bool {
    Block::decode(bytes).delta.is_err()
}

/// All rows of a store, for comparing.
pub fn rows(store: &impl Read) -> Result<Vec<(u8, Vec<u8>, Bytes)>, Error> {
    let mut all = Vec::new();
    for table in anabranch_core::store::Table::ALL {
        store.scan(table, &[], &[], &mut |key, row| {
            all.push((table as u8, key.to_vec(), row.clone()));
            std::ops::ControlFlow::Continue(())
        })?;
    }
    Ok(all)
}
