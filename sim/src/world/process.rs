//! A replica's process: the core while it runs, its disk while it does not, and what waits for the next sync.

use crate::{
    disk::SimDisk,
    engine::{Cause, Time},
    outcome::OperationKind,
    scenario::{Party, Skew},
};
use anabranch_core::{Cid, Effect, Replica};

/// Where a replica is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It has not joined.
    Absent,
    Up,
    /// Down, by the fault of this number, until then.
    Down {
        fault: u32,
        until: Time,
    },
    /// It has left, by the fault of this number.
    Left {
        fault: u32,
    },
}

/// What may leave the process only after the next sync.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// An effect of the core.
    Effect(Effect),
    /// The answer to a peer's request, made of a state that is not synced.
    Answer { to: Party, cid: Cid, attempt: u32, bytes: Option<anabranch_core::Bytes> },
    /// The answer to a local read.
    Read { operation: u64, kind: OperationKind },
}

/// A replica's process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) status: Status,
    pub(super) core: Option<Replica<SimDisk>>,
    pub(super) disk: SimDisk,
    /// Grows with each crash: timers and syncs of an earlier life are ignored.
    pub(super) life: u32,
    pub(super) held: Vec<(Cause, Held)>,
    pub(super) sync_is_set: bool,
    pub(super) continue_is_set: bool,
    pub(super) clock: Option<(u32, Skew)>,
    /// The fault with which it joined.
    pub(super) joined_by: Option<u32>,
    /// Its disk was wiped in the crash that it comes back from.
    pub(super) was_wiped: bool,
    /// How many fetches went to nobody in particular.
    pub(super) asked_anyone: u64,
}

impl Process {
    pub(super) fn new(is_absent: bool) -> Self {
        Self {
            status: if is_absent { Status::Absent } else { Status::Up },
            core: None,
            disk: SimDisk::new(),
            life: 0,
            held: Vec::new(),
            sync_is_set: false,
            continue_is_set: false,
            clock: None,
            joined_by: None,
            was_wiped: false,
            asked_anyone: 0,
        }
    }

    /// Whether a step has changed what no sync has made durable.
    pub(super) fn is_dirty(&self) -> bool {
        self.core.as_ref().is_some_and(|core| core.store().unsynced() > 0)
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self.status, Status::Up)
    }

    /// How long a timer takes by this replica's clock.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Division rounds alike everywhere.
    pub(super) fn by_its_clock(&self, after: Time) -> Time {
        match &self.clock {
            None => after,
            Some((_, skew)) => (after as f64 / skew.speed) as Time + crate::engine::nanoseconds(skew.late),
        }
    }
}
