//! Purge, rebuild and abandon, as an operator uses them.

use crate::support::{converged, export_without_the_first, fast, rows, until};
use anabranch::{Batch, Cid, DagName, Error, LocalNetwork, Outcome, Refusal};

#[tokio::test(flavor = "multi_thread")]
async fn a_dag_is_purged_here_and_stays_elsewhere() {
    let network = LocalNetwork::new();
    let here = fast().network(network.join()).memory().await.unwrap();
    let there = fast().network(network.join()).memory().await.unwrap();
    let dag = DagName::new("cache");
    here.put("/k", "main").await.unwrap();
    let mut watcher = here.watch("/k").unwrap();
    for n in 0..10 {
        let batch = Batch { dag: dag.clone(), ..Batch::new().put("/k", format!("{n}")).put(format!("/{n}"), "x") };
        here.commit(batch).await.unwrap();
    }
    converged(&[here.clone(), there.clone()]).await;
    assert_eq!(here.purge(dag).await.unwrap(), Outcome::Purged { blocks: 10, keys: 11 });
    assert_eq!(here.task().await.unwrap(), None);
    assert_eq!(here.get("/k").await.unwrap().as_deref(), Some(&b"main"[..]));
    assert_eq!((rows(&here).await.len(), rows(&there).await.len()), (1, 11));
    // The watcher saw the old value come back.
    let mut last = None;
    while let Some(anabranch::Told::Now(change)) = watcher.try_next() {
        last = change.new;
    }
    assert_eq!(last.as_deref(), Some(&b"main"[..]));
    // Announcements of what was purged change nothing, and what comes later is merged.
    there.put("/later", "x").await.unwrap();
    until("it comes", || async { here.has("/later").await.unwrap() }).await;
    assert_eq!(rows(&here).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_gives_the_same_state() {
    let folder = tempfile::tempdir().unwrap();
    let store = fast().open(folder.path()).await.unwrap();
    for n in 0..50 {
        store.put(format!("/{}", n % 9), format!("{n}")).await.unwrap();
    }
    let (before, heads) = (rows(&store).await, store.heads().await.unwrap());
    assert_eq!(store.verify().await.unwrap(), Outcome::Verified { blocks: 50, keys: 9, faults: 0 });
    let outcome = store.rebuild().await.unwrap();
    assert_eq!(outcome, Outcome::Rebuilt { blocks: 50, damaged: 0, owed: 0 });
    assert_eq!((rows(&store).await, store.heads().await.unwrap()), (before.clone(), heads));
    store.close().await;
    let store = fast().rebuild().open(folder.path()).await.unwrap();
    until("it is rebuilt", || async { store.task().await.unwrap().is_none() }).await;
    assert_eq!(rows(&store).await, before);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_nobody_serves_is_abandoned() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("part.car");
    let source = fast().memory().await.unwrap();
    let lost = export_without_the_first(&source, &file).await;
    let store = fast().memory().await.unwrap();
    assert_eq!(store.import(&file).await.unwrap().pending, 1);
    assert!(store.is_behind().await.unwrap());
    let refused = store.abandon(Cid::of(b"x")).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(Refusal::NotMissing { .. })), "{refused}");
    assert_eq!(store.abandon(lost).await.unwrap(), Outcome::Abandoned { cid: lost });
    assert!(!store.is_behind().await.unwrap());
    assert_eq!(rows(&store).await.len(), 1);
}
