//! Tasks of an operator: purge, verify, rebuild. One at a time, in bounded steps, and a crash anywhere resumes it.
//!
//! A task's row, in [`Table::Meta`], says how far it is; it is committed with what each step changes. Integers little-endian:
//!
//! ```text
//! kind u8 | what comes after it u8 | phase u8 | blocks u64 | keys u64 | faults u64 | length u32 | DAG name | cursor
//! ```
//!
//! The cursor is the key of the last row that the phase has done; a byte before it says whether there is one.

mod abandon;
mod derive;
mod purge;
mod rebuild;
mod verify;

pub use verify::Damage;

use crate::{
    Cid, DagName, Effect, Error, Mark, Outcome, Refusal, Token, Validator,
    dag::node::{Node, take_u64},
    replica::Step,
    store::{Read, Store, Table, Txn},
    wire::Delta,
};
use alloc::{boxed::Box, string::String, vec::Vec};
use bytes::Bytes;
use derive::Gather;

const ROW: &[u8] = b"task";
/// What a row costs beside the bytes that are read for it, roughly.
const ROW_BYTES: u64 = 64;
/// Keys of rows that are taken at a time, at most.
const PAGE_MAX: usize = 256;

/// What a task does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Removes what is merged of one DAG.
    Purge(DagName),
    /// Checks every merged block and every row that is derived from them.
    Verify,
    /// Makes all derived rows anew from the blocks. What it interrupted, if anything, is begun anew after it.
    Rebuild(Option<Box<TaskKind>>),
}

/// What a task is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Purge: blocks become stubs, and the keys that they name are noted.
    Mark = 0,
    /// Purge and verify: the blocks that remain are read for what they say of the keys.
    Gather = 1,
    /// Purge: keys are derived anew.
    Settle = 2,
    /// All: what was gathered is removed.
    Sweep = 3,
    /// Rebuild: derived rows are removed.
    Clear = 4,
    /// Rebuild: purged and abandoned blocks are known again.
    Stubs = 5,
    /// Rebuild: blocks are taken in again and merged.
    Admit = 6,
    /// Rebuild: what is owed without its bytes is owed again.
    Owe = 7,
    /// Rebuild: void blocks that nothing needs any more are removed.
    Leave = 8,
    /// Verify: each good block is a head or is not.
    Heads = 9,
    /// Verify: the rows of heads.
    HeadRows = 10,
    /// Verify: the rows of purged and abandoned blocks.
    StubRows = 11,
    /// Verify: the rows of tombstones that wait.
    EarlyRows = 12,
    /// Verify: keys that blocks name.
    Keys = 13,
    /// Verify: keys that no block names.
    KeyRows = 14,
    /// Verify: versions of keys that no block names.
    VersionRows = 15,
}

impl Phase {
    const ALL: [Self; 16] = [
        Self::Mark,
        Self::Gather,
        Self::Settle,
        Self::Sweep,
        Self::Clear,
        Self::Stubs,
        Self::Admit,
        Self::Owe,
        Self::Leave,
        Self::Heads,
        Self::HeadRows,
        Self::StubRows,
        Self::EarlyRows,
        Self::Keys,
        Self::KeyRows,
        Self::VersionRows,
    ];
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskStatus {
    /// What it does.
    pub kind: TaskKind,
    /// What it is at.
    pub phase: Phase,
    /// Blocks purged, verified or merged anew so far.
    pub blocks: u64,
    /// Keys derived so far.
    pub keys: u64,
    /// Faults found so far.
    pub faults: u64,
}

/// A task, as its row keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Task {
    pub(crate) status: TaskStatus,
    cursor: Option<Bytes>,
}

/// A task, and who waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Running {
    pub(crate) task: Task,
    /// Whom to tell when it is done; nobody after a crash.
    token: Option<Token>,
    /// Whom to tell when what comes after it is done.
    next_token: Option<Token>,
}

impl Running {
    fn new(kind: TaskKind, phase: Phase, token: Option<Token>) -> Self {
        let status = TaskStatus { kind, phase, blocks: 0, keys: 0, faults: 0 };
        Self { task: Task { status, cursor: None }, token, next_token: None }
    }

