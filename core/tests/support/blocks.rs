//! Blocks: from hex, through the core's encoder, and by hand where the encoder would not make them.

use anabranch_core::{
    Bytes, Cid, DagName, Key,
    wire::{Block, Delta, Element, Tombstone},
};
use std::collections::BTreeMap;

/// All blocks that anyone serves.
pub type World = BTreeMap<Cid, Bytes>;

pub fn hex(text: &str) -> Bytes {
    data_encoding::HEXLOWER.decode(text.as_bytes()).expect("lower-case hex").into()
}

pub fn cid(text: &str) -> Cid {
    text.parse().expect("the text of a CID")
}

/// Blocks by their CIDs.
pub fn world<'a>(blocks: impl IntoIterator<Item = &'a Bytes>) -> World {
    blocks.into_iter().map(|bytes| (Cid::of(bytes), bytes.clone())).collect()
}

/// A block of the main DAG.
pub fn block(links: &[Cid], priority: u64, puts: &[(&str, &str)], tombstones: &[(&str, Cid)]) -> Bytes {
    block_in("", links, priority, puts, tombstones)
}

/// A block of the DAG of that name.
pub fn block_in(dag: &str, links: &[Cid], priority: u64, puts: &[(&str, &str)], tombstones: &[(&str, Cid)]) -> Bytes {
    let delta = Delta {
        elements: puts
            .iter()
            .map(|(key, value)| Element { key: Key::new(key), value: Bytes::copy_from_slice(value.as_bytes()) })
            .collect(),
        tombstones: tombstones.iter().map(|(key, target)| Tombstone { key: Key::new(key), target: *target }).collect(),
        priority,
        dag: DagName::new(dag),
    };
    Block::encode(links, &delta)
}

pub fn put_block(links: &[Cid], priority: u64, key: &str, value: &str) -> Bytes {
    block(links, priority, &[(key, value)], &[])
}

pub fn tombstone_block(links: &[Cid], priority: u64, key: &str, target: Cid) -> Bytes {
    block(links, priority, &[], &[(key, target)])
}

/// A chain of puts, each block at its height: key and value from the index. Roots first.
pub fn chain(len: usize, put: impl Fn(usize) -> (String, String)) -> Vec<Bytes> {
    let mut blocks: Vec<Bytes> = Vec::with_capacity(len);
    let mut links: Vec<Cid> = Vec::new();
    for index in 0..len {
        let (key, value) = put(index);
        let bytes = put_block(&links, index as u64 + 1, &key, &value);
        links = vec![Cid::of(&bytes)];
        blocks.push(bytes);
    }
    blocks
}

/// A dag-pb node with these CIDs as links and this data, whatever they are.
pub fn raw_block(links: &[&[u8]], data: Option<&[u8]>) -> Bytes {
    let mut out = Vec::new();
    for link in links {
        let mut inner = field(1, link);
        inner.extend([0x12, 0x00, 0x18, 0x00]);
        out.extend(field(2, &inner));
    }
    if let Some(data) = data {
        out.extend(field(1, data));
    }
    out.into()
}

/// A protobuf field of bytes.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    out.extend(varint(bytes.len() as u64));
    out.extend(bytes);
    out
}

pub fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

/// A block that breaks a rule (its data is no delta) and links to these blocks.
pub fn void_block(links: &[Cid], salt: u8) -> Bytes {
    let links: Vec<[u8; 36]> = links.iter().map(Cid::to_bytes).collect();
    let links: Vec<&[u8]> = links.iter().map(|link| link.as_slice()).collect();
    raw_block(&links, Some(&[0xff, 0xff, 0xff, salt]))
}

/// The announcement of these blocks, as heads of the main DAG.
pub fn announcement(heads: &[Cid]) -> Bytes {
    let mut out = Vec::new();
    for head in heads {
        out.extend(field(1, &field(1, &head.to_bytes())));
    }
    out.into()
}

/// The CID of a block that nobody has.
pub fn nobody_serves(n: u64) -> Cid {
    Cid::of(format!("nobody serves {n}").as_bytes())
}
