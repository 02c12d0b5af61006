//! Where two runs that should be one part.

use crate::observe::Seen;

/// The first event that differs between two runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its number, counted from 0.
    pub number: usize,
    /// The event of the first run; `None` when it ended before.
    pub first: Option<Seen>,
    /// The event of the second run; `None` when it ended before.
    pub second: Option<Seen>,
}

/// The first event that differs; `None` when all are equal.
#[must_use]
pub fn first_difference(first: &[Seen], second: &[Seen]) -> Option<Difference> {
    let number = first.iter().zip(second).position(|(first, second)| first != second);
    let number = number.or_else(|| (first.len() != second.len()).then(|| first.len().min(second.len())))?;
    Some(Difference { number, first: first.get(number).cloned(), second: second.get(number).cloned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::What;

    fn timers(times: &[u64]) -> Vec<Seen> {
        times.iter().map(|at| Seen { at: *at, party: None, cause: None, what: What::Timer }).collect()
    }

    #[test]
    fn the_first_event_that_differs_is_found() {
        let base = timers(&[1, 2, 3]);
        assert_eq!(first_difference(&base, &base), None);
        let other = first_difference(&base, &timers(&[1, 5, 3]))
            .map(|at| (at.number, at.first.map(|seen| seen.at), at.second.map(|seen| seen.at)));
        assert_eq!(other, Some((1, Some(2), Some(5))));
        let shorter = first_difference(&base, &base[..2]).map(|at| (at.number, at.second));
        assert_eq!(shorter, Some((2, None)));
    }
}
