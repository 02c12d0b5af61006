//! Peers that speak the protocol and mean harm.

use super::Notice;
use crate::{
    engine::Draws,
    network::Body,
    process::{Failed, Io, Process},
    scenario::{FaultKind, Hostile, HostileAct, Party},
};
use anabranch_core::{Bytes, Cid, DagName, wire};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
    time::Duration,
};

/// Heads that nobody serves, in one announcement.
const ENDLESS_HEADS: usize = 100;
/// How many keys it writes.
const KEYS: u64 = 4;
/// How many honest blocks it keeps.
const HONEST_MAX: usize = 1_000;

/// A scripted hostile peer: one act a round.
#[derive(Clone, Debug)]
pub struct HostilePeer {
    acts: Vec<HostileAct>,
    every: Duration,
    round: u64,
    key_prefix: String,
    blocks: BTreeMap<Cid, Bytes>,
    /// What it announced and will not serve.
    endless: BTreeSet<Cid>,
    /// The last good block of each act, for the next to link to: it shall not flood its victims with heads.
    last: BTreeMap<HostileAct, Cid>,
    /// The last head that it heard of.
    heard: Option<Cid>,
    /// Honest blocks that it was given, oldest first.
    honest: Vec<(Cid, Bytes)>,
}

/// What a round makes: blocks, the act they belong to, and an announcement.
struct Round {
    act: HostileAct,
    blocks: Vec<(Cid, Bytes)>,
    /// A block that it made and serves to nobody.
    hidden: Option<(Cid, Bytes)>,
    announcements: Vec<Bytes>,
}

/// How a hostile peer answers a request.
enum Reply {
    Block(Bytes),
    NotFound,
    /// Not at all: the block is one that it only pretends to have.
    Silence,
}

impl Process for HostilePeer {
    type Notice = Notice;

    fn start(&mut self, io: &mut Io<Notice>) -> Result<(), Failed> {
        self.timer(0, io)
    }

    fn receive(&mut self, from: Party, body: Body, io: &mut Io<Notice>) -> Result<(), Failed> {
        match body {
            Body::Broadcast(payload) => self.hears(from, &payload, io),
            Body::Request { cid, attempt } => match self.answers(&cid, io) {
                Reply::Block(bytes) => io.send(from, Body::Block { cid, attempt, bytes }),
                Reply::NotFound => io.send(from, Body::NotFound { cid, attempt }),
                Reply::Silence => io.notice(Notice::Harmed(FaultKind::EndlessHeads)),
            },
            Body::Block { cid, bytes, .. } if Cid::of(&bytes) == cid => {
                self.heard = Some(cid);
                if self.acts.contains(&HostileAct::WrongBlocks) {
                    // At once, while others still want it.
                    let main = DagName::default();
                    let heads = wire::encode_announcements([(cid, &main)], anabranch_core::limits::BROADCAST_BYTES_MAX);
                    heads.into_iter().for_each(|payload| io.broadcast(Body::Broadcast(payload)));
                }
                if self.honest.len() < HONEST_MAX {
                    self.honest.push((cid, bytes));
                }
            }
            Body::Block { .. } | Body::NotFound { .. } | Body::Other(_) => {}
        }
        Ok(())
    }

    fn timer(&mut self, _: u8, io: &mut Io<Notice>) -> Result<(), Failed> {
        let key = io.choose(0, KEYS - 1);
        let round = self.round(self.round, key, &mut io.inventions());
        self.round += 1;
        let kind = round.act.kind();
        io.notice(Notice::Acts(kind));
        for (cid, bytes) in round.blocks {
            io.notice(Notice::Made { cid, bytes, poison: Some(kind) });
        }
        if let Some((cid, bytes)) = round.hidden {
            io.notice(Notice::Made { cid, bytes, poison: None });
        }
        round.announcements.into_iter().for_each(|payload| io.broadcast(Body::Broadcast(payload)));
        io.set_timer(0, (self.every, self.every));
        Ok(())
    }
}

impl HostilePeer {
    /// A peer that does what the scenario says of it.
    #[must_use]
    pub fn new(peer: &Hostile, key_prefix: &str) -> Self {
        Self {
            acts: peer.acts.clone(),
            every: peer.every,
            round: 0,
            key_prefix: key_prefix.to_owned(),
            blocks: BTreeMap::new(),
            endless: BTreeSet::new(),
            last: BTreeMap::new(),
            heard: None,
            honest: Vec::new(),
        }
    }

