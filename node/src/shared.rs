//! What handles and the owner share.

use crate::{
    Error, Options,
    events::Events,
    published::{Published, State},
    readers::Readers,
    sync::lock,
    transfer::FileBlocks,
    watch::Watchers,
};
use anabranch_core::Error as ReplicaError;
use std::sync::{Arc, Mutex};
use tokio::{
    runtime,
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// How the owner is.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    Running,
    Stopped(ReplicaError),
    Closed,
}

/// What handles and the owner share.
#[derive(Debug)]
pub(crate) struct Shared {
    fate: Mutex<Fate>,
    /// Where long reads wait for disks.
    pub(crate) runtime: runtime::Handle,
    /// Where short ones do; nowhere when the rows are in memory.
    pub(crate) readers: Readers,
    pub(crate) published: Published,
    pub(crate) events: Events,
    pub(crate) watchers: Watchers,
    pub(crate) reports_changes: bool,
    /// Files that blocks are imported from: they are asked before any peer is.
    pub(crate) imports: Mutex<Vec<Arc<FileBlocks>>>,
    writes: Room,
    arrivals: Room,
}

impl Shared {
    pub(crate) fn new(options: &Options, runtime: runtime::Handle, readers: Readers) -> Self {
        let Options { queue_bytes_max: bytes_max, watch_buffer, .. } = *options;
        Self {
            fate: Mutex::new(Fate::Running),
            runtime,
            readers,
            published: Published::default(),
            events: Events::new(watch_buffer),
            watchers: Watchers::new(watch_buffer),
            reports_changes: options.replica.report_changes,
            imports: Mutex::new(Vec::new()),
            writes: Room::new(bytes_max),
            arrivals: Room::new(bytes_max),
        }
    }

    pub(crate) fn set_fate(&self, fate: Fate) {
        *lock(&self.fate) = fate;
    }

    /// Why a call that was not answered was not.
    pub(crate) fn error(&self) -> Error {
        match &*lock(&self.fate) {
            Fate::Stopped(why) => Error::Stopped(why.clone()),
            Fate::Running | Fate::Closed => Error::Closed,
        }
    }

    /// The last durable state.
    pub(crate) fn state(&self) -> Result<Arc<State>, Error> {
        self.published.now().ok_or_else(|| self.error())
    }

    /// Room for a local write.
    pub(crate) const fn writes(&self) -> &Room {
        &self.writes
    }

    /// Room for what comes from peers: of its own, since a write may wait for it.
    pub(crate) const fn arrivals(&self) -> &Room {
        &self.arrivals
    }
}

/// Bytes that may wait.
#[derive(Debug)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    bytes_max: u32,
}

/// What anything that waits costs beside its bytes.
const OVERHEAD_BYTES: usize = 512;

impl Room {
    fn new(bytes_max: usize) -> Self {
        let bytes_max = u32::try_from(bytes_max).unwrap_or(u32::MAX);
        Self { free: Arc::new(Semaphore::new(bytes_max as usize)), bytes_max }
    }

    /// Waits until there is room for so many bytes; what is larger than all of it waits until nothing else is there.
    pub(crate) async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let wanted = u32::try_from(bytes.saturating_add(OVERHEAD_BYTES)).unwrap_or(u32::MAX).min(self.bytes_max);
        self.free.clone().acquire_many_owned(wanted).await.ok()
    }
}
