//! Invariants 1 to 6: what a set of blocks means. Each test is named after the invariant of
//! ARCHITECTURE.md that it shows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Batch, Bytes, Cid, DagName, Event, Input, Key, Peer, Query,
    limits::{BLOCK_BYTES_MERGED_MAX, KEY_BYTES_MAX, LINKS_WRITTEN_MAX, PRIORITY_DECLARED_END},
    wire::Block,
};
use support::{
    Node, blocks,
    blocks::{field, put_block, raw_block, void_block, world},
    check,
    check::every_order,
    fold,
};

fn links(node: &Node, cid: &Cid) -> Vec<Cid> {
    Block::decode(&node.bytes(cid)).links
}

fn declared(node: &Node, cid: &Cid) -> u64 {
    Block::decode(&node.bytes(cid)).delta.expect("a good block").priority
}

#[test]
fn invariant_01_state_is_a_function_of_the_set_of_merged_blocks() {
    let a = blocks::block(&[], 1, &[("x", "a"), ("y", "a"), ("x", "")], &[]);
    let b = put_block(&[], 1, "x", "b");
    let c = blocks::block(&[Cid::of(&a)], 2, &[("y", "c")], &[("x", Cid::of(&b))]);
    let d = blocks::block(&[Cid::of(&b), Cid::of(&c)], 3, &[("z", "d")], &[("y", Cid::of(&c))]);
    let e = blocks::block_in("named", &[Cid::of(&c)], 3, &[("z", "e")], &[]);
    // x: b is removed, a's last write is empty. y: c is removed, so a's takes over. z: d and e have rank 3.
    every_order(&[a, b, c, d, e], &[("/x", ""), ("/y", "a"), ("/z", "e")]);
}

#[test]
fn invariant_01_the_same_block_again_changes_nothing() {
    let chain = blocks::chain(5, |n| ("k".into(), n.to_string()));
    let mut node = Node::new();
    chain.iter().for_each(|bytes| node.receive(bytes));
    let rows = node.replica.store().rows().clone();
    node.events.clear();
    for bytes in chain.iter().rev().chain(&chain) {
        node.receive(bytes);
        node.hear(1, &[Cid::of(bytes)]);
    }
    assert_eq!(node.replica.store().rows(), &rows, "not a row");
    assert_eq!((node.events, node.fetches), (vec![], vec![]));
}

#[test]
fn invariant_01_the_value_is_the_live_version_of_the_greatest_rank_then_value_bytes() {
    let short = put_block(&[], 1, "k", "b");
    let long = put_block(&[], 1, "k", "ba");
    let high = put_block(&[], 1, "k", "\u{7f}");
    let deeper = put_block(&[Cid::of(&short)], 2, "k", "a");
    every_order(&[short.clone(), long.clone()], &[("/k", "ba")]);
    every_order(&[short.clone(), long.clone(), high.clone()], &[("/k", "\u{7f}")]);
    every_order(&[short, long, high, deeper], &[("/k", "a")]);
}

#[test]
fn invariant_02_a_merged_blocks_ancestors_are_merged() {
    let chain = blocks::chain(6, |n| (n.to_string(), "v".into()));
    for missing in 0..6 {
        let mut node = Node::new();
        for (at, bytes) in chain.iter().enumerate().rev() {
            if at != missing {
                node.receive(bytes);
            }
        }
        check::is_fold_of_merged(&node);
        assert_eq!(node.merged().len(), missing, "all below the gap, nothing above it");
        assert_eq!(node.replica.is_behind(), missing < 5);
        node.receive(&chain[missing]);
        check::is_fold(&node, &fold(&world(&chain)), "the gap is filled");
    }
}

