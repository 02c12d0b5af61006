//! The wire format against bytes that the Go implementation made, and against an independent dag-pb codec.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anabranch_core::{
    Bytes, Cid, DagName, Key,
    limits::{BLOCK_BYTES_MERGED_MAX, DAG_NAME_BYTES_MAX, KEY_BYTES_MAX},
    wire::{self, Block, Delta, Element, Flaw, Tombstone},
};
use proptest::prelude::*;
use serde::Deserialize;

fn hex(text: &str) -> Bytes {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().into()
}

#[derive(Deserialize)]
struct Blocks {
    blocks: Vec<BlockVector>,
}

#[derive(Deserialize)]
struct BlockVector {
    #[serde(default)]
    name: String,
    cid: String,
    block_id: String,
    links: Vec<String>,
    priority: u64,
    #[serde(default)]
    dag_name: String,
    elements: Vec<ElementVector>,
    tombstones: Vec<TombstoneVector>,
    bytes_hex: String,
}

#[derive(Deserialize)]
struct ElementVector {
    key: String,
    value_hex: String,
}

#[derive(Deserialize)]
struct TombstoneVector {
    key: String,
    id: String,
}

fn block_vectors() -> Vec<BlockVector> {
    serde_json::from_str::<Blocks>(include_str!("data/blocks.json")).unwrap().blocks
}

impl BlockVector {
    fn delta(&self) -> Delta {
        let element = |e: &ElementVector| Element { key: Key::new(&e.key), value: hex(&e.value_hex) };
        let tombstone = |t: &TombstoneVector| Tombstone {
            key: Key::new(&t.key),
            target: Cid::from_block_id(t.id.as_bytes()).unwrap(),
        };
        Delta {
            elements: self.elements.iter().map(element).collect(),
            tombstones: self.tombstones.iter().map(tombstone).collect(),
            priority: self.priority,
            dag: DagName::new(&self.dag_name),
        }
    }

    fn links(&self) -> Vec<Cid> {
        self.links.iter().map(|cid| cid.parse().unwrap()).collect()
    }
}

#[test]
fn blocks_are_those_that_go_made_byte_by_byte() {
    for vector in block_vectors() {
        let (bytes, name) = (hex(&vector.bytes_hex), &vector.name);
        let cid = Cid::of(&bytes);
        assert_eq!(cid.to_string(), vector.cid, "{name}");
        assert_eq!(cid.block_id(), vector.block_id.as_bytes(), "{name}");
        assert_eq!(Cid::from_block_id(vector.block_id.as_bytes()), Some(cid), "{name}");
        let block = Block::decode(&bytes);
        assert_eq!(block, Block { links: vector.links(), delta: Ok(vector.delta()) }, "{name}");
        // The development head writes links in any order, v0.6.8 and we in the order of CIDs.
        if vector.links().is_sorted() {
            assert_eq!(Block::encode(&vector.links(), &vector.delta()), bytes, "{name}");
        }
    }
}

#[test]
fn every_block_of_the_go_histories_is_written_again_byte_by_byte() {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let (mut blocks, mut merges) = (0, 0);
    for folder in ["dags", "dags-where-go-diverges"] {
        for file in std::fs::read_dir(data.join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let history: Blocks = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                for vector in history.blocks {
                    let bytes = hex(&vector.bytes_hex);
                    assert_eq!(Cid::of(&bytes).to_string(), vector.cid);
                    assert_eq!(Block::encode(&vector.links(), &vector.delta()), bytes, "{} of {path:?}", vector.cid);
                    blocks += 1;
                    merges += usize::from(vector.links.len() > 1);
                }
            }
        }
    }
    assert!(blocks > 500 && merges > 50, "{blocks} blocks, {merges} with several links");
}

#[derive(Deserialize)]
struct Broadcasts {
    payloads: Vec<BroadcastVector>,
}

#[derive(Deserialize)]
struct BroadcastVector {
    name: String,
    heads: Vec<HeadVector>,
    payload_hex: String,
}

