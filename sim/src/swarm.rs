//! Swarms: for each seed another configuration, with whole families of faults left out.
//!
//! A configuration with every fault in it hides what only some of them together show: messages that are always lost never overtake
//! each other. So each family is off in half of the runs (unless told otherwise), and those that are on are drawn anew.

use crate::{
    engine::{Draws, Key, Time, nanoseconds},
    scenario::{
        Burst, Churn, Clog, Crash, DiskFate, DiskHarm, Engine, Family, Fault, Harm, Hostile, HostileAct, Jump, Leave,
        Mix, Operator, OperatorAct, Partition, PartitionMode, Party, Pause, PowerCut, Replica, Scenario, Shape, Skew,
        Swarm, TimedFault,
    },
};
use anabranch_core::WhenBehind;
use std::{borrow::Cow, time::Duration};

const MILLISECOND: Time = 1_000_000;
const SECOND: Time = 1_000_000_000;
/// Blocks of a chain that a replica may have to fetch one after the other before it merges the first.
const CHAIN: u32 = 1_000;
/// Steps that a replica may have to make one after the other to rebuild itself.
const STEPS: u32 = 50_000;
/// The part of the seeds in which values are large.
const LARGE: f64 = 0.02;

impl Scenario {
    /// The scenario as it is run with this seed: itself, or what its swarm draws. What is drawn is a scenario without a swarm.
    #[must_use]
    pub fn drawn(&self, seed: u64) -> Cow<'_, Self> {
        let Some(swarm) = &self.swarm else { return Cow::Borrowed(self) };
        let mut drawing = Drawing::new(self, swarm, seed);
        drawing.all();
        Cow::Owned(drawing.scenario)
    }
}

struct Drawing {
    scenario: Scenario,
    swarm: Swarm,
    key: Key,
    duration: Time,
    /// When each replica is away.
    away: Vec<Vec<(Time, Time)>>,
}

fn party(index: u64) -> Party {
    Party(u16::try_from(index).unwrap_or(u16::MAX))
}

/// Half of the time nothing, else a probability up to the one given, small ones likelier.
fn probability(draws: &mut Draws, most: f64) -> f64 {
    let (is_on, part) = (draws.chance(0.5), draws.below(1001));
    #[allow(clippy::cast_precision_loss)] // At most a thousand.
    let part = part as f64 / 1000.0;
    if is_on { most * part * part } else { 0.0 }
}

/// One of these.
fn one_of<T: Copy>(draws: &mut Draws, these: &[T]) -> T {
    these[draws.below(these.len() as u64) as usize]
}

fn time(draws: &mut Draws, least: Time, most: Time) -> Duration {
    Duration::from_nanos(draws.between(least, most))
}

impl Drawing {
    fn new(scenario: &Scenario, swarm: &Swarm, seed: u64) -> Self {
        let drawn = Scenario { swarm: None, may_be_inert: true, ..scenario.clone() };
        let duration = nanoseconds(scenario.duration);
        let mut away = vec![Vec::new(); scenario.replicas.len()];
        for (replica, away) in scenario.replicas.iter().zip(&mut away) {
            away.extend(replica.joins_at.map(|joins| (0, nanoseconds(joins) + 1)));
        }
        for timed in &scenario.faults {
            let at = nanoseconds(timed.at);
            match &timed.fault {
                Fault::Crash(crash) => away[crash.replica.index()].push((at, at + nanoseconds(crash.down))),
                Fault::Leave(leave) => {
                    away[leave.replica.index()].push((at, leave.returns.map_or(Time::MAX, nanoseconds)));
                }
                _ => {}
            }
        }
        Self { scenario: drawn, swarm: swarm.clone(), key: Key::of_seed(seed).fork("swarm"), duration, away }
    }

