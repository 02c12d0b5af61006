//! Deltas in a format of the embedder's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Batch, Bytes, Cid, Codec, Config, DagName, Effect, Input, Key, MergeAll, Peer, Progress, ProtobufCodec, Refusal,
    Replica, Token,
    limits::{DAG_NAME_BYTES_MAX, DELTA_BYTES_MAX, KEY_BYTES_MAX},
    store::MemoryStore,
    wire::{Block, Delta, Element, Flaw, Tombstone},
};

/// A line a thing: `put KEY VALUE`, `del KEY CID`, `dag NAME`, `pri N`, words in hex; and how often it was asked to decode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Lines;

fn word(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn unword(text: &str) -> Result<Bytes, Flaw> {
    let bytes = data_encoding::HEXLOWER.decode(text.as_bytes());
    bytes.map(Bytes::from).map_err(|_| Flaw::NotDelta(format!("{text} is no hex")))
}

impl Codec for Lines {
    fn decode(&self, data: &Bytes) -> Result<Delta, Flaw> {
        let flaw = |what: &str| Flaw::NotDelta(what.to_owned());
        let text = std::str::from_utf8(data).map_err(|_| flaw("no text"))?;
        let mut delta = Delta::default();
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["put", key, value] => {
                    delta.elements.push(Element { key: Key::from_bytes(unword(key)?), value: unword(value)? });
                }
                ["del", key, target] => {
                    let target = target.parse().map_err(|_| flaw("no CID"))?;
                    delta.tombstones.push(Tombstone { key: Key::from_bytes(unword(key)?), target });
                }
                ["dag", name] => {
                    let name = String::from_utf8(unword(name)?.to_vec()).map_err(|_| flaw("no name"))?;
                    delta.dag = DagName::new(name);
                }
                ["pri", priority] => delta.priority = priority.parse().map_err(|_| flaw("no number"))?,
                _ => return Err(flaw("a line of no kind")),
            }
        }
        Ok(delta)
    }

    fn encode(&self, delta: &Delta) -> Vec<u8> {
        let mut text = format!("dag {}\npri {}\n", word(delta.dag.as_str().as_bytes()), delta.priority);
        for Element { key, value } in &delta.elements {
            text += &format!("put {} {}\n", word(key.as_bytes()), word(value));
        }
        for Tombstone { key, target } in &delta.tombstones {
            text += &format!("del {} {target}\n", word(key.as_bytes()));
        }
        text.into_bytes()
    }

    fn element_bytes(&self, key: &Key, value: &Bytes) -> usize {
        6 + 2 * (key.as_bytes().len() + value.len())
    }

    fn tombstone_bytes(&self, key: &Key) -> usize {
        6 + 2 * key.as_bytes().len() + 59
    }
}

struct Custom {
    replica: Replica<MemoryStore, MergeAll, Lines>,
    tokens: u64,
}

impl Custom {
    fn new() -> Self {
        let config = Config { feed: true, ..Config::default() };
        let replica = Replica::open_with_codec(MemoryStore::new(), config, MergeAll, Lines, &mut Vec::new()).unwrap();
        Self { replica, tokens: 0 }
    }

    fn commit(&mut self, batch: Batch) -> Result<Vec<Cid>, Refusal> {
        self.tokens += 1;
        let (token, mut out) = (Token(self.tokens), Vec::new());
        let _ = self.replica.step(Input::Commit { token, batch }, &mut out).unwrap();
        let outcome = out.into_iter().find_map(|effect| match effect {
            Effect::Committed { blocks, .. } => Some(Ok(blocks)),
            Effect::Refused { why, .. } => Some(Err(why)),
            _ => None,
        });
        outcome.expect("a commit ends")
    }

    fn receive(&mut self, bytes: &Bytes) {
        let input = Input::Block { from: Peer(1), cid: Cid::of(bytes), bytes: bytes.clone(), attempt: 0 };
        let mut progress = self.replica.step(input, &mut Vec::new()).unwrap();
        while progress == Progress::More {
            progress = self.replica.step(Input::Continue, &mut Vec::new()).unwrap();
        }
    }

    fn get(&self, key: &str) -> Option<Bytes> {
        self.replica.get(&Key::new(key)).unwrap()
    }
}

