//! Commits that wait until the replica has caught up.
//!
//! A commit waits for the obligations that were known when it came. Each obligation bears the number of the
//! generation in which it became known, and the generation moves on when a commit that waits has something
//! new to wait for; so one count a generation tells, at each merge, who has nothing left to wait for. What
//! turns out to lie below an obligation needs no mark: the obligation is not merged before it.

use super::step::Step;
use crate::{
    Batch, Config, Effect, Error, Refusal, Timer, Token, Validator, WhenBehind, Write, dag::counts::Counts,
    store::Store,
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::time::Duration;

/// Into how many ticks of its timer the longest wait is cut.
const TICKS: u8 = 8;
/// What a write is counted for beside its key and value.
const WRITE_BYTES: u64 = 64;

/// A commit that waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    token: Token,
    batch: Batch,
    bytes: u64,
    /// It waits for the obligations of this generation and of those before.
    generation: u32,
    /// Ticks that it has seen; the first came sooner than a whole tick after it, so that no commit waits longer than it may.
    age: u8,
}

/// All commits that wait, and what they wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Waits {
    /// Oldest first. One that came later knows of no less, so they go in their order.
    queue: VecDeque<Waiting>,
    bytes: u64,
    /// While commits wait: obligations that are not merged, by generation, none of them 0. Those that were known when the first of
    /// them came count for one generation, whatever their rows say.
    known: BTreeMap<u32, u64>,
    ticking: bool,
}

impl Waits {
    /// A new obligation is known.
    pub(super) fn owed(&mut self, since: u32) {
        if !self.queue.is_empty() {
            *self.known.entry(since).or_default() += 1;
        }
    }

    /// An obligation of this generation is merged.
    pub(super) fn met(&mut self, since: u32) {
        let Some((&generation, count)) = self.known.range_mut(since..).next() else { return };
        *count -= 1;
        if *count == 0 {
            self.known.remove(&generation);
        }
    }

    /// Whether the first commit need not wait any longer.
    pub(super) fn is_due(&self) -> bool {
        let caught_up = |first: &Waiting| self.known.keys().next().is_none_or(|oldest| *oldest > first.generation);
        self.queue.front().is_some_and(|first| first.age >= TICKS || caught_up(first))
    }

    fn take_due(&mut self) -> Option<(Waiting, u64)> {
        if !self.is_due() {
            return None;
        }
        let first = self.queue.pop_front()?;
        let behind = self.known.range(..=first.generation).map(|(_, count)| count).sum();
        self.bytes -= first.bytes;
        if self.queue.is_empty() {
            self.known.clear();
        }
        Some((first, behind))
    }

    fn set_timer(&mut self, limit: Duration, out: &mut Vec<Effect>) {
        if !self.ticking && !self.queue.is_empty() {
            self.ticking = true;
            let tick = limit / u32::from(TICKS);
            out.push(Effect::SetTimer { timer: Timer::Wait, after: tick..=tick });
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, config: &Config, out: &mut Vec<Effect>) {
        self.ticking = false;
        self.queue.iter_mut().for_each(|waiting| waiting.age = (waiting.age + 1).min(TICKS));
        // Those that are due go at the end of this step, or of the next.
        if let WhenBehind::Wait(limit) = config.when_behind
            && self.queue.iter().any(|waiting| waiting.age < TICKS)
        {
            self.set_timer(limit, out);
        }
    }

    fn push(&mut self, token: Token, batch: Batch, bytes: u64, counts: &mut Counts) {
        if self.queue.is_empty() {
            self.known = BTreeMap::from([(counts.generation, counts.obligations)]);
        }
        // There are obligations, or it would not wait.
        let generation = self.known.keys().next_back().copied().unwrap_or(counts.generation);
        if generation == counts.generation {
            counts.generation = counts.generation.saturating_add(1);
        }
        self.bytes += bytes;
        self.queue.push_back(Waiting { token, batch, bytes, generation, age: 0 });
    }
}

impl<S: Store, V: Validator> Step<'_, S, V> {
    /// A commit came: it is made, or waits, or is refused.
    pub(super) fn commit_or_wait(&mut self, token: Token, batch: Batch) -> Result<(), Error> {
        let obligations = self.counts.obligations;
        if obligations == 0 || batch.writes.is_empty() {
            return self.commit(token, batch, obligations);
        }
        match self.config.when_behind {
            WhenBehind::Wait(limit) if limit > Duration::ZERO => self.wait(token, batch, limit),
            WhenBehind::Allow | WhenBehind::Wait(_) => self.commit(token, batch, obligations),
            WhenBehind::Refuse => {
                self.out.push(Effect::Refused { token, why: Refusal::Behind { obligations } });
                Ok(())
            }
        }
    }

    fn wait(&mut self, token: Token, batch: Batch, limit: Duration) -> Result<(), Error> {
        let bytes = batch.writes.iter().map(bytes_of).sum();
        let why = match super::commit::check(&batch) {
            Err(why) => why,
            Ok(()) if self.waits.bytes + bytes > self.config.waiting_bytes_max => {
                Refusal::Behind { obligations: self.counts.obligations }
            }
            Ok(()) => {
                self.waits.push(token, batch, bytes, &mut self.counts);
                self.waits.set_timer(limit, self.out);
                return Ok(());
            }
        };
        self.out.push(Effect::Refused { token, why });
        Ok(())
    }

    /// A new obligation is known. Gives the generation for its row.
    pub(crate) fn owed(&mut self) -> u32 {
        self.counts.obligations += 1;
        self.waits.owed(self.counts.generation);
        self.counts.generation
    }

    /// An obligation, known since that generation, is one no more.
    pub(crate) fn met(&mut self, since: u32) {
        self.counts.obligations -= 1;
        self.waits.met(since);
    }

    /// Makes the commits that need not wait any longer, up to the step's limit.
    pub(super) fn commit_waiting(&mut self) -> Result<(), Error> {
        let mut bytes = 0;
        while bytes < self.config.step_bytes_max.max(1)
            && let Some((waiting, behind)) = self.waits.take_due()
        {
            bytes += waiting.bytes;
            self.commit(waiting.token, waiting.batch, behind)?;
        }
        if self.counts.obligations == 0 && self.waits.queue.is_empty() {
            self.counts.generation = 0;
        }
        Ok(())
    }

    /// Refuses all commits that wait: a rebuild begins.
    pub(crate) fn refuse_waiting(&mut self, why: &Refusal) {
        let waits = core::mem::take(self.waits);
        self.waits.ticking = waits.ticking;
        let refused = waits.queue.into_iter().map(|waiting| Effect::Refused { token: waiting.token, why: why.clone() });
        self.out.extend(refused);
    }
}

fn bytes_of(write: &Write) -> u64 {
    let (key, value) = match write {
        Write::Put(key, value) => (key, value.len()),
        Write::Delete(key) => (key, 0),
    };
    WRITE_BYTES + (key.as_bytes().len() + value) as u64
}
