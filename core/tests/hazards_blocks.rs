//! The faults of go-ds-crdt with odd blocks, names, messages and writes, one test each: 19, 20, 23
//! of the list of faults that the project keeps, and its "more of the same kind".
//!
//! Not to be shown in the core: what purging a DAG wipes (there is no purge yet); hooks that fire
//! before their commit (events leave after the sync, see `hazards_walks.rs`, and hooks are the
//! node's); a close before the broadcast delay has passed (the delay is the driver's).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Batch, Bytes, Cid, Config, DagName, Event, Input, Key, Peer, Refusal, Timer, Validator, Verdict,
    limits::{BLOCK_BYTES_WRITTEN_MAX, DAG_NAME_BYTES_MAX, DELTA_BYTES_MAX},
    wire::Block,
};
use support::{
    Disk, Net, Node, blocks,
    blocks::{field, raw_block, varint},
    check, fold, hex,
};

#[test]
fn hazard_19_keys_and_ids_that_climb_out_are_contained() {
    let odd = [
        "0a130a0f0a0a2f2e2e2f2e2e2f682f581a01761801",
        "0a1712130a022f6b120d2f2e2e2f2e2e2f2e2e2f682f591801",
        "0a1f121b0a022f6b12152f2e2e2f2e2e2f2e2e2f2e2e2f6170702f646174611801",
        "0a1512110a022f6b120b2f2e2e2f2e2e2f2e2e2f641801",
        "0a20121c0a022f6b12162f2e2e2f2e2e2f2e2e2f637264745f76657273696f6e1801",
    ];
    let mut node = check::every_order_hex(&odd, &[("/h/X", "v")]);
    assert_eq!(node.replica.stats().early_tombstones, 0, "an id that names no block removes nothing, ever");
    for key in ["/h/Y", "/app/data", "/d", "/crdt_version", "/k"] {
        node.put(key, "mine");
    }
    for odd in odd {
        node.receive(&hex(odd));
    }
    let mut node = node.crash();
    for key in ["/h/Y", "/app/data", "/d", "/crdt_version", "/k"] {
        assert_eq!(node.get(key), Some("mine".into()), "{key}");
    }
    assert_eq!(node.get("/h/X"), Some("v".into()));
    node.put("after", "1");
    assert_eq!(node.heads().len(), 1);
}

#[test]
fn hazard_20_any_text_names_a_dag() {
    let longest = "n".repeat(DAG_NAME_BYTES_MAX);
    let names = ["a/b", "a", "a/", "a\0", "a\0b", "\0", ".", "..", "../h", "/x", "/", "ä ☃", "%2f", "*", &longest, ""];
    let mut node = Node::new();
    let mut wanted = std::collections::BTreeSet::new();
    for (at, name) in names.iter().enumerate() {
        for round in 0..2 {
            let batch = Batch::for_dag(DagName::new(*name)).put(format!("k{at}"), format!("{round}"));
            let blocks = node.commit(batch);
            if round == 1 {
                wanted.insert(((*name).to_owned(), blocks[0]));
            }
        }
    }
    assert_eq!(node.heads(), wanted, "one head a name, whatever the name");
    let node = node.crash();
    assert_eq!(node.heads(), wanted, "and after reopening");
    for (at, name) in names.iter().enumerate() {
        assert_eq!(node.get(&format!("k{at}")), Some("1".into()), "{name:?}");
    }
    let blocks: Vec<Bytes> = node.world().into_values().collect();
    let fold = fold(&node.world());
    let mut other = Node::new();
    blocks.iter().rev().for_each(|bytes| other.receive(bytes));
    check::is_fold(&other, &fold, "at another replica");
}

#[test]
fn hazard_20_the_block_that_go_made_for_the_name_with_a_slash() {
    let node = check::every_order_hex(&["0a100a070a022f6b1a017618012203612f62"], &[("/k", "v")]);
    assert_eq!(node.heads().into_iter().map(|(dag, _)| dag).collect::<Vec<_>>(), ["a/b"]);
}

#[test]
fn hazard_20_a_name_over_the_limit_is_refused_here_and_void_from_others() {
    let long = "n".repeat(DAG_NAME_BYTES_MAX + 1);
    let mut node = Node::new();
    let refused = node.try_commit(Batch::for_dag(DagName::new(&long)).put("k", "v"));
    assert_eq!(refused, Err(Refusal::DagNameTooLong { bytes: DAG_NAME_BYTES_MAX + 1 }));
    assert_eq!(node.merged().len(), 0);
    let parent = blocks::block_in(&long, &[], 1, &[("k", "v")], &[]);
    let child = blocks::put_block(&[Cid::of(&parent)], 2, "child", "1");
    let node = check::every_order(&[parent, child], &[("/child", "1")]);
    assert_eq!(node.replica.stats().void, 1);
}

