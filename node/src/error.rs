//! What goes wrong, and what to do about it.

use anabranch_core::{Error as ReplicaError, Refusal};
use std::{fmt, sync::Arc};

/// Why a call failed. The message says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The write is refused, and nothing has changed. The same call would be refused again.
    Refused(Refusal),
    /// The datastore is closed, and this call has changed nothing.
    Closed,
    /// The store has failed, and this call has changed nothing. All calls end so until
    /// [`reopen`](crate::Datastore::reopen) succeeds.
    Stopped(ReplicaError),
    /// The store failed before the write was known to be durable. After
    /// [`reopen`](crate::Datastore::reopen) it is either absent, or present, a head and announced: look.
    Unknown(ReplicaError),
    /// The datastore was opened without what this call needs.
    NotKept {
        /// The option that would keep it.
        option: &'static str,
    },
    /// The token of a feed is of another history: of another store, of a disk that was restored, or from before a purge or a rebuild.
    UnknownEpoch,
    /// Reading failed. Nothing has changed, and other reads may succeed.
    Read(ReplicaError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Closed => f.write_str("the datastore is closed; open it again"),
            Self::Stopped(why) => {
                write!(f, "the datastore has stopped, and this call changed nothing: {why}; reopen it")
            }
            Self::Unknown(why) => {
                write!(
                    f,
                    "the datastore has stopped, and whether this write survives is unknown: {why}; reopen it and look"
                )
            }
            Self::NotKept { option } => {
                write!(
                    f,
                    "the datastore was opened without the option {option}, which this call needs; open it with that"
                )
            }
            Self::UnknownEpoch => {
                f.write_str("the token is not of this store's history; take a new one, and read all keys again")
            }
            Self::Read(why) => write!(f, "reading failed: {why}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Stopped(why) | Self::Unknown(why) | Self::Read(why) => Some(why),
            Self::Refused(_) | Self::Closed | Self::NotKept { .. } | Self::UnknownEpoch => None,
        }
    }
}

/// Why a datastore could not be opened. What is on disk is as it was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder could not be opened as a store: locked, of another kind, read-only, damaged.
    Folder(Arc<anabranch_store::OpenError>),
    /// What is in the store could not be read: a newer format, damage, an I/O error.
    Replica(ReplicaError),
    /// An option is outside of what makes sense.
    Option {
        /// Its name.
        name: &'static str,
        /// What is wrong with it, and what would be right.
        what: String,
    },
    /// The thread that owns the store could not be started, or died while it opened the store.
    Thread(String),
    /// The datastore was closed for good.
    Closed,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(why) => why.fmt(f),
            Self::Replica(why) => why.fmt(f),
            Self::Option { name, what } => write!(f, "option {name}: {what}"),
            Self::Thread(why) => write!(f, "the thread that owns the store: {why}"),
            Self::Closed => f.write_str("the datastore was closed; build a new one"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder(why) => Some(&**why),
            Self::Replica(why) => Some(why),
            Self::Option { .. } | Self::Thread(_) | Self::Closed => None,
        }
    }
}

impl From<anabranch_store::OpenError> for OpenError {
    fn from(why: anabranch_store::OpenError) -> Self {
        Self::Folder(Arc::new(why))
    }
}

impl From<ReplicaError> for OpenError {
    fn from(why: ReplicaError) -> Self {
        Self::Replica(why)
    }
}

/// A store that was handed over and could not be opened, and why.
pub struct NotOpened<S> {
    /// Why.
    pub why: OpenError,
    /// The store, as it was handed over but for what its opening may have changed (a format is upgraded, say). `None` only when the system took away the thread that
    /// had it.
    pub store: Option<S>,
}

impl<S> fmt::Debug for NotOpened<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotOpened").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<S> fmt::Display for NotOpened<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl<S> std::error::Error for NotOpened<S> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.why.source()
    }
}

impl<S> From<NotOpened<S>> for OpenError {
    fn from(not: NotOpened<S>) -> Self {
        not.why
    }
}
