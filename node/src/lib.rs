//! A replicated key-value datastore to embed, on tokio.
//!
//! Read [`Datastore`] first, then [`Builder`]; who brings a network of their own reads [`Broadcaster`] and [`DagSyncer`].
//! Many replicas, no leader, no quorum: each may write at any time, messages may be lost, and in the end all hold the same. The bytes on
//! the wire are go-ds-crdt's.
#![forbid(unsafe_code)]

mod blocks;
mod builder;
mod dag;
mod datastore;
mod error;
mod events;
mod handle;
mod lent;
mod memory;
mod message;
pub mod metrics;
mod net;
mod options;
mod owner;
mod published;
mod readers;
mod ring;
mod rows;
mod shared;
mod snapshot;
mod sync;
pub mod testkit;
mod transfer;
mod view;
mod watch;

pub use anabranch_core::{
    Batch, Blocking, Bytes, Cid, Codec, Config, DagName, Event, Feed, FeedToken, Filter, Head, Is, Key, MergeAll,
    Order, Outcome, Peer, Phase, ProtobufCodec, Query, Refusal, Row, Stats, TaskKind, TaskStatus, Validator, Verdict,
    Visited, WhenBehind, Write, limits, store, wire,
};
pub use blocks::Blocks;
pub use builder::Builder;
pub use datastore::Datastore;
pub use error::{Error, NotOpened, OpenError};
pub use events::EventStream;
pub use net::{
    Broadcaster, DagSyncer, Fetched, LocalBroadcaster, LocalNetwork, LocalNetworkOptions, LocalSyncer, NetError,
};
pub use options::Options;
pub use ring::Told;
pub use rows::RowStream;
pub use snapshot::Snapshot;
pub use transfer::{Exported, Imported, TransferError};
pub use watch::{Change, Watcher};

/// A write that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The blocks that it made, oldest first; none when there was nothing to write, as for a delete of what is absent.
    pub blocks: Vec<Cid>,
    /// Blocks that were known when the write came and were still not merged when it was made; 0 when it saw all that this replica
    /// knew of.
    pub behind: u64,
}
