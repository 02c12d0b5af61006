//! What waits for the owner, and what it has taken in.

use crate::{
    Committed, Error,
    message::{Message, Reply},
};
use anabranch_core::{Batch, Outcome, Write};
use std::{
    thread,
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Something that was asked for and has not been answered.
pub(super) struct Waiting {
    pub(super) reply: Replies,
    /// Its share of what may wait, given back with the answer.
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

pub(super) enum Replies {
    Commit(Reply<Committed>),
    Ask(Reply<Outcome>),
}

impl Replies {
    // Whoever dropped the call does not want to know.
    pub(super) fn fail(self, why: Error) {
        match self {
            Self::Commit(reply) => drop(reply.send(Err(why))),
            Self::Ask(reply) => drop(reply.send(Err(why))),
        }
    }
}

/// A group ends after so many messages …
const GROUP_MESSAGES_MAX: usize = 1_000;
/// … or so many bytes of writes and blocks …
const GROUP_BYTES_MAX: usize = 8 << 20;
/// … or so much time, so that an acknowledgement waits no longer than that and a sync.
const GROUP_TIME_MAX: Duration = Duration::from_millis(10);

/// What a group has taken in.
pub(super) struct Group {
    begun: Instant,
    pub(super) messages: usize,
    pub(super) bytes: usize,
    pub(super) asked: usize,
}

impl Group {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), messages: 0, bytes: 0, asked: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.messages >= GROUP_MESSAGES_MAX || self.bytes >= GROUP_BYTES_MAX || self.begun.elapsed() >= GROUP_TIME_MAX
    }
}

/// The longest that a group waits for callers that are about to come …
const OTHERS_WAIT_MAX: Duration = Duration::from_millis(5);
/// … and how often it looks for them.
const OTHERS_LOOK_EVERY: Duration = Duration::from_micros(50);

/// How many callers share a sync, and how long one takes.
///
/// Callers who write one thing after another come again right after they are answered. A sync for the first of them alone would keep all others waiting for
/// the one after it, so that each sync did half of the work. So a group of fewer than shared the last sync waits for the others, for a part of what a sync
/// costs; a caller who is alone waits for nobody.
#[derive(Default)]
pub(super) struct Pace {
    asked: usize,
    took: Duration,
}

impl Pace {
    pub(super) fn synced(&mut self, took: Duration, asked: usize) {
        if asked > 0 {
            *self = Self { asked, took };
        }
    }

    /// The next message, if one comes that is worth waiting for.
    pub(super) fn others(&self, group: &Group, queue: &mut mpsc::Receiver<Message>) -> Option<Message> {
        let limit = (self.took / 4).min(OTHERS_WAIT_MAX);
        while (1..self.asked).contains(&group.asked) && group.begun.elapsed() < limit {
            thread::sleep(OTHERS_LOOK_EVERY);
            if let Ok(message) = queue.try_recv() {
                return Some(message);
            }
        }
        None
    }
}

/// What a batch weighs.
pub(crate) fn batch_bytes(batch: &Batch) -> usize {
    let write = |write: &Write| match write {
        Write::Put(key, value) => key.as_bytes().len() + value.len(),
        Write::Delete(key) => key.as_bytes().len(),
    };
    batch.writes.iter().map(write).sum()
}
