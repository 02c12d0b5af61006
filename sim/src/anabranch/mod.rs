//! Anabranch as a system under test: replicas over the real core, peers that behave otherwise, and the judges.

mod following;
mod golike;
mod hostile;
mod judge;
mod orders;
mod replica;
mod watched;

pub use golike::GoPeer;
pub use hostile::HostilePeer;
pub use judge::Anabranch;
pub use replica::{Notice, ReplicaProcess};

use crate::{
    disk::Disk,
    engine::Draws,
    network::Body,
    outcome::Progress,
    process::{Failed, Io, Loss, Process, Sync},
    scenario::{DiskFate, FaultKind, Harm, OperatorAct, Party},
    workload::Action,
};
use anabranch_core::{Bytes, Cid, Marks, TaskKind};
use std::time::Duration;

/// A process of a run of Anabranch.
#[derive(Debug)]
pub enum Peer {
    /// A replica: the real core.
    Replica(Box<ReplicaProcess>),
    /// A scripted peer that means harm.
    Hostile(Box<HostilePeer>),
    /// A peer that behaves as go-ds-crdt does.
    Go(Box<GoPeer>),
}

impl Peer {
    /// The core, where there is one and it runs.
    #[must_use]
    pub const fn core(&self) -> Option<&anabranch_core::Replica<Disk>> {
        match self {
            Self::Replica(replica) => replica.core(),
            Self::Hostile(_) | Self::Go(_) => None,
        }
    }
}

impl Peer {
    /// Whether a task runs during which what it shows is no function of its blocks, or cannot be read.
    #[must_use]
    pub fn is_in_between(&self) -> bool {
        let task = self.core().and_then(|core| core.task());
        task.is_some_and(|task| matches!(task.kind, TaskKind::Purge(_) | TaskKind::Rebuild(_)))
    }

    /// Whether what the core owes is pursued: it has work left, and waits for the timer of its fetches.
    #[must_use]
    pub fn pursues(&self) -> (bool, bool) {
        match self {
            Self::Replica(replica) => replica.pursues(),
            Self::Hostile(_) | Self::Go(_) => (false, false),
        }
    }

    /// The marks that it has reached in all its lives.
    #[must_use]
    pub fn marks(&self) -> Marks {
        match self {
            Self::Replica(replica) => replica.marks(),
            Self::Hostile(_) | Self::Go(_) => Marks::default(),
        }
    }

    /// Whether its disk cannot be trusted: then nothing is promised of it.
    #[must_use]
    pub fn is_tainted(&self) -> bool {
        match self {
            Self::Replica(replica) => replica.is_tainted(),
            Self::Hostile(_) | Self::Go(_) => false,
        }
    }
}

/// Calls the process that it is.
macro_rules! each {
    ($self:ident, $process:ident => $call:expr) => {
        match $self {
            Peer::Replica($process) => $call,
            Peer::Hostile($process) => $call,
            Peer::Go($process) => $call,
        }
    };
}

/// Calls the process that it is; its disk may do harm meanwhile, and only then.
macro_rules! works {
    ($self:ident, $process:ident => $call:expr) => {
        match $self {
            Peer::Replica($process) => {
                $process.at_work(true);
                let done = $call;
                $process.at_work(false);
                done
            }
            Peer::Hostile($process) => $call,
            Peer::Go($process) => $call,
        }
    };
}

impl Process for Peer {
    type Notice = Notice;

    fn start(&mut self, io: &mut Io<Notice>) -> Result<(), Failed> {
        works!(self, process => process.start(io))
    }

    fn receive(&mut self, from: Party, body: Body, io: &mut Io<Notice>) -> Result<(), Failed> {
        works!(self, process => process.receive(from, body, io))
    }

    fn timer(&mut self, timer: u8, io: &mut Io<Notice>) -> Result<(), Failed> {
        works!(self, process => process.timer(timer, io))
    }

    fn operate(&mut self, operation: u64, action: Action, io: &mut Io<Notice>) -> Result<(), Failed> {
        works!(self, process => process.operate(operation, action, io))
    }

    fn go_on(&mut self, io: &mut Io<Notice>) -> Result<(), Failed> {
        works!(self, process => process.go_on(io))
    }

    fn nobody(&mut self, body: Body, io: &mut Io<Notice>) -> Result<(), Failed> {
        works!(self, process => process.nobody(body, io))
    }

    fn sync(&mut self, io: &mut Io<Notice>) -> Result<(), Failed> {
        works!(self, process => process.sync(io))
    }

    fn wants_sync(&self) -> Sync {
        each!(self, process => process.wants_sync())
    }

    fn unsynced(&self) -> u64 {
        each!(self, process => process.unsynced())
    }

    fn crash(&mut self, fate: DiskFate, kept: u64, draws: &mut Draws) -> Loss {
        each!(self, process => process.crash(fate, kept, draws))
    }

    fn backup(&mut self, at: Duration) {
        each!(self, process => process.backup(at));
    }

    fn harm(&mut self, harm: Harm, is_on: bool) {
        each!(self, process => process.harm(harm, is_on));
    }

    fn cut_power(&mut self, write: u64) {
        each!(self, process => process.cut_power(write));
    }

    fn take_harmed(&mut self) -> Vec<(FaultKind, bool)> {
        each!(self, process => process.take_harmed())
    }

    fn order(&mut self, act: &OperatorAct, blocks: Vec<(Cid, Bytes)>) {
        each!(self, process => process.order(act, blocks));
    }

    fn attend(&mut self, io: &mut Io<Notice>) -> Result<(), Failed> {
        works!(self, process => process.attend(io))
    }

    fn export(&self) -> Vec<(Cid, Bytes)> {
        each!(self, process => process.export())
    }

    fn progress(&self) -> Progress {
        each!(self, process => process.progress())
    }
}
