//! The network: links with their fates, and partitions.

mod body;
mod cut;
pub(crate) mod tag;

pub use body::Body;

use crate::{
    engine::{Cause, Fates, Key, MessageKey, Time, Trace, nanoseconds},
    observe::{Says, Watch, What},
    outcome::{MessageCount, MessageKind},
    scenario::{Burst, Clog, FaultKind, Link, Partition, PartitionMode, Party, Scenario},
    tally::Tally,
};
use body::{harm, record};
use cut::{Cut, covers};
use std::{collections::BTreeMap, sync::Arc};

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) key: MessageKey,
    pub(crate) body: Body,
    /// A bit was flipped, and a reader of the bytes can see it.
    pub(crate) flipped: bool,
    /// Its end was cut off, and a reader of the bytes can see it.
    pub(crate) cut: bool,
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

/// A burst's number, and a link as it were without it.
type Calm = (u32, Arc<Link>);

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
        let (place, link, calm) = self.enter(at, from, to);
        let (key, mut fate) = self.fates.next(from, to, kind as u8, cause, &link);
        // A burst takes effect where it makes the fate another one. A list does not say which fates it made.
        if let Some((number, calm)) = calm
            && (self.fates.are_listed() || self.fates.of(&key, &calm) != fate)
        {
            tally.effective_once(number, FaultKind::Burst);
        }
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
            flipped: false,
            cut: false,
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

    /// Numbers a message on its wire, and gives the link as it is now: worse than it should be, in a burst. Beside it the number of the
    /// last burst, and the link as it were without that.
    fn enter(&mut self, at: Time, from: Party, to: Party) -> (u64, Arc<Link>, Option<Calm>) {
        let wire = &mut self.wires[from.index() * self.parties + to.index()];
        wire.sent += 1;
        let (place, mut link, mut calm) = (wire.sent, Arc::clone(&wire.link), None);
        for (number, burst) in &self.bursts {
            if at < nanoseconds(burst.until) && covers(&burst.from, from) && covers(&burst.to, to) {
                calm = Some((*number, Arc::clone(&link)));
                let worse = Arc::make_mut(&mut link);
                worse.drop = worse.drop.max(burst.drop);
                worse.corrupt = worse.corrupt.max(burst.corrupt);
                worse.latency = (worse.latency.0 + burst.delay, worse.latency.1 + burst.delay);
            }
        }
        (place, link, calm)
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
        let Message { key, copy, .. } = *message;
        let corrupted = message.flipped || message.cut;
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
        self.cuts.push(Cut::parting(at, number, kind, partition, self.parties));
    }

    /// Links are clogged.
    pub(crate) fn clog(&mut self, number: u32, clog: &Clog) {
        self.cuts.push(Cut::clogging(number, clog));
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
