//! A bounded buffer between the owner, which never waits, and someone who may be slow.

use crate::sync::lock;
use std::{
    collections::VecDeque,
    sync::Mutex,
    task::{Context, Poll, Waker},
};

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
    length_max: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<(Told<T>, usize)>,
    bytes: usize,
    ended: bool,
    listener: Option<Waker>,
}

impl<T> Ring<T> {
    pub(crate) const fn new(length_max: usize) -> Self {
        let state = State { waiting: VecDeque::new(), bytes: 0, ended: false, listener: None };
        Self { state: Mutex::new(state), length_max }
    }

    /// Adds something of so many bytes, or counts it as missed where there is no room.
    pub(crate) fn push(&self, what: T, bytes: usize) {
        self.change(|state| {
            if state.waiting.len() < self.length_max && (state.bytes + bytes <= BYTES_MAX || state.waiting.is_empty()) {
                state.bytes += bytes;
                state.waiting.push_back((Told::Now(what), bytes));
            } else if let Some((Told::Missed(missed), _)) = state.waiting.back_mut() {
                *missed += 1;
            } else {
                state.waiting.push_back((Told::Missed(1), 0));
            }
        });
    }

    /// Says that the store was opened again.
    pub(crate) fn reopened(&self) {
        self.change(|state| {
            if !matches!(state.waiting.back(), Some((Told::Reopened, _))) {
                state.waiting.push_back((Told::Reopened, 0));
            }
        });
    }

    /// There will be no more.
    pub(crate) fn end(&self) {
        self.change(|state| state.ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut State<T>)) {
        let listener = {
            let mut state = lock(&self.state);
            change(&mut state);
            state.listener.take()
        };
        if let Some(listener) = listener {
            listener.wake();
        }
    }

    /// The next; `None` at the end. For one listener.
    pub(crate) fn poll_next(&self, context: &Context<'_>) -> Poll<Option<Told<T>>> {
        let mut state = lock(&self.state);
        if let Some((told, bytes)) = state.waiting.pop_front() {
            state.bytes -= bytes;
            return Poll::Ready(Some(told));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.listener = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(ring: &Ring<u32>) -> Vec<Option<Told<u32>>> {
        let mut told = Vec::new();
        let context = Context::from_waker(Waker::noop());
        while let Poll::Ready(next) = ring.poll_next(&context) {
            told.push(next.clone());
            if next.is_none() {
                break;
            }
        }
        told
    }

    #[test]
    fn what_is_missed_is_counted_in_its_place() {
        let ring = Ring::new(2);
        (0..5).for_each(|n| ring.push(n, 1));
        assert_eq!(drain(&ring), [Some(Told::Now(0)), Some(Told::Now(1)), Some(Told::Missed(3))]);
        ring.push(5, 1);
        ring.reopened();
        ring.end();
        assert_eq!(drain(&ring), [Some(Told::Now(5)), Some(Told::Reopened), None]);
    }

    #[test]
    fn bytes_are_bounded_too_but_one_always_fits() {
        let ring = Ring::new(100);
        ring.push(0, BYTES_MAX + 1);
        ring.push(1, 1);
        ring.push(2, 1);
        assert_eq!(drain(&ring), [Some(Told::Now(0)), Some(Told::Missed(2))]);
    }
}
