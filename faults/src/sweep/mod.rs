//! The sweeps: one script, one fault after the other at every place where it can strike.

pub mod calls;
pub mod files;
pub mod kill;
pub mod layers;
pub mod rot;

use crate::check::Broken;
use std::fmt;

pub use files::Places;

/// A promise that did not hold, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was done: enough to do it again.
    pub place: String,
    /// What broke.
    pub broken: Broken,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.broken)
    }
}

impl std::error::Error for Failure {}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Stores opened and judged.
    pub judged: usize,
    /// Faults asked for.
    pub requested: usize,
    /// Faults that took effect.
    pub effective: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { judged, requested, effective } = self;
        write!(f, "{judged} stores judged; {effective} of {requested} faults took effect")
    }
}

fn at<T>(place: impl FnOnce() -> String, done: Result<T, impl Into<Broken>>) -> Result<T, Failure> {
    done.map_err(|broken| Failure { place: place(), broken: broken.into() })
}
