//! Every option: its default, and that it takes effect. (`replica.report_changes`, `watch_buffer` and the hooks: in `watching`; `replica.feed`: in
//! `following`; `replica.when_behind`: `hazard_13`; `queue_max` and `queue_bytes_max`: in `durability` and below.)

use crate::{
    faulty::Disk,
    puppet::Puppet,
    support::{fast, rows, until},
};
use anabranch::{
    Batch, Bytes, Cid, Datastore, Error, Options, Peer, Refusal, WhenBehind, limits,
    wire::{Block, Delta, Element},
};
use std::time::{Duration, Instant};

/// The defaults are the reference's where it has such an option, and what `docs/embedding.md` says where it has none.
#[test]
fn the_defaults_are_those_that_are_documented() {
    let options = Options::default();
    let replica = &options.replica;
    assert_eq!((replica.rebroadcast_interval.as_secs(), replica.rebroadcast_jitter_percent), (60, 30));
    assert_eq!((replica.fetch_timeout.as_secs(), options.fetch_deadline.as_secs()), (10, 30));
    assert_eq!((replica.fetches_max, replica.fetches_per_peer_max), (256, 32));
    assert_eq!((replica.pending_bytes_max, replica.waiting_bytes_max), (64 << 20, 16 << 20));
    assert_eq!(replica.when_behind, WhenBehind::Wait(Duration::from_secs(10)));
    assert!(replica.report_changes && !replica.feed);
    assert_eq!((options.queue_max, options.queue_bytes_max, options.watch_buffer), (1024, 64 << 20, 1024));
    assert_eq!((options.broadcast_delay, options.close_timeout.as_secs()), (Duration::ZERO, 5));
    assert_eq!(limits::DELTA_BYTES_MAX, 1 << 20);
    let page = include_str!("../../../docs/embedding.md");
    for row in [
        "`replica.rebroadcast_interval`, `replica.rebroadcast_jitter_percent` | 1 min, 30 %",
        "| 256, 32 |",
        "| 10 s, 30 s |",
        "| wait 10 s |",
        "| `watch_buffer`: what may wait for a watcher | 1,024 |",
        "`queue_max`, `queue_bytes_max`: what may wait for the replica | 1,024, 64 MiB |",
    ] {
        assert!(page.contains(row), "docs/embedding.md lacks {row}");
    }
}

fn cid(n: u64) -> Cid {
    Cid::of(&n.to_be_bytes())
}

/// A block that puts `/k` below these.
fn block(links: &[Cid], value: &str) -> Bytes {
    let element = Element { key: anabranch::Key::new("/k"), value: Bytes::copy_from_slice(value.as_bytes()) };
    Block::encode(links, &Delta { elements: vec![element], priority: 1, ..Delta::default() })
}

/// Rounds come after the interval, neither sooner nor only once. (How the jitter is drawn: in `owner::timers`.)
#[tokio::test(flavor = "multi_thread")]
async fn heads_are_announced_again_after_the_interval() {
    const ROUNDS: u32 = 20;
    for interval in [Duration::from_millis(20), Duration::from_millis(60)] {
        let puppet = Puppet::new();
        let builder = Datastore::builder().options(|options| {
            options.replica.rebroadcast_interval = interval;
            options.replica.rebroadcast_jitter_percent = 0;
        });
        let store = builder.network(puppet.both()).memory().await.unwrap();
        let made = store.put("/k", "v").await.unwrap().blocks;
        assert_eq!(puppet.sent().await, made);
        let begun = Instant::now();
        for _ in 0..ROUNDS {
            assert_eq!(puppet.sent().await, made);
        }
        // The first round began when the store was opened.
        assert!(begun.elapsed() >= interval * (ROUNDS - 2), "{ROUNDS} rounds took {:?}", begun.elapsed());
    }
    let puppet = Puppet::new();
    let store = Datastore::builder().network(puppet.both()).memory().await.unwrap();
    store.put("/k", "v").await.unwrap();
    puppet.sent().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(puppet.try_sent(), None, "announced again before the default interval");
}

