//! A peer that behaves as go-ds-crdt does: it takes blocks newest first, adopts heads before it has what is below them, and writes and
//! deletes in the middle of the walk, knowing but a part.

use super::Notice;
use crate::{
    network::Body,
    process::{Failed, Io, Process},
    scenario::{FaultKind, Hostile, Party},
};
use anabranch_core::{Bytes, Cid, DagName, Key, limits, wire};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How many keys it writes.
const KEYS: u64 = 8;
/// Blocks that it asks for and has no answer to, at most: the oldest are forgotten, as after a failed walk.
const WALKS_MAX: usize = 64;

/// A peer that behaves as go-ds-crdt does.
#[derive(Clone, Debug)]
pub struct GoPeer {
    every: Duration,
    key_prefix: String,
    written: u64,
    blocks: BTreeMap<Cid, Bytes>,
    /// Adopted as soon as their bytes are here, with what they declare.
    heads: BTreeMap<Cid, u64>,
    /// What it knows below something: never a head.
    linked: BTreeSet<Cid>,
    /// The versions that it knows of: key, and the block that put it.
    versions: BTreeMap<Key, BTreeSet<Cid>>,
    asked: Vec<Cid>,
}

impl GoPeer {
    /// A peer that writes every so often.
    #[must_use]
    pub fn new(peer: &Hostile, key_prefix: &str) -> Self {
        Self {
            every: peer.every,
            key_prefix: key_prefix.to_owned(),
            written: 0,
            blocks: BTreeMap::new(),
            heads: BTreeMap::new(),
            linked: BTreeSet::new(),
            versions: BTreeMap::new(),
            asked: Vec::new(),
        }
    }

    fn ask(&mut self, from: Party, cid: Cid, io: &mut Io<Notice>) {
        if self.blocks.contains_key(&cid) || self.asked.contains(&cid) {
            return;
        }
        if self.asked.len() >= WALKS_MAX {
            self.asked.remove(0);
        }
        self.asked.push(cid);
        io.send(from, Body::Request { cid, attempt: 0 });
    }

    /// Takes a block, whatever is missing below it.
    fn take(&mut self, cid: Cid, bytes: Bytes) -> Vec<Cid> {
        let block = wire::Block::decode(&bytes);
        self.asked.retain(|asked| *asked != cid);
        self.blocks.insert(cid, bytes);
        if let Ok(delta) = &block.delta {
            for element in &delta.elements {
                self.versions.entry(element.key.clone()).or_default().insert(cid);
            }
            if delta.dag.is_main() && !self.linked.contains(&cid) {
                self.heads.insert(cid, delta.priority);
            }
        }
        for link in &block.links {
            self.heads.remove(link);
            self.linked.insert(*link);
        }
        block.links
    }

    /// A put, or a delete of all versions that it knows of.
    fn write(&mut self, io: &mut Io<Notice>) {
        let key = Key::new(format!("{}{}", self.key_prefix, io.choose(0, KEYS - 1)));
        let deletes = io.choose(0, 2) == 0;
        let versions = self.versions.get(&key).filter(|versions| deletes && !versions.is_empty()).cloned();
        let mut delta = wire::Delta::default();
        match versions {
            Some(versions) => {
                delta.tombstones = versions
                    .iter()
                    .take(64)
                    .map(|target| wire::Tombstone { key: key.clone(), target: *target })
                    .collect();
                self.versions.remove(&key);
            }
            None => {
                let value = Bytes::from(format!("go {}", self.written));
                delta.elements.push(wire::Element { key, value });
            }
        }
        let believed = self.heads.values().copied().filter(|priority| *priority < limits::PRIORITY_DECLARED_END);
        delta.priority = 1 + believed.max().unwrap_or(0);
        let links: Vec<Cid> = self.heads.keys().copied().take(100).collect();
        let bytes = wire::Block::encode(&links, &delta);
        let cid = Cid::of(&bytes);
        self.written += 1;
        io.notice(Notice::Made { cid, bytes: bytes.clone(), poison: Some(FaultKind::GoLike) });
        self.take(cid, bytes);
    }

    fn announce(&self, io: &mut Io<Notice>) {
        let main = DagName::default();
        let heads = self.heads.keys().take(100).map(|cid| (*cid, &main));
        for payload in wire::encode_announcements(heads, limits::BROADCAST_BYTES_MAX) {
            io.broadcast(Body::Broadcast(payload));
        }
    }
}

impl Process for GoPeer {
    type Notice = Notice;

    fn start(&mut self, io: &mut Io<Notice>) -> Result<(), Failed> {
        self.timer(0, io)
    }

    fn receive(&mut self, from: Party, body: Body, io: &mut Io<Notice>) -> Result<(), Failed> {
        match body {
            Body::Broadcast(payload) => {
                for cid in wire::decode_announcement(&payload).map(|announced| announced.heads).unwrap_or_default() {
                    self.ask(from, cid, io);
                }
            }
            Body::Block { cid, bytes, .. } if Cid::of(&bytes) == cid && !self.blocks.contains_key(&cid) => {
                for link in self.take(cid, bytes) {
                    self.ask(from, link, io);
                }
            }
            Body::Request { cid, attempt } => io.send(
                from,
                match self.blocks.get(&cid) {
                    Some(bytes) => Body::Block { cid, attempt, bytes: bytes.clone() },
                    None => Body::NotFound { cid, attempt },
                },
            ),
            Body::Block { .. } | Body::NotFound { .. } | Body::Other(_) => {}
        }
        Ok(())
    }

    fn timer(&mut self, _: u8, io: &mut Io<Notice>) -> Result<(), Failed> {
        io.notice(Notice::Acts(FaultKind::GoLike));
        self.write(io);
        self.announce(io);
        io.set_timer(0, (self.every, self.every));
        Ok(())
    }
}
