//! The simulated world: replicas, hostile peers, the network, and the loop that moves them.

mod faults;
mod hostile;
mod judge;
mod process;
mod replica;
mod report;
mod watched;

use crate::{
    choices::{Choice, Choices},
    engine::{Cause, Key, Queue, Time, Trace, nanoseconds},
    ledger::Ledger,
    network::{Body, Message, Network, Outgoing, tag},
    observe::{Blob, Observer, Watch, What},
    oracles::{Panel, Violation},
    outcome::{Moment, MomentKind, OperationCount, OperationKind, RunReport, Sample},
    plan::Plan,
    scenario::{FaultKind, Party, Scenario},
    tally::Tally,
    workload::{Action, Operation, Operations},
};
use anabranch_core::{Batch, Cid, Effect, Input, Timer, Token};
use hostile::{Answer, HostilePeer};
use process::{Held, Process, Status};
use std::collections::BTreeMap;

/// Between two steps of a replica that says that there is more to do.
const CONTINUE_AFTER: Time = 1_000;
/// After asking anyone when no one is there, the replica is told that the fetch failed.
const NOBODY_AFTER: Time = 1_000_000;
/// More events in one simulated second than this, and a thousand for each operation that is made in it, are no work but a storm.
const EVENTS_A_SECOND_MAX: u64 = 300_000;
/// Samples for the picture in the first phase, and in all.
const SAMPLES: u64 = 60;
const SAMPLES_MAX: usize = 240;
/// Looks at one replica in the midst of the first phase.
const LOOKS: u64 = 4;

/// An event of the loop.
#[derive(Debug)]
enum Event {
    Operation(Box<Operation>),
    Arrive(Box<Message>),
    Timer {
        replica: Party,
        life: u32,
        timer: Timer,
        cause: Cause,
        skewed_by: Option<u32>,
    },
    Continue {
        replica: Party,
        life: u32,
        cause: Cause,
    },
    Sync {
        replica: Party,
        life: u32,
    },
    /// Nobody could be asked.
    Nobody {
        replica: Party,
        life: u32,
        cid: Cid,
        attempt: u32,
        cause: Cause,
    },
    /// The fault at this place of the plan begins.
    Fault(usize),
    /// It ends, or its victim restarts.
    FaultEnds(usize),
    Hostile {
        peer: usize,
        round: u64,
    },
    Sample,
    Look(u64),
    FaultsEnd,
}

/// Why a run ends before its time.
#[derive(Debug)]
enum Failure {
    Broken(Violation),
    Replica {
        replica: Party,
        error: anabranch_core::Error,
    },
    /// Replicas provoke each other without end: this one was stepped last.
    Storm {
        replica: Party,
        cause: Cause,
    },
}

