//! What the owner of the replica is told.

use crate::{Error, OpenError, snapshot::AnyView};
use anabranch_core::{
    Batch, Blocking, Bytes, Cid, Codec, Error as ReplicaError, Feed, FeedError, FeedToken, Head, Input, Key, Outcome,
    Progress, Replica, Stats, TaskStatus, Token, Validator, store::Store,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Comes back with the outcome of a call.
pub(crate) type Reply<T, E = Error> = oneshot::Sender<Result<T, E>>;

/// A read, which answers by itself.
pub(crate) type Read = Box<dyn FnOnce(&mut dyn Face) + Send>;

/// Makes the input of something that is asked for.
pub(crate) type Ask = Box<dyn FnOnce(Token) -> Input + Send>;

/// One message in the queue of the owner.
pub(crate) enum Message {
    /// A local write.
    Commit { batch: Batch, reply: Reply<crate::Committed>, room: Option<OwnedSemaphorePermit> },
    /// Something else that is asked for.
    Ask { what: Ask, reply: Reply<Outcome>, room: Option<OwnedSemaphorePermit> },
    /// Something came from a peer or a timer.
    Input { input: Input, room: Option<OwnedSemaphorePermit> },
    /// A read of what is durable. Dropped unread when the replica has stopped.
    Read(Read),
    /// Open the store again.
    Reopen(Reply<(), OpenError>),
    /// Finish what is in the queue, and end.
    Close(oneshot::Sender<()>),
}

/// A replica whatever its store: what reads ask of it.
pub(crate) trait Face {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, ReplicaError>;
    fn heads(&self) -> Result<Vec<Head>, ReplicaError>;
    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, ReplicaError>;
    fn is_merged(&self, cid: &Cid) -> Result<bool, ReplicaError>;
    fn stats(&self) -> Stats;
    fn feed_token(&self) -> Result<FeedToken, FeedError>;
    fn feed(&self, since: &FeedToken, limit: usize) -> Result<Feed, FeedError>;
    fn blocking(&self, limit: usize) -> Result<Vec<Blocking>, ReplicaError>;
    fn task(&self) -> Option<TaskStatus>;
    /// Whether there is nothing to be merged now.
    fn is_idle(&self) -> bool;
    fn view(&mut self) -> Result<Box<dyn AnyView>, ReplicaError>;
}

impl<S, V, C> Face for Replica<S, V, C>
where
    S: Store,
    S::Snapshot: Send + Sync + 'static,
    V: Validator,
    C: Codec,
{
    fn get(&self, key: &Key) -> Result<Option<Bytes>, ReplicaError> {
        Self::get(self, key)
    }

    fn heads(&self) -> Result<Vec<Head>, ReplicaError> {
        Self::heads(self)
    }

    fn block(&self, cid: &Cid) -> Result<Option<Bytes>, ReplicaError> {
        Self::block(self, cid)
    }

    fn is_merged(&self, cid: &Cid) -> Result<bool, ReplicaError> {
        Self::is_merged(self, cid)
    }

    fn stats(&self) -> Stats {
        Self::stats(self)
    }

    fn feed_token(&self) -> Result<FeedToken, FeedError> {
        Self::feed_token(self)
    }

    fn feed(&self, since: &FeedToken, limit: usize) -> Result<Feed, FeedError> {
        Self::feed(self, since, limit)
    }

    fn blocking(&self, limit: usize) -> Result<Vec<Blocking>, ReplicaError> {
        Self::blocking(self, limit)
    }

    fn task(&self) -> Option<TaskStatus> {
        Self::task(self).cloned()
    }

    fn is_idle(&self) -> bool {
        self.progress() == Progress::Done
    }

    fn view(&mut self) -> Result<Box<dyn AnyView>, ReplicaError> {
        Ok(Box::new(self.snapshot()?))
    }
}
