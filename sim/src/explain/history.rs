//! A recording, made ready to be asked.

use crate::{
    engine::{Cause, MessageKey},
    fold::{Facts, Folded, fold_with},
    observe::{Blob, Says, Seen, What},
    outcome::short,
    record::Recording,
    scenario::Party,
};
use anabranch_core::{Bytes, Cid, wire::Block};
use std::collections::{BTreeMap, BTreeSet};

/// A block as it was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Who made it.
    pub author: Party,
    /// When.
    pub at: u64,
    /// For what.
    pub cause: Option<Cause>,
    /// Its bytes.
    pub bytes: Bytes,
    /// What it holds.
    pub block: Block,
    /// 1 + the greatest height of its parents.
    pub height: u64,
}

/// A recording, made ready to be asked.
pub struct History<'a> {
    /// The events, in order.
    pub events: &'a [Seen],
    /// All blocks that were made.
    pub blocks: BTreeMap<Cid, Made>,
    names: &'a [String],
    replicas: usize,
    sent: BTreeMap<MessageKey, usize>,
}

impl<'a> History<'a> {
    /// Reads a recording: O(n log n) in its events.
    #[must_use]
    pub fn new(recording: &'a Recording) -> Self {
        let (mut blocks, mut sent) = (BTreeMap::<Cid, Made>::new(), BTreeMap::new());
        for (number, seen) in recording.events.iter().enumerate() {
            match &seen.what {
                What::Made { block: id, bytes } => {
                    let bytes = Bytes::from(bytes.0.clone());
                    let block = Block::decode(&bytes);
                    let parents = block.links.iter().filter_map(|link| blocks.get(link)).map(|parent| parent.height);
                    let height = 1 + parents.max().unwrap_or(0);
                    let author = seen.party.unwrap_or(Party(0));
                    blocks.entry(id.0).or_insert(Made { author, at: seen.at, cause: seen.cause, bytes, block, height });
                }
                What::Sent { message, .. } => {
                    sent.insert(*message, number);
                }
                _ => {}
            }
        }
        let header = &recording.header;
        Self { events: &recording.events, blocks, names: &header.parties, replicas: header.replicas, sent }
    }