    fn all(&mut self) {
        self.workload();
        self.core();
        for (number, family) in Family::ALL.into_iter().enumerate() {
            let mut draws = self.key.at(number as u64 + 8, 0);
            let is_off = draws.chance(self.swarm.off);
            if is_off || !self.swarm.families.contains(&family) {
                continue;
            }
            match family {
                Family::Loss => self.loss(&mut draws),
                Family::Harm => self.harm(&mut draws),
                Family::Congestion => self.congestion(&mut draws),
                Family::Partition => self.partitions(&mut draws),
                Family::Crash => self.crashes(&mut draws),
                Family::Disk => self.disks(&mut draws),
                Family::Membership => self.membership(&mut draws),
                Family::Clock => self.clocks(&mut draws),
                Family::Hostile => self.hostile(&mut draws),
                Family::Operator => self.operators(&mut draws),
            }
        }
        // The bottom of a chain takes a round trip a block to come to, and until then nothing is merged.
        self.scenario.convergence_budget += self.scenario.network.latency.1 * CHAIN;
        self.scenario.faults.sort_by_key(|timed| timed.at);
        let (mut draws, count) = (self.key.at(2, 0), self.scenario.replicas.len() as u64);
        if count > 2 && draws.chance(0.3) {
            let frozen = draws.between(1, (count - 1) / 2);
            let first = draws.below(count);
            self.scenario.frozen = (0..frozen).map(|step| party((first + step) % count)).collect();
        }
    }

    fn workload(&mut self) {
        let draws = &mut self.key.at(0, 0);
        let workload = &mut self.scenario.workload;
        let operations = workload.operations;
        workload.operations = draws.between(operations / 4, operations);
        workload.keys = one_of(draws, &[1, 2, 5, 20, 100, 1000]);
        workload.skew = one_of(draws, &[0.0, 0.0, 0.99, 2.0]);
        let share = |draws: &mut Draws| draws.below(10) as u32;
        workload.mix = Mix { put: 1 + share(draws), delete: share(draws), batch: share(draws) / 2, get: share(draws) };
        workload.value_bytes = one_of(draws, &[(0, 0), (0, 2), (1, 1), (8, 64), (0, 2_000)]);
        workload.batch_writes = one_of(draws, &[(1, 3), (2, 10), (5, 60)]);
        if draws.chance(LARGE) {
            // Batches that become several blocks.
            (workload.value_bytes, workload.batch_writes) = ((200_000, 500_000), (3, 6));
            workload.operations = workload.operations / 20 + 1;
            workload.mix.batch += 2;
        }
        #[allow(clippy::cast_precision_loss)] // Far below 2^52.
        let operations = workload.operations as f64;
        workload.rate = operations / self.scenario.duration.as_secs_f64();
        if draws.chance(0.3) {
            workload.dags = ["", "pins", "a/b", ".."].iter().map(|name| String::from(*name)).collect();
        }
        if draws.chance(0.1) {
            // Alike for longer than is kept of a version that does not prevail.
            (workload.value_bytes, workload.value_shared) = ((60, 80), 68);
        }
    }

    fn core(&mut self) {
        let draws = &mut self.key.at(1, 0);
        let core = &mut self.scenario.core;
        core.rebroadcast_interval = time(draws, SECOND, 30 * SECOND);
        core.rebroadcast_jitter_percent = draws.below(101) as u8;
        core.fetch_timeout = time(draws, 500 * MILLISECOND, 10 * SECOND);
        core.fetch_timeout_ticks = draws.between(1, 8) as u8;
        core.fetches_max = draws.between(1, 256) as usize;
        core.fetches_per_peer_max = draws.between(1, 32) as usize;
        core.rumours_per_peer_max = one_of(draws, &[8, 64, 1024]);
        core.pending_bytes_max = one_of(draws, &[1 << 10, 16 << 10, 1 << 20, 64 << 20]);
        core.step_bytes_max = one_of(draws, &[1, 1 << 10, 1 << 20]);
        self.scenario.convergence_budget = core.rebroadcast_interval * 20 + core.fetch_timeout * 80;
        let disk = &mut self.scenario.disk;
        disk.sync_delay = one_of(
            draws,
            &[
                (Duration::ZERO, Duration::from_millis(1)),
                (Duration::from_millis(1), Duration::from_millis(10)),
                (Duration::from_millis(10), Duration::from_secs(1)),
            ],
        );
        disk.step_delay = one_of(
            draws,
            &[Duration::from_micros(1), Duration::from_micros(1), Duration::from_micros(100), Duration::from_millis(2)],
        );
        self.scenario.convergence_budget += disk.step_delay * STEPS;
        if draws.chance(0.3) {
            core.when_behind = WhenBehind::Wait(time(draws, SECOND, 10 * SECOND));
        }
    }

    /// A time in the first phase, and a later one.
    fn window(&self, draws: &mut Draws) -> (Duration, Duration) {
        let at = draws.below(self.duration * 3 / 4);
        let until = draws.between(at + 1, self.duration);
        (Duration::from_nanos(at), Duration::from_nanos(until))
    }

