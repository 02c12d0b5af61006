//! Rebuild and verify: what they keep, what they find and mend, and that a crash anywhere changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Batch, Bytes, Cid, Config, DagName, Effect, Error, Event, Input, Key, MergeAll, Outcome, Peer, Progress, Refusal,
    Replica, TaskKind, Timer, Token,
    store::{MemoryStore, Read, Store, StoreError, Table, Visit, VisitKey, WriteBatch},
    wire::Block,
};
use std::collections::{BTreeMap, BTreeSet};
use support::{
    Disk, Node, World,
    blocks::{self, block_in, nobody_serves, put_block, tombstone_block, void_block, world},
    recount::{check_counts, table},
};

fn in_dag(name: &str) -> Batch {
    Batch::for_dag(DagName::new(name))
}

fn small_steps() -> Config {
    Config { step_bytes_max: 300, ..Config::default() }
}

// ---- rebuild

/// A replica that has something in every table: pending and dropped bodies, wants, early tombstones, stubs, void blocks.
fn full() -> (Node, World) {
    let config = Config { pending_bytes_max: 250, ..small_steps() };
    let mut node = Node::with(config);
    let void = void_block(&[], 1);
    let over_void = block_in("m", &[Cid::of(&void)], 2, &[("m", "1")], &[]);
    let unserved = put_block(&[nobody_serves(1)], 7, "k", "given up below");
    let early = tombstone_block(&[], 1, "e", nobody_serves(2));
    let pending = blocks::chain(8, |n| (format!("p{n}"), n.to_string()));
    let all = world(pending.iter().chain([&void, &over_void, &unserved, &early]));
    for bytes in [&void, &over_void, &unserved, &early].into_iter().chain(pending[1..].iter().rev()) {
        node.receive(bytes);
    }
    let fetch = node.fetches.iter().position(|fetch| fetch.cid == Cid::of(&void)).unwrap();
    let fetch = node.fetches.swap_remove(fetch);
    node.answer(fetch, &void);
    for n in 0..12 {
        node.put("versions", &format!("{n}"));
        node.commit(in_dag("n").put("n", n.to_string()).put("versions", "n"));
    }
    node.purge("n");
    node.abandon(nobody_serves(1)).unwrap();
    let stats = node.replica.stats();
    assert!(stats.obligations > 4 && stats.purged == 12 && stats.abandoned == 1 && stats.void == 1, "{stats:?}");
    assert!(stats.early_tombstones == 1 && node.rows(Table::Bodies) > 0 && node.rows(Table::Versions) > 0, "{stats:?}");
    assert!(stats.pending_bytes <= 250);
    (node, all)
}

/// All rows that are derived from merged blocks and stubs alone: not those that depend on how a block became known.
fn derived(rows: &MemoryStore) -> Vec<(Vec<u8>, Bytes)> {
    let tables = [Table::Heads, Table::Keys, Table::Versions, Table::Early, Table::Stubs];
    tables.into_iter().flat_map(|of| table(rows, of)).collect()
}

#[test]
fn a_rebuild_gives_the_same_and_owes_the_same() {
    let (mut node, all) = full();
    let (before, stats) = (derived(node.replica.store().rows()), node.replica.stats());
    let owed: BTreeSet<Vec<u8>> = owed(node.replica.store().rows());
    node.events.clear();
    let outcome = node.rebuild();
    let now = node.replica.stats();
    assert_eq!(outcome, Outcome::Rebuilt { blocks: stats.merged, damaged: 0, owed: now.obligations });
    assert_eq!(derived(node.replica.store().rows()), before);
    check_counts(&node, "rebuilt");
    assert!(owed.is_subset(&self::owed(node.replica.store().rows())), "nothing that was owed is forgotten");
    assert_eq!(node.events, [], "nothing has happened");
    assert_eq!(node.rows(Table::Derive), 0);
    let node = &mut node.crash();
    node.settle(&all);
    assert_eq!(node.get("p7"), Some("7".into()));
}

/// The blocks that are pending or wanted.
fn owed(rows: &MemoryStore) -> BTreeSet<Vec<u8>> {
    table(rows, Table::Nodes).into_iter().filter(|(_, row)| matches!(row[0], 3 | 4 | 7)).map(|(cid, _)| cid).collect()
}