    /// Asks for an announced head, to build upon it.
    fn hears(&self, from: Party, payload: &Bytes, io: &mut Io<Notice>) {
        let head = wire::decode_announcement(payload).and_then(|announcement| announcement.heads.last().copied());
        if let Some(cid) = head.filter(|head| self.heard != Some(*head)) {
            io.send(from, Body::Request { cid, attempt: 0 });
        }
    }

    fn answers(&self, cid: &Cid, io: &mut Io<Notice>) -> Reply {
        match self.blocks.get(cid) {
            Some(bytes) => Reply::Block(bytes.clone()),
            None if self.endless.contains(cid) => Reply::Silence,
            None if self.acts.contains(&HostileAct::WrongBlocks)
                && self.honest.iter().any(|(other, _)| other == cid) =>
            {
                Reply::Block(self.another(cid, io))
            }
            None => Reply::NotFound,
        }
    }

    /// Instead of an honest block: another that is valid, the oldest one, or garbage.
    fn another(&self, cid: &Cid, io: &mut Io<Notice>) -> Bytes {
        let others = || self.honest.iter().filter(|(other, _)| other != cid);
        let which = io.choose(0, 2);
        let other = if which == 0 { others().next_back() } else { others().next() };
        match other {
            Some((_, bytes)) if which < 2 => bytes.clone(),
            _ => Bytes::from_static(b"garbage"),
        }
    }

    /// Takes the next act in turn.
    fn round(&mut self, round: u64, key: u64, draws: &mut Draws) -> Round {
        let act = self.acts[(round % self.acts.len() as u64) as usize];
        let key = format!("{}{key}", self.key_prefix);
        let value = format!("evil {round}");
        let parent = self.last.get(&act).copied();
        let (blocks, heads) = match act {
            HostileAct::EndlessHeads => (Vec::new(), self.invent(draws)),
            HostileAct::ForgedPriority => {
                let links: BTreeSet<Cid> = parent.into_iter().chain(self.heard).collect();
                let delta = Forged::default().put(key.as_bytes(), value.as_bytes()).priority(u64::MAX);
                one(delta.block(links.iter().map(|cid| cid.to_bytes().to_vec())))
            }
            HostileAct::OddKeys => {
                let links = parent.iter().map(|cid| cid.to_bytes().to_vec());
                let delta = odd_keys(key.trim_start_matches('/'), value.as_bytes()).priority(round + 1);
                one(delta.block(links))
            }
            HostileAct::ForeignLinks => {
                let foreign = [&[1, 0x55, 0x12, 32][..], Cid::of(value.as_bytes()).digest()].concat();
                let links = parent.iter().map(|cid| cid.to_bytes().to_vec()).chain([foreign]);
                let void = Forged::default().put(key.as_bytes(), b"void").priority(1).block(links);
                let upon = [Cid::of(&void).to_bytes().to_vec()];
                let good = Forged::default().put(key.as_bytes(), value.as_bytes()).priority(round + 2).block(upon);
                let (void, good) = ((Cid::of(&void), void), (Cid::of(&good), good));
                let heads = vec![void.0, good.0];
                (vec![void, good], heads)
            }
            HostileAct::BadBlocks => self.bad_blocks(&key, &value, round),
            HostileAct::OddDags => {
                let names = ["a/b", ".", "..", "../h", "/x"];
                let name = names[(round / self.acts.len() as u64) as usize % names.len()];
                let links = parent.iter().map(|cid| cid.to_bytes().to_vec());
                one(Forged::default().put(key.as_bytes(), value.as_bytes()).priority(round + 1).dag(name).block(links))
            }
            HostileAct::Strangers => {
                let root = Forged::default().put(key.as_bytes(), value.as_bytes()).priority(1).block([]);
                let removals = self.honest.iter().rev().take(8).flat_map(|(cid, bytes)| {
                    let puts = wire::Block::decode(bytes).delta.map_or(Vec::new(), |delta| delta.elements);
                    puts.into_iter().map(|put| (put.key.as_bytes().to_vec(), *cid))
                });
                let upon = removals.fold(Forged::default(), |delta, (key, cid)| delta.remove(&key, &cid.block_id()));
                let upon = upon.priority(2).block([Cid::of(&root).to_bytes().to_vec()]);
                let (root, upon) = ((Cid::of(&root), root), (Cid::of(&upon), upon));
                let heads = vec![upon.0];
                (vec![root, upon], heads)
            }
            HostileAct::WrongBlocks => {
                let heads = self.honest.iter().rev().take(4).map(|(cid, _)| *cid).collect();
                (Vec::new(), heads)
            }
            HostileAct::Withheld => {
                let links = [Cid::of(&withheld(round))].into_iter().chain(parent).map(|cid| cid.to_bytes().to_vec());
                let delta = Forged::default().put(key.as_bytes(), value.as_bytes()).priority(round + 2);
                one(delta.dag(WITHHELD).block(links.collect::<BTreeSet<_>>()))
            }
            // A peer of its own.
            HostileAct::GoLike => (Vec::new(), Vec::new()),
        };
        if let Some((cid, _)) = blocks.last() {
            self.last.insert(act, *cid);
        }
        self.blocks.extend(blocks.iter().cloned());
        let main = DagName::default();
        let announcements = wire::encode_announcements(
            heads.into_iter().map(|cid| (cid, &main)),
            anabranch_core::limits::BROADCAST_BYTES_MAX,
        );
        let hidden = (act == HostileAct::Withheld).then(|| withheld(round)).map(|bytes| (Cid::of(&bytes), bytes));
        Round { act, blocks, hidden, announcements }
    }

