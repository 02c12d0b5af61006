//! What a program does every day: put, get, delete, batch, query, close.

use crate::support::{fast, rows};
use anabranch::{Batch, Datastore, Error, OpenError, Query, Refusal, limits};

/// The same over a store in memory and over one on disk.
async fn on_both<F: Future<Output = ()>>(test: impl Fn(Datastore) -> F) {
    test(fast().memory().await.unwrap()).await;
    let folder = tempfile::tempdir().unwrap();
    let store = fast().open(folder.path()).await.unwrap();
    test(store.clone()).await;
    store.close().await;
}

#[tokio::test]
async fn what_is_put_is_there_and_what_is_deleted_is_not() {
    on_both(|store| async move {
        assert_eq!(store.get("/k").await.unwrap(), None);
        let put = store.put("/k", "v").await.unwrap();
        assert_eq!((put.blocks.len(), put.behind), (1, 0));
        assert!(store.is_merged(put.blocks[0]).await.unwrap());
        assert_eq!(store.get("k").await.unwrap().as_deref(), Some(&b"v"[..]));
        assert_eq!(store.size("/k").await.unwrap(), Some(1));
        store.put("/empty", "").await.unwrap();
        assert_eq!(store.size("/empty").await.unwrap(), Some(0));
        assert!(store.has("/empty").await.unwrap());
        store.delete("/k").await.unwrap();
        assert!(!store.has("/k").await.unwrap());
        assert_eq!(store.delete("/k").await.unwrap().blocks, []);
        store.sync("/").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_batch_is_one_block_and_a_query_gives_its_rows_in_order() {
    on_both(|store| async move {
        let mut batch = Batch::new();
        for n in 0..1_000 {
            batch = batch.put(format!("/n/{n:04}"), format!("{n}"));
        }
        let made = store.commit(batch.put("/other", "x").delete("/n/0500")).await.unwrap();
        assert_eq!(made.blocks.len(), 1);
        let query = Query { prefix: "/n".into(), ..Query::default() };
        let found = store.query(query.clone()).await.unwrap().collect().await.unwrap();
        // The delete came last, and removes no version that was merged before it.
        let keys: Vec<String> = found.iter().map(|row| row.key.to_string()).collect();
        let expected: Vec<String> = (0..1_000).filter(|n| *n != 500).map(|n| format!("/n/{n:04}")).collect();
        assert_eq!(keys, expected);
        let page = Query { offset: 10, limit: Some(3), keys_only: true, ..query };
        let found = store.query(page).await.unwrap().collect().await.unwrap();
        let keys: Vec<String> = found.iter().map(|row| row.key.to_string()).collect();
        assert_eq!(keys, ["/n/0010", "/n/0011", "/n/0012"]);
        assert!(found.iter().all(|row| row.value.is_none()));
    })
    .await;
}

#[tokio::test]
async fn a_query_and_a_snapshot_show_one_moment() {
    on_both(|store| async move {
        let mut batch = Batch::new();
        for n in 0..2_000 {
            batch = batch.put(format!("/{n:05}"), "old");
        }
        store.commit(batch).await.unwrap();
        let snapshot = store.snapshot().await.unwrap();
        let mut stream = store.query(Query::default()).await.unwrap();
        let first = stream.next().await.unwrap().unwrap();
        assert_eq!(first.key.to_string(), "/00000");
        for n in [1, 1_000, 1_999] {
            store.put(format!("/{n:05}"), "new").await.unwrap();
        }
        store.delete("/00002").await.unwrap();
        let rest = stream.collect().await.unwrap();
        assert_eq!(rest.len(), 1_999);
        assert!(rest.iter().all(|row| row.value.as_deref() == Some(b"old")));
        assert_eq!(snapshot.get("/01000").await.unwrap().as_deref(), Some(&b"old"[..]));
        assert_eq!(store.get("/01000").await.unwrap().as_deref(), Some(&b"new"[..]));
        assert_eq!(snapshot.query(Query::default()).collect().await.unwrap().len(), 2_000);
        assert_ne!(snapshot.heads().await.unwrap(), store.heads().await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_refused_write_says_why_and_changes_nothing() {
    on_both(|store| async move {
        store.put("/k", "v").await.unwrap();
        let (heads, before) = (store.heads().await.unwrap(), rows(&store).await);
        let refused = store.put("/big", vec![0; limits::BLOCK_BYTES_WRITTEN_MAX]).await.unwrap_err();
        assert!(matches!(refused, Error::Refused(Refusal::WriteTooLarge { .. })), "{refused}");
        assert!(refused.to_string().contains("cut the value"), "{refused}");
        let batch = Batch::new().put("/good", "1").put([b'/', 0xff], "2");
        let refused = store.commit(batch).await.unwrap_err();
        assert!(matches!(refused, Error::Refused(Refusal::KeyNotUtf8 { .. })), "{refused}");
        assert_eq!(store.heads().await.unwrap(), heads);
        assert_eq!(rows(&store).await, before);
        // Nothing of the refused batch goes out with the next one (hazard 12).
        store.put("/next", "3").await.unwrap();
        assert!(!store.has("/good").await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn after_close_every_call_says_so_and_the_store_can_be_opened_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = fast().open(folder.path()).await.unwrap();
    let put = store.put("/k", "v").await.unwrap();
    let locked = fast().open(folder.path()).await.unwrap_err();
    assert!(matches!(locked, OpenError::Folder(_)), "{locked}");
    assert!(locked.to_string().contains("open elsewhere"), "{locked}");
    let mut events = store.events();
    store.close().await;
    store.close().await;
    assert_eq!(events.next().await, None);
    assert_eq!(store.get("/k").await, Err(Error::Closed));
    assert_eq!(store.put("/k", "w").await, Err(Error::Closed));
    assert!(matches!(store.reopen().await, Err(OpenError::Closed)));
    let again = fast().open(folder.path()).await.unwrap();
    assert_eq!(again.get("/k").await.unwrap().as_deref(), Some(&b"v"[..]));
    assert_eq!(again.heads().await.unwrap()[0].cid, put.blocks[0]);
    again.close().await;
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused_by_name() {
    let refused = |change: fn(&mut anabranch::Options)| async move {
        match Datastore::builder().options(change).memory().await {
            Err(OpenError::Option { name, .. }) => name,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|options| options.queue_max = 0).await, "queue_max");
    assert_eq!(refused(|options| options.queue_bytes_max = 1).await, "queue_bytes_max");
    assert_eq!(refused(|options| options.watch_buffer = 0).await, "watch_buffer");
    assert_eq!(refused(|options| options.replica.fetches_max = 0).await, "fetches_max");
    assert_eq!(refused(|options| options.fetch_deadline = std::time::Duration::ZERO).await, "fetch_deadline");
    let zero = |options: &mut anabranch::Options| options.replica.rebroadcast_interval = std::time::Duration::ZERO;
    assert_eq!(refused(zero).await, "rebroadcast_interval");
}
