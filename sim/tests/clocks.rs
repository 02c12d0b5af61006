//! What a process reads from its clock: the faults of clocks show there, and nothing else does.
#![allow(clippy::unwrap_used)]

use anabranch_sim::{
    Body,
    observe::Nobody,
    outcome::{RunReport, Verdict},
    plan::Plan,
    process::{Failed, Io, Process},
    run::run_system,
    scenario::{FaultKind, Party, Scenario},
    system::{Scene, Stop, System},
};
use std::{cell::RefCell, rc::Rc, time::Duration};

const TICK: Duration = Duration::from_millis(100);

/// A process that says hello in each tick, if it ticks, and looks at its clock whenever it is called, if it looks.
struct Watcher {
    ticks: bool,
    looks: bool,
}

impl Watcher {
    fn look(&self, io: &mut Io<u64>) {
        if self.looks {
            let shown = io.now();
            io.notice(shown);
        }
    }
}

impl Process for Watcher {
    type Notice = u64;

    fn start(&mut self, io: &mut Io<u64>) -> Result<(), Failed> {
        if self.ticks {
            io.set_timer(0, (TICK, TICK));
        }
        Ok(())
    }

    fn receive(&mut self, _: Party, _: Body, io: &mut Io<u64>) -> Result<(), Failed> {
        self.look(io);
        Ok(())
    }

    fn timer(&mut self, _: u8, io: &mut Io<u64>) -> Result<(), Failed> {
        self.look(io);
        io.broadcast(Body::Other(Vec::new().into()));
        self.start(io)
    }
}

/// Whose clock, when in truth, and what it showed, in nanoseconds.
type Looks = Rc<RefCell<Vec<(u16, u64, u64)>>>;

struct Watchers {
    seen: Looks,
    looks: bool,
    /// Whether the second ticks; the first does.
    both_tick: bool,
}

impl System for Watchers {
    type Process = Watcher;

    fn process(&mut self, party: Party) -> Watcher {
        Watcher { ticks: self.both_tick || party.0 == 0, looks: self.looks }
    }

    fn agree(&mut self, _: &[(Party, &Watcher)]) -> bool {
        true
    }

    fn noticed(&mut self, who: Party, _: &Watcher, shown: u64, scene: &mut Scene<'_, '_>) -> Result<(), Stop> {
        self.seen.borrow_mut().push((who.0, scene.now, shown));
        Ok(())
    }
}

/// A run of twenty seconds with these faults: the report, and what the clock of each showed when.
fn run(faults: &str, looks: bool, both_tick: bool) -> (RunReport, Vec<(u16, u64, u64)>) {
    let text = format!("replicas = 2\nduration = \"20s\"\noperations = 0\n{faults}");
    let scenario = Scenario::parse(&text, "clocks.toml").unwrap();
    let seen = Looks::default();
    let watchers = Watchers { seen: Rc::clone(&seen), looks, both_tick };
    let report = run_system(watchers, &scenario, 1, Plan::new(&scenario, 1), &mut Nobody);
    let seen = seen.borrow().clone();
    (report, seen)
}

const MS: u64 = 1_000_000;
const SKEW: &str = "[[skew]]\nat = \"2s\"\nuntil = \"4s\"\nreplica = \"r1\"\nspeed = 2.0\nlate = \"50ms\"\n";
const FORWARD: &str = "[[jump]]\nat = \"5s\"\nreplica = \"r1\"\nby = \"3s\"\n";
const BACK: &str = "[[jump]]\nat = \"7s\"\nreplica = \"r1\"\nby = \"8s\"\nback = true\n";
const FAR_BACK: &str = "[[jump]]\nat = \"16s\"\nreplica = \"r1\"\nby = \"1h\"\nback = true\n";

#[test]
fn without_faults_clocks_show_simulated_time() {
    let (report, seen) = run("", true, true);
    assert_eq!(report.verdict, Verdict::Passed);
    assert!(seen.len() > 700 && seen.iter().all(|(_, now, shown)| now == shown), "{seen:?}");
}

#[test]
fn skew_and_jumps_show_in_the_clock_of_their_replica_alone() {
    let faults = [SKEW, FORWARD, BACK, FAR_BACK].concat();
    let (report, seen) = run(&faults, true, true);
    assert_eq!(report.verdict, Verdict::Passed);
    assert!(seen.iter().filter(|(who, ..)| *who == 0).all(|(_, now, shown)| now == shown), "the other's is right");
    let shows = |from: u64, to: u64, shown_at: &dyn Fn(u64) -> u64| {
        let mine = seen.iter().filter(|(who, now, _)| *who == 1 && (from * MS..to * MS).contains(now));
        let mine: Vec<_> = mine.collect();
        assert!(mine.len() > 5, "between {from} and {to} ms: {mine:?}");
        assert!(mine.iter().all(|(_, now, shown)| *shown == shown_at(*now)), "between {from} and {to} ms: {mine:?}");
    };
    shows(0, 2_000, &|now| now);
    shows(2_001, 4_000, &|now| now + (now - 2_000 * MS) - 50 * MS);
    // It is set right, and jumps.
    shows(4_001, 5_000, &|now| now);
    shows(5_001, 7_000, &|now| now + 3_000 * MS);
    shows(7_001, 16_000, &|now| now - 5_000 * MS);
    shows(16_001, 20_000, &|_| 0);
    assert_eq!(report.trace, run(&faults, true, true).0.trace, "it repeats");
    assert_eq!(seen, run(&faults, true, true).1);
}

/// Where no timer is set, a jump takes effect when the process looks, and not before.
#[test]
fn a_clock_fault_takes_effect_when_its_process_looks() {
    let (report, seen) = run(FORWARD, true, false);
    assert!(seen.iter().any(|(who, now, shown)| *who == 1 && *shown == now + 3_000 * MS), "{seen:?}");
    assert_eq!((report.faults[&FaultKind::ClockJump].effective, report.verdict), (1, Verdict::Passed));
    let (report, seen) = run(FORWARD, false, false);
    assert!(seen.is_empty());
    assert_eq!(report.verdict, Verdict::InertFaults { kinds: vec![FaultKind::ClockJump] });
}
