//! Faults that begin and end, and replicas that come and go.

use super::{Event, Outcome, Pulse, Scene, Status, World, judge};
use crate::{
    choices::Choice,
    engine::{Cause, Key, nanoseconds},
    network::tag,
    observe::What,
    outcome::MomentKind,
    process::{Act, Loss, Process},
    scenario::{
        Crash, DiskFate, DiskHarm, Fault, Harm, Jump, Leave, Operator, OperatorAct, Partition, PartitionMode, Party,
    },
    system::System,
};
use anabranch_core::{Bytes, Cid};

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
                self.network.part(self.now, number, kind, &partition);
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
            Fault::Leave(leave) => self.leave(index, number, leave),
            Fault::Clog(clog) => {
                self.trace.entry(self.now, tag::PART).u64(number.into());
                self.note(self.now, MomentKind::Parted, format!("{} clogged", self.links(&clog.from, &clog.to)));
                self.network.clog(number, &clog);
                self.queue.push(nanoseconds(clog.until), Event::FaultEnds(index));
                Ok(())
            }
            Fault::Burst(burst) => {
                self.trace.entry(self.now, tag::PART).u64(number.into());
                let what = format!("{} worse until {:?}", self.links(&burst.from, &burst.to), burst.until);
                self.note(self.now, MomentKind::Parted, what);
                self.network.burst(number, &burst);
                Ok(())
            }
            Fault::Pause(pause) => {
                self.trace.entry(self.now, tag::CLOCK).u64(number.into());
                let seat = &mut self.seats[pause.replica.index()];
                if seat.is_up() && seat.paused.is_none() {
                    seat.paused = Some((number, Vec::new()));
                    let what = format!("{} stands still", self.name(pause.replica));
                    self.note(self.now, MomentKind::Clock, what);
                    self.queue.push(nanoseconds(pause.until), Event::FaultEnds(index));
                }
                Ok(())
            }
            Fault::Jump(jump) => {
                self.jump(number, jump);
                Ok(())
            }
            Fault::PowerCut(cut) => {
                self.trace.entry(self.now, tag::CLOCK).u64(number.into());
                self.seats[cut.replica.index()].process.cut_power(cut.write);
                Ok(())
            }
            Fault::Operator(operator) => self.operator(number, &operator),
            Fault::Disk(fault) => {
                self.harm(number, fault, true);
                self.queue.push(nanoseconds(fault.until), Event::FaultEnds(index));
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
                self.seats[skew.replica.index()].clock.goes_wrong(number, skew, self.now);
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
            Fault::Leave(leave) => self.comes_back(number, leave.replica),
            Fault::Clog(clog) => {
                let what = format!("{} free again", self.links(&clog.from, &clog.to));
                if self.network.is_parted(number) {
                    self.heal(number, what);
                }
                Ok(())
            }
            Fault::Pause(pause) => {
                let replica = pause.replica;
                if self.seats[replica.index()].paused.as_ref().is_some_and(|(by, _)| *by == number) {
                    self.goes_on(number, replica);
                }
                Ok(())
            }
            Fault::Disk(fault) => {
                let fault = *fault;
                // It may have ended by itself, and the disk that is there now is a good one.
                if self.seats[fault.replica.index()].harms.contains_key(&number) {
                    self.harm(number, fault, false);
                    if fault.harm.breaks().is_some() {
                        self.replace_disk(number, fault.replica);
                    }
                }
                Ok(())
            }
            Fault::Join { .. } | Fault::Burst(_) | Fault::Jump(_) | Fault::PowerCut(_) | Fault::Operator(_) => Ok(()),
        }
    }

    fn links(&self, from: &[Party], to: &[Party]) -> String {
        let names = |parties: &[Party], all: &str| match parties {
            [] => String::from(all),
            parties => parties.iter().map(|party| self.name(*party)).collect::<Vec<_>>().join(", "),
        };
        format!("links from {} to {} are", names(from, "all"), names(to, "all"))
    }

    fn leave(&mut self, index: usize, number: u32, leave: Leave) -> Outcome {
        let Leave { replica, clean, returns } = leave;
        if !self.is_present(replica) {
            return Ok(());
        }
        if clean {
            self.goes_on(number, replica);
            self.sync(replica)?;
        }
        self.trace.entry(self.now, tag::LEAVE).u16(replica.0).u8(u8::from(clean));
        self.stop(replica, Cause::Fault(number), DiskFate::Stays);
        self.seats[replica.index()].status = Status::Left { fault: Some(number) };
        self.has_changed = true;
        let what = format!("{} leaves{}", self.name(replica), if clean { " in order" } else { "" });
        self.note(self.now, MomentKind::Left, what);
        if let Some(returns) = returns {
            self.queue.push(nanoseconds(returns), Event::FaultEnds(index));
        }
        Ok(())
    }

    /// Who has left is back, with the disk that it left with.
    fn comes_back(&mut self, number: u32, replica: Party) -> Outcome {
        let seat = &mut self.seats[replica.index()];
        if seat.status != (Status::Left { fault: Some(number) }) {
            return Ok(());
        }
        seat.status = Status::Up;
        seat.joined_by = Some(number);
        let what = format!("{} returns with its old disk", self.name(replica));
        self.note(self.now, MomentKind::Joined, what);
        self.start(replica, Cause::Fault(number))?;
        self.look_at(replica)
    }

    /// A process that stood still goes on: what waited for it happens now, in its order.
    fn goes_on(&mut self, number: u32, replica: Party) {
        let Some((_, waiting)) = self.seats[replica.index()].paused.take() else { return };
        self.trace.entry(self.now, tag::CLOCK).u64(number.into());
        let what = format!("{} goes on", self.name(replica));
        self.note(self.now, MomentKind::Clock, what);
        waiting.into_iter().for_each(|event| self.queue.push(self.now, event));
    }

    /// A clock jumps: it shows another time, and timers that are set run out earlier, or later.
    fn jump(&mut self, number: u32, jump: Jump) {
        let Jump { replica, by, back } = jump;
        self.trace.entry(self.now, tag::CLOCK).u64(number.into());
        let what = format!("{}'s clock jumps {by:?} {}", self.name(replica), if back { "back" } else { "forward" });
        self.note(self.now, MomentKind::Clock, what);
        let by = nanoseconds(by);
        let seat = &mut self.seats[replica.index()];
        seat.clock.jumps(number, by, back);
        let set = std::mem::take(&mut seat.timers);
        for (timer, set) in set {
            let due = if back { set.due + by } else { set.due.saturating_sub(by).max(self.now) };
            if due != set.due {
                self.fault_took_effect(number);
            }
            self.arm(replica, timer, due, set.cause, set.skewed_by);
        }
    }

    /// An operator asks a replica for something. One that is down, or stands still, hears of it later.
    fn operator(&mut self, number: u32, operator: &Operator) -> Outcome {
        let Operator { replica, act } = operator;
        self.trace.entry(self.now, tag::CLOCK).u64(number.into());
        let what = match act {
            OperatorAct::Purge(dag) => format!("{}: its operator asks to purge the DAG \"{dag}\"", self.name(*replica)),
            act => format!("{}: its operator asks to {}", self.name(*replica), act.kind()),
        };
        self.note(self.now, MomentKind::Disk, what);
        let blocks = if *act == OperatorAct::Import { self.file_for(*replica) } else { Vec::new() };
        let seat = &mut self.seats[replica.index()];
        seat.process.order(act, blocks);
        if seat.is_up() && seat.paused.is_none() {
            self.call(*replica, Cause::Fault(number), Process::attend)
        } else {
            Ok(())
        }
    }

    /// The blocks of the other replica that has merged the most, of those that are up.
    fn file_for(&self, replica: Party) -> Vec<(Cid, Bytes)> {
        let others = self.replicas().filter(|other| *other != replica && self.is_present(*other));
        let fullest = others.max_by_key(|other| self.seats[other.index()].process.progress().merged);
        fullest.map_or(Vec::new(), |other| self.seats[other.index()].process.export())
    }

    /// A disk begins to do harm, or ends.
    fn harm(&mut self, number: u32, fault: DiskHarm, is_on: bool) {
        let DiskHarm { replica, harm, .. } = fault;
        self.trace.entry(self.now, tag::CLOCK).u64(number.into()).u8(u8::from(is_on));
        let what = format!("{}'s disk: {} {}", self.name(replica), harm.kind(), if is_on { "begins" } else { "ends" });
        self.note(self.now, MomentKind::Disk, what);
        let seat = &mut self.seats[replica.index()];
        if is_on {
            seat.harms.insert(number, harm);
        } else {
            seat.harms.remove(&number);
        }
        // Another fault may do the same harm for longer.
        let is_done = seat.harms.values().any(|other| *other == harm);
        if harm != Harm::Slow && is_done == is_on {
            seat.process.harm(harm, is_on);
        }
    }

    /// Whatever disk a replica gets, what harms its disks goes on.
    fn harm_goes_on(&mut self, replica: Party) {
        let seat = &mut self.seats[replica.index()];
        for harm in seat.harms.values().filter(|harm| **harm != Harm::Slow) {
            seat.process.harm(*harm, true);
        }
    }

    /// A disk that cannot be trusted is replaced.
    fn replace_disk(&mut self, number: u32, replica: Party) {
        let what = format!("{} gets a new disk", self.name(replica));
        self.note(self.now, MomentKind::Crashed, what);
        match self.seats[replica.index()].status {
            Status::Absent => {}
            Status::Up | Status::Down { fault: None, .. } => {
                self.dies(replica, Cause::Fault(number), DiskFate::Wiped);
            }
            // Who is down or has left finds it when he is back.
            Status::Down { .. } | Status::Left { .. } => {
                self.stop(replica, Cause::Fault(number), DiskFate::Wiped);
            }
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
        if self.seats[replica.index()].clock.is_set_right(number) {
            self.trace.entry(self.now, tag::CLOCK).u64(number.into());
            let what = format!("{}'s clock is right again", self.name(replica));
            self.note(self.now, MomentKind::Clock, what);
        }
    }

    /// A process ends: what is volatile is gone, and of its disk what the fault says.
    pub(super) fn stop(&mut self, replica: Party, cause: Cause, fate: DiskFate) -> Loss {
        let unsynced = self.seats[replica.index()].process.unsynced();
        // A disk that does harm may stop its replica more than once.
        let stops = self.stops.entry((replica, cause)).or_default();
        let n = *stops;
        *stops += 1;
        let kept = self.choose(Choice::Kept, replica, cause, n, (0, unsynced));
        let harm = self.choose(Choice::Harm, replica, cause, n, (0, u64::MAX >> 1));
        let seat = &mut self.seats[replica.index()];
        seat.life += 1;
        seat.sync_is_set = false;
        seat.timers.clear();
        // What waited for a process that stood still dies with it.
        seat.paused = None;
        let loss = seat.process.crash(fate, kept, &mut Key::of_seed(harm).at(0, 0));
        self.count_harm(replica);
        if loss.is_disk {
            self.harm_goes_on(replica);
        }
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
            wiped: loss.is_disk,
        });
        self.trace.entry(self.now, tag::CRASH).u16(replica.0).u64(unsynced).u64(kept).u8(u8::from(loss.is_disk));
        if loss.is_any() {
            self.fault_took_effect(number);
        }
        self.queue.push(until, Event::FaultEnds(index));
        let loss = match (disk, unsynced - kept) {
            (DiskFate::Wiped, _) => String::from(" and loses its disk"),
            (DiskFate::RolledBack(at), _) => format!(" and gets the backup of {at:?}"),
            (DiskFate::Older, _) => String::from(", and its disk is of the release before"),
            (DiskFate::Stays, 0) => String::new(),
            (DiskFate::Stays, lost) => format!(" and loses {lost} of {unsynced} unsynced commits"),
        };
        let what = format!("{} crashes{loss}", self.name(replica));
        self.note(self.now, MomentKind::Crashed, what);
        Ok(())
    }

    pub(super) fn restart(&mut self, replica: Party, cause: Cause) -> Outcome {
        let seat = &mut self.seats[replica.index()];
        if !matches!(seat.status, Status::Down { .. }) {
            return Ok(());
        }
        seat.status = Status::Up;
        let what = format!("{} is back", self.name(replica));
        self.note(self.now, MomentKind::Restarted, what);
        self.start(replica, cause)?;
        if self.is_present(replica) { self.look_at(replica) } else { Ok(()) }
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
        for replica in self.scenario.frozen.clone() {
            if self.is_present(replica) {
                self.stop(replica, Cause::Heal, DiskFate::Stays);
            }
            // Who waits to be started again waits for ever.
            self.seats[replica.index()].life += 1;
            self.seats[replica.index()].status = Status::Left { fault: None };
            let what = format!("{} does not heal", self.name(replica));
            self.note(self.now, MomentKind::Left, what);
        }
        self.network.end_faults();
        for index in 0..self.plan.faults.len() {
            // Both do nothing where the fault has ended by itself.
            if matches!(
                self.plan.faults[index].1.fault,
                Fault::Partition(_) | Fault::Skew(_) | Fault::Clog(_) | Fault::Pause(_) | Fault::Disk(_)
            ) && nanoseconds(self.plan.faults[index].1.at) <= self.now
            {
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
