//! Fetching blocks: whom to ask, when to ask the next, when to stop asking.
//!
//! All of this is volatile. A *rumour* is an announced CID whose bytes have not come; an
//! *obligation* is a block on which merged state depends, and the store knows it too. Each belongs
//! to the lane of the peer that announced it last (or something above it), and every lane has its
//! own window of fetches in flight, so that what one peer announces cannot delay what another does.

mod lanes;
mod silence;
mod task;

pub(crate) use task::Kind;

use crate::{Cid, Config, Effect, Event, Mark, Marks, Peer, Timer, limits::PEERS_PER_WANT_MAX, mark::Trail};
use alloc::{collections::BTreeMap, vec::Vec};
use bytes::Bytes;
use core::ops::RangeInclusive;
use core::time::Duration;
use lanes::Lanes;
use silence::Silence;
use task::{State, Task};

/// Rounds over all known peers before a rumour is parked.
const RUMOUR_ROUNDS: u8 = 3;
/// A pause after a fruitless round doubles up to 2 to this power ticks.
const PAUSE_DOUBLINGS_MAX: u8 = 6;
/// Attempts saturate here: enough to tell an answer from those before it.
const ATTEMPT_MAX: u32 = 64;
/// Obligations of one lane that are held in memory; the others are in the store alone.
const OBLIGATIONS_PER_LANE_MAX: usize = 1024;
/// Rumours of all lanes together, as a multiple of what one lane may have.
const RUMOUR_LANES_FULL_MAX: usize = 16;

/// The peers that may have a block, the likeliest first.
pub(crate) type Peers = Vec<Peer>;

/// Puts a peer first, without letting the list grow over its limit.
pub(crate) fn remember(peers: &mut Peers, peer: Peer) {
    peers.retain(|known| *known != peer);
    peers.insert(0, peer);
    peers.truncate(PEERS_PER_WANT_MAX);
}

/// What is being fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fetcher {
    tasks: BTreeMap<Cid, Task>,
    lanes: Lanes,
    /// Whether the tick timer is set.
    ticking: bool,
    /// Peers that announced or served something good of late: whom to ask for a block of which nothing else is known.
    suppliers: Peers,
    silence: Silence,
    /// Rotations in which no obligation came, saturating, and the ticks until the next rotation.
    rotations: u8,
    rest: u8,
    /// Where loading obligations from the store goes on.
    pub(crate) cursor: Option<Bytes>,
    trail: Trail,
}

impl Fetcher {
    pub(crate) const fn rumours(&self) -> usize {
        self.lanes.totals().rumours
    }

    /// Obligations that are held in memory.
    pub(crate) const fn obligations(&self) -> usize {
        self.lanes.totals().obligations
    }

    pub(crate) const fn in_flight(&self) -> usize {
        self.lanes.totals().flying
    }

    /// Bytes for which room is reserved, and for how many bodies.
    pub(crate) const fn reserved(&self) -> (u64, usize) {
        (self.lanes.totals().reserved, self.lanes.totals().dropped)
    }

    /// Forgets all that is to be fetched. The timer stays set.
    pub(crate) fn forget_all(&mut self) {
        let (ticking, trail, suppliers) = (self.ticking, self.trail, core::mem::take(&mut self.suppliers));
        *self = Self { ticking, trail, suppliers, ..Self::default() };
    }

    /// The places that were reached.
    pub(crate) const fn marks(&self) -> Marks {
        self.trail.0
    }

    const fn hit(&mut self, mark: Mark) {
        self.trail.0.hit(mark);
    }

    pub(crate) fn holds(&self, cid: &Cid) -> bool {
        self.tasks.contains_key(cid)
    }

    pub(crate) fn is_rumour(&self, cid: &Cid) -> bool {
        self.tasks.get(cid).is_some_and(|task| task.kind == Kind::Rumour)
    }

    /// The peers that may have what lies below this block.
    pub(crate) fn peers_of(&self, cid: &Cid) -> Peers {
        self.tasks.get(cid).map(|task| task.peers.clone()).unwrap_or_default()
    }

    pub(crate) const fn suppliers(&self) -> &Peers {
        &self.suppliers
    }

