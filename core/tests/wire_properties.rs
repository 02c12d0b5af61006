//! The wire format on random input: round trips, no panic on any bytes, and agreement with independent
//! implementations (ipld-dagpb for blocks, prost for deltas, the cid crate for CIDs as text).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch_core::{
    Bytes, Cid, DagName, Key,
    limits::{DAG_NAME_BYTES_MAX, KEY_BYTES_MAX},
    wire::{self, Block, Delta, Element, Flaw, Tombstone},
};
use ipld_dagpb::{PbLink, PbNode};
use multihash::Multihash;
use proptest::{collection::vec, prelude::*, sample::Index};
use prost::Message;
use std::collections::BTreeSet;

/// `Delta` of go-ds-crdt as its `.proto` file has it: the reader that ours is compared with.
#[derive(Clone, PartialEq, Message)]
struct PlainDelta {
    #[prost(message, repeated, tag = "1")]
    elements: Vec<PlainElement>,
    #[prost(message, repeated, tag = "2")]
    tombstones: Vec<PlainElement>,
    #[prost(uint64, tag = "3")]
    priority: u64,
    #[prost(string, tag = "4")]
    dag_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct PlainElement {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(bytes = "vec", tag = "3")]
    value: Vec<u8>,
}

impl PlainDelta {
    /// What our reader must make of it.
    fn understood(&self) -> Result<Delta, Flaw> {
        let key = |raw: &str| Some(Key::new(raw)).filter(|key| key.as_bytes().len() <= KEY_BYTES_MAX);
        let element =
            |put: &PlainElement| Some(Element { key: key(&put.key)?, value: Bytes::copy_from_slice(&put.value) });
        let tombstone = |removal: &PlainElement| {
            Some(Tombstone { target: Cid::from_block_id(removal.id.as_bytes())?, key: key(&removal.key)? })
        };
        if self.dag_name.len() > DAG_NAME_BYTES_MAX {
            return Err(Flaw::DagNameTooLong);
        }
        Ok(Delta {
            elements: self.elements.iter().filter_map(element).collect(),
            tombstones: self.tombstones.iter().filter_map(tombstone).collect(),
            priority: self.priority,
            dag: DagName::new(&self.dag_name),
        })
    }
}

fn cids() -> impl Strategy<Value = Cid> {
    // Few different ones, so that they meet.
    prop_oneof![any::<u8>().prop_map(|n| Cid::of(&[n % 4])), any::<[u8; 32]>().prop_map(Cid::from_digest)]
}

fn raw_keys() -> impl Strategy<Value = String> {
    prop_oneof!["[/.ab]{0,12}", "(/[a-zа-я]{1,20}){1,3}", ".{0,20}", "/a{200}"]
}

fn values() -> impl Strategy<Value = Bytes> {
    prop_oneof![vec(any::<u8>(), 0..40), Just(vec![7; 127]), Just(vec![7; 128]), Just(vec![7; 20_000])]
        .prop_map(Bytes::from)
}

fn elements() -> impl Strategy<Value = Element> {
    (raw_keys(), values()).prop_map(|(key, value)| Element { key: Key::new(key), value })
}

fn tombstones() -> impl Strategy<Value = Tombstone> {
    (raw_keys(), cids()).prop_map(|(key, target)| Tombstone { key: Key::new(key), target })
}

fn priorities() -> impl Strategy<Value = u64> {
    prop_oneof![0..4u64, any::<u64>(), Just(u64::MAX)]
}

fn deltas() -> impl Strategy<Value = Delta> {
    let names = prop_oneof![Just(String::new()), raw_keys()];
    (vec(elements(), 0..6), vec(tombstones(), 0..6), priorities(), names).prop_map(
        |(elements, tombstones, priority, dag)| Delta { elements, tombstones, priority, dag: DagName::new(dag) },
    )
}

fn blocks() -> impl Strategy<Value = Bytes> {
    (vec(cids(), 0..6), deltas()).prop_map(|(links, delta)| Block::encode(&links, &delta))
}

/// One change of a byte string.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Repeat(Index, Index),
}

fn changed(bytes: impl Strategy<Value = Bytes>) -> impl Strategy<Value = Bytes> {
    let change = prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<Index>().prop_map(Change::Remove),
        any::<Index>().prop_map(Change::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Repeat(from, to)),
    ];
    (bytes, vec(change, 0..4)).prop_map(|(bytes, changes)| {
        let mut bytes = bytes.to_vec();
        for change in changes {
            match change {
                Change::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), byte),
                Change::Repeat(from, to) => {
                    let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
                    let part = bytes[from.min(to)..from.max(to)].to_vec();
                    bytes.extend(part);
                }
                _ if bytes.is_empty() => {}
                Change::Set(at, byte) => *at.get_mut(&mut bytes) = byte,
                Change::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
                Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
            }
        }
        Bytes::from(bytes)
    })
}

