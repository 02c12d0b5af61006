//! Calls that are dropped at every point where they wait, and a close in the middle of everything.

use crate::{
    faulty::Disk,
    support::{fast, rows, until},
};
use anabranch::{Batch, DagName, Datastore, Error, LocalNetwork, LocalNetworkOptions, Outcome, Query, TransferError};
use std::{
    future::Future,
    path::Path,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::{Duration, Instant},
};

type Call<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Every kind of call. `n` tells their keys apart.
fn calls<'a>(store: &'a Datastore, n: usize, car: &'a Path) -> Vec<(&'static str, Call<'a>)> {
    let batch = move || (0..5).fold(Batch::new(), |batch, k| batch.put(format!("/batch/{n}/{k}"), "x"));
    // What is asked for is looked at after the dropped calls; what an undisturbed one gives is looked at everywhere else.
    vec![
        ("put", Box::pin(async move { drop(store.put(format!("/put/{n}"), "x").await) })),
        ("commit", Box::pin(async move { drop(store.commit(batch()).await) })),
        ("delete", Box::pin(async move { drop(store.delete("/kept/0").await) })),
        ("get", Box::pin(async move { drop(store.get("/kept/1").await) })),
        (
            "query",
            Box::pin(async move {
                if let Ok(mut rows) = store.query(Query::default()).await {
                    while let Some(Ok(_)) = rows.next().await {}
                }
            }),
        ),
        (
            "snapshot",
            Box::pin(async move {
                if let Ok(snapshot) = store.snapshot().await {
                    drop(snapshot.picture(10).await);
                    drop(snapshot.get("/kept/1").await);
                }
            }),
        ),
        ("sync", Box::pin(async move { drop(store.sync("/").await) })),
        ("stats", Box::pin(async move { drop((store.stats().await, store.heads().await, store.blocking(5).await)) })),
        ("export", Box::pin(async move { drop(store.export(car.with_extension("out"), None).await) })),
        ("import", Box::pin(async move { drop(store.import(car).await) })),
        ("purge", Box::pin(async move { drop(store.purge(DagName::new("cache")).await) })),
        ("verify", Box::pin(async move { drop(store.verify().await) })),
        ("rebuild", Box::pin(async move { drop(store.rebuild().await) })),
        ("reopen", Box::pin(async move { drop(store.reopen().await) })),
    ]
}

/// Polls a call so many times, with pauses in which what it waits for may come, and drops it. Whether it had ended.
async fn dropped_after(call: Call<'_>, polls: usize, pause: Duration) -> bool {
    let mut call = pin!(call);
    for _ in 0..polls {
        if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return true;
        }
        tokio::time::sleep(pause).await;
    }
    false
}

/// Each call is dropped after every number of polls until it ends by itself: no other call suffers, nothing is made by halves, and the
/// store is sound.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_may_be_dropped_wherever_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let car = folder.path().join("other.car");
    let other = fast().memory().await.unwrap();
    for n in 0..20 {
        other.put(format!("/imported/{n}"), "x").await.unwrap();
    }
    other.export(&car, None).await.unwrap();
    let disk = Disk::default();
    let opened = disk.clone();
    let store = fast().options(|options| options.queue_max = 2).open_with(move || Ok(opened.open())).await.unwrap();
    for n in 0..5 {
        store.put(format!("/kept/{n}"), "x").await.unwrap();
    }
    let (mut dropped, mut n) = (0, 0);
    for kind in 0..calls(&store, 0, &car).len() {
        for polls in 0..40 {
            n += 1;
            until("no task runs", || async { store.task().await.unwrap().is_none() }).await;
            let (_, call) = calls(&store, n, &car).swap_remove(kind);
            // At times the disk is stuck when the call comes, so that it is dropped before the sync.
            disk.hold(polls % 3 == 2 && polls < 10);
            let ended = dropped_after(call, polls, Duration::from_micros(300)).await;
            disk.hold(false);
            dropped += usize::from(!ended);
            if ended && polls % 3 != 2 {
                break;
            }
        }
        until("no task runs", || async { store.task().await.unwrap().is_none() }).await;
        // Those that are not dropped go on.
        store.put("/others", format!("{kind}")).await.unwrap();
    }
    assert!(dropped >= 14, "{dropped} calls were dropped");
    let found = rows(&store).await;
    let batches = found.iter().filter(|row| row.key.to_string().starts_with("/batch/")).count();
    assert!(batches % 5 == 0 && batches > 0, "{batches} keys of batches of 5");
    let verified = store.verify().await.unwrap();
    assert!(matches!(verified, Outcome::Verified { faults: 0, .. }), "{verified:?}");
    store.close().await;
    let again = fast().open_with(move || Ok(disk.open())).await.unwrap();
    assert_eq!(rows(&again).await, found);
}