    /// A block that does not decode upon the last honest one, a good one upon it, and a good one beside it.
    fn bad_blocks(&self, key: &str, value: &str, round: u64) -> (Vec<(Cid, Bytes)>, Vec<Cid>) {
        let below: Vec<Vec<u8>> = self.heard.iter().map(|cid| cid.to_bytes().to_vec()).collect();
        let bad = Forged([&[0xff, 0xff, 0xff][..], value.as_bytes()].concat()).block(below.clone());
        let good = Forged::default().put(key.as_bytes(), value.as_bytes()).priority(round + 4);
        let upon = good.block([Cid::of(&bad).to_bytes().to_vec()]);
        let beside = Forged::default().put(b"/beside", value.as_bytes()).priority(round + 3).block(below);
        let blocks: Vec<_> = [bad, upon, beside].into_iter().map(|bytes| (Cid::of(&bytes), bytes)).collect();
        let heads = blocks.iter().map(|(cid, _)| *cid).collect();
        (blocks, heads)
    }

    fn invent(&mut self, draws: &mut Draws) -> Vec<Cid> {
        let invented: Vec<Cid> = (0..ENDLESS_HEADS)
            .map(|_| {
                let mut digest = [0; 32];
                draws.fill(&mut digest);
                Cid::from_digest(digest)
            })
            .collect();
        self.endless.extend(&invented);
        invented
    }
}

/// The DAG of what is built upon withheld blocks.
const WITHHELD: &str = "withheld";
/// Rounds of which withheld blocks are known.
const WITHHELD_MAX: u64 = 256;

/// The block that a hostile peer withholds in this round.
fn withheld(round: u64) -> Bytes {
    let value = round.to_string();
    Forged::default().put(b"/withheld", value.as_bytes()).priority(1).dag(WITHHELD).block([])
}

/// All blocks that hostile peers withhold: what operators know to be lost.
pub(super) static ALL_WITHHELD: LazyLock<BTreeMap<Cid, Bytes>> =
    LazyLock::new(|| (0..WITHHELD_MAX).map(withheld).map(|bytes| (Cid::of(&bytes), bytes)).collect());

fn one(bytes: Bytes) -> (Vec<(Cid, Bytes)>, Vec<Cid>) {
    let cid = Cid::of(&bytes);
    (vec![(cid, bytes)], vec![cid])
}