    pub(crate) fn supplied(&mut self, peer: Peer) {
        if self.suppliers.first() != Some(&peer) {
            remember(&mut self.suppliers, peer);
        }
    }

    /// A peer served an obligation: pauses of those that only the store knows begin anew.
    pub(crate) fn served(&mut self, peer: Peer) {
        self.supplied(peer);
        (self.rotations, self.rest) = (0, 0);
    }

    /// An obligation that only the store knew, and that is not held. Its pauses are as long as if it had been asked for all along.
    pub(crate) fn reload(&mut self, cid: Cid, peers: &[Peer]) {
        let full = self.lanes.obligations(peers.first().copied()) >= OBLIGATIONS_PER_LANE_MAX;
        if full {
            return;
        }
        self.obligation(cid, peers);
        if let Some(task) = self.tasks.get_mut(&cid) {
            task.rounds = self.rotations;
        }
    }

    /// A peer announced this block, of which nothing is known.
    pub(crate) fn rumour(&mut self, cid: Cid, peer: Peer, config: &Config) {
        if let Some(task) = self.tasks.get_mut(&cid) {
            task.add_peer(peer);
            match task.state {
                State::Flying { .. } | State::Void => {}
                State::Waiting | State::Pausing { .. } | State::Parked => {
                    if task.kind == Kind::Rumour && task.lane != Some(peer) {
                        self.make_room_in_lane(peer, config.rumours_per_peer_max);
                    }
                    self.restart(cid, Some(peer));
                }
            }
            return;
        }
        self.make_room_for_rumour(peer, config.rumours_per_peer_max);
        self.insert(cid, Task::new(Kind::Rumour, Some(peer), alloc::vec![peer]));
    }

    /// The block's bytes came and break a rule: a rumour that is not to be fetched again.
    pub(crate) fn void_rumour(&mut self, cid: Cid, peer: Peer, config: &Config) {
        if !self.holds(&cid) {
            self.rumour(cid, peer, config);
        }
        self.set_state(cid, State::Void);
    }

    /// The block must be fetched for the sake of a merged state to come.
    pub(crate) fn obligation(&mut self, cid: Cid, peers: &[Peer]) {
        self.want(cid, Kind::Obligation, peers);
    }

    /// The block's body was dropped, and there is room for it again.
    pub(crate) fn dropped(&mut self, cid: Cid, size: u64) {
        let peers = self.suppliers.clone();
        self.want(cid, Kind::Dropped { size }, &peers);
    }

    fn want(&mut self, cid: Cid, kind: Kind, peers: &[Peer]) {
        if let Some(task) = self.tasks.get(&cid) {
            let (was, state) = (task.kind, task.state);
            if was == Kind::Rumour || kind == Kind::Obligation {
                self.set_kind(cid, kind);
            }
            if let Some(task) = self.tasks.get_mut(&cid) {
                peers.iter().rev().for_each(|peer| task.add_peer(*peer));
            }
            if !matches!(state, State::Flying { .. } | State::Waiting) {
                self.restart(cid, peers.first().copied());
            }
            return;
        }
        let lane = peers.first().copied();
        if self.lanes.obligations(lane) >= OBLIGATIONS_PER_LANE_MAX {
            self.make_room_for_obligation(lane);
        }
        self.insert(cid, Task::new(kind, lane, peers.to_vec()));
    }

    /// Leaves an obligation to the store alone, where a lane has too many: the one that has waited
    /// longest, else one that pauses, else the oldest in flight. What is new is likelier to be served.
    fn make_room_for_obligation(&mut self, lane: Option<Peer>) {
        let owed = |task: &Task| task.lane == lane && task.kind != Kind::Rumour;
        let pausing = |task: &Task| owed(task) && matches!(task.state, State::Pausing { .. });
        let find = |is: &dyn Fn(&Task) -> bool| self.tasks.iter().find(|(_, task)| is(task)).map(|(cid, _)| *cid);
        let victim = self.lanes.longest_due(lane).or_else(|| find(&pausing)).or_else(|| find(&owed));
        if let Some(victim) = victim {
            self.done(&victim);
        }
    }