/// A full replica that is being rebuilt.
struct Rebuilding {
    config: Config,
    /// What its rows held before.
    derived: Vec<(Vec<u8>, Bytes)>,
    owed: BTreeSet<Vec<u8>>,
    /// What it has and owes.
    all: World,
    /// Its rows after each commit of the rebuild.
    left: Vec<MemoryStore>,
}

fn rebuilding() -> Rebuilding {
    let (node, all) = full();
    let (derived, owed) = (derived(node.replica.store().rows()), owed(node.replica.store().rows()));
    let config = node.replica.config().clone();
    let disk = Disk::holding(node.replica.into_store().rows().clone());
    disk.record();
    let mut node = Node::open(disk, config.clone(), MergeAll);
    node.rebuild();
    let left = node.replica.store().recorded();
    assert!(left.len() > 20, "{} commits", left.len());
    Rebuilding { config, derived, owed, all, left }
}

impl Rebuilding {
    fn open(&self, rows: MemoryStore) -> Node {
        Node::open(Disk::holding(rows), self.config.clone(), MergeAll)
    }

    /// The rows hold what they held before.
    fn is_as_before(&self, rows: &MemoryStore, what: &str) {
        assert_eq!(derived(rows), self.derived, "{what}");
        assert!(self.owed.is_subset(&owed(rows)), "{what}");
    }

    /// It comes to the same end.
    fn goes_on(&self, mut node: Node, what: &str) {
        check_counts(&node, what);
        node.settle(&self.all);
        assert_eq!(node.get("p7"), Some("7".into()), "{what}");
    }
}

#[test]
fn a_crash_after_any_commit_of_a_rebuild_resumes_it() {
    let rebuilding = rebuilding();
    for (at, rows) in rebuilding.left.iter().enumerate() {
        let (what, node) = (format!("crash after commit {at}"), rebuilding.open(rows.clone()));
        rebuilding.is_as_before(node.replica.store().rows(), &what);
        rebuilding.goes_on(node, &what);
    }
}

#[test]
fn while_a_rebuild_runs_nothing_is_read_written_or_heard() {
    let (mut node, _) = full();
    let kept = *node.merged().first().unwrap();
    let (rebuilds, commits) = (node.token(), node.token());
    node.sent.clear();
    let _ = node.try_step(Input::Rebuild { token: rebuilds }).unwrap();
    assert_eq!(node.replica.task().unwrap().kind, TaskKind::Rebuild(None));
    let _ = node.try_step(Input::Continue).unwrap();
    assert_eq!(node.replica.get(&Key::new("k")), Err(Error::Rebuilding));
    assert_eq!(node.replica.block(&kept), Err(Error::Rebuilding));
    assert_eq!(node.replica.heads(), Err(Error::Rebuilding));
    assert_eq!(node.replica.snapshot().err(), Some(Error::Rebuilding));
    assert!(node.replica.is_behind());
    let fetches = node.fetches_total;
    let _ = node.try_step(Input::Commit { token: commits, batch: Batch::new().put("k", "v") }).unwrap();
    assert_eq!(node.outcomes[&commits], Err(Refusal::Rebuilding));
    let unknown = put_block(&[], 1, "unknown", "v");
    let payload = blocks::announcement(&[Cid::of(&unknown)]);
    let _ = node.try_step(Input::Broadcast { from: Peer(1), payload }).unwrap();
    let (from, cid, attempt) = (Peer(1), Cid::of(&unknown), 0);
    let _ = node.try_step(Input::Block { from, cid, bytes: unknown, attempt }).unwrap();
    for timer in [Timer::Rebroadcast, Timer::Fetch] {
        assert!(node.timers.remove(&timer).is_some(), "{timer:?} is set");
        let _ = node.try_step(Input::Timer(timer)).unwrap();
    }
    assert!(node.timers.contains_key(&Timer::Rebroadcast), "rounds go on");
    let busy = node.token();
    let _ = node.try_step(Input::Rebuild { token: busy }).unwrap();
    assert_eq!(node.outcomes[&busy], Err(Refusal::Busy));
    assert_eq!((node.fetches_total, node.sent.len()), (fetches, 0));
    node.run().unwrap();
    assert!(matches!(node.finished.last(), Some((Some(token), Outcome::Rebuilt { .. })) if *token == rebuilds));
    assert!(!node.announced().is_empty(), "the heads are announced");
    assert!(node.fetches_total > fetches, "what is owed is fetched again");
    assert_eq!(node.get("unknown"), None);
    node.put("k", "after");
    assert_eq!(node.get("k"), Some("after".into()));
}

