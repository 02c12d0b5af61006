//! Fetches in flight.

use crate::{
    handle::WeakHandle,
    metrics,
    net::{DynSyncer, Fetched},
    transfer,
};
use anabranch_core::{Cid, Input, Peer};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{runtime, task::AbortHandle};
use tracing::{Instrument, debug_span};

/// Asks the syncer, and hands what comes to the owner: for each fetch that is started exactly one input comes, unless
/// it is superseded or the datastore closes.
pub(super) struct Fetches {
    runtime: runtime::Handle,
    syncer: Option<Arc<dyn DynSyncer>>,
    owner: WeakHandle,
    deadline: Duration,
    /// Fetches at once at most: those that the replica waits for, and as many that it gave up and may still come.
    running_max: usize,
    running: BTreeMap<Cid, Running>,
    /// All that were started, oldest first; some of them no longer run.
    started: VecDeque<(Cid, u64)>,
    numbers: u64,
    /// Fetches that failed at once.
    failed: Vec<Input>,
}

struct Running {
    number: u64,
    attempt: u32,
    task: AbortHandle,
}

impl Fetches {
    pub(super) fn new(
        runtime: runtime::Handle,
        syncer: Option<Arc<dyn DynSyncer>>,
        owner: WeakHandle,
        options: &crate::Options,
    ) -> Self {
        Self {
            runtime,
            syncer,
            owner,
            deadline: options.fetch_deadline,
            running_max: options.replica.fetches_max.saturating_mul(2),
            running: BTreeMap::new(),
            started: VecDeque::new(),
            numbers: 0,
            failed: Vec::new(),
        }
    }

    /// Starts a fetch. An earlier one of the same block is given up; where too many run, the oldest is, and has failed.
    pub(super) fn start(&mut self, cid: Cid, from: Option<Peer>, attempt: u32) {
        if let Some(handle) = self.owner.upgrade()
            && transfer::fetch(&self.runtime, &handle, cid, attempt)
        {
            return;
        }
        let Some(syncer) = self.syncer.clone() else {
            self.failed.push(Input::FetchFailed { cid, attempt });
            return;
        };
        metrics::fetch_started();
        if let Some(earlier) = self.running.remove(&cid) {
            earlier.task.abort();
        }
        if self.running.len() >= self.running_max {
            self.give_up_oldest();
        }
        let (owner, deadline) = (self.owner.clone(), self.deadline);
        let fetch = async move {
            let begun = Instant::now();
            let input = match tokio::time::timeout(deadline, syncer.fetch(cid, from)).await {
                Ok(Ok(Fetched { from, bytes })) => {
                    metrics::fetch_done(begun.elapsed());
                    Input::Block { from, cid, bytes, attempt }
                }
                failed => {
                    match failed {
                        Ok(Err(error)) => tracing::debug!(%cid, ?from, %error, "a fetch failed"),
                        _ => tracing::debug!(%cid, ?from, ?deadline, "a fetch was given up"),
                    }
                    metrics::fetch_failed();
                    Input::FetchFailed { cid, attempt }
                }
            };
            if let Some(owner) = owner.upgrade() {
                owner.input(input).await;
            }
        };
        let span = debug_span!(parent: None, "fetch", %cid, peer = from.map(|peer| peer.0), attempt);
        let task = self.runtime.spawn(fetch.instrument(span)).abort_handle();
        self.numbers += 1;
        self.running.insert(cid, Running { number: self.numbers, attempt, task });
        self.started.push_back((cid, self.numbers));
        self.forget_ended();
    }

    /// What a message answers is in flight no more.
    pub(super) fn answered(&mut self, input: &Input) {
        if let Input::Block { cid, attempt, .. } | Input::FetchFailed { cid, attempt } = input
            && self.running.get(cid).is_some_and(|running| running.attempt == *attempt)
        {
            self.running.remove(cid);
        }
    }

    /// The next fetch that failed at once.
    pub(super) fn next_failed(&mut self) -> Option<Input> {
        self.failed.pop()
    }

    pub(super) fn stop(&mut self) {
        std::mem::take(&mut self.running).into_values().for_each(|running| running.task.abort());
        self.started.clear();
        self.failed.clear();
    }

    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    fn give_up_oldest(&mut self) {
        while let Some((cid, number)) = self.started.pop_front() {
            if self.running.get(&cid).is_some_and(|running| running.number == number)
                && let Some(running) = self.running.remove(&cid)
            {
                running.task.abort();
                metrics::fetch_failed();
                self.failed.push(Input::FetchFailed { cid, attempt: running.attempt });
                return;
            }
        }
    }

    /// Keeps the list of what was started within twice of what runs.
    fn forget_ended(&mut self) {
        if self.started.len() > 64 + 2 * self.running.len() {
            let running = &self.running;
            self.started.retain(|(cid, number)| running.get(cid).is_some_and(|running| running.number == *number));
        }
    }
}

impl Drop for Fetches {
    fn drop(&mut self) {
        self.stop();
    }
}
