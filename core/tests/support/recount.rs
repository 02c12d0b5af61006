//! A recount of all rows of a replica that runs no rebuild.

use super::Node;
use anabranch_core::{
    Bytes, Progress, Timer, Validator,
    store::{MemoryStore, Read, Table},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

type Rows = Vec<(Vec<u8>, Bytes)>;

pub fn table(rows: &MemoryStore, table: Table) -> Rows {
    let mut found = Vec::new();
    rows.scan(table, &[], &[], &mut |key, row| {
        found.push((key.to_vec(), row.clone()));
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

fn keys_after(rows: &Rows, tag: u8, skip: usize) -> BTreeSet<Vec<u8>> {
    rows.iter().filter(|(key, _)| key[0] == tag).map(|(key, _)| key[skip..].to_vec()).collect()
}

/// Tag 3, and 7 of one that was abandoned.
fn is_pending(row: &Bytes) -> bool {
    matches!(row[0], 3 | 7)
}

#[derive(Default)]
pub struct Recount {
    pub words: [u64; 13],
}

/// Counts all rows anew, and checks that they fit each other.
pub fn recount(rows: &MemoryStore) -> Recount {
    let nodes: BTreeMap<Vec<u8>, Bytes> = table(rows, Table::Nodes).into_iter().collect();
    let (wants, waiting) = (table(rows, Table::Wants), table(rows, Table::Waiting));
    let bodies: BTreeMap<Vec<u8>, u64> = table(rows, Table::Bodies)
        .into_iter()
        .map(|(key, size)| (key[4..].to_vec(), u64::from_be_bytes(size[..].try_into().unwrap())))
        .collect();
    let ready: BTreeSet<Vec<u8>> = table(rows, Table::Ready).into_iter().map(|(key, _)| key).collect();
    let stored: BTreeMap<Vec<u8>, Bytes> = table(rows, Table::Blocks).into_iter().collect();
    let stubs: BTreeMap<Vec<u8>, Bytes> = table(rows, Table::Stubs).into_iter().collect();
    assert!(stubs.keys().all(|cid| nodes.contains_key(cid)), "a stub without a node");
    for edge in keys_after(&waiting, b'a', 1) {
        let (parent, child) = (&nodes[&edge[..32]], &nodes[&edge[32..]]);
        assert!(matches!(parent[0], 6 | 7) && matches!(child[0], 1 | 2 | 5), "merged without an abandoned parent");
    }
    let (now, when_room) = (keys_after(&wants, 0, 5), keys_after(&wants, 1, 5));
    let mut down: BTreeSet<(Vec<u8>, Vec<u8>)> =
        keys_after(&waiting, b'm', 1).into_iter().map(|edge| (edge[..32].to_vec(), edge[32..].to_vec())).collect();
    for (child, row) in nodes.iter().filter(|(_, row)| is_pending(row)) {
        let (count, digests) = (u32::from_le_bytes(row[14..18].try_into().unwrap()) as usize, row[18..].chunks(32));
        let edges = down.iter().filter(|(of, _)| of == child).count();
        assert_eq!(
            (edges + digests.len(), edges > 0 && digests.len() > 0),
            (count, false),
            "missing parents of {row:?}"
        );
        down.extend(digests.map(|parent| (child.clone(), parent.to_vec())));
    }
    let up: BTreeSet<(Vec<u8>, Vec<u8>)> =
        keys_after(&waiting, b'c', 1).into_iter().map(|edge| (edge[32..].to_vec(), edge[..32].to_vec())).collect();
    assert_eq!(down, up, "edges are there both ways");
    let decided = |cid: &Vec<u8>| nodes.get(cid).is_some_and(|row| !matches!(row[0], 3 | 4));
    let merged = |cid: &Vec<u8>| nodes.get(cid).is_some_and(|row| matches!(row[0], 1 | 2 | 5));
    let waits: BTreeSet<Vec<u8>> = down.iter().map(|(child, _)| child.clone()).collect();
    for (child, parent) in &down {
        assert!(is_pending(&nodes[child]), "a child that waits is pending");
        assert!(nodes.contains_key(parent) && !decided(parent), "what is waited for is an obligation");
    }
    let mut count = Recount::default();
    let words = &mut count.words;
    let (mut has_now, mut has_room, mut has_body, mut is_ready) = (0, 0, 0, 0);
    for (cid, row) in &nodes {
        let flags = (now.contains(cid), when_room.contains(cid), bodies.contains_key(cid), ready.contains(cid));
        has_now += u64::from(flags.0);
        has_room += u64::from(flags.1);
        has_body += u64::from(flags.2);
        is_ready += u64::from(flags.3);
        let wait = waits.contains(cid);
        let expected = match row[0] {
            1 | 2 | 5 | 6 => (false, false, false, false),
            3 | 7 if row[13] == 1 => (false, false, wait, !wait),
            3 | 7 => (!wait, wait, false, false),
            _ => (true, false, false, false),
        };
        assert_eq!(flags, expected, "wants, dropped, body, ready of a node with row {row:?}");
        let has_body = row[0] <= 2 || (is_pending(row) && row[13] == 1);
        assert_eq!(stored.contains_key(cid), has_body, "the body of {row:?}");
        let stub = match row[0] {
            5 => Some([&[1][..], &row[1..]].concat()),
            6 | 7 => Some(vec![2]),
            _ => None,
        };
        assert_eq!(stubs.get(cid).map(|stub| stub.to_vec()), stub, "the stub of {row:?}");
        match row[0] {
            1 => {
                words[0] += 1;
                let (height, declared) = (&row[1..9], &row[9..17]);
                words[2] += u64::from(height != declared);
                words[3] = words[3].max(u64::from_le_bytes(height.try_into().unwrap()));
            }
            2 => {
                words[0] += 1;
                words[1] += 1;
                words[3] = words[3].max(u64::from_le_bytes(row[1..9].try_into().unwrap()));
            }
            5 => {
                words[11] += 1;
                words[3] = words[3].max(u64::from_le_bytes(row[1..9].try_into().unwrap()));
            }
            _ => {
                words[6] += u64::from(row[0] != 6);
                words[12] += u64::from(row[0] >= 6);
            }
        }
        if is_pending(row) && row[13] == 1 {
            words[10] += stored[cid].len() as u64;
            assert_eq!(u64::from_le_bytes(row[5..13].try_into().unwrap()), stored[cid].len() as u64);
        }
    }
    assert_eq!((has_now, has_room), (now.len() as u64, when_room.len() as u64), "wants of unknown blocks");
    assert_eq!((has_body, is_ready), (bodies.len() as u64, ready.len() as u64), "bodies of unknown blocks");
    assert_eq!(wants.len(), now.len() + when_room.len(), "a block is wanted at one depth");
    assert!(stored.keys().all(|cid| nodes.contains_key(cid)), "bytes of an unknown block");
    let early = table(rows, Table::Early);
    assert!(early.iter().all(|(key, _)| !merged(&key[..32].to_vec())), "a tombstone waits for a merged block");
    words[4] = table(rows, Table::Heads).len() as u64;
    words[5] = early.len() as u64;
    (words[7], words[8], words[9]) = (has_now, has_room, is_ready);
    count
}

/// The counts that the replica keeps are those of its rows.
pub fn check_counts<V: Validator + Clone>(node: &Node<V>, what: &str) {
    let rows = node.replica.store().rows();
    let count = recount(rows).words;
    let kept: Vec<u64> = match rows.get(Table::Meta, b"counts").unwrap() {
        Some(row) => {
            let mut words: Vec<u64> = row.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
            assert_eq!(words.remove(11), 0, "no commit waits: no generation, {what}");
            words
        }
        None => vec![0; 13],
    };
    assert_eq!(
        kept, count,
        "merged void misdeclared height heads early obligations wants dropped ready bytes purged abandoned, {what}"
    );
    let stats = node.replica.stats();
    let shown = [stats.merged, stats.void, stats.misdeclared, stats.height_max, stats.heads, stats.early_tombstones];
    assert_eq!(shown, count[..6]);
    assert_eq!((stats.obligations, stats.pending_bytes), (count[6], count[10]));
    assert_eq!((stats.purged, stats.abandoned), (count[11], count[12]));
    let is_more = count[9] > 0 || node.replica.task().is_some();
    assert_eq!(node.replica.progress() == Progress::More, is_more);
    assert_eq!(node.timers.contains_key(&Timer::Fetch), stats.fetches > 0 || node.timers.contains_key(&Timer::Fetch));
}
