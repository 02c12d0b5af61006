//! What a program may want to know, told to whoever listens.

use crate::{
    ring::{Ring, Told},
    sync::lock,
};
use anabranch_core::Event;
use std::sync::{Arc, Mutex, Weak};

/// Those who listen.
#[derive(Debug)]
pub(crate) struct Events {
    buffer: usize,
    listeners: Mutex<Vec<Weak<Ring<Event>>>>,
}

impl Events {
    pub(crate) const fn new(buffer: usize) -> Self {
        Self { buffer, listeners: Mutex::new(Vec::new()) }
    }

    pub(crate) fn listen(&self) -> EventStream {
        let ring = Arc::new(Ring::new(self.buffer));
        lock(&self.listeners).push(Arc::downgrade(&ring));
        EventStream { ring }
    }

    pub(crate) fn tell(&self, event: &Event) {
        lock(&self.listeners).retain(|ring| {
            ring.upgrade().is_some_and(|ring| {
                ring.push(event.clone(), 64);
                true
            })
        });
    }

    /// The store was opened again.
    pub(crate) fn reopened(&self) {
        lock(&self.listeners).iter().filter_map(Weak::upgrade).for_each(|ring| ring.reopened());
    }

    /// There will be no more.
    pub(crate) fn end(&self) {
        lock(&self.listeners).drain(..).filter_map(|ring| ring.upgrade()).for_each(|ring| ring.end());
    }
}

/// What happens to a replica, as it becomes durable: blocks merged, peers that sent what is bad, blocks that nobody serves.
/// Changes of values are not among it: they are what a [`Watcher`](crate::Watcher) is for.
#[derive(Debug)]
pub struct EventStream {
    ring: Arc<Ring<Event>>,
}

impl EventStream {
    /// The next event; `None` when the datastore is closed. Cancellation-safe.
    pub async fn next(&mut self) -> Option<Told<Event>> {
        std::future::poll_fn(|context| self.ring.poll_next(context)).await
    }
}

/// Logs an event: what peers did wrong as a warning, the rest for those who look closely.
pub(crate) fn log(event: &Event) {
    match event {
        Event::Merged { cid, height, dag, void } => tracing::debug!(%cid, height, %dag, void, "merged"),
        Event::WrongBytes { from, cid } => {
            tracing::warn!(peer = from.0, %cid, "a peer sent bytes that do not hash to their CID")
        }
        Event::BadBroadcast { from, heads } => tracing::warn!(
            peer = from.0,
            heads,
            "a peer announced what is no announcement, or heads that are no CIDs of blocks"
        ),
        Event::Parked { cid, obligation } => {
            tracing::info!(%cid, obligation, "no peer serves a block that was announced")
        }
        _ => tracing::debug!(?event, "told"),
    }
}
