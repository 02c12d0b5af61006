//! The faults of go-ds-crdt that showed as a wrong value of a key, one test each, with the blocks
//! on which they were seen. The numbers are those of the list of faults that the project keeps:
//! 1 to 5, 10, 11, 13, 14, 16, 18.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{Bytes, Cid, Config, Input, Peer, Progress, store::Table, wire::Block};
use support::{Net, Node, World, blocks, blocks::world, check, check::every_order_hex, fold, hex, node::Missing};

/// A replica that merges one block a step, so that other inputs come in between.
fn one_block_a_step() -> Config {
    Config { step_bytes_max: 1, ..Config::default() }
}

/// Steps once with an unasked block, leaving what it leaves to do.
fn begin(node: &mut Node, bytes: &Bytes) -> Progress {
    let input = Input::Block { from: Peer(1), cid: Cid::of(bytes), bytes: bytes.clone(), attempt: 0 };
    node.try_step(input).expect("the store does not fail")
}

#[test]
fn hazard_01_a_delete_leaves_a_concurrent_put() {
    let mut net = Net::new(2);
    net.nodes[0].put("k", "a1");
    net.nodes[0].put("k", "a2");
    net.nodes[1].put("k", "b");
    assert_eq!(net.nodes[0].delete("k").len(), 1);
    let blocks: Vec<Bytes> = net.world().into_values().collect();
    assert_eq!(blocks.len(), 4);
    net.converge();
    assert_eq!([net.nodes[0].get("k"), net.nodes[1].get("k")], [Some("b".into()), Some("b".into())]);
    check::every_order(&blocks, &[("/k", "b")]);
}

const X2: &str = "0a140a070a022f6b1a01620a070a022f6b1a01611805";
const Y2: &str = "0a0c0a080a022f6b1a0261611805";
const Z2: &str = "0a0b0a070a022f6b1a01301801";
const TZ2: &str = "122a0a24017012205aaf120380a1290ea11310535c65d500539dd6332ba952dca6fd0fc18ffc4d27120018000a42123e0a022f6b12382f43495146564c5953414f414b434b494f55454a52415532344d584b514155343532595a53584b4b53335354503244364252373645324a591806";

#[test]
fn hazard_02_a_key_twice_in_a_block_counts_once_with_its_last_value() {
    every_order_hex(&[X2, Y2], &[("/k", "aa")]);
    every_order_hex(&[X2, Z2, TZ2], &[("/k", "a")]);
    every_order_hex(&[X2, Y2, Z2, TZ2], &[("/k", "aa")]);
}

const A3: &str = "0a0b0a070a022f6b1a01781801";
const B3: &str = "0a080a040a022f6b1801";
const D3: &str = "122a0a240170122007ee62bac6554705be44a1b23b2399291bb881b59ddffc0cdebb2e21e687e162120018000a42123e0a022f6b12382f4349514150335443584c44464b525946585a434b444d5233454f4d53534735595147325a335837344254504c574c5242343244364359511802";
const BH3: &str = "0a080a040a022f6b1803";
const C3: &str = "0a0b0a070a022f6b1a01631801";

#[test]
fn hazard_03_an_empty_value_is_a_value() {
    every_order_hex(&[A3, B3, D3], &[("/k", "")]);
    every_order_hex(&[A3, B3, BH3, C3, D3], &[("/k", "c")]);
    // Bh declares 3 and is a root: its rank is 1, so C, of the greater value, wins over it.
    every_order_hex(&[BH3, C3], &[("/k", "c")]);
    let node = every_order_hex(&[B3], &[("/k", "")]);
    let key = anabranch_core::Key::new("k");
    assert_eq!((node.replica.has(&key), node.replica.size(&key)), (Ok(true), Ok(Some(0))));
}

#[test]
fn hazard_04a_a_put_between_the_steps_of_a_tombstone_is_not_lost() {
    let a = blocks::put_block(&[], 1, "k", "a");
    let b = blocks::put_block(&[], 1, "k", "b");
    let t = blocks::block(&[Cid::of(&a), Cid::of(&b)], 2, &[], &[("k", Cid::of(&a)), ("k", Cid::of(&b))]);
    for steps_before_the_put in 0..6 {
        let mut node = Node::with(one_block_a_step());
        for bytes in [&t, &b, &a] {
            let _ = begin(&mut node, bytes);
        }
        for _ in 0..steps_before_the_put {
            let _ = node.try_step(Input::Continue).unwrap();
        }
        let put = node.put("k", "mine");
        assert_eq!(node.get("k"), Some("mine".into()), "put after {steps_before_the_put} steps");
        let world = world([&a, &b, &t, &node.bytes(&put)]);
        check::is_fold(&node, &fold(&world), &format!("put after {steps_before_the_put} steps"));
    }
}

