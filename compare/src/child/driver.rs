//! A driver of a few lines: steps a replica, keeps back what must wait for a sync, answers fetches at once.

use super::Failure;
use anabranch_core::{Batch, Bytes, Cid, Config, Effect, Input, Peer, Progress, Replica, Token, store::Store};
use std::collections::VecDeque;

/// After how many steps of a long fetch the reader syncs, if anything waits for that: blocks that wait for their parents promise nothing.
const STEPS_PER_SYNC: u64 = 1_000;
/// After how many bytes of blocks of a long fetch the reader syncs.
const BYTES_PER_SYNC: usize = 8 << 20;

/// A replica, and what it wants from its driver.
pub(super) struct Driver<S> {
    pub(super) replica: Replica<S>,
    out: Vec<Effect>,
    /// Effects that wait for the next sync.
    held: Vec<Effect>,
    fetches: VecDeque<(Cid, u32)>,
}

impl<S: Store> Driver<S> {
    pub(super) fn open(store: S) -> Result<Self, Failure> {
        let mut out = Vec::new();
        let replica = Replica::open(store, Config::default(), &mut out)?;
        let mut driver = Self { replica, out, held: Vec::new(), fetches: VecDeque::new() };
        driver.sort()?;
        Ok(driver)
    }

    pub(super) fn step(&mut self, input: Input) -> Result<(), Failure> {
        let mut progress = self.replica.step(input, &mut self.out)?;
        while progress == Progress::More {
            progress = self.replica.step(Input::Continue, &mut self.out)?;
        }
        self.sort()
    }

    /// Effects that wait are held, fetches are queued; timers never run out, for every fetch is answered.
    fn sort(&mut self) -> Result<(), Failure> {
        for effect in self.out.drain(..) {
            match effect {
                Effect::Fetch { cid, attempt, .. } => self.fetches.push_back((cid, attempt)),
                Effect::Refused { why, .. } => return Err(format!("a commit was refused: {why}").into()),
                effect if effect.waits_for_sync() => self.held.push(effect),
                _ => {}
            }
        }
        Ok(())
    }

    /// Commits a batch; [`sync`](Self::sync) makes it durable.
    pub(super) fn commit(&mut self, token: u64, batch: Batch) -> Result<(), Failure> {
        self.step(Input::Commit { token: Token(token), batch })
    }

    /// Makes all so far durable, and gives the effects that waited for it.
    pub(super) fn sync(&mut self) -> Result<Vec<Effect>, Failure> {
        self.replica.sync()?;
        Ok(std::mem::take(&mut self.held))
    }

    /// Hears an announcement, and fetches and merges, durably, all that it leads to.
    pub(super) fn hear(
        &mut self,
        payload: Bytes,
        mut fetch: impl FnMut(&Cid) -> Result<Option<Bytes>, Failure>,
    ) -> Result<(), Failure> {
        const FROM: Peer = Peer(1);
        self.step(Input::Broadcast { from: FROM, payload })?;
        let (mut steps, mut unsynced) = (0, 0);
        while let Some((cid, attempt)) = self.fetches.pop_front() {
            let bytes = fetch(&cid)?.ok_or_else(|| format!("the writer lacks block {cid}, which it announced"))?;
            (steps, unsynced) = (steps + 1, unsynced + bytes.len());
            self.step(Input::Block { from: FROM, cid, bytes, attempt })?;
            if (steps >= STEPS_PER_SYNC && !self.held.is_empty()) || unsynced >= BYTES_PER_SYNC {
                (steps, unsynced) = (0, 0);
                self.sync()?;
            }
        }
        self.sync().map(drop)
    }
}

/// The payload of the last announcement among these effects.
pub(super) fn announcement(effects: &[Effect]) -> Option<Bytes> {
    effects.iter().rev().find_map(|effect| match effect {
        Effect::Broadcast(payload) => Some(payload.clone()),
        _ => None,
    })
}
