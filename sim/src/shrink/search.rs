//! Trying candidates: in order, several at a time, the first that fails in the same way is taken.

use super::{
    Size, Watcher,
    candidates::{self, Items},
    used,
};
use crate::{run::attempt, scenario::Scenario, signature::Signature};

pub(super) struct Search<'a> {
    pub(super) best: Scenario,
    pub(super) runs: u64,
    signature: &'a Signature,
    jobs: usize,
    watcher: &'a mut dyn Watcher,
}

impl<'a> Search<'a> {
    pub(super) fn new(best: Scenario, signature: &'a Signature, jobs: usize, watcher: &'a mut dyn Watcher) -> Self {
        Self { best, runs: 0, signature, jobs: jobs.max(1), watcher }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.watcher.is_stopped()
    }

    pub(super) fn phase(&mut self, what: &'static str) {
        self.watcher.phase(what);
    }

    pub(super) fn fails_as_it_stands(&mut self) -> bool {
        self.runs += 1;
        Signature::of(&attempt(&self.best, 0), &self.best) == *self.signature
    }

    /// Drops from the lists what the run does not ask for: no candidate of its own, since nothing changes.
    pub(super) fn forget_unused(&mut self) {
        self.best = used(&self.best);
        self.runs += 1;
    }

    /// The first of these that fails in the same way becomes the best one; says which it was.
    fn first_of(&mut self, candidates: Vec<Scenario>) -> Option<usize> {
        let signature = self.signature;
        let fails = |scenario: &Scenario| Signature::of(&attempt(scenario, 0), scenario) == *signature;
        let results: Vec<bool> = if let [one] = &candidates[..] {
            vec![fails(one)]
        } else {
            std::thread::scope(|scope| {
                let threads: Vec<_> = candidates.iter().map(|one| scope.spawn(move || fails(one))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap_or(false)).collect()
            })
        };
        let first = results.iter().position(|fails| *fails);
        // Those behind the first are not counted: with fewer threads they would not have been tried.
        let runs = first.map_or(candidates.len(), |first| first + 1) as u64;
        self.runs += runs;
        self.watcher.tried(runs);
        let first = first?;
        self.best = candidates.into_iter().nth(first)?;
        self.watcher.smaller(&self.best, Size::of(&self.best));
        Some(first)
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
