//! 52 histories that real Go replicas wrote, merged in other orders: always the recorded state and heads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{Bytes, Cid};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use support::{Fold, Node, Rng, World, check, fold, hex, node::Missing};

#[derive(Deserialize)]
struct File {
    heads: Vec<String>,
    blocks: Vec<FileBlock>,
    state_value_hex: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct FileBlock {
    cid: String,
    bytes_hex: String,
}

struct History {
    name: String,
    blocks: Vec<Bytes>,
    world: World,
    heads: Vec<Cid>,
    fold: Fold,
}

/// All histories. What was recorded must be what the naive fold gives, so that the tests may
/// compare replicas with the fold.
fn histories() -> Vec<History> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut files: Vec<_> = ["dags", "dags-where-go-diverges"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(data.join(folder)).expect("the folder of histories"))
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 52, "40 histories and 12 on which Go replicas disagree");
    files.iter().map(|path| history(path)).collect()
}

fn history(path: &Path) -> History {
    let name = path.file_stem().expect("a file name").to_string_lossy().into_owned();
    let file: File = serde_json::from_str(&std::fs::read_to_string(path).expect("a history")).expect("its JSON");
    let blocks: Vec<Bytes> = file.blocks.iter().map(|block| hex(&block.bytes_hex)).collect();
    for (block, bytes) in file.blocks.iter().zip(&blocks) {
        assert_eq!(Cid::of(bytes).to_string(), block.cid, "CID in {name}");
    }
    let world = support::blocks::world(&blocks);
    let fold = fold(&world);
    let heads: Vec<Cid> = file.heads.iter().map(|head| support::cid(head)).collect();
    let state: BTreeMap<Vec<u8>, Bytes> =
        file.state_value_hex.iter().map(|(key, value)| (key.clone().into_bytes(), hex(value))).collect();
    assert_eq!(fold.state, state, "the fold gives the recorded state of {name}");
    let named: BTreeSet<(String, Cid)> = heads.iter().map(|head| (String::new(), *head)).collect();
    assert_eq!(fold.heads, named, "the fold gives the recorded heads of {name}");
    History { name, blocks, world, heads, fold }
}

#[test]
fn blocks_in_any_order_and_more_than_once() {
    for (at, history) in histories().iter().enumerate() {
        for round in 0..20 {
            let mut rng = Rng::new((at * 1_000 + round) as u64);
            let mut order: Vec<usize> = (0..history.blocks.len()).collect();
            order.extend((0..history.blocks.len() / 3).map(|_| rng.below(history.blocks.len())));
            rng.shuffle(&mut order);
            let mut node = Node::new();
            for at in order {
                node.receive(&history.blocks[at]);
                check::ancestors_are_merged(&node);
            }
            check::is_fold(&node, &history.fold, &format!("history {}, round {round}", history.name));
        }
    }
}

#[test]
fn from_the_heads_down_by_fetches() {
    for (at, history) in histories().iter().enumerate() {
        for round in 0..10 {
            let mut rng = Rng::new((at * 1_000 + round) as u64);
            let mut heads = history.heads.clone();
            rng.shuffle(&mut heads);
            let mut node = Node::new();
            for (peer, head) in heads.iter().enumerate() {
                node.hear(peer as u64, &[*head]);
                for _ in 0..rng.below(4) {
                    answer_any(&mut node, history, &mut rng);
                }
            }
            while !node.fetches.is_empty() {
                answer_any(&mut node, history, &mut rng);
                check::ancestors_are_merged(&node);
            }
            check::is_fold(&node, &history.fold, &format!("history {}, round {round}", history.name));
            // One fetch a block is enough: the roots are asked for only when their children have come.
            let fetched: BTreeSet<Cid> = node.merged();
            assert_eq!(node.fetches_total, fetched.len() as u64, "fetches of history {}", history.name);
        }
    }
}

/// Answers one of the fetches that are out, drawn by the seed.
fn answer_any(node: &mut Node, history: &History, rng: &mut Rng) {
    if node.fetches.is_empty() {
        return;
    }
    let fetch = node.fetches.swap_remove(rng.below(node.fetches.len()));
    node.answer(fetch, &history.world[&fetch.cid]);
}

/// Announcements, answers, failures, unasked blocks and crashes, all drawn by the seed.
#[test]
fn with_crashes_between_any_two_inputs() {
    for (at, history) in histories().iter().enumerate() {
        for round in 0..10 {
            let mut rng = Rng::new((at * 1_000 + round) as u64);
            let mut node = Node::new();
            for _ in 0..4 * history.blocks.len() {
                match rng.below(8) {
                    0 => node = node.crash(),
                    1 | 2 => node.hear(rng.below(3) as u64, &[history.heads[rng.below(history.heads.len())]]),
                    3 => node.receive(&history.blocks[rng.below(history.blocks.len())]),
                    4 if !node.fetches.is_empty() => {
                        let fetch = node.fetches.swap_remove(rng.below(node.fetches.len()));
                        node.fail(fetch);
                    }
                    _ => answer_any(&mut node, history, &mut rng),
                }
                check::ancestors_are_merged(&node);
            }
            node = node.crash();
            node.hear(1, &history.heads);
            node.round(&history.world, Missing::Fails);
            node.settle(&history.world);
            check::is_fold(&node, &history.fold, &format!("history {}, round {round}", history.name));
        }
    }
}
