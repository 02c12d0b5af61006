//! Faults that begin and end, and replicas that come and go.

use super::{Event, Outcome, Pulse, Scene, Status, World, judge};
use crate::{
    choices::Choice,
    engine::{Cause, Key, nanoseconds},
    network::tag,
    observe::What,
    outcome::MomentKind,
    process::{Act, Loss, Process},
    scenario::{Crash, DiskFate, Fault, Partition, PartitionMode, Party},
    system::System,
};

impl<S: System> World<'_, S> {
    pub(super) fn fault_begins(&mut self, index: usize) -> Outcome {
        let (number, timed) = self.plan.faults[index].clone();
        let kind = timed.fault.kind();
        self.tally.requested(kind);
        self.watch.tell(self.now, None, Some(Cause::Fault(number)), || What::FaultBegins { number });
        match timed.fault {
            Fault::Partition(partition) => {
                self.trace.entry(self.now, tag::PART).u64(number.into());
                self.note(self.now, MomentKind::Parted, describe(&partition));
                self.network.part(number, kind, &partition);
                self.queue.push(nanoseconds(partition.until), Event::FaultEnds(index));
                Ok(())
            }
            Fault::Crash(crash) => self.crash(index, number, crash),
            Fault::Join { replica } => {
                let seat = &mut self.seats[replica.index()];
                seat.status = Status::Up;
                seat.joined_by = Some(number);
                let what = format!("{} joins", self.name(replica));
                self.note(self.now, MomentKind::Joined, what);
                self.start(replica, Cause::Fault(number))
            }
            Fault::Leave { replica } => {
                self.trace.entry(self.now, tag::LEAVE).u16(replica.0);
                self.stop(replica, Cause::Fault(number), DiskFate::Stays);
                self.seats[replica.index()].status = Status::Left { fault: Some(number) };
                self.has_changed = true;
                let what = format!("{} leaves", self.name(replica));
                self.note(self.now, MomentKind::Left, what);
                Ok(())
            }
            Fault::Skew(skew) => {
                self.trace.entry(self.now, tag::CLOCK).u64(number.into());
                let what = format!(
                    "{}'s clock goes {} times as fast, {:?} late",
                    self.name(skew.replica),
                    skew.speed,
                    skew.late
                );
                self.note(self.now, MomentKind::Clock, what);
                self.queue.push(nanoseconds(skew.until), Event::FaultEnds(index));
                self.seats[skew.replica.index()].clock = Some((number, skew));
                Ok(())
            }
        }
    }

    pub(super) fn fault_ends(&mut self, index: usize) -> Outcome {
        let (number, timed) = &self.plan.faults[index];
        let number = *number;
        self.watch.tell(self.now, None, Some(Cause::Fault(number)), || What::FaultEnds { number });
        match &timed.fault {
            Fault::Partition(partition) => {
                let groups: Vec<&str> = partition.groups.iter().map(|group| group.name.as_str()).collect();
                let what = format!("{} meet again", groups.join(" | "));
                if self.network.is_parted(number) {
                    self.heal(number, what);
                }
                Ok(())
            }
            Fault::Crash(crash) => self.restart(crash.replica, Cause::Fault(number)),
            Fault::Skew(skew) => {
                let replica = skew.replica;
                self.clock_is_right(replica, number);
                Ok(())
            }
            Fault::Join { .. } | Fault::Leave { .. } => Ok(()),
        }
    }

    fn heal(&mut self, number: u32, what: String) {
        self.trace.entry(self.now, tag::HEAL).u64(number.into());
        self.note(self.now, MomentKind::Healed, what);
        for (after, message) in self.network.heal(number) {
            self.queue.push(self.now + after, Event::Arrive(Box::new(message)));
        }
    }

    fn clock_is_right(&mut self, replica: Party, number: u32) {
        let seat = &mut self.seats[replica.index()];
        if seat.clock.as_ref().is_some_and(|(by, _)| *by == number) {
            seat.clock = None;
            self.trace.entry(self.now, tag::CLOCK).u64(number.into());
            let what = format!("{}'s clock is right again", self.name(replica));
            self.note(self.now, MomentKind::Clock, what);
        }
    }

    /// A process ends: what is volatile is gone, and of its disk what the fault says.
    fn stop(&mut self, replica: Party, cause: Cause, fate: DiskFate) -> Loss {
        let unsynced = self.seats[replica.index()].process.unsynced();
        let kept = self.choose(Choice::Kept, replica, cause, 0, (0, unsynced));
        let harm = self.choose(Choice::Harm, replica, cause, 0, (0, u64::MAX));
        let seat = &mut self.seats[replica.index()];
        seat.life += 1;
        seat.sync_is_set = false;
        let loss = seat.process.crash(fate, kept, &mut Key::of_seed(harm).at(0, 0));
        self.forget_operations_of(replica);
        judge!(self, replica, |system, _seats, scene| system.crashed(replica, &loss, scene));
        loss
    }

    fn crash(&mut self, index: usize, number: u32, crash: Crash) -> Outcome {
        let Crash { replica, down, disk } = crash;
        if !self.is_present(replica) {
            return Ok(());
        }
        let loss = self.stop(replica, Cause::Fault(number), disk);
        let until = self.now + nanoseconds(down);
        self.seats[replica.index()].status = Status::Down { fault: Some(number), until };
        let Loss { unsynced, kept, .. } = loss;
        self.watch.tell(self.now, Some(replica), Some(Cause::Fault(number)), || What::Crashed {
            kept,
            lost: unsynced - kept,
            wiped: disk == DiskFate::Wiped,
        });
        self.trace.entry(self.now, tag::CRASH).u16(replica.0).u64(unsynced).u64(kept).u8(disk as u8);
        if loss.is_any() {
            self.fault_took_effect(number);
        }
        self.queue.push(until, Event::FaultEnds(index));
        let loss = match (disk, unsynced - kept) {
            (DiskFate::Wiped, _) => String::from(" and loses its disk"),
            (DiskFate::Stays, 0) => String::new(),
            (DiskFate::Stays, lost) => format!(" and loses {lost} of {unsynced} unsynced commits"),
        };
        let what = format!("{} crashes{loss}", self.name(replica));
        self.note(self.now, MomentKind::Crashed, what);
        Ok(())
    }

    fn restart(&mut self, replica: Party, cause: Cause) -> Outcome {
        let seat = &mut self.seats[replica.index()];
        if !matches!(seat.status, Status::Down { .. }) {
            return Ok(());
        }
        seat.status = Status::Up;
        let what = format!("{} is back", self.name(replica));
        self.note(self.now, MomentKind::Restarted, what);
        self.start(replica, cause)?;
        self.look_at(replica)
    }

    /// Starts a process on the disk that it has.
    pub(super) fn start(&mut self, replica: Party, cause: Cause) -> Outcome {
        self.trace.entry(self.now, tag::START).u16(replica.0).u64(cause.number());
        self.has_changed = true;
        self.call(replica, cause, |process, io| {
            io.act(Act::Started);
            process.start(io)
        })
    }

    /// The second phase: no more faults, no more operations, and everyone is there who has not left.
    pub(super) fn end_faults(&mut self) -> Outcome {
        self.trace.entry(self.now, tag::PHASE);
        self.note(self.now, MomentKind::FaultsEnd, String::from("faults end"));
        self.is_healing = true;
        self.last_progress = self.now;
        self.has_changed = true;
        for index in 0..self.scenario.hostile.len() {
            self.hostile(index, false)?;
        }
        self.network.end_faults();
        for index in 0..self.plan.faults.len() {
            // Both do nothing where the fault has ended by itself.
            if matches!(self.plan.faults[index].1.fault, Fault::Partition(_) | Fault::Skew(_)) {
                self.fault_ends(index)?;
            }
        }
        for replica in self.replicas() {
            if matches!(self.seats[replica.index()].status, Status::Down { .. }) {
                self.restart(replica, Cause::Heal)?;
            }
        }
        self.judge_all()
    }
}

fn describe(partition: &Partition) -> String {
    let groups: Vec<&str> = partition.groups.iter().map(|group| group.name.as_str()).collect();
    let held = if partition.mode == PartitionMode::Hold { ", messages held" } else { "" };
    match partition.one_way {
        Some((from, to)) => format!("{} cannot reach {}{held}", groups[from], groups[to]),
        None => format!("{} part{held}", groups.join(" | ")),
    }
}