#[test]
fn invariant_02_events_of_merged_blocks_come_parents_first() {
    let left = put_block(&[], 1, "l", "1");
    let right = put_block(&[Cid::of(&left)], 2, "r", "1");
    let void = void_block(&[Cid::of(&right)], 0);
    let top = blocks::block_in("n", &[Cid::of(&left), Cid::of(&void)], 4, &[], &[]);
    for order in check::orders(4, 24) {
        let mut node = Node::new();
        let all = [&left, &right, &void, &top];
        order.iter().for_each(|at| node.receive(all[*at]));
        node.settle(&world(all));
        let merged = |bytes: &Bytes, height, dag: &str, void| Event::Merged {
            cid: Cid::of(bytes),
            height,
            dag: DagName::new(dag),
            void,
        };
        node.events.retain(|event| matches!(event, Event::Merged { .. }));
        let wanted = [
            merged(&left, 1, "", false),
            merged(&right, 2, "", false),
            merged(&void, 3, "", true),
            merged(&top, 4, "n", false),
        ];
        assert_eq!(node.events, wanted);
    }
}

#[test]
fn invariant_03_rank_is_the_smaller_of_declared_and_height() {
    let root = put_block(&[], 1, "root", "");
    let over = put_block(&[Cid::of(&root)], u64::MAX, "k", "over: rank 2");
    let under = put_block(&[Cid::of(&root)], 1, "k", "under: rank 1");
    let zero = put_block(&[Cid::of(&root)], 0, "k", "zero: rank 0");
    let right = put_block(&[Cid::of(&root)], 2, "k", "exact: rank 2");
    let state = |value| [("/k", value), ("/root", "")];
    every_order(&[root.clone(), under.clone(), zero.clone()], &state("under: rank 1"));
    every_order(&[root.clone(), zero.clone()], &state("zero: rank 0"));
    let node = every_order(&[root, over, under, zero, right], &state("over: rank 2"));
    assert_eq!(node.replica.stats().misdeclared, 3);
}

#[test]
fn invariant_03_height_counts_parents_of_every_name_and_void_ones() {
    let other = blocks::chain(3, |n| (n.to_string(), "v".into()));
    let void = void_block(&[Cid::of(&other[2])], 0);
    let top = blocks::block_in("n", &[Cid::of(&void)], 5, &[("k", "v")], &[]);
    let all: Vec<Bytes> = other.into_iter().chain([void, top]).collect();
    let node = every_order(&all, &[("/0", "v"), ("/1", "v"), ("/2", "v"), ("/k", "v")]);
    assert_eq!((node.replica.stats().height_max, node.replica.stats().misdeclared), (5, 0));
}

#[test]
fn invariant_03_we_declare_the_height_or_one_more_than_our_parents_below_two_to_the_62() {
    let declares = |parent: u64| {
        let mut node = Node::new();
        node.receive(&put_block(&[], parent, "k", "v"));
        let put = node.put("k", "mine");
        assert_eq!(node.get("k"), Some("mine".into()));
        declared(&node, &put)
    };
    assert_eq!(declares(0), 2);
    assert_eq!(declares(1), 2);
    assert_eq!(declares(100), 101);
    assert_eq!(declares(PRIORITY_DECLARED_END - 2), PRIORITY_DECLARED_END - 1);
    assert_eq!(declares(PRIORITY_DECLARED_END - 1), 2);
    assert_eq!(declares(u64::MAX), 2);
}

/// What breaks a rule, each with a way to link to parents where it has one.
fn flawed(links: &[Cid]) -> Vec<(&'static str, Bytes)> {
    let with_parents = |extra: &[&[u8]], data: Option<&[u8]>| {
        let parents: Vec<[u8; 36]> = links.iter().map(Cid::to_bytes).collect();
        let mut all: Vec<&[u8]> = parents.iter().map(|cid| cid.as_slice()).collect();
        all.extend(extra);
        raw_block(&all, data)
    };
    let raw_cid = [&[0x01, 0x55, 0x12, 0x20][..], &[7; 32]].concat();
    let sha512 = [&[0x01, 0x70, 0x13, 0x40][..], &[7; 64]].concat();
    let too_large = field(1, &[field(1, b"/big"), field(3, &vec![0; BLOCK_BYTES_MERGED_MAX])].concat());
    vec![
        ("no delta", with_parents(&[], Some(b"\xff\xff\xff"))),
        ("a link to raw", with_parents(&[&raw_cid], Some(&[0x18, 0x01]))),
        ("a link with another hash", with_parents(&[&sha512], Some(&[0x18, 0x01]))),
        ("over the limit", with_parents(&[], Some(&too_large))),
    ]
}

