//! Random histories: any order, any duplication, any crash gives the state of the naive fold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Batch, Bytes, Cid, Config, DagName, Input, Key, Peer, Timer,
    store::Table,
    wire::{Block, Delta, Element, Tombstone},
};
use proptest::{collection::vec, prelude::*, test_runner::FileFailurePersistence};
use std::collections::BTreeSet;
use support::{Disk, Net, Node, World, blocks, blocks::world, check, fold};

/// A block of a random history. Other blocks are named by how far back they are.
#[derive(Clone, Debug)]
struct Spec {
    links: Vec<usize>,
    puts: Vec<(u8, u8)>,
    tombstones: Vec<(u8, usize)>,
    declared: Declared,
    dag: u8,
    flaw: Option<Flawed>,
}

#[derive(Clone, Copy, Debug)]
enum Declared {
    /// 1 + the greatest height of the links.
    Height,
    Exactly(u64),
}

#[derive(Clone, Copy, Debug)]
enum Flawed {
    NoDelta,
    ForeignLink,
    NoDagPb,
}

fn spec(flaws: u32) -> impl Strategy<Value = Spec> {
    let back = prop_oneof![4 => 0..3usize, 1 => 0..30usize];
    let declared = prop_oneof![
        6 => Just(Declared::Height),
        1 => (0..12u64).prop_map(Declared::Exactly),
        1 => Just(Declared::Exactly(u64::MAX)),
    ];
    let flaw = prop_oneof![Just(Flawed::NoDelta), Just(Flawed::ForeignLink), Just(Flawed::NoDagPb)];
    let flaw = proptest::option::weighted(f64::from(flaws) / 100.0, flaw);
    let dag = prop_oneof![4 => Just(0u8), 1 => 1..3u8];
    // Few keys and values: collisions are what is to be tested, doubled keys among them.
    let puts = vec((0..4u8, 0..7u8), 0..4);
    let tombstones = vec((0..4u8, 0..8usize), 0..3);
    (vec(back, 0..4), puts, tombstones, declared, dag, flaw).prop_map(
        |(links, puts, tombstones, declared, dag, flaw)| Spec { links, puts, tombstones, declared, dag, flaw },
    )
}

/// A block that mostly puts one key and removes others' versions of it, in a wide and shallow DAG.
fn version() -> impl Strategy<Value = Spec> {
    let links = prop_oneof![3 => vec(0..50usize, 0..1), 1 => vec(0..50usize, 0..3)];
    let puts = vec((Just(0u8), 0..7u8), 0..3);
    let tombstones = prop_oneof![3 => vec((Just(0u8), 0..30usize), 0..2), 1 => vec((Just(0u8), 0..30usize), 0..8)];
    let declared = prop_oneof![4 => Just(Declared::Height), 1 => (0..4u64).prop_map(Declared::Exactly)];
    (links, puts, tombstones, declared, 0..3u8).prop_map(|(links, puts, tombstones, declared, dag)| Spec {
        links,
        puts,
        tombstones,
        declared,
        dag,
        flaw: None,
    })
}

fn key(key: u8) -> Key {
    Key::new(["a", "b", "b/c", "z"][usize::from(key)])
}

/// Short values, and long ones that differ only at their ends.
fn value(value: u8) -> Bytes {
    let long = |end: &str| Bytes::from(format!("{}{end}", "a".repeat(100)));
    match value {
        0 => Bytes::new(),
        1 => "a".into(),
        2 => "aa".into(),
        3 => "b".into(),
        4 => long(""),
        5 => long("1"),
        _ => long("2"),
    }
}

fn dag(dag: u8) -> DagName {
    DagName::new(["", "n", "n/m"][usize::from(dag)])
}