    /// A party's name.
    #[must_use]
    pub fn name(&self, party: Party) -> &'a str {
        self.names.get(party.index()).map_or("?", String::as_str)
    }

    /// The names of all parties.
    #[must_use]
    pub const fn parties(&self) -> &'a [String] {
        self.names
    }

    /// The replicas, without hostile peers.
    pub fn replicas(&self) -> impl Iterator<Item = Party> + use<> {
        (0..u16::try_from(self.replicas).unwrap_or(u16::MAX)).map(Party)
    }

    /// The event in which a message was sent.
    #[must_use]
    pub fn sent(&self, message: &MessageKey) -> Option<&'a Seen> {
        self.sent.get(message).and_then(|number| self.events.get(*number))
    }

    /// What a message says.
    #[must_use]
    pub fn says(&self, message: &MessageKey) -> Option<&'a Says> {
        match &self.sent(message)?.what {
            What::Sent { says, .. } => Some(says),
            _ => None,
        }
    }

    /// The longest key of any block that stands in the text as a word.
    #[must_use]
    pub fn key_in(&self, text: &str) -> Option<String> {
        let words: BTreeSet<&str> =
            text.split_whitespace().flat_map(|word| [word, word.trim_end_matches([':', ',', ';'])]).collect();
        let keys = self.blocks.values().flat_map(|made| keys_of(&made.block));
        let fits = |key: &String| words.contains(key.as_str()) || key.contains(' ') && text.contains(key.as_str());
        keys.filter(fits).max_by_key(String::len)
    }

    /// The blocks that the text names, in its order.
    #[must_use]
    pub fn blocks_in(&self, text: &str) -> Vec<Cid> {
        let words =
            text.split(|c: char| c.is_whitespace() || "{},:;()".contains(c)).filter(|word| word.starts_with('…'));
        let find = |word: &str| self.blocks.keys().find(|cid| short(cid) == word).copied();
        let mut all = Vec::new();
        for cid in words.filter_map(find) {
            if !all.contains(&cid) {
                all.push(cid);
            }
        }
        all
    }

    /// The blocks that write a key, in order of their making.
    #[must_use]
    pub fn writers(&self, key: &str) -> Vec<(Cid, &Made)> {
        let mut all: Vec<(Cid, &Made)> = self
            .blocks
            .iter()
            .filter(|(_, made)| keys_of(&made.block).any(|other| other == key))
            .map(|(cid, made)| (*cid, made))
            .collect();
        all.sort_by_key(|(cid, made)| (made.at, *cid));
        all
    }

    /// What the naive fold gives for all that a replica has before the event of this number: O(n log n) in its blocks.
    #[must_use]
    pub fn fold_at(&self, replica: Party, number: usize) -> Folded {
        self.fold(&self.holds_at(replica, number))
    }

    /// What the naive fold gives for this.
    #[must_use]
    pub fn fold(&self, holds: &Holds) -> Folded {
        let is_void = |cid: &&Cid| self.blocks.get(*cid).is_some_and(|made| made.block.delta.is_err());
        // What a void block was merged for may be purged.
        let kept = |cid: &&Cid| !holds.purged.is_empty() && is_void(cid);
        let facts = Facts {
            purged: holds.purged.clone(),
            abandoned: holds.abandoned.clone(),
            void: holds.merged.iter().filter(kept).copied().collect(),
        };
        let bytes = |cid: &Cid| Some((*cid, self.blocks.get(cid)?.bytes.clone()));
        fold_with(&holds.merged.iter().filter_map(bytes).collect(), &facts)
    }

    /// What a replica has before the event of this number. From a crash on until it is opened again, what it had before.
    #[must_use]
    pub fn holds_at(&self, replica: Party, number: usize) -> Holds {
        let mut holds = Holds::default();
        for seen in self.events[..number.min(self.events.len())].iter().filter(|seen| seen.party == Some(replica)) {
            holds.goes_on(&seen.what);
        }
        holds
    }

    /// Whether a replica has, or had, merged a block before the event of this number.
    #[must_use]
    pub fn has_merged(&self, replica: Party, cid: &Cid, number: usize) -> bool {
        self.holds_at(replica, number).has_merged(cid)
    }
}

/// What a replica has at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// The blocks that it has merged, without those that are purged.
    pub merged: BTreeSet<Cid>,
    /// The blocks that it has purged, with the heights that they had.
    pub purged: BTreeMap<Cid, u64>,
    /// The blocks that it has given up.
    pub abandoned: BTreeSet<Cid>,
}

impl Holds {
    /// What it has after an event of its own.
    pub fn goes_on(&mut self, what: &What) {
        match what {
            What::Merged { block, .. } => drop(self.merged.insert(block.0)),
            What::Crashed { wiped: true, .. } => *self = Self::default(),
            What::Started { merged } => self.merged = merged.iter().map(|id| id.0).collect(),
            What::Decided { purged, abandoned } => {
                self.purged = purged.iter().map(|(id, height)| (id.0, *height)).collect();
                self.abandoned = abandoned.iter().map(|id| id.0).collect();
                self.merged.retain(|cid| !self.purged.contains_key(cid));
            }
            _ => {}
        }
    }

    /// Whether it has merged a block, and be it purged.
    #[must_use]
    pub fn has_merged(&self, cid: &Cid) -> bool {
        self.merged.contains(cid) || self.purged.contains_key(cid)
    }
}

/// The keys that a block puts or removes.
pub(super) fn keys_of(block: &Block) -> impl Iterator<Item = String> {
    let put = block.delta.iter().flat_map(|delta| &delta.elements).map(|element| element.key.to_string());
    let removed = block.delta.iter().flat_map(|delta| &delta.tombstones).map(|tombstone| tombstone.key.to_string());
    put.chain(removed)
}

/// What an event of a replica says that it shows for a key: `None` when it says nothing of it, or says it in the middle of a task.
pub(super) fn shown<'a>(what: &'a What, key: &str) -> Option<Option<&'a [u8]>> {
    let What::Shows { values, all, settled: true, .. } = what else { return None };
    match values.iter().find(|(other, _)| other == key) {
        Some((_, value)) => Some(value.as_ref().map(|Blob(bytes)| &bytes[..])),
        None => all.then_some(None),
    }
}
