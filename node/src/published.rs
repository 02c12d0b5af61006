//! The state that reads are answered from: the last durable one, which the owner of the replica publishes after each sync.

use crate::{sync::lock, view::AnyView};
use anabranch_core::{Error as ReplicaError, Stats};
use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

/// What a read sees. Whoever reads holds it for as long, so that a store is closed only when nobody reads from it.
pub(crate) struct State {
    view: Result<Arc<dyn AnyView>, ReplicaError>,
    stats: Stats,
    // Last, so that it tells when the view is gone.
    _alive: SyncSender<()>,
}

impl State {
    /// The rows; or why there are none to be shown, as while they are rebuilt.
    pub(crate) const fn view(&self) -> Result<&Arc<dyn AnyView>, &ReplicaError> {
        self.view.as_ref()
    }

    pub(crate) const fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// Where the state is to be had.
#[derive(Default)]
pub(crate) struct Published(Mutex<Option<Arc<State>>>);

impl std::fmt::Debug for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Published").finish_non_exhaustive()
    }
}

impl Published {
    /// The last durable state; `None` when the datastore has stopped or is closed.
    pub(crate) fn now(&self) -> Option<Arc<State>> {
        lock(&self.0).clone()
    }

    fn set(&self, state: Option<Arc<State>>) {
        let before = std::mem::replace(&mut *lock(&self.0), state);
        // Outside of the lock: it may be the last one, and close files.
        drop(before);
    }
}

/// The owner's side.
pub(crate) struct Publisher {
    alive: SyncSender<()>,
    gone: Receiver<()>,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        let (alive, gone) = sync_channel(0);
        Self { alive, gone }
    }

    /// From now on this is what reads see.
    pub(crate) fn publish(&self, to: &Published, view: Result<Arc<dyn AnyView>, ReplicaError>, stats: Stats) {
        to.set(Some(Arc::new(State { view, stats, _alive: self.alive.clone() })));
    }

    /// From now on nothing is to be read; waits until the reads under way have ended, or the time is over. Whether they have.
    pub(crate) fn withdraw(&mut self, from: &Published, limit: Duration) -> bool {
        from.set(None);
        let Self { alive, gone } = std::mem::replace(self, Self::new());
        drop(alive);
        gone.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withdrawal_waits_for_those_who_read() {
        let (published, mut publisher) = (Published::default(), Publisher::new());
        let publish = |publisher: &Publisher| {
            publisher.publish(&published, Err(ReplicaError::Rebuilding), Stats::default());
        };
        publish(&publisher);
        let reader = published.now();
        publish(&publisher);
        assert!(!publisher.withdraw(&published, Duration::from_millis(10)), "someone reads");
        assert!(published.now().is_none());
        drop(reader);
        publish(&publisher);
        assert!(published.now().is_some());
        assert!(publisher.withdraw(&published, Duration::from_secs(10)));
    }
}