/// Keys and tombstone ids that climb, double their slashes, lack one, or name nothing.
fn odd_keys(key: &str, value: &[u8]) -> Forged {
    let climbing = format!("/../../../{key}");
    let doubled = format!("//{}//", key.replace('/', "//"));
    let target = Cid::of(value).block_id();
    Forged::default()
        .put(b"/../../h/x", value)
        .put(key.as_bytes(), value)
        .put(doubled.as_bytes(), value)
        .put(b"", value)
        .put(b"/.", b"")
        .remove(b"/k", b"/../../../h/Y")
        .remove(climbing.as_bytes(), b"/../../../../app/data")
        .remove(b"k", &target[1..])
        .remove(b"/k", &[b"/x", &target[..]].concat())
        .remove(b"/k", b"")
}

/// A delta written field by field: the core's encoder would clean it.
#[derive(Clone, Debug, Default)]
struct Forged(Vec<u8>);

impl Forged {
    fn put(self, key: &[u8], value: &[u8]) -> Self {
        let mut element = Vec::new();
        field(&mut element, 0x0a, key);
        field(&mut element, 0x1a, value);
        self.with(0x0a, &element)
    }

    fn remove(self, key: &[u8], id: &[u8]) -> Self {
        let mut element = Vec::new();
        field(&mut element, 0x0a, key);
        field(&mut element, 0x12, id);
        self.with(0x12, &element)
    }

    fn priority(mut self, priority: u64) -> Self {
        self.0.push(0x18);
        varint(&mut self.0, priority);
        self
    }

    fn dag(mut self, name: &str) -> Self {
        field(&mut self.0, 0x22, name.as_bytes());
        self
    }

    fn with(mut self, tag: u8, bytes: &[u8]) -> Self {
        field(&mut self.0, tag, bytes);
        self
    }

    /// A dag-pb block: links, given as binary CIDs, before data.
    fn block(self, links: impl IntoIterator<Item = Vec<u8>>) -> Bytes {
        let mut block = Vec::new();
        for cid in links {
            let mut link = Vec::new();
            field(&mut link, 0x0a, &cid);
            link.extend_from_slice(&[0x12, 0, 0x18, 0]);
            field(&mut block, 0x12, &link);
        }
        field(&mut block, 0x0a, &self.0);
        block.into()
    }
}

fn field(to: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    to.push(tag);
    varint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::engine::Key;
    use std::time::Duration;

    fn peer(acts: &[HostileAct]) -> HostilePeer {
        let hostile = Hostile {
            name: String::from("mallory"),
            acts: acts.to_vec(),
            every: Duration::from_secs(1),
            from: Duration::ZERO,
            until: None,
        };
        HostilePeer::new(&hostile, "/key/")
    }

    #[test]
    fn its_blocks_are_what_they_are_meant_to_be() {
        use HostileAct::{EndlessHeads, ForeignLinks, ForgedPriority, OddKeys};
        let mut peer = peer(&[ForgedPriority, OddKeys, ForeignLinks, EndlessHeads]);
        let mut round = |number| peer.round(number, number % KEYS, &mut Key::of_seed(1).at(number, 0));
        let decode = |round: &Round, index: usize| wire::Block::decode(&round.blocks[index].1);

        let forged = round(0);
        assert_eq!(decode(&forged, 0).delta.unwrap().priority, u64::MAX);
        let odd = decode(&round(1), 0).delta.unwrap();
        assert!(odd.elements.iter().any(|element| element.key.as_bytes() == b"/h/x"), "{odd:?}");
        let foreign = round(2);
        assert_eq!(decode(&foreign, 0).delta, Err(wire::Flaw::ForeignLink));
        assert!(decode(&foreign, 1).delta.is_ok() && decode(&foreign, 1).links == [foreign.blocks[0].0]);
        let mut io = Io::new(crate::choices::Choices::drawn(&Key::of_seed(1)));
        let endless = round(3);
        let heads = wire::decode_announcement(&endless.announcements[0]).unwrap().heads;
        assert_eq!(heads.len(), ENDLESS_HEADS);
        assert!(heads.iter().all(|cid| matches!(peer.answers(cid, &mut io), Reply::Silence)));
        assert!(matches!(peer.answers(&forged.blocks[0].0, &mut io), Reply::Block(_)));
        assert!(matches!(peer.answers(&Cid::of(b"unknown"), &mut io), Reply::NotFound));
        let again = peer.round(4, 0, &mut Key::of_seed(1).at(4, 0));
        assert_eq!(wire::Block::decode(&again.blocks[0].1).links, [forged.blocks[0].0], "one chain, not many heads");
    }
}
