//! What becomes of a message on its way.
//!
//! A fate is a pure function of (seed, link, kind, cause, n). Never of bytes or CIDs: taking one operation
//! out of a run changes all CIDs after it, and must leave the fates of all other messages as they were,
//! or else a failure could not be made smaller.

use super::{Key, Time, nanoseconds};
use crate::scenario::{Link, Party};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// What made someone send: inherited by all that it provokes, fetches and answers too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A replica was started at the beginning.
    Start,
    /// The operation of this number.
    Operation(u64),
    /// A replica's timer ran out. The round is the stretch of simulated time in which it was set,
    /// so that one round more or less does not rename those after it.
    Timer {
        /// Whose.
        replica: Party,
        /// Which of its timers.
        timer: u8,
        /// Which round.
        round: u64,
    },
    /// The fault of this number in the run's plan.
    Fault(u32),
    /// The end of the faults.
    Heal,
    /// A hostile peer's round.
    Hostile {
        /// Whose.
        peer: Party,
        /// Which.
        round: u64,
    },
}

impl Cause {
    /// The cause as one number, different for each cause (rounds and operations below 2^44).
    #[must_use]
    pub const fn number(self) -> u64 {
        const fn pack(tag: u64, party: Party, index: u64) -> u64 {
            tag << 60 | (party.0 as u64) << 44 | (index & ((1 << 44) - 1))
        }
        match self {
            Self::Start => pack(0, Party(0), 0),
            Self::Heal => pack(0, Party(0), 1),
            Self::Operation(number) => pack(1, Party(0), number),
            Self::Fault(number) => pack(2, Party(0), number as u64),
            Self::Hostile { peer, round } => pack(3, peer, round),
            Self::Timer { replica, timer, round } => pack(8 + (timer as u64 & 7), replica, round),
        }
    }
}

/// Which message: the n-th of its kind that the cause sends over the link, n counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageKey {
    /// The sender.
    pub from: Party,
    /// The receiver.
    pub to: Party,
    /// The kind of message, as a number.
    pub kind: u8,
    /// What made the sender send it.
    pub cause: Cause,
    /// How many messages of this link, kind and cause came before.
    pub n: u32,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fate {
    /// How long it takes.
    pub latency: Time,
    /// Whether it is lost.
    pub drop: bool,
    /// How long its second copy takes, when there is one.
    pub copy_latency: Option<Time>,
    /// How much longer it takes than its latency, when others are to overtake it.
    pub held_back: Option<Time>,
    /// Which bit is flipped, modulo the message's length in bits.
    pub flip: Option<u64>,
    /// At how many bytes it is cut off, modulo its length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<u64>,
    /// To which other party it goes, modulo their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub astray: Option<u64>,
    /// How long it takes when it comes once more, much later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Time>,
}

impl Fate {
    /// The fate of a message that nothing happens to.
    #[must_use]
    pub fn quiet(link: &Link) -> Self {
        Self {
            latency: nanoseconds(link.latency.0),
            drop: false,
            copy_latency: None,
            held_back: None,
            flip: None,
            cut: None,
            astray: None,
            replay: None,
        }
    }

    /// Draws a fate. The draws are the same in number and order whatever the link's settings are, so
    /// that setting one probability does not shift what another one hits.
    fn draw(draws: &mut super::Draws, link: &Link) -> Self {
        let between = |draw: u64, range: (std::time::Duration, std::time::Duration)| {
            let (least, most) = (nanoseconds(range.0), nanoseconds(range.1));
            least + ((u128::from(draw) * u128::from(most - least + 1)) >> 64) as u64
        };
        let latency = between(draws.bits(), link.latency);
        let drop = draws.chance(link.drop);
        let copy = draws.chance(link.duplicate);
        let copy_latency = between(draws.bits(), link.latency);
        let overtaken = draws.chance(link.reorder);
        let held_back = between(draws.bits(), link.reorder_delay);
        let corrupt = draws.chance(link.corrupt);
        // Half of the bits, so that they are numbers of a scenario file.
        let bit = draws.bits() >> 1;
        // Most links have none of the rest: six draws less for each of their messages.
        if link.truncate == 0.0 && link.misdeliver == 0.0 && link.replay == 0.0 {
            let fate = Self::quiet(link);
            return Self {
                latency,
                drop,
                copy_latency: copy.then_some(copy_latency),
                held_back: overtaken.then_some(held_back),
                flip: corrupt.then_some(bit),
                ..fate
            };
        }
        let (truncate, cut) = (draws.chance(link.truncate), draws.bits() >> 1);
        let (misdeliver, astray) = (draws.chance(link.misdeliver), draws.bits() >> 1);
        let (replay, later) = (draws.chance(link.replay), between(draws.bits(), link.replay_delay));
        Self {
            latency,
            drop,
            copy_latency: copy.then_some(copy_latency),
            held_back: overtaken.then_some(held_back),
            flip: corrupt.then_some(bit),
            cut: truncate.then_some(cut),
            astray: misdeliver.then_some(astray),
            replay: replay.then_some(latency + later),
        }
    }

    /// The same without harm: what becomes of a message when no faults are left.
    #[must_use]
    pub const fn unharmed(self) -> Self {
        Self {
            latency: self.latency,
            drop: false,
            copy_latency: None,
            held_back: None,
            flip: None,
            cut: None,
            astray: None,
            replay: None,
        }
    }
}

/// The fates of all messages of a run.
#[derive(Clone, Debug)]
pub struct Fates {
    source: Source,
    counts: BTreeMap<(u64, Party, Party, u8), u32>,
}

