//! Making all derived rows anew from the blocks.
//!
//! What a replica cannot derive is the bytes of its blocks, what is decided without bytes (stubs), and which blocks it
//! owes without having their bytes. All else is removed, row by row without looking at values, so that damaged rows go too; then each block is
//! taken in again, in the order of their digests, as if it had just come. Bytes that do not hash to their digest are removed, and
//! the block is owed. Nothing is read from the tables, nothing written, and nothing heard from peers, until all is merged.
//!
//! ```text
//! Derive  'o' | digest   a block that is owed or was void: to be had whatever else needs it
//! Derive  'w' | digest   a void block that nothing good is yet known to need
//! Derive  'q' | digest   such a block that is needed now
//! ```

use super::{Phase, ROW_BYTES, Running, TaskKind, TaskStatus, purge::cid_of};
use crate::{
    Bytes, Cid, Effect, Error, Input, Mark, Outcome, Refusal, Timer, Token, Validator,
    dag::{
        counts::Counts,
        node::{self, Node},
        pending,
        stubs::{self, Stub},
    },
    gossip,
    replica::Step,
    store::{Store, Table},
    wire::Block,
};
use alloc::{boxed::Box, vec::Vec};

const OWED: u8 = b'o';
const UNNEEDED: u8 = b'w';
const NEEDED: u8 = b'q';

/// The tables whose rows are derived, in the order in which they are cleared: notes about nodes go to the first.
const DERIVED: [Table; 11] = [
    Table::Derive,
    Table::Nodes,
    Table::Heads,
    Table::Keys,
    Table::Versions,
    Table::Early,
    Table::Waiting,
    Table::Wants,
    Table::Ready,
    Table::Bodies,
    Table::Log,
];

fn row_key(tag: u8, cid: &Cid) -> Vec<u8> {
    let mut row = Vec::with_capacity(33);
    row.push(tag);
    row.extend_from_slice(cid.digest());
    row
}

