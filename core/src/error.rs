//! What goes wrong below a replica.

use alloc::string::String;
use core::fmt;

/// Why a call failed. After an error from [`step`](crate::Replica::step) or
/// [`sync`](crate::Replica::sync) the replica is dead (fail-stop): drop the effects of that step,
/// and open the store again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// The store could not read or write. Nothing of the step is in the store.
    Store(String),
    /// The store could not be made durable. What had been committed since the last good sync may be
    /// there after reopening, or not; if it is, it is announced.
    SyncFailed(String),
    /// The store holds what no replica wrote.
    Corrupt(String),
    /// The store was written in a format that this version does not know.
    UnknownFormat {
        /// The format that the store is in.
        found: u32,
        /// The newest one that this version reads.
        newest_known: u32,
    },
    /// The store is being rebuilt, and nothing can be read before that is done. The replica has not stopped: step on.
    Rebuilding,
    /// An earlier step or sync failed; open the store again.
    Stopped,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(why) => write!(f, "the store failed: {why}"),
            Self::SyncFailed(why) => {
                write!(f, "the store could not be made durable, so whether the last commits survive is unknown: {why}")
            }
            Self::Corrupt(what) => write!(f, "the store is damaged: {what}; rebuild it from its blocks or from a peer"),
            Self::UnknownFormat { found, newest_known } => write!(
                f,
                "the store is in format {found}, and this version reads formats up to {newest_known}; use a newer version"
            ),
            Self::Rebuilding => {
                f.write_str("the store is being rebuilt from its blocks; read again when that has finished")
            }
            Self::Stopped => f.write_str("an earlier step failed, so this replica has stopped; open its store again"),
        }
    }
}

impl core::error::Error for Error {}

impl From<crate::store::StoreError> for Error {
    fn from(error: crate::store::StoreError) -> Self {
        match error {
            crate::store::StoreError::Io(why) => Self::Store(why),
            crate::store::StoreError::Corrupt(what) => Self::Corrupt(what),
        }
    }
}
