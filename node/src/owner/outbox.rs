//! Announcements on their way out.

use crate::{metrics, net::DynBroadcaster, sync::lock};
use anabranch_core::{Bytes, limits::BROADCAST_BYTES_MAX};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};
use tokio::{runtime, sync::Notify};
use tracing::{Instrument, debug_span};

/// Bytes of announcements that wait, at most: the oldest are dropped (all heads are announced again in the next round).
const WAITING_BYTES_MAX: usize = 4 << 20;

/// Announcements that wait for the broadcaster. Whoever fills it never waits.
pub(super) struct Outbox {
    state: Arc<State>,
    /// Comes, or breaks, when all is sent and nothing more will be.
    ended: Receiver<()>,
}

#[derive(Default)]
struct State {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    payloads: VecDeque<Bytes>,
    bytes: usize,
    closing: bool,
}

impl Outbox {
    pub(super) fn start(runtime: &runtime::Handle, to: Arc<dyn DynBroadcaster>, delay: Duration) -> Self {
        let state = Arc::new(State::default());
        let (end, ended) = sync_channel(1);
        drop(runtime.spawn(send_all(state.clone(), to, delay, end)));
        Self { state, ended }
    }

    pub(super) fn push(&self, payload: Bytes) {
        let mut waiting = lock(&self.state.waiting);
        waiting.push(payload);
        drop(waiting);
        self.state.changed.notify_one();
    }

    /// Waits until all has left, or the time is over. Whether it has.
    pub(super) fn close(self, limit: Duration) -> bool {
        lock(&self.state.waiting).closing = true;
        self.state.changed.notify_one();
        self.ended.recv_timeout(limit).is_ok()
    }
}

impl Waiting {
    fn push(&mut self, payload: Bytes) {
        self.bytes += payload.len();
        self.payloads.push_back(payload);
        while self.bytes > WAITING_BYTES_MAX
            && self.payloads.len() > 1
            && let Some(oldest) = self.payloads.pop_front()
        {
            self.bytes -= oldest.len();
            metrics::broadcast_dropped();
        }
    }

    /// The announcements that go out next, as one message of at most the limit. Announcements are protobuf messages with
    /// one repeated field, so put one after another they are one message.
    fn take_message(&mut self) -> Option<Bytes> {
        let mut message = self.payloads.pop_front()?;
        self.bytes -= message.len();
        let mut joined = Vec::new();
        while let Some(next) = self.payloads.front()
            && message.len().max(joined.len()) + next.len() <= BROADCAST_BYTES_MAX
        {
            if joined.is_empty() {
                joined.extend_from_slice(&message);
            }
            joined.extend_from_slice(next);
            self.bytes -= next.len();
            self.payloads.pop_front();
        }
        if !joined.is_empty() {
            message = joined.into();
        }
        Some(message)
    }
}

/// The sending task. It ends, and says so, when it is told to close and nothing waits.
async fn send_all(state: Arc<State>, to: Arc<dyn DynBroadcaster>, delay: Duration, end: SyncSender<()>) {
    loop {
        let (empty, closing) = {
            let waiting = lock(&state.waiting);
            (waiting.payloads.is_empty(), waiting.closing)
        };
        if empty && closing {
            break;
        }
        if empty {
            state.changed.notified().await;
            continue;
        }
        if !closing && !delay.is_zero() {
            gather(&state, delay).await;
        }
        let message = lock(&state.waiting).take_message();
        if let Some(message) = message {
            let bytes = message.len();
            match to.broadcast(message).instrument(debug_span!("broadcast", bytes)).await {
                Ok(()) => metrics::broadcast_sent(bytes),
                Err(error) => {
                    metrics::broadcast_failed();
                    tracing::warn!(%error, bytes, "an announcement could not be sent; its heads go out with the next round");
                }
            }
        }
    }
    let _ = end.try_send(());
}

/// Lets announcements gather for a while; a close ends that.
async fn gather(state: &State, delay: Duration) {
    let until = tokio::time::Instant::now() + delay;
    loop {
        let changed = state.changed.notified();
        if lock(&state.waiting).closing || tokio::time::timeout_at(until, changed).await.is_err() {
            return;
        }
    }
}
