//! The network: links with their fates, and partitions.

use crate::{
    engine::{Cause, Fate, Fates, Key, MessageKey, Time, Trace, nanoseconds},
    observe::{Id, Says, Watch, What},
    outcome::{MessageCount, MessageKind},
    scenario::{Burst, Clog, FaultKind, Link, Partition, PartitionMode, Party, Scenario},
    tally::Tally,
};
use anabranch_core::{Bytes, Cid, wire};
use std::{collections::BTreeMap, sync::Arc};

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// An announcement, as it stands on the wire.
    Broadcast(Bytes),
    /// "Give me this block."
    Request {
        /// Which.
        cid: Cid,
        /// Handed back with the answer; likewise below.
        attempt: u32,
    },
    /// A block, as it stands on the wire.
    Block {
        /// Which it is said to be.
        cid: Cid,
        /// Of the request.
        attempt: u32,
        /// The block.
        bytes: Bytes,
    },
    /// "I do not have it."
    NotFound {
        /// Which.
        cid: Cid,
        /// Of the request.
        attempt: u32,
    },
    /// A message of a system that is not ours.
    Other(Bytes),
}

impl Body {
    pub(crate) const fn kind(&self) -> MessageKind {
        match self {
            Self::Broadcast(_) => MessageKind::Broadcast,
            Self::Request { .. } => MessageKind::Request,
            Self::Block { .. } => MessageKind::Block,
            Self::NotFound { .. } => MessageKind::NotFound,
            Self::Other(_) => MessageKind::Other,
        }
    }

    /// What it says, for those who watch.
    fn says(&self) -> Says {
        match self {
            Self::Broadcast(bytes) => {
                let announcement = wire::decode_announcement(bytes);
                Says::Heads(announcement.map_or(Vec::new(), |announced| announced.heads.into_iter().map(Id).collect()))
            }
            Self::Request { cid, .. } => Says::Give(Id(*cid)),
            Self::Block { cid, .. } => Says::Block(Id(*cid)),
            Self::NotFound { cid, .. } => Says::NotFound(Id(*cid)),
            Self::Other(bytes) => Says::Bytes(bytes.len() as u64),
        }
    }

    /// How long its bytes are; what has none is small.
    const fn bytes(&self) -> u64 {
        match self {
            Self::Broadcast(bytes) | Self::Block { bytes, .. } | Self::Other(bytes) => bytes.len() as u64,
            Self::Request { .. } | Self::NotFound { .. } => 0,
        }
    }

    /// The bytes that may be corrupted: those of broadcasts and blocks.
    const fn payload(&mut self) -> Option<&mut Bytes> {
        match self {
            Self::Broadcast(bytes) | Self::Block { bytes, .. } | Self::Other(bytes) => Some(bytes),
            Self::Request { .. } | Self::NotFound { .. } => None,
        }
    }
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) key: MessageKey,
    pub(crate) body: Body,
    /// A bit was flipped, and a reader of the bytes can see it.
    pub(crate) corrupted: bool,
    /// Its end was cut off.
    pub(crate) truncated: bool,
    /// It was held back so that others overtake it.
    held_back: bool,
    /// Who gets it: the one that it was sent to, unless it went astray.
    pub(crate) to: Party,
    /// It is a second copy.
    copy: bool,
    /// It is a replay of an old message.
    replay: bool,
    /// Its place among the messages of its link.
    place: u64,
    /// How long it takes, as it was drawn when it was sent.
    latency: Time,
}

/// One direction between two parties.
#[derive(Clone, Debug)]
struct Wire {
    link: Arc<Link>,
    sent: u64,
    /// The greatest place of a delivered message.
    delivered: u64,
    /// Until when it carries what was sent before.
    busy_until: Time,
    /// How many messages are on it.
    in_flight: u32,
}

/// What stops messages: a partition, a clog.
#[derive(Clone, Debug)]
struct Cut {
    number: u32,
    kind: FaultKind,
    stops: Stops,
    /// It holds for so long from its beginning, then not for as long, and so on.
    flap: Option<(Time, Time)>,
    mode: PartitionMode,
    held: Vec<Message>,
}

