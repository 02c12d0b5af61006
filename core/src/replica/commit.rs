//! Local writes: a batch becomes one block or several, in one commit.

use super::step::Step;
use crate::{
    Batch, Bytes, Cid, Codec, Effect, Error, Key, Mark, Refusal, Token, Validator, Verdict, Write,
    dag::{
        heads::{self, Tip},
        node::Node,
        pending,
    },
    limits::{
        BLOCK_BYTES_WRITTEN_MAX, BROADCAST_BYTES_MAX, DAG_NAME_BYTES_MAX, DELTA_BYTES_MAX, KEY_BYTES_MAX,
        LINKS_WRITTEN_MAX, PRIORITY_DECLARED_END,
    },
    set::{self, Removal},
    store::{Store, Table},
    wire::{self, Block, Delta, Element, Tombstone},
};
use alloc::{collections::BTreeSet, vec::Vec};

/// A delta to be written, and the ranks of its tombstones' targets.
#[derive(Default)]
struct Part {
    delta: Delta,
    removals: Vec<Removal>,
    bytes: usize,
}

/// A block to be merged, and what it was made of.
struct Made {
    cid: Cid,
    bytes: Bytes,
    links: Vec<Cid>,
    part: Part,
}

impl<S: Store, V: Validator> Step<'_, S, V> {
    /// Writes a batch. Everything that can be refused is refused before anything is changed.
    /// `behind` is how many obligations it should have seen and has not.
    pub(super) fn commit(&mut self, token: Token, batch: Batch, behind: u64) -> Result<(), Error> {
        let made = match self.plan(batch)? {
            Ok(made) => made,
            Err(why) => {
                self.out.push(Effect::Refused { token, why });
                return Ok(());
            }
        };
        if made.len() > 1 {
            self.rows.hit(Mark::BatchSplit);
        }
        if behind > 0 {
            self.rows.hit(Mark::WrittenBehind);
        }
        let blocks = made.iter().map(|made| made.cid).collect();
        let tip = made.last().map(|made| (made.cid, made.part.delta.dag.clone()));
        for Made { cid, bytes, links, part } in made {
            if self.is_rebuilding() {
                // An abandoned block was made here again. The others are merged with all else.
                self.rows.put(Table::Blocks, cid.to_row(), bytes);
                self.keep_from_purge(&cid);
                continue;
            }
            let was_obligation = self.supersede(&cid, bytes.len() as u64)?;
            self.rows.put(Table::Blocks, cid.to_row(), bytes);
            if self.is_abandoned(&cid)? {
                self.come_back(cid, &Block { links, delta: Ok(part.delta) })?;
                continue;
            }
            self.merge_good(cid, &links, &part.delta, &part.removals)?;
            if was_obligation {
                self.release(&cid)?;
            }
        }
        self.out.push(Effect::Committed { token, blocks, behind });
        if let Some((cid, dag)) = &tip {
            let payloads = wire::encode_announcements([(*cid, dag)], BROADCAST_BYTES_MAX);
            self.out.extend(payloads.into_iter().map(Effect::Broadcast));
        }
        Ok(())
    }

    /// A peer may have made the very same block before: what was to be fetched or merged is made here
    /// now. Whether it was an obligation is returned. Its parents are heads, so it waits for none.
    fn supersede(&mut self, cid: &Cid, size: u64) -> Result<bool, Error> {
        self.fetch.done(cid);
        let since = match self.rows.node(cid)? {
            Some(Node::Wanted { depth, since } | Node::Pending { depth, body: false, since, .. }) => {
                pending::unwant(&mut self.rows, &mut self.counts, depth, cid)?;
                since
            }
            Some(Node::Pending { body: true, since, .. }) => {
                self.unready(cid, size);
                since
            }
            _ => return Ok(false),
        };
        self.met(since);
        Ok(true)
    }

    /// The blocks that a batch becomes, or why it is refused. Changes nothing.
    fn plan(&self, batch: Batch) -> Result<Result<Vec<Made>, Refusal>, Error> {
        if let Err(why) = check(&batch) {
            return Ok(Err(why));
        }
        let dag = batch.dag.clone();
        let parts = self.parts(batch)?;
        let mut tips = if parts.is_empty() { Vec::new() } else { heads::of_name(&self.rows, &dag, LINKS_WRITTEN_MAX)? };
        let mut made = Vec::with_capacity(parts.len());
        for mut part in parts {
            let height = 1 + tips.first().map_or(0, |tip| tip.height);
            part.delta.dag = dag.clone();
            part.delta.priority = priority(height, &tips);
            let links: Vec<Cid> = tips.iter().map(|tip| tip.cid).collect();
            let (cid, bytes) = self.encode(&links, &mut part.delta)?;
            if bytes.len() > BLOCK_BYTES_WRITTEN_MAX {
                // Only a part of a single write can be so large.
                let key = part.delta.elements.first().map_or_else(|| Key::new("/"), |element| element.key.clone());
                return Ok(Err(Refusal::WriteTooLarge { key, block_bytes: bytes.len() }));
            }
            if !self.is_good(&links, &part.delta) {
                return Ok(Err(Refusal::ByValidator));
            }
            tips = alloc::vec![Tip { cid, height, declared: part.delta.priority }];
            made.push(Made { cid, bytes, links, part });
        }
        Ok(Ok(made))
    }

    /// The block of a delta. After a purge of its name, it may be one that is decided: an old root, say. That one says
    /// nothing any more, so the block declares more until it is another.
    fn encode(&self, links: &[Cid], delta: &mut Delta) -> Result<(Cid, Bytes), Error> {
        loop {
            let bytes = Block::encode_with(links, delta, self.rows.codec());
            let cid = Cid::of(&bytes);
            let may_be_decided = self.counts.purged > 0 || self.task.is_some();
            if !(may_be_decided && self.rows.node(&cid)?.is_some_and(|node| node.height().is_some())) {
                return Ok((cid, bytes));
            }
            delta.priority += 1;
        }
    }

    /// Whether the validator takes a block that we make: what others would void is not made.
    fn is_good(&self, links: &[Cid], delta: &Delta) -> bool {
        if !self.validator.judges() {
            return true;
        }
        let mut links = links.to_vec();
        links.sort_unstable();
        self.validator.judge(&Block { links, delta: Ok(delta.clone()) }) == Verdict::Merge
    }

    /// Cuts a batch into deltas. Each key is written once: its last write counts, in its place.
    fn parts(&self, batch: Batch) -> Result<Vec<Part>, Error> {
        let mut seen = BTreeSet::new();
        let mut last: Vec<bool> =
            batch.writes.iter().rev().map(|write| seen.insert(write.key().bytes().clone())).collect();
        last.reverse();
        let mut parts = Parts { full: Vec::new(), open: Part::default(), codec: self.rows.codec() };
        for write in batch.writes.into_iter().zip(last).filter_map(|(write, last)| last.then_some(write)) {
            match write {
                Write::Put(key, value) => parts.put(key, value),
                Write::Delete(key) => {
                    for removal in set::targets(&self.rows, &key)? {
                        parts.remove(&key, removal);
                    }
                }
            }
        }
        Ok(parts.finish())
    }
}

