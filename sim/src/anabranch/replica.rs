//! A replica as a process: the core over a simulated disk, driven as a driver should.

use super::orders::{self, Orders, Unserved};
use crate::{
    disk::{Device, Disk, Medium},
    engine::{Cause, Draws, Key as Source},
    network::Body,
    outcome::Progress,
    process::{Answer, Failed, Io, Loss, Process, Sync},
    scenario::{self, DiskFate, Engine, FaultKind, Harm, OperatorAct, Party},
    workload::Action,
};
use anabranch_core::{
    Bytes, Cid, Config, Effect, Error, Event, Input, Key, Marks, Outcome, Peer, Progress as Work, Replica, Timer,
    Token, WhenBehind, store::StoreError,
};
use std::{collections::BTreeMap, time::Duration};

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
    /// A write has waited until what was missing when it was asked for was merged: this.
    Waited(Vec<Cid>),
    /// The bytes of a block came, and it is owed as if they had not.
    StillOwed(Cid),
    /// A task has come to its end, an import or a decision was taken in. Told before it is durable.
    Ended(Outcome),
    /// A hostile peer's act took effect, or an operator's.
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
    core: Option<Replica<Disk>>,
    /// The disk while the core does not run.
    disk: Option<Medium>,
    engine: Engine,
    /// Memory of the engine for pages, in bytes.
    cache: u64,
    key: Source,
    /// How many disks it has had.
    disks: u64,
    /// Its disk cannot be trusted.
    is_tainted: bool,
    /// Harm that its disks did.
    harmed: Vec<(FaultKind, bool)>,
    backups: BTreeMap<Duration, Medium>,
    held: Vec<(Cause, Held)>,
    goes_on: bool,
    /// The timer of the core's fetches is set.
    fetch_timer: bool,
    /// The marks that the core reached in earlier lives.
    marks: Marks,
    pub(super) orders: Orders,
    /// Writes that were asked for while it was behind, and blocks that were missing then.
    late: BTreeMap<u64, Vec<Cid>>,
    /// Kept to spare allocations.
    effects: Vec<Effect>,
}