    /// The task that a crash has left, if it has left one.
    pub(crate) fn read(rows: &impl Read) -> Result<Option<Self>, Error> {
        let Some(row) = rows.get(Table::Meta, ROW)? else { return Ok(None) };
        let damaged = || Error::Corrupt(String::from("the row of a task does not decode"));
        let task = Task::decode(&row).ok_or_else(damaged)?;
        Ok(Some(Self { task, token: None, next_token: None }))
    }

    /// Writes the row of what runs now, where it is another than before.
    pub(crate) fn write<S: Read>(before: Option<&Self>, now: Option<&Self>, rows: &mut Txn<'_, S>) {
        match now {
            Some(now) if before.is_none_or(|before| before.task != now.task) => {
                rows.put(Table::Meta, ROW, now.task.encode());
            }
            None if before.is_some() => rows.remove(Table::Meta, ROW),
            _ => {}
        }
    }

    /// Whether readers and writers must wait for it.
    pub(crate) const fn is_rebuild(&self) -> bool {
        matches!(self.task.status.kind, TaskKind::Rebuild(_))
    }
}

impl TaskKind {
    fn encode(&self, out: &mut Vec<u8>) {
        let number = |kind: &Self| match kind {
            Self::Purge(_) => 1,
            Self::Verify => 2,
            Self::Rebuild(_) => 3,
        };
        let next = match self {
            Self::Rebuild(Some(next)) => number(next),
            _ => 0,
        };
        out.extend_from_slice(&[number(self), next]);
    }

    fn decode(number: u8, next: u8, dag: &DagName) -> Option<Self> {
        Some(match (number, next) {
            (1, 0) => Self::Purge(dag.clone()),
            (2, 0) => Self::Verify,
            (3, 0) => Self::Rebuild(None),
            (3, 1 | 2) => Self::Rebuild(Some(Box::new(Self::decode(next, 0, dag)?))),
            _ => return None,
        })
    }

    fn dag(&self) -> &str {
        match self {
            Self::Purge(dag) => dag.as_str(),
            Self::Verify | Self::Rebuild(None) => "",
            Self::Rebuild(Some(next)) => next.dag(),
        }
    }
}

impl Task {
    fn encode(&self) -> Vec<u8> {
        let TaskStatus { kind, phase, blocks, keys, faults } = &self.status;
        let (mut row, dag) = (Vec::new(), kind.dag());
        kind.encode(&mut row);
        row.push(*phase as u8);
        for count in [blocks, keys, faults] {
            row.extend_from_slice(&count.to_le_bytes());
        }
        // Limited, and far below that.
        row.extend_from_slice(&(dag.len() as u32).to_le_bytes());
        row.extend_from_slice(dag.as_bytes());
        row.push(u8::from(self.cursor.is_some()));
        row.extend_from_slice(self.cursor.as_deref().unwrap_or_default());
        row
    }

    fn decode(row: &Bytes) -> Option<Self> {
        let ([kind, next, phase], rest) = row.split_first_chunk()?;
        let phase = *Phase::ALL.get(usize::from(*phase))?;
        let (blocks, rest) = take_u64(rest)?;
        let (keys, rest) = take_u64(rest)?;
        let (faults, rest) = take_u64(rest)?;
        let (len, rest) = rest.split_first_chunk()?;
        let (dag, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        let dag = DagName::new(core::str::from_utf8(dag).ok()?);
        let (has_cursor, cursor) = rest.split_first()?;
        let kind = TaskKind::decode(*kind, *next, &dag)?;
        let cursor = (*has_cursor == 1).then(|| row.slice_ref(cursor));
        Some(Self { status: TaskStatus { kind, phase, blocks, keys, faults }, cursor })
    }
}

impl<S: Store, V: Validator> Step<'_, S, V> {
    /// Whether the task that was asked for is refused, because another runs.
    fn refuses(&mut self, token: Token) -> bool {
        let is_busy = self.task.is_some();
        if is_busy {
            self.out.push(Effect::Refused { token, why: Refusal::Busy });
        }
        is_busy
    }

    /// Does a bounded part of the task, if one runs.
    pub(crate) fn go_on(&mut self) -> Result<(), Error> {
        let Some(status) = self.task.as_ref().map(|running| running.task.status.clone()) else { return Ok(()) };
        match status.kind {
            TaskKind::Purge(dag) => self.purge_part(&dag, status.phase),
            TaskKind::Verify => self.verify_part(status.phase),
            TaskKind::Rebuild(_) => self.rebuild_part(status.phase),
        }
    }

