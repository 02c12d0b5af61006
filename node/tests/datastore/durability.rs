//! Group commit, acknowledgements, cancellation, back-pressure, and stores that fail.

use crate::{
    faulty::{Disk, Fault},
    support::{PATIENCE, fast, rows, until},
};
use anabranch::{Batch, Builder, Bytes, Datastore, Error, LocalNetwork, MergeAll, Told};
use std::time::Duration;

async fn open(builder: Builder<MergeAll>, disk: &Disk) -> Datastore {
    let disk = disk.clone();
    builder.open_with(move || Ok(disk.open())).await.unwrap()
}

/// Whether nothing comes of it for a while.
async fn hangs<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    tokio::time::timeout(Duration::from_millis(50), future).await.is_err()
}

/// Ends when it has been polled so many times.
async fn polled(times: u64) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_share_a_sync_and_none_is_answered_before_it() {
    let disk = Disk::default();
    let store = open(fast(), &disk).await;
    disk.hold(true);
    let mut first = tokio::spawn({
        let store = store.clone();
        async move { store.put("/first", "1").await }
    });
    until("a sync begins", || async { disk.waiting() == 1 }).await;
    assert!(hangs(&mut first).await, "acknowledged before the sync");
    let puts: Vec<_> = (0..200)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.put(format!("/{n}"), "x").await })
        })
        .collect();
    // A read that comes meanwhile shows the state before.
    assert_eq!(store.get("/first").await.unwrap(), None, "a read showed what was not durable");
    let before = disk.syncs();
    disk.hold(false);
    first.await.unwrap().unwrap();
    for put in puts {
        put.await.unwrap().unwrap();
    }
    assert_eq!(store.get("/first").await.unwrap().as_deref(), Some(&b"1"[..]));
    let syncs = disk.syncs() - before;
    assert!(syncs <= 20, "200 puts that waited together took {syncs} syncs");
    assert_eq!(rows(&store).await.len(), 201);
}

/// Callers who write one thing after another stay together: the sync of the first who comes again waits for the others, and not for one who is
/// alone.
#[tokio::test(flavor = "multi_thread")]
async fn callers_who_come_again_share_each_sync() {
    const CALLERS: u64 = 32;
    const PUTS: u64 = 20;
    let disk = Disk::default();
    let store = open(fast(), &disk).await;
    disk.slow(Duration::from_millis(20));
    let before = disk.syncs();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let store = store.clone();
        drop(callers.spawn(async move {
            for n in 0..PUTS {
                store.put(format!("/{caller}/{n}"), "x").await.unwrap();
            }
        }));
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    let syncs = disk.syncs() - before;
    // Without that they fall into two halves, which wait for each other's sync: 40.
    assert!(syncs <= PUTS * 3 / 2, "{CALLERS} callers with {PUTS} puts each took {syncs} syncs");
    let begun = std::time::Instant::now();
    for n in 0..10 {
        store.put(format!("/alone/{n}"), "x").await.unwrap();
    }
    let each = begun.elapsed() / 10;
    assert!(each < Duration::from_millis(100), "one who is alone takes {each:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_writes_once_or_not_at_all() {
    let disk = Disk::default();
    let store = open(fast(), &disk).await;
    // Dropped before it was polled: it is nothing.
    drop(store.put("/never", "x"));
    disk.hold(true);
    // Dropped while it waits for the sync: it is made, once.
    let mut put = Box::pin(store.put("/once", "x"));
    assert!(hangs(&mut put).await);
    drop(put);
    disk.hold(false);
    until("the dropped put is made", || async { store.has("/once").await.unwrap() }).await;
    assert_eq!(store.stats().await.unwrap().merged, 1);
    assert!(!store.has("/never").await.unwrap());
    // Dropped at any moment, among others that are not: every acknowledged one is there, and each makes one block at most.
    let (mut acknowledged, mut started) = (Vec::new(), 0);
    for n in 0..200_u64 {
        started += 1;
        tokio::select! {
            biased;
            put = store.put(format!("/raced/{n}"), "x") => {
                put.unwrap();
                acknowledged.push(n);
            }
            () = polled(n * n % 97) => {}
        }
    }
    store.sync("/").await.unwrap();
    assert!(acknowledged.len() < 200, "no call was dropped, so this tested nothing");
    for n in acknowledged {
        assert!(store.has(format!("/raced/{n}")).await.unwrap());
    }
    let (merged, found) = (store.stats().await.unwrap().merged, rows(&store).await.len() as u64);
    assert_eq!(merged, found, "a put of a key of its own is one block");
    assert!(merged <= started + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_wait_where_queue_and_bytes_are_used_up() {
    let disk = Disk::default();
    let builder = fast().options(|options| {
        options.queue_max = 4;
        options.queue_bytes_max = 1 << 20;
    });
    let store = open(builder, &disk).await;
    disk.hold(true);
    // Two of 400 kB fit into 1 MiB, a third does not.
    let put = |key: &'static str| Box::pin(store.put(key, vec![0; 400_000]));
    let (mut first, mut second, mut third) = (put("/1"), put("/2"), put("/3"));
    assert!(hangs(&mut first).await && hangs(&mut second).await && hangs(&mut third).await);
    drop(third);
    disk.hold(false);
    first.await.unwrap();
    second.await.unwrap();
    store.sync("/").await.unwrap();
    assert!(!store.has("/3").await.unwrap(), "a call that waited for room had been queued");
    // More callers than the queue has places: all get through.
    let puts: Vec<_> = (0..100)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.put(format!("/many/{n}"), vec![1; 100_000]).await })
        })
        .collect();
    for put in puts {
        let made = tokio::time::timeout(PATIENCE, put).await.expect("room that was taken is given back");
        made.unwrap().unwrap();
    }
    assert_eq!(rows(&store).await.len(), 102);
}