#[test]
fn invariant_04_a_void_block_alone_is_not_merged_and_what_it_links_is() {
    let root = put_block(&[], 1, "root", "1");
    for (what, void) in flawed(&[Cid::of(&root)]) {
        let mut node = Node::new();
        node.receive(&void);
        assert!(node.events.contains(&Event::VoidRumour { cid: Cid::of(&void) }), "{what}");
        assert!(!node.replica.is_behind(), "{what} makes no obligation");
        node.pull(&world([&root, &void]));
        check::is_fold(&node, &fold(&world([&root])), what);
    }
}

#[test]
fn invariant_04_a_void_block_under_a_good_one_counts_for_ancestry_and_nothing_else() {
    let root = put_block(&[], 1, "root", "1");
    for (what, void) in flawed(&[Cid::of(&root)]) {
        let child = put_block(&[Cid::of(&void)], 3, "child", "1");
        let all = [root.clone(), void.clone(), child.clone()];
        let mut node = every_order(&all, &[("/child", "1"), ("/root", "1")]);
        assert_eq!((node.replica.stats().void, node.replica.stats().height_max), (1, 3), "{what}");
        // Headship passes through it: the root is no head, though no good block links to it.
        assert_eq!(node.heads(), [(String::new(), Cid::of(&child))].into(), "{what}");
        assert_eq!(node.bytes(&Cid::of(&void)), void, "served like any other: {what}");
        // It came once more by name: still no head, and nothing of ours links to it or announces it.
        node.hear(1, &[Cid::of(&void)]);
        node.receive(&void);
        let put = node.put("k", "v");
        assert_eq!(links(&node, &put), [Cid::of(&child)], "{what}");
        node.fire(anabranch_core::Timer::Rebroadcast);
        assert!(!node.announced().concat().contains(&Cid::of(&void)), "{what}");
    }
}

#[test]
fn invariant_04_bytes_that_are_no_dag_pb_are_void_and_have_no_links() {
    for bytes in [Bytes::from_static(b"\xff\xff\xff no dag-pb"), Bytes::from(vec![0x12, 0x05, 0x0a])] {
        let child = put_block(&[Cid::of(&bytes)], 2, "child", "1");
        let node = every_order(&[bytes, child], &[("/child", "1")]);
        assert_eq!(node.replica.stats().void, 1);
    }
}

#[test]
fn invariant_04_a_chain_of_void_blocks_passes_headship_through() {
    let root = put_block(&[], 1, "root", "1");
    let side = put_block(&[], 1, "side", "1");
    let v1 = void_block(&[Cid::of(&root)], 1);
    let v2 = void_block(&[Cid::of(&v1), Cid::of(&side)], 2);
    let v3 = void_block(&[Cid::of(&v1)], 3);
    let named = blocks::block_in("n", &[Cid::of(&v2)], 4, &[("n", "1")], &[]);
    let all = [root, side, v1, v2.clone(), v3.clone(), named];
    // A block of another name takes no headship: root and side are heads still.
    let node = every_order(&all, &[("/n", "1"), ("/root", "1"), ("/side", "1")]);
    assert_eq!(node.heads().len(), 3);
    assert!(!node.merged().contains(&Cid::of(&v3)), "no good block descends from v3");
    let top = put_block(&[Cid::of(&v2), Cid::of(&v3)], 5, "top", "1");
    let all: Vec<Bytes> = all.into_iter().chain([top]).collect();
    let node = every_order(&all, &[("/n", "1"), ("/root", "1"), ("/side", "1"), ("/top", "1")]);
    assert_eq!((node.heads().len(), node.replica.stats().void), (2, 3));
}