    fn add(&mut self, at: Duration, fault: Fault) {
        self.scenario.faults.push(TimedFault { at, fault });
    }

    fn replica(&self, draws: &mut Draws) -> Party {
        party(draws.below(self.scenario.replicas.len() as u64))
    }

    /// Marks a replica as away, where it is there all the time.
    fn takes_away(&mut self, replica: Party, at: Duration, until: Duration) -> bool {
        let (at, until) = (nanoseconds(at), nanoseconds(until));
        let away = &mut self.away[replica.index()];
        let is_free = away.iter().all(|(from, to)| until < *from || at > *to);
        if is_free {
            away.push((at, until));
        }
        is_free
    }

    fn loss(&mut self, draws: &mut Draws) {
        let link = &mut self.scenario.network;
        link.latency = one_of(
            draws,
            &[
                (Duration::from_micros(10), Duration::from_millis(1)),
                (Duration::from_millis(1), Duration::from_millis(50)),
                (Duration::from_millis(100), Duration::from_millis(120)),
                (Duration::from_millis(1), Duration::from_secs(2)),
            ],
        );
        link.drop = probability(draws, 0.4);
        link.duplicate = probability(draws, 0.5);
        link.reorder = probability(draws, 0.5);
        link.reorder_delay = (Duration::from_millis(1), time(draws, 10 * MILLISECOND, 5 * SECOND));
    }

    fn harm(&mut self, draws: &mut Draws) {
        let link = &mut self.scenario.network;
        link.corrupt = probability(draws, 0.2);
        link.truncate = probability(draws, 0.2);
        link.misdeliver = probability(draws, 0.2);
        link.replay = probability(draws, 0.2);
        link.replay_delay = (Duration::from_secs(1), time(draws, 2 * SECOND, 40 * SECOND));
    }

    fn congestion(&mut self, draws: &mut Draws) {
        let link = &mut self.scenario.network;
        if draws.chance(0.3) {
            link.bandwidth = one_of(draws, &[5_000, 50_000, 1_000_000]);
        }
        if draws.chance(0.3) {
            link.queue = one_of(draws, &[2, 8, 40]);
        }
        for _ in 0..draws.below(3) {
            let (at, until) = self.window(draws);
            let (from, to) = (vec![self.replica(draws)], vec![self.replica(draws)]);
            let (from, to) = if draws.chance(0.5) { (from, Vec::new()) } else { (Vec::new(), to) };
            self.add(at, Fault::Clog(Clog { from, to, until }));
        }
        for _ in 0..draws.below(3) {
            let (at, until) = self.window(draws);
            let (drop, delay) = (probability(draws, 1.0), time(draws, 1, 5 * SECOND));
            let corrupt = probability(draws, 0.5);
            self.add(at, Fault::Burst(Burst { from: Vec::new(), to: Vec::new(), until, drop, corrupt, delay }));
        }
        if draws.chance(0.3) {
            let window = self.window(draws);
            self.scenario.swizzles.push(window);
        }
    }

    fn partitions(&mut self, draws: &mut Draws) {
        let count = self.scenario.parties();
        let shapes: &[Shape] = match count {
            0 | 1 => return,
            2 => &[Shape::Random],
            3 => &[Shape::Random, Shape::Majority, Shape::Bridge],
            _ => &[Shape::Random, Shape::Majority, Shape::Bridge, Shape::Ring],
        };
        for _ in 0..draws.between(1, 3) {
            let (at, until) = self.window(draws);
            let shape = one_of(draws, shapes);
            let one_way = (shape != Shape::Ring && draws.chance(0.3)).then_some((0, 1));
            let flap = draws.chance(0.3).then(|| time(draws, 100 * MILLISECOND, 5 * SECOND));
            let mode = if draws.chance(0.5) { PartitionMode::Drop } else { PartitionMode::Hold };
            let (groups, shape) = (Vec::new(), Some(shape));
            let partition = Partition { groups, ring: false, shape, flap, one_way, mode, until };
            self.add(at, Fault::Partition(partition));
        }
    }

    fn crashes(&mut self, draws: &mut Draws) {
        let crash_every = time(draws, self.duration / 40, self.duration / 3);
        let down = (Duration::from_millis(100), time(draws, 200 * MILLISECOND, self.duration / 6));
        self.scenario.churn = Some(Churn { crash_every, down, rolling: draws.chance(0.2) });
    }