    /// A peer announced something that is pending here: it is worth asking for what pauses.
    pub(crate) fn wake(&mut self, peer: Peer) {
        self.wake_where(peer, |_| true);
    }

    fn wake_where(&mut self, peer: Peer, is_meant: impl Fn(&Task) -> bool) {
        let pausing = |task: &Task| matches!(task.state, State::Pausing { .. }) && task.kind != Kind::Rumour;
        let woken = self.tasks.iter().filter(|(_, task)| pausing(task) && is_meant(task));
        let woken: Vec<Cid> = woken.map(|(cid, _)| *cid).collect();
        for cid in woken {
            self.hit(Mark::PauseCutShort);
            if let Some(task) = self.tasks.get_mut(&cid) {
                task.add_peer(peer);
            }
            self.restart(cid, Some(peer));
        }
    }

    /// A peer answered, be it that it does not have a block. What pauses since it did not is asked for again.
    pub(crate) fn answered(&mut self, peer: Peer) {
        if self.silence.answered(peer) {
            self.hit(Mark::SilentBack);
            self.wake_where(peer, |task| task.peers.contains(&peer));
        }
    }

    /// A peer announced something.
    pub(crate) fn announced(&mut self, peer: Peer) {
        self.silence.announced(peer);
    }

    /// The block is here, or not wanted any more.
    pub(crate) fn done(&mut self, cid: &Cid) {
        if let Some(task) = self.tasks.remove(cid) {
            self.lanes.leave(cid, &task);
        }
    }

    /// The peer that was asked last, if any one was.
    pub(crate) fn asked(&self, cid: &Cid) -> Option<Peer> {
        self.tasks.get(cid)?.asked()
    }

    /// Whether a block is parked, the peer that was asked last, and all that may have it.
    pub(crate) fn situation(&self, cid: &Cid) -> (bool, Option<Peer>, Peers) {
        let Some(task) = self.tasks.get(cid) else { return (false, None, Peers::new()) };
        let parked = matches!(task.state, State::Pausing { .. }) && task.rounds >= RUMOUR_ROUNDS;
        (parked, task.asked(), task.peers.clone())
    }

    /// An attempt failed: the next peer is asked at once, or after a pause when all were.
    pub(crate) fn failed(&mut self, cid: Cid, attempt: u32, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.get(&cid).filter(|task| task.is_flying(attempt)) else { return };
        if let Some(peer) = task.asked() {
            self.answered(peer);
        }
        self.go_on(cid, out);
    }

    fn timed_out(&mut self, cid: Cid, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.get_mut(&cid) else { return };
        task.silence = true;
        if let Some(peer) = task.asked() {
            self.silence.timed_out(peer);
        }
        self.hit(Mark::FetchTimedOut);
        self.go_on(cid, out);
    }

    /// Ends an attempt, and begins the next one.
    fn go_on(&mut self, cid: Cid, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.get_mut(&cid) else { return };
        task.attempt = (task.attempt + 1).min(ATTEMPT_MAX);
        if task.has_next() && self.ask(cid, out) {
            self.hit(Mark::NextPeerAsked);
        } else {
            self.end_round(cid, out);
        }
    }

    /// Asks the next peer of the round, or nobody in particular when none is known. Of those that are silent one that has its probe
    /// is passed over. Says whether anyone was left to ask.
    fn ask(&mut self, cid: Cid, out: &mut Vec<Effect>) -> bool {
        while let Some(task) = self.tasks.get(&cid) {
            let peer = task.upcoming();
            if peer.is_none() && !task.peers.is_empty() {
                return false;
            }
            let spared = peer.is_some_and(|peer| self.is_probed(peer));
            let Some(task) = self.tasks.get_mut(&cid) else { break };
            if spared {
                task.next += 1;
                task.silence = true;
                self.hit(Mark::SilentSpared);
                continue;
            }
            task.state = State::Flying { age: 0 };
            out.push(task.fetch(cid));
            match peer {
                Some(peer) => self.silence.asked(peer, cid),
                None => self.hit(Mark::AnyoneAsked),
            }
            return true;
        }
        false
    }