    /// A good block is merged while a task runs: what it says is gathered, too.
    pub(crate) fn gather_merged(
        &mut self,
        cid: &Cid,
        height: u64,
        delta: &Delta,
        parents: &[(Cid, Node)],
    ) -> Result<(), Error> {
        let Some(running) = &*self.task else { return Ok(()) };
        let TaskStatus { kind, phase, .. } = &running.task.status;
        let gather = match kind {
            TaskKind::Purge(dag) => {
                if *dag == delta.dag && *phase != Phase::Sweep {
                    self.rows.hit(Mark::KeptFromPurge);
                    purge::keep(&mut self.rows, cid);
                }
                matches!(phase, Phase::Gather | Phase::Settle).then_some(Gather::Known)
            }
            TaskKind::Verify => match phase {
                Phase::Sweep => None,
                Phase::Keys | Phase::KeyRows | Phase::VersionRows => Some(Gather::Seen),
                _ => {
                    verify::cover(&mut self.rows, &delta.dag, parents)?;
                    Some(Gather::All)
                }
            },
            TaskKind::Rebuild(_) => None,
        };
        match gather {
            None => Ok(()),
            Some(gather) => {
                let is_purge = gather == Gather::Known;
                self.rows.hit(if is_purge { Mark::MergedWhilePurging } else { Mark::MergedWhileVerifying });
                derive::gather(&mut self.rows, cid, delta.priority.min(height), delta, gather)
            }
        }
    }

    // ---- phases

    /// Calls `work` for the keys of a table that begin with `prefix`, from where the phase was left, until it has cost
    /// a step's worth of bytes. Whether all are done is returned.
    fn walk(
        &mut self,
        table: Table,
        prefix: &[u8],
        mut work: impl FnMut(&mut Self, &Bytes) -> Result<u64, Error>,
    ) -> Result<bool, Error> {
        let (limit, page) = (self.config.step_bytes_max.max(1), self.page());
        let mut spent = 0;
        loop {
            let Some(running) = &*self.task else { return Ok(true) };
            let mut from = running.task.cursor.as_deref().map(<[u8]>::to_vec);
            if let Some(from) = &mut from {
                from.push(0);
            }
            let keys = self.rows.scan_keys(table, prefix, &from.unwrap_or_default(), page)?;
            let is_last = keys.len() < page;
            for key in keys {
                spent += ROW_BYTES + work(self, &key)?;
                if let Some(running) = self.task {
                    running.task.cursor = Some(key);
                }
                if spent >= limit {
                    self.rows.hit(Mark::TaskCutShort);
                    return Ok(false);
                }
            }
            if is_last {
                return Ok(true);
            }
        }
    }

    /// How many rows are taken at a time.
    fn page(&self) -> usize {
        usize::try_from(self.config.step_bytes_max / ROW_BYTES).map_or(PAGE_MAX, |rows| rows.clamp(1, PAGE_MAX))
    }

    fn next_phase(&mut self, phase: Phase) {
        if let Some(running) = self.task {
            running.task.status.phase = phase;
            running.task.cursor = None;
        }
    }

    fn tally(&mut self, change: impl FnOnce(&mut TaskStatus)) {
        if let Some(running) = self.task {
            change(&mut running.task.status);
        }
    }

    /// Removes what was gathered. Whether all is gone is returned.
    fn sweep(&mut self) -> Result<bool, Error> {
        self.walk(Table::Derive, &[], |step, key| {
            if !step.keeps_for_later(key) {
                step.rows.remove(Table::Derive, key.clone());
            }
            Ok(0)
        })
    }

    /// Ends the task, and tells whoever waits for it.
    fn finish(&mut self, outcome: impl FnOnce(&TaskStatus) -> Outcome) -> Result<(), Error> {
        if let Some(Running { task, token, .. }) = self.task.take() {
            if task.status.kind != TaskKind::Verify {
                self.log.new_epoch(b"task ends", &self.rows)?;
            }
            self.out.push(Effect::Finished { token, outcome: outcome(&task.status) });
        }
        Ok(())
    }
}
