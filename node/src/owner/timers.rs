//! The timers that a replica asks for.

use crate::{handle::WeakHandle, message::Message};
use anabranch_core::{Input, Timer};
use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};
use tokio::{runtime, task::AbortHandle};

/// Timers, at most one of a kind.
pub(super) struct Timers {
    runtime: runtime::Handle,
    owner: WeakHandle,
    running: BTreeMap<Timer, AbortHandle>,
}

impl Timers {
    pub(super) const fn new(runtime: runtime::Handle, owner: WeakHandle) -> Self {
        Self { runtime, owner, running: BTreeMap::new() }
    }

    /// Sets a timer, which runs out after a time drawn from the range.
    pub(super) fn set(&mut self, timer: Timer, after: &RangeInclusive<Duration>) {
        let after = draw(after, fastrand::f64());
        let owner = self.owner.clone();
        let task = self.runtime.spawn(async move {
            tokio::time::sleep(after).await;
            if let Some(owner) = owner.upgrade() {
                owner.send(Message::Input { input: Input::Timer(timer), room: None }).await;
            }
        });
        if let Some(earlier) = self.running.insert(timer, task.abort_handle()) {
            earlier.abort();
        }
    }

    pub(super) fn stop(&mut self) {
        std::mem::take(&mut self.running).into_values().for_each(|task| task.abort());
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The time that lies so far into the range, from 0 to 1.
fn draw(range: &RangeInclusive<Duration>, at: f64) -> Duration {
    let spread = range.end().saturating_sub(*range.start());
    range.start().saturating_add(spread.mul_f64(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_range_is_drawn() {
        let range = Duration::from_secs(42)..=Duration::from_secs(78);
        assert_eq!(draw(&range, 0.0), *range.start());
        assert_eq!(draw(&range, 0.5), Duration::from_secs(60));
        assert_eq!(draw(&range, 1.0), *range.end());
        let at_once = Duration::MAX..=Duration::ZERO;
        assert_eq!(draw(&at_once, 0.5), Duration::MAX);
    }
}
