//! What the simulation knows of all blocks and of who has merged which: the evidence for the oracles.

use crate::scenario::Party;
use anabranch_core::{Bytes, Cid, DagName, wire};
use std::collections::{BTreeMap, BTreeSet};

/// A block as its author made it.
#[derive(Clone, Debug)]
pub struct Record {
    /// Who made it first.
    pub author: Party,
    /// Its CID.
    pub cid: Cid,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its parents.
    pub links: Vec<Cid>,
    /// Its DAG; `None` when it is void.
    pub dag: Option<DagName>,
    /// 1 + the greatest height of those of its parents that were made before it.
    pub height: u64,
}

/// A set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Bits(Vec<u64>);

impl Bits {
    /// Adds a number; says whether it is new.
    fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, 1 << (number % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    /// Adds all of another set.
    fn extend(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    /// Whether two sets are equal within a third and outside a fourth.
    fn equals(&self, other: &Self, within: &Self, outside: &Self) -> bool {
        let word = |bits: &Self, index: usize| bits.0.get(index).copied().unwrap_or(0);
        let differs = |index: usize| (word(self, index) ^ word(other, index)) & within.0[index] & !word(outside, index);
        (0..within.0.len()).all(|index| differs(index) == 0)
    }

    fn contains(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        let word = |(index, word): (usize, &u64)| {
            let word = *word;
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index as u32 * 64 + bit)
        };
        self.0.iter().enumerate().flat_map(word)
    }
}

/// What is known of one replica.
#[derive(Clone, Debug, Default)]
struct Known {
    merged: Bits,
    /// Good blocks.
    count: u64,
    /// The exclusive or over the first 16 bytes of the digests of all good blocks that are merged: equal sets have equal marks.
    mark: u128,
    /// Merged since the last sync.
    fresh: Vec<u32>,
    /// Merged before the last sync.
    durable: Bits,
    /// The blocks of acknowledged commits.
    acknowledged: BTreeSet<Cid>,
    /// Blocks that are purged.
    purged: BTreeSet<Cid>,
    /// The same by their numbers.
    purged_numbers: Bits,
    /// Blocks that were given up.
    abandoned: BTreeSet<Cid>,
}

impl Known {
    fn add(&mut self, number: u32, cid: &Cid, is_good: bool) -> bool {
        let new = self.merged.insert(number);
        if new && is_good {
            self.count += 1;
            self.mark ^= mark(cid);
        }
        new
    }
}

fn indexed(cid: &Cid) -> (u64, Cid) {
    (cid.digest().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)), *cid)
}

