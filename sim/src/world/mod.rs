//! The simulated world: replicas, hostile peers, the network, and the loop that moves them.

mod act;
mod clock;
mod faults;
mod report;
mod seat;

use crate::{
    choices::Choices,
    engine::{Cause, Key, Queue, Time, Trace, nanoseconds},
    network::{Body, Message, Network, tag},
    observe::{Observer, Watch, What},
    oracles::Panel,
    outcome::{Moment, MomentKind, OperationCount, OperationKind, RunReport, Sample},
    plan::Plan,
    process::{Io, Process},
    scenario::{Crash, DiskFate, Fault, FaultKind, Party, Scenario},
    system::{Pulse, Scene, Stop, System},
    tally::Tally,
    workload::{Operation, Operations},
};
use act::judge;
use seat::{Seat, Status};
use std::collections::BTreeMap;

/// After sending to anyone when no one is there, the process is told so.
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
        party: Party,
        life: u32,
        timer: u8,
        /// Which setting of it.
        number: u64,
    },
    GoOn {
        party: Party,
        life: u32,
        cause: Cause,
    },
    Sync {
        party: Party,
        life: u32,
    },
    /// A process that stopped because of its disk is started again.
    Restart {
        party: Party,
        life: u32,
        cause: Cause,
    },
    /// There was nobody to send this to.
    Nobody {
        party: Party,
        life: u32,
        body: Box<Body>,
        cause: Cause,
    },
    /// The fault at this place of the plan begins.
    Fault(usize),
    /// It ends, or its victim restarts.
    FaultEnds(usize),
    /// The replica of the fault at this place of the plan stores a backup.
    Backup(usize),
    /// The hostile peer of this number begins, or falls silent.
    Hostile {
        peer: usize,
        begins: bool,
    },
    Sample,
    Look(u64),
    FaultsEnd,
}

type Outcome = Result<(), Stop>;

/// Everything there is in a run.
pub(crate) struct World<'a, S: System> {
    scenario: &'a Scenario,
    seed: u64,
    plan: Plan,
    choices: Choices,
    operations: Operations<'a>,
    /// How often each cause has stopped a replica.
    stops: BTreeMap<(Party, Cause), u64>,
    /// From this number on none is in the queue or behind it, but one.
    operations_from: u64,
    now: Time,
    queue: Queue<Event>,
    trace: Trace,
    network: Network,
    system: S,
    /// Replicas, and hostile peers after them.
    seats: Vec<Seat<S::Process>>,
    panel: Panel,
    tally: Tally,
    counts: BTreeMap<OperationKind, OperationCount>,
    /// Operations that are not answered.
    open: BTreeMap<u64, (Party, OperationKind)>,
    events: u64,
    /// The simulated second, and how many events there were when it began.
    second: (u64, u64),
    /// Who was called last, and what for.
    called: (Party, Cause),
    is_healing: bool,
    last_progress: Time,
    /// Something was merged, or someone came, since convergence was last looked for.
    has_changed: bool,
    converged_at: Option<Time>,
    timeline: Vec<Moment>,
    samples: Vec<Sample>,
    /// Kept to spare allocations; in use during a call.
    io: Option<Io<<S::Process as Process>::Notice>>,
    watch: Watch<'a>,
}

