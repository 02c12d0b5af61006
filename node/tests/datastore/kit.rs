//! The test kit against the network inside a program, and against implementations that are wrong: every check can fail.

use anabranch::{
    Blocks, Broadcaster, Bytes, Cid, DagSyncer, Fetched, LocalBroadcaster, LocalNetwork, LocalNetworkOptions,
    LocalSyncer, NetError, Peer, testkit,
};
use std::{sync::atomic::AtomicU64, sync::atomic::Ordering, time::Duration};

fn members(count: usize, options: LocalNetworkOptions) -> Vec<(LocalBroadcaster, LocalSyncer)> {
    let network = LocalNetwork::with(options);
    (0..count).map(|_| network.join()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_inside_a_program_passes() {
    let lossy = LocalNetworkOptions {
        loss_percent: 10,
        latency: Duration::ZERO..=Duration::from_millis(3),
        ..LocalNetworkOptions::default()
    };
    for options in [LocalNetworkOptions::default(), lossy] {
        let broadcasters = async |count| members(count, options.clone()).into_iter().map(|member| member.0).collect();
        testkit::broadcaster(broadcasters).await.unwrap();
        testkit::network(async |count| members(count, options.clone())).await.unwrap();
    }
    let syncers =
        async |count| members(count, LocalNetworkOptions::default()).into_iter().map(|member| member.1).collect();
    testkit::syncer(syncers).await.unwrap();
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Truncates,
    CallsAllOne,
    EndsEarly,
    BlocksWhileReceiving,
    NeverFails,
    CutsBlocks,
    CallsAllOnePeer,
}

struct WrongBroadcaster {
    inner: LocalBroadcaster,
    wrong: Wrong,
    lock: tokio::sync::Mutex<()>,
    received: AtomicU64,
}

impl Broadcaster for WrongBroadcaster {
    async fn broadcast(&self, payload: Bytes) -> Result<(), NetError> {
        let _guard = if self.wrong == Wrong::BlocksWhileReceiving { Some(self.lock.lock().await) } else { None };
        let cut = if self.wrong == Wrong::Truncates { payload.len().min(999) } else { payload.len() };
        self.inner.broadcast(payload.slice(..cut)).await
    }

    async fn next(&self) -> Result<Option<(Peer, Bytes)>, NetError> {
        let _guard = if self.wrong == Wrong::BlocksWhileReceiving { Some(self.lock.lock().await) } else { None };
        if self.wrong == Wrong::EndsEarly && self.received.fetch_add(1, Ordering::Relaxed) > 3 {
            return Ok(None);
        }
        let next = self.inner.next().await?;
        Ok(next.map(|(peer, payload)| (if self.wrong == Wrong::CallsAllOne { Peer(9) } else { peer }, payload)))
    }
}

async fn broken_broadcaster(wrong: Wrong) -> String {
    let connect = async |count| {
        let wrap = |(inner, _)| WrongBroadcaster {
            inner,
            wrong,
            lock: tokio::sync::Mutex::new(()),
            received: AtomicU64::new(0),
        };
        members(count, LocalNetworkOptions::default()).into_iter().map(wrap).collect()
    };
    testkit::broadcaster(connect).await.expect_err("the check takes what is wrong").to_string()
}

/// Time passes by itself where all wait, so that what hangs is found at once.
#[tokio::test(start_paused = true)]
async fn the_kit_finds_broadcasters_that_are_wrong() {
    let truncates = broken_broadcaster(Wrong::Truncates).await;
    assert!(truncates.contains("as it was sent"), "{truncates}");
    let one = broken_broadcaster(Wrong::CallsAllOne).await;
    assert!(one.contains("who sent a payload"), "{one}");
    let ends = broken_broadcaster(Wrong::EndsEarly).await;
    assert!(ends.contains("no more"), "{ends}");
    let blocks = broken_broadcaster(Wrong::BlocksWhileReceiving).await;
    assert!(blocks.contains("at the same time"), "{blocks}");
}

struct WrongSyncer {
    inner: LocalSyncer,
    wrong: Wrong,
}

impl DagSyncer for WrongSyncer {
    fn serve(&self, blocks: Blocks) {
        self.inner.serve(blocks);
    }

    async fn fetch(&self, cid: Cid, from: Option<Peer>) -> Result<Fetched, NetError> {
        match self.inner.fetch(cid, from).await {
            Err(_) if self.wrong == Wrong::NeverFails => std::future::pending().await,
            Err(error) => Err(error),
            Ok(Fetched { bytes, .. }) if self.wrong == Wrong::CutsBlocks && bytes.len() > 1_000 => {
                Ok(Fetched { from: Peer(1), bytes: bytes.slice(..1_000) })
            }
            Ok(Fetched { from, .. }) if self.wrong == Wrong::CallsAllOnePeer => {
                let fetched = self.inner.fetch(cid, Some(from)).await?;
                Ok(Fetched { from: Peer(1), ..fetched })
            }
            Ok(fetched) => Ok(fetched),
        }
    }
}

async fn broken_syncer(wrong: Wrong) -> String {
    let connect = async |count| {
        let wrap = |(_, inner)| WrongSyncer { inner, wrong };
        members(count, LocalNetworkOptions::default()).into_iter().map(wrap).collect()
    };
    testkit::syncer(connect).await.expect_err("the check takes what is wrong").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kit_finds_syncers_that_are_wrong() {
    let wrong = broken_syncer(Wrong::CutsBlocks).await;
    assert!(wrong.contains("bytes of"), "{wrong}");
    let one = broken_syncer(Wrong::CallsAllOnePeer).await;
    assert!(one.contains("both called"), "{one}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kit_finds_a_syncer_that_never_fails() {
    let hangs = broken_syncer(Wrong::NeverFails).await;
    assert!(hangs.contains("no peer that can be asked has the block"), "{hangs}");
}