/// Which messages are stopped.
#[derive(Clone, Debug)]
enum Stops {
    /// Those between groups: for each party the one that it is in; perhaps one way only.
    Groups(Vec<Option<usize>>, Option<(usize, usize)>),
    /// Those between parties of a ring that are no neighbours: for each its place, and how many there are.
    Ring(Vec<Option<usize>>, usize),
    /// Those from one of the former to one of the latter.
    Links(Vec<Party>, Vec<Party>),
}

impl Cut {
    fn stops(&self, at: Time, from: Party, to: Party) -> bool {
        if self.flap.is_some_and(|(begin, every)| (at - begin) / every % 2 == 1) {
            return false;
        }
        match &self.stops {
            Stops::Groups(groups, one_way) => match (groups[from.index()], groups[to.index()], one_way) {
                (Some(from), Some(to), Some(way)) => (from, to) == *way,
                (Some(from), Some(to), None) => from != to,
                _ => false,
            },
            Stops::Ring(places, count) => match (places[from.index()], places[to.index()]) {
                (Some(from), Some(to)) => {
                    let apart = from.abs_diff(to);
                    apart > 1 && apart != count - 1
                }
                _ => false,
            },
            Stops::Links(senders, receivers) => covers(senders, from) && covers(receivers, to),
        }
    }
}

/// Whether the list names the party, or everyone.
fn covers(parties: &[Party], party: Party) -> bool {
    parties.is_empty() || parties.contains(&party)
}

/// The wires, the partitions, and what became of all messages.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    fates: Fates,
    wires: Vec<Wire>,
    parties: usize,
    cuts: Vec<Cut>,
    bursts: Vec<(u32, Burst)>,
    /// Whether chance and partitions do harm.
    faults_on: bool,
    counts: [MessageCount; 5],
}

/// A message as its sender gives it to the network.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) at: Time,
    pub(crate) from: Party,
    pub(crate) to: Party,
    pub(crate) cause: Cause,
    pub(crate) body: Body,
    pub(crate) receiver_is_up: bool,
}

/// What the network does with a message: when it, and perhaps its copy, arrive.
pub(crate) type Arrivals = [Option<(Time, Message)>; 3];

const fn index(kind: MessageKind) -> usize {
    kind as usize
}

impl Network {
    pub(crate) fn new(scenario: &Scenario, root: &Key) -> Self {
        let parties = scenario.parties();
        // Few links differ: most share one set of numbers.
        let mut shared: Vec<Arc<Link>> = Vec::new();
        let mut wire = |from: usize, to: usize| {
            let party = |index| Party(u16::try_from(index).unwrap_or(u16::MAX));
            let link = scenario.link(party(from), party(to));
            let known = shared.iter().find(|known| ***known == link).cloned();
            let link = known.unwrap_or_else(|| {
                shared.push(Arc::new(link));
                shared[shared.len() - 1].clone()
            });
            Wire { link, sent: 0, delivered: 0, busy_until: 0, in_flight: 0 }
        };
        let wires = (0..parties * parties).map(|index| wire(index / parties, index % parties)).collect();
        let counts = [MessageCount::default(); 5];
        let fates = match &scenario.explicit {
            Some(explicit) => Fates::listed(Arc::clone(&explicit.deliveries)),
            None => Fates::new(root),
        };
        Self { fates, wires, parties, cuts: Vec::new(), bursts: Vec::new(), faults_on: true, counts }
    }

    fn wire(&mut self, from: Party, to: Party) -> &mut Wire {
        &mut self.wires[from.index() * self.parties + to.index()]
    }

    pub(crate) fn counts(&self) -> BTreeMap<MessageKind, MessageCount> {
        let kinds = [
            MessageKind::Broadcast,
            MessageKind::Request,
            MessageKind::Block,
            MessageKind::NotFound,
            MessageKind::Other,
        ];
        let sent = kinds.into_iter().map(|kind| (kind, self.counts[index(kind)]));
        sent.filter(|(kind, count)| *kind != MessageKind::Other || count.sent > 0).collect()
    }

