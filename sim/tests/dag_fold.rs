//! The naive fold: recorded histories, and each of its rules by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod histories;

use anabranch_core::{
    Bytes, Cid, DagName, Key,
    wire::{Block, Delta, Element, Tombstone},
};
use anabranch_sim::{
    car::{self, Car},
    dag,
    fold::{self, Facts, Folded, fold_with},
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn recorded_histories_have_the_recorded_state_and_heads() {
    for (path, recorded) in histories::all() {
        let car = car::read(&path).unwrap();
        assert_eq!(car.blocks.len(), recorded.blocks.len(), "{}", path.display());
        for (block, (cid, bytes)) in recorded.blocks.iter().zip(&car.blocks) {
            assert_eq!((&block.cid, &block.bytes_hex), (&cid.to_string(), &data_encoding::HEXLOWER.encode(bytes)));
        }
        let summary = dag::Summary::from(&dag::fold_car(&car).unwrap());
        assert_eq!(summary.heads, recorded.heads.iter().cloned().collect(), "heads of {}", path.display());
        assert_eq!(summary.state, recorded.state_value_hex, "state of {}", path.display());
        assert_eq!((summary.void, summary.misdeclared), (0, 0), "{}", path.display());
    }
}

#[test]
fn a_real_replica_ends_as_the_fold_in_any_order() {
    for (path, _) in histories::all() {
        let car = car::read(&path).unwrap();
        let folded = dag::Summary::from(&dag::fold_car(&car).unwrap());
        for seed in 0..20 {
            let merged = dag::merge_car(&car, seed).unwrap();
            assert_eq!(merged.summary, folded, "{} with seed {seed}", path.display());
            assert!(merged.given > car.blocks.len() as u64, "some blocks come twice");
        }
    }
}

#[test]
fn seeds_draw_different_orders() {
    let car = car::read(&histories::data().join("dags/0014.car")).unwrap();
    let fetches: BTreeSet<u64> = (0..20).map(|seed| dag::merge_car(&car, seed).unwrap().fetched).collect();
    assert!(fetches.len() > 1, "every order makes {fetches:?} fetches");
}

// ---- the rules by hand

#[derive(Default)]
struct World(BTreeMap<Cid, Bytes>);

impl World {
    fn raw(&mut self, bytes: Bytes) -> Cid {
        let cid = Cid::of(&bytes);
        self.0.insert(cid, bytes);
        cid
    }

    fn block(&mut self, links: &[Cid], priority: u64, puts: &[(&str, &str)], removals: &[(&str, Cid)]) -> Cid {
        self.named("", links, priority, puts, removals)
    }

    fn named(
        &mut self,
        dag: &str,
        links: &[Cid],
        priority: u64,
        puts: &[(&str, &str)],
        removals: &[(&str, Cid)],
    ) -> Cid {
        let element =
            |(key, value): &(&str, &str)| Element { key: Key::new(key), value: Bytes::from(value.to_string()) };
        let tombstone = |(key, target): &(&str, Cid)| Tombstone { key: Key::new(key), target: *target };
        let delta = Delta {
            elements: puts.iter().map(element).collect(),
            tombstones: removals.iter().map(tombstone).collect(),
            priority,
            dag: DagName::new(dag),
        };
        self.raw(Block::encode(links, &delta))
    }

    /// A block that breaks a rule: its data is no delta.
    fn void(&mut self, parent: Cid) -> Cid {
        let mut bytes = vec![0x12, 0x2a, 0x0a, 0x24];
        bytes.extend(parent.to_bytes());
        bytes.extend([0x12, 0x00, 0x18, 0x00, 0x0a, 0x03, 0xff, 0xff, 0xff]);
        self.raw(Bytes::from(bytes))
    }

    fn fold(&self) -> fold::Folded {
        fold::fold(&self.0)
    }

    #[track_caller]
    fn check(&self, state: &[(&str, &str)], heads: &[(&str, &[Cid])]) -> fold::Folded {
        let folded = self.fold();
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let found: BTreeMap<String, String> =
            folded.state.iter().map(|(key, value)| (key.to_string(), text(value))).collect();
        let expected = state.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        assert_eq!(found, expected);
        let expected = heads.iter().map(|(dag, cids)| (DagName::new(*dag), cids.iter().copied().collect())).collect();
        assert_eq!(folded.heads, expected);
        folded
    }
}

#[test]
fn nothing_means_nothing() {
    assert_eq!(World::default().fold(), fold::Folded::default());
}

#[test]
fn a_blocks_last_write_of_a_key_is_its_version() {
    let mut world = World::default();
    let x = world.block(&[], 5, &[("k", "b"), ("k", "a")], &[]);
    let y = world.block(&[], 5, &[("k", "aa")], &[]);
    world.check(&[("/k", "aa")], &[("", &[x, y])]);
}

#[test]
fn an_empty_value_is_a_value() {
    let mut world = World::default();
    let a = world.block(&[], 1, &[("k", "x")], &[]);
    let b = world.block(&[], 1, &[("k", "")], &[]);
    let d = world.block(&[a], 2, &[], &[("k", a)]);
    world.check(&[("/k", "")], &[("", &[b, d])]);
}

#[test]
fn a_tombstone_removes_one_version_and_one_that_stands_elsewhere_too() {
    let mut world = World::default();
    let old = world.block(&[], 1, &[("k", "old"), ("other", "1")], &[]);
    let new = world.block(&[old], 2, &[("k", "new")], &[]);
    // A block that has not seen `new` and yet removes it, as newest-first peers make such.
    let d = world.block(&[], 1, &[], &[("k", new)]);
    world.check(&[("/k", "old"), ("/other", "1")], &[("", &[new, d])]);
}

#[test]
fn nobody_outbids_by_declaring() {
    let mut world = World::default();
    let evil = world.block(&[], u64::MAX, &[("k", "evil")], &[]);
    let next = world.block(&[evil], 2, &[("k", "next")], &[]);
    let folded = world.check(&[("/k", "next")], &[("", &[next])]);
    assert_eq!(folded.misdeclared, 1);
    assert_eq!(folded.heights, BTreeMap::from([(evil, 1), (next, 2)]));
}

#[test]
fn who_understates_ranks_lower() {
    let mut world = World::default();
    let root = world.block(&[], 1, &[("k", "b")], &[]);
    let understates = world.block(&[root], 1, &[("k", "a")], &[]);
    let folded = world.check(&[("/k", "b")], &[("", &[understates])]);
    assert_eq!(folded.misdeclared, 1);
}

#[test]
fn a_void_block_counts_for_ancestry_only() {
    let mut world = World::default();
    let root = world.block(&[], 1, &[("a", "1")], &[]);
    let void = world.void(root);
    let child = world.block(&[void], 3, &[("b", "2")], &[]);
    let idle = world.void(child);
    let folded = world.check(&[("/a", "1"), ("/b", "2")], &[("", &[child])]);
    assert_eq!(folded.void, 1, "only the one below a good block is merged");
    assert_eq!(folded.heights, BTreeMap::from([(root, 1), (void, 2), (child, 3)]));
    assert!(!folded.heights.contains_key(&idle) && folded.unmerged.is_empty() && folded.missing.is_empty());
}

#[test]
fn heads_are_kept_per_dag_name_and_heights_are_not() {
    let mut world = World::default();
    let main = world.block(&[], 1, &[("a", "1")], &[]);
    let named = world.named("n", &[main], 2, &[("b", "2")], &[]);
    let void = world.void(named);
    let other = world.named("m", &[void], 4, &[], &[]);
    let folded = world.check(&[("/a", "1"), ("/b", "2")], &[("", &[main]), ("m", &[other]), ("n", &[named])]);
    assert_eq!(folded.heights[&other], 4);
    let upon = world.named("n", &[void, main], 4, &[], &[]);
    world.check(&[("/a", "1"), ("/b", "2")], &[("", &[main]), ("m", &[other]), ("n", &[upon])]);
}

#[test]
fn what_lacks_an_ancestor_is_not_merged() {
    let mut world = World::default();
    let root = world.block(&[], 1, &[("a", "1")], &[]);
    let absent = Cid::of(b"absent");
    let orphan = world.block(&[root, absent], 2, &[("b", "2")], &[("a", root)]);
    let child = world.block(&[orphan], 3, &[("c", "3")], &[]);
    let folded = world.check(&[("/a", "1")], &[("", &[root])]);
    assert_eq!(folded.unmerged, BTreeSet::from([orphan, child]));
    assert_eq!(folded.missing, BTreeSet::from([absent]));
}

/// Blocks of all kinds, each upon up to three earlier ones: void ones, other DAG names, forged priorities, keys that come
/// twice, empty values, tombstones of what is below and of what is not.
fn odd_world(seed: u64) -> (World, Vec<Cid>) {
    let mut draws = ChaCha8Rng::seed_from_u64(seed);
    let mut below = move |end: usize| (draws.next_u64() % end as u64) as usize;
    let (mut world, mut cids) = (World::default(), Vec::<Cid>::new());
    for number in 0..5 + below(20) {
        let parents = if cids.is_empty() { 0 } else { below(4) };
        let links: BTreeSet<Cid> = (0..parents).map(|_| cids[below(cids.len())]).collect();
        let links: Vec<Cid> = links.into_iter().collect();
        if below(5) == 0 && !links.is_empty() {
            cids.push(world.void(links[0]));
            continue;
        }
        let keys = ["a", "/b", "c//d"];
        let values = ["", "x", "y", "zz"];
        let puts: Vec<_> = (0..below(3)).map(|_| (keys[below(3)], values[below(4)])).collect();
        let removals: Vec<_> = (0..if cids.is_empty() { 0 } else { below(3) })
            .map(|_| (keys[below(3)], cids[below(cids.len())]))
            .collect();
        let priority = [number as u64, 1, 3, u64::MAX][below(4)];
        cids.push(world.named(["", "", "n"][below(3)], &links, priority, &puts, &removals));
    }
    (world, cids)
}

#[test]
fn a_real_replica_ends_as_the_fold_on_odd_blocks_too() {
    let (mut void, mut misdeclared) = (0, 0);
    for seed in 0..500 {
        let (world, cids) = odd_world(seed);
        let folded = dag::Summary::from(&world.fold());
        void += folded.void;
        misdeclared += folded.misdeclared;
        let blocks = world.0.iter().map(|(cid, bytes)| (*cid, bytes.clone())).collect();
        let car = Car { roots: vec![cids[cids.len() - 1]], blocks, ..Car::default() };
        for order in 0..4 {
            assert_eq!(dag::merge_car(&car, order).unwrap().summary, folded, "world {seed}, order {order}");
        }
    }
    assert!(void > 100 && misdeclared > 1_000, "{void} void, {misdeclared} misdeclared");
}

/// A chain, root first.
fn chain(length: u64) -> (World, Vec<(Cid, Bytes)>) {
    let (mut world, mut blocks) = (World::default(), Vec::<(Cid, Bytes)>::new());
    for height in 1..=length {
        let links: Vec<Cid> = blocks.last().map(|(cid, _)| *cid).into_iter().collect();
        let cid = world.block(&links, height, &[("k", "v")], &[]);
        blocks.push((cid, world.0[&cid].clone()));
    }
    (world, blocks)
}

#[test]
fn a_chain_of_100_000_blocks_is_folded_without_recursion() {
    let (world, blocks) = chain(100_000);
    let (head, _) = blocks[99_999];
    let folded = world.check(&[("/k", "v")], &[("", &[head])]);
    assert_eq!(folded.heights[&head], 100_000);
}

#[test]
fn a_chain_of_5_000_blocks_is_merged_in_a_drawn_order() {
    let (world, blocks) = chain(5_000);
    let car = Car { roots: vec![blocks[4_999].0], blocks, ..Car::default() };
    assert_eq!(dag::merge_car(&car, 1).unwrap().summary, dag::Summary::from(&world.fold()));
}

/// The fold that judges operators: stubs count for ancestry and height, and for nothing else.
#[test]
fn a_fold_over_stubs_and_blocks_that_were_given_up() {
    let mut world = World::default();
    let root = world.block(&[], 1, &[("k", "old")], &[]);
    let pin = world.named("pins", &[root], 2, &[("k", "pin")], &[("k", root)]);
    let upon = world.named("pins", &[pin], 3, &[("other", "1")], &[]);
    let blocks = &world.0;
    let value = |folded: &Folded| folded.state.get(&Key::new("k")).cloned();

    let folded = fold_with(blocks, &Facts::default());
    assert_eq!(value(&folded).as_deref(), Some(&b"pin"[..]));
    let facts = Facts { purged: [(pin, 2)].into(), ..Facts::default() };
    let folded = fold_with(blocks, &facts);
    assert_eq!(value(&folded).as_deref(), Some(&b"old"[..]), "what the purged block removed is back");
    assert_eq!(folded.heights[&upon], 3, "its height is remembered");
    assert!(folded.missing.is_empty() && folded.unmerged.is_empty());

    // The parent is given up: the child is as high as it declares.
    let lost: BTreeMap<Cid, Bytes> = [(upon, blocks[&upon].clone())].into();
    assert_eq!(fold_with(&lost, &Facts::default()).missing, [pin].into());
    let facts = Facts { abandoned: [pin].into(), ..Facts::default() };
    let folded = fold_with(&lost, &facts);
    assert_eq!((folded.heights[&upon], folded.misdeclared, folded.missing.len()), (3, 0, 0));
}
