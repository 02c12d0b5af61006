//! Commits while the replica is behind: they wait for what was known when they came, and for nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Batch, Bytes, Cid, Config, DagName, Input, Key, Refusal, Timer, Token, WhenBehind,
    store::{Read, Table},
};
use std::{collections::BTreeSet, ops::ControlFlow, time::Duration};
use support::{
    blocks::{chain, world},
    *,
};

const LIMIT: Duration = Duration::from_secs(10);

fn config() -> Config {
    Config { when_behind: WhenBehind::Wait(LIMIT), ..Config::default() }
}

/// A chain of puts to keys of its own.
fn history(name: &str, len: usize) -> Vec<Bytes> {
    chain(len, |at| (format!("/{name}/{at}"), "v".to_owned()))
}

/// Asks for a commit that need not end at once.
fn ask(node: &mut Node, batch: Batch) -> Token {
    let token = node.token();
    node.input(Input::Commit { token, batch });
    token
}

fn put(key: &str, value: &str) -> Batch {
    Batch::new().put(key, value.to_owned())
}

/// How many blocks the commit had not seen, once it is made.
fn made(node: &Node, token: Token) -> Option<u64> {
    node.outcomes.get(&token).map(|outcome| {
        assert!(outcome.is_ok(), "{outcome:?}");
        node.behind[&token]
    })
}