fn mark(cid: &Cid) -> u128 {
    cid.digest().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

/// All blocks ever made, and what each replica has merged of them.
#[derive(Clone, Debug)]
pub struct Ledger {
    blocks: Vec<Record>,
    /// Those that are not void.
    good: Bits,
    /// By the first bytes as a number before the rest: one word tells most apart, and this map is asked all the time.
    numbers: BTreeMap<(u64, Cid), u32>,
    /// The parents of each block that were made before it, by their numbers: all of them, unless a hostile peer made it.
    parents: Vec<Vec<u32>>,
    known: Vec<Known>,
}

impl Ledger {
    /// Of this many replicas.
    #[must_use]
    pub fn new(replicas: usize) -> Self {
        Self {
            blocks: Vec::new(),
            good: Bits::default(),
            numbers: BTreeMap::new(),
            parents: Vec::new(),
            known: vec![Known::default(); replicas],
        }
    }

    /// A block was made.
    pub fn author(&mut self, author: Party, cid: Cid, bytes: Bytes) {
        if self.numbers.contains_key(&indexed(&cid)) {
            return;
        }
        let block = wire::Block::decode(&bytes);
        let parents: Vec<u32> =
            block.links.iter().filter_map(|link| self.numbers.get(&indexed(link)).copied()).collect();
        let height = 1 + parents.iter().map(|parent| self.blocks[*parent as usize].height).max().unwrap_or(0);
        self.parents.push(parents);
        let number = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        self.numbers.insert(indexed(&cid), number);
        if block.delta.is_ok() {
            self.good.insert(number);
        }
        self.blocks.push(Record {
            author,
            cid,
            bytes,
            links: block.links,
            dag: block.delta.ok().map(|delta| delta.dag),
            height,
        });
    }

    /// The block as it was made; `None` when nobody made it.
    #[must_use]
    pub fn block(&self, cid: &Cid) -> Option<&Record> {
        self.numbers.get(&indexed(cid)).map(|number| &self.blocks[*number as usize])
    }

    /// Whether one block is an ancestor of another: a search that goes no deeper than it. Takes time linear in the blocks between them.
    #[must_use]
    pub fn is_ancestor(&self, older: &Cid, younger: &Cid) -> bool {
        let Some(older) = self.numbers.get(&indexed(older)).copied() else { return false };
        self.ancestors_from(younger, older).contains(older)
    }

    /// Those of these blocks that are no ancestors of the younger one: one search for all of them.
    pub fn not_ancestors<'c>(&self, of: &'c BTreeSet<Cid>, younger: &Cid) -> impl Iterator<Item = &'c Cid> {
        let number = |cid: &Cid| self.numbers.get(&indexed(cid)).copied();
        let oldest = of.iter().filter_map(number).min();
        let ancestors = oldest.map_or_else(Bits::default, |oldest| self.ancestors_from(younger, oldest));
        let numbered: Vec<(&Cid, Option<u32>)> = of.iter().map(|cid| (cid, number(cid))).collect();
        numbered
            .into_iter()
            .filter(move |(_, number)| number.is_none_or(|number| !ancestors.contains(number)))
            .map(|(cid, _)| cid)
    }

    /// The ancestors of a block, back to the one of this number: whatever was made before it, and what is no higher, is not looked behind.
    fn ancestors_from(&self, younger: &Cid, oldest: u32) -> Bits {
        let (mut found, mut next) = (Bits::default(), Vec::<u32>::new());
        next.extend(self.numbers.get(&indexed(younger)));
        while let Some(number) = next.pop() {
            // A parent was made before its child, and so has a smaller number.
            let parents = self.parents[number as usize].iter().filter(|parent| **parent >= oldest);
            next.extend(parents.filter(|parent| found.insert(**parent)));
        }
        found
    }

    /// A replica has merged a block. Says whether that was new; a block that nobody made is left out.
    pub fn merged(&mut self, replica: Party, cid: &Cid) -> bool {
        let Some(number) = self.numbers.get(&indexed(cid)) else { return false };
        let known = &mut self.known[replica.index()];
        known.fresh.push(*number);
        known.add(*number, cid, self.blocks[*number as usize].dag.is_some())
    }

    /// All that a replica has merged is durable now.
    pub fn synced(&mut self, replica: Party) {
        let Known { fresh, durable, .. } = &mut self.known[replica.index()];
        fresh.drain(..).for_each(|number| {
            durable.insert(number);
        });
    }

    /// A commit was acknowledged.
    pub fn acknowledged(&mut self, replica: Party, blocks: &[Cid]) {
        self.known[replica.index()].acknowledged.extend(blocks);
    }

    /// A replica has purged these blocks by now, and given up these. What it has purged it had merged, and that is not forgotten.
    /// Says whether that is new.
    pub fn decided(&mut self, replica: Party, purged: impl IntoIterator<Item = Cid>, abandoned: BTreeSet<Cid>) -> bool {
        let known = &mut self.known[replica.index()];
        let decided = (purged.into_iter().collect(), abandoned);
        let is_new = decided != (std::mem::take(&mut known.purged), std::mem::take(&mut known.abandoned));
        (known.purged, known.abandoned) = decided;
        if is_new {
            known.purged_numbers = Bits::default();
            for number in known.purged.iter().filter_map(|cid| self.numbers.get(&indexed(cid))) {
                known.purged_numbers.insert(*number);
            }
        }
        is_new
    }

    /// Blocks that some replica has purged.
    #[must_use]
    pub fn all_purged(&self) -> BTreeSet<Cid> {
        self.known.iter().flat_map(|known| &known.purged).copied().collect()
    }

    /// A replica is back and has these blocks merged.
    pub fn reopened(&mut self, replica: Party, merged: &[Cid]) {
        let Known { acknowledged, purged, purged_numbers, abandoned, .. } =
            std::mem::take(&mut self.known[replica.index()]);
        self.known[replica.index()] = Known { acknowledged, purged, purged_numbers, abandoned, ..Known::default() };
        for cid in merged {
            self.merged(replica, cid);
        }
        self.synced(replica);
    }

    /// A replica has lost its disk.
    pub fn wiped(&mut self, replica: Party) {
        self.known[replica.index()] = Known::default();
    }

    /// Whether a replica has merged a block.
    #[must_use]
    pub fn has_merged(&self, replica: Party, cid: &Cid) -> bool {
        self.numbers.get(&indexed(cid)).is_some_and(|number| self.known[replica.index()].merged.contains(*number))
    }

    /// Whether a replica has merged a block and has not purged it.
    #[must_use]
    pub fn has_bytes(&self, replica: Party, cid: &Cid) -> bool {
        self.has_merged(replica, cid) && !self.known[replica.index()].purged.contains(cid)
    }

    /// Whether a replica has given up a block.
    #[must_use]
    pub fn has_abandoned(&self, replica: Party, cid: &Cid) -> bool {
        self.known[replica.index()].abandoned.contains(cid)
    }

    /// Whether a replica has merged a block since its last sync: a crash may take it back.
    #[must_use]
    pub fn is_fresh(&self, replica: Party, cid: &Cid) -> bool {
        self.numbers.get(&indexed(cid)).is_some_and(|number| self.known[replica.index()].fresh.contains(number))
    }

    /// All that a replica has merged.
    pub fn all_merged(&self, replica: Party) -> impl Iterator<Item = &Record> {
        self.known[replica.index()].merged.iter().map(|number| &self.blocks[number as usize])
    }

    /// All that a replica had merged at its last sync.
    pub fn all_durable(&self, replica: Party) -> impl Iterator<Item = &Record> {
        self.known[replica.index()].durable.iter().map(|number| &self.blocks[number as usize])
    }

    /// The blocks of all commits that a replica acknowledged.
    pub fn all_acknowledged(&self, replica: Party) -> impl Iterator<Item = &Cid> {
        self.known[replica.index()].acknowledged.iter()
    }

    /// How many of the blocks that a replica has merged are void.
    #[must_use]
    pub fn void(&self, replica: Party) -> u64 {
        self.all_merged(replica).filter(|block| block.dag.is_none()).count() as u64
    }

    /// Whether all of these have merged the same good blocks: what one replica has purged, others need not have; what nobody has
    /// purged, all must have. Void blocks are left out: one may be merged for the sake of a good block whose body was dropped for
    /// want of room, and which nobody serves any more. It is asked after each change, and so looks at 64 blocks at a time.
    #[must_use]
    pub fn agree(&self, replicas: impl IntoIterator<Item = Party>) -> bool {
        let mut purged = Bits::default();
        self.known.iter().for_each(|known| purged.extend(&known.purged_numbers));
        let mut merged = replicas.into_iter().map(|replica| &self.known[replica.index()].merged);
        let Some(first) = merged.next() else { return true };
        merged.all(|other| first.equals(other, &self.good, &purged))
    }

    /// How many good blocks a replica has merged, and a mark that is equal for equal sets of them. Void blocks are left out: one may be merged for the sake of a
    /// good block whose body was dropped for want of room, and which nobody serves any more.
    #[must_use]
    pub fn extent(&self, replica: Party) -> (u64, u128) {
        let known = &self.known[replica.index()];
        (known.count, known.mark)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use anabranch_core::{Key, wire::Delta};

    /// A good block with these parents that puts one key.
    pub(crate) fn block(links: &[Cid], key: &str, value: &str, priority: u64) -> (Cid, Bytes) {
        let element = wire::Element { key: Key::new(key), value: Bytes::copy_from_slice(value.as_bytes()) };
        let bytes = wire::Block::encode(links, &Delta { elements: vec![element], priority, ..Delta::default() });
        (Cid::of(&bytes), bytes)
    }

    #[test]
    fn equal_sets_have_equal_extents() {
        let mut ledger = Ledger::new(2);
        let blocks: Vec<_> = (0..100).map(|number| block(&[], "k", &number.to_string(), 1)).collect();
        blocks.iter().for_each(|(cid, bytes)| ledger.author(Party(0), *cid, bytes.clone()));
        blocks.iter().for_each(|(cid, _)| assert!(ledger.merged(Party(0), cid)));
        blocks.iter().rev().for_each(|(cid, _)| assert!(ledger.merged(Party(1), cid)));
        assert_eq!(ledger.extent(Party(0)), ledger.extent(Party(1)));
        assert!(!ledger.merged(Party(1), &blocks[3].0), "not new");
        assert_eq!(ledger.extent(Party(0)), ledger.extent(Party(1)));
        let (stranger, _) = block(&[], "other", "", 1);
        assert!(!ledger.merged(Party(0), &stranger), "nobody made it");
        assert_eq!(ledger.all_merged(Party(0)).count(), 100);
    }

    #[test]
    fn replicas_agree_that_have_merged_the_same_good_blocks_or_purged_them() {
        let mut ledger = Ledger::new(3);
        let blocks: Vec<_> = (0..100).map(|number| block(&[], "k", &number.to_string(), 1)).collect();
        blocks.iter().for_each(|(cid, bytes)| ledger.author(Party(0), *cid, bytes.clone()));
        let void = Bytes::from_static(b"no block");
        ledger.author(Party(1), Cid::of(&void), void.clone());
        let all = || [Party(0), Party(1), Party(2)];
        assert!(ledger.agree(all()), "nobody has merged anything");
        for replica in [Party(0), Party(1)] {
            blocks.iter().for_each(|(cid, _)| assert!(ledger.merged(replica, cid)));
        }
        blocks[..99].iter().for_each(|(cid, _)| assert!(ledger.merged(Party(2), cid)));
        ledger.merged(Party(1), &Cid::of(&void));
        assert!(ledger.agree([Party(0), Party(1)]), "void blocks do not count");
        assert!(!ledger.agree(all()) && !ledger.agree([Party(2), Party(0)]), "the third lacks a block");
        let purged = |at: usize| [blocks[at].0];
        assert!(ledger.decided(Party(1), purged(98), BTreeSet::new()));
        assert!(!ledger.agree(all()), "it does not lack the one that is purged");
        assert!(ledger.decided(Party(1), purged(99), BTreeSet::new()));
        assert!(ledger.agree(all()), "what one has purged, others need not have");
        assert!(ledger.has_bytes(Party(0), &blocks[99].0) && !ledger.has_bytes(Party(1), &blocks[99].0));
        ledger.reopened(Party(1), &blocks.iter().map(|(cid, _)| *cid).collect::<Vec<_>>());
        assert!(ledger.agree(all()), "a crash does not take back what is decided");
        ledger.wiped(Party(1));
        assert!(!ledger.agree([Party(0), Party(1)]), "a new disk has nothing");
    }

    #[test]
    fn ancestors_are_those_that_a_walk_along_the_links_meets() {
        let mut ledger = Ledger::new(1);
        let mut chain = Vec::new();
        for number in 0..200_usize {
            // Two parents, near and far, so that there are blocks on either side that are not met.
            let links: Vec<Cid> =
                [number / 2, number.saturating_sub(3)].iter().filter_map(|at| chain.get(*at).copied()).collect();
            let (cid, bytes) = block(&links, "k", &number.to_string(), 1);
            ledger.author(Party(0), cid, bytes);
            chain.push(cid);
        }
        let walked = |younger: &Cid| {
            let (mut met, mut next) = (BTreeSet::new(), vec![*younger]);
            while let Some(cid) = next.pop() {
                next.extend(ledger.block(&cid).unwrap().links.iter().filter(|link| met.insert(**link)));
            }
            met
        };
        let all: BTreeSet<Cid> = chain.iter().copied().collect();
        for younger in chain.iter().step_by(7) {
            let met = walked(younger);
            assert!(chain.iter().all(|older| ledger.is_ancestor(older, younger) == met.contains(older)));
            assert_eq!(ledger.not_ancestors(&all, younger).copied().collect::<BTreeSet<_>>(), &all - &met);
        }
        let stranger = Cid::of(b"nobody made it");
        assert!(!ledger.is_ancestor(&stranger, &chain[9]) && !ledger.is_ancestor(&chain[9], &stranger));
    }

    #[test]
    fn what_was_not_synced_may_be_gone_after_a_crash() {
        let mut ledger = Ledger::new(1);
        let blocks: Vec<_> = (0..3).map(|number| block(&[], "k", &number.to_string(), 1)).collect();
        blocks.iter().for_each(|(cid, bytes)| ledger.author(Party(0), *cid, bytes.clone()));
        ledger.merged(Party(0), &blocks[0].0);
        ledger.synced(Party(0));
        ledger.merged(Party(0), &blocks[1].0);
        assert!(ledger.is_fresh(Party(0), &blocks[1].0) && !ledger.is_fresh(Party(0), &blocks[0].0));
        assert_eq!(ledger.all_durable(Party(0)).count(), 1);
        ledger.reopened(Party(0), &[blocks[0].0]);
        assert_eq!(ledger.extent(Party(0)).0, 1);
        assert!(!ledger.has_merged(Party(0), &blocks[1].0));
    }
}
