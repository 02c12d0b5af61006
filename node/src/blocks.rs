//! What other peers may ask of us.

use crate::handle::{Handle, WeakHandle};
use anabranch_core::{Bytes, Cid};

/// Serves this datastore's blocks to other peers. A clone serves the same; it does not keep the datastore open.
#[derive(Clone, Debug)]
pub struct Blocks {
    handle: WeakHandle,
}

impl Blocks {
    pub(crate) const fn new(handle: WeakHandle) -> Self {
        Self { handle }
    }

    /// The bytes of a block that is here and durable; `None` for one that is not here, and when the datastore is closed or has stopped.
    pub async fn get(&self, cid: Cid) -> Option<Bytes> {
        let handle: Handle = self.handle.upgrade()?;
        handle.view(move |view| view.block(&cid)).await.ok().flatten()
    }
}
