//! Checks of block exchanges.

use super::{PATIENCE, Violation, counted, patiently, violation};
use crate::{Bytes, Cid, DagSyncer, Datastore, Fetched, Peer, limits::BLOCK_BYTES_WRITTEN_MAX};
use std::{sync::Arc, time::Duration};

/// Blocks that are fetched at once.
const MANY: usize = 256;

const BRINGS: &str = "`fetch` brings the block that a peer serves, as it is";
const NAMES: &str = "`fetch` says which peer sent a block, and the one that is named first is asked";
const FAILS: &str = "`fetch` fails when no peer that can be asked has the block";
const LATER: &str = "a peer serves what its `Blocks` give at the moment, not what they gave before";
const MANY_AT_ONCE: &str = "many fetches may be under way at once";
const DROPPED: &str = "dropping the future of `fetch` does no harm";
const CLOSED: &str = "a closed datastore serves nothing";

/// A syncer that is shared between a datastore and the check.
struct Shared<D>(Arc<D>);

impl<D: DagSyncer> DagSyncer for Shared<D> {
    fn serve(&self, blocks: crate::Blocks) {
        self.0.serve(blocks);
    }

    async fn fetch(&self, cid: Cid, from: Option<Peer>) -> Result<Fetched, crate::NetError> {
        self.0.fetch(cid, from).await
    }
}

/// A member: its syncer, and the datastore whose blocks it serves.
struct Member<D> {
    syncer: Arc<D>,
    store: Datastore,
}

/// Checks syncers: `connect(n)` makes `n` that reach each other.
///
/// # Errors
/// The first rule that is broken, and how.
pub async fn syncer<D: DagSyncer>(connect: impl AsyncFn(usize) -> Vec<D>) -> Result<(), Violation> {
    let mut members = Vec::new();
    for syncer in counted(connect(3).await, 3)? {
        let syncer = Arc::new(syncer);
        let store = Datastore::builder().syncer(Shared(syncer.clone())).memory().await;
        match store {
            Ok(store) => members.push(Member { syncer, store }),
            Err(error) => return violation("a datastore opens over a syncer", error),
        }
    }
    let (Some(asker), Some(first), Some(second)) = (members.first(), members.get(1), members.get(2)) else {
        return violation("the function makes three members", members.len());
    };
    brings(asker, first).await?;
    names(asker, first, second).await?;
    fails(asker).await?;
    many(asker, first).await?;
    dropped(asker, first).await?;
    closed(asker, first).await
}

/// Writes a value, and gives the block that holds it.
async fn write<D>(member: &Member<D>, key: &str, value: Bytes) -> Result<(Cid, Bytes), Violation> {
    const WRITES: &str = "the datastore of the check can be written to";
    let made = member.store.put(key, value).await;
    let Some(cid) = made.as_ref().ok().and_then(|made| made.blocks.first().copied()) else {
        return violation(WRITES, format_args!("{made:?}"));
    };
    match member.store.block(cid).await {
        Ok(Some(bytes)) => Ok((cid, bytes)),
        other => violation(WRITES, format_args!("{other:?}")),
    }
}