    /// Takes a message: draws its fate, and says when it arrives, if it does.
    pub(crate) fn send(
        &mut self,
        outgoing: Outgoing,
        tally: &mut Tally,
        trace: &mut Trace,
        watch: &mut Watch<'_>,
    ) -> Arrivals {
        let Outgoing { at, from, to, cause, body, receiver_is_up } = outgoing;
        let kind = body.kind();
        let (place, link) = self.enter(at, from, to, tally);
        let (key, mut fate) = self.fates.next(from, to, kind as u8, cause, &link);
        if !self.faults_on {
            fate = fate.unharmed();
        }
        let stopped = self.cuts.iter_mut().find(|cut| cut.stops(at, from, to));
        record(trace.entry(at, tag::SEND), &key, &body)
            .u8(u8::from(fate.drop)
                | u8::from(stopped.is_some()) << 1
                | u8::from(fate.flip.is_some()) << 2
                | u8::from(fate.cut.is_some()) << 3
                | u8::from(fate.astray.is_some()) << 4)
            .u64(fate.latency + fate.held_back.unwrap_or(0))
            .u64(fate.copy_latency.unwrap_or(0))
            .u64(fate.replay.unwrap_or(0));
        let count = &mut self.counts[index(kind)];
        count.sent += 1;
        let says = watch.is_on().then(|| body.says());
        let tell = |stopped_by, arrives| {
            watch.tell(at, Some(from), Some(cause), || What::Sent {
                message: key,
                says: says.unwrap_or(Says::Heads(Vec::new())),
                fate,
                stopped_by,
                arrives,
            });
        };
        let mut message = Message {
            key,
            to,
            body,
            corrupted: false,
            truncated: false,
            held_back: false,
            copy: false,
            replay: false,
            place,
            latency: fate.latency,
        };
        if let Some(cut) = stopped {
            tell(Some(cut.number), (None, None));
            tally.effective_once(cut.number, cut.kind);
            if cut.mode == PartitionMode::Hold {
                count.held += 1;
                cut.held.push(message);
            } else {
                count.cut += 1;
            }
            return [None, None, None];
        }
        if fate.drop {
            tally.requested(FaultKind::Drop);
            count.dropped += 1;
            if receiver_is_up {
                tally.effective(FaultKind::Drop);
            }
            tell(None, (None, None));
            return [None, None, None];
        }
        let Some(waits) = self.takes(at, &message, tally) else {
            tell(None, (None, None));
            return [None, None, None];
        };
        let count = &mut self.counts[index(kind)];
        harm(&mut message, &fate, count, tally);
        if let Some(astray) = fate.astray.filter(|_| self.parties > 2) {
            tally.requested(FaultKind::Misdeliver);
            let others = (0..self.parties).filter(|party| *party != from.index() && *party != to.index());
            let place = astray % (self.parties as u64 - 2);
            let other = others.clone().nth(place as usize).and_then(|party| u16::try_from(party).ok());
            message.to = other.map_or(to, Party);
        }
        if fate.held_back.is_some() {
            tally.requested(FaultKind::Reorder);
            count.delayed += 1;
            message.held_back = true;
        }
        let copy = fate.copy_latency.map(|latency| {
            tally.requested(FaultKind::Duplicate);
            count.duplicated += 1;
            (at + waits + latency, Message { copy: true, held_back: false, ..message.clone() })
        });
        let replay = fate.replay.map(|latency| {
            tally.requested(FaultKind::Replay);
            (at + waits + latency, Message { replay: true, held_back: false, ..message.clone() })
        });
        let arrives = at + waits + fate.latency + fate.held_back.unwrap_or(0);
        tell(None, (Some(arrives), copy.as_ref().map(|(at, _)| *at)));
        [Some((arrives, message)), copy, replay]
    }

    /// Numbers a message on its wire, and gives the link as it is now: worse than it should be, in a burst.
    fn enter(&mut self, at: Time, from: Party, to: Party, tally: &mut Tally) -> (u64, Arc<Link>) {
        let wire = &mut self.wires[from.index() * self.parties + to.index()];
        wire.sent += 1;
        let (place, mut link) = (wire.sent, Arc::clone(&wire.link));
        for (number, burst) in &self.bursts {
            if at < nanoseconds(burst.until) && covers(&burst.from, from) && covers(&burst.to, to) {
                tally.effective_once(*number, FaultKind::Burst);
                let worse = Arc::make_mut(&mut link);
                worse.drop = worse.drop.max(burst.drop);
                worse.corrupt = worse.corrupt.max(burst.corrupt);
                worse.latency = (worse.latency.0 + burst.delay, worse.latency.1 + burst.delay);
            }
        }
        (place, link)
    }

