//! One step: what it reads and changes, and how it ends.

use super::{Replica, waits::Waits};
use crate::{
    Cid, Codec, Config, Effect, Error, Mark, Marks, Validator,
    dag::{
        counts::Counts,
        heads,
        pending::{self, Want},
    },
    feed::Log,
    fetch::Fetcher,
    gossip::{self, Gossip},
    limits::BROADCAST_BYTES_MAX,
    store::{Store, Table, Txn, WriteBatch},
    task::Running,
    wire,
};
use alloc::{collections::VecDeque, string::String, vec::Vec};
use bytes::Bytes;

const FORMAT_ROW: &[u8] = b"format";
/// The format of the rows that this version writes. What is new beside format 1: generations in the rows of
/// obligations and in the counts, the tables from [`Table::Log`] on. A row of format 1 reads as what it was, so
/// that an upgrade is one row.
const FORMAT: u32 = 2;
/// Obligations that are taken from the store at a time.
const LOAD_MAX: usize = 256;
/// Obligations are taken from the store when fewer than this are held in memory.
const LOAD_BELOW: usize = 512;
/// Fetches at once for bodies that were dropped.
const REFETCHES_MAX: usize = 64;

/// The state of a step.
pub(crate) struct Step<'a, S, V> {
    pub(crate) rows: Txn<'a, S>,
    pub(crate) counts: Counts,
    pub(crate) log: Log,
    /// Blocks that may be merged, known to this step alone, and since when they are obligations.
    pub(crate) ready: VecDeque<(Cid, u32)>,
    pub(crate) task: &'a mut Option<Running>,
    pub(crate) fetch: &'a mut Fetcher,
    pub(crate) gossip: &'a mut Gossip,
    pub(crate) waits: &'a mut Waits,
    pub(crate) config: &'a Config,
    pub(crate) validator: &'a V,
    pub(crate) out: &'a mut Vec<Effect>,
}