#[derive(Deserialize)]
struct HeadVector {
    cid: Cid2,
    dag_name: String,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Cid2(Cid);

impl TryFrom<String> for Cid2 {
    type Error = anabranch_core::ParseCidError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

#[test]
fn announcements_are_those_that_go_made_byte_by_byte() {
    for vector in serde_json::from_str::<Broadcasts>(include_str!("data/broadcasts.json")).unwrap().payloads {
        let payload = hex(&vector.payload_hex);
        let cids: Vec<Cid> = vector.heads.iter().map(|head| head.cid.0).collect();
        let names: Vec<DagName> = vector.heads.iter().map(|head| DagName::new(&head.dag_name)).collect();
        let decoded = wire::decode_announcement(&payload).unwrap();
        assert_eq!((&decoded.heads, decoded.bad), (&cids, 0), "{}", vector.name);
        let encoded = wire::encode_announcements(cids.iter().copied().zip(&names), 1 << 20);
        assert_eq!(encoded, [payload], "{}", vector.name);
    }
}

#[test]
fn announcements_are_cut_at_the_limit_and_lose_no_head() {
    let main = DagName::default();
    let heads: Vec<Cid> = (0..1000_u32).map(|n| Cid::of(&n.to_le_bytes())).collect();
    for limit in [1, 40, 80, 81, 4096] {
        let payloads = wire::encode_announcements(heads.iter().map(|cid| (*cid, &main)), limit);
        // One head takes 40 bytes, and goes out whatever the limit.
        assert!(payloads.iter().all(|payload| payload.len() <= limit.max(40)), "limit {limit}");
        let back: Vec<Cid> =
            payloads.iter().flat_map(|payload| wire::decode_announcement(payload).unwrap().heads).collect();
        assert_eq!(back, heads, "limit {limit}");
    }
    assert!(wire::encode_announcements([], 100).is_empty());
}

#[test]
fn a_bare_cid_of_either_version_is_an_announcement() {
    let cid = Cid::of(b"anything");
    let v1 = cid.to_bytes();
    for bare in [&v1[..], &v1[2..]] {
        assert_eq!(wire::decode_announcement(bare).unwrap().heads, [cid]);
        assert_eq!(Cid::from_bytes(bare), Some(cid));
    }
    assert_eq!(wire::decode_announcement(&v1[..35]), None);
    assert_eq!(wire::decode_announcement(b"\xff"), None);
    assert_eq!(wire::decode_announcement(b"").unwrap().heads, []);
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<KeyVector>,
}

#[derive(Deserialize)]
struct KeyVector {
    in_hex: String,
    key_hex: String,
}

#[test]
fn keys_are_cleaned_as_go_cleans_them() {
    for vector in serde_json::from_str::<Keys>(include_str!("data/keys.json")).unwrap().keys {
        let (raw, clean) = (hex(&vector.in_hex), hex(&vector.key_hex));
        for key in [Key::new(&raw), Key::from_bytes(raw.clone())] {
            assert_eq!(key.as_bytes(), clean, "{raw:?}");
            assert_eq!(Key::new(key.as_bytes()), key, "cleaning is idempotent");
        }
    }
}

#[test]
fn cids_that_are_not_of_blocks_are_refused() {
    let cid = Cid::of(b"x");
    let v1 = cid.to_bytes();
    let with = |at: usize, byte: u8| {
        let mut bytes = v1.to_vec();
        bytes[at] = byte;
        bytes
    };
    let raw_codec = with(1, 0x55);
    let sha512 = with(2, 0x13);
    let version_2 = with(0, 2);
    let trailing = [&v1[..], &[0]].concat();
    for bytes in [&raw_codec[..], &sha512, &version_2, &trailing, &v1[..35], &[]] {
        assert_eq!(Cid::from_bytes(bytes), None, "{bytes:?}");
    }
    let text = cid.to_string();
    assert_eq!(text.parse(), Ok(cid));
    for text in [&text[1..], &text.to_uppercase(), &text[..58], "", "b", "Qmabc", &format!("{text}a")] {
        assert!(text.parse::<Cid>().is_err(), "{text}");
    }
}

#[test]
fn block_ids_are_read_with_and_without_their_slash_and_in_no_other_way() {
    let cid = Cid::of(b"x");
    let id = String::from_utf8(cid.block_id().to_vec()).unwrap();
    assert_eq!(id.len(), 56);
    assert_eq!(Cid::from_block_id(id.as_bytes()), Some(cid));
    assert_eq!(Cid::from_block_id(&id.as_bytes()[1..]), Some(cid));
    // 34 bytes are 272 bits in 55 characters of 5: the last three bits must be zero.
    let (last_but, last) = id.split_at(55);
    let next = (last.as_bytes()[0] + 1) as char;
    for bad in [
        format!("/{id}"),
        id.to_lowercase(),
        format!("{last_but}{next}"),
        format!("/x{id}"),
        format!("{id}="),
        "/".into(),
    ] {
        assert_eq!(Cid::from_block_id(bad.as_bytes()), None, "{bad}");
    }
}

/// A dag-pb node by hand: each part is a field's tag and its bytes.
fn fields(parts: &[(u8, &[u8])]) -> Bytes {
    let field = |(tag, bytes): &(u8, &[u8])| [&[*tag, bytes.len() as u8][..], bytes].concat();
    parts.iter().flat_map(field).collect::<Vec<u8>>().into()
}

#[test]
fn dag_pb_is_read_strictly() {
    let cid = Cid::of(b"parent").to_bytes();
    let full = [&[0x0a, 36][..], &cid, &[0x12, 0, 0x18, 0]].concat();
    let without_tsize = [&[0x0a, 36][..], &cid, &[0x12, 0]].concat();
    let hash_only = [&[0x0a, 36][..], &cid].concat();
    let delta: &[u8] = &[0x18, 1];
    for link in [&full, &without_tsize, &hash_only] {
        let (before, after) = (fields(&[(0x12, link), (0x0a, delta)]), fields(&[(0x0a, delta), (0x12, link)]));
        for bytes in [before, after] {
            let block = Block::decode(&bytes);
            assert_eq!(block.links, [Cid::of(b"parent")]);
            assert_eq!(block.delta.unwrap().priority, 1);
        }
    }
    let name_first = [&[0x12, 0, 0x0a, 36][..], &cid].concat();
    let no_hash = vec![0x12, 0, 0x18, 0];
    let field_4 = [&full[..], &[0x20, 0]].concat();
    let hash_twice = [&hash_only[..], &hash_only].concat();
    let bad = [
        fields(&[(0x12, &name_first), (0x0a, delta)]),
        fields(&[(0x12, &no_hash), (0x0a, delta)]),
        fields(&[(0x12, &field_4), (0x0a, delta)]),
        fields(&[(0x12, &hash_twice), (0x0a, delta)]),
        fields(&[(0x0a, delta), (0x0a, delta)]),
        fields(&[(0x12, &full), (0x0a, delta), (0x12, &full)]),
        fields(&[(0x12, &full), (0x1a, b"x")]),
        Bytes::from_static(&[0x08, 1]),
        Bytes::from_static(&[0x0a, 5, 1]),
        Bytes::from_static(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        Bytes::from_static(&[0x0a]),
    ];
    for bytes in bad {
        let block = Block::decode(&bytes);
        assert!(matches!(block.delta, Err(Flaw::NotDagPb(_))), "{bytes:?}: {block:?}");
        assert_eq!(block.links, []);
    }
}

#[test]
fn a_block_without_data_is_an_empty_delta() {
    assert_eq!(Block::decode(&Bytes::new()), Block { links: vec![], delta: Ok(Delta::default()) });
    let empty = Block::decode(&hex("0a021801"));
    assert_eq!(empty.delta, Ok(Delta { priority: 1, ..Delta::default() }));
}

#[test]
fn rules_are_judged_by_the_block_alone() {
    let long = |len: usize| vec![b'k'; len];
    let element = |key: &[u8]| Delta {
        elements: vec![Element { key: Key::new(key), value: Bytes::from_static(b"v") }],
        ..Delta::default()
    };
    let kept = |delta: &Delta| Block::decode(&Block::encode(&[], delta)).delta.unwrap().elements.len();
    assert_eq!(kept(&element(&long(KEY_BYTES_MAX - 1))), 1, "with its slash the key is as long as it may be");
    assert_eq!(kept(&element(&long(KEY_BYTES_MAX))), 0);
    let named = |len: usize| Delta { dag: DagName::new("n".repeat(len)), ..Delta::default() };
    assert!(Block::decode(&Block::encode(&[], &named(DAG_NAME_BYTES_MAX))).delta.is_ok());
    assert_eq!(Block::decode(&Block::encode(&[], &named(DAG_NAME_BYTES_MAX + 1))).delta, Err(Flaw::DagNameTooLong));
    let parent = Cid::of(b"parent");
    let mut large = element(b"k");
    large.elements[0].value = vec![0; BLOCK_BYTES_MERGED_MAX].into();
    assert_eq!(
        Block::decode(&Block::encode(&[parent], &large)),
        Block { links: vec![parent], delta: Err(Flaw::TooLarge) }
    );
    let not_text = fields(&[(0x0a, &[0x0a, 5, 0x0a, 3, b'/', 0xff, 0xfe])]);
    assert!(matches!(Block::decode(&not_text).delta, Err(Flaw::NotDelta(_))), "a key that is no UTF-8");
    let unknown_field = fields(&[(0x0a, &[0x18, 3, 0x28, 1])]);
    assert_eq!(Block::decode(&unknown_field).delta.unwrap().priority, 3, "unknown fields are ignored");
    // A priority as a string, and an element's value as a number: Go's protobuf passes over them.
    let other_types = fields(&[(0x0a, &[0x1a, 1, b'x', 0x0a, 6, 0x0a, 2, b'/', b'k', 0x18, 7])]);
    let delta = Block::decode(&other_types).delta.unwrap();
    assert_eq!((delta.priority, delta.elements.len(), &delta.elements[0].value[..]), (0, 1, &b""[..]));
}

fn deltas() -> impl Strategy<Value = Delta> {
    let key = "(/[a-zé.]{0,3}){0,3}".prop_map(Key::new);
    let value = prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    let target = any::<[u8; 32]>().prop_map(Cid::from_digest);
    let element = (key.clone(), value).prop_map(|(key, value)| Element { key, value });
    let tombstone = (key, target).prop_map(|(key, target)| Tombstone { key, target });
    let elements = prop::collection::vec(element, 0..5);
    let tombstones = prop::collection::vec(tombstone, 0..5);
    (elements, tombstones, any::<u64>(), "[a-z/]{0,4}").prop_map(|(elements, tombstones, priority, dag)| Delta {
        elements,
        tombstones,
        priority,
        dag: DagName::new(dag),
    })
}

fn cids() -> impl Strategy<Value = Vec<Cid>> {
    prop::collection::btree_set(any::<[u8; 32]>().prop_map(Cid::from_digest), 0..4)
        .prop_map(|set| set.into_iter().collect())
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(links in cids(), delta in deltas()) {
        let bytes = Block::encode(&links, &delta);
        prop_assert_eq!(Block::decode(&bytes), Block { links, delta: Ok(delta) });
    }

    #[test]
    fn an_independent_codec_reads_what_we_write(links in cids(), delta in deltas()) {
        let bytes = Block::encode(&links, &delta);
        let node = ipld_dagpb::PbNode::from_bytes(bytes.clone()).unwrap();
        let theirs: Vec<Vec<u8>> = node.links.iter().map(|link| link.cid.to_bytes()).collect();
        let ours: Vec<Vec<u8>> = links.iter().map(|cid| cid.to_bytes().to_vec()).collect();
        prop_assert_eq!(theirs, ours);
        prop_assert!(node.links.iter().all(|link| link.name.as_deref() == Some("") && link.size == Some(0)));
        prop_assert_eq!(node.into_bytes(), bytes.to_vec());
    }

    #[test]
    fn we_read_what_an_independent_codec_writes(
        links in prop::collection::vec((any::<[u8; 32]>(), prop::option::of("[a-z]{0,3}"), prop::option::of(any::<u32>())), 0..4),
        delta in deltas(),
    ) {
        let data = ipld_dagpb::PbNode::from_bytes(Block::encode(&[], &delta)).unwrap().data;
        let link = |(digest, name, size): &([u8; 32], Option<String>, Option<u32>)| ipld_dagpb::PbLink {
            cid: (&Cid::from_digest(*digest).to_bytes()[..]).try_into().unwrap(),
            name: name.clone(),
            size: size.map(u64::from),
        };
        let node = ipld_dagpb::PbNode { links: links.iter().map(link).collect(), data };
        let block = Block::decode(&node.into_bytes().into());
        let mut wanted: Vec<Cid> = links.iter().map(|(digest, ..)| Cid::from_digest(*digest)).collect();
        let mut read = block.links;
        wanted.sort();
        read.sort();
        wanted.dedup();
        prop_assert_eq!(read, wanted);
        prop_assert_eq!(block.delta, Ok(delta));
    }

    #[test]
    fn any_bytes_are_a_block(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Block::decode(&bytes.clone().into());
        let _ = wire::decode_announcement(&bytes);
        let _ = Cid::from_bytes(&bytes);
        let _ = Cid::from_block_id(&bytes);
        let key = Key::new(&bytes);
        prop_assert_eq!(&Key::new(key.as_bytes()), &key);
    }

    #[test]
    fn a_flipped_bit_is_a_block_too_and_another_one(delta in deltas(), links in cids(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let bytes = Block::encode(&links, &delta);
        let mut flipped = bytes.to_vec();
        let at = at.index(flipped.len());
        flipped[at] ^= 1_u8 << bit;
        prop_assert_ne!(Cid::of(&flipped), Cid::of(&bytes));
        let _ = Block::decode(&flipped.into());
    }

    #[test]
    fn the_size_of_an_element_is_foretold(delta in deltas(), key in "/[a-z]{0,200}", value in prop::collection::vec(any::<u8>(), 0..300)) {
        let data_len = |delta: &Delta| ipld_dagpb::PbNode::from_bytes(Block::encode(&[], delta)).unwrap().data.unwrap().len();
        let (key, value) = (Key::new(key), Bytes::from(value));
        let before = data_len(&delta);
        let mut more = delta;
        more.elements.push(Element { key: key.clone(), value: value.clone() });
        let with_element = data_len(&more);
        prop_assert_eq!(with_element - before, wire::element_bytes(&key, &value));
        more.tombstones.push(Tombstone { key: key.clone(), target: Cid::of(b"") });
        prop_assert_eq!(data_len(&more) - with_element, wire::tombstone_bytes(&key));
    }
}
