//! What a search has tried, so that it can go on as if it had never stopped.

use std::{fmt, str::FromStr};

/// What became of all candidates of a search, in order. A search is decided by the scenario and by these outcomes, so with them
/// it takes the same way again without running anything, and goes on from there. They do not depend on the number of threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// For each candidate that was taken, how many before it were not.
    taken: Vec<u64>,
    /// How many were not taken since.
    rest: u64,
}

impl Journal {
    /// Whether nothing has been tried.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.rest == 0
    }

    /// Candidates were not taken, and the one behind them was, or is not known yet.
    pub(super) fn push(&mut self, not_taken: usize, taken: bool) {
        self.rest += not_taken as u64;
        if taken {
            self.taken.push(std::mem::take(&mut self.rest));
        }
    }
}

/// Numbers with spaces between them; the last is the rest.
impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.taken.iter().try_for_each(|number| write!(f, "{number} "))?;
        write!(f, "{}", self.rest)
    }
}

impl FromStr for Journal {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut taken = text.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let rest = taken.pop().unwrap_or(0);
        Ok(Self { taken, rest })
    }
}

/// A journal that is followed.
#[derive(Debug)]
pub(super) struct Past {
    taken: std::vec::IntoIter<u64>,
    /// How many are not taken before the next one that is.
    run: u64,
    /// Whether the run is the last one, behind which nothing is known.
    is_last: bool,
    rest: u64,
}

impl Past {
    pub(super) fn new(journal: Journal) -> Self {
        let mut past = Self { taken: journal.taken.into_iter(), run: 0, is_last: false, rest: journal.rest };
        past.next_run();
        past
    }

    fn next_run(&mut self) {
        match self.taken.next() {
            Some(run) => self.run = run,
            None => (self.run, self.is_last) = (self.rest, true),
        }
    }

    /// Whether nothing more is known.
    pub(super) const fn is_over(&self) -> bool {
        self.is_last && self.run == 0
    }

    /// How many of the next candidates, at most `count`, are known not to be taken, and whether the one behind them is known to be.
    pub(super) fn next(&mut self, count: usize) -> (usize, bool) {
        let known = usize::try_from(self.run).unwrap_or(usize::MAX).min(count);
        self.run -= known as u64;
        let taken = known < count && !self.is_last;
        if taken {
            self.next_run();
        }
        (known, taken)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A journal of these outcomes, and what they were when they are asked for in groups of this size.
    fn followed(outcomes: &[bool], group: usize) -> Vec<bool> {
        let mut journal = Journal::default();
        outcomes.iter().for_each(|taken| journal.push(usize::from(!taken), *taken));
        let again: Journal = journal.to_string().parse().unwrap();
        assert_eq!(again, journal);
        let (mut past, mut seen) = (Past::new(again), Vec::new());
        while !past.is_over() {
            let (known, taken) = past.next(group);
            seen.extend(std::iter::repeat_n(false, known).chain(taken.then_some(true)));
        }
        assert_eq!(past.next(group), (0, false), "nothing more is known");
        seen
    }

    #[test]
    fn what_was_tried_is_known_again_in_groups_of_any_size() {
        let (no, yes) = (false, true);
        for outcomes in [&[][..], &[yes], &[no], &[yes, yes], &[no, no, yes, no, yes, yes, no, no, no]] {
            for group in 1..5 {
                assert_eq!(followed(outcomes, group), outcomes);
            }
        }
        assert!(Journal::default().is_empty() && "".parse::<Journal>().unwrap().is_empty());
        assert!("1 x".parse::<Journal>().is_err());
    }
}
