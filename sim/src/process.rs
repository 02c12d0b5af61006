//! What the simulator knows of a process: the one trait that a system under test implements.
//!
//! A process is told what happens (it starts, a message comes, a timer runs out, a program asks for something, it may sync, it
//! dies) and says what it wants through its [`Io`]. It has no clock, no threads and no randomness but those that `Io` gives, and keeps
//! what must survive a crash on a disk of its own making. So the simulator decides everything else: when, whether, in which order.
//!
//! How to put another system under test: `docs/another-system.md`.

use crate::{
    choices::{Choice, ChoiceKey, Choices},
    engine::{Cause, Draws, Key, Time},
    network::Body,
    outcome::Progress,
    scenario::{DiskFate, FaultKind, Harm, OperatorAct, Party},
    workload::Action,
};
use anabranch_core::{Bytes, Cid};
use std::{cell::Cell, time::Duration};

/// A process of the system under test: a replica, or a peer that behaves otherwise.
///
/// A call that fails means that the process stops there (fail-stop): what it wanted in that call is dropped.
///
/// What starts, hears and waits must be written. All else is for who has more: programs that ask it, a disk, work in pieces.
pub trait Process {
    /// What it tells the judges of its system.
    type Notice;

    /// It begins, on the disk that it has: the first time, after a crash, after leaving.
    ///
    /// # Errors
    /// When it cannot: its disk fails or is damaged.
    fn start(&mut self, io: &mut Io<Self::Notice>) -> Result<(), Failed>;

    /// A message came, perhaps changed on the way.
    ///
    /// # Errors
    /// When its disk fails. What peers send is never an error.
    fn receive(&mut self, from: Party, body: Body, io: &mut Io<Self::Notice>) -> Result<(), Failed>;

    /// A timer that it set has run out.
    ///
    /// # Errors
    /// When its disk fails.
    fn timer(&mut self, timer: u8, io: &mut Io<Self::Notice>) -> Result<(), Failed>;

    /// A local program asks for something; the answer goes through [`Io::answer`], at once or later. A process that is not written to
    /// by programs, such as a hostile peer, is never asked.
    ///
    /// # Errors
    /// When its disk fails.
    fn operate(&mut self, _operation: u64, _action: Action, _io: &mut Io<Self::Notice>) -> Result<(), Failed> {
        Ok(())
    }

    /// It goes on with what it left undone, as it asked for with [`Io::go_on`].
    ///
    /// # Errors
    /// When its disk fails.
    fn go_on(&mut self, _io: &mut Io<Self::Notice>) -> Result<(), Failed> {
        Ok(())
    }

    /// There was nobody to whom [`Io::send_to_anyone`] could send.
    ///
    /// # Errors
    /// When its disk fails.
    fn nobody(&mut self, _body: Body, _io: &mut Io<Self::Notice>) -> Result<(), Failed> {
        Ok(())
    }

    /// It makes durable what it has written, and lets out what waited for that.
    ///
    /// # Errors
    /// When its disk fails.
    fn sync(&mut self, _io: &mut Io<Self::Notice>) -> Result<(), Failed> {
        Ok(())
    }

    /// Whether it wants a [`sync`](Self::sync), and when.
    fn wants_sync(&self) -> Sync {
        Sync::Not
    }

    /// Commits that a crash may take back.
    fn unsynced(&self) -> u64 {
        0
    }

    /// It dies, and loses all that is volatile, and of what is on its disk what `fate` says. Of the [`unsynced`](Self::unsynced)
    /// commits `kept` survive, the first ones, where the disk keeps their order; `draws` decides what else is open. Whoever keeps anything
    /// must write this.
    fn crash(&mut self, _fate: DiskFate, _kept: u64, _draws: &mut Draws) -> Loss {
        Loss::default()
    }

    /// A backup of its disk is taken, under this name: what was synced, as a crash now would leave it.
    fn backup(&mut self, _at: Duration) {}

    /// Its disk begins to do harm, or ends; until it ends, and for what it has done before, errors are the disk's.
    fn harm(&mut self, _harm: Harm, _is_on: bool) {}

    /// The power of its disk goes before this write, counted from now.
    fn cut_power(&mut self, _write: u64) {}

    /// What its disk has done since this was last asked, and whether it made a difference.
    fn take_harmed(&mut self) -> Vec<(FaultKind, bool)> {
        Vec::new()
    }

    /// An operator asks for something; it is [attended](Self::attend) to when the process has time. `blocks` are those of an import. What
    /// was asked for is the operator's, and survives a crash.
    fn order(&mut self, _act: &OperatorAct, _blocks: Vec<(Cid, Bytes)>) {}

    /// It looks at what its operator has asked for.
    ///
    /// # Errors
    /// When its disk fails.
    fn attend(&mut self, _io: &mut Io<Self::Notice>) -> Result<(), Failed> {
        Ok(())
    }

    /// All blocks that it has, where it can give them: a file to import.
    fn export(&self) -> Vec<(Cid, Bytes)> {
        Vec::new()
    }

    /// How far it is, for pictures and reports.
    fn progress(&self) -> Progress {
        Progress::default()
    }
}

/// Whether a process wants a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// There is nothing to make durable, and nothing waits.
    Not,
    /// Something is written: some time after this step.
    Soon,
    /// Nothing is written, but something waits to be let out: at once.
    Now,
}

