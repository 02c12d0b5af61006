//! The network: links with their fates, and partitions.

use crate::{
    engine::{Cause, Fates, Key, MessageKey, Time, Trace},
    observe::{Id, Says, Watch, What},
    outcome::{MessageCount, MessageKind},
    scenario::{FaultKind, Link, Partition, PartitionMode, Party, Scenario},
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
    /// It was held back so that others overtake it.
    held_back: bool,
    /// It is a second copy.
    copy: bool,
    /// Its place among the messages of its link.
    place: u64,
}

/// One direction between two parties.
#[derive(Clone, Debug)]
struct Wire {
    link: Arc<Link>,
    sent: u64,
    /// The greatest place of a delivered message.
    delivered: u64,
}

/// A partition that holds.
#[derive(Clone, Debug)]
struct Cut {
    number: u32,
    kind: FaultKind,
    /// For each party the group that it is in.
    groups: Vec<Option<usize>>,
    one_way: Option<(usize, usize)>,
    mode: PartitionMode,
    held: Vec<Message>,
}

impl Cut {
    fn stops(&self, from: Party, to: Party) -> bool {
        match (self.groups[from.index()], self.groups[to.index()], self.one_way) {
            (Some(from), Some(to), Some(way)) => (from, to) == way,
            (Some(from), Some(to), None) => from != to,
            _ => false,
        }
    }
}

/// The wires, the partitions, and what became of all messages.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    fates: Fates,
    wires: Vec<Wire>,
    parties: usize,
    cuts: Vec<Cut>,
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
pub(crate) type Arrivals = [Option<(Time, Message)>; 2];

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
            Wire { link, sent: 0, delivered: 0 }
        };
        let wires = (0..parties * parties).map(|index| wire(index / parties, index % parties)).collect();
        let counts = [MessageCount::default(); 5];
        let fates = match &scenario.explicit {
            Some(explicit) => Fates::listed(Arc::clone(&explicit.deliveries)),
            None => Fates::new(root),
        };
        Self { fates, wires, parties, cuts: Vec::new(), faults_on: true, counts }
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
        let wire = self.wire(from, to);
        wire.sent += 1;
        let (place, link) = (wire.sent, Arc::clone(&wire.link));
        let (key, mut fate) = self.fates.next(from, to, kind as u8, cause, &link);
        if !self.faults_on {
            (fate.drop, fate.copy_latency, fate.held_back, fate.flip) = (false, None, None, None);
        }
        let stopped = self.cuts.iter_mut().find(|cut| cut.stops(from, to));
        record(trace.entry(at, tag::SEND), &key, &body)
            .u8(u8::from(fate.drop) | u8::from(stopped.is_some()) << 1 | u8::from(fate.flip.is_some()) << 2)
            .u64(fate.latency + fate.held_back.unwrap_or(0))
            .u64(fate.copy_latency.unwrap_or(0));
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
        let mut message = Message { key, body, corrupted: false, held_back: false, copy: false, place };
        if let Some(cut) = stopped {
            tell(Some(cut.number), (None, None));
            tally.effective_once(cut.number, cut.kind);
            if cut.mode == PartitionMode::Hold {
                count.held += 1;
                cut.held.push(message);
            } else {
                count.cut += 1;
            }
            return [None, None];
        }
        if fate.drop {
            tally.requested(FaultKind::Drop);
            count.dropped += 1;
            if receiver_is_up {
                tally.effective(FaultKind::Drop);
            }
            tell(None, (None, None));
            return [None, None];
        }
        if let (Some(bit), Some(bytes)) = (fate.flip, message.body.payload())
            && !bytes.is_empty()
        {
            tally.requested(FaultKind::Corrupt);
            count.corrupted += 1;
            let flipped = flip(bytes, bit);
            // Not every bit of an announcement means something.
            message.corrupted = kind != MessageKind::Broadcast
                || wire::decode_announcement(bytes) != wire::decode_announcement(&flipped);
            *bytes = flipped;
        }
        if fate.held_back.is_some() {
            tally.requested(FaultKind::Reorder);
            count.delayed += 1;
            message.held_back = true;
        }
        let copy = fate.copy_latency.map(|latency| {
            tally.requested(FaultKind::Duplicate);
            count.duplicated += 1;
            (at + latency, Message { copy: true, held_back: false, ..message.clone() })
        });
        let arrives = at + fate.latency + fate.held_back.unwrap_or(0);
        tell(None, (Some(arrives), copy.as_ref().map(|(at, _)| *at)));
        [Some((arrives, message)), copy]
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
        let count = &mut self.counts[index(message.body.kind())];
        if !is_up {
            count.unreachable += 1;
            return;
        }
        count.delivered += 1;
        if message.copy {
            tally.effective(FaultKind::Duplicate);
        }
        let wire = self.wire(message.key.from, message.key.to);
        if message.held_back && wire.delivered > message.place {
            tally.effective(FaultKind::Reorder);
        }
        wire.delivered = wire.delivered.max(message.place);
    }

    /// A partition begins.
    pub(crate) fn part(&mut self, number: u32, kind: FaultKind, partition: &Partition) {
        let mut groups = vec![None; self.parties];
        for (index, group) in partition.groups.iter().enumerate() {
            group.members.iter().for_each(|party| groups[party.index()] = Some(index));
        }
        self.cuts.push(Cut {
            number,
            kind,
            groups,
            one_way: partition.one_way,
            mode: partition.mode,
            held: Vec::new(),
        });
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
            let wire = &self.wires[message.key.from.index() * self.parties + message.key.to.index()];
            (self.fates.of(&message.key, &wire.link).latency, message)
        };
        held.into_iter().map(arrival).collect()
    }

    /// From now on nothing is lost, copied, held back or changed.
    pub(crate) const fn end_faults(&mut self) {
        self.faults_on = false;
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