/// Several new heads go out in one message when they come within the delay, and alone without it.
#[tokio::test(flavor = "multi_thread")]
async fn heads_that_come_within_the_delay_go_out_in_one_message() {
    let puppet = Puppet::new();
    let delay = Duration::from_millis(300);
    let builder = Datastore::builder().options(|options| options.broadcast_delay = delay);
    let store = builder.network(puppet.both()).memory().await.unwrap();
    let (begun, mut made) = (Instant::now(), Vec::new());
    for n in 0..5 {
        made.extend(store.put(format!("/{n}"), "v").await.unwrap().blocks);
    }
    assert_eq!(puppet.sent().await, made);
    assert!(begun.elapsed() >= delay, "sent after {:?}", begun.elapsed());
    assert_eq!(puppet.try_sent(), None);
    let puppet = Puppet::new();
    let store = Datastore::builder().network(puppet.both()).memory().await.unwrap();
    for n in 0..5 {
        let made = store.put(format!("/{n}"), "v").await.unwrap().blocks;
        assert_eq!(puppet.sent().await, made);
    }
}

/// What gathers while a message is being sent goes out together, whatever the delay.
#[tokio::test(flavor = "multi_thread")]
async fn heads_that_come_while_a_message_is_sent_are_joined() {
    let puppet = Puppet::new();
    let store = Datastore::builder().network(puppet.both()).memory().await.unwrap();
    let shut = puppet.shut().await;
    let mut made = Vec::new();
    for n in 0..20 {
        made.extend(store.put(format!("/{n}"), "v").await.unwrap().blocks);
    }
    drop(shut);
    let (mut messages, mut sent) = (0, Vec::new());
    while sent.len() < made.len() {
        sent.extend(puppet.sent().await);
        messages += 1;
    }
    assert_eq!(sent, made);
    // The first, what gathered behind it, and the last one if its write was acknowledged just before it was announced.
    assert!(messages <= 3, "{messages} messages");
}

/// go-ds-crdt's multi-head processing, which it has off and we have always on: the heads of one message are fetched and merged side by side, and one
/// that nobody serves holds up none.
#[tokio::test(flavor = "multi_thread")]
async fn many_heads_of_one_message_are_fetched_side_by_side() {
    let puppet = Puppet::new();
    let store = fast().network(puppet.both()).memory().await.unwrap();
    let nobodys: Vec<Cid> = (0..8).map(cid).collect();
    let served: Vec<Cid> = (0..8).map(|n| puppet.serve_block(block(&[], &format!("{n}")))).collect();
    let heads: Vec<Cid> = nobodys.iter().zip(&served).flat_map(|(one, other)| [*one, *other]).collect();
    puppet.announce(Peer(1), &heads);
    until("all that are served are merged", || async { store.heads().await.unwrap().len() == 8 }).await;
    until("the others are asked for at once", || async { puppet.fetches().running == 8 }).await;
    assert_eq!(store.get("/k").await.unwrap(), Some(Bytes::from("7")));
}

