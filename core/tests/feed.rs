//! Events and the feed: both are the difference of two states, whatever happens between them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Batch, Bytes, Cid, Config, DagName, Event, FeedError, FeedToken, MergeAll, Timer, store::Table, wire::Block,
};
use std::collections::{BTreeMap, BTreeSet};
use support::{
    blocks::{chain, void_block, world},
    *,
};

type State = BTreeMap<Vec<u8>, Bytes>;

fn config() -> Config {
    Config { feed: true, report_changes: true, ..Config::default() }
}

/// Follows the feed to its end, a few blocks at a time, and lays what it says over the state.
fn follow(node: &Node, mut token: FeedToken, state: &mut State, limit: usize) -> (FeedToken, BTreeSet<Vec<u8>>) {
    let mut named = BTreeSet::new();
    loop {
        let feed = node.replica.feed(&token, limit).unwrap();
        assert!(feed.keys.is_sorted_by(|(a, _), (b, _)| a < b), "each key once");
        for (key, value) in feed.keys {
            named.insert(key.as_bytes().to_vec());
            match value {
                Some(value) => drop(state.insert(key.as_bytes().to_vec(), value)),
                None => drop(state.remove(key.as_bytes())),
            }
        }
        token = feed.next;
        if !feed.more {
            return (token, named);
        }
    }
}

fn token(node: &Node) -> FeedToken {
    node.replica.feed_token().unwrap()
}

#[test]
fn the_feed_names_all_keys_of_the_blocks_merged_since() {
    let mut node = Node::with(config());
    node.put("/before", "b");
    let since = token(&node);
    node.commit(Batch::new().put("/a", "1").put("/b", "2"));
    node.delete("/before");
    node.put("/a", "3");
    let feed = node.replica.feed(&since, 100).unwrap();
    let keys: Vec<(String, Option<&[u8]>)> = feed.keys.iter().map(|(k, v)| (k.to_string(), v.as_deref())).collect();
    assert_eq!(keys, [("/a".into(), Some(&b"3"[..])), ("/b".into(), Some(b"2")), ("/before".into(), None)]);
    assert!(!feed.more);
    assert_eq!(feed.next, token(&node));
    assert_eq!(node.replica.feed(&feed.next, 100).unwrap().keys, []);
    let part = node.replica.feed(&since, 2).unwrap();
    assert_eq!((part.keys.len(), part.more), (3, true), "two of three blocks");
    let rest = node.replica.feed(&part.next, 2).unwrap();
    assert_eq!((rest.keys.len(), rest.more), (1, false));
}

#[test]
fn the_feed_goes_on_after_a_restart_from_the_bytes_of_a_token() {
    let mut node = Node::with(config());
    node.put("/a", "1");
    let kept = token(&node).encode();
    node.put("/b", "2");
    let mut node = node.crash();
    node.put("/c", "3");
    let since = FeedToken::decode(&kept).expect("the bytes of a token");
    let keys: Vec<String> = node.replica.feed(&since, 9).unwrap().keys.iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(keys, ["/b", "/c"]);
    for length in 0..kept.len() {
        assert_eq!(FeedToken::decode(&kept[..length]), None);
    }
    assert_eq!(FeedToken::decode(&[9; FeedToken::BYTES]), None, "another version");
}

#[test]
fn a_step_of_the_feed_is_bounded_by_bytes_too() {
    let mut node = Node::with(Config { step_bytes_max: 1, ..config() });
    let since = token(&node);
    for at in 0..3 {
        node.put(&format!("/{at}"), "v");
    }
    let feed = node.replica.feed(&since, 100).unwrap();
    assert_eq!((feed.keys.len(), feed.more), (1, true));
}

#[test]
fn a_token_of_another_history_is_unknown() {
    let unknown = Err(FeedError::UnknownEpoch);
    let mut node = Node::with(config());
    node.put("/a", "1");
    let disk = node.replica.store().rows().clone();
    let (early, others) = (token(&node), Node::with(config()));
    node.put("/b", "2");
    let later = token(&node);
    // The disk is restored: what was merged since is gone, and then something else is merged.
    let mut restored = Node::open(Disk::holding(disk), config(), MergeAll);
    assert_eq!(restored.replica.feed(&later, 9), unknown, "from the future");
    assert!(restored.replica.feed(&early, 9).is_ok());
    restored.put("/b", "other");
    assert_eq!(restored.replica.feed(&later, 9), unknown, "as long, and other");
    restored.put("/c", "3");
    assert_eq!(restored.replica.feed(&later, 9), unknown);
    assert_eq!(others.replica.feed(&early, 9), unknown, "of another store");
}