#[derive(Clone, Debug)]
enum Source {
    Drawn {
        key: Key,
        links: BTreeMap<(Party, Party), Key>,
    },
    /// What is not listed arrives after the least latency of its link, unharmed.
    Listed(Arc<BTreeMap<MessageKey, Fate>>),
}

impl Fates {
    /// The fates of the run with this root key.
    #[must_use]
    pub fn new(root: &Key) -> Self {
        let source = Source::Drawn { key: root.fork("fates"), links: BTreeMap::new() };
        Self { source, counts: BTreeMap::new() }
    }

    /// These fates. A message that is not in the list arrives after the least latency of its link, unharmed.
    #[must_use]
    pub const fn listed(list: Arc<BTreeMap<MessageKey, Fate>>) -> Self {
        Self { source: Source::Listed(list), counts: BTreeMap::new() }
    }

    /// Names the next message of a link, kind and cause, and draws its fate.
    pub fn next(&mut self, from: Party, to: Party, kind: u8, cause: Cause, link: &Link) -> (MessageKey, Fate) {
        let count = self.counts.entry((cause.number(), from, to, kind)).or_insert(0);
        let key = MessageKey { from, to, kind, cause, n: *count };
        *count += 1;
        (key, self.of(&key, link))
    }

    /// As [`next`](Self::next) for a cause that sends one message of the kind over the link: nothing is counted.
    pub fn once(&mut self, from: Party, to: Party, kind: u8, cause: Cause, link: &Link) -> Fate {
        self.of(&MessageKey { from, to, kind, cause, n: 0 }, link)
    }

    /// Whether they are given, and not drawn.
    pub(crate) const fn are_listed(&self) -> bool {
        matches!(self.source, Source::Listed(_))
    }

    /// The fate of a message.
    pub fn of(&mut self, message: &MessageKey, link: &Link) -> Fate {
        let MessageKey { from, to, kind, cause, n } = *message;
        let (root, links) = match &mut self.source {
            Source::Listed(list) => return list.get(message).copied().unwrap_or_else(|| Fate::quiet(link)),
            Source::Drawn { key, links } => (key, links),
        };
        let key =
            links.entry((from, to)).or_insert_with(|| root.fork([from.0.to_le_bytes(), to.0.to_le_bytes()].concat()));
        // A stream a cause, and in it a place for each message: 16 kinds, and as many messages as there may be.
        let place = u64::from(n) << 4 | u64::from(kind & 15);
        Fate::draw(&mut key.at(cause.number(), place), link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LINK: Link = Link {
        drop: 0.2,
        duplicate: 0.2,
        reorder: 0.2,
        reorder_delay: (Duration::from_millis(10), Duration::from_millis(20)),
        corrupt: 0.2,
        truncate: 0.2,
        misdeliver: 0.2,
        replay: 0.2,
        ..Link::DEFAULT
    };

    #[test]
    fn a_fate_depends_on_its_name_alone() {
        let root = Key::of_seed(3);
        let mut all = Fates::new(&root);
        let mut some = Fates::new(&root);
        for operation in 0..200 {
            for n in 0..3 {
                let cause = Cause::Operation(operation);
                let (name, fate) = all.next(Party(1), Party(2), 0, cause, &LINK);
                assert_eq!(name, MessageKey { from: Party(1), to: Party(2), kind: 0, cause, n });
                if operation % 2 == 0 {
                    assert_eq!((name, fate), some.next(Party(1), Party(2), 0, cause, &LINK));
                }
            }
        }
    }

    #[test]
    fn setting_one_probability_moves_no_other_fate() {
        let root = Key::of_seed(3);
        let quiet = Link { drop: 0.0, ..LINK };
        for operation in 0..100 {
            let cause = Cause::Operation(operation);
            let (_, lossy) = Fates::new(&root).next(Party(0), Party(1), 1, cause, &LINK);
            let (_, fate) = Fates::new(&root).next(Party(0), Party(1), 1, cause, &quiet);
            assert_eq!(Fate { drop: false, ..lossy }, fate);
        }
    }

    #[test]
    fn different_names_have_different_fates() {
        let mut fates = Fates::new(&Key::of_seed(3));
        let base = MessageKey { from: Party(0), to: Party(1), kind: 0, cause: Cause::Operation(5), n: 0 };
        let timer = Cause::Timer { replica: Party(0), timer: 0, round: 5 };
        let others = [
            MessageKey { from: Party(2), ..base },
            MessageKey { to: Party(2), ..base },
            MessageKey { kind: 1, ..base },
            MessageKey { cause: Cause::Operation(6), ..base },
            MessageKey { cause: Cause::Fault(5), ..base },
            MessageKey { cause: timer, ..base },
            MessageKey { n: 1, ..base },
        ];
        let latency = fates.of(&base, &LINK).latency;
        assert!((1_000_000..=50_000_000).contains(&latency));
        for other in others {
            assert_ne!(latency, fates.of(&other, &LINK).latency, "{other:?}");
        }
    }

    #[test]
    fn causes_have_different_numbers() {
        let timer = |timer, round| Cause::Timer { replica: Party(1), timer, round };
        let peer = Party(1);
        let causes = [
            Cause::Start,
            Cause::Heal,
            Cause::Operation(0),
            Cause::Operation(1),
            Cause::Fault(0),
            Cause::Fault(1),
            timer(0, 1),
            timer(1, 1),
            timer(1, 2),
            Cause::Timer { replica: Party(2), timer: 1, round: 1 },
            Cause::Hostile { peer, round: 1 },
        ];
        let numbers: std::collections::BTreeSet<u64> = causes.iter().map(|cause| cause.number()).collect();
        assert_eq!(numbers.len(), causes.len());
    }
}
