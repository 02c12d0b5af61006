//! What is to happen, in order of time.

use super::Time;
use std::{cmp::Reverse, collections::BinaryHeap};

/// A priority queue by (time, sequence): of events at one time, those pushed first come first.
///
/// The heap holds 24 bytes an event; the events themselves stay where they are put.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    events: Vec<Option<E>>,
    free: Vec<u32>,
    pushed: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), pushed: 0 }
    }
}

impl<E> Queue<E> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event. O(log n).
    pub fn push(&mut self, at: Time, event: E) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.events[slot as usize] = Some(event);
                slot
            }
            None => {
                self.events.push(Some(event));
                u32::try_from(self.events.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.heap.push(Reverse((at, self.pushed, slot)));
        self.pushed += 1;
    }

    /// Takes the next event. O(log n).
    pub fn pop(&mut self) -> Option<(Time, E)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        let event = self.events[slot as usize].take()?;
        Some((at, event))
    }

    /// When the next event is.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// How many events wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no event waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_order_of_time_and_then_of_pushing() {
        let mut queue = Queue::new();
        for (at, name) in [(5, "d"), (1, "a"), (3, "b"), (3, "c"), (5, "e")] {
            queue.push(at, name);
        }
        assert_eq!(queue.next_at(), Some(1));
        let popped: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(popped, [(1, "a"), (3, "b"), (3, "c"), (5, "d"), (5, "e")]);
    }

    #[test]
    fn slots_are_used_again() {
        let mut queue = Queue::new();
        for round in 0..1000_u64 {
            queue.push(round, round);
            queue.push(round, round + 1);
            assert_eq!(queue.pop().map(|(at, _)| at), Some(round / 2));
        }
        assert_eq!(queue.len(), 1000);
        assert!(queue.events.len() <= 1001, "{} slots for 1000 waiting events", queue.events.len());
    }
}
