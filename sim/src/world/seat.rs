//! Where a process sits: whether it is there, since when, and by which clock it lives.

use super::{Event, clock::Clock};
use crate::{
    engine::{Cause, Time},
    scenario::Harm,
};
use std::collections::BTreeMap;

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

/// A timer that is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set {
    pub(super) due: Time,
    /// Which setting: those before it are void.
    pub(super) number: u64,
    pub(super) cause: Cause,
    pub(super) skewed_by: Option<u32>,
}

/// A process and what the world knows of it.
#[derive(Debug)]
pub(super) struct Seat<P> {
    pub(super) process: P,
    pub(super) status: Status,
    /// Grows with each crash: timers and syncs of an earlier life are ignored.
    pub(super) life: u32,
    pub(super) sync_is_set: bool,
    pub(super) clock: Clock,
    /// The fault with which it joined.
    pub(super) joined_by: Option<u32>,
    /// It stands still by the fault of this number, and this waits for it.
    pub(super) paused: Option<(u32, Vec<Event>)>,
    /// The timers that are set.
    pub(super) timers: BTreeMap<u8, Set>,
    /// How many timers were ever set.
    pub(super) timers_set: u64,
    /// The harm that is done to its disk now, whichever that is, by the numbers of the faults.
    pub(super) harms: BTreeMap<u32, Harm>,
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
            clock: Clock::new(),
            joined_by: None,
            paused: None,
            timers: BTreeMap::new(),
            timers_set: 0,
            harms: BTreeMap::new(),
            asked_anyone: 0,
        }
    }

    /// The fault by which its disk is slow.
    pub(super) fn slow_disk(&self) -> Option<u32> {
        self.harms.iter().find(|(_, harm)| **harm == Harm::Slow).map(|(number, _)| *number)
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self.status, Status::Up)
    }
}