/// Hazard 8b with a real task: the write that was not made is not there after reopening, and nothing of it was announced.
#[tokio::test(flavor = "multi_thread")]
async fn hazard_08b_a_commit_that_fails_changes_nothing_and_the_datastore_stops_until_it_is_reopened() {
    let network = LocalNetwork::new();
    let disk = Disk::default();
    let store = open(fast().network(network.join()), &disk).await;
    let peer = fast().network(network.join()).memory().await.unwrap();
    let mut watcher = store.watch_prefix("/").unwrap();
    store.put("/before", "1").await.unwrap();
    disk.fail(Fault::Commit);
    let failed = store.put("/lost", "2").await.unwrap_err();
    assert!(matches!(failed, Error::Stopped(_)), "{failed}");
    assert!(failed.to_string().contains("the test made a commit fail"), "{failed}");
    assert!(disk.has_failed());
    // Fail-stop: everything says so, and says why.
    assert!(matches!(store.get("/before").await, Err(Error::Stopped(_))));
    assert!(matches!(store.put("/after", "3").await, Err(Error::Stopped(_))));
    store.reopen().await.unwrap();
    store.reopen().await.unwrap();
    assert_eq!(rows(&store).await.len(), 1);
    store.put("/after", "3").await.unwrap();
    until("the peer has it", || async { peer.has("/after").await.unwrap() }).await;
    assert_eq!(rows(&peer).await, rows(&store).await);
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(match watcher.next().await.unwrap() {
            Told::Now(change) => change.key.to_string(),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(told, ["/before", "Reopened", "/after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hazard_08b_after_a_failed_sync_a_write_is_absent_or_present_a_head_and_announced() {
    for (fault, survives) in [(Fault::SyncLoses, false), (Fault::SyncKeeps, true)] {
        let network = LocalNetwork::new();
        let disk = Disk::default();
        let store = open(fast().network(network.join()), &disk).await;
        let peer = fast().network(network.join()).memory().await.unwrap();
        disk.fail(fault);
        let failed = store.put("/k", "v").await.unwrap_err();
        assert!(matches!(failed, Error::Unknown(_)), "{failed}");
        assert_eq!(peer.heads().await.unwrap(), [], "announced before it was durable");
        store.reopen().await.unwrap();
        assert_eq!(store.has("/k").await.unwrap(), survives);
        assert_eq!(store.heads().await.unwrap().len(), usize::from(survives));
        if survives {
            until("it is announced", || async { peer.has("/k").await.unwrap() }).await;
        }
    }
}

/// Hazard 12 with a real store: a batch whose commit failed is gone, and does not go out with a later one.
#[tokio::test(flavor = "multi_thread")]
async fn hazard_12_a_failed_batch_is_gone() {
    let disk = Disk::default();
    let store = open(fast(), &disk).await;
    disk.fail(Fault::Commit);
    store.commit(Batch::new().put("/k", "old").put("/j", "old")).await.unwrap_err();
    store.reopen().await.unwrap();
    store.put("/k", "new").await.unwrap();
    store.commit(Batch::new().put("/other", "x")).await.unwrap();
    assert_eq!(store.get("/k").await.unwrap(), Some(Bytes::from("new")));
    assert_eq!(store.get("/j").await.unwrap(), None);
}

/// A panic in the embedder's code stops the datastore as a failed store does, and does not take the program down.
#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_panics_stops_the_datastore() {
    #[derive(Clone)]
    struct Panics;
    impl anabranch::Validator for Panics {
        fn judge(&self, block: &anabranch::wire::Block) -> anabranch::Verdict {
            let bad = block.delta.as_ref().is_ok_and(|delta| delta.elements.iter().any(|e| e.value == "bad"));
            assert!(!bad, "the validator of the test panics");
            anabranch::Verdict::Merge
        }
    }
    let disk = Disk::default();
    let kept = disk.clone();
    let store = fast().validator(Panics).open_with(move || Ok(disk.open())).await.unwrap();
    store.put("/good", "good").await.unwrap();
    let failed = store.put("/bad", "bad").await.unwrap_err();
    assert!(matches!(failed, Error::Unknown(_) | Error::Stopped(_)), "{failed}");
    store.reopen().await.unwrap();
    assert_eq!(rows(&store).await.len(), 1);
    assert!(kept.commits() > 0);
}

/// Hazard 4a with real tasks: local puts of a key race with tombstones for it that come from a peer. An acknowledged put stays.
#[tokio::test(flavor = "multi_thread")]
async fn hazard_04a_an_acknowledged_put_outlives_tombstones_that_are_merged_beside_it() {
    for _ in 0..20 {
        let network = LocalNetwork::new();
        let (a, b) = (fast().network(network.join()), fast().network(network.join()));
        let (a, b) = (a.memory().await.unwrap(), b.memory().await.unwrap());
        a.put("/k", "old").await.unwrap();
        crate::support::converged(&[a.clone(), b.clone()]).await;
        let delete = tokio::spawn(async move {
            b.delete("/k").await.unwrap();
            b
        });
        tokio::task::yield_now().await;
        a.put("/k", "fresh").await.unwrap();
        let b = delete.await.unwrap();
        crate::support::converged(&[a.clone(), b.clone()]).await;
        let (here, there) = (a.get("/k").await.unwrap(), b.get("/k").await.unwrap());
        assert_eq!(here, there);
        // The delete may have come after the put had reached it, and then it removes it; else the put stays.
        if here.is_none() {
            let heads = a.heads().await.unwrap();
            assert_eq!(heads.len(), 1, "the put is gone although the delete is concurrent with it");
        }
    }
}
