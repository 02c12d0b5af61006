//! A replica as a process: the core over a simulated disk, driven as a driver should.

use crate::{
    disk::SimDisk,
    engine::{Cause, Draws},
    network::Body,
    outcome::Progress,
    process::{Answer, Failed, Io, Loss, Process, Sync},
    scenario::{DiskFate, Party},
    workload::Action,
};
use anabranch_core::{
    Bytes, Cid, Config, Effect, Error, Event, Input, Key, Peer, Progress as Work, Replica, Timer, Token,
};

/// What a process tells the judges.
#[derive(Clone, Debug)]
pub enum Notice {
    /// The core says so.
    Core(Event),
    /// It made a block; what a hostile peer meant by it.
    Made {
        /// The block.
        cid: Cid,
        /// Its bytes.
        bytes: Bytes,
        /// The harm that it is meant to do.
        poison: Option<crate::scenario::FaultKind>,
    },
    /// A hostile peer takes an act.
    Acts(crate::scenario::FaultKind),
    /// A hostile peer's act took effect.
    Harmed(crate::scenario::FaultKind),
}

/// What may leave the process only after the next sync.
#[derive(Clone, Debug)]
enum Held {
    /// An effect of the core.
    Effect(Effect),
    /// The answer to a peer's request, made of a state that is not synced.
    Block { to: Party, cid: Cid, attempt: u32, bytes: Option<Bytes> },
    /// The answer to a local read.
    Read { operation: u64, value: Option<Bytes> },
}

/// A replica of Anabranch.
#[derive(Debug)]
pub struct ReplicaProcess {
    config: Config,
    core: Option<Replica<SimDisk>>,
    /// The disk while the core does not run.
    disk: SimDisk,
    held: Vec<(Cause, Held)>,
    goes_on: bool,
    /// Kept to spare allocations.
    effects: Vec<Effect>,
}

const TIMERS: [Timer; 4] = [Timer::Rebroadcast, Timer::Answer, Timer::Fetch, Timer::Wait];

const fn number_of(timer: Timer) -> u8 {
    match timer {
        Timer::Rebroadcast => 0,
        Timer::Answer => 1,
        Timer::Fetch => 2,
        Timer::Wait => 3,
    }
}

impl ReplicaProcess {
    /// A replica with these settings and an empty disk.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, core: None, disk: SimDisk::new(), held: Vec::new(), goes_on: false, effects: Vec::new() }
    }

    /// The core, while it runs.
    #[must_use]
    pub const fn core(&self) -> Option<&Replica<SimDisk>> {
        self.core.as_ref()
    }

    fn is_dirty(&self) -> bool {
        self.core.as_ref().is_some_and(|core| core.store().unsynced() > 0)
    }

    fn failed(&self, error: &Error) -> Failed {
        Failed { why: error.to_string(), by_fault: false, is_damaged: matches!(error, Error::Corrupt(_)) }
    }

    /// Steps the core, and does what it asks for.
    fn step(&mut self, input: Input, io: &mut Io<Notice>) -> Result<(), Failed> {
        let Some(core) = &mut self.core else { return Ok(()) };
        let mut effects = std::mem::take(&mut self.effects);
        effects.clear();
        let stepped = core.step(input, &mut effects);
        let done = stepped.map_err(|error| self.failed(&error)).and_then(|work| {
            self.goes_on(work, io);
            self.carry_out(&mut effects, io)
        });
        self.effects = effects;
        done
    }

    fn goes_on(&mut self, work: Work, io: &mut Io<Notice>) {
        if work == Work::More && !self.goes_on {
            self.goes_on = true;
            io.go_on();
        }
    }

    /// Does what may be done at once, and keeps the rest for the sync. Judges hear at once what programs hear after it.
    fn carry_out(&mut self, effects: &mut Vec<Effect>, io: &mut Io<Notice>) -> Result<(), Failed> {
        self.tell_own_blocks(effects, io)?;
        for effect in effects.drain(..) {
            match effect {
                Effect::Fetch { cid, from, attempt } => {
                    let body = Body::Request { cid, attempt };
                    match from.and_then(|peer| u16::try_from(peer.0).ok()) {
                        Some(peer) => io.send(Party(peer), body),
                        None => io.send_to_anyone(body),
                    }
                }
                Effect::SetTimer { timer, after } => io.set_timer(number_of(timer), (*after.start(), *after.end())),
                Effect::Refused { token: Token(operation), why } => {
                    io.answer(operation, Answer::Refused(why.to_string()));
                }
                Effect::Notify(event) => io.notice(Notice::Core(event)),
                effect @ (Effect::Broadcast(_) | Effect::Committed { .. } | Effect::Finished { .. }) => {
                    self.held.push((io.cause(), Held::Effect(effect)));
                }
            }
        }
        Ok(())
    }

    /// The oracles must know what a replica made before they hear that it is merged.
    fn tell_own_blocks(&self, effects: &[Effect], io: &mut Io<Notice>) -> Result<(), Failed> {
        for effect in effects {
            let (Effect::Committed { blocks, .. }, Some(core)) = (effect, &self.core) else { continue };
            for cid in blocks {
                let bytes = core.block(cid).map_err(|error| self.failed(&error))?;
                if let Some(bytes) = bytes.filter(|bytes| Cid::of(bytes) == *cid) {
                    io.notice(Notice::Made { cid: *cid, bytes, poison: None });
                }
            }
        }
        Ok(())
    }

    /// Answers a peer's request, after the sync if the answer is made of what is not synced.
    fn serve(&mut self, to: Party, cid: Cid, attempt: u32, io: &mut Io<Notice>) -> Result<(), Failed> {
        let Some(core) = &self.core else { return Ok(()) };
        let bytes = core.block(&cid).map_err(|error| self.failed(&error))?;
        if self.is_dirty() {
            self.held.push((io.cause(), Held::Block { to, cid, attempt, bytes }));
        } else {
            io.send(to, block(cid, attempt, bytes));
        }
        Ok(())
    }

    /// Reads a key. What is not synced yet is told only after the sync.
    fn get(&mut self, operation: u64, key: &Key, io: &mut Io<Notice>) -> Result<(), Failed> {
        let Some(core) = &self.core else { return Ok(()) };
        let value = core.get(key).map_err(|error| self.failed(&error))?;
        if self.is_dirty() {
            self.held.push((io.cause(), Held::Read { operation, value }));
        } else {
            io.answer(operation, Answer::Value(value));
        }
        Ok(())
    }
}

