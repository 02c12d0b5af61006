//! A bounded buffer between the owner, which never waits, and someone who may be slow.

use crate::sync::lock;
use std::{collections::VecDeque, sync::Mutex};
use tokio::sync::Notify;

/// Bytes that wait for one listener, at most.
const BYTES_MAX: usize = 16 << 20;

/// What a listener is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told<T> {
    /// Something happened.
    Now(T),
    /// The listener did not keep up, and so much was left out here: look at the state itself.
    Missed(u64),
    /// The store had failed and was opened again. What happened around the failure was not told: look at the state itself.
    Reopened,
}

/// The buffer.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    state: Mutex<State<T>>,
    changed: Notify,
    length_max: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<(Told<T>, usize)>,
    bytes: usize,
    ended: bool,
}

impl<T> Ring<T> {
    pub(crate) fn new(length_max: usize) -> Self {
        let state = State { waiting: VecDeque::new(), bytes: 0, ended: false };
        Self { state: Mutex::new(state), changed: Notify::new(), length_max }
    }

    /// Adds something of so many bytes, or counts it as missed where there is no room.
    pub(crate) fn push(&self, what: T, bytes: usize) {
        let mut state = lock(&self.state);
        if state.waiting.len() < self.length_max && (state.bytes + bytes <= BYTES_MAX || state.waiting.is_empty()) {
            state.bytes += bytes;
            state.waiting.push_back((Told::Now(what), bytes));
        } else if let Some((Told::Missed(missed), _)) = state.waiting.back_mut() {
            *missed += 1;
        } else {
            state.waiting.push_back((Told::Missed(1), 0));
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Says that the store was opened again.
    pub(crate) fn reopened(&self) {
        lock(&self.state).waiting.push_back((Told::Reopened, 0));
        self.changed.notify_one();
    }

    /// There will be no more.
    pub(crate) fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_one();
    }

    /// The next; `None` at the end. For one listener.
    pub(crate) async fn next(&self) -> Option<Told<T>> {
        loop {
            {
                let mut state = lock(&self.state);
                if let Some((told, bytes)) = state.waiting.pop_front() {
                    state.bytes -= bytes;
                    return Some(told);
                }
                if state.ended {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }
}
