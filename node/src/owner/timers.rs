//! The timers that a replica asks for.

use crate::{datastore::WeakHandle, message::Message};
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
        let spread = after.end().saturating_sub(*after.start());
        let after = after.start().saturating_add(spread.mul_f64(fastrand::f64()));
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
