//! The marks of the code under test, over many runs: where they have been, and where none has.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Marks, and in how many runs each was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reached(BTreeMap<String, u64>);

impl Reached {
    /// Counts a run: the marks that there are, and whether each was reached.
    pub fn count(&mut self, marks: &BTreeMap<&'static str, bool>) {
        for (mark, is_reached) in marks {
            *self.0.entry((*mark).to_owned()).or_default() += u64::from(*is_reached);
        }
    }

    /// Adds what other runs have reached.
    pub fn add(&mut self, other: &Self) {
        for (mark, runs) in &other.0 {
            *self.0.entry(mark.clone()).or_default() += runs;
        }
    }

    /// All marks, in the order of their names, and in how many runs each was reached.
    pub fn all(&self) -> impl ExactSizeIterator<Item = (&str, u64)> {
        self.0.iter().map(|(mark, runs)| (mark.as_str(), *runs))
    }

    /// Those that no run has reached.
    #[must_use]
    pub fn missed(&self) -> Vec<&str> {
        self.all().filter(|(_, runs)| *runs == 0).map(|(mark, _)| mark).collect()
    }
}