impl From<Violation> for Failure {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

type Outcome = Result<(), Failure>;

/// Everything there is in a run.
pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    seed: u64,
    plan: Plan,
    choices: Choices,
    /// From which hostile peers draw what they invent: no result depends on it, so it is the same for all seeds.
    inventions: Key,
    operations: Operations<'a>,
    now: Time,
    queue: Queue<Event>,
    trace: Trace,
    network: Network,
    processes: Vec<Process>,
    hostile: Vec<HostilePeer>,
    /// The blocks of hostile peers, and what they are meant to do.
    poison: BTreeMap<Cid, FaultKind>,
    ledger: Ledger,
    panel: Panel,
    tally: Tally,
    counts: BTreeMap<OperationKind, OperationCount>,
    /// Commits that are neither acknowledged nor refused.
    open: BTreeMap<u64, (Party, OperationKind)>,
    events: u64,
    /// The simulated second, and how many events there were when it began.
    second: (u64, u64),
    /// Who was stepped last, and what for.
    stepped: (Party, Cause),
    blocks_merged: u64,
    is_healing: bool,
    last_progress: Time,
    /// Something was merged, or someone came, since convergence was last looked for.
    has_changed: bool,
    /// Blocks newly merged since a replica's state was last compared with the fold over its blocks.
    merged_since_fold: u64,
    converged_at: Option<Time>,
    timeline: Vec<Moment>,
    samples: Vec<Sample>,
    /// Kept to spare allocations.
    effects: Vec<Effect>,
    watch: Watch<'a>,
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, seed: u64, plan: Plan, observer: &'a mut dyn Observer) -> Self {
        let root = Key::of_seed(seed);
        let name = |index: usize| Party(u16::try_from(index).unwrap_or(u16::MAX));
        let hostile = scenario.hostile.iter().enumerate().map(|(index, peer)| {
            HostilePeer::new(name(scenario.replicas.len() + index), peer, &scenario.workload.key_prefix)
        });
        let kinds = [OperationKind::Put, OperationKind::Delete, OperationKind::Batch, OperationKind::Get];
        Self {
            scenario,
            seed,
            choices: match &scenario.explicit {
                Some(explicit) => Choices::Listed(explicit.choices.clone()),
                None => Choices::drawn(&root),
            },
            inventions: Key::of_seed(0).fork("inventions"),
            operations: Operations::new(scenario, &root),
            now: 0,
            queue: Queue::new(),
            trace: Trace::new(),
            network: Network::new(scenario, &root),
            processes: scenario.replicas.iter().map(|replica| Process::new(replica.joins_at.is_some())).collect(),
            hostile: hostile.collect(),
            poison: BTreeMap::new(),
            ledger: Ledger::new(scenario.replicas.len()),
            panel: Panel::new(scenario.suspensions()),
            tally: Tally::new(scenario, &plan),
            plan,
            counts: kinds.map(|kind| (kind, OperationCount::default())).into(),
            open: BTreeMap::new(),
            events: 0,
            second: (0, 0),
            stepped: (Party(0), Cause::Start),
            blocks_merged: 0,
            is_healing: false,
            last_progress: 0,
            has_changed: false,
            merged_since_fold: 0,
            converged_at: None,
            timeline: Vec::new(),
            samples: Vec::new(),
            effects: Vec::new(),
            watch: Watch::new(observer),
        }
    }

    /// Runs both phases, and says what came of them.
    pub(crate) fn run(mut self) -> RunReport {
        let outcome = self.live();
        self.tell_objection(&outcome);
        self.report(outcome)
    }

    fn live(&mut self) -> Outcome {
        self.begin()?;
        let budget = nanoseconds(self.scenario.convergence_budget);
        while let Some((at, event)) = self.queue.pop() {
            if self.is_healing && at > self.last_progress.saturating_add(budget) {
                return Ok(());
            }
            self.now = at;
            self.events += 1;
            self.count_second()?;
            self.handle(event)?;
            if self.is_healing && self.has_changed && self.agree() {
                self.converged_at = Some(self.now);
                let now = self.now;
                self.note(now, MomentKind::Converged, String::from("all replicas have equal heads and equal states"));
                return self.judge_end();
            }
        }
        Ok(())
    }

    /// Time must pass: a run in which messages provoke ever more messages would never end.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // The rate is at most a million.
    fn count_second(&mut self) -> Outcome {
        let second = self.now / 1_000_000_000;
        if second != self.second.0 {
            self.second = (second, self.events);
        }
        let limit = EVENTS_A_SECOND_MAX + 1_000 * self.scenario.workload.rate as u64;
        if self.events - self.second.1 < limit {
            return Ok(());
        }
        let (replica, cause) = self.stepped;
        Err(Failure::Storm { replica, cause })
    }

    /// Starts everyone, and puts the plan into the queue.
    fn begin(&mut self) -> Outcome {
        for replica in self.replicas() {
            if self.processes[replica.index()].is_up() {
                self.start(replica, Cause::Start)?;
            }
        }
        let duration = nanoseconds(self.scenario.duration);
        for (index, (_, timed)) in self.plan.faults.iter().enumerate() {
            self.queue.push(nanoseconds(timed.at), Event::Fault(index));
        }
        for (peer, hostile) in self.scenario.hostile.iter().enumerate() {
            self.queue.push(nanoseconds(hostile.from), Event::Hostile { peer, round: 0 });
        }
        for look in 1..LOOKS {
            self.queue.push(duration / LOOKS * look, Event::Look(look));
        }
        self.queue.push(0, Event::Sample);
        self.queue.push(duration, Event::FaultsEnd);
        self.schedule_operation(0);
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Outcome {
        match event {
            Event::Operation(operation) => self.operate(*operation),
            Event::Arrive(message) => self.arrive(*message),
            Event::Timer { replica, life, timer, cause, skewed_by } if self.lives(replica, life) => {
                self.trace.entry(self.now, tag::TIMER).u16(replica.0).u64(cause.number());
                self.watch.tell(self.now, Some(replica), Some(cause), || What::Timer);
                if let Some(number) = skewed_by {
                    self.tally.effective_once(number, FaultKind::Skew);
                }
                self.step(replica, Input::Timer(timer), cause)
            }
            Event::Continue { replica, life, cause } if self.lives(replica, life) => {
                self.trace.entry(self.now, tag::CONTINUE).u16(replica.0).u64(cause.number());
                self.processes[replica.index()].continue_is_set = false;
                self.step(replica, Input::Continue, cause)
            }
            Event::Sync { replica, life } if self.lives(replica, life) => self.sync(replica),
            Event::Nobody { replica, life, cid, attempt, cause } if self.lives(replica, life) => {
                self.step(replica, Input::FetchFailed { cid, attempt }, cause)
            }
            Event::Timer { .. } | Event::Continue { .. } | Event::Sync { .. } | Event::Nobody { .. } => Ok(()),
            Event::Fault(index) => self.fault_begins(index),
            Event::FaultEnds(index) => self.fault_ends(index),
            Event::Hostile { peer, round } => {
                self.hostile_round(peer, round);
                Ok(())
            }
            Event::Sample => {
                self.sample();
                Ok(())
            }
            Event::Look(number) => self.look(number),
            Event::FaultsEnd => self.end_faults(),
        }
    }

    /// Whether the replica is up, and in this life of it.
    fn lives(&self, replica: Party, life: u32) -> bool {
        let process = &self.processes[replica.index()];
        process.is_up() && process.life == life
    }

    fn replicas(&self) -> impl Iterator<Item = Party> + use<> {
        (0..u16::try_from(self.processes.len()).unwrap_or(u16::MAX)).map(Party)
    }

    fn parties(&self) -> impl Iterator<Item = Party> + use<> {
        (0..u16::try_from(self.scenario.parties()).unwrap_or(u16::MAX)).map(Party)
    }

    fn name(&self, party: Party) -> &str {
        self.scenario.party_name(party)
    }

    fn note(&mut self, at: Time, kind: MomentKind, what: String) {
        self.watch.tell(at, None, None, || What::Noted { kind, what: what.clone() });
        self.timeline.push(Moment { at_ns: at, what, kind });
    }

    // Operations.

    fn schedule_operation(&mut self, from: u64) {
        if let Some(operation) = self.operations.next(from, &self.plan.without) {
            self.queue.push(operation.at, Event::Operation(Box::new(operation)));
        }
    }

    fn operate(&mut self, operation: Operation) -> Outcome {
        let index = operation.index;
        self.schedule_operation(index + 1);
        let kind = operation.action.kind();
        let replica = operation.replica;
        let is_up = self.processes[replica.index()].is_up();
        self.trace.entry(self.now, tag::OPERATION).u64(index).u16(replica.0).u8(u8::from(is_up));
        self.tell_operation(&operation, is_up);
        self.count(kind).requested += 1;
        if !is_up {
            self.count(kind).unavailable += 1;
            return Ok(());
        }
        match operation.action {
            Action::Write(_, batch) => self.commit(replica, index, kind, batch),
            Action::Get(key) => self.get(replica, index, &key),
        }
    }

    fn count(&mut self, kind: OperationKind) -> &mut OperationCount {
        self.counts.entry(kind).or_default()
    }

    fn commit(&mut self, replica: Party, index: u64, kind: OperationKind, batch: Batch) -> Outcome {
        self.open.insert(index, (replica, kind));
        self.step(replica, Input::Commit { token: Token(index), batch }, Cause::Operation(index))
    }

    /// Reads a key. What is not synced yet is told only after the sync.
    fn get(&mut self, replica: Party, index: u64, key: &anabranch_core::Key) -> Outcome {
        let process = &mut self.processes[replica.index()];
        let Some(core) = &process.core else { return Ok(()) };
        let value = core.get(key).map_err(|error| Failure::Replica { replica, error })?;
        let entry = self.trace.entry(self.now, tag::READ).u64(index).u8(u8::from(value.is_some()));
        entry.bytes(value.as_deref().unwrap_or_default());
        self.watch.tell(self.now, Some(replica), Some(Cause::Operation(index)), || {
            let value = value.map(|value| Blob(value.to_vec()));
            What::Read { number: index, key: key.to_string(), value }
        });
        if process.is_dirty() {
            self.open.insert(index, (replica, OperationKind::Get));
            process.held.push((Cause::Operation(index), Held::Read { operation: index, kind: OperationKind::Get }));
        } else {
            self.count(OperationKind::Get).done += 1;
        }
        Ok(())
    }

    // Messages.

    fn send(&mut self, from: Party, to: Party, cause: Cause, body: Body) {
        let receiver_is_up = self.is_present(to);
        let outgoing = Outgoing { at: self.now, from, to, cause, body, receiver_is_up };
        let arrivals = self.network.send(outgoing, &mut self.tally, &mut self.trace, &mut self.watch);
        for (at, message) in arrivals.into_iter().flatten() {
            self.queue.push(at, Event::Arrive(Box::new(message)));
        }
    }

    /// Sends to all whom the sender has reason to think there.
    fn broadcast(&mut self, from: Party, cause: Cause, payload: &anabranch_core::Bytes) {
        for to in self.parties().filter(|to| *to != from) {
            let is_member = match self.processes.get(to.index()).map(|process| process.status) {
                Some(Status::Absent) => false,
                Some(_) => true,
                None => self.is_present(to),
            };
            if is_member {
                self.send(from, to, cause, Body::Broadcast(payload.clone()));
            }
        }
    }

    /// Whether a party takes messages.
    fn is_present(&self, party: Party) -> bool {
        match self.processes.get(party.index()) {
            Some(process) => process.is_up(),
            None => !self.hostile[party.index() - self.processes.len()].is_silent,
        }
    }

    fn arrive(&mut self, message: Message) -> Outcome {
        let to = message.key.to;
        let is_up = self.is_present(to);
        self.network.arrives(self.now, &message, is_up, &mut self.tally, &mut self.trace, &mut self.watch);
        match self.processes.get(to.index()).map(|process| process.status) {
            None if is_up => {
                self.hostile_hears(&message);
                Ok(())
            }
            None | Some(Status::Absent) => Ok(()),
            Some(Status::Up) => self.deliver(message),
            Some(Status::Down { fault, .. }) => {
                self.fault_took_effect(fault);
                Ok(())
            }
            Some(Status::Left { fault }) => {
                self.fault_took_effect(fault);
                Ok(())
            }
        }
    }

    fn fault_took_effect(&mut self, number: u32) {
        if let Some((_, timed)) = self.plan.faults.iter().find(|(other, _)| *other == number) {
            self.tally.effective_once(number, timed.fault.kind());
        }
    }

    // Hostile peers.

    fn hostile_round(&mut self, index: usize, round: u64) {
        let spec = &self.scenario.hostile[index];
        let until = nanoseconds(spec.until.unwrap_or(self.scenario.duration));
        let party = self.hostile[index].party;
        if self.now >= until || self.is_healing {
            self.hostile[index].is_silent = true;
            let what = format!("{} falls silent", spec.name);
            self.note(self.now, MomentKind::Hostile, what);
            return;
        }
        if round == 0 {
            self.hostile[index].is_silent = false;
            let what = format!("{} begins", spec.name);
            self.note(self.now, MomentKind::Hostile, what);
        }
        let cause = Cause::Hostile { peer: party, round };
        self.trace.entry(self.now, tag::HOSTILE).u16(party.0).u64(round);
        let key = self.choose(Choice::HostileKey, party, cause, 0, (0, hostile::KEYS - 1));
        let made = self.hostile[index].round(round, key, &mut self.inventions.at(cause.number(), 0));
        self.tally.requested(made.act.kind());
        for (cid, bytes) in made.blocks {
            self.poison.insert(cid, made.act.kind());
            self.tell_made(party, cause, cid, &bytes);
            self.ledger.author(party, cid, bytes);
        }
        for payload in &made.announcements {
            self.broadcast(party, cause, payload);
        }
        self.queue.push(self.now + nanoseconds(spec.every), Event::Hostile { peer: index, round: round + 1 });
    }

    fn hostile_hears(&mut self, message: &Message) {
        let peer = &mut self.hostile[message.key.to.index() - self.processes.len()];
        match &message.body {
            Body::Broadcast(payload) if !message.corrupted => peer.hears(payload),
            Body::Request { cid, attempt } => {
                let (cid, attempt) = (*cid, *attempt);
                let body = match peer.answers(&cid) {
                    Answer::Block(bytes) => Body::Block { cid, attempt, bytes },
                    Answer::NotFound => Body::NotFound { cid, attempt },
                    Answer::Silence => return self.tally.effective(FaultKind::EndlessHeads),
                };
                self.send(message.key.to, message.key.from, message.key.cause, body);
            }
            Body::Broadcast(_) | Body::Block { .. } | Body::NotFound { .. } => {}
        }
    }
}