    /// Whether the wire has room for the message, and how long it waits for those before it.
    fn takes(&mut self, at: Time, message: &Message, tally: &mut Tally) -> Option<Time> {
        /// What goes with every message, in bytes.
        const HEADER: u64 = 64;
        let (faults_on, wire) = (self.faults_on, self.wire(message.key.from, message.key.to));
        let link = &wire.link;
        if !faults_on || link.bandwidth == 0 && link.queue == 0 {
            wire.in_flight += 1;
            return Some(0);
        }
        if link.queue > 0 && wire.in_flight >= link.queue {
            tally.requested(FaultKind::QueueLimit);
            tally.effective(FaultKind::QueueLimit);
            self.counts[index(message.body.kind())].dropped += 1;
            return None;
        }
        wire.in_flight += 1;
        if link.bandwidth == 0 {
            return Some(0);
        }
        tally.requested(FaultKind::Bandwidth);
        let begins = wire.busy_until.max(at);
        if begins > at {
            tally.effective(FaultKind::Bandwidth);
        }
        let bytes = u128::from(message.body.bytes() + HEADER);
        let carries = u64::try_from(bytes * 1_000_000_000 / u128::from(link.bandwidth)).unwrap_or(Time::MAX >> 1);
        wire.busy_until = begins.saturating_add(carries);
        Some(wire.busy_until - at)
    }

    /// A message comes to its receiver, who is up or not.
    pub(crate) fn arrives(
        &mut self,
        at: Time,
        message: &Message,
        is_up: bool,
        tally: &mut Tally,
        trace: &mut Trace,
        watch: &mut Watch<'_>,
    ) {
        let Message { key, copy, corrupted, .. } = *message;
        watch.tell(at, Some(key.to), Some(key.cause), || What::Arrived { message: key, copy, corrupted, taken: is_up });
        record(trace.entry(at, tag::ARRIVE), &message.key, &message.body)
            .u8(u8::from(message.copy) | u8::from(is_up) << 1);
        let is_first = !message.copy && !message.replay;
        let wire = self.wire(message.key.from, message.key.to);
        wire.in_flight = wire.in_flight.saturating_sub(u32::from(is_first));
        let count = &mut self.counts[index(message.body.kind())];
        if !is_up {
            count.unreachable += 1;
            return;
        }
        count.delivered += 1;
        if message.copy {
            tally.effective(FaultKind::Duplicate);
        }
        if message.replay {
            tally.effective(FaultKind::Replay);
        }
        if message.to != message.key.to {
            tally.effective(FaultKind::Misdeliver);
        }
        let wire = self.wire(message.key.from, message.key.to);
        if message.held_back && wire.delivered > message.place {
            tally.effective(FaultKind::Reorder);
        }
        wire.delivered = wire.delivered.max(message.place);
    }

    /// A partition begins.
    pub(crate) fn part(&mut self, at: Time, number: u32, kind: FaultKind, partition: &Partition) {
        let mut places = vec![None; self.parties];
        for (index, group) in partition.groups.iter().enumerate() {
            let place = |place: usize| if partition.ring { place } else { index };
            group.members.iter().enumerate().for_each(|(at, party)| places[party.index()] = Some(place(at)));
        }
        let stops = match partition.ring {
            true => Stops::Ring(places, partition.groups.iter().map(|group| group.members.len()).sum()),
            false => Stops::Groups(places, partition.one_way),
        };
        let flap = partition.flap.map(|every| (at, nanoseconds(every)));
        self.cuts.push(Cut { number, kind, stops, flap, mode: partition.mode, held: Vec::new() });
    }

    /// Links are clogged.
    pub(crate) fn clog(&mut self, number: u32, clog: &Clog) {
        let stops = Stops::Links(clog.from.clone(), clog.to.clone());
        let (kind, mode) = (FaultKind::Clog, PartitionMode::Hold);
        self.cuts.push(Cut { number, kind, stops, flap: None, mode, held: Vec::new() });
    }