/// Fetches that hang: no more of them than the options allow, of one peer and of all.
#[tokio::test(flavor = "multi_thread")]
async fn the_caps_on_outstanding_fetches_hold() {
    for (all, per_peer, expected) in [(10, 4, 10), (100, 4, 20), (3, 32, 3)] {
        let puppet = Puppet::new();
        let builder = Datastore::builder().options(|options| {
            options.replica.fetches_max = all;
            options.replica.fetches_per_peer_max = per_peer;
        });
        let store = builder.network(puppet.both()).memory().await.unwrap();
        for part in 0..10 {
            for peer in 0..5 {
                let heads: Vec<Cid> = (0..5).map(|n| cid(peer * 1_000 + part * 5 + n)).collect();
                puppet.announce(Peer(peer + 1), &heads);
            }
        }
        until("all is heard", || async { store.stats().await.unwrap().rumours == 250 }).await;
        until("as many fly as may", || async { store.stats().await.unwrap().fetches == expected }).await;
        // Those that the replica has given up for news may still run, but no more than as many again. (The end of one is asked for
        // and comes a moment later.)
        until("no more run than may", || async { puppet.fetches().running <= 2 * all }).await;
        assert!(puppet.fetches().running >= expected);
        store.close().await;
        until("a close gives all up", || async { puppet.fetches().running == 0 }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rumours_of_one_peer_are_bounded() {
    let puppet = Puppet::new();
    let builder = Datastore::builder().options(|options| options.replica.rumours_per_peer_max = 20);
    let store = builder.network(puppet.both()).memory().await.unwrap();
    let heads: Vec<Cid> = (0..500).map(cid).collect();
    puppet.announce(Peer(1), &heads);
    until("it is heard", || async { store.stats().await.unwrap().rumours > 0 }).await;
    store.sync("/").await.unwrap();
    assert_eq!(store.stats().await.unwrap().rumours, 20);
}

/// The fetch timeout: a peer that does not answer makes way for the next one that announced the same.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_fetch_timeout_the_next_peer_is_asked() {
    let puppet = Puppet::new();
    let (timeout, ticks) = (Duration::from_millis(400), 4);
    let builder = Datastore::builder().options(|options| {
        options.replica.fetch_timeout = timeout;
        options.replica.fetch_timeout_ticks = ticks;
    });
    let _store = builder.network(puppet.both()).memory().await.unwrap();
    let begun = Instant::now();
    for peer in 1..=3 {
        puppet.announce(Peer(peer), &[cid(0)]);
    }
    until("the first is asked", || async { !puppet.fetches().asked.is_empty() }).await;
    until("the second is asked", || async { puppet.fetches().asked.len() >= 2 }).await;
    let took = begun.elapsed();
    assert!(took >= timeout / 4 * 3, "after {took:?}");
    until("the third is asked", || async { puppet.fetches().asked.len() >= 3 }).await;
    let asked: std::collections::BTreeSet<_> = puppet.fetches().asked.iter().filter_map(|(_, from)| *from).collect();
    assert_eq!(asked, [Peer(1), Peer(2), Peer(3)].into());
    // The earlier ones are not left running beside it.
    assert_eq!(puppet.fetches().running, 1);
}

/// The fetch deadline: what the replica has given up and the syncer never ends is ended by the driver, and not before.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_fetch_ends_at_the_deadline() {
    for (deadline, ends) in [(Duration::from_millis(300), true), (Duration::from_secs(3_600), false)] {
        let puppet = Puppet::new();
        let builder = Datastore::builder().options(|options| {
            options.replica.fetch_timeout = Duration::from_millis(20);
            options.replica.fetch_timeout_ticks = 1;
            options.fetch_deadline = deadline;
        });
        let store = builder.network(puppet.both()).memory().await.unwrap();
        let mut events = store.events();
        puppet.announce(Peer(1), &[cid(0)]);
        loop {
            let told = tokio::time::timeout(Duration::from_secs(60), events.next()).await.unwrap();
            if let Some(anabranch::Told::Now(anabranch::Event::Parked { .. })) = told {
                break;
            }
        }
        assert_eq!(puppet.fetches().running, 1, "the replica has given it up, the syncer has not");
        if ends {
            until("the deadline", || async { puppet.fetches().running == 0 }).await;
        } else {
            tokio::time::sleep(Duration::from_millis(700)).await;
            assert_eq!(puppet.fetches().running, 1);
        }
    }
}

/// Bodies that wait for their parents are dropped over the limit, and the obligations stay.
#[tokio::test(flavor = "multi_thread")]
async fn pending_bodies_are_bounded_and_obligations_are_not() {
    let puppet = Puppet::new();
    let builder = fast().options(|options| options.replica.pending_bytes_max = 10_000);
    let store = builder.network(puppet.both()).memory().await.unwrap();
    let (mut below, mut head) = (vec![cid(0)], cid(0));
    for n in 0..30 {
        head = puppet.serve_block(block(&below, &format!("{n}{}", "x".repeat(1_000))));
        below = vec![head];
    }
    puppet.announce(Peer(1), &[head]);
    // The root is never served.
    until("all are owed", || async { store.stats().await.unwrap().obligations == 31 }).await;
    store.sync("/").await.unwrap();
    assert!(store.stats().await.unwrap().pending_bytes <= 10_000);
}

/// Steps merge so many bytes and no more: a small limit makes more commits of the same work.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_merges_no_more_than_its_limit() {
    let source = fast().memory().await.unwrap();
    for n in 0..100 {
        source.put(format!("/{n}"), vec![7; 1_000]).await.unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    source.export(file.path(), None).await.unwrap();
    // The root comes last, and with it all may be merged.
    let mut car = anabranch_car::read(file.path()).unwrap();
    car.blocks.reverse();
    anabranch_car::write(&car.roots, &car.blocks, &mut std::fs::File::create(file.path()).unwrap()).unwrap();
    let mut commits = Vec::new();
    for step_bytes_max in [1_u64, 1 << 20] {
        let disk = Disk::default();
        let kept = disk.clone();
        let builder = fast().options(|options| options.replica.step_bytes_max = step_bytes_max);
        let store = builder.open_with(move || Ok(disk.open())).await.unwrap();
        store.import(file.path()).await.unwrap();
        assert_eq!(rows(&store).await.len(), 100);
        commits.push(kept.commits());
    }
    assert!(commits[0] >= 100 && commits[1] < 20, "{commits:?}");
}

/// Writes that wait for history are bounded: what would be too much is refused, and the others are made.
#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_while_behind_are_bounded() {
    let puppet = Puppet::new();
    let builder = fast().options(|options| {
        options.replica.when_behind = WhenBehind::Wait(Duration::from_secs(3_600));
        options.replica.waiting_bytes_max = 1_000;
    });
    let store = builder.network(puppet.both()).memory().await.unwrap();
    let root = block(&[], "root");
    let head = puppet.serve_block(block(&[Cid::of(&root)], "head"));
    puppet.announce(Peer(1), &[head]);
    until("it is behind", || async { store.is_behind().await.unwrap() }).await;
    let mut small = Box::pin(store.put("/small", "x"));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut small).await.is_err(), "it does not wait");
    let large = store.put("/large", vec![0; 2_000]).await.unwrap_err();
    assert!(matches!(large, Error::Refused(Refusal::Behind { .. })), "{large}");
    puppet.serve_block(root);
    puppet.announce(Peer(1), &[head]);
    assert_eq!(small.await.unwrap().behind, 0);
    assert!(!store.has("/large").await.unwrap());
}