/// Writers, readers, watchers, tasks, files and a network are all at work when the datastore is closed: it closes soon, every call ends and says what it is, and all
/// that was acknowledged is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_close_in_the_middle_of_everything_loses_nothing() {
    for round in 0..3_u64 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let latency = Duration::ZERO..=Duration::from_millis(3);
        let network =
            LocalNetwork::with(LocalNetworkOptions { latency, loss_percent: 5, ..LocalNetworkOptions::default() });
        let peer = fast().network(network.join()).memory().await.unwrap();
        let store = fast().network(network.join()).open(&path).await.unwrap();
        let car = folder.path().join("peer.car");
        for n in 0..100 {
            peer.put(format!("/peer/{n}"), "x").await.unwrap();
        }
        peer.export(&car, None).await.unwrap();
        let mut work = tokio::task::JoinSet::new();
        let acknowledged = Arc::new(std::sync::Mutex::new(Vec::new()));
        for writer in 0..8 {
            let (store, acknowledged) = (store.clone(), acknowledged.clone());
            drop(work.spawn(async move {
                for n in 0.. {
                    let key = format!("/own/{writer}/{n}");
                    match store.put(&key, "x").await {
                        Ok(_) => acknowledged.lock().unwrap().push(key),
                        Err(why) => return assert_eq!(why, Error::Closed),
                    }
                }
            }));
        }
        let reads = Arc::new(AtomicU64::new(0));
        for _ in 0..4 {
            let (store, reads) = (store.clone(), reads.clone());
            drop(work.spawn(async move {
                loop {
                    let read = async {
                        store.get("/own/0/0").await?;
                        store.query(Query::default()).await?.collect().await
                    };
                    match read.await {
                        Ok(_) => drop(reads.fetch_add(1, Ordering::Relaxed)),
                        Err(why) => return assert_eq!(why, Error::Closed),
                    }
                }
            }));
        }
        let (mut watcher, mut events) = (store.watch_prefix("/").unwrap(), store.events());
        drop(work.spawn(async move { while watcher.next().await.is_some() {} }));
        drop(work.spawn(async move { while events.next().await.is_some() {} }));
        let importing = store.clone();
        drop(work.spawn(async move {
            match importing.import(&car).await {
                Ok(_) | Err(TransferError::Store(Error::Closed)) => {}
                Err(why) => panic!("{why}"),
            }
        }));
        let verifying = store.clone();
        drop(work.spawn(async move {
            loop {
                match verifying.verify().await {
                    Ok(_) | Err(Error::Refused(_)) => {}
                    Err(why) => return assert_eq!(why, Error::Closed),
                }
            }
        }));
        let has_begun = || async { !acknowledged.lock().unwrap().is_empty() && reads.load(Ordering::Relaxed) > 0 };
        until("all has begun", has_begun).await;
        tokio::time::sleep(Duration::from_millis(60 * round)).await;
        let begun = Instant::now();
        store.close().await;
        assert!(begun.elapsed() < Duration::from_secs(10), "closing took {:?}", begun.elapsed());
        let all = async {
            while let Some(ended) = work.join_next().await {
                ended.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all).await.expect("a call did not end with the datastore");
        // At once: nothing holds the folder any more.
        let again = fast().open(&path).await.unwrap();
        let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
        for key in acknowledged {
            assert!(again.has(&key).await.unwrap(), "{key} was acknowledged and is gone");
        }
        until("a task that was under way has ended", || async { again.task().await.unwrap().is_none() }).await;
        let verified = again.verify().await.unwrap();
        assert!(matches!(verified, Outcome::Verified { faults: 0, .. }), "{verified:?}");
        again.close().await;
    }
}

/// What is under way when the last handle is dropped is done, and the store is closed: nobody waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_closes() {
    let folder = tempfile::tempdir().unwrap();
    let store = fast().open(folder.path()).await.unwrap();
    let mut watcher = store.watch("/k").unwrap();
    store.put("/k", "v").await.unwrap();
    drop(store);
    assert!(watcher.next().await.is_some());
    assert_eq!(watcher.next().await, None);
    until("it can be opened", || async { fast().open(folder.path()).await.is_ok() }).await;
}

/// A future of `close` that is dropped closes all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_close_closes() {
    let store = fast().memory().await.unwrap();
    {
        let mut close = pin!(store.close());
        // It may be done at once.
        let _ = close.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    until("it is closed", || async { store.get("/k").await == Err(Error::Closed) }).await;
}
