//! What the tests share.

use anabranch::{Builder, Cid, Datastore, MergeAll, Query, Row};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// The longest that anything in a test may take before it counts as hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Options for tests: rounds of announcing and of the fetch timer come fast.
pub(crate) fn fast() -> Builder<MergeAll> {
    Datastore::builder().options(|options| {
        options.replica.rebroadcast_interval = Duration::from_millis(200);
        options.replica.fetch_timeout = Duration::from_millis(200);
    })
}

/// All rows of a datastore.
pub(crate) async fn rows(store: &Datastore) -> Vec<Row> {
    store.query(Query::default()).await.unwrap().collect().await.unwrap()
}

/// Waits until it holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until all hold the same heads, and none is behind.
pub(crate) async fn converged(stores: &[Datastore]) {
    until("equal heads", || async {
        let first = stores[0].heads().await.unwrap();
        for store in stores {
            if store.is_behind().await.unwrap() || store.heads().await.unwrap() != first {
                return false;
            }
        }
        true
    })
    .await;
}

/// Writes all blocks of a datastore to a file, but for the one that its first put here makes: that one's CID.
pub(crate) async fn export_without_the_first(source: &Datastore, file: &Path) -> Cid {
    let lost = source.put("/a", "1").await.unwrap().blocks[0];
    source.put("/b", "2").await.unwrap();
    source.export(file, None).await.unwrap();
    let mut car = anabranch_car::read(file).unwrap();
    car.blocks.retain(|(cid, _)| *cid != lost);
    anabranch_car::write(&car.roots, &car.blocks, &mut std::fs::File::create(file).unwrap()).unwrap();
    lost
}