/// The blocks of a history, each after those that it names. Equal specs may make equal blocks.
fn build(specs: &[Spec]) -> Vec<Bytes> {
    let mut blocks: Vec<Bytes> = Vec::new();
    let mut heights: Vec<u64> = Vec::new();
    for (at, spec) in specs.iter().enumerate() {
        let earlier = |back: &usize| at.checked_sub(1 + back);
        let parents: BTreeSet<usize> = spec.links.iter().filter_map(earlier).collect();
        let links: BTreeSet<Cid> = parents.iter().map(|parent| Cid::of(&blocks[*parent])).collect();
        let links: Vec<Cid> = links.into_iter().collect();
        let height = 1 + parents.iter().map(|parent| heights[*parent]).max().unwrap_or(0);
        let tombstones = spec.tombstones.iter().filter_map(|(of, back)| Some((*of, earlier(back)?)));
        let delta = Delta {
            elements: spec.puts.iter().map(|(k, v)| Element { key: key(*k), value: value(*v) }).collect(),
            tombstones: tombstones
                .map(|(k, target)| Tombstone { key: key(k), target: Cid::of(&blocks[target]) })
                .collect(),
            priority: match spec.declared {
                Declared::Height => height,
                Declared::Exactly(priority) => priority,
            },
            dag: dag(spec.dag),
        };
        let raw_links: Vec<[u8; 36]> = links.iter().map(Cid::to_bytes).collect();
        let mut raw_links: Vec<&[u8]> = raw_links.iter().map(|link| link.as_slice()).collect();
        let foreign = [&[0x01, 0x55, 0x12, 0x20][..], &[at as u8; 32]].concat();
        let bytes = match spec.flaw {
            None => Block::encode(&links, &delta),
            Some(Flawed::NoDelta) => blocks::void_block(&links, at as u8),
            Some(Flawed::ForeignLink) => {
                raw_links.push(&foreign);
                blocks::raw_block(&raw_links, Some(&[0x18, 0x01]))
            }
            Some(Flawed::NoDagPb) => Bytes::from(vec![0xff, 0xff, at as u8]),
        };
        heights.push(if matches!(spec.flaw, Some(Flawed::NoDagPb)) { 1 } else { height });
        blocks.push(bytes);
    }
    blocks
}

/// What happens to a replica, in terms of a history.
#[derive(Clone, Debug)]
enum Act {
    /// A block comes unasked.
    Receive(usize),
    /// The same, and its `Continue` is left for later.
    Begin(usize),
    Announce(u8, Vec<usize>),
    /// One of the fetches that are out is answered, fails, or gets other bytes.
    Answer(usize),
    Fail(usize),
    Wrong(usize),
    Tick,
    /// A crash that leaves one of the states that the store may be in.
    Crash(usize),
}

fn acts(len: usize) -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (0..64usize).prop_map(Act::Receive),
        2 => (0..64usize).prop_map(Act::Begin),
        2 => (0..4u8, vec(0..64usize, 1..4)).prop_map(|(peer, heads)| Act::Announce(peer, heads)),
        4 => (0..64usize).prop_map(Act::Answer),
        1 => (0..64usize).prop_map(Act::Fail),
        1 => (0..64usize).prop_map(Act::Wrong),
        1 => Just(Act::Tick),
        1 => (0..64usize).prop_map(Act::Crash),
    ];
    vec(act, 0..len)
}

fn recording(rows: anabranch_core::store::MemoryStore) -> Disk {
    let disk = Disk::holding(rows);
    disk.record();
    disk
}

fn act(node: Node, act: &Act, blocks: &[Bytes]) -> Node {
    let mut node = node;
    let block = |at: usize| &blocks[at % blocks.len()];
    let take = |node: &mut Node, at: usize| {
        if node.fetches.is_empty() { None } else { Some(node.fetches.swap_remove(at % node.fetches.len())) }
    };
    match act {
        Act::Receive(at) => node.receive(block(*at)),
        Act::Begin(at) => {
            let (cid, bytes) = (Cid::of(block(*at)), block(*at).clone());
            let _ = node.try_step(Input::Block { from: Peer(9), cid, bytes, attempt: 0 }).unwrap();
        }
        Act::Announce(peer, heads) => {
            let heads: Vec<Cid> = heads.iter().map(|at| Cid::of(block(*at))).collect();
            node.hear(u64::from(*peer), &heads);
        }
        Act::Answer(at) => {
            if let Some(fetch) = take(&mut node, *at) {
                let bytes = &world(blocks)[&fetch.cid];
                node.answer(fetch, bytes);
            }
        }
        Act::Fail(at) => {
            if let Some(fetch) = take(&mut node, *at) {
                node.fail(fetch);
            }
        }
        Act::Wrong(at) => {
            if let Some(fetch) = take(&mut node, *at) {
                node.answer(fetch, &Bytes::from_static(b"wrong"));
            }
        }
        Act::Tick => {
            if node.timers.contains_key(&Timer::Fetch) {
                node.fire(Timer::Fetch);
            }
        }
        Act::Crash(at) => {
            let mut left = node.replica.store().after_a_crash();
            let rows = left.swap_remove(at % left.len());
            node = node.crash_leaving(recording(rows));
        }
    }
    check::ancestors_are_merged(&node);
    node
}