#[test]
fn invariant_04_only_bytes_that_do_not_hash_are_refused() {
    let good = put_block(&[], 1, "k", "v");
    let mut node = Node::new();
    for wrong in [Bytes::new(), put_block(&[], 1, "k", "forged"), good.slice(..good.len() - 1)] {
        node.input(Input::Block { from: Peer(7), cid: Cid::of(&good), bytes: wrong, attempt: 0 });
        assert_eq!(node.events.pop(), Some(Event::WrongBytes { from: Peer(7), cid: Cid::of(&good) }));
    }
    assert_eq!((node.merged().len(), node.replica.stats().obligations), (0, 0));
    node.receive(&good);
    assert_eq!(node.get("k"), Some("v".into()), "the block is not to blame");
}

#[test]
fn invariant_05_keys_are_cleaned_and_compared_after_cleaning() {
    let mut node = Node::new();
    for (written, read) in [
        ("foo", "/foo"),
        ("/a//b/", "a/b"),
        ("/../../h/X", "/h/X"),
        ("/c/./d/../e", "/c/e"),
        ("", "/"),
        ("...", "/..."),
    ] {
        node.put(written, written);
        assert_eq!(node.get(read), Some(written.into()));
        assert_eq!(node.delete(read).len(), 1, "{written} and {read} are one key");
        assert_eq!(node.get(written), None);
    }
}

#[test]
fn invariant_05_a_bad_element_is_left_out_and_its_block_is_good() {
    let longest = "k".repeat(KEY_BYTES_MAX - 1);
    let too_long = "k".repeat(KEY_BYTES_MAX);
    let element = |key: &str, value: &[u8]| field(1, &[field(1, key.as_bytes()), field(3, value)].concat());
    let unknown = [field(1, b"/u"), field(3, b"v"), field(9, b"new")].concat();
    let tombstone = |id: &[u8]| field(2, &[field(1, b"/k"), field(2, id)].concat());
    let delta = [
        element(&too_long, b"left out"),
        element(&longest, b"kept"),
        element("k", b"v"),
        field(1, &unknown),
        tombstone(b"no id"),
        tombstone(b""),
        tombstone(b"/CIQ"),
        field(15, b"a field of the future"),
        vec![0x18, 0x01],
    ];
    let block = raw_block(&[], Some(&delta.concat()));
    let node = every_order(&[block], &[("/k", "v"), (&format!("/{longest}"), "kept"), ("/u", "v")]);
    assert_eq!((node.replica.stats().void, node.replica.stats().early_tombstones), (0, 0));
}

#[test]
fn invariant_05_ids_count_with_and_without_slash() {
    let a = put_block(&[], 1, "k", "v");
    let id = Cid::of(&a).block_id();
    for id in [&id[..], &id[1..]] {
        let delta = [field(2, &[field(1, b"k"), field(2, id)].concat()), vec![0x18, 0x02]].concat();
        let t = raw_block(&[&Cid::of(&a).to_bytes()], Some(&delta));
        every_order(&[a.clone(), t], &[]);
    }
    let lower = String::from_utf8(id.to_vec()).unwrap().to_lowercase();
    let delta = [field(2, &[field(1, b"k"), field(2, lower.as_bytes())].concat()), vec![0x18, 0x02]].concat();
    every_order(&[a, raw_block(&[], Some(&delta))], &[("/k", "v")]);
}

#[test]
fn invariant_05_cidv0_and_v1_of_a_block_are_one() {
    let block = put_block(&[], 1, "k", "v");
    let v1 = Cid::of(&block).to_bytes();
    assert_eq!(Cid::from_bytes(&v1[2..]), Some(Cid::of(&block)));
    let mut node = Node::new();
    node.input(Input::Broadcast { from: Peer(1), payload: v1[2..].to_vec().into() });
    node.input(Input::Broadcast { from: Peer(2), payload: v1.to_vec().into() });
    assert_eq!(node.fetches.len(), 1, "one block, one fetch");
    // One child links to it by v0, another by v1, a third by both.
    let children = [
        raw_block(&[&v1[2..]], Some(&[0x18, 0x02])),
        raw_block(&[&v1], Some(&[0x18, 0x02])),
        raw_block(&[&v1, &v1[2..]], Some(&[0x18, 0x02])),
    ];
    let all: Vec<Bytes> = children.iter().cloned().chain([block]).collect();
    let node = every_order(&all, &[("/k", "v")]);
    assert_eq!(node.heads().len(), 3);
}

