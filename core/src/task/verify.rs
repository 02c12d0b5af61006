//! Verifying a store: every merged block, and every row that is derived from them, by another path than merging.
//!
//! Blocks are read in the order of their digests, and what they say of each key is gathered as after a purge; a key derived from
//! that must have the very rows that merging has made. Blocks that merge meanwhile are gathered as they merge. What is
//! found is told, and nothing is mended: [`Input::Rebuild`](crate::Input::Rebuild) does that.
//!
//! ```text
//! Derive  'h' | digest | DAG name   a block to which a good block of that name links, directly or through void ones
//! ```

use super::{Phase, Running, TaskKind, derive, purge::cid_of};
use crate::{
    Bytes, Cid, DagName, Effect, Error, Event, Key, Outcome, Token, Validator,
    dag::{
        heads,
        node::{self, Node},
        stubs::{self, Stub},
    },
    replica::{Step, height_over},
    store::{Read, Store, Table, Txn},
    wire::{Block, Delta},
};
use alloc::vec::Vec;
use core::fmt;

const COVERED: u8 = b'h';
/// Faults that are told one by one; more are only counted.
const TOLD_MAX: u64 = 100;

/// What is wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// The bytes of a merged block are missing, damaged, or not its own.
    Bytes {
        /// The block.
        cid: Cid,
    },
    /// What is kept of a block is not what its bytes or its stub say.
    Node {
        /// The block.
        cid: Cid,
    },
    /// A merged block has a parent that is neither merged nor purged nor abandoned.
    Parent {
        /// The block.
        cid: Cid,
        /// Its parent.
        parent: Cid,
    },
    /// A merged block is not as high as its parents make it.
    Height {
        /// The block.
        cid: Cid,
        /// The height that is kept.
        found: u64,
        /// The height over its parents.
        wanted: u64,
    },
    /// A block is a head and should not be, or the other way round.
    Head {
        /// The block.
        cid: Cid,
        /// Whether it is a head.
        is_head: bool,
    },
    /// A key does not have the value, the versions or the waiting tombstones that the blocks give it.
    Key {
        /// The key.
        key: Key,
    },
    /// A row cannot be read, or belongs to nothing.
    Row {
        /// Its table.
        table: Table,
        /// Its key.
        key: Bytes,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { cid } => write!(f, "the bytes of merged block {cid} are missing or not its own"),
            Self::Node { cid } => write!(f, "what is kept of block {cid} is not what its bytes say"),
            Self::Parent { cid, parent } => write!(f, "block {cid} is merged, and its parent {parent} is not"),
            Self::Height { cid, found, wanted } => {
                write!(f, "block {cid} is kept at height {found}, and its parents make it {wanted}")
            }
            Self::Head { cid, is_head: true } => write!(f, "block {cid} is kept as a head, and should not be one"),
            Self::Head { cid, is_head: false } => write!(f, "block {cid} should be a head, and is not kept as one"),
            Self::Key { key } => write!(f, "what is kept of key {key} is not what the blocks say"),
            Self::Row { table, key } => {
                write!(f, "a row of table {table:?} cannot be read or belongs to nothing; its key is {key:?}")
            }
        }
    }
}

fn covered_key(cid: &Cid, dag: &DagName) -> Vec<u8> {
    let mut row = Vec::with_capacity(33 + dag.as_str().len());
    row.push(COVERED);
    row.extend_from_slice(cid.digest());
    row.extend_from_slice(dag.as_str().as_bytes());
    row
}

/// Notes which blocks a merged good block covers.
pub(super) fn cover<S: Read>(rows: &mut Txn<'_, S>, dag: &DagName, parents: &[(Cid, Node)]) -> Result<(), Error> {
    for (parent, node) in parents {
        for (cid, _) in heads::reach(rows, parent, node)? {
            rows.put(Table::Derive, covered_key(&cid, dag), Bytes::new());
        }
    }
    Ok(())
}