#[test]
fn hazard_04b_two_tombstones_at_once_remove_both() {
    let a = blocks::put_block(&[], 1, "k", "a");
    let b = blocks::put_block(&[Cid::of(&a)], 2, "k", "b");
    let ta = blocks::tombstone_block(&[Cid::of(&b)], 3, "k", Cid::of(&a));
    let tb = blocks::tombstone_block(&[Cid::of(&b)], 3, "k", Cid::of(&b));
    let all = [a, b, ta, tb];
    check::every_order(&all, &[]);
    for order in check::orders(4, 24) {
        let mut node = Node::with(one_block_a_step());
        for at in order {
            let _ = begin(&mut node, &all[at]);
        }
        node.run().unwrap();
        check::is_fold(&node, &fold(&world(&all)), "all blocks before any Continue");
    }
}

#[test]
fn hazard_04c_an_element_and_its_tombstone_at_once_leave_nothing() {
    let a = blocks::put_block(&[], 1, "k", "a");
    // The tombstone's block does not descend from its target: either may be merged first.
    let t = blocks::tombstone_block(&[], 1, "k", Cid::of(&a));
    check::every_order(&[a.clone(), t.clone()], &[]);
    for both in [[&a, &t], [&t, &a]] {
        let mut node = Node::with(one_block_a_step());
        for bytes in both {
            let _ = begin(&mut node, bytes);
        }
        node.run().unwrap();
        assert_eq!(node.get("k"), None);
    }
}

const X5: &str = "0a0e0a0a0a03666f6f1a037261771801";
const A5: &str = "0a0d0a090a042f666f6f1a01611801";
const D5: &str = "122a0a24017012205253306f449f4a175916066cd494dce2eee498ba02105ee97b87721f21e18403120018000a4412400a042f666f6f12382f4349514645555a514e35434a365351584c454c414d33475553544f4f463358455443354145454336354635594f345137454851594941591802";
const D5_WITHOUT_SLASH: &str = "122a0a24017012205253306f449f4a175916066cd494dce2eee498ba02105ee97b87721f21e18403120018000a43123f0a042f666f6f12374349514645555a514e35434a365351584c454c414d33475553544f4f463358455443354145454336354635594f345137454851594941591802";
const A5_BELOW: &str = "0a0d0a090a042f6b2f781a01311801";
const T5_INNER_SLASH: &str = "0a4412400a022f6b123a2f782f4349514e534656515557344e41335758464c5232374547333751535556595a35495433565935475a49365646554556443542584a354a411801";
const X5_DOUBLE_SLASH: &str = "0a140a100a092f666f6f2f2f6261721a037261771801";
const A5_SINGLE_SLASH: &str = "0a110a0d0a082f666f6f2f6261721a01611801";

#[test]
fn hazard_05_keys_are_cleaned_and_ids_read_with_or_without_slash() {
    every_order_hex(&[X5, A5], &[("/foo", "raw")]);
    every_order_hex(&[X5, A5, D5], &[("/foo", "raw")]);
    every_order_hex(&[A5, D5], &[]);
    every_order_hex(&[A5, D5_WITHOUT_SLASH], &[]);
    every_order_hex(&[X5, A5, D5_WITHOUT_SLASH], &[("/foo", "raw")]);
    every_order_hex(&[A5_BELOW, T5_INNER_SLASH], &[("/k/x", "1")]);
    every_order_hex(&[X5_DOUBLE_SLASH, A5_SINGLE_SLASH], &[("/foo/bar", "raw")]);
}

#[test]
fn hazard_10_a_put_during_the_walk_of_a_long_chain_shows_here_and_has_one_fate_everywhere() {
    let chain = blocks::chain(50, |n| ("k".into(), format!("chain {n}")));
    let world = world(&chain);
    for rounds_before_the_put in [0, 1, 25, 49, 50] {
        let mut node = Node::with(one_block_a_step());
        node.hear(1, &[Cid::of(&chain[49])]);
        for _ in 0..rounds_before_the_put {
            node.round(&world, Missing::Fails);
        }
        let put = node.put("k", "mine");
        assert_eq!(node.get("k"), Some("mine".into()), "after {rounds_before_the_put} rounds");
        node.settle(&world);
        let mut all = world.clone();
        all.insert(put, node.bytes(&put));
        check::is_fold(&node, &fold(&all), "after the walk");
        let everything: Vec<Bytes> = all.into_values().collect();
        let mut other = Node::new();
        everything.iter().for_each(|bytes| other.receive(bytes));
        assert_eq!(other.state(), node.state());
    }
}

