//! What a datastore asks of a network: two parts, each of which may be had without the other.
//!
//! A [`Broadcaster`] carries small announcements to all peers; a [`DagSyncer`] brings a block by its CID.
//! Messages may be lost, repeated, reordered and corrupted, and blocks may be refused or forged: the replica checks
//! everything and asks again. What an implementation must do is in the traits; the functions of
//! [`testkit`](crate::testkit) check it.

mod erased;
mod local;

pub(crate) use erased::{DynBroadcaster, DynSyncer};
pub use local::{LocalBroadcaster, LocalNetwork, LocalNetworkOptions, LocalSyncer};

use crate::Blocks;
use anabranch_core::{Bytes, Cid, Peer};
use std::{fmt, future::Future};

/// Carries announcements: a publish-subscribe topic, say.
///
/// Both methods may be called at the same time.
pub trait Broadcaster: Send + Sync + 'static {
    /// Sends a payload to all peers, as it is. It may be lost: heads are announced again and again.
    /// A payload has at most [`BROADCAST_BYTES_MAX`](crate::limits::BROADCAST_BYTES_MAX) bytes.
    ///
    /// # Errors
    /// When it is known not to have left. The datastore logs and counts that, and goes on.
    fn broadcast(&self, payload: Bytes) -> impl Future<Output = Result<(), NetError>> + Send;

    /// The next payload that a peer sent, and who sent it; `None` when there will be no more. Our own are not given
    /// back (if they are, it costs a little and does no harm).
    ///
    /// What arrives while nobody asks may be dropped, the oldest or the newest; it must not pile up without limit.
    /// Dropping the future loses no payload that was not in transit.
    ///
    /// # Errors
    /// When receiving failed and may succeed later. The datastore waits a little, and asks again.
    fn next(&self) -> impl Future<Output = Result<Option<(Peer, Bytes)>, NetError>> + Send;
}

/// Brings blocks by their CIDs, and serves ours.
pub trait DagSyncer: Send + Sync + 'static {
    /// Called once, when the datastore opens: from now on answer peers that ask for a block with what
    /// [`Blocks::get`] gives. Afterwards, when the datastore is closed, that gives nothing.
    fn serve(&self, blocks: Blocks);

    /// Fetches a block. `from` announced it or something above it, so it is the one to ask first; whoever else may
    /// have it may be asked too.
    ///
    /// The datastore asks for many blocks at once (at most [`fetches_max`](anabranch_core::Config::fetches_max) that it
    /// waits for), drops the future when it is no longer interested or the deadline has passed, and asks again later by itself:
    /// retries are not wanted here. The bytes need not be checked.
    ///
    /// # Errors
    /// When nobody who could be asked has the block. An early error is better than a late one: another peer is asked.
    fn fetch(&self, cid: Cid, from: Option<Peer>) -> impl Future<Output = Result<Fetched, NetError>> + Send;
}

/// A block that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Who sent it: if the bytes are wrong, they are held against this peer.
    pub from: Peer,
    /// The bytes as they came.
    pub bytes: Bytes,
}

/// A failure of a network, in words. It is logged and counted; nothing else depends on what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetError(String);

impl NetError {
    /// A failure, in one line.
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NetError {}
