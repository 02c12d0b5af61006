//! Giving up a block that nobody serves, and taking that back when it turns up.

use crate::{
    Cid, Effect, Error, Mark, Outcome, Refusal, Token, Validator,
    dag::{
        heads,
        node::Node,
        pending,
        stubs::{self, Stub},
    },
    replica::{Step, height_over},
    store::{Store, Table},
    wire::{Block, Delta},
};

impl<S: Store, V: Validator> Step<'_, S, V> {
    /// An operator gives up a block whose bytes are not here: its children are merged without it.
    pub(crate) fn abandon(&mut self, token: Token, cid: Cid) -> Result<(), Error> {
        let (depth, since) = match self.rows.node(&cid)? {
            Some(Node::Wanted { depth, since }) => (depth, since),
            Some(Node::Pending { depth, body: false, missing, abandoned: false, since, .. }) => {
                pending::stop_waiting(&mut self.rows, &cid, missing)?;
                (depth, since)
            }
            _ => {
                self.out.push(Effect::Refused { token, why: Refusal::NotMissing { cid } });
                return Ok(());
            }
        };
        pending::unwant(&mut self.rows, &mut self.counts, depth, &cid)?;
        self.fetch.done(&cid);
        self.met(since);
        self.counts.abandoned += 1;
        stubs::put(&mut self.rows, &cid, &Stub::Abandoned);
        self.rows.put_node(&cid, &Node::Abandoned);
        self.release(&cid)?;
        self.out.push(Effect::Finished { token: Some(token), outcome: Outcome::Abandoned { cid } });
        self.merge_ready()
    }

    /// Whether the block was given up, whether or not it has turned up since.
    pub(crate) fn is_abandoned(&self, cid: &Cid) -> Result<bool, Error> {
        Ok(self.counts.abandoned > 0 && self.rows.node(cid)?.is_some_and(|node| node.is_abandoned()))
    }

    /// An abandoned block has turned up, its bytes are in the store, and its parents are decided. It is merged in its place if
    /// its children keep their heights: then no rank changes, tombstones for it have waited, and of the heads only those change that
    /// it covers itself. Otherwise all is merged anew.
    pub(crate) fn come_back(&mut self, cid: Cid, block: &Block) -> Result<(), Error> {
        self.rows.remove(Table::Stubs, cid.to_row());
        self.counts.abandoned -= 1;
        let children = pending::take_merged_without(&mut self.rows, &cid)?;
        match &block.delta {
            Ok(delta) if self.keeps_heights(&cid, block, delta, &children)? => {
                self.rows.hit(Mark::BackInPlace);
                self.merge_good(cid, &block.links, delta, &[])?;
                for child in &children {
                    let covers = matches!(self.rows.node(child)?, Some(Node::Good { dag, .. }) if dag == delta.dag);
                    if covers && !self.is_doomed(child, &delta.dag)? {
                        heads::behead(&mut self.rows, &mut self.counts, &cid)?;
                    }
                }
                Ok(())
            }
            _ => {
                self.rows.hit(Mark::BackByRebuild);
                // Until then it is as it will be: a block that waits for nothing but its turn.
                self.rows.remove(Table::Nodes, cid.to_row());
                self.keep_from_purge(&cid);
                self.begin_rebuild(None);
                Ok(())
            }
        }
    }

    /// Whether all children of a block that comes back are good (or purged) and as high as they would be over it.
    fn keeps_heights(&mut self, cid: &Cid, block: &Block, delta: &Delta, children: &[Cid]) -> Result<bool, Error> {
        let height_here = height_over(&self.parents(&block.links)?, delta.priority);
        for child in children {
            let (height, declared) = match self.rows.node(child)? {
                Some(Node::Good { height, declared, .. }) => (height, declared),
                // Its height is a base fact.
                Some(Node::Purged { .. }) => continue,
                _ => return Ok(false),
            };
            let body = self.rows.body(child)?;
            let mut parents = self.parents(&self.read(&body).links)?;
            for (parent, node) in &mut parents {
                if parent == cid {
                    *node = Node::Good { height: height_here, declared: delta.priority, dag: delta.dag.clone() };
                }
            }
            if height_over(&parents, declared) != height {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