/// As the row has it: merged blocks between which the put falls, one step each.
#[test]
fn hazard_10_a_put_between_the_merges_of_one_walk() {
    let chain = blocks::chain(10, |n| ("k".into(), format!("chain {n}")));
    for steps in 0..12 {
        let mut node = Node::with(one_block_a_step());
        for bytes in chain.iter().rev() {
            let _ = begin(&mut node, bytes);
        }
        for _ in 0..steps {
            let _ = node.try_step(Input::Continue).unwrap();
        }
        let token = node.token();
        let batch = anabranch_core::Batch::new().put("k", "mine");
        let _ = node.try_step(Input::Commit { token, batch }).unwrap();
        if node.replica.progress() == Progress::More {
            // The commit itself is one step or the rest of the walk came first; either way it ends.
            node.run().unwrap();
        }
        node.sync().unwrap();
        let put = node.outcomes[&token].clone().expect("committed")[0];
        let mut all = world(&chain);
        all.insert(put, node.bytes(&put));
        check::is_fold(&node, &fold(&all), &format!("put after {steps} steps"));
    }
}

const C1_11: &str = "0a0d0a090a022f6b1a036f6c641801";
const C2_11: &str = "122a0a24017012203aa387b67ae636c36b6b47bcfa94e65166eb7d11f165052299997817bbc9b7dc120018000a0b0a070a022f781a01311802";
const C3_11: &str = "122a0a240170122024e3224ee225c9b7653a570e28e7043d5fffbc9b308832bc4e4e79d0913f78c7120018000a0d0a090a022f6b1a036e65771803";
const D_11: &str = "122a0a2401701220d457c0d813fb814b3f3d1640745c0de6662143189893741be4c2c641c37e0e49120018000a42123e0a022f6b12382f4349514e4956364133414a3758414b4c483436524d5144554c5147364d5a5242494d4d4a524533554450534d46525342594e37413453491804";

#[test]
fn hazard_11_what_can_be_seen_can_be_deleted_whole() {
    let [c1, c2, c3] = [C1_11, C2_11, C3_11].map(hex);
    let world = world([&c1, &c2, &c3]);
    let mut r = Node::new();
    r.hear(1, &[Cid::of(&c3)]);
    let fetch = r.fetches.remove(0);
    r.answer(fetch, &c3);
    // Stalled after `new`: nothing of it shows, so there is nothing to delete.
    assert_eq!(r.get("k"), None);
    assert!(r.replica.is_behind());
    assert_eq!(r.delete("k"), []);
    r.settle(&world);
    assert_eq!(r.get("k"), Some("new".into()));
    let deletes = r.delete("k");
    assert_eq!(deletes.len(), 1);
    assert_eq!(r.get("k"), None);
    let delete = r.bytes(&deletes[0]);
    assert_eq!(Block::decode(&delete).delta.expect("a good block").tombstones.len(), 2, "both versions are named");
    check::every_order(&[c1, c2, c3, delete], &[("/x", "1")]);
}

#[test]
fn hazard_11_the_delete_that_go_makes_gives_one_answer_too() {
    every_order_hex(&[C1_11, C2_11, C3_11, D_11], &[("/k", "old"), ("/x", "1")]);
}

#[test]
fn hazard_13_concurrent_puts_have_one_winner_and_a_replica_knows_that_it_is_behind() {
    let mut net = Net::new(2);
    for n in 0..9 {
        net.nodes[0].put("other", &n.to_string());
    }
    let old = net.nodes[0].put("k", "OLD");
    net.nodes[1].put("k", "fresh");
    assert!(!net.nodes[1].replica.is_behind());
    net.nodes[1].hear(0, &[old]);
    let fetch = net.nodes[1].fetches.remove(0);
    let bytes = net.nodes[0].bytes(&old);
    net.nodes[1].answer(fetch, &bytes);
    assert!(net.nodes[1].replica.is_behind(), "the head's bytes are here and its parents are not");
    net.pull(1);
    assert!(!net.nodes[1].replica.is_behind());
    net.converge();
    for node in &net.nodes {
        assert_eq!(node.get("k"), Some("OLD".into()), "rank 10 wins over rank 1");
    }
}