/// Merges a block only if it puts a key below `/signed`, or links to one.
#[derive(Clone, Copy)]
struct Signed;

impl Validator for Signed {
    fn judge(&self, block: &Block) -> Verdict {
        let delta = block.delta.as_ref().expect("a validator sees no block that breaks a rule");
        let signed = delta.elements.iter().any(|element| element.key.as_bytes().starts_with(b"/signed/"));
        if signed { Verdict::Merge } else { Verdict::Void }
    }
}

#[test]
fn hazard_23_the_validator_decides_about_a_strangers_block() {
    let ours = blocks::block(&[], 1, &[("k", "ours"), ("signed/a", "")], &[]);
    let stranger = blocks::put_block(&[], 1, "k", "stranger");
    let tombstone = blocks::tombstone_block(&[Cid::of(&stranger)], 2, "k", Cid::of(&ours));
    let above = blocks::block(&[Cid::of(&tombstone)], 3, &[("signed/b", "")], &[]);
    // A block that breaks a rule: the validator must not be asked.
    let broken = blocks::void_block(&[], 0);
    let top = blocks::block(&[Cid::of(&broken), Cid::of(&above)], 4, &[("signed/c", "")], &[]);
    let all = [ours.clone(), stranger.clone(), tombstone.clone(), broken.clone(), above, top];
    for order in check::orders(all.len(), 200) {
        let mut node = Node::open(Disk::new(), Config::default(), Signed);
        order.iter().for_each(|at| node.receive(&all[*at]));
        node.settle(&blocks::world(&all));
        let fold = support::fold::fold_judged(&blocks::world(&all), &Signed);
        check::is_fold(&node, &fold, &format!("order {order:?}"));
        assert_eq!(node.get("k"), Some("ours".into()));
        assert_eq!(node.replica.stats().void, 3);
    }
    // Nothing good above them: not merged at all, though the default validator would.
    let mut node = Node::open(Disk::new(), Config::default(), Signed);
    for bytes in [&ours, &stranger, &tombstone] {
        node.receive(bytes);
    }
    assert_eq!(node.merged(), [Cid::of(&ours)].into());
    check::every_order(&[ours, stranger, tombstone], &[("/k", "stranger"), ("/signed/a", "")]);
}

/// What all others would leave out must not be merged here alone.
#[test]
fn hazard_23_the_validator_decides_about_our_own_blocks_too() {
    let mut node = Node::open(Disk::new(), Config::default(), Signed);
    node.commit(Batch::new().put("signed/a", "1"));
    let refused = node.try_commit(Batch::new().put("k", "unsigned"));
    assert!(refused.is_err(), "a commit that peers would take for void is refused: {refused:?}");
    assert_eq!((node.get("k"), node.merged().len()), (None, 1));
    let fold = support::fold::fold_judged(&node.world(), &Signed);
    check::is_fold(&node, &fold, "nothing changed");
}

#[test]
fn more_a_key_that_is_no_utf8_is_refused_and_spoils_nothing() {
    let mut node = Node::new();
    let bad = Batch::new().put("good", "1").put(b"\xff\xfe", "v");
    assert_eq!(node.try_commit(bad), Err(Refusal::KeyNotUtf8 { key: Key::new(b"\xff\xfe") }));
    assert_eq!((node.get("good"), node.merged().len()), (None, 0), "nothing of the batch is there");
    assert!(matches!(node.try_commit(Batch::new().delete(b"\xff")), Err(Refusal::KeyNotUtf8 { .. })));
    node.put("k", "v");
    assert_eq!(node.get("k"), Some("v".into()));
}

#[test]
fn more_two_batches_share_nothing() {
    let mut node = Node::new();
    let (one, two) = (Batch::new().put("k1", "1"), Batch::new().put("k2", "2"));
    node.commit(two);
    assert_eq!((node.get("k1"), node.get("k2")), (None, Some("2".into())));
    node.commit(one);
    assert_eq!((node.get("k1"), node.get("k2")), (Some("1".into()), Some("2".into())));
}