fn block(cid: Cid, attempt: u32, bytes: Option<Bytes>) -> Body {
    match bytes {
        Some(bytes) => Body::Block { cid, attempt, bytes },
        None => Body::NotFound { cid, attempt },
    }
}

impl Process for ReplicaProcess {
    type Notice = Notice;

    fn start(&mut self, io: &mut Io<Notice>) -> Result<(), Failed> {
        let disk = std::mem::take(&mut self.disk);
        let mut effects = Vec::new();
        let core = Replica::open(disk, self.config.clone(), &mut effects).map_err(|error| self.failed(&error))?;
        let work = core.progress();
        self.core = Some(core);
        self.goes_on(work, io);
        self.carry_out(&mut effects, io)
    }

    fn receive(&mut self, from: Party, body: Body, io: &mut Io<Notice>) -> Result<(), Failed> {
        let peer = Peer(from.0.into());
        let input = match body {
            Body::Broadcast(payload) => Input::Broadcast { from: peer, payload },
            Body::Block { cid, attempt, bytes } => Input::Block { from: peer, cid, bytes, attempt },
            Body::NotFound { cid, attempt } => Input::FetchFailed { cid, attempt },
            Body::Request { cid, attempt } => return self.serve(from, cid, attempt, io),
            // No message of ours: nothing can be read in it.
            Body::Other(_) => return Ok(()),
        };
        self.step(input, io)
    }

    fn timer(&mut self, timer: u8, io: &mut Io<Notice>) -> Result<(), Failed> {
        match TIMERS.get(usize::from(timer)) {
            Some(timer) => self.step(Input::Timer(*timer), io),
            None => Ok(()),
        }
    }

    fn operate(&mut self, operation: u64, action: Action, io: &mut Io<Notice>) -> Result<(), Failed> {
        match action {
            Action::Write(_, batch) => self.step(Input::Commit { token: Token(operation), batch }, io),
            Action::Get(key) => self.get(operation, &key, io),
        }
    }

    fn go_on(&mut self, io: &mut Io<Notice>) -> Result<(), Failed> {
        self.goes_on = false;
        self.step(Input::Continue, io)
    }

    fn nobody(&mut self, body: Body, io: &mut Io<Notice>) -> Result<(), Failed> {
        match body {
            Body::Request { cid, attempt } => self.step(Input::FetchFailed { cid, attempt }, io),
            _ => Ok(()),
        }
    }

    fn sync(&mut self, io: &mut Io<Notice>) -> Result<(), Failed> {
        let Some(core) = &mut self.core else { return Ok(()) };
        if let Err(error) = core.sync() {
            return Err(self.failed(&error));
        }
        for (cause, held) in std::mem::take(&mut self.held) {
            io.because(cause);
            match held {
                Held::Block { to, cid, attempt, bytes } => io.send(to, block(cid, attempt, bytes)),
                Held::Read { operation, value } => io.answer(operation, Answer::Value(value)),
                Held::Effect(Effect::Broadcast(payload)) => io.broadcast(Body::Broadcast(payload)),
                Held::Effect(Effect::Committed { token: Token(operation), blocks, .. }) => {
                    io.answer(operation, Answer::Written(blocks));
                }
                Held::Effect(_) => {}
            }
        }
        Ok(())
    }

    fn wants_sync(&self) -> Sync {
        match (self.is_dirty(), self.held.is_empty()) {
            (true, _) => Sync::Soon,
            (false, false) => Sync::Now,
            (false, true) => Sync::Not,
        }
    }

    fn unsynced(&self) -> u64 {
        self.core.as_ref().map_or(0, |core| core.store().unsynced() as u64)
    }

    fn crash(&mut self, fate: DiskFate, kept: u64, _draws: &mut Draws) -> Loss {
        let stats = self.core.as_ref().map(Replica::stats).unwrap_or_default();
        let in_flight = (self.held.len() + stats.fetches + stats.rumours) as u64;
        self.held.clear();
        self.goes_on = false;
        if let Some(core) = self.core.take() {
            self.disk = core.into_store();
        }
        let unsynced = self.disk.unsynced() as u64;
        match fate {
            DiskFate::Stays => {
                self.disk.crash(usize::try_from(kept).unwrap_or(usize::MAX));
                Loss { unsynced, kept, other: in_flight, is_disk: false }
            }
            DiskFate::Wiped => {
                let rows = self.disk.rows() as u64;
                self.disk = SimDisk::new();
                Loss { unsynced, kept: 0, other: rows, is_disk: true }
            }
        }
    }

    fn progress(&self) -> Progress {
        let stats = self.core.as_ref().map(Replica::stats).unwrap_or_default();
        Progress { merged: stats.merged, heads: stats.heads, behind: stats.obligations }
    }
}