impl<S: Store, V: Validator> Step<'_, S, V> {
    /// Whether a rebuild runs.
    pub(crate) fn is_rebuilding(&self) -> bool {
        self.task.as_ref().is_some_and(Running::is_rebuild)
    }

    /// Begins a rebuild that an operator asked for.
    pub(crate) fn rebuild(&mut self, token: Token) {
        if !self.refuses(token) {
            self.begin_rebuild(Some(token));
        }
    }

    /// Begins a rebuild; a task that runs is begun anew after it. What is volatile is forgotten, but for timers that are set.
    pub(crate) fn begin_rebuild(&mut self, token: Option<Token>) {
        if self.task.is_some() {
            self.rows.hit(Mark::TaskInterrupted);
        }
        let (next, token, next_token) = match self.task.take() {
            None => (None, token, None),
            Some(Running { task, token: waits, next_token }) => match task.status {
                TaskStatus { kind: TaskKind::Rebuild(next), .. } => (next, token.or(waits), next_token),
                // All that is left of it is what it has gathered.
                TaskStatus { kind: TaskKind::Purge(_), phase: Phase::Sweep, blocks, keys, .. } => {
                    self.out.push(Effect::Finished { token: waits, outcome: Outcome::Purged { blocks, keys } });
                    (None, token, None)
                }
                TaskStatus { kind, .. } => (Some(Box::new(kind)), token, waits),
            },
        };
        let running = Running::new(TaskKind::Rebuild(next), Phase::Clear, token);
        *self.task = Some(Running { next_token, ..running });
        self.refuse_waiting(&Refusal::Rebuilding);
        self.counts = Counts::default();
        self.ready.clear();
        self.fetch.forget_all();
        self.gossip.forget_all();
    }

    /// What an input does while a rebuild runs.
    pub(crate) fn while_rebuilding(&mut self, input: Input) -> Result<(), Error> {
        match input {
            Input::Commit { token, .. } | Input::Import { token, .. } | Input::Abandon { token, .. } => {
                self.out.push(Effect::Refused { token, why: Refusal::Rebuilding });
            }
            Input::Purge { token, .. } | Input::Verify { token } | Input::Rebuild { token } => {
                self.refuses(token);
            }
            // What peers say is said again.
            Input::Broadcast { .. } | Input::Block { .. } | Input::FetchFailed { .. } => {
                self.rows.hit(Mark::UnheardInRebuild);
            }
            Input::Timer(Timer::Rebroadcast) => gossip::set_round(self.config, self.out),
            Input::Timer(Timer::Answer) => self.gossip.answered(),
            // No commit waits: all were refused when it began.
            Input::Timer(Timer::Wait) => {}
            Input::Timer(Timer::Fetch) => self.fetch.tick(self.config, self.out),
            Input::Continue => {
                self.merge_ready()?;
                self.go_on()?;
                // What that has freed, before it costs a row.
                self.merge_ready()?;
            }
        }
        Ok(())
    }

    pub(super) fn rebuild_part(&mut self, phase: Phase) -> Result<(), Error> {
        match phase {
            Phase::Clear => {
                if self.clear()? {
                    self.next_phase(Phase::Stubs);
                }
            }
            Phase::Stubs => {
                if self.walk(Table::Stubs, &[], Self::restore_stub)? {
                    self.next_phase(Phase::Admit);
                }
            }
            Phase::Admit => {
                let is_done = self.admit_needed()? && self.walk(Table::Blocks, &[], Self::readmit_row)?;
                if is_done && self.needed(1)?.is_empty() {
                    self.next_phase(Phase::Owe);
                }
            }
            Phase::Owe => {
                if self.walk(Table::Derive, &[OWED], Self::owe_row)? && self.admit_needed()? {
                    self.next_phase(Phase::Leave);
                }
            }
            Phase::Leave => {
                if self.walk(Table::Derive, &[UNNEEDED], Self::leave_row)? && self.has_merged_all() {
                    self.next_phase(Phase::Sweep);
                }
            }
            _ => {
                if self.sweep()? {
                    self.rebuilt()?;
                }
            }
        }
        Ok(())
    }

    /// Removes rows of the derived tables. Whether all are gone is returned. The cursor begins with the table's place in their order.
    fn clear(&mut self) -> Result<bool, Error> {
        let mut spent = 0;
        loop {
            let cursor = self.task.as_ref().and_then(|running| running.task.cursor.clone());
            let (at, mut from) = match cursor.as_deref().and_then(<[u8]>::split_first) {
                Some((at, key)) => (*at, key.to_vec()),
                None => (0, Vec::new()),
            };
            let Some(table) = DERIVED.get(usize::from(at)).copied() else { return Ok(true) };
            if !from.is_empty() {
                from.push(0);
            }
            let page = self.page();
            let keys = self.rows.scan_keys(table, &[], &from, page)?;
            let is_last = keys.len() < page;
            let mut done = Vec::from([at]);
            for key in keys {
                spent += ROW_BYTES;
                if table == Table::Nodes {
                    self.note_node(&key)?;
                }
                // What is owed was noted by a rebuild that was cut short by damage, or by a block that came back.
                if table != Table::Derive || !(key.first() == Some(&OWED) || self.keeps_for_later(&key)) {
                    self.rows.remove(table, key.clone());
                }
                done.truncate(1);
                done.extend_from_slice(&key);
            }
            if is_last {
                done = Vec::from([at + 1]);
            }
            if let Some(running) = self.task {
                running.task.cursor = Some(done.into());
            }
            if spent >= self.config.step_bytes_max {
                return Ok(false);
            }
        }
    }

    /// Keeps of a node's row what cannot be derived from blocks.
    fn note_node(&mut self, key: &Bytes) -> Result<(), Error> {
        let Ok(cid) = cid_of(key) else { return Ok(()) };
        let row = self.rows.get_or_damage(Table::Nodes, key)?.ok().flatten();
        let node = row.and_then(|row| node::decode_row(&cid, &row).ok());
        if node.as_ref().is_some_and(|node| !node.is_merged()) && self.is_for_purge() {
            // It was not merged when the purge began that goes on after this.
            super::purge::keep(&mut self.rows, &cid);
        }
        let stub = match node {
            Some(Node::Purged { height, dag }) => Some(Stub::Purged { height, dag }),
            Some(Node::Abandoned | Node::Pending { abandoned: true, .. }) => Some(Stub::Abandoned),
            Some(Node::Good { .. } | Node::Pending { body: true, .. }) if self.has_body(&cid)? => None,
            // What is known of the others is that they matter. Of a row that cannot be read, its block says what it was.
            None if self.has_body(&cid)? || !self.rows.scan_keys(Table::Stubs, key, key, 1)?.is_empty() => None,
            _ => {
                self.rows.put(Table::Derive, row_key(OWED, &cid), Bytes::new());
                None
            }
        };
        let Some(stub) = stub else { return Ok(()) };
        let held = self.rows.get_or_damage(Table::Stubs, key)?.ok().flatten();
        if held.is_none_or(|row| stubs::decode_row(key, &row).is_err()) {
            stubs::put(&mut self.rows, &cid, &stub);
        }
        Ok(())
    }

    /// Whether there is a row for the block's bytes, whatever is in it.
    fn has_body(&self, cid: &Cid) -> Result<bool, Error> {
        Ok(!self.rows.scan_keys(Table::Blocks, cid.digest(), cid.digest(), 1)?.is_empty())
    }

    fn restore_stub(&mut self, key: &Bytes) -> Result<u64, Error> {
        let row = self.rows.get_or_damage(Table::Stubs, key)?.ok().flatten();
        let stub = row.and_then(|row| stubs::decode_row(key, &row).ok());
        if stub.is_some() {
            self.rows.hit(Mark::StubRestored);
        }
        match stub {
            Some((cid, Stub::Purged { height, dag })) => {
                self.counts.purged += 1;
                self.counts.height_max = self.counts.height_max.max(height);
                self.rows.put_node(&cid, &Node::Purged { height, dag });
            }
            Some((cid, Stub::Abandoned)) => {
                self.counts.abandoned += 1;
                self.rows.put_node(&cid, &Node::Abandoned);
            }
            None => self.rows.remove(Table::Stubs, key.clone()),
        }
        Ok(0)
    }

    // ---- taking blocks in

    fn readmit_row(&mut self, key: &Bytes) -> Result<u64, Error> {
        let Ok(cid) = cid_of(key) else {
            self.rows.remove(Table::Blocks, key.clone());
            return Ok(0);
        };
        let bytes = self.rows.get_or_damage(Table::Blocks, key)?.ok().flatten();
        let Some(bytes) = bytes.filter(|bytes| Cid::of(bytes) == cid) else {
            self.rows.remove(Table::Blocks, key.clone());
            self.rows.put(Table::Derive, row_key(OWED, &cid), Bytes::new());
            self.tally(|status| status.faults += 1);
            return Ok(0);
        };
        let block = self.read(&bytes);
        self.readmit(cid, &bytes, &block)?;
        Ok(bytes.len() as u64)
    }

    /// Takes a block in whose bytes are in the store.
    fn readmit(&mut self, cid: Cid, bytes: &Bytes, block: &Block) -> Result<(), Error> {
        let (depth, since, abandoned) = match self.rows.node(&cid)? {
            Some(Node::Wanted { depth, since }) => {
                pending::unwant(&mut self.rows, &mut self.counts, depth, &cid)?;
                (depth, since, false)
            }
            Some(Node::Abandoned) => (0, self.owed(), true),
            Some(Node::Purged { .. }) => {
                self.rows.remove(Table::Blocks, cid.to_row());
                return Ok(());
            }
            Some(_) => return Ok(()),
            None if block.delta.is_err() && self.rows.get(Table::Derive, &row_key(OWED, &cid))?.is_none() => {
                self.rows.put(Table::Derive, row_key(UNNEEDED, &cid), Bytes::new());
                return Ok(());
            }
            None => (0, self.owed(), false),
        };
        let mut missing = Vec::new();
        for link in &block.links {
            match self.rows.node(link)? {
                Some(node) if node.is_decided() => continue,
                Some(_) => {}
                None => self.owe_again(link, depth.saturating_add(1))?,
            }
            missing.push(*link);
        }
        if missing.is_empty() {
            return self.merge(cid, block, since);
        }
        let (size, missing) = (bytes.len() as u64, pending::wait(&mut self.rows, &cid, &missing));
        self.rows.put_node(&cid, &Node::Pending { depth, size, body: true, missing, since, abandoned });
        pending::has_body(&mut self.rows, &mut self.counts, depth, &cid, size);
        Ok(())
    }

    /// Owes a block. If it is a void one that was passed over, its turn comes.
    fn owe_again(&mut self, cid: &Cid, depth: u32) -> Result<(), Error> {
        self.owe(cid, depth);
        let passed_over = row_key(UNNEEDED, cid);
        if self.rows.get(Table::Derive, &passed_over)?.is_some() {
            self.rows.hit(Mark::VoidNeeded);
            self.rows.remove(Table::Derive, passed_over);
            self.rows.put(Table::Derive, row_key(NEEDED, cid), Bytes::new());
        }
        Ok(())
    }

    fn needed(&self, limit: usize) -> Result<Vec<Bytes>, Error> {
        Ok(self.rows.scan_keys(Table::Derive, &[NEEDED], &[], limit)?)
    }

    /// Takes in void blocks that were passed over and are needed. Whether none is left is returned.
    fn admit_needed(&mut self) -> Result<bool, Error> {
        let mut spent = 0;
        loop {
            let rows = self.needed(self.page())?;
            if rows.is_empty() || spent > self.config.step_bytes_max {
                return Ok(rows.is_empty());
            }
            for row in rows {
                let cid = cid_of(&row.slice(1..))?;
                self.rows.remove(Table::Derive, row);
                let bytes = self.rows.body(&cid)?;
                let block = self.read(&bytes);
                spent += ROW_BYTES + bytes.len() as u64;
                self.readmit(cid, &bytes, &block)?;
            }
        }
    }

    fn owe_row(&mut self, row: &Bytes) -> Result<u64, Error> {
        let cid = cid_of(&row.slice(1..))?;
        if self.rows.node(&cid)?.is_none() {
            self.rows.hit(Mark::OwedAgain);
            self.owe_again(&cid, 0)?;
        }
        Ok(0)
    }

    /// A void block that nothing needs is not kept.
    fn leave_row(&mut self, row: &Bytes) -> Result<u64, Error> {
        self.rows.hit(Mark::VoidUnneeded);
        self.rows.remove(Table::Blocks, row.slice(1..));
        Ok(0)
    }

    /// Whether a purge goes on after the rebuild.
    fn is_for_purge(&self) -> bool {
        let kind = self.task.as_ref().map(|running| &running.task.status.kind);
        matches!(kind, Some(TaskKind::Rebuild(Some(next))) if matches!(**next, TaskKind::Purge(_)))
    }

    /// Whether a row that was gathered is for a purge that goes on after the rebuild.
    pub(super) fn keeps_for_later(&self, row: &[u8]) -> bool {
        self.is_for_purge() && super::purge::is_kept_row(row)
    }

    fn has_merged_all(&self) -> bool {
        self.counts.ready == 0 && self.ready.is_empty()
    }

    fn rebuilt(&mut self) -> Result<(), Error> {
        let next = self.task.as_ref().and_then(|running| match &running.task.status.kind {
            TaskKind::Rebuild(next) => Some((next.as_deref()?.clone(), running.next_token)),
            _ => None,
        });
        let (blocks, owed) = (self.counts.merged, self.counts.obligations);
        self.finish(|TaskStatus { faults, .. }| Outcome::Rebuilt { blocks, damaged: *faults, owed })?;
        self.announce_all(|_, _| true)?;
        match next {
            Some((TaskKind::Purge(dag), token)) => self.begin_purge(token, dag),
            Some((TaskKind::Verify, token)) => {
                self.begin_verify(token);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
