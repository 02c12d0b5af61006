//! Merging blocks whose parents are all merged.

use super::step::Step;
use crate::{
    Bytes, Cid, DagName, Effect, Error, Event, Mark, Validator,
    dag::{
        heads,
        node::Node,
        pending::{self, Freed, Want},
    },
    limits::PRIORITY_DECLARED_END,
    set::{self, Removal},
    store::{Store, Table},
    wire::{Block, Delta},
};
use alloc::{format, vec::Vec};

/// Ready blocks that are looked up at a time.
const READY_PAGE: usize = 256;

impl<S: Store, V: Validator> Step<'_, S, V> {
    /// Merges what is ready, up to the step's limit: what this step has freed, then what earlier ones left.
    pub(crate) fn merge_ready(&mut self) -> Result<(), Error> {
        let (mut merged_bytes, mut page) = (0, Vec::new().into_iter());
        while merged_bytes < self.config.step_bytes_max.max(1) {
            let (cid, since) = match self.ready.pop_front() {
                Some(ready) => ready,
                None if self.counts.ready == 0 => break,
                None => {
                    // Taken many at a time: a scan passes over all rows that this step has removed.
                    if page.len() == 0 {
                        page = pending::next_ready(&self.rows, READY_PAGE)?.into_iter();
                    }
                    let Some((cid, since)) = page.next() else {
                        let what = format!("{} blocks are counted as ready, and none is listed", self.counts.ready);
                        return Err(Error::Corrupt(what));
                    };
                    self.rows.hit(Mark::ReadyResumed);
                    pending::unready(&mut self.rows, &mut self.counts, &cid);
                    (cid, since)
                }
            };
            let bytes = self.rows.body(&cid)?;
            merged_bytes += bytes.len() as u64;
            self.counts.pending_bytes -= bytes.len() as u64;
            let block = self.read(&bytes);
            self.merge(cid, &block, since)?;
        }
        Ok(())
    }

    /// Merges an obligation that has just come and whose parents are all merged.
    pub(super) fn merge_new(&mut self, cid: Cid, bytes: &Bytes, block: &Block, since: u32) -> Result<(), Error> {
        self.rows.put(Table::Blocks, cid.to_row(), bytes.clone());
        self.merge(cid, block, since)
    }

    /// Merges an obligation whose parents are all merged and whose bytes are here.
    pub(crate) fn merge(&mut self, cid: Cid, block: &Block, since: u32) -> Result<(), Error> {
        self.met(since);
        if self.is_abandoned(&cid)? {
            return self.come_back(cid, block);
        }
        match &block.delta {
            Ok(delta) => self.merge_good(cid, &block.links, delta, &[])?,
            Err(_) => self.merge_void(cid, &block.links)?,
        }
        self.release(&cid)
    }

    /// A block is merged: the children that waited for nothing else come next.
    pub(crate) fn release(&mut self, cid: &Cid) -> Result<(), Error> {
        for child in pending::release(&mut self.rows, cid)? {
            self.free(child)?;
        }
        Ok(())
    }

    /// Merges a good block: its links, its delta, and its headship. `ranks` are those of the
    /// tombstones' targets, in their order, where the caller knows them.
    pub(crate) fn merge_good(
        &mut self,
        cid: Cid,
        links: &[Cid],
        delta: &Delta,
        ranks: &[Removal],
    ) -> Result<(), Error> {
        let parents = self.parents(links)?;
        let height = height_over(&parents, delta.priority);
        self.note_abandoned(&cid, &parents);
        let mut gone = Vec::new();
        let covers = !(self.is_rebuilding() && self.is_doomed(&cid, &delta.dag)?);
        for (parent, node) in parents.iter().filter(|_| covers) {
            heads::cover(&mut self.rows, &mut self.counts, &delta.dag, parent, node, &mut gone)?;
        }
        gone.iter().for_each(|cid| self.gossip.forget(cid));
        heads::add(&mut self.rows, &mut self.counts, &cid, &delta.dag, height, delta.priority);
        set::apply(&mut self.rows, &mut self.counts, &cid, height, delta, ranks)?;
        self.rows.put_node(&cid, &Node::Good { height, declared: delta.priority, dag: delta.dag.clone() });
        self.gather_merged(&cid, height, delta, &parents)?;
        if !self.is_rebuilding() {
            self.log.append(&cid, &mut self.rows);
        }
        self.counts.misdeclared += u64::from(delta.priority != height);
        if delta.priority != height {
            self.rows.hit(if delta.priority > height { Mark::Overstated } else { Mark::Understated });
        }
        self.merged(cid, height, delta.dag.clone(), false);
        Ok(())
    }

    /// Merges a void block: it stands for ancestry and passes headship through, and no more.
    fn merge_void(&mut self, cid: Cid, links: &[Cid]) -> Result<(), Error> {
        self.rows.hit(Mark::VoidMerged);
        let parents = self.parents(links)?;
        let height = height_over(&parents, 0);
        self.note_abandoned(&cid, &parents);
        let (heads, through) = heads::under(&self.rows, &parents)?;
        set::forget_early(&mut self.rows, &mut self.counts, &cid)?;
        self.rows.put_node(&cid, &Node::Void { height, heads, through });
        self.counts.void += 1;
        self.merged(cid, height, DagName::default(), true);
        Ok(())
    }

    fn merged(&mut self, cid: Cid, height: u64, dag: DagName, void: bool) {
        self.counts.merged += 1;
        self.counts.height_max = self.counts.height_max.max(height);
        // A rebuild merges anew, and seldom for the first time: which it was cannot be told of a damaged store. `Rebuilt` tells of all.
        if !self.is_rebuilding() {
            self.out.push(Effect::Notify(Event::Merged { cid, height, dag, void }));
        }
    }

    /// Notes which parents a block is merged without.
    fn note_abandoned(&mut self, cid: &Cid, parents: &[(Cid, Node)]) {
        for (parent, _) in parents.iter().filter(|(_, node)| node.is_abandoned()) {
            pending::merged_without(&mut self.rows, parent, cid);
        }
    }

    pub(crate) fn parents(&self, links: &[Cid]) -> Result<Vec<(Cid, Node)>, Error> {
        let parent = |link: &Cid| match self.rows.node(link)? {
            Some(node) if node.is_decided() => Ok((*link, node)),
            _ => Err(Error::Corrupt(format!("block {link} is a parent of a block to be merged, and is not merged"))),
        };
        links.iter().map(parent).collect()
    }

    /// A pending block waits for nothing any more: it is ready, or its body is fetched for that.
    fn free(&mut self, Freed { cid, depth, size, body, since }: Freed) -> Result<(), Error> {
        if body {
            pending::not_to_be_dropped(&mut self.rows, depth, &cid);
            self.ready.push_back((cid, since));
        } else {
            pending::unwant(&mut self.rows, &mut self.counts, depth, &cid)?;
            pending::want(&mut self.rows, &mut self.counts, Want::Now, depth, &cid, size);
            self.rows.hit(Mark::BodyForMerge);
            let peers = self.fetch.suppliers().clone();
            self.fetch.obligation(cid, &peers);
        }
        Ok(())
    }

    /// A block that may be merged is not to be, for it was made here.
    pub(super) fn unready(&mut self, cid: &Cid, size: u64) {
        match self.ready.iter().position(|(ready, _)| ready == cid) {
            Some(at) => drop(self.ready.remove(at)),
            None => pending::unready(&mut self.rows, &mut self.counts, cid),
        }
        self.counts.pending_bytes -= size;
    }
}

/// 1 + the greatest height of the parents; 1 for a root (DESIGN: height is a fact of the DAG). Where a parent is abandoned,
/// and so its height unknown, what the block declares is believed, if it is more and no nonsense.
pub(crate) fn height_over(parents: &[(Cid, Node)], declared: u64) -> u64 {
    let known = 1 + parents.iter().filter_map(|(_, node)| node.height()).max().unwrap_or(0);
    let is_believed = declared < PRIORITY_DECLARED_END && parents.iter().any(|(_, node)| node.is_abandoned());
    if is_believed { known.max(declared) } else { known }
}