/// A batch is one commit however large it is, cut into blocks of at most the reference's 1 MiB of delta.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_cut_at_the_largest_delta() {
    let store = fast().memory().await.unwrap();
    let batch = (0..35).fold(Batch::new(), |batch, n| batch.put(format!("/{n}"), vec![n; 100_000]));
    let made = store.commit(batch).await.unwrap();
    assert_eq!(made.blocks.len(), 4);
    for block in made.blocks {
        let bytes = store.block(block).await.unwrap().unwrap();
        assert!(bytes.len() <= limits::DELTA_BYTES_MAX + 100, "{} bytes", bytes.len());
    }
    assert_eq!(rows(&store).await.len(), 35);
}

/// Back-pressure on peers: while the disk is stuck, no more is taken from the network than queue and bytes have room for.
#[tokio::test(flavor = "multi_thread")]
async fn peers_wait_where_queue_and_bytes_are_used_up() {
    let (puppet, disk) = (Puppet::new(), Disk::default());
    let opened = disk.clone();
    let builder = fast().options(|options| {
        options.queue_max = 8;
        options.queue_bytes_max = 1 << 20;
    });
    let store = builder.network(puppet.both()).open_with(move || Ok(opened.open())).await.unwrap();
    disk.hold(true);
    let put = tokio::spawn({
        let store = store.clone();
        async move { store.put("/k", "v").await }
    });
    until("the disk is stuck", || async { disk.waiting() == 1 }).await;
    for n in 0..100 {
        puppet.arrives(Peer(1), Bytes::from(vec![n; 300_000]));
    }
    until("some are taken", || async { puppet.taken() >= 3 }).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    // Three fit into 1 MiB, and one is held by whoever waits for room.
    assert!(puppet.taken() <= 4, "{} of 300 kB were taken into 1 MiB", puppet.taken());
    disk.hold(false);
    put.await.unwrap().unwrap();
    until("all are taken", || async { puppet.taken() == 100 }).await;
}

/// The timeout of a close: a broadcaster that hangs keeps it no longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_close_waits_for_announcements_no_longer_than_its_timeout() {
    let puppet = Puppet::new();
    let builder = fast().options(|options| options.close_timeout = Duration::from_millis(200));
    let store = builder.network(puppet.both()).memory().await.unwrap();
    let _shut = puppet.shut().await;
    store.put("/k", "v").await.unwrap();
    let begun = Instant::now();
    store.close().await;
    let took = begun.elapsed();
    assert!((Duration::from_millis(200)..Duration::from_secs(4)).contains(&took), "closing took {took:?}");
}
