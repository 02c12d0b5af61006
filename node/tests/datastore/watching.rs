//! Watchers, hooks and events.

use crate::support::{converged, fast, rows, until};
use anabranch::{Batch, Bytes, Change, Datastore, Error, Event, Key, LocalNetwork, Told};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Keeps what a watcher was told in a map, and checks each change against it.
#[derive(Default)]
struct Mirror {
    values: BTreeMap<Key, Bytes>,
    changes: u64,
}

impl Mirror {
    fn apply(&mut self, change: Change) {
        assert_eq!(self.values.get(&change.key), change.old.as_ref(), "the old value of {}", change.key);
        assert_ne!(change.old, change.new, "no change of {}", change.key);
        match change.new {
            Some(new) => drop(self.values.insert(change.key, new)),
            None => drop(self.values.remove(&change.key)),
        }
        self.changes += 1;
    }
}

async fn state(store: &Datastore) -> BTreeMap<Key, Bytes> {
    rows(store).await.into_iter().map(|row| (row.key, row.value.unwrap())).collect()
}

/// Three write the same few keys at random; what the watchers and the hooks of one were told is exactly what has become visible there.
#[tokio::test(flavor = "multi_thread")]
async fn watchers_and_hooks_see_exactly_what_becomes_visible() {
    let network = LocalNetwork::new();
    let hooked = Arc::new(Mutex::new(Mirror::default()));
    let (on_put, on_delete) = (hooked.clone(), hooked.clone());
    let watched = fast()
        .network(network.join())
        .options(|options| options.watch_buffer = 100_000)
        .on_put(move |change| on_put.lock().unwrap().apply(change.clone()))
        .on_delete(move |change| on_delete.lock().unwrap().apply(change.clone()))
        .memory()
        .await
        .unwrap();
    let mut all = watched.watch_prefix("").unwrap();
    let mut one = watched.watch("/k/3").unwrap();
    let mut stores = vec![watched.clone()];
    for _ in 0..2 {
        stores.push(fast().network(network.join()).memory().await.unwrap());
    }
    let mut writers = Vec::new();
    for (number, store) in stores.iter().cloned().enumerate() {
        writers.push(tokio::spawn(async move {
            let mut draws = fastrand::Rng::with_seed(number as u64);
            for n in 0..150 {
                let key = format!("/k/{}", draws.u8(0..8));
                match draws.u8(0..4) {
                    0 => drop(store.delete(key).await.unwrap()),
                    1 => drop(store.put(key, "same").await.unwrap()),
                    _ => {
                        drop(store.commit(Batch::new().put(key, format!("{number} {n}")).delete("/k/3")).await.unwrap())
                    }
                }
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    converged(&stores).await;
    let expected = state(&watched).await;
    watched.close().await;
    let mut mirror = Mirror::default();
    while let Some(told) = all.next().await {
        match told {
            Told::Now(change) => mirror.apply(change),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(mirror.values, expected);
    assert!(mirror.changes > 50, "{} changes", mirror.changes);
    let hooked = std::mem::take(&mut *hooked.lock().unwrap());
    assert_eq!((&hooked.values, hooked.changes), (&expected, mirror.changes));
    let mut third = Mirror::default();
    while let Some(Told::Now(change)) = one.next().await {
        assert_eq!(change.key, Key::new("/k/3"));
        third.apply(change);
    }
    assert!(third.changes > 0);
    assert_eq!(third.values.get(&Key::new("/k/3")), expected.get(&Key::new("/k/3")));
}

#[tokio::test]
async fn a_watcher_that_lags_is_told_how_much_it_missed_and_one_that_is_dropped_costs_nothing() {
    let store = fast().options(|options| options.watch_buffer = 3).memory().await.unwrap();
    let mut watcher = store.watch_prefix("/").unwrap();
    drop(store.watch("/0").unwrap());
    for n in 0..10 {
        store.put(format!("/{n}"), "x").await.unwrap();
    }
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(match watcher.next().await.unwrap() {
            Told::Now(change) => change.key.to_string(),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(told, ["/0", "/1", "/2", "Missed(7)"]);
    store.put("/again", "x").await.unwrap();
    assert!(matches!(watcher.next().await, Some(Told::Now(change)) if change.key == Key::new("/again")));
}

#[tokio::test]
async fn without_reports_a_watch_is_refused_and_hooks_turn_them_on() {
    let store = fast().options(|options| options.replica.report_changes = false).memory().await.unwrap();
    let refused = store.watch("/k").unwrap_err();
    assert_eq!(refused, Error::NotKept { option: "report_changes" });
    assert!(refused.to_string().contains("report_changes"));
    let (send, told) = std::sync::mpsc::channel();
    let store = fast()
        .options(|options| options.replica.report_changes = false)
        .on_delete(move |change| send.send(change.clone()).unwrap())
        .memory()
        .await
        .unwrap();
    store.put("/k", "v").await.unwrap();
    store.delete("/k").await.unwrap();
    store.close().await;
    let change = Change { key: Key::new("/k"), old: Some("v".into()), new: None };
    assert_eq!(told.iter().collect::<Vec<_>>(), [change]);
}

/// A hook that panics is called again, and one that is slow makes the close wait no longer than its limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_panics_or_hangs_does_not_take_the_datastore_with_it() {
    let seen = Arc::new(Mutex::new(0));
    let count = seen.clone();
    let store = fast()
        .options(|options| options.close_timeout = Duration::from_millis(100))
        .on_put(move |change| {
            *count.lock().unwrap() += 1;
            assert!(change.key != Key::new("/1"), "the hook of the test panics");
            if change.key == Key::new("/3") {
                std::thread::sleep(Duration::from_secs(2));
            }
        })
        .memory()
        .await
        .unwrap();
    for n in 0..4 {
        store.put(format!("/{n}"), "x").await.unwrap();
    }
    until("all hooks are called", || async { *seen.lock().unwrap() == 4 }).await;
    let begun = std::time::Instant::now();
    store.close().await;
    assert!(begun.elapsed() < Duration::from_secs(2), "closing took {:?}", begun.elapsed());
}

#[tokio::test]
async fn events_tell_what_was_merged_and_who_sent_what_is_bad() {
    let network = LocalNetwork::new();
    let store = fast().network(network.join()).memory().await.unwrap();
    let (hostile, _) = network.join();
    let mut events = store.events();
    let made = store.put("/k", "v").await.unwrap().blocks[0];
    anabranch::Broadcaster::broadcast(&hostile, Bytes::from_static(b"\xff\xff")).await.unwrap();
    let merged = Event::Merged { cid: made, height: 1, dag: anabranch::DagName::default(), void: false };
    assert_eq!(events.next().await, Some(Told::Now(merged)));
    let bad = Event::BadBroadcast { from: hostile.peer(), heads: 0 };
    assert_eq!(events.next().await, Some(Told::Now(bad)));
}
