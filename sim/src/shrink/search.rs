//! Trying candidates: in order, several at a time, the first that fails in the same way is taken.

use super::{
    Journal, Watcher,
    candidates::{self, Items},
    journal::Past,
    used,
};
use crate::{
    run::{Maker, attempt_system},
    scenario::Scenario,
    signature::Signature,
};

pub(super) struct Search<'a> {
    pub(super) best: Scenario,
    /// Candidates that were tried, in this sitting or an earlier one.
    pub(super) runs: u64,
    /// What became of them.
    pub(super) journal: Journal,
    /// What is known from an earlier sitting, and not used yet.
    past: Past,
    /// Whether the past was of this scenario and this program.
    belief: Belief,
    make: &'a dyn Maker,
    signature: &'a Signature,
    jobs: usize,
    watcher: &'a mut dyn Watcher,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Belief {
    /// What the past led to has not been run.
    Untested,
    True,
    /// What the past led to does not fail in the same way.
    Wrong,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        make: &'a dyn Maker,
        best: Scenario,
        signature: &'a Signature,
        jobs: usize,
        past: Journal,
        watcher: &'a mut dyn Watcher,
    ) -> Self {
        let belief = if past.is_empty() { Belief::True } else { Belief::Untested };
        let (journal, past) = (Journal::default(), Past::new(past));
        Self { best, runs: 0, journal, past, belief, make, signature, jobs: jobs.max(1), watcher }
    }

    /// Whether to stop here. What is known is gone through first: it takes no time, and would be lost.
    pub(super) fn is_stopped(&self) -> bool {
        self.belief == Belief::Wrong || self.past.is_over() && self.watcher.is_stopped()
    }

    /// Whether what is known from an earlier sitting leads to the same failure; asked when all of it is used.
    pub(super) fn past_was_right(&mut self) -> bool {
        if self.belief == Belief::Untested {
            self.belief = if self.fails_as_it_stands() { Belief::True } else { Belief::Wrong };
        }
        self.belief == Belief::True
    }

    pub(super) fn phase(&mut self, what: &'static str) {
        self.watcher.phase(what);
    }

    pub(super) fn fails_as_it_stands(&self) -> bool {
        Signature::of(&attempt_system(self.make, &self.best, 0), &self.best) == *self.signature
    }

    /// Drops from the lists what the run does not ask for: no candidate of its own, since nothing changes.
    pub(super) fn forget_unused(&mut self) {
        self.best = used(self.make, &self.best);
    }

    /// The first of these that fails in the same way becomes the best one; says which it was.
    fn first_of(&mut self, mut candidates: Vec<Scenario>) -> Option<usize> {
        let (known, taken) = self.past.next(candidates.len());
        let mut first = taken.then_some(known);
        if !taken && known < candidates.len() {
            if !self.past_was_right() {
                return None;
            }
            first = self.run(&candidates[known..]).map(|first| known + first);
        }
        // Those behind the first are not counted: with fewer threads they would not have been tried.
        let not_taken = first.unwrap_or(candidates.len());
        let runs = not_taken as u64 + u64::from(first.is_some());
        self.runs += runs;
        self.journal.push(not_taken, first.is_some());
        if let Some(first) = first {
            self.best = candidates.swap_remove(first);
        }
        if self.past.is_over() {
            self.watcher.tried(runs, &self.best, &self.journal);
        }
        first
    }

    /// Runs candidates, each on a thread of its own; the first that fails in the same way.
    fn run(&self, candidates: &[Scenario]) -> Option<usize> {
        let (make, signature) = (self.make, self.signature);
        let fails = |scenario: &Scenario| Signature::of(&attempt_system(make, scenario, 0), scenario) == *signature;
        if let [one] = candidates {
            return fails(one).then_some(0);
        }
        let fails = &fails;
        let results: Vec<bool> = std::thread::scope(|scope| {
            let threads: Vec<_> = candidates.iter().map(|one| scope.spawn(move || fails(one))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(false)).collect()
        });
        results.iter().position(|fails| *fails)
    }

    /// Tries changes of one kind, one after another, each on what the last one left.
    pub(super) fn try_each(&mut self, make: impl Fn(&Scenario, usize) -> candidates::Change) {
        let mut number = 0;
        while !self.is_stopped() {
            match make(&self.best, number) {
                candidates::Change::None => return,
                candidates::Change::Impossible => number += 1,
                candidates::Change::To(scenario) => {
                    // What is taken makes room: the next change has the same number.
                    if self.first_of(vec![*scenario]).is_none() {
                        number += 1;
                    }
                }
            }
        }
    }

    /// Takes out as many of these items as can go: large pieces first, then smaller ones, down to single items.
    pub(super) fn minimise(&mut self, items: Items) {
        let mut size = items.count(&self.best);
        while size > 0 && !self.is_stopped() {
            let mut at = 0;
            let mut took = false;
            while at < items.count(&self.best) && !self.is_stopped() {
                let count = items.count(&self.best);
                let pieces = (0..self.jobs).map(|piece| at + piece * size).filter(|from| *from < count);
                let candidates: Vec<_> =
                    pieces.map(|from| items.without(&self.best, from..(from + size).min(count))).collect();
                let tried = candidates.len();
                match self.first_of(candidates) {
                    Some(first) => {
                        at += first * size;
                        took = true;
                    }
                    None => at += tried * size,
                }
            }
            // Single items are tried until none can go; larger pieces once.
            if size > 1 || !took {
                size /= 2;
            }
        }
    }
}
