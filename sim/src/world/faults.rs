//! Faults that begin and end, and replicas that come and go.

use super::{Event, Failure, Outcome, Status, World};
use crate::{
    choices::Choice,
    disk::SimDisk,
    engine::{Cause, nanoseconds},
    network::tag,
    observe::What,
    outcome::MomentKind,
    scenario::{Crash, Fault, Partition, PartitionMode, Party},
};
use anabranch_core::Replica;

impl World<'_> {
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
                let process = &mut self.processes[replica.index()];
                process.status = Status::Up;
                process.joined_by = Some(number);
                let what = format!("{} joins", self.name(replica));
                self.note(self.now, MomentKind::Joined, what);
                self.start(replica, Cause::Fault(number))
            }
            Fault::Leave { replica } => {
                self.trace.entry(self.now, tag::LEAVE).u16(replica.0);
                self.stop(replica);
                self.processes[replica.index()].status = Status::Left { fault: number };
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
                self.processes[skew.replica.index()].clock = Some((number, skew));
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
        let process = &mut self.processes[replica.index()];
        if process.clock.as_ref().is_some_and(|(by, _)| *by == number) {
            process.clock = None;
            self.trace.entry(self.now, tag::CLOCK).u64(number.into());
            let what = format!("{}'s clock is right again", self.name(replica));
            self.note(self.now, MomentKind::Clock, what);
        }
    }

    /// A process ends: what is volatile is gone. Gives what its disk still holds unsynced.
    fn stop(&mut self, replica: Party) {
        let process = &mut self.processes[replica.index()];
        process.life += 1;
        process.held.clear();
        (process.sync_is_set, process.continue_is_set) = (false, false);
        if let Some(core) = process.core.take() {
            process.disk = core.into_store();
        }
        let lost: Vec<u64> = self.open.iter().filter(|(_, (by, _))| *by == replica).map(|(index, _)| *index).collect();
        for index in lost {
            if let Some((_, kind)) = self.open.remove(&index) {
                self.count(kind).unknown += 1;
            }
        }
    }

    fn crash(&mut self, index: usize, number: u32, crash: Crash) -> Outcome {
        let Crash { replica, down, wipe_disk } = crash;
        let process = &self.processes[replica.index()];
        if !process.is_up() {
            return Ok(());
        }
        let stats = process.core.as_ref().map(Replica::stats).unwrap_or_default();
        let was_busy = !process.held.is_empty() || stats.fetches > 0 || stats.rumours > 0;
        self.stop(replica);
        let unsynced = self.processes[replica.index()].disk.unsynced() as u64;
        let kept = self.choose(Choice::Kept, replica, Cause::Fault(number), 0, (0, unsynced));
        let process = &mut self.processes[replica.index()];
        let lost = process.disk.crash(usize::try_from(kept).unwrap_or(usize::MAX));
        let wiped_rows = if wipe_disk { process.disk.rows() } else { 0 };
        if wipe_disk {
            process.disk = SimDisk::new();
            process.was_wiped = true;
        }
        let until = self.now + nanoseconds(down);
        process.status = Status::Down { fault: number, until };
        self.trace.entry(self.now, tag::CRASH).u16(replica.0).u64(unsynced).u64(kept).u8(u8::from(wipe_disk));
        self.watch.tell(self.now, Some(replica), Some(Cause::Fault(number)), || What::Crashed {
            kept,
            lost: lost as u64,
            wiped: wipe_disk,
        });
        if if wipe_disk { wiped_rows > 0 } else { lost > 0 || was_busy } {
            self.fault_took_effect(number);
        }
        self.queue.push(until, Event::FaultEnds(index));
        let loss = match (wipe_disk, lost) {
            (true, _) => String::from(" and loses its disk"),
            (false, 0) => String::new(),
            (false, lost) => format!(" and loses {lost} of {unsynced} unsynced commits"),
        };
        let what = format!("{} crashes{loss}", self.name(replica));
        self.note(self.now, MomentKind::Crashed, what);
        Ok(())
    }

    fn restart(&mut self, replica: Party, cause: Cause) -> Outcome {
        let process = &mut self.processes[replica.index()];
        if !matches!(process.status, Status::Down { .. }) {
            return Ok(());
        }
        process.status = Status::Up;
        let what = format!("{} is back", self.name(replica));
        self.note(self.now, MomentKind::Restarted, what);
        self.start(replica, cause)?;
        self.judge_replica(replica)
    }

    /// Opens a replica on the disk that it has.
    pub(super) fn start(&mut self, replica: Party, cause: Cause) -> Outcome {
        self.trace.entry(self.now, tag::START).u16(replica.0).u64(cause.number());
        let process = &mut self.processes[replica.index()];
        let disk = std::mem::take(&mut process.disk);
        let mut effects = Vec::new();
        let core = Replica::open(disk, self.scenario.core.clone(), &mut effects);
        let core = core.map_err(|error| Failure::Replica { replica, error })?;
        let more = core.progress() == anabranch_core::Progress::More;
        process.core = Some(core);
        let life = process.life;
        self.tell_started(replica, cause);
        self.judge_reopened(replica)?;
        self.has_changed = true;
        if more {
            self.processes[replica.index()].continue_is_set = true;
            self.queue.push(self.now + super::CONTINUE_AFTER, Event::Continue { replica, life, cause });
        }
        self.carry_out(replica, cause, &mut effects)
    }

    /// The second phase: no more faults, no more operations, and everyone is there who has not left.
    pub(super) fn end_faults(&mut self) -> Outcome {
        self.trace.entry(self.now, tag::PHASE);
        self.note(self.now, MomentKind::FaultsEnd, String::from("faults end"));
        self.is_healing = true;
        self.last_progress = self.now;
        self.has_changed = true;
        for index in 0..self.hostile.len() {
            self.hostile[index].is_silent = true;
        }
        self.network.end_faults();
        for index in 0..self.plan.faults.len() {
            // Both do nothing where the fault has ended by itself.
            if matches!(self.plan.faults[index].1.fault, Fault::Partition(_) | Fault::Skew(_)) {
                self.fault_ends(index)?;
            }
        }
        for replica in self.replicas() {
            if matches!(self.processes[replica.index()].status, Status::Down { .. }) {
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
