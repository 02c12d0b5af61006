//! Stores that are handed over: what becomes of them when they cannot be opened.

use crate::{
    faulty::{Disk, Fault},
    support::{fast, rows},
};
use anabranch::{
    Bytes, Error, OpenError,
    store::{MemoryStore, Read, Store, Table, WriteBatch},
};

/// A store that says that it is of a newer format.
fn newer<S: Store>(mut store: S) -> S {
    let row = (Table::Meta, Bytes::from_static(b"format"), Some(Bytes::copy_from_slice(&99_u32.to_le_bytes())));
    store.commit(WriteBatch { rows: vec![row] }).unwrap();
    store
}

fn format(store: &impl Read) -> Option<Bytes> {
    store.get(Table::Meta, b"format").unwrap()
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_handed_back() {
    let disk = Disk::default();
    for why in ["option queue_max", "the store is in format 99"] {
        let builder = |text: &str| match text.starts_with("option") {
            true => fast().options(|options| options.queue_max = 0),
            false => fast(),
        };
        let refused = builder(why).open_store(newer(disk.open())).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
        assert_eq!(format(&refused.store.unwrap()).as_deref(), Some(&99_u32.to_le_bytes()[..]));
        let refused = builder(why).open_store(newer(MemoryStore::new())).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
        assert_eq!(format(refused.store.as_ref().unwrap()).as_deref(), Some(&99_u32.to_le_bytes()[..]));
        // For those who need only the reason.
        assert!(matches!(OpenError::from(refused), OpenError::Option { .. } | OpenError::Replica(_)));
    }
}

/// A handed-over store fails, and fails again when it is opened again, and is there when that goes well at last.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_reopen_does_not_lose_a_store_that_was_handed_over() {
    let disk = Disk::default();
    let store = fast().open_store(disk.open()).await.unwrap();
    store.put("/k", "v").await.unwrap();
    disk.fail(Fault::Commit);
    store.put("/lost", "v").await.unwrap_err();
    for _ in 0..3 {
        disk.fail(Fault::Read);
        let failed = store.reopen().await.unwrap_err();
        assert!(failed.to_string().contains("the test made a read fail"), "{failed}");
        assert!(matches!(store.get("/k").await, Err(Error::Stopped(_))));
    }
    store.reopen().await.unwrap();
    assert_eq!(rows(&store).await.len(), 1);
    store.put("/next", "v").await.unwrap();
    assert_eq!(rows(&store).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_store_with_something_in_it_is_opened() {
    let mut out = Vec::new();
    let mut replica =
        anabranch_core::Replica::open(MemoryStore::new(), anabranch::Config::default(), &mut out).unwrap();
    let batch = anabranch::Batch::new().put("/k", "v");
    let input = anabranch_core::Input::Commit { token: anabranch_core::Token(1), batch };
    assert_eq!(replica.step(input, &mut out).unwrap(), anabranch_core::Progress::Done);
    let heads = replica.heads().unwrap();
    let store = fast().open_store(replica.into_store()).await.unwrap();
    assert_eq!(store.heads().await.unwrap(), heads);
    assert_eq!(store.get("/k").await.unwrap(), Some(Bytes::from("v")));
    store.put("/j", "w").await.unwrap();
    assert_eq!(rows(&store).await.len(), 2);
}
