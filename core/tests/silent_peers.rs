//! Invariant 7 where peers go without a word: what is owed is asked of those who answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{Bytes, Cid, Config, Mark, Peer, Timer};
use support::{
    Node, World,
    blocks::{nobody_serves, put_block, world},
    node::Fetch,
};

/// Peers that answer nothing; peer 1 answers.
const GONE: [Peer; 2] = [Peer(2), Peer(3)];
/// As many blocks, that nobody has.
const GHOSTS: u64 = 600;

fn block(links: &[Cid], key: &str) -> Bytes {
    put_block(links, 2, key, "v")
}

/// Round trips with those who answer, until nothing is asked of them. What was asked of the others.
fn serve(node: &mut Node, world: &World) -> Vec<Fetch> {
    let mut unanswered = Vec::new();
    while !node.fetches.is_empty() {
        for fetch in std::mem::take(&mut node.fetches) {
            match world.get(&fetch.cid) {
                _ if fetch.from.is_some_and(|from| GONE.contains(&from)) => unanswered.push(fetch),
                Some(bytes) => node.answer(fetch, bytes),
                None => node.fail(fetch),
            }
        }
    }
    unanswered
}

/// So many ticks of the fetch timer, with round trips before each. What was asked of those who do not answer.
fn pass(node: &mut Node, world: &World, ticks: u64) -> Vec<Fetch> {
    let mut unanswered = Vec::new();
    for _ in 0..ticks {
        unanswered.extend(serve(node, world));
        node.fire(Timer::Fetch);
    }
    unanswered
}

/// A node that owes blocks of which it has heard from all, most of which nobody has: an old one, `root`, waits behind them.
struct Owing {
    node: Node,
    root: Bytes,
    before: World,
    after: World,
}

fn owing() -> Owing {
    let root = put_block(&[], 1, "root", "v");
    let head = block(&[Cid::of(&root)], "head");
    let ghosts: Vec<Cid> = (0..GHOSTS).map(nobody_serves).collect();
    let traps: Vec<Bytes> = ghosts.chunks(10).enumerate().map(|(n, some)| block(some, &format!("trap{n}"))).collect();
    let before = world(traps.iter().chain([&head]));
    let after = world(traps.iter().chain([&head, &root]));
    let config = Config { fetches_per_peer_max: 8, ..Config::default() };
    let mut node = Node::with(config);
    for bytes in [&head].into_iter().chain(&traps) {
        // First from the one that answers, so that the blocks come; then from the others, who may have what is below.
        for peer in [1, 2, 3] {
            node.hear(peer, &[Cid::of(bytes)]);
            serve(&mut node, &before);
        }
    }
    assert_eq!(node.replica.stats().obligations, GHOSTS + 1 + 1 + traps.len() as u64);
    Owing { node, root, before, after }
}

#[test]
fn invariant_07_peers_that_are_gone_do_not_hold_up_what_others_have() {
    let Owing { mut node, root, before, after } = owing();
    // Long enough to have asked them all, had everyone answered.
    pass(&mut node, &before, 20);
    let mut ticks = 0;
    while !node.merged().contains(&Cid::of(&root)) {
        pass(&mut node, &after, 1);
        ticks += 1;
        assert!(ticks <= 20, "asking for each of the ghosts in vain takes some 60: {:?}", node.replica.stats());
    }
}

#[test]
fn a_silent_peer_is_asked_for_one_block_at_a_time() {
    let Owing { mut node, before, .. } = owing();
    pass(&mut node, &before, 40);
    assert!(node.replica.marks().has(Mark::SilentSpared));
    let ticks = u64::from(Config::default().fetch_timeout_ticks) + 1;
    let asked = pass(&mut node, &before, 10 * ticks);
    for peer in GONE {
        let count = asked.iter().filter(|fetch| fetch.from == Some(peer)).count() as u64;
        assert!((2..=11).contains(&count), "{peer:?} was asked {count} times in the time of 10 timeouts");
    }
}

#[test]
fn a_silent_peer_that_announces_is_asked_at_once_and_when_it_answers_for_all() {
    let Owing { mut node, before, .. } = owing();
    pass(&mut node, &before, 40);
    // Its probe is in flight, and times out some ticks from now.
    let news = put_block(&[], 1, "news", "v");
    node.fetches.clear();
    node.hear(2, &[Cid::of(&news)]);
    let fetch = |node: &Node, cid| node.fetches.iter().find(|fetch| fetch.cid == cid).copied();
    let asked = fetch(&node, Cid::of(&news)).expect("it is asked for at once");
    assert_eq!(asked.from, Some(Peer(2)));
    assert!(!node.replica.marks().has(Mark::SilentBack));
    node.fetches.clear();
    node.answer(asked, &news);
    assert!(node.merged().contains(&Cid::of(&news)));
    assert!(node.replica.marks().has(Mark::SilentBack));
    let of_it = node.fetches.iter().filter(|fetch| fetch.from == Some(Peer(2))).count();
    assert!(of_it >= 4, "many blocks are asked of it again, not {of_it}");
}

/// Where it is the only one known to have a block, it is asked for ever.
#[test]
fn invariant_07_what_only_a_silent_peer_has_is_fetched_when_it_is_back() {
    let root = put_block(&[], 1, "root", "v");
    let head = block(&[Cid::of(&root)], "head");
    let (before, after) = (world([&head]), world([&head, &root]));
    let mut node = Node::new();
    node.hear(2, &[Cid::of(&head)]);
    let first = node.fetches.remove(0);
    node.answer(first, &before[&Cid::of(&head)]);
    pass(&mut node, &before, 200);
    node.fetches.clear();
    // It says nothing by itself.
    for _ in 0..70 {
        node.fire(Timer::Fetch);
        for fetch in std::mem::take(&mut node.fetches) {
            node.answer(fetch, &after[&fetch.cid]);
        }
        if !node.replica.is_behind() {
            assert_eq!(node.merged().len(), 2);
            return;
        }
    }
    panic!("it was not asked again: {:?}", node.replica.stats());
}
