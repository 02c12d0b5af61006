//! The event loop alone: two peers that echo 64 bytes over a lossy link, with the trace on.
//!
//! No replicas, no disks: what is left is the queue, the fates and the trace, and this is how fast they are.

use crate::engine::{Cause, Fates, Key, Queue, Time, Trace};
use crate::scenario::{Link, Party};

/// The bytes of a message.
const PAYLOAD_BYTES: usize = 64;
/// Exchanges that go on at one time.
const EXCHANGES: u64 = 64;
/// When an exchange that got no answer is begun anew.
const RETRY_AFTER: Time = 200_000_000;
/// 1 to 50 ms, and one message in ten is lost.
const LINK: Link = Link { drop: 0.1, ..Link::DEFAULT };

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EchoReport {
    /// Events of the loop.
    pub events: u64,
    /// Messages that arrived.
    pub delivered: u64,
    /// Messages that were lost.
    pub lost: u64,
    /// sha2-256 over all events, in hex.
    pub trace: String,
}

enum Event {
    Arrive {
        from: Party,
        exchange: u64,
        turn: u64,
        payload: [u8; PAYLOAD_BYTES],
    },
    /// Nothing was heard of the exchange since this turn, perhaps.
    Retry {
        exchange: u64,
        turn: u64,
    },
}

struct World {
    now: Time,
    queue: Queue<Event>,
    fates: Fates,
    trace: Trace,
    turns: Vec<u64>,
    report: EchoReport,
}

/// Runs the loop for this many events.
#[must_use]
pub fn run(seed: u64, events: u64) -> EchoReport {
    let report = EchoReport { events: 0, delivered: 0, lost: 0, trace: String::new() };
    let turns = vec![0; usize::try_from(EXCHANGES).unwrap_or(0)];
    let mut world = World {
        now: 0,
        queue: Queue::new(),
        fates: Fates::new(&Key::of_seed(seed)),
        trace: Trace::new(),
        turns,
        report,
    };
    (0..EXCHANGES).for_each(|exchange| world.send(Party(0), exchange, 0, [exchange as u8; PAYLOAD_BYTES]));
    while world.report.events < events
        && let Some((at, event)) = world.queue.pop()
    {
        world.now = at;
        world.report.events += 1;
        world.handle(event);
    }
    EchoReport { trace: world.trace.finish(), ..world.report }
}

impl World {
    fn send(&mut self, from: Party, exchange: u64, turn: u64, payload: [u8; PAYLOAD_BYTES]) {
        let to = Party(1 - from.0);
        // Each turn of an exchange is its own cause.
        let cause = Cause::Operation(turn * EXCHANGES + exchange);
        let fate = self.fates.once(from, to, 0, cause, &LINK);
        let entry = self.trace.entry(self.now, 1).u16(from.0).u64(cause.number()).u8(u8::from(fate.drop));
        entry.bytes(&payload);
        if fate.drop {
            self.report.lost += 1;
            self.queue.push(self.now + RETRY_AFTER, Event::Retry { exchange, turn });
        } else {
            self.queue.push(self.now + fate.latency, Event::Arrive { from, exchange, turn, payload });
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrive { from, exchange, turn, mut payload } => {
                self.trace.entry(self.now, 2).u16(from.0).u64(exchange).u64(turn).bytes(&payload);
                self.report.delivered += 1;
                self.turns[exchange as usize] = turn + 1;
                payload.rotate_left(1);
                payload[0] = payload[0].wrapping_add(1);
                self.send(Party(1 - from.0), exchange, turn + 1, payload);
            }
            Event::Retry { exchange, turn } => {
                self.trace.entry(self.now, 3).u64(exchange).u64(turn);
                let from = Party((turn % 2) as u16);
                self.send(from, exchange, turn + 2, [exchange as u8; PAYLOAD_BYTES]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_are_lost_and_answered_and_repeat_with_the_seed() {
        let report = run(1, 20_000);
        assert_eq!(report.events, 20_000);
        assert!(report.delivered > 15_000 && report.lost > 1_500, "{report:?}");
        assert_eq!(report, run(1, 20_000));
        assert_ne!(report.trace, run(2, 20_000).trace);
        assert_ne!(report.trace, run(1, 19_999).trace);
    }
}