#[test]
fn hazard_14_a_delete_reads_no_block() {
    for puts in [10, 40, 160] {
        let mut node = Node::new();
        for n in 0..puts {
            node.put("k", &n.to_string());
        }
        let before = node.ops();
        assert_eq!(node.delete("k").len(), 1);
        assert_eq!((node.ops() - before).reads_of(Table::Blocks), 0, "{puts} puts");
        assert_eq!(node.get("k"), None);
    }
}

/// Where a version takes over, its block is the only one read.
#[test]
fn hazard_14_merging_a_delete_reads_the_block_that_takes_over_and_no_other() {
    let mut net = Net::new(2);
    for n in 0..160 {
        net.nodes[0].put("k", &format!("a{n}"));
    }
    for n in 0..100 {
        net.nodes[1].put("k", &format!("b{n}"));
    }
    let delete = net.nodes[0].delete("k");
    let delete = net.nodes[0].bytes(&delete[0]);
    let theirs = net.nodes[0].world();
    let b = &mut net.nodes[1];
    for bytes in theirs.values().filter(|bytes| **bytes != delete) {
        b.receive(bytes);
    }
    assert_eq!(b.get("k"), Some("a159".into()));
    let before = b.ops();
    b.receive(&delete);
    // The delete's own body may be read again from the store, and the block of b99.
    let used = b.ops() - before;
    assert!(used.reads_of(Table::Blocks) <= 3, "{used:?}");
    assert_eq!(b.get("k"), Some("b99".into()));
}

/// Versions of equal rank are compared by their values; that takes no block of each of them.
#[test]
fn hazard_14_a_delete_among_versions_of_equal_rank_reads_few_blocks() {
    let roots: Vec<Bytes> = (0..200).map(|n| blocks::put_block(&[], 1, "k", &format!("{n:03}"))).collect();
    let mut node = Node::new();
    roots.iter().for_each(|bytes| node.receive(bytes));
    assert_eq!(node.get("k"), Some("199".into()));
    let winner = Cid::of(&roots[199]);
    let delete = blocks::tombstone_block(&[winner], 2, "k", winner);
    let before = node.ops();
    node.receive(&delete);
    let used = node.ops() - before;
    assert_eq!(node.get("k"), Some("198".into()));
    assert!(used.reads_of(Table::Blocks) <= 3, "{} blocks read", used.reads_of(Table::Blocks));
}

#[test]
fn hazard_16_puts_and_deletes_leave_their_blocks_and_nothing_else() {
    let mut node = Node::new();
    for n in 0..100 {
        node.put("k", &n.to_string());
        assert_eq!(node.delete("k").len(), 1);
    }
    let mut other = Node::new();
    let heads: Vec<Cid> = node.heads().into_iter().map(|(_, cid)| cid).collect();
    let world: World = node.world();
    other.hear(1, &heads);
    other.settle(&world);
    for node in [node, other] {
        assert_eq!(node.rows(Table::Blocks), 200);
        assert_eq!(node.rows(Table::Nodes), 200);
        assert_eq!(node.rows(Table::Heads), 1);
        for table in
            [Table::Keys, Table::Versions, Table::Early, Table::Waiting, Table::Wants, Table::Ready, Table::Bodies]
        {
            assert_eq!(node.rows(table), 0, "{table:?}");
        }
        assert!(node.rows(Table::Meta) <= 16, "a handful");
    }
}

const J18: &str = "0a0d0a090a022f6a1a036f6c641801";
const E18: &str = "122a0a2401701220912f4f192f5b2d64722eb6bac09867234a5c8bc62b79c46fdec9c05177c8d941120018000a170a0a0a022f6b1a046576696c18ffffffffffffffffff01";

#[test]
fn hazard_18_nobody_outbids_by_declaring_the_greatest_priority() {
    let mut node = every_order_hex(&[J18, E18], &[("/j", "old"), ("/k", "evil")]);
    assert_eq!(node.replica.stats().misdeclared, 1);
    for key in ["k", "j"] {
        let put = node.put(key, "mine");
        assert_eq!(node.get(key), Some("mine".into()), "the next put of {key} wins");
        let bytes = node.bytes(&put);
        let declared = Block::decode(&bytes).delta.expect("a good block").priority;
        assert_eq!(declared, node.replica.stats().height_max, "we declare the height");
    }
    let blocks: Vec<Bytes> = node.world().into_values().collect();
    check::every_order(&blocks, &[("/j", "mine"), ("/k", "mine")]);
}