/// Deltas being filled, each up to the limit.
struct Parts<'a> {
    full: Vec<Part>,
    open: Part,
    codec: &'a dyn Codec,
}

impl Parts<'_> {
    fn put(&mut self, key: Key, value: Bytes) {
        self.make_room(self.codec.element_bytes(&key, &value));
        self.open.delta.elements.push(Element { key, value });
    }

    fn remove(&mut self, key: &Key, removal: Removal) {
        self.make_room(self.codec.tombstone_bytes(key));
        self.open.delta.tombstones.push(Tombstone { key: key.clone(), target: removal.target });
        self.open.removals.push(removal);
    }

    fn make_room(&mut self, bytes: usize) {
        if self.open.bytes > 0 && self.open.bytes + bytes > DELTA_BYTES_MAX {
            self.full.push(core::mem::take(&mut self.open));
        }
        self.open.bytes += bytes;
    }

    fn finish(mut self) -> Vec<Part> {
        if self.open.bytes > 0 {
            self.full.push(self.open);
        }
        self.full
    }
}

/// What a new block declares: its height, or more where a parent declares more, so that Go peers
/// rank it over its parents; but never 2^62 or more, so that they can outbid it.
fn priority(height: u64, parents: &[Tip]) -> u64 {
    let over_parents = parents.iter().filter_map(|tip| tip.declared.checked_add(1));
    over_parents.filter(|declared| *declared < PRIORITY_DECLARED_END).fold(height, u64::max)
}

pub(super) fn check(batch: &Batch) -> Result<(), Refusal> {
    let name_bytes = batch.dag.as_str().len();
    if name_bytes > DAG_NAME_BYTES_MAX {
        return Err(Refusal::DagNameTooLong { bytes: name_bytes });
    }
    for key in batch.writes.iter().map(Write::key) {
        if key.as_bytes().len() > KEY_BYTES_MAX {
            return Err(Refusal::KeyTooLong { key: key.clone() });
        }
        if core::str::from_utf8(key.as_bytes()).is_err() {
            return Err(Refusal::KeyNotUtf8 { key: key.clone() });
        }
    }
    Ok(())
}