/// Fetches until it succeeds, for answers may be lost.
async fn fetch<D: DagSyncer>(
    asker: &D,
    cid: Cid,
    from: Option<Peer>,
    rule: &'static str,
) -> Result<Fetched, Violation> {
    let mut last = String::from("`fetch` hangs");
    let attempts = async {
        loop {
            match tokio::time::timeout(PATIENCE / 10, asker.fetch(cid, from)).await {
                Ok(Ok(fetched)) => return fetched,
                Ok(Err(error)) => {
                    last = error.to_string();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(_) => {}
            }
        }
    };
    let done = tokio::time::timeout(PATIENCE, attempts).await;
    done.or_else(|_| violation(rule, format_args!("not within {PATIENCE:?}: {last}")))
}

/// Small blocks and the largest that we write, written before and after the first fetch.
async fn brings<D: DagSyncer>(asker: &Member<D>, server: &Member<D>) -> Result<(), Violation> {
    for (length, rule) in [(0, BRINGS), (1_000, LATER), (BLOCK_BYTES_WRITTEN_MAX - 200, BRINGS)] {
        let (cid, bytes) = write(server, "/testkit/brings", vec![7; length].into()).await?;
        let fetched = fetch(&*asker.syncer, cid, None, rule).await?;
        if fetched.bytes != bytes {
            return violation(rule, format_args!("{} bytes of {cid} came as {}", bytes.len(), fetched.bytes.len()));
        }
    }
    Ok(())
}

/// A block that two have comes from whoever is named, and what each alone has is told apart.
async fn names<D: DagSyncer>(asker: &Member<D>, one: &Member<D>, two: &Member<D>) -> Result<(), Violation> {
    let mut peers = Vec::new();
    for (member, key) in [(one, "/testkit/one"), (two, "/testkit/two")] {
        let (cid, _) = write(member, key, Bytes::from(key)).await?;
        peers.push(fetch(&*asker.syncer, cid, None, NAMES).await?.from);
    }
    if peers[0] == peers[1] {
        return violation(NAMES, format_args!("two peers are both called {:?}", peers[0]));
    }
    for (member, peer) in [(one, peers[0]), (two, peers[1])] {
        let (cid, _) = write(member, "/testkit/named", Bytes::from(format!("{peer:?}"))).await?;
        let from = fetch(&*asker.syncer, cid, Some(peer), NAMES).await?.from;
        if from != peer {
            return violation(
                NAMES,
                format_args!("{peer:?} was named and has it, and {from:?} is said to have sent it"),
            );
        }
    }
    Ok(())
}

async fn fails<D: DagSyncer>(asker: &Member<D>) -> Result<(), Violation> {
    let nobodys = Cid::of(b"a block that nobody has");
    match tokio::time::timeout(PATIENCE / 6, asker.syncer.fetch(nobodys, None)).await {
        Ok(Err(_)) => Ok(()),
        Ok(Ok(fetched)) => {
            violation(FAILS, format_args!("{} bytes came for a block that nobody has", fetched.bytes.len()))
        }
        Err(_) => violation(FAILS, format_args!("it had not ended after {:?}", PATIENCE / 6)),
    }
}

async fn many<D: DagSyncer>(asker: &Member<D>, server: &Member<D>) -> Result<(), Violation> {
    let mut blocks = Vec::new();
    for n in 0..MANY {
        blocks.push(write(server, "/testkit/many", Bytes::from(n.to_string())).await?);
    }
    let mut fetches = tokio::task::JoinSet::new();
    for (cid, bytes) in blocks {
        let syncer = asker.syncer.clone();
        drop(fetches.spawn(async move { Ok(fetch(&*syncer, cid, None, MANY_AT_ONCE).await?.bytes == bytes) }));
    }
    while let Some(done) = fetches.join_next().await {
        match done {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return violation(MANY_AT_ONCE, "an answer went to another fetch"),
            Ok(Err(broken)) => return Err(broken),
            Err(error) => return violation(MANY_AT_ONCE, error),
        }
    }
    Ok(())
}

async fn dropped<D: DagSyncer>(asker: &Member<D>, server: &Member<D>) -> Result<(), Violation> {
    for n in 0..20_u64 {
        let (cid, bytes) = write(server, "/testkit/dropped", Bytes::from(n.to_string())).await?;
        let _ = tokio::time::timeout(Duration::from_micros(n * 50), asker.syncer.fetch(cid, None)).await;
        if fetch(&*asker.syncer, cid, None, DROPPED).await?.bytes != bytes {
            return violation(DROPPED, format_args!("block {cid} came otherwise afterwards"));
        }
    }
    Ok(())
}

async fn closed<D: DagSyncer>(asker: &Member<D>, server: &Member<D>) -> Result<(), Violation> {
    let (cid, _) = write(server, "/testkit/closed", Bytes::from("x")).await?;
    server.store.close().await;
    match patiently(CLOSED, asker.syncer.fetch(cid, None)).await? {
        Err(_) => Ok(()),
        Ok(_) => violation(CLOSED, format_args!("block {cid} came from one")),
    }
}
