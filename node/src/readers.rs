//! The threads that reads of single rows may wait for the disk in.

use crate::Error;
use anabranch_core::Error as ReplicaError;
use std::{
    io,
    panic::{self, AssertUnwindSafe},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
};
use tokio::sync::oneshot;

/// Threads of a datastore, at most.
const THREADS_MAX: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// A few threads that take reads in turn: a hop to one of them and back costs a fifth of what a runtime's blocking thread does. They end when this is
/// dropped.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    queues: Vec<Sender<Job>>,
    next: AtomicUsize,
}

impl Readers {
    pub(crate) fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let mut queues = Vec::new();
        for _ in 0..count {
            let (queue, jobs) = channel::<Job>();
            let thread = thread::Builder::new().name(String::from("anabranch-read"));
            thread.spawn(move || jobs.iter().for_each(|job| job()))?;
            queues.push(queue);
        }
        Ok(Self { queues, next: AtomicUsize::new(0) })
    }

    /// Reads in one of the threads. Whoever drops the call is not waited for, but the read may still be made.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, ReplicaError> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let job = move || {
            if !reply.is_closed() {
                // The store may be one of the embedder's; its panic is not to end the thread.
                let read = panic::catch_unwind(AssertUnwindSafe(read));
                // Whoever dropped the call does not want to know.
                let _ = reply.send(read.unwrap_or_else(|_| Err(panicked())));
            }
        };
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.queues.len().max(1);
        let Some(queue) = self.queues.get(turn) else { return Err(Error::Closed) };
        if queue.send(Box::new(job)).is_err() {
            return Err(Error::Closed);
        }
        answer.await.map_or(Err(Error::Closed), |read| read.map_err(Error::Read))
    }
}

/// A read that panicked, as one that failed.
pub(crate) fn panicked() -> ReplicaError {
    ReplicaError::Store(String::from("a panic of the store while it was read"))
}