fn foreign_cid(codec: u64, code: u64, digest: &[u8]) -> cid::Cid {
    cid::Cid::new_v1(codec, Multihash::wrap(code, digest).expect("it fits"))
}

fn any_cids() -> impl Strategy<Value = cid::Cid> {
    let v1 = cids().prop_map(|cid| foreign_cid(0x70, 0x12, cid.digest()));
    let v0 = cids().prop_map(|cid| cid::Cid::new_v0(Multihash::wrap(0x12, cid.digest()).unwrap()).unwrap());
    let foreign = (prop_oneof![Just(0x70), Just(0x55)], prop_oneof![Just(0x12), Just(0)], vec(any::<u8>(), 0..40))
        .prop_map(|(codec, code, digest)| foreign_cid(codec, code, &digest));
    prop_oneof![4 => v1, 2 => v0, 1 => foreign]
}

fn nodes() -> impl Strategy<Value = PbNode> {
    let link = (any_cids(), proptest::option::of(".{0,3}"), proptest::option::of(any::<u64>()))
        .prop_map(|(cid, name, size)| PbLink { cid, name, size });
    let data = deltas().prop_map(|delta| PbNode::from_bytes(Block::encode(&[], &delta)).expect("dag-pb").data);
    (vec(link, 0..5), prop_oneof![data, Just(None), Just(Some(Bytes::new()))])
        .prop_map(|(links, data)| PbNode { links, data })
}