/// The values of a page are of the moment in which it is read: a token in the middle is of no history that lacks what they came from.
#[test]
fn a_token_in_the_middle_is_unknown_where_what_its_values_came_from_is_gone() {
    let mut node = Node::with(config());
    let begin = token(&node);
    node.put("/a", "1");
    let disk = node.replica.store().rows().clone();
    node.put("/a", "2");
    let page = node.replica.feed(&begin, 1).unwrap();
    assert!(page.more && page.keys[0].1.as_deref() == Some(b"2"), "{page:?}");
    let rest = node.replica.feed(&FeedToken::decode(&page.next.encode()).unwrap(), 9).unwrap();
    assert_eq!((rest.keys.len(), rest.more), (1, false));
    // A crash or a backup leaves the first block alone, and nothing that comes says that "/a" is not "2".
    let mut restored = Node::open(Disk::holding(disk), config(), MergeAll);
    assert_eq!(restored.replica.feed(&page.next, 9), Err(FeedError::UnknownEpoch));
    restored.put("/b", "3");
    assert_eq!(restored.replica.feed(&page.next, 9), Err(FeedError::UnknownEpoch));
    assert!(restored.replica.feed(&begin, 9).is_ok());
}

#[test]
fn a_feed_that_was_off_for_a_while_knows_no_token_from_before() {
    let mut node = Node::with(config());
    for at in 0..6 {
        node.put(&format!("/{at}"), "v");
    }
    let before = token(&node);
    let disk = node.crash().replica.into_store();
    let mut node = Node::open(disk, Config::default(), MergeAll);
    assert_eq!(node.replica.feed_token(), Err(FeedError::Off));
    assert_eq!(node.replica.feed(&before, 9), Err(FeedError::Off));
    node.put("/meanwhile", "m");
    let disk = node.replica.into_store();
    let mut node = Node::open(disk, config(), MergeAll);
    assert_eq!(node.replica.feed(&before, 9), Err(FeedError::UnknownEpoch));
    let since = token(&node);
    // The rows of the epoch that is over go bit by bit.
    for at in 0..9 {
        node.put(&format!("/later/{at}"), "v");
    }
    assert_eq!(node.rows(Table::Log), 9);
    assert_eq!(node.replica.feed(&since, 99).unwrap().keys.len(), 9);
    let mut node = node.crash();
    node.put("/x", "x");
    assert_eq!(node.replica.feed(&since, 99).unwrap().keys.len(), 10);
}

#[test]
fn no_log_is_kept_unless_asked_for() {
    let mut node = Node::new();
    node.put("/a", "1");
    assert_eq!((node.rows(Table::Log), node.rows(Table::Meta)), (0, 2));
    assert_eq!(node.replica.feed_token(), Err(FeedError::Off));
}

/// What the events of a history say the state is, from this one on.
fn replay(events: &[Event], state: &mut State) {
    for event in events {
        let Event::Changed { key, old, new } = event else { continue };
        assert_ne!(old, new, "a change changes something");
        let held = match new {
            Some(new) => state.insert(key.as_bytes().to_vec(), new.clone()),
            None => state.remove(key.as_bytes()),
        };
        assert_eq!(held, *old, "{key}: the old value is what the last change left");
    }
}

/// Blocks that anyone may have made: puts, tombstones, forks, two names, void ones among them.
fn blocks_of(rng: &mut Rng) -> Vec<Bytes> {
    let mut made: Vec<Bytes> = Vec::new();
    let mut puts: Vec<(String, Cid)> = Vec::new();
    for _ in 0..10 + rng.below(30) {
        let mut links: BTreeSet<Cid> = BTreeSet::new();
        for _ in 0..rng.below(3) {
            if !made.is_empty() {
                links.insert(Cid::of(&made[rng.below(made.len())]));
            }
        }
        let links: Vec<Cid> = links.into_iter().collect();
        let key = format!("/{}", rng.below(4));
        let (name, priority) = (["", "x"][rng.below(2)], 1 + rng.below(5) as u64);
        let bytes = match rng.below(8) {
            0 => void_block(&links, made.len() as u8),
            1..4 if !puts.is_empty() => {
                let (key, target) = puts[rng.below(puts.len())].clone();
                blocks::block_in(name, &links, priority, &[], &[(&key, target)])
            }
            _ => {
                let value = if rng.once_in(5) { String::new() } else { rng.below(50).to_string() };
                let bytes = blocks::block_in(name, &links, priority, &[(&key, &value)], &[]);
                puts.push((key, Cid::of(&bytes)));
                bytes
            }
        };
        made.push(bytes);
    }
    made
}

