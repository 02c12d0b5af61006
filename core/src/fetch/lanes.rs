//! The queues of each peer's lane, and turns among lanes.

use super::task::{Kind, State, Task};
use crate::{Cid, Peer};
use alloc::collections::{BTreeMap, VecDeque};
use core::ops::Bound;

/// What one peer announced and its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    /// Obligations that wait for the window, newest last; before them those that were asked for in vain, the latest first.
    due: VecDeque<Cid>,
    /// Rumours that wait for the window, newest last.
    heard: VecDeque<Cid>,
    /// Fetches in flight, oldest first.
    flying: VecDeque<Cid>,
    /// Rumours left alone, oldest first.
    parked: VecDeque<Cid>,
    /// All rumours of the lane.
    rumours: usize,
    /// All other tasks of the lane.
    obligations: usize,
}

impl Lane {
    fn queue(&mut self, task: &Task) -> Option<&mut VecDeque<Cid>> {
        match (task.state, task.kind) {
            (State::Waiting, Kind::Rumour) => Some(&mut self.heard),
            (State::Waiting, _) => Some(&mut self.due),
            (State::Flying { .. }, _) => Some(&mut self.flying),
            (State::Parked | State::Void, _) => Some(&mut self.parked),
            (State::Pausing { .. }, _) => None,
        }
    }

    fn count(&mut self, task: &Task) -> &mut usize {
        match task.kind {
            Kind::Rumour => &mut self.rumours,
            Kind::Obligation | Kind::Dropped { .. } => &mut self.obligations,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lanes {
    lanes: BTreeMap<Option<Peer>, Lane>,
    /// The lane that was served last.
    turn: Option<Peer>,
    totals: Totals,
}

/// Sums over all lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Totals {
    pub(super) rumours: usize,
    pub(super) obligations: usize,
    /// Fetches of dropped bodies, and the bytes for which room is reserved.
    pub(super) dropped: usize,
    pub(super) reserved: u64,
    pub(super) flying: usize,
    /// Tasks that the passing of time can change.
    pub(super) active: usize,
}

impl Totals {
    /// What one task counts for.
    fn of(task: &Task) -> Self {
        let (rumours, obligations, dropped, reserved) = match task.kind {
            Kind::Rumour => (1, 0, 0, 0),
            Kind::Obligation => (0, 1, 0, 0),
            Kind::Dropped { size } => (0, 0, 1, size),
        };
        let flying = usize::from(matches!(task.state, State::Flying { .. }));
        let active = usize::from(!matches!(task.state, State::Parked | State::Void));
        Self { rumours, obligations, dropped, reserved, flying, active }
    }

    fn add(&mut self, one: Self) {
        self.rumours += one.rumours;
        self.obligations += one.obligations;
        self.dropped += one.dropped;
        self.reserved += one.reserved;
        self.flying += one.flying;
        self.active += one.active;
    }

    fn subtract(&mut self, one: Self) {
        self.rumours -= one.rumours;
        self.obligations -= one.obligations;
        self.dropped -= one.dropped;
        self.reserved -= one.reserved;
        self.flying -= one.flying;
        self.active -= one.active;
    }
}

impl Lanes {
    pub(super) const fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(super) fn rumours(&self, lane: Option<Peer>) -> usize {
        self.lanes.get(&lane).map_or(0, |lane| lane.rumours)
    }

    pub(super) fn obligations(&self, lane: Option<Peer>) -> usize {
        self.lanes.get(&lane).map_or(0, |lane| lane.obligations)
    }

    pub(super) fn join(&mut self, cid: Cid, task: &Task) {
        let lane = self.lanes.entry(task.lane).or_default();
        *lane.count(task) += 1;
        // What was asked for in vain goes behind all others: what is woken again and again would starve them.
        let is_retry = task.state == State::Waiting && task.kind != Kind::Rumour && task.attempt > 0;
        match lane.queue(task) {
            Some(queue) if is_retry => queue.push_front(cid),
            Some(queue) => queue.push_back(cid),
            None => {}
        }
        self.totals.add(Totals::of(task));
    }

    pub(super) fn leave(&mut self, cid: &Cid, task: &Task) {
        let Some(lane) = self.lanes.get_mut(&task.lane) else { return };
        *lane.count(task) -= 1;
        if let Some(queue) = lane.queue(task)
            && let Some(at) = queue.iter().rposition(|held| held == cid)
        {
            queue.remove(at);
        }
        self.totals.subtract(Totals::of(task));
        if lane.rumours + lane.obligations == 0 {
            self.lanes.remove(&task.lane);
        }
    }

    /// What to fetch next: lanes in turn; in a lane obligations first, the newest first, for it
    /// is the deepest and the likeliest to be served. Those that were asked for in vain come after them, in turn.
    pub(super) fn next(&mut self, per_lane_max: usize) -> Option<Cid> {
        let after = (Bound::Excluded(self.turn), Bound::Unbounded);
        let upto = (Bound::Unbounded, Bound::Included(self.turn));
        let mut lanes = self.lanes.range(after).chain(self.lanes.range(upto));
        let (peer, cid) = lanes.find_map(|(peer, lane)| {
            let next = lane.due.back().or(lane.heard.back())?;
            (lane.flying.len() < per_lane_max).then_some((*peer, *next))
        })?;
        self.turn = peer;
        Some(cid)
    }

    pub(super) fn is_full(&self, lane: Option<Peer>, per_lane_max: usize) -> bool {
        self.lanes.get(&lane).is_some_and(|lane| lane.flying.len() >= per_lane_max)
    }

    /// The oldest rumour in flight in a lane, or the oldest obligation where there is none.
    pub(super) fn oldest_flying(&self, lane: Option<Peer>, is_rumour: impl Fn(&Cid) -> bool) -> Option<Cid> {
        let flying = &self.lanes.get(&lane)?.flying;
        flying.iter().find(|cid| is_rumour(cid)).or(flying.front()).copied()
    }

    /// The obligation of a lane that would wait longest for the window.
    pub(super) fn longest_due(&self, lane: Option<Peer>) -> Option<Cid> {
        self.lanes.get(&lane)?.due.front().copied()
    }

    /// The lane with the most fetches in flight; of several the first peer's.
    pub(super) fn fullest(&self) -> Option<Option<Peer>> {
        self.lanes.iter().rev().max_by_key(|(_, lane)| lane.flying.len()).map(|(peer, _)| *peer)
    }

    /// The lane with the most rumours; of several the first peer's.
    pub(super) fn most_rumours(&self) -> Option<Option<Peer>> {
        self.lanes.iter().rev().max_by_key(|(_, lane)| lane.rumours).map(|(peer, _)| *peer)
    }

    /// The rumour of a lane that may go first: the oldest parked one, else the oldest that waits,
    /// else the oldest in flight.
    pub(super) fn oldest_rumour(&self, lane: Option<Peer>, is_rumour: impl Fn(&Cid) -> bool) -> Option<Cid> {
        let lane = self.lanes.get(&lane)?;
        lane.parked.iter().chain(&lane.heard).chain(lane.flying.iter().filter(|cid| is_rumour(cid))).next().copied()
    }
}