impl<S: Store, V: Validator> Step<'_, S, V> {
    /// Begins to verify the store.
    pub(crate) fn verify(&mut self, token: Token) {
        if !self.refuses(token) {
            self.begin_verify(Some(token));
        }
    }

    pub(super) fn begin_verify(&mut self, token: Option<Token>) {
        *self.task = Some(Running::new(TaskKind::Verify, Phase::Gather, token));
    }

    pub(super) fn verify_part(&mut self, phase: Phase) -> Result<(), Error> {
        let (is_done, next) = match phase {
            Phase::Gather => (self.walk(Table::Nodes, &[], Self::verify_block)?, Phase::Heads),
            Phase::Heads => (self.walk(Table::Nodes, &[], Self::verify_head)?, Phase::HeadRows),
            Phase::HeadRows => (self.walk(Table::Heads, &[], Self::verify_head_row)?, Phase::StubRows),
            Phase::StubRows => (self.walk(Table::Stubs, &[], Self::verify_stub_row)?, Phase::EarlyRows),
            Phase::EarlyRows => (self.walk(Table::Early, &[], Self::verify_early_row)?, Phase::Keys),
            Phase::Keys => (self.walk(Table::Derive, &[derive::KEYS], Self::verify_key)?, Phase::KeyRows),
            Phase::KeyRows => (self.walk(Table::Keys, &[], Self::verify_key_row)?, Phase::VersionRows),
            Phase::VersionRows => (self.walk(Table::Versions, &[], Self::verify_version_row)?, Phase::Sweep),
            _ => {
                if self.sweep()? {
                    self.finish(|status| Outcome::Verified {
                        blocks: status.blocks,
                        keys: status.keys,
                        faults: status.faults,
                    })?;
                }
                return Ok(());
            }
        };
        if is_done {
            self.next_phase(next);
        }
        Ok(())
    }

    fn damage(&mut self, damage: Damage) {
        let mut found = 0;
        self.tally(|status| {
            status.faults += 1;
            found = status.faults;
        });
        if found <= TOLD_MAX {
            self.out.push(Effect::Notify(Event::Damage(damage)));
        }
    }

    /// A row, or a fault told.
    fn row_or_damage(&mut self, table: Table, key: &Bytes) -> Result<Option<Bytes>, Error> {
        let row = self.rows.get_or_damage(table, key)?;
        if row.is_err() {
            self.damage(Damage::Row { table, key: key.clone() });
        }
        Ok(row.ok().flatten())
    }

    /// What is kept of a block, where that can be read.
    fn readable_node(&self, key: &[u8]) -> Result<Option<(Cid, Node)>, Error> {
        let row = self.rows.get_or_damage(Table::Nodes, key)?.ok().flatten();
        let node = |row: Bytes| cid_of(key).and_then(|cid| Ok((cid, node::decode_row(&cid, &row)?)));
        Ok(row.and_then(|row| node(row).ok()))
    }

    // ---- blocks

    fn verify_block(&mut self, key: &Bytes) -> Result<u64, Error> {
        let Some(row) = self.row_or_damage(Table::Nodes, key)? else { return Ok(0) };
        let node = cid_of(key).and_then(|cid| Ok((cid, node::decode_row(&cid, &row)?)));
        let Ok((cid, node)) = node else {
            self.damage(Damage::Row { table: Table::Nodes, key: key.clone() });
            return Ok(0);
        };
        let stub = match &node {
            Node::Good { .. } | Node::Void { .. } => return self.verify_merged(cid, &node),
            Node::Purged { height, dag } => Some(Stub::Purged { height: *height, dag: dag.clone() }),
            node if node.is_abandoned() => Some(Stub::Abandoned),
            _ => None,
        };
        let held = self.rows.get_or_damage(Table::Stubs, key)?.ok().flatten();
        let held = held.and_then(|row| stubs::decode_row(key, &row).ok()).map(|(_, stub)| stub);
        if stub.is_some() && held != stub {
            self.damage(Damage::Node { cid });
        }
        Ok(0)
    }

    fn verify_merged(&mut self, cid: Cid, node: &Node) -> Result<u64, Error> {
        self.tally(|status| status.blocks += 1);
        let bytes = self.rows.get_or_damage(Table::Blocks, cid.digest())?.ok().flatten();
        let Some(bytes) = bytes.filter(|bytes| Cid::of(bytes) == cid) else {
            self.damage(Damage::Bytes { cid });
            return Ok(0);
        };
        let block = self.read(&bytes);
        let found = match (node, &block.delta) {
            (Node::Good { height, declared, dag }, Ok(delta)) if (*declared, dag) == (delta.priority, &delta.dag) => {
                *height
            }
            (Node::Void { height, .. }, Err(_)) => *height,
            _ => {
                self.damage(Damage::Node { cid });
                return Ok(bytes.len() as u64);
            }
        };
        // What is wrong with a parent's row is told when its turn comes.
        match self.verify_parents(cid, &block, found) {
            Err(Error::Corrupt(_)) => self.damage(Damage::Node { cid }),
            done => done?,
        }
        Ok(bytes.len() as u64)
    }

    fn verify_parents(&mut self, cid: Cid, block: &Block, found: u64) -> Result<(), Error> {
        let mut parents = Vec::with_capacity(block.links.len());
        for link in &block.links {
            match self.rows.node(link)? {
                Some(node) if node.is_decided() => parents.push((*link, node)),
                _ => self.damage(Damage::Parent { cid, parent: *link }),
            }
        }
        let declared = block.delta.as_ref().map_or(0, |delta| delta.priority);
        let wanted = height_over(&parents, declared);
        if wanted != found && parents.len() == block.links.len() {
            self.damage(Damage::Height { cid, found, wanted });
        }
        match &block.delta {
            Ok(delta) => self.gather_all(&cid, found, delta, &parents),
            Err(_) => Ok(()),
        }
    }

    fn gather_all(&mut self, cid: &Cid, height: u64, delta: &Delta, parents: &[(Cid, Node)]) -> Result<(), Error> {
        derive::gather(&mut self.rows, cid, delta.priority.min(height), delta, derive::Gather::All)?;
        cover(&mut self.rows, &delta.dag, parents)
    }

    // ---- heads and stubs

    fn verify_head(&mut self, key: &Bytes) -> Result<u64, Error> {
        // What cannot be read was told.
        let Some((cid, node)) = self.readable_node(key)? else { return Ok(0) };
        let Node::Good { dag, .. } = &node else { return Ok(0) };
        let is_covered = self.rows.get(Table::Derive, &covered_key(&cid, dag))?.is_some();
        match heads::is_head(&self.rows, &cid, &node) {
            Ok(is_head) if is_head == is_covered => self.damage(Damage::Head { cid, is_head }),
            Err(Error::Corrupt(_)) => self.damage(Damage::Head { cid, is_head: false }),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
        Ok(0)
    }

    fn verify_head_row(&mut self, key: &Bytes) -> Result<u64, Error> {
        let Some(row) = self.row_or_damage(Table::Heads, key)? else { return Ok(0) };
        let is_right = match heads::decode(key, &row) {
            Ok((head, declared)) => {
                let wanted = Node::Good { height: head.height, declared, dag: head.dag };
                self.readable_node(head.cid.digest())? == Some((head.cid, wanted))
            }
            Err(_) => false,
        };
        if !is_right {
            self.damage(Damage::Row { table: Table::Heads, key: key.clone() });
        }
        Ok(0)
    }

    /// That a stub's node says the same was looked at; here, that it has one.
    fn verify_stub_row(&mut self, key: &Bytes) -> Result<u64, Error> {
        let node = self.readable_node(key)?;
        if !node.is_some_and(|(_, node)| matches!(node, Node::Purged { .. }) || node.is_abandoned()) {
            self.damage(Damage::Row { table: Table::Stubs, key: key.clone() });
        }
        Ok(0)
    }

    // ---- keys

    fn verify_early_row(&mut self, row_key: &Bytes) -> Result<u64, Error> {
        if !derive::is_waiting_tombstone(&self.rows, row_key)? {
            self.damage(Damage::Row { table: Table::Early, key: row_key.clone() });
        }
        Ok(0)
    }

    fn verify_key(&mut self, row_key: &Bytes) -> Result<u64, Error> {
        let Some(row) = self.rows.get(Table::Derive, row_key)? else { return Ok(0) };
        let (true, key) = derive::decode_key(&row)? else { return Ok(0) };
        let bytes = match derive::derive(&self.rows, &key)
            .and_then(|derived| Ok((derived.is_kept(&self.rows, &key)?, derived.bytes)))
        {
            Ok((true, bytes)) => bytes,
            Ok((false, bytes)) => {
                self.damage(Damage::Key { key: key.clone() });
                bytes
            }
            // A value that only a block holds, which cannot be read, or a row of the key's.
            Err(Error::Corrupt(_)) => {
                self.damage(Damage::Key { key: key.clone() });
                0
            }
            Err(error) => return Err(error),
        };
        derive::forget(&mut self.rows, &key, true)?;
        self.tally(|status| status.keys += 1);
        Ok(bytes)
    }

    fn verify_key_row(&mut self, row_key: &Bytes) -> Result<u64, Error> {
        let key = Key::from_bytes(row_key.clone());
        if self.rows.get(Table::Derive, &derive::of_key(derive::KEYS, &key))?.is_none() {
            self.damage(Damage::Row { table: Table::Keys, key: row_key.clone() });
        }
        Ok(0)
    }

    fn verify_version_row(&mut self, row_key: &Bytes) -> Result<u64, Error> {
        let is_known = match row_key.first_chunk() {
            Some(hash) => self.rows.get(Table::Derive, &derive::of_hash(derive::KEYS, hash))?.is_some(),
            None => false,
        };
        if !is_known {
            self.damage(Damage::Row { table: Table::Versions, key: row_key.clone() });
        }
        Ok(0)
    }
}
