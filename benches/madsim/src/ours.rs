//! The echo on the simulator's own queue, fates and draws.

use crate::{
    CLIENTS, LATENCY, LOST_PERCENT, PAYLOAD_BYTES, RETRY_AFTER, answer, beginning,
    journal::{Echoes, Journal, What},
};
use anabranch_sim::{
    engine::{Cause, Fates, Key, Queue, Time, nanoseconds},
    scenario::{Link, Party},
};

const CLIENT: Party = Party(0);
const SERVER: Party = Party(1);

enum Event {
    Arrive { to: Party, client: u64, sending: u64, payload: [u8; PAYLOAD_BYTES] },
    RunsOut { client: u64, sending: u64 },
}

struct World {
    now: Time,
    queue: Queue<Event>,
    fates: Fates,
    link: Link,
    journal: Journal,
    /// Which sending each client waits for.
    waits_for: Vec<u64>,
    left: u64,
}

/// Runs until so many echoes were answered.
pub(crate) fn run(seed: u64, echoes: u64) -> Echoes {
    let mut world = World {
        now: 0,
        queue: Queue::new(),
        fates: Fates::new(&Key::of_seed(seed)),
        link: Link { latency: LATENCY, drop: f64::from(LOST_PERCENT) / 100.0, ..Link::DEFAULT },
        journal: Journal::new(),
        waits_for: vec![0; CLIENTS as usize],
        left: echoes,
    };
    (0..CLIENTS).for_each(|client| world.ask(client, beginning(client)));
    while world.left > 0
        && let Some((at, event)) = world.queue.pop()
    {
        world.now = at;
        world.handle(event);
    }
    world.journal.finish()
}

impl World {
    /// A client sends, and waits.
    fn ask(&mut self, client: u64, payload: [u8; PAYLOAD_BYTES]) {
        self.waits_for[client as usize] += 1;
        let sending = self.waits_for[client as usize];
        self.queue.push(self.now + nanoseconds(RETRY_AFTER), Event::RunsOut { client, sending });
        self.send(CLIENT, client, sending, payload);
    }

    fn send(&mut self, from: Party, client: u64, sending: u64, payload: [u8; PAYLOAD_BYTES]) {
        let to = if from == CLIENT { SERVER } else { CLIENT };
        self.journal.enter(self.now, What::Sent, from.0, client, &payload);
        let fate = self.fates.once(from, to, 0, Cause::Operation(sending * CLIENTS + client), &self.link);
        if !fate.drop {
            self.queue.push(self.now + fate.latency, Event::Arrive { to, client, sending, payload });
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrive { to, client, sending, payload } => {
                self.journal.enter(self.now, What::Arrived, to.0, client, &payload);
                if to == SERVER {
                    self.send(SERVER, client, sending, answer(payload));
                } else if self.waits_for[client as usize] == sending {
                    self.left -= 1;
                    self.ask(client, payload);
                }
            }
            Event::RunsOut { client, sending } => {
                if self.waits_for[client as usize] == sending {
                    let payload = beginning(client);
                    self.journal.enter(self.now, What::RanOut, CLIENT.0, client, &payload);
                    self.ask(client, payload);
                }
            }
        }
    }
}