/// What we make of a node that ipld-dagpb has read.
fn understood(node: &PbNode) -> Block {
    let (mut links, mut seen, mut foreign) = (Vec::new(), BTreeSet::new(), false);
    for link in &node.links {
        match <[u8; 32]>::try_from(link.cid.hash().digest()) {
            Ok(digest) if link.cid.codec() == 0x70 && link.cid.hash().code() == 0x12 => {
                links.extend(seen.insert(digest).then_some(Cid::from_digest(digest)));
            }
            _ => foreign = true,
        }
    }
    let delta = PlainDelta::decode(node.data.clone().unwrap_or_default());
    let delta = match delta {
        _ if foreign => Err(Flaw::ForeignLink),
        Ok(delta) => delta.understood(),
        Err(_) => Err(Flaw::NotDelta(String::new())),
    };
    Block { links, delta }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_we_write_we_read(links in vec(cids(), 0..6), delta in deltas()) {
        let read = Block::decode(&Block::encode(&links, &delta));
        let sorted: Vec<_> = links.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        prop_assert_eq!(read, Block { links: sorted, delta: Ok(delta) });
    }

    #[test]
    fn what_we_write_ipld_dagpb_and_prost_read(links in vec(cids(), 0..6), delta in deltas()) {
        let bytes = Block::encode(&links, &delta);
        let node = PbNode::from_bytes(bytes.clone()).unwrap();
        prop_assert!(node.links.iter().all(|link| link.name.as_deref() == Some("") && link.size == Some(0)));
        let sorted: Vec<_> = links.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        prop_assert_eq!(understood(&node), Block { links: sorted, delta: Ok(delta) });
        prop_assert_eq!(node.into_bytes(), bytes);
    }

    #[test]
    fn what_ipld_dagpb_writes_we_read_alike(node in nodes()) {
        let bytes = node.into_bytes();
        // Reading it again sorts the links by name, as writing did.
        let node = PbNode::from_bytes(bytes.clone().into()).unwrap();
        prop_assert_eq!(Block::decode(&bytes.into()), understood(&node));
    }

    #[test]
    fn what_ipld_dagpb_accepts_as_canonical_we_read_alike(bytes in changed(blocks())) {
        let read = Block::decode(&bytes);
        if let Ok(node) = PbNode::from_bytes(bytes.clone())
            && node.clone().into_bytes() == bytes
        {
            let expected = understood(&node);
            prop_assert_eq!(&read.links, &expected.links);
            match (&read.delta, &expected.delta) {
                // Where prost refuses a known field of another wire type, we and Go skip it.
                (_, Err(Flaw::NotDelta(_))) => {}
                (read, expected) => prop_assert_eq!(read, expected),
            }
        }
    }

    #[test]
    fn what_prost_reads_we_read_alike(data in changed(deltas().prop_map(|delta| {
        PbNode::from_bytes(Block::encode(&[], &delta)).expect("dag-pb").data.expect("data")
    }))) {
        let block = Bytes::from(PbNode { links: vec![], data: Some(data.clone()) }.into_bytes());
        let read = Block::decode(&block).delta;
        match PlainDelta::decode(data) {
            Ok(delta) => prop_assert_eq!(read, delta.understood()),
            // prost refuses known fields of another wire type and we do not; where both refuse, it is for want of a delta.
            Err(_) => prop_assert!(matches!(read, Ok(_) | Err(Flaw::NotDelta(_) | Flaw::DagNameTooLong)), "{:?}", read),
        }
    }

    #[test]
    fn elements_and_tombstones_take_the_bytes_we_say(delta in deltas(), put in elements(), removal in tombstones()) {
        let data_bytes = |delta: &Delta| PbNode::from_bytes(Block::encode(&[], delta)).unwrap().data.unwrap().len();
        let before = data_bytes(&delta);
        let mut grown = delta.clone();
        grown.elements.push(put.clone());
        prop_assert_eq!(data_bytes(&grown) - before, wire::element_bytes(&put.key, &put.value));
        let mut grown = delta;
        grown.tombstones.push(removal.clone());
        prop_assert_eq!(data_bytes(&grown) - before, wire::tombstone_bytes(&removal.key));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..200)) {
        drop(Block::decode(&bytes.clone().into()));
        drop(wire::decode_announcement(&bytes));
        let _ = (Cid::from_bytes(&bytes), Cid::from_block_id(&bytes), String::from_utf8_lossy(&bytes).parse::<Cid>());
        let key = Key::new(&bytes);
        drop(format!("{key} {key:?}"));
    }

    #[test]
    fn no_change_of_a_block_makes_the_reader_panic_or_invent_links(bytes in changed(blocks())) {
        let block = Block::decode(&bytes);
        for link in &block.links {
            prop_assert!(bytes.windows(32).any(|part| part == link.digest()));
        }
    }

    #[test]
    fn announcements_name_the_heads_given(
        heads in vec((cids(), raw_keys().prop_map(DagName::new)), 0..12),
        bytes_max in 0..400usize,
    ) {
        let payloads = wire::encode_announcements(heads.iter().map(|(cid, dag)| (*cid, dag)), bytes_max);
        let mut read = Vec::new();
        for payload in &payloads {
            let message = wire::decode_announcement(payload).unwrap();
            prop_assert_eq!(message.bad, 0);
            prop_assert!(payload.len() <= bytes_max || message.heads.len() == 1);
            read.extend(message.heads);
        }
        let given: BTreeSet<_> = heads.iter().map(|(cid, _)| *cid).collect();
        prop_assert_eq!(read.into_iter().collect::<BTreeSet<_>>(), given);
        let whole = wire::encode_announcements(heads.iter().map(|(cid, dag)| (*cid, dag)), usize::MAX);
        prop_assert_eq!(whole.concat(), payloads.concat());
    }

    #[test]
    fn cids_are_read_as_the_cid_crate_reads_them(cid in any_cids(), tail in vec(any::<u8>(), 0..2)) {
        let ours = Cid::from_bytes(&cid.to_bytes());
        let is_ours = cid.codec() == 0x70 && cid.hash().code() == 0x12 && cid.hash().size() == 32;
        prop_assert_eq!(ours.is_some(), is_ours);
        if !tail.is_empty() {
            prop_assert_eq!(Cid::from_bytes(&[cid.to_bytes(), tail].concat()), None);
        }
        let v1 = cid.into_v1().unwrap();
        prop_assert_eq!(v1.to_string().parse().ok(), ours);
        if let Some(ours) = ours {
            prop_assert_eq!(ours.to_string(), v1.to_string());
            prop_assert_eq!(ours.to_bytes().to_vec(), v1.to_bytes());
            prop_assert_eq!(Cid::from_bytes(&ours.to_bytes()), Some(ours));
        }
    }

    #[test]
    fn a_text_or_an_id_has_one_spelling(cid in cids(), at in any::<Index>(), byte in any::<u8>()) {
        let mut id = cid.block_id().to_vec();
        prop_assert_eq!(Cid::from_block_id(&id), Some(cid));
        prop_assert_eq!(Cid::from_block_id(&id[1..]), Some(cid));
        *at.get_mut(&mut id) = byte;
        if let Some(read) = Cid::from_block_id(&id) {
            prop_assert_eq!(read.block_id(), id);
        }
        let mut text = cid.to_string().into_bytes();
        text[at.index(59)] = byte;
        if let Ok(text) = core::str::from_utf8(&text) && let Ok(read) = text.parse::<Cid>() {
            prop_assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn cleaning_keys_is_the_naive_cleaning(raw in "[/.a\u{e4}]{0,14}") {
        let mut parts = Vec::new();
        for part in raw.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                _ => parts.push(part),
            }
        }
        let cleaned = format!("/{}", parts.join("/"));
        let key = Key::new(&raw);
        prop_assert_eq!(key.as_bytes(), cleaned.as_bytes());
        prop_assert_eq!(&Key::from_bytes(raw.into()), &key);
        prop_assert_eq!(&Key::new(key.as_bytes()), &key);
    }
}