#[test]
fn invariant_06_heads_are_the_tips_of_their_name() {
    let mut node = Node::new();
    let a1 = node.commit(Batch::for_dag(DagName::new("a")).put("k", "1"))[0];
    let b1 = node.commit(Batch::for_dag(DagName::new("b")).put("k", "2"))[0];
    let main = node.put("k", "3");
    assert_eq!(links(&node, &main), [], "a block links to heads of its own name only");
    // Another name's block that links to a1 leaves it a head; its own name's does not.
    let foreign = blocks::block_in("b", &[a1, b1], 2, &[], &[]);
    node.receive(&foreign);
    let heads = |node: &Node| node.heads().into_iter().collect::<Vec<_>>();
    let name = |name: &str, cid| (name.to_owned(), cid);
    assert_eq!(heads(&node), [name("", main), name("a", a1), name("b", Cid::of(&foreign))]);
    let a2 = node.commit(Batch::for_dag(DagName::new("a")).put("k", "4"))[0];
    assert_eq!(links(&node, &a2), [a1]);
    assert_eq!(heads(&node), [name("", main), name("a", a2), name("b", Cid::of(&foreign))]);
    // A head of "a" below a block of "b" below a block of "a" stays a head: nothing of "a" links to it.
    let over = blocks::block_in("b", &[a2], 3, &[], &[]);
    let top = blocks::block_in("a", &[Cid::of(&over)], 4, &[], &[]);
    node.receive(&over);
    node.receive(&top);
    assert!(node.heads().is_superset(&[name("a", a2), name("a", Cid::of(&top))].into()));
    check::is_fold_of_merged(&node);
}

#[test]
fn invariant_06_a_new_block_links_to_the_highest_1024_heads_sorted_by_cid() {
    let mut node = Node::new();
    let mut high = Vec::new();
    for n in 0..1_300 {
        let root = put_block(&[], 1, &format!("{n}"), "v");
        node.receive(&root);
        if n < 100 {
            let child = put_block(&[Cid::of(&root)], 2, &format!("{n}"), "w");
            high.push(Cid::of(&child));
            node.receive(&child);
        }
    }
    assert_eq!(node.heads().len(), 1_300);
    let heads = node.replica.heads().unwrap();
    assert!(heads.iter().rev().is_sorted_by_key(|head| head.height), "highest first");
    let put = node.put("k", "v");
    let linked = links(&node, &put);
    assert_eq!(linked.len(), LINKS_WRITTEN_MAX);
    assert!(linked.is_sorted_by_key(Cid::to_bytes), "sorted by CID bytes");
    assert!(high.iter().all(|head| linked.contains(head)), "the highest first");
    assert_eq!(declared(&node, &put), 3);
    assert_eq!(node.heads().len(), 1_300 - LINKS_WRITTEN_MAX + 1);
    let put = node.put("k", "w");
    assert_eq!(links(&node, &put).len(), 1_300 - LINKS_WRITTEN_MAX + 1);
    assert_eq!(node.heads(), [(String::new(), put)].into());
    check::is_fold_of_merged(&node);
}

#[test]
fn invariant_06_heads_survive_reopening_and_rows_come_in_order() {
    let mut node = Node::new();
    for n in 0..20 {
        let name = DagName::new(format!("dag {}", n % 3));
        node.commit(Batch::for_dag(name).put(format!("k{n}"), "v"));
        node.receive(&blocks::block_in("dag 1", &[], 1, &[("r", &n.to_string())], &[]));
    }
    let before = (node.heads(), node.state(), node.merged());
    let node = node.crash();
    assert_eq!((node.heads(), node.state(), node.merged()), before);
    let keys: Vec<Key> = node.replica.query(&Query::default()).unwrap().into_iter().map(|row| row.key).collect();
    assert!(keys.is_sorted());
}