#[test]
fn two_replicas_with_a_codec_of_their_own_agree() {
    let (mut one, mut two) = (Custom::new(), Custom::new());
    let mut blocks = one.commit(Batch::new().put("/k", "v").put("/gone", "soon")).unwrap();
    blocks.extend(one.commit(Batch::new().delete("/gone").put("/k", "w")).unwrap());
    blocks.extend(one.commit(Batch::for_dag(DagName::new("x")).put("/x", "y")).unwrap());
    for cid in &blocks {
        let bytes = one.replica.block(cid).unwrap().unwrap();
        assert!(Block::decode(&bytes).delta != Block::decode_with(&bytes, &Lines).delta, "it is not the usual format");
        two.receive(&bytes);
    }
    assert_eq!(two.replica.heads().unwrap(), one.replica.heads().unwrap());
    assert_eq!((two.get("/k"), two.get("/gone"), two.get("/x")), (Some("w".into()), None, Some("y".into())));
    let since = Custom::new().replica.feed_token().unwrap();
    assert_eq!(two.replica.feed(&since, 9).unwrap().keys.len(), 3, "the feed reads with the codec");
}

#[test]
fn a_value_that_must_be_read_from_its_block_is_read_with_the_codec() {
    let mut node = Custom::new();
    // Concurrent puts whose values differ beyond what is kept of them beside the winner.
    let long = "v".repeat(100);
    let put = |value: &str| {
        let element = Element { key: Key::new("/k"), value: Bytes::copy_from_slice(value.as_bytes()) };
        let delta = Delta { elements: vec![element], priority: 1, ..Delta::default() };
        Block::encode_with(&[], &delta, &Lines)
    };
    let (low, high) = (put(&format!("{long}a")), put(&format!("{long}b")));
    node.receive(&low);
    node.receive(&high);
    let tombstone = Tombstone { key: Key::new("/k"), target: Cid::of(&high) };
    let delta = Delta { tombstones: vec![tombstone], priority: 2, ..Delta::default() };
    node.receive(&Block::encode_with(&[Cid::of(&high)], &delta, &Lines));
    assert_eq!(node.get("/k"), Some(format!("{long}a").into()));
}

#[test]
fn batches_are_cut_by_the_sizes_of_the_codec() {
    let mut node = Custom::new();
    let value = "v".repeat(100 << 10);
    let batch = (0..10).fold(Batch::new(), |batch, at| batch.put(format!("/{at}"), value.clone()));
    let blocks = node.commit(batch).unwrap();
    assert_eq!(blocks.len(), 2, "1 MiB in our format, and 2 MiB in this one");
    for cid in blocks {
        assert!(node.replica.block(&cid).unwrap().unwrap().len() < DELTA_BYTES_MAX + 100);
    }
    let large = node.commit(Batch::new().put("/large", "v".repeat((1 << 20) + 1)));
    assert!(matches!(large, Err(Refusal::WriteTooLarge { .. })), "over 2 MiB in this format: {large:?}");
}

#[test]
fn what_the_codec_does_not_read_is_void_and_limits_hold_for_all_codecs() {
    let usual = support::put_block(&[], 1, "/k", "v");
    assert!(matches!(Block::decode_with(&usual, &Lines).delta, Err(Flaw::NotDelta(_))));
    let mut node = Custom::new();
    node.receive(&usual);
    assert_eq!(node.replica.stats().merged, 0);
    let encode = |delta: &Delta| Block::encode_with(&[], delta, &Lines);
    let long = Key::new("k".repeat(KEY_BYTES_MAX));
    let elements = [&long, &Key::new("/k")].map(|key| Element { key: key.clone(), value: Bytes::new() }).to_vec();
    let tombstones = vec![Tombstone { key: long, target: Cid::of(b"") }];
    let decoded =
        Block::decode_with(&encode(&Delta { elements, tombstones, ..Delta::default() }), &Lines).delta.unwrap();
    assert_eq!((decoded.elements.len(), decoded.tombstones.len()), (1, 0));
    let dag = DagName::new("n".repeat(DAG_NAME_BYTES_MAX + 1));
    let decoded = Block::decode_with(&encode(&Delta { dag, ..Delta::default() }), &Lines);
    assert_eq!(decoded.delta, Err(Flaw::DagNameTooLong));
}

#[test]
fn the_usual_codec_writes_the_sizes_that_it_says() {
    let element = Element { key: Key::new("/some/key"), value: Bytes::from("v".repeat(300)) };
    let tombstone = Tombstone { key: Key::new("/some/other"), target: Cid::of(b"") };
    let bytes =
        ProtobufCodec.element_bytes(&element.key, &element.value) + ProtobufCodec.tombstone_bytes(&tombstone.key);
    let delta = Delta { elements: vec![element], tombstones: vec![tombstone], ..Delta::default() };
    assert_eq!(ProtobufCodec.encode(&delta).len(), bytes);
    assert_eq!(ProtobufCodec.decode(&ProtobufCodec.encode(&delta).into()), Ok(delta));
}
