//! Peers that do not answer.
//!
//! A fetch from a peer that is gone keeps its place in the window until it times out. With many blocks owed that such a peer might
//! have, those that others have would wait behind them for hours. So a peer that left some fetches in a row unanswered is asked for
//! one block at a time, its *probe*, until it answers; for all others the round goes on without it.

use crate::{Cid, Peer};
use alloc::collections::BTreeMap;

/// Fetches in a row that a peer leaves unanswered before it counts as silent: where messages get lost, one answer comes among them.
const UNANSWERED_MAX: u8 = 4;
/// Peers of which this is remembered. Beyond that the first of them is forgotten, and asked as any other.
const PEERS_MAX: usize = 256;

/// Which peers are silent. One that answers is not in it, so most of the time it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Silence(BTreeMap<Peer, Unanswered>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Unanswered {
    /// Fetches in a row; saturates.
    fetches: u8,
    /// What it was asked for since it is silent.
    probe: Option<Cid>,
}

impl Unanswered {
    const fn is_silent(&self) -> bool {
        self.fetches >= UNANSWERED_MAX
    }
}

impl Silence {
    /// A fetch from this peer timed out.
    pub(super) fn timed_out(&mut self, peer: Peer) {
        if self.0.len() >= PEERS_MAX && !self.0.contains_key(&peer) {
            self.0.pop_first();
        }
        let unanswered = self.0.entry(peer).or_default();
        unanswered.fetches = (unanswered.fetches + 1).min(UNANSWERED_MAX);
    }

    /// The peer answered. Says whether it was silent before.
    pub(super) fn answered(&mut self, peer: Peer) -> bool {
        self.0.remove(&peer).is_some_and(|unanswered| unanswered.is_silent())
    }

    /// The peer announced something, so it may be back: another probe need not wait for the one before to time out.
    pub(super) fn announced(&mut self, peer: Peer) {
        if let Some(unanswered) = self.0.get_mut(&peer) {
            unanswered.probe = None;
        }
    }

    /// The probe of a silent peer; none of a peer that is not, and none where it has no probe.
    pub(super) fn probe(&self, peer: Peer) -> Option<Cid> {
        self.0.get(&peer).filter(|unanswered| unanswered.is_silent())?.probe
    }

    /// This block is asked of this peer.
    pub(super) fn asked(&mut self, peer: Peer, cid: Cid) {
        if let Some(unanswered) = self.0.get_mut(&peer).filter(|unanswered| unanswered.is_silent()) {
            unanswered.probe = Some(cid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent(silence: &mut Silence, peer: Peer) {
        (0..UNANSWERED_MAX).for_each(|_| silence.timed_out(peer));
    }

    #[test]
    fn an_answer_among_some_fetches_is_enough() {
        let (mut silence, peer, cid) = (Silence::default(), Peer(1), Cid::of(b""));
        (1..UNANSWERED_MAX).for_each(|_| silence.timed_out(peer));
        assert!(!silence.answered(peer));
        (1..UNANSWERED_MAX).for_each(|_| silence.timed_out(peer));
        silence.asked(peer, cid);
        assert_eq!(silence.probe(peer), None, "not silent, so anything may be asked of it");
        silence.timed_out(peer);
        silence.asked(peer, cid);
        assert_eq!(silence.probe(peer), Some(cid));
        silence.announced(peer);
        assert_eq!(silence.probe(peer), None);
        assert!(silence.answered(peer));
        assert_eq!(silence, Silence::default());
    }

    #[test]
    fn any_number_of_peers_take_bounded_room() {
        let mut silence = Silence::default();
        (0..10_000).for_each(|peer| silent(&mut silence, Peer(peer)));
        assert_eq!(silence.0.len(), PEERS_MAX);
        assert!(silence.answered(Peer(9_999)), "the last one is among them");
    }
}
