//! Faults of go-ds-crdt that need a peer or a failing process to show, with one: its own blocks, served by a peer to a datastore on disk, in several orders.

use crate::{
    faulty::{Disk, Fault},
    puppet::Puppet,
    support::{converged, fast, rows, until},
};
use anabranch::{Bytes, Cid, Datastore, LocalNetwork, LocalNetworkOptions, Peer};
use std::time::Duration;

const C0: &str = "0a0d0a090a032f6b301a0276301801";
const C1: &str = "122a0a2401701220f09930e7a0aa26a065322b334e6f591cee341808a5040478446998355ebb24b8120018000a0d0a090a032f6b311a0276311802";

fn block(hex: &str) -> Bytes {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap().into()
}

/// A datastore on disk beside a peer that serves these blocks, which announces some of them in this order, each in a message of its own.
async fn told(folder: &std::path::Path, blocks: &[&str], announced: &[&str]) -> (Datastore, Puppet) {
    let puppet = Puppet::new();
    for hex in blocks {
        let _ = puppet.serve_block(block(hex));
    }
    let store = fast().network(puppet.both()).open(folder).await.unwrap();
    for hex in announced {
        puppet.announce(Peer(1), &[Cid::of(&block(hex))]);
        // The next is told when this one is settled, so that the order is that of merging.
        settled(&store, &block(hex)).await;
    }
    (store, puppet)
}

/// Merged, or asked for and found void.
async fn settled(store: &Datastore, bytes: &Bytes) {
    let cid = Cid::of(bytes);
    let is_good = anabranch::wire::Block::decode(bytes).delta.is_ok();
    until("it is settled", || async {
        store.sync("/").await.unwrap();
        let stats = store.stats().await.unwrap();
        store.is_merged(cid).await.unwrap() || (!is_good && stats.rumours > 0 && stats.fetches == 0)
    })
    .await;
}

/// What a key holds when the blocks came in this order, before and after the store is opened again.
async fn value(blocks: &[&str], announced: &[&str], key: &str) -> Option<Bytes> {
    let folder = tempfile::tempdir().unwrap();
    let (store, _puppet) = told(folder.path(), blocks, announced).await;
    let before = store.get(key).await.unwrap();
    store.close().await;
    let again = fast().open(folder.path()).await.unwrap();
    assert_eq!(again.get(key).await.unwrap(), before);
    again.close().await;
    before
}

