//! Several datastores over the network inside a program.

use crate::support::{converged, fast, rows};
use anabranch::{Batch, Datastore, LocalNetwork, LocalNetworkOptions};
use std::time::Duration;

async fn open(network: &LocalNetwork, count: usize) -> Vec<Datastore> {
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(fast().network(network.join()).memory().await.unwrap());
    }
    stores
}

#[tokio::test(flavor = "multi_thread")]
async fn two_datastores_see_each_others_writes() {
    let network = LocalNetwork::new();
    let stores = open(&network, 2).await;
    stores[0].put("/a", "1").await.unwrap();
    stores[1].put("/b", "2").await.unwrap();
    converged(&stores).await;
    assert_eq!(rows(&stores[0]).await, rows(&stores[1]).await);
    assert_eq!(rows(&stores[0]).await.len(), 2);
    stores[1].delete("/a").await.unwrap();
    converged(&stores).await;
    assert!(!stores[0].has("/a").await.unwrap());
}

/// Five write at once over a network that loses a fifth of everything and takes its time.
#[tokio::test(flavor = "multi_thread")]
async fn five_datastores_converge_over_a_bad_network() {
    let network = LocalNetwork::with(LocalNetworkOptions {
        loss_percent: 20,
        latency: Duration::ZERO..=Duration::from_millis(5),
        seed: 1,
        ..LocalNetworkOptions::default()
    });
    let stores = open(&network, 5).await;
    let mut writers = Vec::new();
    for (number, store) in stores.iter().cloned().enumerate() {
        writers.push(tokio::spawn(async move {
            for n in 0..20 {
                store.put(format!("/own/{number}/{n}"), format!("{n}")).await.unwrap();
                store.put("/contended", format!("{number} {n}")).await.unwrap();
                if n % 5 == 4 {
                    store.delete(format!("/own/{number}/{}", n - 1)).await.unwrap();
                }
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    converged(&stores).await;
    let first = rows(&stores[0]).await;
    assert_eq!(first.len(), 5 * 16 + 1);
    for store in &stores {
        assert_eq!(rows(store).await, first);
    }
    assert!(network.lost() > 0, "the network lost nothing, so this tested nothing");
}

/// A history that was written alone reaches one who comes later, through disks.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_joiner_on_disk_gets_the_whole_history() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let network = LocalNetwork::new();
    let old = fast().network(network.join()).open(first.path()).await.unwrap();
    for n in 0..50 {
        old.commit(Batch::new().put(format!("/{n}"), "x").put("/last", format!("{n}"))).await.unwrap();
    }
    let new = fast().network(network.join()).open(second.path()).await.unwrap();
    converged(&[old.clone(), new.clone()]).await;
    assert_eq!(rows(&old).await, rows(&new).await);
    assert_eq!(rows(&new).await.len(), 51);
    old.close().await;
    new.close().await;
}