/// Missing blocks that are noted for a write.
const MISSING_MAX: usize = 64;

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
    /// A replica with these settings and an empty disk; `key` is what its disk draws from.
    #[must_use]
    pub(super) fn new(config: Config, disk: &scenario::Disk, key: Source, unserved: Unserved) -> Self {
        let scenario::Disk { engine, cache, .. } = *disk;
        Self {
            config,
            core: None,
            disk: Some(Medium::new(engine, cache, key.fork("0"))),
            engine,
            cache,
            key,
            disks: 0,
            is_tainted: false,
            harmed: Vec::new(),
            backups: BTreeMap::new(),
            held: Vec::new(),
            goes_on: false,
            fetch_timer: false,
            marks: Marks::default(),
            orders: Orders::new(unserved),
            late: BTreeMap::new(),
            effects: Vec::new(),
        }
    }

    /// Whether its disk cannot be trusted.
    #[must_use]
    pub const fn is_tainted(&self) -> bool {
        self.is_tainted
    }

    /// Whether it has work left, and whether it waits for the timer of its fetches.
    pub(super) const fn pursues(&self) -> (bool, bool) {
        (self.goes_on, self.fetch_timer)
    }

    /// The marks that the core has reached in all lives.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.marks.and(self.core.as_ref().map(Replica::marks).unwrap_or_default())
    }

    fn device(&self) -> Option<&Device> {
        let running = self.core.as_ref().map(|core| core.store().device());
        running.unwrap_or_else(|| self.disk.as_ref().and_then(Medium::device))
    }

    /// Whether it is at work: only then does its disk do harm.
    pub(super) fn at_work(&self, is_at_work: bool) {
        if let Some(device) = self.device() {
            device.at_work(is_at_work);
        }
    }

    fn new_disk(&mut self) -> Medium {
        self.disks += 1;
        self.is_tainted = false;
        Medium::new(self.engine, self.cache, self.key.fork(self.disks.to_string()))
    }

    /// The core, while it runs.
    #[must_use]
    pub const fn core(&self) -> Option<&Replica<Disk>> {
        self.core.as_ref()
    }

    fn is_dirty(&self) -> bool {
        self.core.as_ref().is_some_and(|core| core.store().unsynced() > 0)
    }

    pub(super) fn failed(&self, error: &Error) -> Failed {
        self.failed_on(self.device(), &error.to_string(), matches!(error, Error::Corrupt(_)))
    }

    /// Damage is a fault's doing only where the disk cannot be trusted; that a disk refuses, wherever it was told to.
    fn failed_on(&self, device: Option<&Device>, why: &str, is_damaged: bool) -> Failed {
        let refuses = device.is_some_and(|device| {
            device.is_dark() || [Harm::IoError, Harm::Full].iter().any(|harm| device.harms().contains(harm))
        });
        Failed { why: String::from(why), by_fault: self.is_tainted || refuses && !is_damaged, is_damaged }
    }

    /// Steps the core, and does what it asks for.
    pub(super) fn step(&mut self, input: Input, io: &mut Io<Notice>) -> Result<(), Failed> {
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

    fn take_block(
        &mut self,
        from: Peer,
        cid: Cid,
        attempt: u32,
        bytes: Bytes,
        io: &mut Io<Notice>,
    ) -> Result<(), Failed> {
        let given = bytes.clone();
        self.step(Input::Block { from, cid, bytes, attempt }, io)?;
        // In the middle of a rebuild blocks of others are left for later; a disk that lies may say anything.
        let idle = self.core.as_ref().filter(|core| core.task().is_none() && !self.is_tainted);
        if let Some(core) = idle
            && core.is_owed(&cid).map_err(|error| self.failed(&error))?
            && Cid::of(&given) == cid
        {
            io.notice(Notice::StillOwed(cid));
        }
        Ok(())
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
                Effect::SetTimer { timer, after } => {
                    self.fetch_timer |= timer == Timer::Fetch;
                    io.set_timer(number_of(timer), (*after.start(), *after.end()));
                }
                Effect::Refused { token: orders::TOKEN, .. } => self.orders.ask_again(),
                // What has turned up is brought again.
                Effect::Refused { token: orders::RECOVERY, .. } => {}
                Effect::Refused { token: Token(operation), why } => {
                    self.late.remove(&operation);
                    io.answer(operation, Answer::Refused(why.to_string()));
                }
                Effect::Notify(event) => io.notice(Notice::Core(event)),
                effect @ (Effect::Broadcast(_) | Effect::Committed { .. } | Effect::Finished { .. }) => {
                    match &effect {
                        Effect::Finished { outcome, .. } => io.notice(Notice::Ended(outcome.clone())),
                        Effect::Committed { token: Token(operation), behind, .. } => {
                            let known = self.late.remove(operation);
                            known
                                .filter(|_| *behind == 0)
                                .into_iter()
                                .for_each(|known| io.notice(Notice::Waited(known)));
                        }
                        _ => {}
                    }
                    self.held.push((io.cause(), Held::Effect(effect)));
                }
            }
        }
        Ok(())
    }

    /// Notes what is missing when a write is asked for that will wait.
    fn note_missing(&mut self, operation: u64, io: &mut Io<Notice>) -> Result<(), Failed> {
        let waits = self.config.when_behind != WhenBehind::Allow;
        let Some(core) = self.core.as_ref().filter(|core| waits && core.stats().obligations > 0) else { return Ok(()) };
        let missing = core.blocking(MISSING_MAX).map_err(|error| self.failed(&error))?;
        self.late.insert(operation, missing.into_iter().map(|blocking| blocking.cid).collect());
        io.notice(Notice::Acts(FaultKind::LateWrite));
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
        let bytes = match core.block(&cid) {
            // It is asked again when it has been rebuilt.
            Err(Error::Rebuilding) => None,
            bytes => bytes.map_err(|error| self.failed(&error))?,
        };
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
        let value = match core.get(key) {
            Err(error @ Error::Rebuilding) => {
                io.answer(operation, Answer::Refused(error.to_string()));
                return Ok(());
            }
            value => value.map_err(|error| self.failed(&error))?,
        };
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
        let Some(medium) = self.disk.take() else { return Ok(()) };
        // As it was: on what is left of it the power is there again.
        let device = medium.device().cloned();
        let disk = match medium.open() {
            Ok(disk) => disk,
            Err(failure) => {
                let (medium, error) = *failure;
                self.disk = Some(medium);
                let is_damaged = matches!(error, StoreError::Corrupt(_));
                return Err(self.failed_on(device.as_ref(), &error.to_string(), is_damaged));
            }
        };
        let mut effects = Vec::new();
        match Replica::open(disk, self.config.clone(), &mut effects) {
            Ok(core) => {
                let work = core.progress();
                self.core = Some(core);
                self.goes_on(work, io);
                self.carry_out(&mut effects, io)?;
                // Not at once: the judges look at what is there first.
                self.goes_on(if self.orders.are_left() { Work::More } else { Work::Done }, io);
                Ok(())
            }
            Err(error) => {
                self.disk = device.as_ref().map(Medium::after_failure);
                Err(self.failed_on(device.as_ref(), &error.to_string(), matches!(error, Error::Corrupt(_))))
            }
        }
    }

    fn receive(&mut self, from: Party, body: Body, io: &mut Io<Notice>) -> Result<(), Failed> {
        let peer = Peer(from.0.into());
        let input = match body {
            Body::Broadcast(payload) => Input::Broadcast { from: peer, payload },
            Body::Block { cid, attempt, bytes } => return self.take_block(peer, cid, attempt, bytes, io),
            Body::NotFound { cid, attempt } => Input::FetchFailed { cid, attempt },
            Body::Request { cid, attempt } => return self.serve(from, cid, attempt, io),
            // No message of ours: nothing can be read in it.
            Body::Other(_) => return Ok(()),
        };
        self.step(input, io)
    }

    fn timer(&mut self, timer: u8, io: &mut Io<Notice>) -> Result<(), Failed> {
        match TIMERS.get(usize::from(timer)) {
            Some(timer) => {
                self.fetch_timer &= *timer != Timer::Fetch;
                self.step(Input::Timer(*timer), io)?;
                self.follow_orders(io)
            }
            None => Ok(()),
        }
    }

    fn operate(&mut self, operation: u64, action: Action, io: &mut Io<Notice>) -> Result<(), Failed> {
        match action {
            Action::Write(_, batch) => {
                self.note_missing(operation, io)?;
                self.step(Input::Commit { token: Token(operation), batch }, io)
            }
            Action::Get(key) => self.get(operation, &key, io),
        }
    }

    fn go_on(&mut self, io: &mut Io<Notice>) -> Result<(), Failed> {
        self.goes_on = false;
        // One may end and the next begin in a step.
        let task = |process: &Self| process.core().and_then(|core| core.task().map(|task| task.kind.clone()));
        let before = task(self);
        self.step(Input::Continue, io)?;
        if task(self) == before {
            return self.follow_orders(io);
        }
        // Not at once: the judges look at what is there first.
        self.goes_on(if self.orders.are_left() { Work::More } else { Work::Done }, io);
        Ok(())
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
                Held::Effect(Effect::Finished { token, outcome }) => {
                    let stats = self.core.as_ref().map(Replica::stats).unwrap_or_default();
                    if let Some(kind) = self.orders.done(token, &outcome, (stats.merged, stats.obligations)) {
                        io.notice(Notice::Harmed(kind));
                    }
                }
                Held::Effect(_) => {}
            }
        }
        self.follow_orders(io)
    }

    fn order(&mut self, act: &OperatorAct, blocks: Vec<(Cid, Bytes)>) {
        self.orders.add(act, blocks);
    }

    fn attend(&mut self, io: &mut Io<Notice>) -> Result<(), Failed> {
        self.follow_orders(io)
    }

    fn export(&self) -> Vec<(Cid, Bytes)> {
        let Some(core) = &self.core else { return Vec::new() };
        let merged = crate::oracles::merged(core).unwrap_or_default();
        merged.into_iter().filter_map(|cid| Some((cid, core.block(&cid).ok()??))).collect()
    }

    fn wants_sync(&self) -> Sync {
        match (self.is_dirty(), self.held.is_empty()) {
            (true, _) => Sync::Soon,
            (false, false) => Sync::Now,
            (false, true) => Sync::Not,
        }
    }

    fn unsynced(&self) -> u64 {
        self.core.as_ref().map_or(0, |core| core.store().unsynced())
    }

    fn crash(&mut self, fate: DiskFate, kept: u64, draws: &mut Draws) -> Loss {
        let stats = self.core.as_ref().map(Replica::stats).unwrap_or_default();
        let in_flight = (self.held.len() + stats.fetches + stats.rumours) as u64;
        self.marks = self.marks();
        self.held.clear();
        self.orders.ask_again();
        self.late.clear();
        self.goes_on = false;
        self.fetch_timer = false;
        let unsynced = self.unsynced();
        let mut lost = 0;
        if let Some(core) = self.core.take() {
            let (medium, gone, harmed) = core.into_store().crash(kept, draws);
            lost = gone;
            if let Some(device) = medium.device() {
                // The power that goes in the middle of a crash is that crash's.
                self.harmed.extend(device.take_done().into_iter().filter(|(kind, _)| *kind != FaultKind::PowerCut));
                self.harmed.push((FaultKind::TornWrites, harmed > 0));
            }
            self.disk = Some(medium);
        }
        let kept = unsynced - lost.min(unsynced);
        match fate {
            DiskFate::Stays => Loss { unsynced, kept, other: in_flight, is_disk: false },
            DiskFate::Older => {
                let set_back = self.disk.take().map(Medium::set_back);
                let is_older = set_back.as_ref().is_some_and(|(_, done)| *done);
                self.disk = set_back.map(|(medium, _)| medium);
                Loss { unsynced, kept, other: is_older.into(), is_disk: false }
            }
            DiskFate::RolledBack(at) => {
                let old = self.backups.get(&at).map(Medium::copy);
                let is_other = u64::from(old.is_some() || self.disk.as_ref().is_some_and(|disk| !disk.is_empty()));
                let old = old.unwrap_or_else(|| self.new_disk());
                self.disk = Some(old);
                Loss { unsynced, kept: 0, other: is_other, is_disk: true }
            }
            DiskFate::Wiped => {
                let was_used = u64::from(self.disk.as_ref().is_none_or(|disk| !disk.is_empty()));
                self.disk = Some(self.new_disk());
                Loss { unsynced, kept: 0, other: was_used, is_disk: true }
            }
        }
    }

    fn harm(&mut self, harm: Harm, is_on: bool) {
        self.is_tainted |= is_on && harm.breaks().is_some() && self.device().is_some();
        if let Some(device) = self.device() {
            device.harm(harm, is_on);
        }
    }

    fn cut_power(&mut self, write: u64) {
        if let Some(device) = self.device() {
            device.cut_power(Some(write));
        }
    }

    fn take_harmed(&mut self) -> Vec<(FaultKind, bool)> {
        let mut harmed = std::mem::take(&mut self.harmed);
        if let Some(device) = self.device() {
            harmed.append(&mut device.take_done());
        }
        harmed
    }

    fn backup(&mut self, at: Duration) {
        let backup = match &self.core {
            Some(core) => Some(core.store().backup()),
            None => self.disk.as_ref().map(Medium::copy),
        };
        self.backups.extend(backup.map(|backup| (at, backup)));
    }

    fn progress(&self) -> Progress {
        let stats = self.core.as_ref().map(Replica::stats).unwrap_or_default();
        Progress { merged: stats.merged, heads: stats.heads, behind: stats.obligations }
    }
}