#[tokio::test(flavor = "multi_thread")]
async fn hazard_02_a_key_twice_in_a_peers_block_gives_one_value_in_every_order() {
    let (x, y) = ("0a140a070a022f6b1a01620a070a022f6b1a01611805", "0a0c0a080a022f6b1a0261611805");
    for order in [[x, y], [y, x]] {
        assert_eq!(value(&order, &order, "/k").await, Some("aa".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hazard_03_an_empty_value_of_a_peer_is_a_value() {
    let (a, b) = ("0a0b0a070a022f6b1a01781801", "0a080a040a022f6b1801");
    let d = "122a0a240170122007ee62bac6554705be44a1b23b2399291bb881b59ddffc0cdebb2e21e687e162120018000a42123e0a022f6b12382f4349514150335443584c44464b525946585a434b444d5233454f4d53534735595147325a335837344254504c574c5242343244364359511802";
    for order in [[a, b, d], [b, a, d], [a, d, b]] {
        assert_eq!(value(&order, &order, "/k").await, Some(Bytes::new()));
    }
}

/// A replica's disk fails again and again in the middle of fetching a long history; it is opened again each time, and has all in the end.
#[tokio::test(flavor = "multi_thread")]
async fn hazard_06_07_a_replica_that_fails_in_the_middle_of_a_walk_has_all_after_reopening() {
    let latency = Duration::from_millis(1)..=Duration::from_millis(1);
    let network = LocalNetwork::with(LocalNetworkOptions { latency, ..LocalNetworkOptions::default() });
    let old = fast().network(network.join()).memory().await.unwrap();
    for n in 0..60 {
        old.put(format!("/{n}"), "x").await.unwrap();
    }
    let disk = Disk::default();
    let opened = disk.clone();
    let fresh = fast().network(network.join()).open_with(move || Ok(opened.open())).await.unwrap();
    let mut failures = 0;
    for fault in [Fault::SyncLoses, Fault::Commit, Fault::SyncKeeps, Fault::Read, Fault::SyncLoses] {
        let merged = async || fresh.stats().await.map_or(0, |stats| stats.merged);
        let (before, begun) = (merged().await, std::time::Instant::now());
        until("it goes on, or is done", || async {
            merged().await > before || begun.elapsed() > Duration::from_millis(200)
        })
        .await;
        disk.fail(fault);
        // There is always more to come, also when the walk was quick.
        until("the disk fails", || async {
            old.put("/more", "x").await.unwrap();
            disk.has_failed() && fresh.stats().await.is_err()
        })
        .await;
        failures += 1;
        fresh.reopen().await.unwrap();
    }
    assert_eq!(failures, 5);
    fresh.put("/own", "x").await.unwrap();
    converged(&[old.clone(), fresh.clone()]).await;
    assert_eq!(rows(&fresh).await, rows(&old).await);
    assert_eq!(rows(&fresh).await.len(), 62);
}

#[tokio::test(flavor = "multi_thread")]
async fn hazard_09_a_bad_block_of_a_peer_harms_nothing_but_itself() {
    let bad = "122a0a2401701220428b5101b1777728b881f99ba41ec9c4222b818eaacf7887f8171a9a9d35e92c120018000a03ffffff";
    let c3 = "122a0a2401701220d94843837f6aec095cf7b851180567a79df7f3acce48c100960fb4c8219e5eb4120018000a0d0a090a032f6b331a0276331804";
    let z = "122a0a2401701220428b5101b1777728b881f99ba41ec9c4222b818eaacf7887f8171a9a9d35e92c120018000a0b0a070a022f7a1a01311807";
    for order in [vec![z, c3], vec![c3, z], vec![bad, z, c3]] {
        let folder = tempfile::tempdir().unwrap();
        let (store, _puppet) = told(folder.path(), &[C0, C1, bad, c3, z], &order).await;
        let keys: Vec<String> = rows(&store).await.into_iter().map(|row| row.key.to_string()).collect();
        assert_eq!(keys, ["/k0", "/k1", "/k3", "/z"]);
        let stats = store.stats().await.unwrap();
        assert_eq!((stats.merged, stats.void, stats.obligations), (5, 1, 0));
        let heads: Vec<Cid> = store.heads().await.unwrap().iter().map(|head| head.cid).collect();
        assert!(heads.len() == 2 && !heads.contains(&Cid::of(&block(bad))));
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hazard_18_a_peer_that_outbids_wins_nothing_for_good() {
    let j = "0a0d0a090a022f6a1a036f6c641801";
    let evil = "122a0a2401701220912f4f192f5b2d64722eb6bac09867234a5c8bc62b79c46fdec9c05177c8d941120018000a170a0a0a022f6b1a046576696c18ffffffffffffffffff01";
    let folder = tempfile::tempdir().unwrap();
    let (store, _puppet) = told(folder.path(), &[j, evil], &[evil]).await;
    assert_eq!(store.get("/k").await.unwrap(), Some("evil".into()));
    store.put("/k", "mine").await.unwrap();
    store.put("/j", "mine").await.unwrap();
    assert_eq!(
        (store.get("/k").await.unwrap(), store.get("/j").await.unwrap()),
        (Some("mine".into()), Some("mine".into()))
    );
    assert_eq!(store.stats().await.unwrap().misdeclared, 1);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hazard_19_keys_and_ids_that_climb_stay_inside() {
    let climbing = [
        "0a130a0f0a0a2f2e2e2f2e2e2f682f581a01761801",
        "0a1712130a022f6b120d2f2e2e2f2e2e2f2e2e2f682f591801",
        "0a1f121b0a022f6b12152f2e2e2f2e2e2f2e2e2f2e2e2f6170702f646174611801",
        "0a1512110a022f6b120b2f2e2e2f2e2e2f2e2e2f641801",
        "0a20121c0a022f6b12162f2e2e2f2e2e2f2e2e2f637264745f76657273696f6e1801",
    ];
    let folder = tempfile::tempdir().unwrap();
    let (store, _puppet) = told(folder.path(), &climbing, &climbing).await;
    store.put("/k", "mine").await.unwrap();
    let verified = store.verify().await.unwrap();
    assert!(matches!(verified, anabranch::Outcome::Verified { faults: 0, .. }), "{verified:?}");
    store.close().await;
    let again = fast().open(folder.path()).await.unwrap();
    let keys: Vec<String> = rows(&again).await.into_iter().map(|row| row.key.to_string()).collect();
    assert_eq!(keys, ["/h/X", "/k"]);
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hazard_20_a_dag_name_with_a_slash_keeps_its_head() {
    let named = "0a100a070a022f6b1a017618012203612f62";
    let folder = tempfile::tempdir().unwrap();
    let (store, _puppet) = told(folder.path(), &[named], &[named]).await;
    let heads = store.heads().await.unwrap();
    assert_eq!(heads.iter().map(|head| head.dag.as_str()).collect::<Vec<_>>(), ["a/b"]);
    store.close().await;
    let again = fast().open(folder.path()).await.unwrap();
    assert_eq!(again.heads().await.unwrap(), heads);
    assert_eq!(again.get("/k").await.unwrap(), Some("v".into()));
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hazard_21_a_link_of_another_kind_voids_its_block_alone() {
    let raw = "122a0a24015512202cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824120018000a0b0a070a022f781a01311802";
    let puppet = Puppet::new();
    let store = fast().network(puppet.both()).memory().await.unwrap();
    let heads: Vec<Cid> = [raw, C1, C0].iter().map(|hex| puppet.serve_block(block(hex))).collect();
    puppet.announce(Peer(1), &heads);
    until("the good ones are merged", || async { store.has("/k1").await.unwrap() }).await;
    assert_eq!(rows(&store).await.len(), 2);
    assert_eq!(store.heads().await.unwrap().len(), 1);
}

/// Of two heads, each in a message of its own, the first of which nobody serves, the second is there at once: long before any timeout.
#[tokio::test(flavor = "multi_thread")]
async fn hazard_22_a_head_that_nobody_serves_holds_up_no_other() {
    let puppet = Puppet::new();
    let hour = Duration::from_secs(3_600);
    let builder = Datastore::builder().options(|options| {
        options.replica.fetch_timeout = hour;
        options.fetch_deadline = hour;
    });
    let store = builder.network(puppet.both()).memory().await.unwrap();
    puppet.announce(Peer(1), &[Cid::of(b"nobody's")]);
    until("the first is asked for", || async { puppet.fetches().running == 1 }).await;
    puppet.serve_block(block(C0));
    let good = puppet.serve_block(block(C1));
    puppet.announce(Peer(1), &[good]);
    until("the second is merged", || async { store.is_merged(good).await.unwrap() }).await;
    assert_eq!(puppet.fetches().running, 1, "the first still hangs");
}

/// The embedder's validator decides about a stranger's block.
#[tokio::test(flavor = "multi_thread")]
async fn hazard_23_the_validator_decides_about_a_strangers_block() {
    #[derive(Clone)]
    struct Only;
    impl anabranch::Validator for Only {
        fn judge(&self, block: &anabranch::wire::Block) -> anabranch::Verdict {
            let ours = block.delta.as_ref().is_ok_and(|delta| delta.elements.iter().all(|e| e.value.starts_with(b"v")));
            if ours { anabranch::Verdict::Merge } else { anabranch::Verdict::Void }
        }
    }
    let puppet = Puppet::new();
    let store = fast().validator(Only).network(puppet.both()).memory().await.unwrap();
    // {/k=x} of a stranger, and {/k0=v0} of one of ours.
    let heads: Vec<Cid> = ["0a0b0a070a022f6b1a01781801", C0].iter().map(|hex| puppet.serve_block(block(hex))).collect();
    puppet.announce(Peer(1), &heads);
    until("the good one is merged", || async { store.has("/k0").await.unwrap() }).await;
    settled(&store, &block(C0)).await;
    assert_eq!(rows(&store).await.len(), 1);
    assert!(!store.is_merged(heads[0]).await.unwrap());
}