impl<'a, S: Store, V: Validator> Step<'a, S, V> {
    /// Does the work, and gives the changes to be committed and the counts after them.
    pub(super) fn run<C: Codec>(
        replica: &'a mut Replica<S, V, C>,
        out: &'a mut Vec<Effect>,
        work: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(WriteBatch, Counts, Log), Error> {
        let Replica { store, config, validator, codec, counts, task, fetch, gossip, waits, log, trail, .. } = replica;
        let (before, log_before, task_before) = (*counts, *log, task.clone());
        let mut step = Self {
            rows: Txn::new(store, codec),
            counts: before,
            log: log_before,
            ready: VecDeque::new(),
            task,
            fetch,
            gossip,
            waits,
            config,
            validator,
            out,
        };
        // Who followed changes before a rebuild has to look at all that is there after it.
        let reports = step.config.report_changes && !task_before.as_ref().is_some_and(Running::is_rebuild);
        if reports {
            step.rows.keep_before();
        }
        work(&mut step)?;
        step.commit_waiting()?;
        for (cid, since) in core::mem::take(&mut step.ready) {
            step.rows.hit(Mark::StepCutShort);
            pending::ready(&mut step.rows, &mut step.counts, &cid, since);
        }
        if !step.is_rebuilding() {
            step.fetch_more()?;
        }
        if reports {
            step.report_changes()?;
        }
        if step.counts != before {
            step.counts.write(&mut step.rows);
        }
        if step.log != log_before {
            step.log.write(&mut step.rows);
        }
        trail.0.hit_all(step.rows.marks());
        Running::write(task_before.as_ref(), step.task.as_ref(), &mut step.rows);
        Ok((step.rows.into_batch(), step.counts, step.log))
    }

    /// Announces the heads that `takes` lets through, in as few messages as fit.
    pub(crate) fn announce_all(
        &mut self,
        mut takes: impl FnMut(&mut Gossip, &crate::Head) -> bool,
    ) -> Result<(), Error> {
        let mut heads = Vec::new();
        for (key, row) in self.rows.scan(Table::Heads, &[], &[], usize::MAX)? {
            let (head, _) = heads::decode(&key, &row)?;
            if takes(self.gossip, &head) {
                heads.push(head);
            }
        }
        let heads = heads.iter().map(|head| (head.cid, &head.dag));
        self.out.extend(wire::encode_announcements(heads, BROADCAST_BYTES_MAX).into_iter().map(Effect::Broadcast));
        Ok(())
    }

    /// A round of announcing our heads, those left out that others announced since the last one.
    pub(super) fn announce_round(&mut self) -> Result<(), Error> {
        gossip::set_round(self.config, self.out);
        self.announce_all(|gossip, head| gossip.round_takes(&head.cid))
    }

    /// Announces our heads to someone who lags, unless others did.
    pub(super) fn answer(&mut self) -> Result<(), Error> {
        self.announce_all(|gossip, head| gossip.answers_with(&head.cid))?;
        self.gossip.answered();
        Ok(())
    }

    /// A tick of the fetch timer.
    pub(super) fn tick(&mut self) -> Result<(), Error> {
        self.fetch.tick(self.config, self.out);
        if self.counts.wants > self.fetch.obligations() as u64 {
            self.fetch.rotate();
        }
        Ok(())
    }

    /// Starts what may be fetched now.
    fn fetch_more(&mut self) -> Result<(), Error> {
        let held = self.fetch.obligations();
        if held < LOAD_BELOW && self.counts.wants > held as u64 {
            self.load_obligations()?;
        }
        if self.counts.dropped > 0 {
            self.refetch_dropped()?;
        }
        self.fetch.pump(self.config, self.out);
        Ok(())
    }

    /// Takes obligations that only the store knows, from where the last load ended.
    pub(super) fn load_obligations(&mut self) -> Result<(), Error> {
        if self.counts.wants == 0 {
            self.fetch.cursor = None;
            return Ok(());
        }
        let peers = self.fetch.suppliers().clone();
        let wants = pending::wants(&self.rows, Want::Now, self.fetch.cursor.as_ref(), LOAD_MAX)?;
        self.fetch.cursor = wants.get(LOAD_MAX - 1).map(|(row, ..)| row.clone());
        for (row, cid, _) in wants {
            if !self.fetch.holds(&cid) {
                pending::check_want(&self.rows, &row, &cid)?;
                self.rows.hit(Mark::ObligationsLoaded);
                self.fetch.reload(cid, &peers);
            }
        }
        Ok(())
    }

    /// Fetches dropped bodies again, deepest first, as far as there is room. A quarter is left free,
    /// so that a walk towards the roots does not drop at once what was just fetched again.
    fn refetch_dropped(&mut self) -> Result<(), Error> {
        let room = self.config.pending_bytes_max / 4 * 3;
        let (mut reserved, mut running) = self.fetch.reserved();
        if running >= REFETCHES_MAX || self.counts.pending_bytes + reserved >= room {
            return Ok(());
        }
        for (row, cid, size) in pending::wants(&self.rows, Want::WhenRoom, None, REFETCHES_MAX)? {
            if running >= REFETCHES_MAX || self.counts.pending_bytes + reserved + size > room {
                break;
            }
            if !self.fetch.holds(&cid) {
                pending::check_want(&self.rows, &row, &cid)?;
                self.rows.hit(Mark::BodyForRoom);
                self.fetch.dropped(cid, size);
                reserved += size;
                running += 1;
            }
        }
        Ok(())
    }
}

/// Marks a fresh store with our format, upgrades an older one, and refuses one that is in a format we do not know.
pub(super) fn check_format<S: Store>(store: &mut S) -> Result<Marks, Error> {
    let mut marks = Marks::default();
    if let Some(row) = store.get(Table::Meta, FORMAT_ROW)? {
        let found = row.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        match found.ok_or_else(|| Error::Corrupt(String::from("the format row does not decode")))? {
            FORMAT => return Ok(marks),
            1 => marks.hit(Mark::Upgraded),
            found => return Err(Error::UnknownFormat { found, newest_known: FORMAT }),
        }
    }
    mark_format(store)?;
    Ok(marks)
}

/// As `check_format`, where the row may be damaged: what is derived is made anew, in our format.
pub(super) fn check_format_of_damaged<S: Store>(store: &mut S) -> Result<Marks, Error> {
    match check_format(store) {
        Err(Error::Corrupt(_)) => mark_format(store).map(|()| Marks::default()),
        done => done,
    }
}

fn mark_format<S: Store>(store: &mut S) -> Result<(), Error> {
    let row = Bytes::copy_from_slice(&FORMAT.to_le_bytes());
    let rows = alloc::vec![(Table::Meta, Bytes::from_static(FORMAT_ROW), Some(row))];
    Ok(store.commit(WriteBatch { rows })?)
}