/// The blocks that are obligations, by what the store says of them.
fn obligations(node: &Node) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    let rows = node.replica.store().rows();
    rows.scan(Table::Nodes, &[], &[], &mut |digest, row| {
        if matches!(row[0], 3 | 4) {
            found.insert(digest.to_vec());
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(found.len() as u64, node.replica.stats().obligations);
    found
}

#[test]
fn hazard_13_a_replica_that_knows_it_is_behind_waits_and_its_put_wins() {
    // P: 9 puts, then k = OLD. R was parted and has just heard of the last block.
    let history = chain(10, |at| if at == 9 { ("/k".into(), "OLD".into()) } else { (format!("/x{at}"), "v".into()) });
    for (when_behind, value) in [(WhenBehind::Allow, "OLD"), (WhenBehind::Wait(LIMIT), "fresh")] {
        let mut node = Node::with(Config { when_behind, ..Config::default() });
        node.receive(&history[9]);
        let token = ask(&mut node, put("/k", "fresh"));
        assert_eq!(made(&node, token).is_some(), when_behind == WhenBehind::Allow);
        node.settle(&world(&history));
        assert_eq!(made(&node, token), Some(if when_behind == WhenBehind::Allow { 10 - 8 } else { 0 }));
        assert_eq!(node.get("/k").as_deref(), Some(value), "{when_behind:?}");
        check::is_fold(&node, &fold(&node.world()), "after catching up");
    }
}

#[test]
fn a_commit_that_waits_is_made_when_its_time_is_over_and_says_what_it_has_not_seen() {
    let history = history("a", 4);
    let mut node = Node::with(config());
    node.receive(&history[3]);
    let token = ask(&mut node, put("/k", "mine"));
    let mut waited = Duration::ZERO;
    while made(&node, token).is_none() {
        waited += *node.timers[&Timer::Wait].end();
        node.fire(Timer::Wait);
    }
    assert_eq!((made(&node, token), waited), (Some(2), LIMIT));
    assert!(!node.timers.contains_key(&Timer::Wait), "nothing waits any more");
    assert_eq!(node.get("/k").as_deref(), Some("mine"));
}

#[test]
fn no_commit_waits_longer_than_it_may_whenever_it_comes() {
    let mut node = Node::with(config());
    node.receive(&history("a", 4)[3]);
    let first = ask(&mut node, put("/first", "1"));
    (0..3).for_each(|_| node.fire(Timer::Wait));
    let second = ask(&mut node, put("/second", "2"));
    (0..5).for_each(|_| node.fire(Timer::Wait));
    assert_eq!((made(&node, first), made(&node, second)), (Some(2), None));
    (0..3).for_each(|_| node.fire(Timer::Wait));
    assert_eq!(made(&node, second), Some(2));
    assert!(!node.timers.contains_key(&Timer::Wait));
    // And a third one sets the timer anew.
    let third = ask(&mut node, put("/third", "3"));
    (0..8).for_each(|_| node.fire(Timer::Wait));
    assert_eq!(made(&node, third), Some(2));
}

#[test]
fn what_becomes_known_later_is_not_waited_for() {
    let (known, later) = (history("known", 5), history("later", 5));
    let mut node = Node::with(config());
    node.receive(&known[4]);
    let first = ask(&mut node, put("/first", "1"));
    node.receive(&later[4]);
    let second = ask(&mut node, put("/second", "2"));
    assert_eq!((made(&node, first), made(&node, second)), (None, None));
    node.pull(&world(&known));
    assert_eq!((made(&node, first), made(&node, second)), (Some(0), None), "all that the first one knew of is merged");
    assert!(node.replica.is_behind());
    assert_eq!(node.get("/known/4").as_deref(), Some("v"));
    node.settle(&world(&later));
    assert_eq!(made(&node, second), Some(0));
    check::is_fold(&node, &fold(&node.world()), "after catching up");
}

#[test]
fn commits_that_wait_are_made_in_their_order() {
    let history = history("a", 3);
    let mut node = Node::with(Config { step_bytes_max: 1, ..config() });
    node.receive(&history[2]);
    let tokens: Vec<Token> = (0..20).map(|at| ask(&mut node, put("/k", &at.to_string()))).collect();
    node.settle(&world(&history));
    assert!(tokens.iter().all(|token| made(&node, *token) == Some(0)));
    assert_eq!(node.get("/k").as_deref(), Some("19"));
    let blocks: Vec<Cid> = tokens.iter().map(|token| node.outcomes[token].as_ref().unwrap()[0]).collect();
    for pair in blocks.windows(2) {
        assert_eq!(anabranch_core::wire::Block::decode(&node.bytes(&pair[1])).links, [pair[0]]);
    }
}

#[test]
fn a_delete_that_waits_removes_what_is_there_when_it_is_made() {
    let history = chain(3, |at| ("/k".to_owned(), format!("{at}")));
    let mut node = Node::with(config());
    node.receive(&history[2]);
    let token = ask(&mut node, Batch::new().delete("/k"));
    node.settle(&world(&history));
    assert_eq!(made(&node, token), Some(0));
    assert_eq!(node.get("/k"), None);
    assert_eq!(node.outcomes[&token].as_ref().unwrap().len(), 1);
}

#[test]
fn a_crash_forgets_what_waits_and_counts_anew() {
    let (known, later) = (history("known", 4), history("later", 4));
    let mut node = Node::with(config());
    node.receive(&known[3]);
    let lost = ask(&mut node, put("/lost", "1"));
    // Obligations of a second generation, in the store.
    node.receive(&later[3]);
    let mut node = node.crash();
    assert_eq!(node.get("/lost"), None);
    let token = ask(&mut node, put("/k", "1"));
    node.pull(&world(&known));
    assert_eq!(made(&node, token), None, "both generations were known when it came");
    node.settle(&world(known.iter().chain(&later)));
    assert_eq!((made(&node, token), node.outcomes.get(&lost)), (Some(0), None));
}

#[test]
fn what_would_be_refused_is_refused_at_once() {
    let mut node = Node::with(Config { waiting_bytes_max: 400, ..config() });
    node.receive(&history("a", 3)[2]);
    let long = "k".repeat(anabranch_core::limits::KEY_BYTES_MAX);
    let token = ask(&mut node, put(&long, "v"));
    assert!(matches!(node.outcomes[&token], Err(Refusal::KeyTooLong { .. })));
    let large = ask(&mut node, put("/k", &"v".repeat(350)));
    assert_eq!(node.outcomes[&large], Err(Refusal::Behind { obligations: 2 }), "no room to wait in");
    let fits = ask(&mut node, put("/k", &"v".repeat(300)));
    assert_eq!(node.outcomes.get(&fits), None);
    let nothing = ask(&mut node, Batch::new());
    assert_eq!(made(&node, nothing), Some(2), "an empty batch writes nothing that could lose");
}

#[test]
fn a_limit_of_nothing_is_no_wait() {
    let mut node = Node::with(Config { when_behind: WhenBehind::Wait(Duration::ZERO), ..Config::default() });
    node.receive(&history("a", 3)[2]);
    let token = ask(&mut node, put("/k", "v"));
    assert_eq!(made(&node, token), Some(2));
}

#[test]
fn a_block_that_is_made_here_is_an_obligation_no_more() {
    // A peer's block that the very commit makes again: k = v on the known head, in its own DAG.
    let mut node = Node::with(config());
    let root = node.put("/root", "r");
    let same = blocks::put_block(&[root], 2, "/k", "v");
    let child = blocks::put_block(&[Cid::of(&same)], 3, "/child", "c");
    node.receive(&child);
    let token = ask(&mut node, put("/k", "v"));
    assert_eq!(made(&node, token), None);
    (0..8).for_each(|_| node.fire(Timer::Wait));
    assert_eq!(made(&node, token), Some(2), "child and parent were known and not merged when it was made");
    assert_eq!(node.get("/child").as_deref(), Some("c"), "what it made is what the child waited for");
    assert!(!node.replica.is_behind());
}

/// A commit that has not been made, what was known when it came, and the ticks that it has seen.
struct Asked {
    token: Token,
    known: BTreeSet<Vec<u8>>,
    ticks: u32,
}

/// Each commit that could have been made was, in the right moment, and says the truth.
fn check_asked(node: &Node, asked: &mut Vec<Asked>, seed: u64) {
    let now = obligations(node);
    asked.retain(|commit| {
        let left = commit.known.intersection(&now).count() as u64;
        let due = left == 0 || commit.ticks >= 8;
        assert_eq!(made(node, commit.token), due.then_some(left), "seed {seed}, after {} ticks", commit.ticks);
        !due
    });
}

#[test]
fn in_random_histories_each_commit_waits_for_just_what_it_knew() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let histories: Vec<Vec<Bytes>> = (0..4).map(|n| history(&format!("{n}"), 2 + rng.below(6))).collect();
        let all = world(histories.iter().flatten());
        let pending_bytes_max = if rng.once_in(3) { 150 } else { 1 << 20 };
        let mut node = Node::with(Config { pending_bytes_max, ..config() });
        let (mut asked, mut made_at_last) = (Vec::<Asked>::new(), 0);
        for _ in 0..60 {
            match rng.below(10) {
                0..3 => {
                    let blocks = &histories[rng.below(histories.len())];
                    node.receive(&blocks[rng.below(blocks.len())]);
                }
                3..6 => {
                    if let Some(at) = (!node.fetches.is_empty()).then(|| rng.below(node.fetches.len())) {
                        let fetch = node.fetches.remove(at);
                        node.answer(fetch, &all[&fetch.cid]);
                    }
                }
                6..8 => {
                    let known = obligations(&node);
                    let dag = DagName::new(["", "x"][rng.below(2)]);
                    let batch = Batch { dag, writes: put("/k", &rng.next().to_string()).writes };
                    let token = ask(&mut node, batch);
                    asked.push(Asked { token, known, ticks: 0 });
                    made_at_last += 1;
                }
                8 if node.timers.contains_key(&Timer::Wait) => {
                    node.fire(Timer::Wait);
                    asked.iter_mut().for_each(|commit| commit.ticks += 1);
                }
                9 if rng.once_in(4) => {
                    node = node.crash();
                    made_at_last -= asked.len();
                    asked.clear();
                }
                _ => {}
            }
            check_asked(&node, &mut asked, seed);
            let waits = node.timers.contains_key(&Timer::Wait);
            assert!(waits || asked.is_empty(), "seed {seed}: commits wait and no timer is set");
        }
        node.settle(&all);
        check_asked(&node, &mut asked, seed);
        assert!(asked.is_empty(), "seed {seed}: nothing is owed, and a commit waits");
        let ours = node.world().len() - all.keys().filter(|cid| node.replica.is_merged(cid).unwrap()).count();
        assert_eq!(ours, made_at_last, "seed {seed}: what was asked for and not lost in a crash is there");
        check::is_fold(&node, &fold(&node.world()), &format!("seed {seed}"));
        assert!(node.replica.get(&Key::new("/k")).is_ok());
    }
}
