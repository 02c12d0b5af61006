//! Purging a DAG: its blocks merged by then become stubs, and every key that they name is derived anew.
//!
//! Three walks, each of which may be cut off anywhere and goes on where it was: *mark* makes the stubs and notes keys; *gather* reads
//! what remains for these keys; *settle* derives one key after the other. Until a key is settled it shows what it showed before.
//!
//! ```text
//! Derive  'n' | digest   a block of the name that was merged since the purge began, and stays
//! ```

use super::{Phase, Running, TaskKind, TaskStatus, derive};
use crate::{
    Bytes, Cid, DagName, Effect, Error, Outcome, Refusal, Token, Validator,
    dag::{
        heads,
        node::Node,
        stubs::{self, Stub},
    },
    limits::DAG_NAME_BYTES_MAX,
    replica::Step,
    store::{Read, Store, Table, Txn},
    wire::Delta,
};
use alloc::{format, vec::Vec};

const KEPT: u8 = b'n';

fn kept_key(cid: &Cid) -> Vec<u8> {
    let mut row = Vec::with_capacity(33);
    row.push(KEPT);
    row.extend_from_slice(cid.digest());
    row
}

/// Notes that a block of the name was merged after the purge had begun.
pub(super) fn keep<S: Read>(rows: &mut Txn<'_, S>, cid: &Cid) {
    rows.put(Table::Derive, kept_key(cid), Bytes::new());
}

/// Whether a row of the table is such a note.
pub(super) fn is_kept_row(row: &[u8]) -> bool {
    row.first() == Some(&KEPT)
}

fn is_kept<S: Read>(rows: &Txn<'_, S>, cid: &Cid) -> Result<bool, Error> {
    Ok(rows.get(Table::Derive, &kept_key(cid))?.is_some())
}