    fn disks(&mut self, draws: &mut Draws) {
        if draws.chance(0.5) {
            self.scenario.disk.engine = Engine::Redb;
        }
        if draws.chance(0.4) {
            let (at, until) = self.window(draws);
            let replica = self.replica(draws);
            let disk = if draws.chance(0.5) {
                DiskFate::Wiped
            } else {
                DiskFate::RolledBack(Duration::from_nanos(draws.below(nanoseconds(at).max(1))))
            };
            // Nobody sets his only disk back to before he began.
            if !at.is_zero() && self.takes_away(replica, at, until) {
                self.add(at, Fault::Crash(Crash { replica, down: until - at, disk }));
            }
        }
        if draws.chance(0.3) {
            let (at, until) = self.window(draws);
            let replica = self.replica(draws);
            if self.takes_away(replica, at, until) {
                self.add(at, Fault::Crash(Crash { replica, down: until - at, disk: DiskFate::Older }));
            }
        }
        let harms: &[Harm] = match self.scenario.disk.engine {
            Engine::Memory => &[Harm::Slow],
            Engine::Redb => &[
                Harm::Slow,
                Harm::BitRot,
                Harm::MisdirectedRead,
                Harm::MisdirectedWrite,
                Harm::IoError,
                Harm::Full,
                Harm::LyingSync,
            ],
        };
        for _ in 0..draws.below(3) {
            let (at, until) = self.window(draws);
            let (replica, harm) = (self.replica(draws), one_of(draws, harms));
            self.add(at, Fault::Disk(DiskHarm { replica, harm, until }));
        }
        if self.scenario.disk.engine == Engine::Memory {
            return;
        }
        let does = |harms: &[Harm]| {
            let is_it = |timed: &TimedFault| matches!(&timed.fault, Fault::Disk(fault) if harms.contains(&fault.harm));
            self.scenario.faults.iter().any(is_it)
        };
        // Where all pages fit into memory, none is read that could be wrong.
        let tight = if does(&[Harm::BitRot, Harm::MisdirectedRead]) { 0.8 } else { 0.1 };
        // A page that redb has written, reads again and finds another may send it in a circle, until the stack overflows (seed 3110).
        if draws.chance(tight) && !does(&[Harm::MisdirectedWrite]) {
            self.scenario.disk.cache = 64 << 10;
        }
        if draws.chance(0.5) {
            let (at, replica) = (time(draws, 0, self.duration * 3 / 4), self.replica(draws));
            self.add(at, Fault::PowerCut(PowerCut { replica, write: draws.below(300) }));
        }
    }

    fn membership(&mut self, draws: &mut Draws) {
        if self.scenario.hostile.is_empty() {
            for number in 0..draws.below(3) {
                let at = time(draws, 1, self.duration * 3 / 4);
                let replica = party(self.scenario.replicas.len() as u64);
                self.scenario.replicas.push(Replica { name: format!("joiner{number}"), joins_at: Some(at) });
                self.away.push(vec![(0, nanoseconds(at) + 1)]);
                self.add(at, Fault::Join { replica });
            }
        }
        for _ in 0..draws.below(3) {
            let (at, until) = self.window(draws);
            let (replica, clean, is_back) = (self.replica(draws), draws.chance(0.5), draws.chance(0.7));
            let there = self.scenario.replicas.len() as u64;
            let gone = if is_back { until } else { Duration::MAX };
            // Someone must remain.
            if (is_back || there > 3) && self.takes_away(replica, at, gone) {
                self.add(at, Fault::Leave(Leave { replica, clean, returns: is_back.then_some(until) }));
            }
        }
        for _ in 0..draws.below(3) {
            let (at, until) = self.window(draws);
            let replica = self.replica(draws);
            self.add(at, Fault::Pause(Pause { replica, until }));
        }
    }

    fn clocks(&mut self, draws: &mut Draws) {
        for _ in 0..draws.between(1, 3) {
            let (at, until) = self.window(draws);
            let replica = self.replica(draws);
            let speed = one_of(draws, &[0.05, 0.5, 0.9, 1.1, 2.0, 20.0]);
            let late = if draws.chance(0.5) { time(draws, 0, 5 * SECOND) } else { Duration::ZERO };
            self.add(at, Fault::Skew(Skew { replica, speed, late, until }));
        }
        for _ in 0..draws.below(4) {
            let at = time(draws, 0, self.duration - 1);
            let (replica, by) = (self.replica(draws), time(draws, 1, 60 * SECOND));
            self.add(at, Fault::Jump(Jump { replica, by, back: draws.chance(0.5) }));
        }
    }