    /// Whether the peer is silent and has its probe in flight.
    fn is_probed(&self, peer: Peer) -> bool {
        let probe = self.silence.probe(peer).and_then(|cid| self.tasks.get(&cid));
        probe.is_some_and(|task| matches!(task.state, State::Flying { .. }) && task.asked() == Some(peer))
    }

    fn end_round(&mut self, cid: Cid, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.get_mut(&cid) else { return };
        let silence = core::mem::take(&mut task.silence);
        task.next = 0;
        task.rounds = (task.rounds + 1).min(RUMOUR_ROUNDS.max(PAUSE_DOUBLINGS_MAX));
        let rounds = task.rounds;
        let rumour = task.kind == Kind::Rumour;
        // Who answers that it does not have the block will not have it soon; silence may be a lost message.
        let parked = rumour && (rounds >= RUMOUR_ROUNDS || !silence);
        if parked || (!rumour && rounds == RUMOUR_ROUNDS) {
            out.push(Effect::Notify(Event::Parked { cid, obligation: !rumour }));
        }
        if parked && let Some(task) = self.tasks.get_mut(&cid) {
            // It begins anew when it is announced again: how it came to this decides nothing.
            task.rounds = 0;
        }
        self.hit(if parked { Mark::RumourParked } else { Mark::FetchPaused });
        self.set_state(cid, if parked { State::Parked } else { State::Pausing { left: 1 << rounds } });
    }

    /// Time has passed: fetches time out, pauses end.
    pub(crate) fn tick(&mut self, config: &Config, out: &mut Vec<Effect>) {
        self.ticking = false;
        let cids: Vec<Cid> = self.tasks.keys().copied().collect();
        for cid in cids {
            let Some(task) = self.tasks.get_mut(&cid) else { continue };
            match &mut task.state {
                // The tick that a fetch was started in is a part of one, so that one does not count.
                State::Flying { age } if *age >= config.fetch_timeout_ticks => self.timed_out(cid, out),
                State::Flying { age } => *age += 1,
                State::Pausing { left } if *left > 1 => *left -= 1,
                State::Pausing { .. } => self.set_state(cid, State::Waiting),
                State::Waiting | State::Parked | State::Void => {}
            }
        }
    }

    /// Starts what the windows allow, lanes in turn, and sets the tick timer where it is needed.
    pub(crate) fn pump(&mut self, config: &Config, out: &mut Vec<Effect>) {
        while self.lanes.totals().flying < config.fetches_max {
            let Some(cid) = self.lanes.next(config.fetches_per_peer_max) else { break };
            self.launch(cid, out);
        }
        if !self.ticking && self.lanes.totals().active > 0 {
            self.ticking = true;
            out.push(Effect::SetTimer { timer: Timer::Fetch, after: tick_range(config) });
        }
    }

    /// Starts one of these blocks' fetches although the windows are full, if none could be started:
    /// the oldest fetch of the fullest lane makes way. So what is news is asked for at once, however
    /// many unanswered fetches there are; an answer to the one that made way still counts.
    pub(crate) fn hurry(&mut self, news: &[Cid], config: &Config, out: &mut Vec<Effect>) {
        let state = |cid: &Cid| self.tasks.get(cid).map(|task| task.state);
        if news.iter().any(|cid| matches!(state(cid), Some(State::Flying { .. }))) {
            return;
        }
        let Some(cid) = news.iter().copied().find(|cid| state(cid) == Some(State::Waiting)) else { return };
        let lane = self.tasks.get(&cid).and_then(|task| task.lane);
        let tasks = &self.tasks;
        let is_rumour = |cid: &Cid| tasks.get(cid).is_some_and(|task| task.kind == Kind::Rumour);
        let full = self.lanes.is_full(lane, config.fetches_per_peer_max);
        let from = if full { Some(lane) } else { self.lanes.fullest() };
        let victim = from.and_then(|lane| self.lanes.oldest_flying(lane, is_rumour));
        if let Some(victim) = victim {
            self.hit(Mark::MadeWay);
            self.make_way(victim);
        }
        self.launch(cid, out);
    }