#[test]
fn more_no_block_is_made_that_bitswap_refuses() {
    let mut node = Node::new();
    let value = Bytes::from(vec![b'v'; 3 << 20]);
    let refused = node.try_commit(Batch::new().put("good", "1").put("k", value));
    let Err(Refusal::WriteTooLarge { key, block_bytes }) = refused else { panic!("{refused:?}") };
    assert_eq!(key, Key::new("k"));
    assert!(block_bytes > 3 << 20);
    assert_eq!(node.merged().len(), 0);
    // Four writes of 600 KiB: one a block, because two are over 1 MiB.
    let batch = (0..4).fold(Batch::new(), |batch, n| batch.put(format!("k{n}"), vec![b'v'; 600 << 10]));
    let blocks = node.commit(batch);
    assert_eq!(blocks.len(), 4);
    for cid in blocks {
        let bytes = node.bytes(&cid);
        assert!(bytes.len() <= DELTA_BYTES_MAX + 1024 && bytes.len() <= BLOCK_BYTES_WRITTEN_MAX);
    }
}

#[test]
fn more_one_bad_cid_in_a_broadcast_spoils_itself_alone() {
    let good = blocks::put_block(&[], 1, "k", "v");
    let good_cid = Cid::of(&good).to_bytes();
    let raw_cid = [&[0x01, 0x55, 0x12, 0x20][..], &[7; 32]].concat();
    let bad: [&[u8]; 4] = [b"no cid", b"", &good_cid[..35], &raw_cid];
    for bad in bad {
        for heads in [[bad, &good_cid], [&good_cid, bad]] {
            let payload: Vec<u8> = heads.iter().flat_map(|head| field(1, &field(1, head))).collect();
            let mut node = Node::new();
            node.input(Input::Broadcast { from: Peer(1), payload: payload.into() });
            node.pull(&blocks::world([&good]));
            assert_eq!(node.get("k"), Some("v".into()), "beside {bad:?}");
            assert!(node.events.contains(&Event::BadBroadcast { from: Peer(1), heads: 1 }), "{:?}", node.events);
        }
    }
}

#[test]
fn more_a_broadcast_is_read_forgivingly() {
    let good = blocks::put_block(&[], 1, "k", "v");
    let v1 = Cid::of(&good).to_bytes();
    let v0 = &v1[2..];
    let head = |cid: &[u8], more: &[u8]| field(1, &[&field(1, cid)[..], more].concat());
    let unknown_top = [head(&v1, &[]), field(9, b"new")].concat();
    let payloads: [(&str, Vec<u8>); 7] = [
        ("as it is", head(&v1, &[])),
        ("an unknown field at the top, for which Go drops the message", unknown_top),
        ("CIDv0 inside", head(v0, &[])),
        ("an unknown field inside a head", head(&v1, &[&field(9, b"x")[..], &[0x50, 0x01]].concat())),
        ("another DAG's name than the block's", head(&v1, &field(2, b"other"))),
        ("a legacy bare CIDv0", v0.to_vec()),
        ("a legacy bare CIDv1", v1.to_vec()),
    ];
    for (what, payload) in payloads {
        let mut node = Node::new();
        node.input(Input::Broadcast { from: Peer(1), payload: payload.into() });
        node.pull(&blocks::world([&good]));
        check::is_fold(&node, &fold(&blocks::world([&good])), what);
        assert!(!node.events.iter().any(|event| matches!(event, Event::BadBroadcast { .. })), "{what}");
    }
    let mut node = Node::new();
    node.input(Input::Broadcast { from: Peer(1), payload: Bytes::from_static(b"\xff\xff no announcement") });
    assert_eq!(node.events, [Event::BadBroadcast { from: Peer(1), heads: 0 }]);
    assert_eq!(node.fetches, []);
}

#[test]
fn more_a_head_given_as_cidv0_and_as_cidv1_is_one_head() {
    let good = blocks::put_block(&[], 1, "k", "v");
    let v1 = Cid::of(&good).to_bytes();
    let payload = [field(1, &field(1, &v1[2..])), field(1, &field(1, &v1))].concat();
    let mut node = Node::new();
    node.input(Input::Broadcast { from: Peer(1), payload: payload.into() });
    assert_eq!(node.fetches.len(), 1);
    node.pull(&blocks::world([&good]));
    assert_eq!(node.heads().len(), 1);
}

