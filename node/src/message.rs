//! What the owner of the replica is told.

use crate::{Error, OpenError};
use anabranch_core::{
    Batch, Blocking, Codec, Error as ReplicaError, Feed, FeedError, FeedToken, Input, Outcome, Progress, Replica,
    TaskStatus, Token, Validator, store::Store,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::Span;

/// Comes back with the outcome of a call.
pub(crate) type Reply<T, E = Error> = oneshot::Sender<Result<T, E>>;

/// A read, which answers by itself.
pub(crate) type Read = Box<dyn FnOnce(&mut dyn Face) + Send>;

/// Makes the input of something that is asked for.
pub(crate) type Ask = Box<dyn FnOnce(Token) -> Input + Send>;

/// One message in the queue of the owner.
pub(crate) enum Message {
    /// A local write, and the span of whoever makes it.
    Commit { batch: Batch, reply: Reply<crate::Committed>, room: Option<OwnedSemaphorePermit>, caller: Span },
    /// Something else that is asked for.
    Ask { what: Ask, reply: Reply<Outcome>, room: Option<OwnedSemaphorePermit> },
    /// Something came from a peer or a timer.
    Input { input: Input, room: Option<OwnedSemaphorePermit> },
    /// A read of what only the owner knows. Dropped unread when the replica has stopped.
    Read(Read),
    /// Open the store again.
    Reopen(Reply<(), OpenError>),
    /// Finish what is in the queue, and end.
    Close(oneshot::Sender<()>),
}

/// A replica whatever its store: what is asked of the owner, since it is of the replica and not of its rows alone.
pub(crate) trait Face {
    fn feed_token(&self) -> Result<FeedToken, FeedError>;
    fn feed(&self, since: &FeedToken, limit: usize) -> Result<Feed, FeedError>;
    fn blocking(&self, limit: usize) -> Result<Vec<Blocking>, ReplicaError>;
    fn task(&self) -> Option<TaskStatus>;
    /// Whether there is nothing to be merged now.
    fn is_idle(&self) -> bool;
}

impl<S: Store, V: Validator, C: Codec> Face for Replica<S, V, C> {
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
}