/// Gives a replica what the plan says and then all blocks in this order.
fn live(blocks: &[Bytes], plan: &[Act], order: &[usize], config: Config) -> Node {
    let all = world(blocks);
    let mut node = Node::open(recording(Default::default()), config, anabranch_core::MergeAll);
    for step in plan {
        node = act(node, step, blocks);
    }
    for at in order {
        node.receive(&blocks[at % blocks.len()]);
    }
    // All that the order left out, and void blocks on which good ones build.
    blocks.iter().for_each(|bytes| node.receive(bytes));
    node.settle(&all);
    node
}

fn config() -> ProptestConfig {
    let failure_persistence = Some(Box::new(FileFailurePersistence::Direct("tests/properties.regressions")) as Box<_>);
    ProptestConfig { cases: 256, failure_persistence, ..ProptestConfig::default() }
}

/// Room for so few bodies, fetches and rumours that every limit is met.
fn small(bodies: u64) -> Config {
    Config {
        pending_bytes_max: bodies * 60,
        step_bytes_max: 1,
        fetches_max: 1 + bodies as usize / 2,
        fetches_per_peer_max: 1 + bodies as usize / 4,
        rumours_per_peer_max: 1 + bodies as usize / 2,
        fetch_timeout_ticks: 1,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Two replicas that got the same blocks in any two ways agree with the fold, hence with each other.
    #[test]
    fn any_order_duplication_and_crash_gives_the_fold(
        specs in vec(spec(10), 1..24),
        plans in [acts(60), acts(60)],
        order in vec(0..64usize, 0..40),
        bodies in 0..8u64,
    ) {
        let blocks = build(&specs);
        let fold = fold(&world(&blocks));
        let one = live(&blocks, &plans[0], &order, Config::default());
        check::is_fold(&one, &fold, "the one");
        let other = live(&blocks, &plans[1], &[], small(bodies));
        check::is_fold(&other, &fold, "the other");
    }

    /// One key with so many versions that they do not fit its record, most of equal rank, many of them
    /// removed, before they come and after.
    #[test]
    fn many_versions_of_one_key_in_any_order_give_the_fold(
        specs in vec(version(), 1..50),
        plan in acts(60),
        order in vec(0..64usize, 0..60),
    ) {
        let blocks = build(&specs);
        let mut node = Node::open(recording(Default::default()), Config::default(), anabranch_core::MergeAll);
        for at in &order {
            node.receive(&blocks[at % blocks.len()]);
            check::is_fold_of_merged(&node);
        }
        let fold = fold(&world(&blocks));
        let mut node = live(&blocks, &plan, &order, small(8));
        check::is_fold(&node, &fold, "all came");
        // A delete names all that live: nothing is left over in any table.
        for (key, _) in fold.state {
            node.commit(Batch::new().delete(key));
        }
        prop_assert_eq!(node.state().len(), 0);
        prop_assert_eq!((node.rows(Table::Keys), node.rows(Table::Versions), node.rows(Table::Early)), (0, 0, 0));
    }

    /// A replica at any point shows the fold of what it has merged so far.
    #[test]
    fn at_every_point_the_state_is_the_fold_of_the_merged_blocks(
        specs in vec(spec(15), 1..16),
        plan in acts(40),
        bodies in 0..8u64,
    ) {
        let blocks = build(&specs);
        let mut node = Node::open(recording(Default::default()), small(bodies), anabranch_core::MergeAll);
        for step in &plan {
            node = act(node, step, &blocks);
            check::is_fold_of_merged(&node);
        }
    }

    /// A put of a replica that has merged whatever there is shows at once, and wins everywhere.
    /// All blocks are of one DAG: a put links to the heads of its own name and so outranks its own name's versions.
    #[test]
    fn a_merged_replicas_own_next_put_is_visible_and_wins(
        specs in vec(spec(10), 1..16),
        put in (0..4u8, 0..7u8),
        order in vec(0..64usize, 0..40),
    ) {
        let specs: Vec<Spec> = specs.into_iter().map(|spec| Spec { dag: 0, ..spec }).collect();
        let mut blocks = build(&specs);
        let mut node = live(&blocks, &[], &order, Config::default());
        let own = node.commit(Batch::new().put(key(put.0).as_bytes(), value(put.1)));
        prop_assert_eq!(node.replica.get(&key(put.0)).unwrap(), Some(value(put.1)));
        blocks.push(node.bytes(&own[0]));
        let peer = live(&blocks, &[], &order, Config::default());
        prop_assert_eq!(peer.replica.get(&key(put.0)).unwrap(), Some(value(put.1)));
        check::is_fold(&peer, &fold(&world(&blocks)), "the peer");
    }
}

/// What the programs of a few replicas do.
#[derive(Clone, Debug)]
enum Do {
    Write(usize, u8, Vec<(u8, Option<u8>)>),
    /// What the first has announced reaches the second; or is lost.
    Deliver(usize, usize),
    Lose(usize),
    Rebroadcast(usize),
    Crash(usize),
}

fn doings() -> impl Strategy<Value = Vec<Do>> {
    let writes = vec((0..4u8, proptest::option::weighted(0.7, 0..7u8)), 1..4);
    let act = prop_oneof![
        6 => (0..3usize, prop_oneof![4 => Just(0u8), 1 => 1..3u8], writes).prop_map(|(at, dag, writes)| Do::Write(at, dag, writes)),
        3 => (0..3usize, 0..3usize).prop_map(|(from, to)| Do::Deliver(from, to)),
        1 => (0..3usize).prop_map(Do::Lose),
        2 => (0..3usize).prop_map(Do::Rebroadcast),
        1 => (0..3usize).prop_map(Do::Crash),
    ];
    vec(act, 0..40)
}

/// Does it, and returns the blocks that were acknowledged.
fn perform(net: &mut Net, act: &Do) -> Vec<Cid> {
    match act {
        Do::Write(at, name, writes) => {
            let mut batch = Batch::for_dag(dag(*name));
            for (k, v) in writes {
                batch = match v {
                    Some(v) => batch.put(key(*k).as_bytes(), value(*v)),
                    None => batch.delete(key(*k).as_bytes()),
                };
            }
            let last = |of: u8| writes.iter().rev().find(|(k, _)| *k == of).and_then(|(_, v)| *v);
            let blocks = net.nodes[*at].commit(batch);
            for (k, _) in writes.iter().filter(|(k, _)| last(*k).is_none()) {
                assert_eq!(net.nodes[*at].replica.get(&key(*k)).unwrap(), None, "a deleted key is gone here");
            }
            return blocks;
        }
        Do::Deliver(from, to) if from != to => net.deliver(*from, &[*to]),
        Do::Deliver(..) => {}
        Do::Lose(at) => net.nodes[*at].sent.clear(),
        Do::Rebroadcast(at) => net.nodes[*at].fire(Timer::Rebroadcast),
        Do::Crash(at) => {
            let node = core::mem::replace(&mut net.nodes[*at], Node::new());
            net.nodes[*at] = node.crash();
        }
    }
    Vec::new()
}

proptest! {
    #![proptest_config(config())]

    /// Replicas that write, hear and crash as they like converge on the fold once all hear all,
    /// and nothing acknowledged is lost.
    #[test]
    fn writers_converge_on_the_fold_of_all_that_was_acknowledged(doings in doings()) {
        let mut net = Net::new(3);
        let mut acknowledged = BTreeSet::new();
        for act in &doings {
            acknowledged.extend(perform(&mut net, act));
        }
        net.converge();
        let world: World = net.world();
        prop_assert_eq!(world.keys().copied().collect::<BTreeSet<_>>(), acknowledged);
        for node in &net.nodes {
            check::is_fold(node, &fold(&world), "a writer");
            prop_assert_eq!(node.replica.stats().misdeclared, 0);
        }
        // Go replicas, which rank by what is declared, rank our blocks by their heights: they agree.
        for (cid, bytes) in &world {
            let declared = Block::decode(bytes).delta.unwrap().priority;
            prop_assert_eq!(declared, fold(&world).merged[cid]);
        }
    }
}
