//! One block that is being fetched.

use super::{Peers, remember};
use crate::{Cid, Effect, Peer, limits::PEERS_PER_WANT_MAX};

/// Why a block is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A peer announced it, and its bytes have not come.
    Rumour,
    /// Merged state depends on it.
    Obligation,
    /// Its body was dropped for want of room, and is fetched again before it is needed.
    Dropped {
        /// The bytes for which room is reserved.
        size: u64,
    },
}

/// How far the fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Its lane's window is full.
    Waiting,
    /// Asked for, this many ticks ago.
    Flying { age: u8 },
    /// Every peer failed; asked again after this many ticks.
    Pausing { left: u8 },
    /// A rumour that nobody serves: left alone until it is announced again.
    Parked,
    /// A rumour whose bytes came and break a rule: left alone until a good block links to it.
    Void,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Task {
    pub(crate) kind: Kind,
    pub(crate) state: State,
    /// The peer in whose lane it is.
    pub(crate) lane: Option<Peer>,
    /// The peers that may have it, the likeliest first.
    pub(crate) peers: Peers,
    /// The peer to ask next in this round: those before it were asked.
    pub(crate) next: u8,
    /// Whether an attempt of this round was not answered at all.
    pub(crate) silence: bool,
    /// Rounds over all peers that failed; saturates.
    pub(crate) rounds: u8,
    /// Tells an answer from those before it; saturates.
    pub(crate) attempt: u32,
}

impl Task {
    pub(crate) const fn new(kind: Kind, lane: Option<Peer>, peers: Peers) -> Self {
        Self { kind, state: State::Waiting, lane, peers, next: 0, silence: false, rounds: 0, attempt: 0 }
    }

    /// Asks the next peer of the round; nobody in particular when no peer is known.
    pub(crate) fn fetch(&mut self, cid: Cid) -> Effect {
        let from = self.upcoming();
        self.next += u8::from(from.is_some());
        Effect::Fetch { cid, from, attempt: self.attempt }
    }

    /// The peer to ask next in this round.
    pub(crate) fn upcoming(&self) -> Option<Peer> {
        self.peers.get(usize::from(self.next)).copied()
    }

    pub(crate) const fn is_flying(&self, attempt: u32) -> bool {
        self.attempt == attempt && matches!(self.state, State::Flying { .. })
    }

    /// The peer that was asked last in this round; none when nobody in particular was.
    pub(crate) fn asked(&self) -> Option<Peer> {
        self.peers.get(usize::from(self.next).checked_sub(1)?).copied()
    }

    /// Whether a peer is left to ask in this round.
    pub(crate) fn has_next(&self) -> bool {
        usize::from(self.next) < self.peers.len()
    }

    /// Begins anew, as if nobody had been asked.
    pub(crate) const fn restart(&mut self) {
        (self.next, self.silence, self.rounds, self.state) = (0, false, 0, State::Waiting);
    }

    /// Remembers a peer that may have it: the next to be asked.
    pub(crate) fn add_peer(&mut self, peer: Peer) {
        if !matches!(self.state, State::Flying { .. }) {
            remember(&mut self.peers, peer);
        } else if !self.peers.contains(&peer) {
            // The ones before it were asked in this round.
            self.peers.insert(self.peers.len().min(usize::from(self.next)), peer);
            self.peers.truncate(PEERS_PER_WANT_MAX);
        }
    }

    pub(crate) const fn is_pausing_rumour(&self) -> bool {
        matches!((self.kind, self.state), (Kind::Rumour, State::Pausing { .. }))
    }
}