    /// The network is worse, until the burst's end.
    pub(crate) fn burst(&mut self, number: u32, burst: &Burst) {
        self.bursts.push((number, burst.clone()));
    }

    /// Whether the partition of this number holds.
    pub(crate) fn is_parted(&self, number: u32) -> bool {
        self.cuts.iter().any(|cut| cut.number == number)
    }

    /// A partition heals. Gives the messages that it held, with the time that each takes from now.
    pub(crate) fn heal(&mut self, number: u32) -> Vec<(Time, Message)> {
        let Some(at) = self.cuts.iter().position(|cut| cut.number == number) else { return Vec::new() };
        let held = self.cuts.remove(at).held;
        let arrival = |message: Message| {
            let wire = &mut self.wires[message.key.from.index() * self.parties + message.key.to.index()];
            wire.in_flight += 1;
            (message.latency, message)
        };
        held.into_iter().map(arrival).collect()
    }

    /// From now on nothing is lost, copied, held back or changed.
    pub(crate) fn end_faults(&mut self) {
        self.faults_on = false;
        self.bursts = Vec::new();
    }
}

/// The tags of trace entries. Each event of a run has one.
pub(crate) mod tag {
    pub(crate) const SEND: u8 = 1;
    pub(crate) const ARRIVE: u8 = 2;
    pub(crate) const TIMER: u8 = 3;
    pub(crate) const OPERATION: u8 = 4;
    pub(crate) const SYNC: u8 = 5;
    pub(crate) const CRASH: u8 = 6;
    pub(crate) const START: u8 = 7;
    pub(crate) const LEAVE: u8 = 8;
    pub(crate) const PART: u8 = 9;
    pub(crate) const HEAL: u8 = 10;
    pub(crate) const CLOCK: u8 = 11;
    pub(crate) const HOSTILE: u8 = 12;
    pub(crate) const PHASE: u8 = 13;
    pub(crate) const MERGE: u8 = 14;
    pub(crate) const READ: u8 = 15;
    pub(crate) const ACKNOWLEDGE: u8 = 16;
    pub(crate) const REFUSE: u8 = 17;
    pub(crate) const CONTINUE: u8 = 18;
}

/// Who, what, why. A block is named by its CID and length; its bytes are in the name.
fn record<'a>(entry: crate::engine::Entry<'a>, key: &MessageKey, body: &Body) -> crate::engine::Entry<'a> {
    let entry = entry.u16(key.from.0).u16(key.to.0).u8(key.kind).u64(key.cause.number()).u64(key.n.into());
    match body {
        Body::Broadcast(bytes) | Body::Other(bytes) => entry.bytes(bytes),
        Body::Request { cid, attempt } | Body::NotFound { cid, attempt } => {
            entry.bytes(cid.digest()).u64((*attempt).into())
        }
        Body::Block { cid, attempt, bytes } => entry.bytes(cid.digest()).u64((*attempt).into()).u64(bytes.len() as u64),
    }
}

/// The bytes with one bit changed.
fn flip(bytes: &Bytes, bit: u64) -> Bytes {
    let mut flipped = bytes.to_vec();
    let bit = bit % (flipped.len() as u64 * 8);
    flipped[(bit / 8) as usize] ^= 1 << (bit % 8);
    flipped.into()
}

/// Flips a bit and cuts the end off, as the fate will have it.
fn harm(message: &mut Message, fate: &Fate, count: &mut MessageCount, tally: &mut Tally) {
    let kind = message.body.kind();
    let Some(bytes) = message.body.payload().filter(|bytes| !bytes.is_empty()) else { return };
    let before = bytes.clone();
    if let Some(bit) = fate.flip {
        tally.requested(FaultKind::Corrupt);
        count.corrupted += 1;
        *bytes = flip(bytes, bit);
    }
    if let Some(at) = fate.cut {
        tally.requested(FaultKind::Truncate);
        count.corrupted += 1;
        bytes.truncate((at % bytes.len() as u64) as usize);
    }
    if *bytes == before {
        return;
    }
    // Not every bit of an announcement means something.
    message.corrupted =
        kind != MessageKind::Broadcast || wire::decode_announcement(&before) != wire::decode_announcement(bytes);
    message.truncated = fate.cut.is_some();
}
