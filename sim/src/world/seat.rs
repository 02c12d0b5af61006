//! Where a process sits: whether it is there, since when, and by which clock it lives.

use crate::{engine::Time, scenario::Skew};

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It has not joined.
    Absent,
    Up,
    /// Down, by the fault of this number, until then.
    Down {
        fault: Option<u32>,
        until: Time,
    },
    /// It has left, by the fault of this number.
    Left {
        fault: Option<u32>,
    },
}

/// A process and what the world knows of it.
#[derive(Debug)]
pub(super) struct Seat<P> {
    pub(super) process: P,
    pub(super) status: Status,
    /// Grows with each crash: timers and syncs of an earlier life are ignored.
    pub(super) life: u32,
    pub(super) sync_is_set: bool,
    pub(super) clock: Option<(u32, Skew)>,
    /// The fault with which it joined.
    pub(super) joined_by: Option<u32>,
    /// How many messages went to nobody in particular.
    pub(super) asked_anyone: u64,
}

impl<P> Seat<P> {
    pub(super) const fn new(process: P, is_absent: bool) -> Self {
        Self {
            process,
            status: if is_absent { Status::Absent } else { Status::Up },
            life: 0,
            sync_is_set: false,
            clock: None,
            joined_by: None,
            asked_anyone: 0,
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self.status, Status::Up)
    }

    /// How long a timer takes by this process's clock.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Division rounds alike everywhere.
    pub(super) fn by_its_clock(&self, after: Time) -> Time {
        match &self.clock {
            None => after,
            Some((_, skew)) => (after as f64 / skew.speed) as Time + crate::engine::nanoseconds(skew.late),
        }
    }
}
