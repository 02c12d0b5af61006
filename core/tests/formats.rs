//! The format of the rows: a store of format 1, made by the code that wrote it (commit b15b184), is upgraded on opening.
//!
//! `data/format-1.rows` holds every row of such a store, what that code showed of it, and the blocks that it still lacked: chains in the
//! making and bodies dropped, blocks ready to be merged, a block that waits for six parents, more versions of a key than
//! its record holds, a tombstone before its target, a void block, two named DAGs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Batch, Bytes, Cid, Config, Error, Input, MergeAll, Timer, WhenBehind,
    store::{MemoryStore, Read, Store, Table, WriteBatch},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use support::{blocks::World, *};

const FORMAT: &[u8] = b"format";

/// A store of format 1, and what the code of that format said of it.
#[derive(Default)]
struct Old {
    rows: Vec<(Table, Bytes, Option<Bytes>)>,
    state: BTreeMap<Vec<u8>, Bytes>,
    heads: BTreeSet<(String, Cid)>,
    merged: BTreeSet<Cid>,
    /// The blocks that it lacked.
    elsewhere: World,
    obligations: u64,
}

fn old() -> Old {
    let mut old = Old::default();
    for line in include_str!("data/format-1.rows").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["row", table, key, row] => {
                let table = Table::ALL[table.parse::<usize>().unwrap()];
                old.rows.push((table, hex(key), Some(hex(row))));
            }
            ["value", key, value] => drop(old.state.insert(hex(key).to_vec(), hex(value))),
            ["head", dag, head] => {
                old.heads.insert((String::from_utf8(hex(dag).to_vec()).unwrap(), cid(head)));
            }
            ["merged", block] => drop(old.merged.insert(cid(block))),
            ["elsewhere", bytes] => drop(old.elsewhere.insert(Cid::of(&hex(bytes)), hex(bytes))),
            ["obligations", count] => old.obligations = count.parse().unwrap(),
            _ => panic!("{line}"),
        }
    }
    old
}

fn store_of(rows: Vec<(Table, Bytes, Option<Bytes>)>) -> Disk {
    let mut store = MemoryStore::new();
    store.commit(WriteBatch { rows }).unwrap();
    Disk::holding(store)
}

fn format_of(disk: &Disk) -> u32 {
    let row = disk.rows().get(Table::Meta, FORMAT).unwrap().unwrap();
    u32::from_le_bytes(row[..].try_into().unwrap())
}

#[test]
fn a_store_of_format_1_is_upgraded_and_shows_the_same() {
    let old = old();
    assert!(old.rows.len() > 100 && old.obligations > 10, "the data is that of a store in the middle of its work");
    let disk = store_of(old.rows);
    assert_eq!(format_of(&disk), 1);
    // Opened and closed again at once: the ready blocks are still ready.
    let opened = anabranch_core::Replica::open(disk, Config::default(), &mut Vec::new()).unwrap();
    assert_eq!(opened.stats().obligations, old.obligations);
    for (key, value) in &old.state {
        assert_eq!(opened.get(&anabranch_core::Key::new(key)).unwrap().as_ref(), Some(value));
    }
    let disk = opened.into_store();
    assert_eq!(format_of(&disk), 2);
    let mut node = Node::open(disk, Config::default(), MergeAll);
    assert!(node.merged().is_superset(&old.merged));
    node.settle(&old.elsewhere);
    let all = node.world();
    assert!(old.elsewhere.keys().filter(|block| all.contains_key(block)).count() > 10);
    assert_eq!(node.get("/early"), None, "the early tombstone waits on");
    node.receive(&blocks::put_block(&[], 1, "/early", "never seen"));
    assert_eq!(node.get("/early"), None, "and has done its work");
    node.delete("/many");
    assert_eq!(node.get("/many"), None, "the rows of versions are understood");
    let after = fold(&node.world());
    check::is_fold(&node, &after, "after the upgrade");
    check::is_fold(&node.crash(), &after, "after a crash");
}

#[test]
fn heads_of_an_upgraded_store_are_what_they_were() {
    let old = old();
    // Opening alone merges nothing more.
    let opened = anabranch_core::Replica::open(store_of(old.rows), Config::default(), &mut Vec::new()).unwrap();
    let heads = opened.heads().unwrap().into_iter().map(|head| (head.dag.as_str().to_owned(), head.cid));
    assert_eq!(heads.collect::<BTreeSet<_>>(), old.heads);
}

#[test]
fn obligations_of_an_upgraded_store_are_waited_for() {
    let old = old();
    let config = Config { when_behind: WhenBehind::Wait(Duration::from_secs(10)), ..Config::default() };
    let mut node = Node::open(store_of(old.rows), config, MergeAll);
    let token = node.token();
    node.input(Input::Commit { token, batch: Batch::new().put("/mine", "m") });
    // Another obligation, which has a generation in its row.
    node.receive(&put_block(&[blocks::nobody_serves(1)], 2, "/later", "l"));
    assert_eq!(node.outcomes.get(&token), None);
    let mut rounds = 0;
    while !node.outcomes.contains_key(&token) {
        node.pull(&old.elsewhere);
        if !node.outcomes.contains_key(&token) {
            node.fire(Timer::Fetch);
        }
        rounds += 1;
        assert!(rounds < 100, "{:?}", node.replica.stats());
    }
    assert_eq!((node.behind[&token], node.replica.stats().obligations), (0, 2));
}

#[test]
fn a_store_of_a_newer_format_is_refused_and_left_alone() {
    let mut rows = old().rows;
    let at = rows.iter().position(|(_, key, _)| key == FORMAT).unwrap();
    rows[at].2 = Some(Bytes::copy_from_slice(&3_u32.to_le_bytes()));
    let disk = store_of(rows);
    let (before, ops) = (disk.rows().clone(), disk.ops());
    let refused = anabranch_core::Replica::open(disk.clone(), Config::default(), &mut Vec::new());
    assert_eq!(refused.err(), Some(Error::UnknownFormat { found: 3, newest_known: 2 }));
    assert_eq!((disk.rows(), disk.ops().writes()), (&before, ops.writes()));
}
