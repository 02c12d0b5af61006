//! A network whose other end is the test.

use anabranch::{Blocks, Broadcaster, Bytes, Cid, DagSyncer, Fetched, NetError, Peer, wire};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, mpsc};

/// Both parts of a member, and what the test sees of them. A clone is the same.
#[derive(Clone)]
pub(crate) struct Puppet(Arc<Inner>);

struct Inner {
    out: mpsc::UnboundedSender<Bytes>,
    sent: AsyncMutex<mpsc::UnboundedReceiver<Bytes>>,
    inbox: mpsc::UnboundedSender<(Peer, Bytes)>,
    arriving: AsyncMutex<mpsc::UnboundedReceiver<(Peer, Bytes)>>,
    /// Whoever holds it lets nothing out.
    gate: AsyncMutex<()>,
    taken: AtomicU64,
    fetches: Mutex<Fetches>,
    /// What is served at once; all other fetches hang.
    blocks: Mutex<BTreeMap<Cid, Bytes>>,
}

/// The fetches so far.
#[derive(Clone, Default)]
pub(crate) struct Fetches {
    pub(crate) asked: Vec<(Cid, Option<Peer>)>,
    pub(crate) running: usize,
    pub(crate) most: usize,
}

impl Puppet {
    pub(crate) fn new() -> Self {
        let (out, sent) = mpsc::unbounded_channel();
        let (inbox, arriving) = mpsc::unbounded_channel();
        Self(Arc::new(Inner {
            out,
            sent: sent.into(),
            inbox,
            arriving: arriving.into(),
            gate: AsyncMutex::new(()),
            taken: AtomicU64::new(0),
            fetches: Mutex::default(),
            blocks: Mutex::default(),
        }))
    }

    pub(crate) fn both(&self) -> (Self, Self) {
        (self.clone(), self.clone())
    }

    /// The next message that the datastore sends: its heads.
    pub(crate) async fn sent(&self) -> Vec<Cid> {
        let payload = self.0.sent.lock().await.recv().await.unwrap();
        wire::decode_announcement(&payload).unwrap().heads
    }

    /// As `sent`, if one is there.
    pub(crate) fn try_sent(&self) -> Option<Vec<Cid>> {
        let payload = self.0.sent.try_lock().unwrap().try_recv().ok()?;
        Some(wire::decode_announcement(&payload).unwrap().heads)
    }

    /// A peer announces these in one message.
    pub(crate) fn announce(&self, from: Peer, heads: &[Cid]) {
        let dag = anabranch::DagName::default();
        let payloads = wire::encode_announcements(heads.iter().map(|head| (*head, &dag)), 1 << 19);
        assert_eq!(payloads.len(), 1);
        payloads.into_iter().for_each(|payload| self.arrives(from, payload));
    }

    pub(crate) fn arrives(&self, from: Peer, payload: Bytes) {
        self.0.inbox.send((from, payload)).unwrap();
    }

    /// How many payloads the datastore has taken in.
    pub(crate) fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Lets nothing out as long as the guard lives.
    pub(crate) async fn shut(&self) -> MutexGuard<'_, ()> {
        self.0.gate.lock().await
    }

    pub(crate) fn serve_block(&self, bytes: Bytes) -> Cid {
        let cid = Cid::of(&bytes);
        self.0.blocks.lock().unwrap().insert(cid, bytes);
        cid
    }

    pub(crate) fn fetches(&self) -> Fetches {
        self.0.fetches.lock().unwrap().clone()
    }
}

impl Broadcaster for Puppet {
    async fn broadcast(&self, payload: Bytes) -> Result<(), NetError> {
        let _guard = self.0.gate.lock().await;
        self.0.out.send(payload).unwrap();
        Ok(())
    }

    async fn next(&self) -> Result<Option<(Peer, Bytes)>, NetError> {
        let next = self.0.arriving.lock().await.recv().await;
        self.0.taken.fetch_add(1, Ordering::Relaxed);
        Ok(next)
    }
}

struct Running(Puppet);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.fetches.lock().unwrap().running -= 1;
    }
}

impl DagSyncer for Puppet {
    fn serve(&self, _: Blocks) {}

    async fn fetch(&self, cid: Cid, from: Option<Peer>) -> Result<Fetched, NetError> {
        let served = self.0.blocks.lock().unwrap().get(&cid).cloned();
        {
            let mut fetches = self.0.fetches.lock().unwrap();
            fetches.asked.push((cid, from));
            fetches.running += 1;
            fetches.most = fetches.most.max(fetches.running);
        }
        let _running = Running(self.clone());
        match served {
            Some(bytes) => Ok(Fetched { from: from.unwrap_or(Peer(1)), bytes }),
            None => std::future::pending().await,
        }
    }
}