#[test]
fn more_empty_blocks_and_repeated_tombstones_are_taken_and_not_made() {
    let empty = hex("0a021801");
    let put = blocks::put_block(&[Cid::of(&empty)], 2, "k", "v");
    let target = Cid::of(&put);
    let twice = blocks::block(&[target], 3, &[], &[("k", target), ("k", target)]);
    check::every_order(&[empty, put, twice], &[]);

    let mut node = Node::new();
    assert_eq!(node.delete("absent"), [], "a delete of an absent key makes no block");
    assert_eq!(node.commit(Batch::new()), []);
    assert_eq!(node.merged().len(), 0);
    node.put("k", "v");
    let blocks = node.commit(Batch::new().delete("k").delete("/k").delete("absent"));
    let delta = Block::decode(&node.bytes(&blocks[0])).delta.unwrap();
    assert_eq!((blocks.len(), delta.tombstones.len(), delta.elements.len()), (1, 1, 0));
}

#[test]
fn more_the_dag_of_a_head_is_the_one_its_block_names() {
    let block = blocks::block_in("from the block", &[], 1, &[("k", "v")], &[]);
    let payload = field(1, &[field(1, &Cid::of(&block).to_bytes()), field(2, b"from the message")].concat());
    let mut node = Node::new();
    node.input(Input::Broadcast { from: Peer(1), payload: payload.into() });
    node.pull(&blocks::world([&block]));
    assert_eq!(node.heads(), [("from the block".to_owned(), Cid::of(&block))].into());
}

#[test]
fn more_heads_are_announced_again_so_a_lost_broadcast_loses_nothing() {
    let mut net = Net::new(2);
    net.nodes[0].put("k", "v");
    net.nodes[0].sent.clear();
    net.nodes[0].fire(Timer::Rebroadcast);
    net.deliver(0, &[1]);
    assert_eq!(net.nodes[1].get("k"), Some("v".into()));
}

#[test]
fn more_honest_blocks_that_understate_their_priority_are_ranked_as_go_ranks_them() {
    // After a failed fetch and a repair, v0.6.8 declares 4 on top of a block of height 9.
    let chain = blocks::chain(9, |n| ("k".into(), n.to_string()));
    let under = blocks::put_block(&[Cid::of(&chain[8])], 4, "k", "understated");
    let fork = blocks::put_block(&[Cid::of(&chain[8])], 10, "other", "1");
    let mut all = chain.clone();
    all.extend([under, fork]);
    let mut node = check::every_order(&all, &[("/k", "8"), ("/other", "1")]);
    assert_eq!(node.replica.stats().misdeclared, 1);
    node.put("k", "next");
    assert_eq!(node.get("k"), Some("next".into()));
}

#[test]
fn more_fifty_puts_of_each_of_eight_writers_are_all_there() {
    let mut node = Node::with(Config { step_bytes_max: 1, ..Config::default() });
    for put in 0..50 {
        for writer in 0..8 {
            let token = node.token();
            let batch = Batch::new().put(format!("{writer}/{put}"), "v");
            let _ = node.try_step(Input::Commit { token, batch }).unwrap();
        }
    }
    node.run().unwrap();
    assert_eq!((node.outcomes.len(), node.state().len()), (400, 400));
    check::is_fold(&node, &fold(&node.world()), "400 puts");
}

/// Links in every form that Go and JavaScript peers write.
#[test]
fn more_links_without_size_and_of_version_0_are_links() {
    let parent = blocks::put_block(&[], 1, "parent", "1");
    let v1 = Cid::of(&parent).to_bytes();
    let delta = [field(1, &[field(1, b"/k"), field(3, b"v")].concat()), vec![0x18], varint(2)].concat();
    let hash_only = [field(2, &field(1, &v1)), field(1, &delta)].concat();
    let without_size = [field(2, &[field(1, &v1), vec![0x12, 0x00]].concat()), field(1, &delta)].concat();
    let data_first = [field(1, &delta), field(2, &[field(1, &v1), vec![0x12, 0x00, 0x18, 0x00]].concat())].concat();
    for (what, child) in [
        ("CIDv0", raw_block(&[&v1[2..]], Some(&delta))),
        ("hash only", hash_only.into()),
        ("no size", without_size.into()),
        ("data before links", data_first.into()),
    ] {
        let node = check::every_order(&[parent.clone(), child], &[("/k", "v"), ("/parent", "1")]);
        assert_eq!((node.heads().len(), node.replica.stats().void), (1, 0), "{what}");
    }
}
