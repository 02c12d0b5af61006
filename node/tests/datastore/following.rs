//! The feed, what keeps a replica behind, walks, crashes and closing.

use crate::support::{export_without_the_first, fast, rows, until};
use anabranch::{Batch, Error, FeedToken, LocalNetwork, LocalNetworkOptions, Options, Peer, WhenBehind};
use std::{collections::BTreeSet, io::BufRead, process::Stdio, time::Duration};

fn with_feed(options: &mut Options) {
    options.replica.feed = true;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_goes_on_after_a_restart_and_an_unknown_token_says_to_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = fast().options(with_feed).open(folder.path()).await.unwrap();
    store.put("/before", "1").await.unwrap();
    let token = store.feed_token().await.unwrap().encode();
    store.put("/a", "2").await.unwrap();
    store.close().await;
    let store = fast().options(with_feed).open(folder.path()).await.unwrap();
    store.commit(Batch::new().put("/b", "3").delete("/before")).await.unwrap();
    let (mut next, mut keys) = (FeedToken::decode(&token).unwrap(), BTreeSet::new());
    loop {
        let feed = store.feed(next, 1).await.unwrap();
        keys.extend(feed.keys.into_iter().map(|(key, value)| (key.to_string(), value.is_some())));
        next = feed.next;
        if !feed.more {
            break;
        }
    }
    let expected = [("/a", true), ("/b", true), ("/before", false)];
    assert_eq!(keys, expected.map(|(key, lives)| (key.to_owned(), lives)).into());
    let other = fast().options(with_feed).memory().await.unwrap();
    other.put("/x", "1").await.unwrap();
    let unknown = other.feed(next, 10).await.unwrap_err();
    assert_eq!(unknown, Error::UnknownEpoch);
    assert!(unknown.to_string().contains("read all keys again"));
    let off = fast().memory().await.unwrap();
    assert_eq!(off.feed_token().await.unwrap_err(), Error::NotKept { option: "feed" });
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_walked_from_the_highest_down() {
    let store = fast().memory().await.unwrap();
    for n in 0..5 {
        store.put("/k", format!("{n}")).await.unwrap();
    }
    let snapshot = store.snapshot().await.unwrap();
    let walk = snapshot.traverse(Vec::new(), 3).await.unwrap();
    assert_eq!(walk.iter().map(|visited| visited.height).collect::<Vec<_>>(), [5, 4, 3]);
    assert_eq!(walk[0].links, [walk[1].cid]);
    assert_eq!(snapshot.picture(10).await.unwrap().lines().count(), 5);
    assert_eq!(snapshot.dot().await.unwrap().matches(" -> ").count(), 4);
}

/// Hazard 13 with real tasks: a replica that knows that history is missing waits before it writes, so its put does not lose to that history.
#[tokio::test(flavor = "multi_thread")]
async fn hazard_13_a_write_waits_for_the_history_that_is_known_to_be_missing() {
    let latency = Duration::from_millis(40)..=Duration::from_millis(40);
    let network = LocalNetwork::with(LocalNetworkOptions { latency, ..LocalNetworkOptions::default() });
    let old = fast().network(network.join()).memory().await.unwrap();
    for _ in 0..20 {
        old.put("/k", "old").await.unwrap();
    }
    for (policy, expected) in [
        (WhenBehind::Wait(Duration::from_secs(30)), "waits"),
        (WhenBehind::Allow, "is made at once"),
        (WhenBehind::Refuse, "is refused"),
    ] {
        let fresh = fast().options(|options| options.replica.when_behind = policy).network(network.join());
        let fresh = fresh.memory().await.unwrap();
        until("it knows that history is missing", || async { fresh.is_behind().await.unwrap() }).await;
        let done = match fresh.put("/mine", "fresh").await {
            Ok(put) if put.behind == 0 => "waits",
            Ok(_) => "is made at once",
            Err(Error::Refused(_)) => "is refused",
            Err(error) => panic!("{error}"),
        };
        assert_eq!(done, expected);
        fresh.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_replica_behind_is_told() {
    let network = LocalNetwork::new();
    let source = fast().network(network.join()).memory().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("part.car");
    let lost = export_without_the_first(&source, &file).await;
    network.connect(Peer(1), false);
    let store = fast().network(network.join()).memory().await.unwrap();
    store.import(&file).await.unwrap();
    let blocking = store.blocking(10).await.unwrap();
    assert_eq!(blocking.iter().map(|what| (what.cid, what.waiting)).collect::<Vec<_>>(), [(lost, 1)]);
    network.connect(Peer(1), true);
    until("it catches up", || async { !store.is_behind().await.unwrap() }).await;
    assert_eq!(store.blocking(10).await.unwrap(), []);
    assert_eq!(rows(&store).await.len(), 2);
}

/// A close sends what waits, however long a fresh announcement would have been held back.
#[tokio::test(flavor = "multi_thread")]
async fn a_close_lets_announcements_leave() {
    let network = LocalNetwork::new();
    let peer = fast().network(network.join()).memory().await.unwrap();
    let mut events = peer.events();
    let store = fast().options(|options| options.broadcast_delay = Duration::from_secs(3600));
    let store = store.network(network.join()).memory().await.unwrap();
    store.put("/k", "v").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), events.next()).await.is_err(), "not held back");
    // Its blocks are served only while it is open, so the peer hears of it and finds nobody: that is how it shows.
    let begun = std::time::Instant::now();
    store.close().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "closing waited for the delay");
    until("the peer has heard", || async {
        let stats = peer.stats().await.unwrap();
        stats.rumours > 0 || stats.merged > 0
    })
    .await;
}

/// Kill -9 in the middle of writing: all that was acknowledged is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    const FOLDER: &str = "ANABRANCH_TEST_KILL_FOLDER";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let store = fast().open(folder).await.unwrap();
        for n in 0.. {
            store.put(format!("/{n}"), "x").await.unwrap();
            println!("acknowledged {n}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "following::what_was_acknowledged_survives_a_kill", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = 0;
    for line in lines {
        if let Some(n) = line.unwrap().strip_prefix("acknowledged ") {
            last = n.parse().unwrap();
            if last == 50 {
                child.kill().unwrap();
            }
        }
    }
    child.wait().unwrap();
    assert!(last >= 50);
    let store = fast().open(folder.path()).await.unwrap();
    for n in 0..=last {
        assert!(store.has(format!("/{n}")).await.unwrap(), "the acknowledged put {n} is lost");
    }
    store.close().await;
}
