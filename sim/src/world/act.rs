//! Calling processes, and doing what they want.

use super::{Event, NOBODY_AFTER, Outcome, Status, World, seat::Set};
use crate::{
    choices::{Choice, ChoiceKey},
    engine::{Cause, Time, nanoseconds},
    network::{Body, Outgoing, tag},
    observe::{Blob, Id, What},
    outcome::{MomentKind, OperationKind},
    process::{Act, Answer, Failed, Io, Process, Sync},
    scenario::{DiskFate, FaultKind, Party},
    system::{Pulse, Scene, Stop, System},
    workload::{Action, Operation},
};
use anabranch_core::Write;
use std::time::Duration;

/// The shortest stretch of simulated time by which rounds of a timer are told apart.
const ROUND_MIN: Time = 1_000_000;
/// After how long a process that has stopped is started again.
const RESTARTED_AFTER: Time = 1_000_000_000;
/// How many times as long a sync takes on a slow disk.
const SLOW: Time = 100;

/// Asks a judge: the system with the scene, and notes what it says of the process at hand.
macro_rules! judge {
    ($world:ident, $replica:expr, |$system:ident, $seats:ident, $scene:ident| $ask:expr) => {{
        let mut pulse = Pulse::default();
        let $seats = &$world.seats;
        let $system = &mut $world.system;
        let mut scene = Scene {
            scenario: $world.scenario,
            now: $world.now,
            cause: $world.called.1,
            watch: &mut $world.watch,
            panel: &mut $world.panel,
            trace: &mut $world.trace,
            tally: &mut $world.tally,
            pulse: &mut pulse,
        };
        let $scene = &mut scene;
        let said = $ask;
        $world.feel($replica, pulse);
        said
    }};
}
pub(super) use judge;

