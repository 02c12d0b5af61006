//! Deltas in the embedder's own format, through all that reads blocks.

use crate::support::{converged, fast, rows, until};
use anabranch::{
    Batch, Bytes, Codec, DagName, FeedToken, Key, LocalNetwork, Outcome,
    wire::{Delta, Element, Flaw, Tombstone},
};

/// Lines of text: `name NAME`, `rank N`, `put KEY VALUE`, `del KEY CID`, in hex where they might hold anything. go-ds-crdt reads none of it.
#[derive(Clone)]
struct Lines;

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn unhex(text: &str) -> Result<Vec<u8>, Flaw> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|error| Flaw::NotDelta(error.to_string()))
}

impl Codec for Lines {
    fn decode(&self, data: &Bytes) -> Result<Delta, Flaw> {
        let bad = |_| Flaw::NotDelta(String::from("no lines"));
        let text = std::str::from_utf8(data).map_err(|error| Flaw::NotDelta(error.to_string()))?;
        let mut lines = text.strip_prefix("lines\n").ok_or(()).map_err(bad)?.lines();
        let mut delta = Delta::default();
        lines.try_for_each(|line| {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["name", name] => delta.dag = DagName::new(String::from_utf8_lossy(&unhex(name)?)),
                ["rank", rank] => delta.priority = rank.parse().map_err(|_| bad(()))?,
                ["put", key, value] => {
                    delta.elements.push(Element { key: Key::new(unhex(key)?), value: unhex(value)?.into() });
                }
                ["del", key, target] => delta
                    .tombstones
                    .push(Tombstone { key: Key::new(unhex(key)?), target: target.parse().map_err(|_| bad(()))? }),
                _ => return Err(bad(())),
            }
            Ok(())
        })?;
        Ok(delta)
    }

    fn encode(&self, delta: &Delta) -> Vec<u8> {
        let mut text = format!("lines\nname {}\nrank {}\n", hex(delta.dag.as_str().as_bytes()), delta.priority);
        for Element { key, value } in &delta.elements {
            text.push_str(&format!("put {} {}\n", hex(key.as_bytes()), hex(value)));
        }
        for Tombstone { key, target } in &delta.tombstones {
            text.push_str(&format!("del {} {target}\n", hex(key.as_bytes())));
        }
        text.into_bytes()
    }

    fn element_bytes(&self, key: &Key, value: &Bytes) -> usize {
        6 + 2 * (key.as_bytes().len() + value.len())
    }

    fn tombstone_bytes(&self, key: &Key) -> usize {
        70 + 2 * key.as_bytes().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn datastores_with_a_codec_of_their_own_converge_and_others_understand_nothing() {
    let network = LocalNetwork::new();
    let a = fast().codec(Lines).network(network.join()).memory().await.unwrap();
    let b = fast().codec(Lines).network(network.join()).memory().await.unwrap();
    let stranger = fast().network(network.join()).memory().await.unwrap();
    for n in 0..5 {
        a.put(format!("/a/{n}"), format!("{n}")).await.unwrap();
        b.put(format!("/b/{n}"), "").await.unwrap();
    }
    converged(&[a.clone(), b.clone()]).await;
    b.delete("/a/3").await.unwrap();
    converged(&[a.clone(), b.clone()]).await;
    assert_eq!(rows(&a).await, rows(&b).await);
    assert_eq!(rows(&a).await.len(), 9);
    let block = a.heads().await.unwrap()[0].cid;
    let bytes = a.block(block).await.unwrap().unwrap();
    assert!(bytes.windows(6).any(|window| window == b"lines\n"));
    // To one who reads protobuf these are void heads, which are asked for and never merged.
    until("the stranger has heard", || async { stranger.stats().await.unwrap().rumours > 0 }).await;
    assert_eq!(stranger.stats().await.unwrap().merged, 0);
}

/// Pictures, walks, the feed, files, tasks and disks read blocks through the codec too.
#[tokio::test(flavor = "multi_thread")]
async fn all_that_reads_blocks_goes_through_the_codec() {
    let folder = tempfile::tempdir().unwrap();
    let (path, car) = (folder.path().join("store"), folder.path().join("all.car"));
    let builder = || fast().codec(Lines).options(|options| options.replica.feed = true);
    let store = builder().open(&path).await.unwrap();
    let token = store.feed_token().await.unwrap();
    store.put("/fruit/apple", "red").await.unwrap();
    store.commit(Batch::new().put("/fruit/kiwi", "green").delete("/fruit/apple")).await.unwrap();
    let other = Batch { dag: DagName::new("cache"), ..Batch::new().put("/cached", "x") };
    store.commit(other).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    let picture = snapshot.picture(10).await.unwrap();
    assert!(picture.contains("+/fruit/kiwi -/fruit/apple") && picture.contains("+/cached  of cache"), "{picture}");
    let dot = snapshot.dot().await.unwrap();
    assert!(dot.contains("+/fruit/kiwi -/fruit/apple") && !dot.contains("void"), "{dot}");
    assert_eq!(snapshot.traverse(Vec::new(), 10).await.unwrap().len(), 3);
    drop(snapshot);
    let token = FeedToken::decode(&token.encode()).unwrap();
    let keys: Vec<String> = store.feed(token, 10).await.unwrap().keys.iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(keys, ["/cached", "/fruit/apple", "/fruit/kiwi"]);
    assert_eq!(store.export(&car, None).await.unwrap().blocks, 3);
    assert_eq!(store.verify().await.unwrap(), Outcome::Verified { blocks: 3, keys: 3, faults: 0 });
    store.rebuild().await.unwrap();
    let expected = rows(&store).await;
    assert_eq!(expected.len(), 2);
    store.close().await;
    let store = builder().open(&path).await.unwrap();
    assert_eq!(rows(&store).await, expected);
    assert_eq!(store.purge(DagName::new("cache")).await.unwrap(), Outcome::Purged { blocks: 1, keys: 1 });
    store.close().await;
    let imported = builder().memory().await.unwrap();
    assert_eq!(imported.import(&car).await.unwrap().merged, 3);
    assert_eq!(rows(&imported).await, expected);
    // The same file is void to one who reads protobuf.
    let stranger = fast().memory().await.unwrap();
    let taken = stranger.import(&car).await.unwrap();
    assert_eq!((taken.merged, taken.void), (0, 3));
}
