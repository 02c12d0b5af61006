//! What a program asks of a replica beside reads and writes: changes told, imports, writes while behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{Batch, Bytes, Cid, Config, Event, Input, Key, Outcome, Refusal, WhenBehind, store::Table};
use support::{
    blocks::{chain, void_block, world},
    *,
};

type Change = (String, Option<String>, Option<String>);

/// The changes told since the last call.
fn changes(node: &mut Node) -> Vec<Change> {
    let text = |value: Option<Bytes>| value.map(|value| String::from_utf8(value.to_vec()).unwrap());
    let events = std::mem::take(&mut node.events);
    let changes = events.into_iter().filter_map(|event| match event {
        Event::Changed { key, old, new } => Some((key.to_string(), text(old), text(new))),
        _ => None,
    });
    changes.collect()
}

fn change(key: &str, old: Option<&str>, new: Option<&str>) -> Change {
    (key.to_owned(), old.map(str::to_owned), new.map(str::to_owned))
}

fn reporting() -> Node {
    Node::with(Config { report_changes: true, ..Config::default() })
}

#[test]
fn changed_tells_old_and_new_value_of_puts_and_deletes() {
    let mut node = reporting();
    node.put("/k", "a");
    assert_eq!(changes(&mut node), [change("/k", None, Some("a"))]);
    node.put("/k", "b");
    assert_eq!(changes(&mut node), [change("/k", Some("a"), Some("b"))]);
    node.put("/k", "");
    assert_eq!(changes(&mut node), [change("/k", Some("b"), Some(""))], "an empty value is a value");
    node.delete("/k");
    assert_eq!(changes(&mut node), [change("/k", Some(""), None)]);
    node.delete("/k");
    assert_eq!(changes(&mut node), [], "nothing was there");
}

#[test]
fn changed_is_not_told_when_the_value_stays() {
    let mut node = reporting();
    node.put("/k", "a");
    changes(&mut node);
    node.put("/k", "a");
    assert_eq!(changes(&mut node), [], "another version, the same value");
    // A version of lower rank does not prevail.
    node.receive(&put_block(&[], 1, "/k", "zzz"));
    assert_eq!(changes(&mut node), []);
    assert_eq!(node.get("/k").as_deref(), Some("a"));
}

#[test]
fn changed_tells_the_version_that_takes_over_after_a_delete() {
    let (low, high) = (put_block(&[], 1, "/k", "a"), put_block(&[], 1, "/k", "b"));
    // As Go makes it: the tombstone of a peer that has seen the one version only.
    let delete = tombstone_block(&[Cid::of(&high)], 2, "/k", Cid::of(&high));
    let mut node = reporting();
    for block in [&low, &high, &delete] {
        node.receive(block);
    }
    let told = [change("/k", None, Some("a")), change("/k", Some("a"), Some("b")), change("/k", Some("b"), Some("a"))];
    assert_eq!(changes(&mut node), told);
}

#[test]
fn changed_tells_the_net_change_of_a_commit() {
    let mut node = reporting();
    node.commit(Batch::new().put("/b", "1").put("/a", "1").put("/b", "2").delete("/a").put("/c", "3"));
    assert_eq!(changes(&mut node), [change("/b", None, Some("2")), change("/c", None, Some("3"))]);
}

#[test]
fn telling_changes_reads_no_row_twice() {
    let reads = |report_changes| {
        let mut node = Node::with(Config { report_changes, ..Config::default() });
        node.put("/k", "a");
        let before = node.ops();
        node.put("/k", "b");
        node.receive(&put_block(&[], 9, "/other", "c"));
        node.delete("/k");
        (node.ops() - before).reads_of(Table::Keys)
    };
    assert_eq!(reads(true), reads(false));
}

#[test]
fn changed_is_not_told_of_a_commit_that_fails() {
    let mut node = reporting();
    node.put("/k", "a");
    changes(&mut node);
    node.replica.store().fail_commits_after(0);
    let token = node.token();
    node.try_input(Input::Commit { token, batch: Batch::new().put("/k", "b") }).unwrap_err();
    assert_eq!(changes(&mut node), []);
}

#[test]
fn changed_is_off_unless_asked_for() {
    let mut node = Node::new();
    node.put("/k", "a");
    assert_eq!(changes(&mut node), []);
}

#[test]
fn import_takes_good_blocks_in_any_order_and_gives_back_the_rest() {
    let blocks = chain(5, |at| (format!("/k{at}"), format!("v{at}")));
    let void = void_block(&[], 1);
    let wrong = (Cid::of(b"something else"), blocks[0].clone());
    let mut node = Node::new();
    let token = node.token();
    let mut offered: Vec<(Cid, Bytes)> =
        blocks[1..].iter().rev().map(|bytes| (Cid::of(bytes), bytes.clone())).collect();
    offered.extend([(Cid::of(&void), void.clone()), wrong.clone()]);
    node.input(Input::Import { token, blocks: offered });
    let left = vec![Cid::of(&void), wrong.0];
    let outcome = Outcome::Imported { merged: 0, pending: 4, wrong: 1, left };
    assert_eq!(std::mem::take(&mut node.finished), [(Some(token), outcome)]);
    assert!(node.replica.is_behind(), "they are owed from now on");
    assert_eq!(node.fetches.iter().map(|fetch| fetch.cid).collect::<Vec<_>>(), [Cid::of(&blocks[0])]);
    let mut node = node.crash();
    let token = node.token();
    node.input(Input::Import { token, blocks: vec![(Cid::of(&blocks[0]), blocks[0].clone())] });
    let outcome = Outcome::Imported { merged: 1, pending: 0, wrong: 0, left: vec![] };
    assert_eq!(node.finished, [(Some(token), outcome)]);
    check::is_fold(&node, &fold(&world(&blocks)), "after the import");
}

#[test]
fn a_replica_that_is_behind_refuses_a_commit_where_it_is_told_to() {
    let blocks = chain(3, |at| (format!("/k{at}"), "v".to_owned()));
    let mut node = Node::with(Config { when_behind: WhenBehind::Refuse, ..Config::default() });
    node.receive(&blocks[2]);
    let refused = node.try_commit(Batch::new().put("/k", "mine"));
    assert_eq!(refused, Err(Refusal::Behind { obligations: 2 }));
    node.settle(&world(&blocks));
    node.put("/k", "mine");
    assert_eq!(node.behind.values().copied().collect::<Vec<_>>(), [0]);
}

#[test]
fn a_commit_says_what_it_has_not_seen() {
    let blocks = chain(3, |at| (format!("/k{at}"), "v".to_owned()));
    let mut node = Node::new();
    node.receive(&blocks[2]);
    node.put("/k", "mine");
    assert_eq!(node.behind.values().copied().collect::<Vec<_>>(), [2]);
    assert_eq!(node.replica.get(&Key::new("/k")).unwrap().as_deref(), Some(&b"mine"[..]));
}