#[test]
fn in_random_histories_with_crashes_events_and_feed_are_the_difference_of_the_states() {
    let (mut changes, mut crashes, mut lost) = (0, 0, 0);
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let made = blocks_of(&mut rng);
        let all = world(&made);
        let step_bytes_max = if rng.once_in(2) { 1 } else { 1 << 20 };
        let config = Config { step_bytes_max, pending_bytes_max: 400, ..config() };
        let disk = Disk::new();
        disk.record();
        let mut node = Node::open(disk, config, MergeAll);
        // Followers: one by events, which begins anew after a crash, and one by the feed, which goes on.
        let (mut by_events, mut by_feed, mut at) = (State::new(), State::new(), token(&node));
        for _ in 0..80 {
            match rng.below(12) {
                0..5 => node.receive(&made[rng.below(made.len())]),
                5..8 if !node.fetches.is_empty() => {
                    let fetch = node.fetches.remove(rng.below(node.fetches.len()));
                    if let Some(bytes) = all.get(&fetch.cid) {
                        node.answer(fetch, bytes);
                    }
                }
                8 => {
                    let key = format!("/{}", rng.below(4));
                    let batch = Batch::for_dag(DagName::new(["", "x"][rng.below(2)]));
                    node.commit(if rng.once_in(2) {
                        batch.delete(&key)
                    } else {
                        batch.put(&key, rng.next().to_string())
                    });
                }
                9 if node.timers.contains_key(&Timer::Fetch) => node.fire(Timer::Fetch),
                10 if rng.once_in(3) => {
                    // The process dies after some commit; what was synced before is there.
                    let before: State = node.state();
                    replay(&std::mem::take(&mut node.events), &mut by_events);
                    assert_eq!(by_events, before, "seed {seed}: events before the crash");
                    let left = node.replica.store().recorded();
                    let image =
                        if rng.once_in(2) { left[rng.below(left.len())].clone() } else { left[left.len() - 1].clone() };
                    let disk = Disk::holding(image);
                    disk.record();
                    node = node.crash_leaving(disk);
                    crashes += 1;
                    assert!(
                        !node.events.iter().any(|event| matches!(event, Event::Changed { .. })) || step_bytes_max == 1
                    );
                    node.events.clear();
                    by_events = node.state();
                    if node.replica.feed(&at, 1) == Err(FeedError::UnknownEpoch) {
                        lost += 1;
                        (by_feed, at) = (node.state(), token(&node));
                    }
                }
                _ => {
                    let before = by_feed.clone();
                    let (next, named) = follow(&node, at, &mut by_feed, 1 + rng.below(5));
                    let state = node.state();
                    assert_eq!(by_feed, state, "seed {seed}: the feed");
                    // And it names no key that no block since names: those whose value is another are among the named.
                    for key in before.keys().chain(state.keys()) {
                        assert!(before.get(key) == state.get(key) || named.contains(key));
                    }
                    at = next;
                }
            }
            let events = std::mem::take(&mut node.events);
            changes += events.iter().filter(|event| matches!(event, Event::Changed { .. })).count();
            replay(&events, &mut by_events);
            assert_eq!(by_events, node.state(), "seed {seed}: the events");
        }
        // The log holds what is good of what is merged, each block once.
        let good = node.world().values().filter(|bytes| Block::decode(bytes).delta.is_ok()).count();
        assert_eq!(node.rows(Table::Log), good, "seed {seed}");
    }
    assert!(changes > 4_000 && crashes > 100 && lost > 20, "{changes} changes, {crashes} crashes, {lost} tokens lost");
}

#[test]
fn the_feed_reads_a_row_a_block_and_one_a_key() {
    let mut node = Node::with(config());
    let since = token(&node);
    for block in chain(50, |at| (format!("/{at}"), "v".to_owned())) {
        node.receive(&block);
    }
    let before = node.ops();
    assert_eq!(node.replica.feed(&since, 99).unwrap().keys.len(), 50);
    let ops = node.ops() - before;
    assert_eq!((ops.reads_of(Table::Log), ops.reads_of(Table::Blocks), ops.reads_of(Table::Keys)), (50, 50, 50));
}

#[test]
fn a_purge_and_a_rebuild_begin_a_new_epoch() {
    let mut node = Node::with(config());
    node.commit(Batch::for_dag(DagName::new("x")).put("/x", "x"));
    node.put("/a", "1");
    let before = token(&node);
    node.purge("x");
    assert_eq!(node.replica.feed(&before, 9), Err(FeedError::UnknownEpoch), "x is gone, and no block says so");
    let purged = token(&node);
    node.put("/b", "2");
    assert_eq!(node.replica.feed(&purged, 9).unwrap().keys.len(), 1);
    node.rebuild();
    assert_eq!(node.replica.feed(&purged, 9), Err(FeedError::UnknownEpoch));
    let rebuilt = token(&node);
    assert_eq!(node.replica.feed(&rebuilt, 9).unwrap().keys, [], "a rebuild merges nothing new");
    let mut node = node.crash();
    node.put("/c", "3");
    assert_eq!(node.replica.feed(&rebuilt, 9).unwrap().keys.len(), 1);
}

#[test]
fn values_that_a_purge_changes_are_told() {
    let mut node = Node::with(config());
    node.put("/k", "main");
    node.commit(Batch::for_dag(DagName::new("x")).delete("/k").put("/x", "x"));
    let mut state = State::new();
    replay(&std::mem::take(&mut node.events), &mut state);
    assert_eq!(node.get("/k"), None);
    node.purge("x");
    assert_eq!(node.get("/k").as_deref(), Some("main"), "what the purged DAG removed comes back");
    replay(&std::mem::take(&mut node.events), &mut state);
    assert_eq!(state, node.state());
}
