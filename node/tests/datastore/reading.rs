//! Reads beside writes: what they show, and what they do not wait for.

use crate::{
    faulty::Disk,
    support::{fast, rows, until},
};
use anabranch::{Bytes, Datastore, Query, Told};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

async fn open(disk: &Disk) -> Datastore {
    let disk = disk.clone();
    fast().open_with(move || Ok(disk.open())).await.unwrap()
}

/// A sync is held for as long as the test likes: all that is read meanwhile comes at once, from the state before it.
#[tokio::test(flavor = "multi_thread")]
async fn reads_do_not_wait_for_the_sync_under_way_and_show_nothing_of_it() {
    let disk = Disk::default();
    let store = open(&disk).await;
    let before = store.put("/k", "old").await.unwrap().blocks[0];
    let mut watcher = store.watch("/k").unwrap();
    disk.hold(true);
    let put = tokio::spawn({
        let store = store.clone();
        async move { store.put("/k", "new").await }
    });
    until("a sync begins", || async { disk.waiting() == 1 }).await;
    let reads = async {
        for _ in 0..100 {
            assert_eq!(store.get("/k").await.unwrap(), Some(Bytes::from("old")));
            assert!(store.has("/k").await.unwrap() && !store.has("/none").await.unwrap());
            assert_eq!(store.size("/k").await.unwrap(), Some(3));
            assert_eq!(store.heads().await.unwrap().iter().map(|head| head.cid).collect::<Vec<_>>(), [before]);
            assert_eq!(store.stats().await.unwrap().merged, 1);
            assert!(!store.is_behind().await.unwrap());
            assert!(store.is_merged(before).await.unwrap());
            assert!(store.block(before).await.unwrap().is_some());
            let found = store.query(Query::default()).await.unwrap().collect().await.unwrap();
            assert_eq!(found[0].value.as_deref(), Some(&b"old"[..]));
            let snapshot = store.snapshot().await.unwrap();
            assert_eq!(snapshot.traverse(Vec::new(), 10).await.unwrap().len(), 1);
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), reads).await;
    assert!(in_time.is_ok(), "a read waits for the sync");
    assert_eq!(disk.waiting(), 1, "the sync was not held, so this tested nothing");
    assert!(!put.is_finished());
    assert_eq!(watcher.try_next(), None, "a watcher was told of what is not durable");
    disk.hold(false);
    put.await.unwrap().unwrap();
    assert_eq!(store.get("/k").await.unwrap(), Some(Bytes::from("new")));
    assert!(matches!(watcher.try_next(), Some(Told::Now(change)) if change.new.as_deref() == Some(b"new")));
}

/// Whoever has an acknowledgement, was told by a watcher or by a hook, or saw a value, never reads anything older.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_or_seen_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for on_disk in [false, true] {
        let (newest, behind) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let store = match on_disk {
            true => fast().open(folder.path()).await.unwrap(),
            false => fast().memory().await.unwrap(),
        };
        let mut watcher = store.watch("/k").unwrap();
        let number = |value: Bytes| u64::from_be_bytes(value.as_ref().try_into().unwrap());
        let done = Arc::new(AtomicBool::new(false));
        let mut readers = Vec::new();
        for _ in 0..4 {
            let (store, newest, done) = (store.clone(), newest.clone(), done.clone());
            readers.push(tokio::spawn(async move {
                let mut reads = 0_u64;
                while !done.load(Ordering::SeqCst) || reads == 0 {
                    let acknowledged = newest.load(Ordering::SeqCst);
                    let found = store.get("/k").await.unwrap().map_or(0, number);
                    assert!(found >= acknowledged, "{found} was read after {acknowledged}");
                    newest.fetch_max(found, Ordering::SeqCst);
                    reads += 1;
                }
                reads
            }));
        }
        let told = tokio::spawn({
            let (store, behind) = (store.clone(), behind.clone());
            async move {
                while let Some(Told::Now(change)) = watcher.next().await {
                    let Ok(found) = store.get("/k").await else { break };
                    if found.map_or(0, number) < number(change.new.unwrap()) {
                        behind.store(true, Ordering::SeqCst);
                    }
                }
            }
        });
        for n in 1..=200_u64 {
            store.put("/k", Bytes::copy_from_slice(&n.to_be_bytes())).await.unwrap();
            newest.fetch_max(n, Ordering::SeqCst);
            assert_eq!(store.get("/k").await.unwrap().map(number), Some(n));
        }
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            assert!(reader.await.unwrap() > 0);
        }
        store.close().await;
        told.await.unwrap();
        assert!(!behind.load(Ordering::SeqCst), "a watcher was told before a read could see it");
    }
}

/// A datastore over a store in memory holds no snapshot of it: that would make each commit copy all rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_memory_is_not_copied_for_those_who_read() {
    let store = fast().memory().await.unwrap();
    for n in 0..50 {
        let batch = (0..1_000).fold(anabranch::Batch::new(), |batch, k| batch.put(format!("/{n}/{k}"), "x"));
        store.commit(batch).await.unwrap();
    }
    // 50,000 rows: a copy of them at each put would take minutes.
    let begun = std::time::Instant::now();
    for n in 0..2_000 {
        store.put("/k", format!("{n}")).await.unwrap();
        assert!(store.has("/k").await.unwrap());
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "2,000 puts took {:?}", begun.elapsed());
    assert_eq!(rows(&store).await.len(), 50_001);
}

/// Reads of rows that are being rebuilt say so, and so do those that begin while the first of them is cleared.
#[tokio::test(flavor = "multi_thread")]
async fn reads_during_a_rebuild_say_so_and_never_show_a_part() {
    let store = fast().options(|options| options.replica.step_bytes_max = 1).memory().await.unwrap();
    for n in 0..300 {
        store.put(format!("/{n}"), "x").await.unwrap();
    }
    let mut said = 0;
    // It may be over before a read comes.
    for _ in 0..100 {
        let rebuild = tokio::spawn({
            let store = store.clone();
            async move { store.rebuild().await }
        });
        while !rebuild.is_finished() {
            match store.query(Query { keys_only: true, ..Query::default() }).await {
                Ok(rows) => assert_eq!(rows.collect().await.unwrap().len(), 300),
                Err(why) => {
                    assert_eq!(why, anabranch::Error::Read(anabranch_core::Error::Rebuilding));
                    said += 1;
                }
            }
            tokio::task::yield_now().await;
        }
        rebuild.await.unwrap().unwrap();
        if said > 0 {
            break;
        }
    }
    assert!(said > 0, "no read came during the rebuild, so this tested nothing");
    assert_eq!(rows(&store).await.len(), 300);
}
