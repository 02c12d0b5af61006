//! The traits of a network as trait objects.

use super::{Broadcaster, DagSyncer, Fetched, NetError};
use crate::Blocks;
use anabranch_core::{Bytes, Cid, Peer};
use std::{future::Future, pin::Pin};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`Broadcaster`], object-safe.
pub(crate) trait DynBroadcaster: Send + Sync {
    fn broadcast(&self, payload: Bytes) -> Boxed<'_, Result<(), NetError>>;
    fn next(&self) -> Boxed<'_, Result<Option<(Peer, Bytes)>, NetError>>;
}

impl<B: Broadcaster> DynBroadcaster for B {
    fn broadcast(&self, payload: Bytes) -> Boxed<'_, Result<(), NetError>> {
        Box::pin(Broadcaster::broadcast(self, payload))
    }

    fn next(&self) -> Boxed<'_, Result<Option<(Peer, Bytes)>, NetError>> {
        Box::pin(Broadcaster::next(self))
    }
}

/// [`DagSyncer`], object-safe.
pub(crate) trait DynSyncer: Send + Sync {
    fn serve(&self, blocks: Blocks);
    fn fetch(&self, cid: Cid, from: Option<Peer>) -> Boxed<'_, Result<Fetched, NetError>>;
}

impl<D: DagSyncer> DynSyncer for D {
    fn serve(&self, blocks: Blocks) {
        DagSyncer::serve(self, blocks);
    }

    fn fetch(&self, cid: Cid, from: Option<Peer>) -> Boxed<'_, Result<Fetched, NetError>> {
        Box::pin(DagSyncer::fetch(self, cid, from))
    }
}
