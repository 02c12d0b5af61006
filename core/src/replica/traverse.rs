//! Walking down the DAG.

use crate::{
    Bytes, Cid, DagName, Error,
    dag::{
        heads,
        node::{self, Node},
    },
    store::{Read, Table},
    wire::Block,
};
use alloc::{collections::BTreeMap, vec::Vec};
use core::{cmp::Reverse, ops::ControlFlow};

/// A merged or purged block, as a walk shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Visited {
    /// The block. Its bytes are to be had with [`View::block`](crate::View::block).
    pub cid: Cid,
    /// 1 + the greatest height of its parents.
    pub height: u64,
    /// Its DAG; empty for a void block.
    pub dag: DagName,
    /// Whether it breaks a rule and so counts for nothing but ancestry.
    pub void: bool,
    /// Whether its DAG was purged: then its bytes and links are gone, and the walk goes no further down here.
    pub purged: bool,
    /// Its parents, in the order of the block.
    pub links: Vec<Cid>,
}

/// Merged blocks from some blocks down, the highest first and each once. Of equal heights the smallest CID comes first.
///
/// Memory holds the blocks that are next and no others, for heights fall along all links. A step costs two reads and those of
/// the parents' rows.
#[derive(Debug)]
pub struct Traverse<R> {
    rows: R,
    /// What is next, the highest first.
    next: BTreeMap<(Reverse<u64>, Cid), Node>,
    failed: bool,
}

impl<R: Read> Traverse<R> {
    pub(super) fn new(rows: R, from: &[Cid]) -> Result<Self, Error> {
        let mut walk = Self { rows, next: BTreeMap::new(), failed: false };
        let mut all = Ok(Vec::new());
        if from.is_empty() {
            let found = &mut all;
            walk.rows.scan(Table::Heads, &[], &[], &mut |key, row| match (&mut *found, heads::decode(key, row)) {
                (Ok(all), Ok((head, _))) => {
                    all.push(head.cid);
                    ControlFlow::Continue(())
                }
                (found, Err(error)) => {
                    *found = Err(error);
                    ControlFlow::Break(())
                }
                (Err(_), Ok(_)) => ControlFlow::Break(()),
            })?;
        }
        all?.iter().chain(from).try_for_each(|cid| walk.add(*cid))?;
        Ok(walk)
    }

    /// What is not merged is left out.
    fn add(&mut self, cid: Cid) -> Result<(), Error> {
        let Some(row) = self.rows.get(Table::Nodes, cid.digest())? else { return Ok(()) };
        let node = node::decode_row(&cid, &row)?;
        if let Some(height) = node.height() {
            self.next.insert((Reverse(height), cid), node);
        }
        Ok(())
    }

    fn visit(&mut self, cid: Cid, height: u64, node: Node) -> Result<Visited, Error> {
        let (dag, void) = match node {
            Node::Good { dag, .. } => (dag, false),
            Node::Purged { dag, .. } => {
                return Ok(Visited { cid, height, dag, void: false, purged: true, links: Vec::new() });
            }
            _ => (DagName::default(), true),
        };
        let bytes: Option<Bytes> = self.rows.get(Table::Blocks, cid.digest())?;
        let bytes = bytes.ok_or_else(|| Error::Corrupt(alloc::format!("the bytes of block {cid} are missing")))?;
        let links = Block::links(&bytes);
        links.iter().try_for_each(|link| self.add(*link))?;
        Ok(Visited { cid, height, dag, void, purged: false, links })
    }
}

impl<R: Read> Iterator for Traverse<R> {
    type Item = Result<Visited, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let ((Reverse(height), cid), node) = self.next.pop_first().filter(|_| !self.failed)?;
        let visited = self.visit(cid, height, node);
        self.failed = visited.is_err();
        Some(visited)
    }
}