    /// What an operator may do at any time, to any replica: the others notice nothing but that they may be asked for blocks.
    fn operators(&mut self, draws: &mut Draws) {
        for _ in 0..draws.between(1, 4) {
            let at = time(draws, 0, self.duration - 1);
            let replica = self.replica(draws);
            let act = match draws.below(7) {
                0 | 1 => OperatorAct::Verify,
                2 | 3 => OperatorAct::Rebuild,
                4 => OperatorAct::Import,
                _ => OperatorAct::Purge(self.dag(draws)),
            };
            if matches!(act, OperatorAct::Purge(_)) {
                // What it alone had is gone then, for all.
                self.give_up(draws, None);
            }
            self.add(at, Fault::Operator(Operator { replica, act }));
        }
    }

    /// The name of a DAG that programs write to.
    fn dag(&self, draws: &mut Draws) -> String {
        let dags = &self.scenario.workload.dags;
        dags.get(draws.below(dags.len().max(1) as u64) as usize).cloned().unwrap_or_default()
    }

    /// What nobody serves, all operators give up; and if it turns up that it was withheld, it does for all.
    fn give_up(&mut self, draws: &mut Draws, turns_up: Option<Time>) {
        let abandons =
            |timed: &TimedFault| matches!(&timed.fault, Fault::Operator(Operator { act: OperatorAct::Abandon, .. }));
        if self.scenario.faults.iter().any(abandons) {
            return;
        }
        for replica in (0..self.scenario.replicas.len() as u64).map(party) {
            let at = time(draws, 0, self.duration - 1);
            self.add(at, Fault::Operator(Operator { replica, act: OperatorAct::Abandon }));
            if let Some(from) = turns_up {
                let at = time(draws, from.max(nanoseconds(at)), self.duration - 1);
                self.add(at, Fault::Operator(Operator { replica, act: OperatorAct::Recover }));
                if draws.chance(0.3) {
                    // It may have to be interrupted for that.
                    let before = at.saturating_sub(time(draws, 0, MILLISECOND));
                    self.add(before, Fault::Operator(Operator { replica, act: OperatorAct::Verify }));
                }
            }
        }
    }

    fn hostile(&mut self, draws: &mut Draws) {
        if !self.scenario.hostile.is_empty() {
            return;
        }
        let (from, until) = self.window(draws);
        let scripted = HostileAct::ALL.into_iter().filter(|act| *act != HostileAct::GoLike);
        let acts: Vec<HostileAct> = scripted.filter(|_| draws.chance(0.3)).collect();
        let acts = if acts.is_empty() || draws.chance(0.25) { vec![HostileAct::GoLike] } else { acts };
        let every = time(draws, 200 * MILLISECOND, 5 * SECOND);
        if acts.contains(&HostileAct::Withheld) {
            let turns_up = draws.chance(0.5).then(|| draws.below(self.duration));
            self.give_up(draws, turns_up);
        }
        self.scenario.hostile.push(Hostile { name: String::from("mallory"), acts, every, from, until: Some(until) });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use std::collections::BTreeMap;

    fn base() -> Scenario {
        Scenario::parse("replicas = 5\nduration = \"30s\"\n[swarm]\n", "swarm.toml").unwrap()
    }

    #[test]
    fn a_seed_draws_one_scenario_and_another_seed_another() {
        let base = base();
        assert_eq!(base.drawn(3), base.drawn(3));
        assert_ne!(base.drawn(3), base.drawn(4));
        assert!(base.drawn(3).swarm.is_none());
    }

    #[test]
    fn every_family_is_off_in_about_half_of_the_seeds_and_every_fault_is_drawn() {
        let base = base();
        let (mut lossy, mut kinds) = (0, BTreeMap::new());
        for seed in 0..400 {
            let drawn = base.drawn(seed);
            lossy += u32::from(drawn.network.latency != base.network.latency || drawn.network.drop > 0.0);
            let tally = crate::tally::Tally::new(&drawn, &Plan::new(&drawn, seed));
            for kind in tally.into_counts().into_keys() {
                *kinds.entry(kind).or_insert(0) += 1;
            }
        }
        assert!((120..240).contains(&lossy), "{lossy} of 400");
        assert!(kinds.len() >= 51, "{} kinds: {kinds:?}", kinds.len());
    }
}