/// What a crash took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Commits that were not synced.
    pub unsynced: u64,
    /// Of them, those that survived.
    pub kept: u64,
    /// What was in flight, or waited for a sync, or was durable and is gone.
    pub other: u64,
    /// What was durable is gone.
    pub is_disk: bool,
}

impl Loss {
    /// Whether anything was lost.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.unsynced > self.kept || self.other > 0
    }
}

/// Why a process stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// In one line.
    pub why: String,
    /// Whether a fault of the disk that the scenario asked for is the reason. If not, the run fails.
    pub by_fault: bool,
    /// Whether the disk is damaged, so that the process will not start on it again.
    pub is_damaged: bool,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What was written is durable, as these blocks (of whatever the system calls a block).
    Written(Vec<anabranch_core::Cid>),
    /// The key's value, or that it has none.
    Value(Option<Bytes>),
    /// Refused, and why. Nothing has changed.
    Refused(String),
}

/// What a process wants.
#[derive(Clone, Debug)]
pub(crate) enum Act<N> {
    Send {
        to: Party,
        body: Body,
    },
    SendToAnyone(Body),
    Broadcast(Body),
    Timer {
        timer: u8,
        after: (Duration, Duration),
    },
    GoOn,
    Answer {
        operation: u64,
        answer: Answer,
    },
    Notice(N),
    Chose(ChoiceKey, u64),
    /// The start that was asked for has succeeded.
    Started,
    /// The sync that was asked for has succeeded.
    Synced,
}

/// Through which a process says what it wants. It is carried out, in order, when the call has ended well.
#[derive(Debug)]
pub struct Io<N> {
    /// What its clock shows.
    now: Time,
    /// Whether it has looked at it in this call.
    has_looked: Cell<bool>,
    pub(crate) cause: Cause,
    pub(crate) choices: Choices,
    /// What is drawn from it is the same for all seeds.
    inventions: Key,
    pub(crate) party: Party,
    drawn: u64,
    pub(crate) acts: Vec<(Cause, Act<N>)>,
}

impl<N> Io<N> {
    pub(crate) fn new(choices: Choices) -> Self {
        let inventions = Key::of_seed(0).fork("inventions");
        Self {
            now: 0,
            has_looked: Cell::new(false),
            cause: Cause::Start,
            choices,
            inventions,
            party: Party(0),
            drawn: 0,
            acts: Vec::new(),
        }
    }

    pub(crate) fn begin(&mut self, now: Time, party: Party, cause: Cause) {
        (self.now, self.party, self.cause, self.drawn) = (now, party, cause, 0);
        self.has_looked.set(false);
        self.acts.clear();
    }

    /// What the process's clock shows, in nanoseconds: simulated time from the start of the run, as far off as the scenario's clock
    /// faults make it. While a `[[skew]]` lasts it goes at that speed, and is late; each `[[jump]]` moves it for good. So two looks may
    /// show the same time, and a later look an earlier one; none shows less than 0. A restart leaves the clock as it is.
    #[must_use]
    pub fn now(&self) -> Time {
        self.has_looked.set(true);
        self.now
    }

    /// Whether the process has looked at its clock in this call.
    pub(crate) const fn has_looked(&self) -> bool {
        self.has_looked.get()
    }

    /// Who the process is.
    #[must_use]
    pub const fn me(&self) -> Party {
        self.party
    }

    /// Why it was called: to be given to [`because`](Self::because) when it lets something out later.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// What follows is done for this reason. The fates of messages hang on their causes; what is sent in a sync was caused earlier.
    pub const fn because(&mut self, cause: Cause) {
        self.cause = cause;
    }

    /// A number from `least` to `most`, both included: a function of the seed, the process, the cause, and how many were drawn before in this call.
    pub fn choose(&mut self, least: u64, most: u64) -> u64 {
        let key = ChoiceKey { choice: Choice::Process, party: self.party, cause: self.cause, n: self.drawn };
        self.drawn += 1;
        let value = self.choices.between(&key, least, most);
        self.act(Act::Chose(key, value));
        value
    }

    /// Draws for bytes on whose values nothing depends: the same for all seeds, another stream for each cause.
    #[must_use]
    pub fn inventions(&self) -> Draws {
        self.inventions.at(self.cause.number(), self.drawn)
    }

    pub(crate) fn act(&mut self, act: Act<N>) {
        self.acts.push((self.cause, act));
    }

    /// Sends a message to one party.
    pub fn send(&mut self, to: Party, body: Body) {
        self.act(Act::Send { to, body });
    }

    /// Sends a message to a party drawn from those that are there; [`Process::nobody`] is called when there is none.
    pub fn send_to_anyone(&mut self, body: Body) {
        self.act(Act::SendToAnyone(body));
    }

    /// Sends a message to everyone.
    pub fn broadcast(&mut self, body: Body) {
        self.act(Act::Broadcast(body));
    }

    /// Sets the timer of this number (0 to 7), anew if it was set: it runs out after a time drawn from the range, by the process's clock.
    pub fn set_timer(&mut self, timer: u8, after: (Duration, Duration)) {
        self.act(Act::Timer { timer, after });
    }

    /// Asks for [`Process::go_on`], after the time that the scenario puts between two steps.
    pub fn go_on(&mut self) {
        self.act(Act::GoOn);
    }

    /// Answers an operation.
    pub fn answer(&mut self, operation: u64, answer: Answer) {
        self.act(Act::Answer { operation, answer });
    }

    /// Tells the judges something.
    pub fn notice(&mut self, notice: N) {
        self.act(Act::Notice(notice));
    }
}