impl<S: System> World<'_, S> {
    /// Calls a process, and does what it wants. A call that fails stops it.
    pub(super) fn call(
        &mut self,
        party: Party,
        cause: Cause,
        call: impl FnOnce(&mut S::Process, &mut Io<<S::Process as Process>::Notice>) -> Result<(), Failed>,
    ) -> Outcome {
        let Some(mut io) = self.io.take() else { return Ok(()) };
        self.called = (party, cause);
        io.begin(self.seats[party.index()].clock.shows(self.now), party, cause);
        let called = call(&mut self.seats[party.index()].process, &mut io);
        // Before a process that fails dies of it.
        self.count_harm(party);
        if io.has_looked() {
            self.wrong_clock_showed(party);
        }
        let done = match called {
            Ok(()) => io.acts.drain(..).try_for_each(|(cause, act)| self.act(party, cause, act)),
            Err(failed) => self.fail_stop(party, cause, failed),
        };
        self.io = Some(io);
        done?;
        if self.watch.is_on() {
            judge!(self, party, |system, seats, scene| system.called(party, &seats[party.index()].process, scene));
        }
        self.arrange_sync(party, cause)
    }

    /// What a judge said of a process.
    pub(super) fn feel(&mut self, party: Party, pulse: Pulse) {
        if pulse.progress {
            self.last_progress = self.now;
            self.has_changed = true;
        }
        if let Some(number) = self.seats[party.index()].joined_by.filter(|_| pulse.learned) {
            self.fault_took_effect(number);
        }
    }

    fn act(&mut self, party: Party, cause: Cause, act: Act<<S::Process as Process>::Notice>) -> Outcome {
        match act {
            Act::Send { to, body } if to.index() < self.seats.len() => self.send(party, to, cause, body),
            Act::Send { .. } => {}
            Act::SendToAnyone(body) => match self.anyone(party, cause) {
                Some(to) => self.send(party, to, cause, body),
                None => {
                    let life = self.seats[party.index()].life;
                    let event = Event::Nobody { party, life, body: Box::new(body), cause };
                    self.queue.push(self.now + NOBODY_AFTER, event);
                }
            },
            Act::Started => {
                return judge!(self, party, |system, seats, scene| {
                    system.started(party, &seats[party.index()].process, scene)
                });
            }
            Act::Synced => self.system.synced(party),
            Act::Chose(key, value) => self.tell_choice(&key, value),
            Act::Broadcast(body) => self.broadcast(party, cause, &body),
            Act::Timer { timer, after } => self.set_timer(party, timer, after, cause),
            Act::GoOn => {
                let life = self.seats[party.index()].life;
                let after = nanoseconds(self.scenario.disk.step_delay);
                self.queue.push(self.now + after, Event::GoOn { party, life, cause });
            }
            Act::Answer { operation, answer } => return self.answered(party, cause, operation, &answer),
            Act::Notice(notice) => {
                return judge!(self, party, |system, seats, scene| {
                    system.noticed(party, &seats[party.index()].process, notice, scene)
                });
            }
        }
        Ok(())
    }

    fn answered(&mut self, party: Party, cause: Cause, operation: u64, answer: &Answer) -> Outcome {
        let Some((_, kind)) = self.open.remove(&operation) else { return Ok(()) };
        match answer {
            Answer::Written(blocks) => {
                self.trace.entry(self.now, tag::ACKNOWLEDGE).u64(operation).u64(blocks.len() as u64);
                self.watch.tell(self.now, Some(party), Some(cause), || What::Acknowledged {
                    number: operation,
                    blocks: blocks.iter().copied().map(Id).collect(),
                });
            }
            Answer::Value(value) => {
                let entry = self.trace.entry(self.now, tag::READ).u64(operation).u8(u8::from(value.is_some()));
                entry.bytes(value.as_deref().unwrap_or_default());
            }
            Answer::Refused(why) => {
                self.trace.entry(self.now, tag::REFUSE).u64(operation).bytes(why.as_bytes());
                self.watch
                    .tell(self.now, Some(party), Some(cause), || What::Refused { number: operation, why: why.clone() });
            }
        }
        let count = self.count(kind);
        if matches!(answer, Answer::Refused(_)) {
            count.refused += 1;
        } else {
            count.done += 1;
        }
        judge!(self, party, |system, _seats, scene| system.answered(party, operation, answer, scene))
    }

    /// Sees to it that there is a sync where one is wanted.
    fn arrange_sync(&mut self, party: Party, cause: Cause) -> Outcome {
        let seat = &mut self.seats[party.index()];
        match seat.process.wants_sync() {
            Sync::Not => Ok(()),
            Sync::Now => self.sync(party),
            Sync::Soon if seat.sync_is_set || !seat.is_up() => Ok(()),
            Sync::Soon => {
                seat.sync_is_set = true;
                let life = seat.life;
                let (least, most) = self.scenario.disk.sync_delay;
                let delay = self.choose(Choice::Sync, party, cause, 0, (nanoseconds(least), nanoseconds(most)));
                let slow = self.seats[party.index()].slow_disk().filter(|_| delay > 0);
                let delay = if slow.is_some() { delay * SLOW } else { delay };
                if let Some(number) = slow {
                    self.tally.effective_once(number, FaultKind::SlowDisk);
                }
                self.queue.push(self.now + delay, Event::Sync { party, life });
                Ok(())
            }
        }
    }

    /// Syncs the disk of a process, which lets out what waited for it.
    pub(super) fn sync(&mut self, party: Party) -> Outcome {
        let seat = &mut self.seats[party.index()];
        if !seat.is_up() {
            return Ok(());
        }
        seat.sync_is_set = false;
        let (commits, life) = (seat.process.unsynced(), seat.life);
        self.trace.entry(self.now, tag::SYNC).u16(party.0).u64(commits);
        self.call(party, self.called.1, |process, io| {
            io.act(Act::Synced);
            process.sync(io)
        })?;
        // It may have died of that very sync.
        if self.seats[party.index()].life == life {
            self.watch.tell(self.now, Some(party), None, || What::Synced { commits });
        }
        Ok(())
    }

    pub(super) fn send(&mut self, from: Party, to: Party, cause: Cause, body: Body) {
        let receiver_is_up = self.is_present(to);
        let outgoing = Outgoing { at: self.now, from, to, cause, body, receiver_is_up };
        let arrivals = self.network.send(outgoing, &mut self.tally, &mut self.trace, &mut self.watch);
        for (at, message) in arrivals.into_iter().flatten() {
            self.queue.push(at, Event::Arrive(Box::new(message)));
        }
    }

    /// Sends to all whom the sender has reason to think there.
    fn broadcast(&mut self, from: Party, cause: Cause, body: &Body) {
        for to in self.parties().filter(|to| *to != from) {
            let is_member = match self.seats[to.index()].status {
                Status::Absent => false,
                _ => self.scenario.is_replica(to) || self.is_present(to),
            };
            if is_member {
                self.send(from, to, cause, body.clone());
            }
        }
    }

    /// A party drawn from those that are there.
    fn anyone(&mut self, party: Party, cause: Cause) -> Option<Party> {
        let present: Vec<Party> = self.parties().filter(|other| *other != party && self.is_present(*other)).collect();
        let seat = &mut self.seats[party.index()];
        seat.asked_anyone += 1;
        let key = ChoiceKey { choice: Choice::Peer, party, cause, n: seat.asked_anyone };
        let chosen = self.choices.among(&key, &present)?;
        self.tell_choice(&key, chosen.0.into());
        Some(chosen)
    }

    fn set_timer(&mut self, party: Party, timer: u8, after: (Duration, Duration), cause: Cause) {
        let (least, most) = (nanoseconds(after.0), nanoseconds(after.1));
        let cause = match cause {
            Cause::Hostile { peer, round } if peer == party => Cause::Hostile { peer, round: round + 1 },
            _ if !self.scenario.is_replica(party) => Cause::Hostile { peer: party, round: 1 },
            _ => {
                let round = self.now / least.max(most / 4).max(ROUND_MIN);
                Cause::Timer { replica: party, timer, round }
            }
        };
        let drawn = self.choose(Choice::Timer, party, cause, 0, (least, most));
        let seat = &mut self.seats[party.index()];
        let after = seat.clock.takes(drawn);
        let skewed_by = seat.clock.wrong_by().filter(|_| after != drawn);
        self.arm(party, timer, self.now + after, cause, skewed_by);
    }

    /// Sets a timer, or sets it anew.
    pub(super) fn arm(&mut self, party: Party, timer: u8, due: Time, cause: Cause, skewed_by: Option<u32>) {
        let seat = &mut self.seats[party.index()];
        seat.timers_set += 1;
        let number = seat.timers_set;
        seat.timers.insert(timer, Set { due, number, cause, skewed_by });
        self.queue.push(due, Event::Timer { party, life: seat.life, timer, number });
    }

    /// A process has failed. Where nothing was made to fail, the run ends; else it has stopped, and is started again: on a new disk where the
    /// old one is damaged.
    fn fail_stop(&mut self, party: Party, cause: Cause, failed: Failed) -> Outcome {
        if !failed.by_fault {
            return Err(Stop::Process { replica: party, why: failed.why });
        }
        let what = format!("{} stops: {}", self.name(party), failed.why.lines().next().unwrap_or_default());
        self.note(self.now, MomentKind::Crashed, what);
        let fate = if failed.is_damaged { DiskFate::Wiped } else { DiskFate::Stays };
        self.dies(party, cause, fate);
        Ok(())
    }

    /// A process dies of its disk, and will be started again.
    pub(super) fn dies(&mut self, party: Party, cause: Cause, fate: DiskFate) {
        let loss = self.stop(party, cause, fate);
        self.trace
            .entry(self.now, tag::CRASH)
            .u16(party.0)
            .u64(loss.unsynced)
            .u64(loss.kept)
            .u8(u8::from(loss.is_disk));
        let until = self.now + RESTARTED_AFTER;
        self.seats[party.index()].status = Status::Down { fault: None, until };
        let life = self.seats[party.index()].life;
        self.queue.push(until, Event::Restart { party, life, cause });
    }

    /// Counts what disks have done.
    pub(super) fn count_harm(&mut self, party: Party) {
        for (kind, made_a_difference) in self.seats[party.index()].process.take_harmed() {
            self.tally.requested(kind);
            if made_a_difference {
                self.tally.effective(kind);
            }
        }
    }

    /// Counts an operation that gets no answer any more.
    pub(super) fn forget_operations_of(&mut self, party: Party) {
        let lost: Vec<u64> = self.open.iter().filter(|(_, (by, _))| *by == party).map(|(number, _)| *number).collect();
        let kinds: Vec<OperationKind> =
            lost.iter().filter_map(|number| self.open.remove(number)).map(|(_, kind)| kind).collect();
        kinds.into_iter().for_each(|kind| self.count(kind).unknown += 1);
    }

    pub(super) fn fault_took_effect(&mut self, number: u32) {
        if let Some((_, timed)) = self.plan.faults.iter().find(|(other, _)| *other == number) {
            self.tally.effective_once(number, timed.fault.kind());
        }
    }

    /// A number that the scenario leaves open, from the first to the second, both included.
    pub(super) fn choose(&mut self, choice: Choice, party: Party, cause: Cause, n: u64, range: (u64, u64)) -> u64 {
        let key = ChoiceKey { choice, party, cause, n };
        let value = self.choices.between(&key, range.0, range.1);
        self.tell_choice(&key, value);
        value
    }

    fn tell_choice(&mut self, key: &ChoiceKey, value: u64) {
        let ChoiceKey { choice, party, cause, n } = *key;
        self.watch.tell(self.now, Some(party), Some(cause), || What::Chose { choice, n, value });
    }

    pub(super) fn tell_operation(&mut self, operation: &Operation, is_up: bool) {
        let Operation { index, replica, action, .. } = operation;
        self.watch.tell(self.now, Some(*replica), Some(Cause::Operation(*index)), || {
            let (dag, writes) = match action {
                Action::Get(key) => (String::new(), vec![(key.to_string(), None)]),
                Action::Write(_, batch) => (batch.dag.to_string(), batch.writes.iter().map(written).collect()),
            };
            What::Operation { number: *index, kind: action.kind(), dag, writes, is_up }
        });
    }

    pub(super) fn tell_objection(&mut self, outcome: &Outcome) {
        let Err(Stop::Broken(violation)) = outcome else { return };
        self.watch.tell(self.now, violation.replica, None, || What::Objected {
            oracle: violation.oracle,
            message: violation.message.clone(),
        });
    }

    /// A process has looked at its clock. What makes that wrong has taken effect.
    fn wrong_clock_showed(&mut self, party: Party) {
        let faults = self.seats[party.index()].clock.off_by(self.now);
        faults.into_iter().for_each(|number| self.fault_took_effect(number));
    }

    /// A clock that is wrong showed.
    pub(super) fn skew_took_effect(&mut self, number: u32) {
        self.tally.effective_once(number, FaultKind::Skew);
    }
}

fn written(write: &Write) -> (String, Option<Blob>) {
    match write {
        Write::Put(key, value) => (key.to_string(), Some(Blob(value.to_vec()))),
        Write::Delete(key) => (key.to_string(), None),
    }
}