    fn make_way(&mut self, cid: Cid) {
        let Some(task) = self.tasks.get_mut(&cid) else { return };
        task.attempt = (task.attempt + 1).min(ATTEMPT_MAX);
        // Its peer has not failed: it is the next to be asked.
        task.next = task.next.saturating_sub(1);
        let state = if task.kind == Kind::Rumour { State::Parked } else { State::Pausing { left: 1 } };
        self.set_state(cid, state);
    }

    fn launch(&mut self, cid: Cid, out: &mut Vec<Effect>) {
        self.set_state(cid, State::Flying { age: 0 });
        if !self.ask(cid, out) {
            self.go_on(cid, out);
        }
    }

    /// Asks anew, this peer first.
    fn restart(&mut self, cid: Cid, lane: Option<Peer>) {
        let Some(mut task) = self.tasks.remove(&cid) else { return };
        self.lanes.leave(&cid, &task);
        task.restart();
        task.lane = lane.or(task.lane);
        self.insert(cid, task);
    }

    fn insert(&mut self, cid: Cid, task: Task) {
        self.lanes.join(cid, &task);
        self.tasks.insert(cid, task);
    }

    fn set_state(&mut self, cid: Cid, state: State) {
        let Some(task) = self.tasks.get_mut(&cid) else { return };
        self.lanes.leave(&cid, task);
        task.state = state;
        self.lanes.join(cid, task);
    }

    fn set_kind(&mut self, cid: Cid, kind: Kind) {
        let Some(task) = self.tasks.get_mut(&cid) else { return };
        self.lanes.leave(&cid, task);
        task.kind = kind;
        // A rumour that was left alone matters now.
        if matches!(task.state, State::Parked | State::Void) {
            task.state = State::Pausing { left: 1 };
        }
        self.lanes.join(cid, task);
    }

    /// Evicts a rumour where the peer, or all together, have too many.
    fn make_room_for_rumour(&mut self, peer: Peer, per_peer_max: usize) {
        let all_full = self.rumours() >= per_peer_max.max(1).saturating_mul(RUMOUR_LANES_FULL_MAX);
        if !self.make_room_in_lane(peer, per_peer_max)
            && all_full
            && let Some(lane) = self.lanes.most_rumours()
        {
            self.evict_rumour(lane);
        }
    }

    /// Evicts a rumour where the peer has too many. Says whether it had.
    fn make_room_in_lane(&mut self, peer: Peer, per_peer_max: usize) -> bool {
        let is_full = self.lanes.rumours(Some(peer)) >= per_peer_max.max(1);
        if is_full {
            self.evict_rumour(Some(peer));
        }
        is_full
    }

    fn evict_rumour(&mut self, lane: Option<Peer>) {
        let tasks = &self.tasks;
        let is_rumour = |cid: &Cid| tasks.get(cid).is_some_and(|task| task.kind == Kind::Rumour);
        let pausing =
            || tasks.iter().find(|(_, task)| task.lane == lane && task.is_pausing_rumour()).map(|(cid, _)| *cid);
        if let Some(victim) = self.lanes.oldest_rumour(lane, is_rumour).or_else(pausing) {
            self.hit(Mark::RumourEvicted);
            self.done(&victim);
        }
    }

    /// Forgets obligations that nobody serves, so that others, which only the store knows, get their
    /// turn. The longer nothing comes, the more rarely, as pauses grow.
    pub(crate) fn rotate(&mut self) {
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        self.rest = 1 << self.rotations;
        self.rotations = (self.rotations + 1).min(PAUSE_DOUBLINGS_MAX);
        let stale = |task: &Task| {
            task.kind == Kind::Obligation && task.rounds > 0 && matches!(task.state, State::Pausing { .. })
        };
        let stale: Vec<Cid> = self.tasks.iter().filter(|(_, task)| stale(task)).map(|(cid, _)| *cid).collect();
        stale.iter().for_each(|cid| self.done(cid));
    }
}

fn tick_range(config: &Config) -> RangeInclusive<Duration> {
    let tick = config.fetch_timeout / u32::from(config.fetch_timeout_ticks.max(1));
    tick..=tick.saturating_add(tick / 4)
}