impl<S: Store, V: Validator> Step<'_, S, V> {
    /// Begins to purge a DAG. From here on it has no heads.
    pub(crate) fn purge(&mut self, token: Token, dag: DagName) -> Result<(), Error> {
        let bytes = dag.as_str().len();
        if bytes > DAG_NAME_BYTES_MAX {
            self.out.push(Effect::Refused { token, why: Refusal::DagNameTooLong { bytes } });
            return Ok(());
        }
        if self.refuses(token) {
            return Ok(());
        }
        // The highest of its blocks are heads: without one there is nothing to purge.
        if heads::of_name(&self.rows, &dag, 1)?.is_empty() {
            let outcome = Outcome::Purged { blocks: 0, keys: 0 };
            self.out.push(Effect::Finished { token: Some(token), outcome });
            return Ok(());
        }
        self.begin_purge(Some(token), dag)
    }

    pub(super) fn begin_purge(&mut self, token: Option<Token>, dag: DagName) -> Result<(), Error> {
        for cid in heads::of_name(&self.rows, &dag, usize::MAX)?.into_iter().map(|tip| tip.cid) {
            if !is_kept(&self.rows, &cid)? {
                heads::behead(&mut self.rows, &mut self.counts, &cid)?;
                self.gossip.forget(&cid);
            }
        }
        *self.task = Some(Running::new(TaskKind::Purge(dag), Phase::Mark, token));
        // Bodies go from now on, and values change that no merged block names; when it ends, another epoch begins.
        self.log.new_epoch(b"purge begins", &self.rows)
    }

    pub(super) fn purge_part(&mut self, dag: &DagName, phase: Phase) -> Result<(), Error> {
        match phase {
            Phase::Mark => {
                if self.walk(Table::Nodes, &[], |step, key| step.mark(dag, key))? {
                    self.next_phase(Phase::Gather);
                }
            }
            Phase::Gather => {
                if self.walk(Table::Nodes, &[], Self::gather_known)? {
                    self.next_phase(Phase::Settle);
                }
            }
            Phase::Settle => {
                if self.walk(Table::Derive, &[derive::KEYS], Self::settle_key)? {
                    self.next_phase(Phase::Sweep);
                }
            }
            _ => {
                if self.sweep()? {
                    self.finish(|status| Outcome::Purged { blocks: status.blocks, keys: status.keys })?;
                }
            }
        }
        Ok(())
    }

    /// A block that is here and not merged is no matter of a purge that goes on after a rebuild.
    pub(crate) fn keep_from_purge(&mut self, cid: &Cid) {
        if self.task.is_some() {
            keep(&mut self.rows, cid);
        }
    }

    /// Whether the block is purged, or will be by the purge that runs.
    pub(crate) fn is_being_purged(&self, cid: &Cid, node: &Node) -> Result<bool, Error> {
        match node {
            Node::Purged { .. } => Ok(true),
            Node::Good { dag, .. } => self.is_doomed(cid, dag),
            _ => Ok(false),
        }
    }

    /// Whether a purge that runs, or that a rebuild has interrupted, will make a stub of this good block of that DAG. Such a block
    /// covers no other any more.
    pub(crate) fn is_doomed(&self, cid: &Cid, dag: &DagName) -> Result<bool, Error> {
        let purged = self.task.as_ref().and_then(|running| match &running.task.status {
            TaskStatus { kind: TaskKind::Purge(purged), phase: Phase::Mark, .. } => Some(purged),
            TaskStatus { kind: TaskKind::Rebuild(Some(next)), .. } => match &**next {
                TaskKind::Purge(purged) => Some(purged),
                _ => None,
            },
            _ => None,
        });
        Ok(purged == Some(dag) && !is_kept(&self.rows, cid)?)
    }

    /// Makes a stub of a block of the name.
    fn mark(&mut self, dag: &DagName, key: &Bytes) -> Result<u64, Error> {
        let cid = cid_of(key)?;
        let Some(Node::Good { height, declared, dag: of }) = self.rows.node(&cid)? else { return Ok(0) };
        if of != *dag || is_kept(&self.rows, &cid)? {
            return Ok(0);
        }
        let (delta, bytes) = self.good_delta(&cid)?;
        derive::question_all(&mut self.rows, &delta)?;
        self.rows.remove(Table::Blocks, cid.to_row());
        stubs::put(&mut self.rows, &cid, &Stub::Purged { height, dag: of.clone() });
        self.rows.put_node(&cid, &Node::Purged { height, dag: of });
        self.counts.merged -= 1;
        self.counts.misdeclared -= u64::from(declared != height);
        self.counts.purged += 1;
        self.tally(|status| status.blocks += 1);
        Ok(bytes)
    }

    fn gather_known(&mut self, key: &Bytes) -> Result<u64, Error> {
        let cid = cid_of(key)?;
        let Some(Node::Good { height, declared, .. }) = self.rows.node(&cid)? else { return Ok(0) };
        let (delta, bytes) = self.good_delta(&cid)?;
        derive::gather(&mut self.rows, &cid, declared.min(height), &delta, derive::Gather::Known)?;
        Ok(bytes)
    }

    fn settle_key(&mut self, row_key: &Bytes) -> Result<u64, Error> {
        let Some(row) = self.rows.get(Table::Derive, row_key)? else { return Ok(0) };
        let (_, key) = derive::decode_key(&row)?;
        let derived = derive::derive(&self.rows, &key)?;
        derived.write(&mut self.rows, &mut self.counts, &key)?;
        derive::forget(&mut self.rows, &key, false)?;
        self.tally(|status| status.keys += 1);
        Ok(derived.bytes)
    }

    /// The delta of a merged good block, and the length of its bytes.
    pub(super) fn good_delta(&mut self, cid: &Cid) -> Result<(Delta, u64), Error> {
        let bytes = self.rows.body(cid)?;
        match self.read(&bytes).delta {
            Ok(delta) => Ok((delta, bytes.len() as u64)),
            Err(flaw) => Err(Error::Corrupt(format!("block {cid} was merged as good, and is void: {flaw}"))),
        }
    }
}

/// The block of a row whose key is a digest.
pub(super) fn cid_of(key: &[u8]) -> Result<Cid, Error> {
    let digest = key.try_into();
    digest.map(Cid::from_digest).map_err(|_| Error::Corrupt(format!("a row's key of {} bytes is no digest", key.len())))
}