impl<'a, S: System> World<'a, S> {
    pub(crate) fn new(
        mut system: S,
        scenario: &'a Scenario,
        seed: u64,
        plan: Plan,
        observer: &'a mut dyn Observer,
    ) -> Self {
        let root = Key::of_seed(seed);
        let seat = |index: usize| {
            let joins_later = scenario.replicas.get(index).is_none_or(|replica| replica.joins_at.is_some());
            Seat::new(system.process(Party(u16::try_from(index).unwrap_or(u16::MAX))), joins_later)
        };
        let seats = (0..scenario.parties()).map(seat).collect();
        let choices = match &scenario.explicit {
            Some(explicit) => Choices::Listed(explicit.choices.clone()),
            None => Choices::drawn(&root),
        };
        let kinds = [OperationKind::Put, OperationKind::Delete, OperationKind::Batch, OperationKind::Get];
        Self {
            scenario,
            seed,
            choices: choices.clone(),
            operations: Operations::new(scenario, &root),
            stops: BTreeMap::new(),
            operations_from: 0,
            now: 0,
            queue: Queue::new(),
            trace: Trace::new(),
            network: Network::new(scenario, &root),
            system,
            seats,
            panel: Panel::new(scenario.suspensions()),
            tally: Tally::new(scenario, &plan),
            plan,
            counts: kinds.map(|kind| (kind, OperationCount::default())).into(),
            open: BTreeMap::new(),
            events: 0,
            second: (0, 0),
            called: (Party(0), Cause::Start),
            is_healing: false,
            last_progress: 0,
            has_changed: false,
            converged_at: None,
            timeline: Vec::new(),
            samples: Vec::new(),
            io: Some(Io::new(choices)),
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
        let (replica, cause) = self.called;
        Err(Stop::Storm { replica, cause })
    }

    /// Starts everyone, and puts the plan into the queue.
    fn begin(&mut self) -> Outcome {
        for replica in self.replicas() {
            if self.seats[replica.index()].is_up() {
                self.start(replica, Cause::Start)?;
            }
        }
        let duration = nanoseconds(self.scenario.duration);
        for (index, (_, timed)) in self.plan.faults.iter().enumerate() {
            self.queue.push(nanoseconds(timed.at), Event::Fault(index));
            if let Fault::Crash(Crash { disk: DiskFate::RolledBack(at), .. }) = timed.fault {
                self.queue.push(nanoseconds(at), Event::Backup(index));
            }
        }
        for (peer, hostile) in self.scenario.hostile.iter().enumerate() {
            self.queue.push(nanoseconds(hostile.from), Event::Hostile { peer, begins: true });
            let until = nanoseconds(hostile.until.unwrap_or(self.scenario.duration));
            self.queue.push(until, Event::Hostile { peer, begins: false });
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
        // One whose process stands still waits, or is lost; the others go on.
        if let Event::Operation(operation) = &event
            && operation.index >= self.operations_from
        {
            self.schedule_operation(operation.index + 1);
        }
        let Some(event) = self.unless_paused(event) else { return Ok(()) };
        match event {
            Event::Operation(operation) => self.operate(*operation),
            Event::Arrive(message) => self.arrive(*message),
            Event::Timer { party, life, timer, number } if self.lives(party, life) => {
                let seat = &mut self.seats[party.index()];
                let Some(set) = seat.timers.get(&timer).copied().filter(|set| set.number == number) else {
                    return Ok(());
                };
                seat.timers.remove(&timer);
                self.trace.entry(self.now, tag::TIMER).u16(party.0).u64(set.cause.number());
                self.watch.tell(self.now, Some(party), Some(set.cause), || What::Timer);
                if let Some(number) = set.skewed_by {
                    self.skew_took_effect(number);
                }
                self.call(party, set.cause, |process, io| process.timer(timer, io))
            }
            Event::GoOn { party, life, cause } if self.lives(party, life) => {
                self.trace.entry(self.now, tag::CONTINUE).u16(party.0).u64(cause.number());
                self.call(party, cause, |process, io| process.go_on(io))
            }
            Event::Sync { party, life } if self.lives(party, life) => self.sync(party),
            Event::Nobody { party, life, body, cause } if self.lives(party, life) => {
                self.call(party, cause, |process, io| process.nobody(*body, io))
            }
            Event::Timer { .. } | Event::GoOn { .. } | Event::Sync { .. } | Event::Nobody { .. } => Ok(()),
            Event::Backup(index) => {
                if let Fault::Crash(Crash { replica, disk: DiskFate::RolledBack(at), .. }) =
                    self.plan.faults[index].1.fault
                {
                    self.seats[replica.index()].process.backup(at);
                }
                Ok(())
            }
            Event::Restart { party, life, cause } if self.seats[party.index()].life == life => {
                self.restart(party, cause)
            }
            Event::Restart { .. } => Ok(()),
            Event::Fault(index) => self.fault_begins(index),
            Event::FaultEnds(index) => self.fault_ends(index),
            Event::Hostile { peer, begins } => self.hostile(peer, begins),
            Event::Sample => {
                self.sample();
                Ok(())
            }
            Event::Look(number) => self.look(number),
            Event::FaultsEnd => self.end_faults(),
        }
    }

    /// The event, unless its process stands still: then it waits.
    fn unless_paused(&mut self, event: Event) -> Option<Event> {
        let party = match &event {
            Event::Operation(operation) => operation.replica,
            Event::Arrive(message) => message.to,
            Event::Timer { party, .. }
            | Event::GoOn { party, .. }
            | Event::Sync { party, .. }
            | Event::Nobody { party, .. } => *party,
            _ => return Some(event),
        };
        let seat = &mut self.seats[party.index()];
        let Some((number, waiting)) = &mut seat.paused else { return Some(event) };
        self.tally.effective_once(*number, FaultKind::Pause);
        waiting.push(event);
        None
    }

    /// Whether the process is up, and in this life of it.
    fn lives(&self, party: Party, life: u32) -> bool {
        let seat = &self.seats[party.index()];
        seat.is_up() && seat.life == life
    }

    fn replicas(&self) -> impl Iterator<Item = Party> + use<S> {
        (0..u16::try_from(self.scenario.replicas.len()).unwrap_or(u16::MAX)).map(Party)
    }

    fn parties(&self) -> impl Iterator<Item = Party> + use<S> {
        (0..u16::try_from(self.seats.len()).unwrap_or(u16::MAX)).map(Party)
    }

    /// Whether a party takes messages.
    fn is_present(&self, party: Party) -> bool {
        self.seats[party.index()].is_up()
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
        self.operations_from = from;
        if let Some(operation) = self.operations.next(from, &self.plan.without) {
            self.queue.push(operation.at, Event::Operation(Box::new(operation)));
        }
    }

    fn operate(&mut self, operation: Operation) -> Outcome {
        let index = operation.index;
        let kind = operation.action.kind();
        let replica = operation.replica;
        let is_up = self.is_present(replica);
        self.tell_operation(&operation, is_up);
        self.trace.entry(self.now, tag::OPERATION).u64(index).u16(replica.0).u8(u8::from(is_up));
        self.count(kind).requested += 1;
        if !is_up {
            self.count(kind).unavailable += 1;
            return Ok(());
        }
        self.open.insert(index, (replica, kind));
        self.system.asked(replica, index, &operation.action);
        self.call(replica, Cause::Operation(index), |process, io| process.operate(index, operation.action, io))
    }

    fn count(&mut self, kind: OperationKind) -> &mut OperationCount {
        self.counts.entry(kind).or_default()
    }

    // Messages.

    fn arrive(&mut self, message: Message) -> Outcome {
        let to = message.to;
        let is_up = self.is_present(to);
        self.network.arrives(self.now, &message, is_up, &mut self.tally, &mut self.trace, &mut self.watch);
        match self.seats[to.index()].status {
            Status::Absent => {}
            Status::Up => {
                if self.scenario.is_replica(to) {
                    let harms = [(message.flipped, FaultKind::Corrupt), (message.cut, FaultKind::Truncate)];
                    harms.into_iter().filter(|(is_done, _)| *is_done).for_each(|(_, kind)| self.tally.effective(kind));
                }
                let Message { key, body, .. } = message;
                return self.call(to, key.cause, |process, io| process.receive(key.from, body, io));
            }
            Status::Down { fault, .. } | Status::Left { fault } => {
                if let Some(number) = fault {
                    self.fault_took_effect(number);
                }
            }
        }
        Ok(())
    }

    /// A hostile peer begins, or falls silent and serves nothing any more.
    fn hostile(&mut self, index: usize, begins: bool) -> Outcome {
        let party = Party(u16::try_from(self.scenario.replicas.len() + index).unwrap_or(u16::MAX));
        let name = self.name(party).to_owned();
        if begins {
            self.seats[party.index()].status = Status::Up;
            self.note(self.now, MomentKind::Hostile, format!("{name} begins"));
            let cause = Cause::Hostile { peer: party, round: 0 };
            self.trace.entry(self.now, tag::HOSTILE).u16(party.0).u64(0);
            return self.call(party, cause, |process, io| process.start(io));
        }
        if self.is_present(party) {
            self.seats[party.index()].status = Status::Left { fault: None };
            self.note(self.now, MomentKind::Hostile, format!("{name} falls silent"));
        }
        Ok(())
    }

    // Judges.

    /// The replicas that are up, with their processes.
    fn up(&self) -> Vec<(Party, &S::Process)> {
        up(self.scenario, &self.seats)
    }

    /// Looks at one replica in the midst of things.
    fn look(&mut self, number: u64) -> Outcome {
        let count = self.scenario.replicas.len() as u64;
        let turn = (0..count).map(|step| ((number * count / LOOKS + step) % count) as usize);
        let found = turn.filter_map(|index| u16::try_from(index).ok()).map(Party).find(|party| self.is_present(*party));
        found.map_or(Ok(()), |replica| self.look_at(replica))
    }

    fn look_at(&mut self, replica: Party) -> Outcome {
        judge!(self, replica, |system, seats, scene| system.look(replica, &seats[replica.index()].process, scene))
    }

    fn judge_all(&mut self) -> Outcome {
        let scenario = self.scenario;
        judge!(self, Party(0), |system, seats, scene| system.judge(&up(scenario, seats), scene))
    }

    /// All have come to the same: everything is made durable, and looked at.
    fn judge_end(&mut self) -> Outcome {
        for replica in self.replicas() {
            self.sync(replica)?;
        }
        self.judge_all()
    }

    fn agree(&mut self) -> bool {
        self.has_changed = false;
        self.system.agree(&up(self.scenario, &self.seats))
    }
}

fn up<'p, P>(scenario: &Scenario, seats: &'p [Seat<P>]) -> Vec<(Party, &'p P)> {
    let replicas = seats.iter().take(scenario.replicas.len()).zip(0..);
    replicas.filter(|(seat, _)| seat.is_up()).map(|(seat, number)| (Party(number), &seat.process)).collect()
}
