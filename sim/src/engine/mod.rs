//! The parts of a simulation that know nothing of replicas: the queue of events, randomness, the
//! fates of messages, the trace.

mod fate;
mod queue;
mod random;
mod trace;

pub use fate::{Cause, Fate, Fates, MessageKey};
pub use queue::Queue;
pub use random::{Draws, Key};
pub(crate) use trace::hex;
pub use trace::{Entry, Trace};

use std::time::Duration;

/// Simulated time in nanoseconds from the start of the run.
pub type Time = u64;

/// A duration in simulated nanoseconds. Scenario times are at most a year, so nothing is cut off.
#[must_use]
pub fn nanoseconds(duration: Duration) -> Time {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
