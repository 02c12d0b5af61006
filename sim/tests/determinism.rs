//! Each run is told twice, by two processes. One into which a nondeterminism is planted is caught, and the first event that differs is named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_types)]

use anabranch_sim::{
    Body,
    determinism::{Difference, Lines, first_difference},
    plan::Plan,
    process::{Failed, Io, Process},
    run::{run_plan, run_system},
    scenario::{Party, Scenario},
    system::System,
};
use std::{
    collections::hash_map::RandomState,
    env,
    hash::BuildHasher,
    io::BufReader,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A process that says hello once a second; in the seventh second it says what no seed decides, if told to.
struct Chatter {
    hellos: u64,
    is_planted: bool,
}

impl Process for Chatter {
    type Notice = ();

    fn start(&mut self, io: &mut Io<()>) -> Result<(), Failed> {
        io.set_timer(0, (Duration::from_secs(1), Duration::from_secs(1)));
        Ok(())
    }

    fn receive(&mut self, _: Party, _: Body, _: &mut Io<()>) -> Result<(), Failed> {
        Ok(())
    }

    fn timer(&mut self, _: u8, io: &mut Io<()>) -> Result<(), Failed> {
        self.hellos += 1;
        // The hash of nothing: another one in each process. Its length is what differs in the message.
        let chance = RandomState::new().hash_one(0) % 64;
        let length = if self.is_planted && self.hellos == 7 { chance } else { 3 };
        io.broadcast(Body::Other(vec![0; length as usize].into()));
        self.start(io)
    }
}

struct Chatters(bool);

impl System for Chatters {
    type Process = Chatter;

    fn process(&mut self, _: Party) -> Chatter {
        Chatter { hellos: 0, is_planted: self.0 }
    }

    fn agree(&mut self, _: &[(Party, &Chatter)]) -> bool {
        true
    }
}

/// Not a test: the process that is told which run to tell.
#[test]
#[ignore = "started by the other tests"]
fn teller() {
    let Ok(which) = env::var("ANABRANCH_TELL") else { return };
    let mut lines = Lines::new(std::io::stdout().lock());
    let trace = if which == "core" {
        let scenario = Scenario::parse(include_str!("../../scenarios/swarm.toml"), "swarm.toml").unwrap();
        let drawn = scenario.drawn(3);
        run_plan(&drawn, 3, Plan::new(&drawn, 3), &mut lines).trace
    } else {
        let scenario = Scenario::parse("replicas = 2\nduration = \"20s\"\noperations = 0", "chatter.toml").unwrap();
        let plan = Plan::new(&scenario, 1);
        run_system(Chatters(which == "planted"), &scenario, 1, plan, &mut lines).trace
    };
    lines.finish(&trace).unwrap();
}

fn told(which: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "teller", "--ignored", "--nocapture", "--quiet"])
        .env("ANABRANCH_TELL", which)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    (child, BufReader::new(out))
}

fn difference(which: &str) -> Option<Difference> {
    let ((mut one, first), (mut other, second)) = (told(which), told(which));
    // The harness says how long it took, on a line of its own: only lines of events and hashes count.
    let lines = |out: BufReader<std::process::ChildStdout>| -> String {
        use std::io::BufRead;
        let lines = out.lines().map(Result::unwrap);
        lines.filter(|line| line.starts_with('{') || line.len() == 64).map(|line| line + "\n").collect()
    };
    let (first, second) = (lines(first), lines(second));
    assert!(one.wait().unwrap().success() && other.wait().unwrap().success());
    assert!(first.lines().count() > 20, "{first}");
    first_difference(first.as_bytes(), second.as_bytes()).unwrap()
}

#[test]
fn a_planted_nondeterminism_is_named_and_a_run_without_it_repeats() {
    assert_eq!(difference("sound"), None);
    // In one of 64 pairs of processes chance says the same.
    let found = (0..4).find_map(|_| difference("planted")).expect("it was not seen");
    let text = found.to_string();
    assert!(text.contains("differs: one run has after 7.") && text.contains("Sent"), "{text}");
}

#[test]
fn a_swarm_over_the_real_core_repeats_event_by_event() {
    assert_eq!(difference("core"), None);
}