/// A store whose rows are damaged: reading them fails, as under checksums.
#[derive(Clone, Debug, Default)]
struct Rotten {
    rows: MemoryStore,
    rotten: BTreeSet<(Table, Vec<u8>)>,
}

impl Rotten {
    fn check(&self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        match self.rotten.contains(&(table, key.to_vec())) {
            true => Err(StoreError::Corrupt("the test damaged this row".into())),
            false => Ok(()),
        }
    }
}

impl Read for Rotten {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.check(table, key)?;
        self.rows.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let mut damage = Ok(());
        self.rows.scan(table, prefix, from, &mut |key, row| match self.check(table, key) {
            Ok(()) => visit(key, row),
            Err(error) => {
                damage = Err(error);
                std::ops::ControlFlow::Break(())
            }
        })?;
        damage
    }

    fn scan_keys(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        self.rows.scan_keys(table, prefix, from, visit)
    }
}

impl Store for Rotten {
    type Snapshot = Self;

    fn snapshot(&mut self) -> Result<Self, StoreError> {
        Ok(self.clone())
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        for (table, key, _) in &batch.rows {
            self.rotten.remove(&(*table, key.to_vec()));
        }
        self.rows.commit(batch)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Rebuilds a damaged store, and gives the rows.
fn mended(damaged: Rotten, config: &Config) -> MemoryStore {
    let mut out = Vec::new();
    let mut replica = Replica::open_rebuilding(damaged, config.clone(), MergeAll, &mut out).unwrap();
    while replica.progress() == Progress::More {
        let _ = replica.step(Input::Continue, &mut out).unwrap();
    }
    assert!(
        out.iter().any(|effect| matches!(effect, Effect::Finished { token: None, outcome: Outcome::Rebuilt { .. } }))
    );
    let store = replica.into_store();
    assert_eq!(store.rotten, BTreeSet::new(), "every damaged row was written anew or removed");
    store.rows
}

#[test]
fn any_row_may_be_damaged_and_what_is_not_a_block_is_mended() {
    let (node, all) = full();
    let config = node.replica.config().clone();
    let wanted = derived(node.replica.store().rows());
    let owed = owed(node.replica.store().rows());
    let rows = node.replica.into_store().rows().clone();
    let served = |(key, bytes): (Vec<u8>, Bytes)| (Cid::from_digest(key.try_into().unwrap()), bytes);
    let peers: World = table(&rows, Table::Blocks).into_iter().map(served).collect();
    for of in Table::ALL {
        for (at, (key, _)) in table(&rows, of).into_iter().enumerate() {
            let what = format!("row {at} of {of:?}");
            let damaged = Rotten { rows: rows.clone(), rotten: [(of, key.clone())].into() };
            let rows = mended(damaged, &config);
            let mut node = Node::open(Disk::holding(rows), config.clone(), MergeAll);
            check_counts(&node, &what);
            if of == Table::Blocks {
                let cid = Cid::from_digest(key[..].try_into().unwrap());
                assert!(!node.replica.is_merged(&cid).unwrap(), "{what}");
                assert!(self::owed(node.replica.store().rows()).contains(&key), "{what}: it is owed, for it was here");
                // Peers have it: all is as it was.
                node.pull(&peers);
            }
            assert_eq!(derived(node.replica.store().rows()), wanted, "{what}");
            assert!(owed.is_subset(&self::owed(node.replica.store().rows())), "{what}");
            node.settle(&all);
            assert_eq!(node.get("p7"), Some("7".into()), "{what}");
        }
    }
}

/// While rows are cleared and not made anew yet, what is owed stands nowhere but in the notes of the rebuild that was cut off.
#[test]
fn a_rebuild_that_is_begun_anew_anywhere_forgets_nothing_that_is_owed() {
    let rebuilding = rebuilding();
    for (at, rows) in rebuilding.left.iter().enumerate() {
        let what = format!("begun anew after commit {at}");
        let rows = mended(Rotten { rows: rows.clone(), rotten: BTreeSet::new() }, &rebuilding.config);
        rebuilding.is_as_before(&rows, &what);
        rebuilding.goes_on(rebuilding.open(rows), &what);
    }
}

// ---- verify

fn verify(node: &mut Node) -> (u64, u64, u64) {
    match node.ask(|token| Input::Verify { token }).expect("a verification is not refused") {
        Outcome::Verified { blocks, keys, faults } => (blocks, keys, faults),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sound_store_has_no_faults_and_is_as_it_was() {
    let (mut node, _) = full();
    let (before, stats) = (node.replica.store().rows().clone(), node.replica.stats());
    let (blocks, keys, faults) = verify(&mut node);
    assert_eq!((blocks, faults), (stats.merged, 0), "{:?}", node.events.last());
    assert!(keys > node.state().len() as u64, "{keys} keys, those with tombstones alone among them");
    assert!(*node.replica.store().rows() == before, "not a row has changed");
}

/// Changes one row of a sound store in some way.
type Harm = fn(&mut MemoryStore, &Node) -> Table;

fn put(rows: &mut MemoryStore, table: Table, key: Vec<u8>, row: Option<Bytes>) -> Table {
    rows.commit(WriteBatch { rows: vec![(table, key.into(), row)] }).unwrap();
    table
}

fn first(rows: &MemoryStore, of: Table) -> (Vec<u8>, Bytes) {
    table(rows, of).swap_remove(0)
}

#[test]
fn every_kind_of_damage_is_found_and_mended_by_a_rebuild() {
    let harms: [(&str, Harm); 15] = [
        ("the bytes of a block are gone", |rows, node| {
            put(rows, Table::Blocks, node.merged().first().unwrap().digest().to_vec(), None)
        }),
        ("the bytes of a block are another's", |rows, node| {
            put(rows, Table::Blocks, node.merged().last().unwrap().digest().to_vec(), Some("other".into()))
        }),
        ("a block is kept at another height", |rows, node| {
            let cid = *node.merged().iter().find(|cid| Block::decode(&node.bytes(cid)).delta.is_ok()).unwrap();
            let mut row = rows.get(Table::Nodes, cid.digest()).unwrap().unwrap().to_vec();
            row[1] += 1;
            put(rows, Table::Nodes, cid.digest().to_vec(), Some(row.into()))
        }),
        ("a node's row is no row", |rows, node| {
            put(rows, Table::Nodes, node.merged().first().unwrap().digest().to_vec(), Some("?".into()))
        }),
        ("a node is missing", |rows, node| {
            let parent = node.world().values().find_map(|bytes| Block::decode(bytes).links.first().copied()).unwrap();
            put(rows, Table::Nodes, parent.digest().to_vec(), None)
        }),
        ("a head is missing", |rows, _| {
            let (key, _) = first(rows, Table::Heads);
            put(rows, Table::Heads, key, None)
        }),
        ("a head is of another name", |rows, _| {
            let (mut key, row) = first(rows, Table::Heads);
            key.insert(0, b'x');
            put(rows, Table::Heads, key, Some(row))
        }),
        ("a value is another", |rows, _| {
            let (key, row) = first(rows, Table::Keys);
            put(rows, Table::Keys, key, Some([&row[..], b"!"].concat().into()))
        }),
        ("a value is missing", |rows, _| {
            let (key, _) = first(rows, Table::Keys);
            put(rows, Table::Keys, key, None)
        }),
        ("a key comes from nowhere", |rows, _| {
            let (_, row) = first(rows, Table::Keys);
            put(rows, Table::Keys, b"/nowhere".to_vec(), Some(row))
        }),
        ("a version is missing", |rows, _| {
            let (key, _) = first(rows, Table::Versions);
            put(rows, Table::Versions, key, None)
        }),
        ("a version comes from nowhere", |rows, _| {
            let (key, row) = first(rows, Table::Versions);
            put(rows, Table::Versions, key.iter().map(|byte| byte ^ 1).collect(), Some(row))
        }),
        ("a tombstone that waits is missing", |rows, _| {
            let (key, _) = first(rows, Table::Early);
            put(rows, Table::Early, key, None)
        }),
        ("a tombstone waits for a merged block", |rows, node| {
            let cid = *node.merged().first().unwrap();
            put(rows, Table::Early, [cid.digest(), &b"/k"[..]].concat(), Some(Bytes::new()))
        }),
        ("a stub is missing", |rows, _| {
            let (key, _) = first(rows, Table::Stubs);
            put(rows, Table::Stubs, key, None)
        }),
    ];
    let (node, _) = full();
    let wanted = derived(node.replica.store().rows());
    for (what, harm) in harms {
        let mut rows = node.replica.store().rows().clone();
        let of = harm(&mut rows, &node);
        let config = node.replica.config().clone();
        let mut harmed = Node::open(Disk::holding(rows.clone()), config.clone(), MergeAll);
        harmed.events.clear();
        let (_, _, faults) = verify(&mut harmed);
        assert!(faults > 0, "{what}");
        let told = harmed.events.iter().filter(|event| matches!(event, Event::Damage(_))).count();
        assert_eq!(told as u64, faults, "{what}");
        for event in &harmed.events {
            let Event::Damage(damage) = event else { continue };
            assert_eq!(damage.to_string().lines().count(), 1, "one line: {damage}");
        }
        let mended = mended(Rotten { rows, rotten: BTreeSet::new() }, &config);
        let mut mended = Node::open(Disk::holding(mended), config, MergeAll);
        if of != Table::Blocks {
            assert_eq!(derived(mended.replica.store().rows()), wanted, "{what}");
        }
        assert_eq!(verify(&mut mended).2, 0, "{what}: mended");
    }
}

#[test]
fn at_most_a_hundred_faults_are_told_and_all_are_counted() {
    let mut node = Node::new();
    for n in 0..150 {
        node.put(&format!("k{n}"), "v");
    }
    let mut rows = node.replica.store().rows().clone();
    for (key, _) in table(&rows, Table::Keys) {
        put(&mut rows, Table::Keys, key, None);
    }
    let mut node = Node::open(Disk::holding(rows), Config::default(), MergeAll);
    node.events.clear();
    assert_eq!(verify(&mut node), (150, 150, 150));
    assert_eq!(node.events.len(), 100);
}

#[test]
fn a_row_that_cannot_be_read_is_told_and_stops_nothing() {
    let (node, _) = full();
    let rows = node.replica.into_store().rows().clone();
    for of in [Table::Blocks, Table::Nodes, Table::Keys, Table::Versions, Table::Early, Table::Stubs] {
        let nodes: BTreeMap<_, _> = table(&rows, Table::Nodes).into_iter().collect();
        // Of a block that is merged: what is pending is looked at when it merges.
        let is_checked = |key: &Vec<u8>| of != Table::Blocks || nodes[key][0] <= 2;
        let (key, _) = table(&rows, of).into_iter().find(|(key, _)| is_checked(key)).unwrap();
        let store = Rotten { rows: rows.clone(), rotten: [(of, key)].into() };
        let mut out = Vec::new();
        let mut replica = Replica::open(store, Config::default(), &mut out).unwrap();
        while replica.progress() == Progress::More {
            let _ = replica.step(Input::Continue, &mut out).unwrap();
        }
        let _ = replica.step(Input::Verify { token: Token(1) }, &mut out).unwrap();
        while replica.progress() == Progress::More {
            let _ = replica.step(Input::Continue, &mut out).unwrap();
        }
        let faults = out.iter().find_map(|effect| match effect {
            Effect::Finished { outcome: Outcome::Verified { faults, .. }, .. } => Some(*faults),
            _ => None,
        });
        // A tombstone that waits has no value: a damaged one is as good as it was.
        assert!(faults.unwrap() > 0 || of == Table::Early, "{of:?}: {faults:?}");
    }
}
