//! A network inside one program: several datastores of a process, or a test.

use super::{Broadcaster, DagSyncer, Fetched, NetError};
use crate::{Blocks, sync::lock};
use anabranch_core::{Bytes, Cid, Peer};
use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

/// How a [`LocalNetwork`] treats what is sent over it. The default loses nothing and takes no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalNetworkOptions {
    /// How many announcements and answers of a hundred are lost (default 0). A lost answer is silence: its fetch ends when its time is over.
    pub loss_percent: u8,
    /// How long an announcement takes, and each way of a fetch (default 0). Drawn anew for each, so announcements overtake each other.
    pub latency: RangeInclusive<Duration>,
    /// Draws losses and latencies (default 0).
    pub seed: u64,
    /// Announcements that wait at a peer; more are dropped (default 1,024).
    pub inbox_max: usize,
}

impl Default for LocalNetworkOptions {
    fn default() -> Self {
        Self { loss_percent: 0, latency: Duration::ZERO..=Duration::ZERO, seed: 0, inbox_max: 1024 }
    }
}

/// A network inside one program. A clone is the same network.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use anabranch::{Datastore, LocalNetwork};
///
/// let network = LocalNetwork::new();
/// let alice = Datastore::builder().network(network.join()).memory().await?;
/// let bob = Datastore::builder().network(network.join()).memory().await?;
/// alice.put("/greeting", "hello").await?;
/// while bob.get("/greeting").await?.is_none() {
///     tokio::time::sleep(std::time::Duration::from_millis(1)).await;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LocalNetwork {
    hub: Arc<Hub>,
}

#[derive(Debug)]
struct Hub {
    options: LocalNetworkOptions,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    draws: fastrand::Rng,
    members: BTreeMap<Peer, Member>,
    joined: u64,
    lost: u64,
}

#[derive(Debug)]
struct Member {
    inbox: mpsc::Sender<(Peer, Bytes)>,
    blocks: Option<Blocks>,
    connected: bool,
}

impl Default for LocalNetwork {
    fn default() -> Self {
        Self::new()
    }
}

impl LocalNetwork {
    /// A network that loses nothing and takes no time.
    #[must_use]
    pub fn new() -> Self {
        Self::with(LocalNetworkOptions::default())
    }

    /// A network with options.
    #[must_use]
    pub fn with(options: LocalNetworkOptions) -> Self {
        let state =
            State { draws: fastrand::Rng::with_seed(options.seed), members: BTreeMap::new(), joined: 0, lost: 0 };
        Self { hub: Arc::new(Hub { options, state: Mutex::new(state) }) }
    }

    /// A new member: its two parts, for one datastore. Members are numbered from 1. It leaves when both are dropped.
    #[must_use]
    pub fn join(&self) -> (LocalBroadcaster, LocalSyncer) {
        let (inbox, received) = mpsc::channel(self.hub.options.inbox_max.max(1));
        let mut state = lock(&self.hub.state);
        state.joined += 1;
        let me = Peer(state.joined);
        state.members.insert(me, Member { inbox, blocks: None, connected: true });
        drop(state);
        let hub = self.hub.clone();
        let seat = Arc::new(Seat { me, hub });
        (LocalBroadcaster { seat: seat.clone(), received: AsyncMutex::new(received) }, LocalSyncer { seat })
    }

    /// Takes a member off the network, or puts it back: one that is off hears nothing, and nobody hears it.
    pub fn connect(&self, peer: Peer, connected: bool) {
        if let Some(member) = lock(&self.hub.state).members.get_mut(&peer) {
            member.connected = connected;
        }
    }

    /// How many announcements and answers were lost so far: by chance, at a member that is off, or in a full inbox.
    #[must_use]
    pub fn lost(&self) -> u64 {
        lock(&self.hub.state).lost
    }
}

impl Hub {
    /// Draws the fate of a message: lost, or how long it takes.
    fn draw(&self, state: &mut State) -> Option<Duration> {
        if state.draws.u8(0..100) < self.options.loss_percent {
            state.lost += 1;
            return None;
        }
        let (least, most) = (self.options.latency.start(), self.options.latency.end());
        Some(least.saturating_add(most.saturating_sub(*least).mul_f64(state.draws.f64())))
    }

    /// Puts an announcement into an inbox, unless it cannot be.
    fn deliver(&self, from: Peer, to: Peer, payload: Bytes) {
        let mut state = lock(&self.state);
        let reaches = state.is_connected(from)
            && state.members.get(&to).is_some_and(|to| to.connected && to.inbox.try_send((from, payload)).is_ok());
        state.lost += u64::from(!reaches);
    }

    /// One way of a fetch.
    async fn travel(&self) {
        let fate = self.draw(&mut lock(&self.state));
        match fate {
            Some(Duration::ZERO) => {}
            Some(takes) => tokio::time::sleep(takes).await,
            None => std::future::pending().await,
        }
    }
}

impl State {
    fn is_connected(&self, peer: Peer) -> bool {
        self.members.get(&peer).is_some_and(|member| member.connected)
    }

    /// Those that can be asked, this one first.
    fn askable(&self, me: Peer, first: Option<Peer>) -> Vec<(Peer, Blocks)> {
        if !self.is_connected(me) {
            return Vec::new();
        }
        let able = |(peer, member): (&Peer, &Member)| {
            let able = *peer != me && member.connected;
            member.blocks.clone().filter(|_| able).map(|blocks| (*peer, blocks))
        };
        let mut peers: Vec<_> = self.members.iter().filter_map(able).collect();
        peers.sort_by_key(|(peer, _)| Some(*peer) != first);
        peers
    }
}

/// A place in the network, which both parts of a member hold.
#[derive(Debug)]
struct Seat {
    me: Peer,
    hub: Arc<Hub>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.hub.state).members.remove(&self.me);
    }
}

/// The broadcaster of a member of a [`LocalNetwork`].
#[derive(Debug)]
pub struct LocalBroadcaster {
    seat: Arc<Seat>,
    received: AsyncMutex<mpsc::Receiver<(Peer, Bytes)>>,
}

impl LocalBroadcaster {
    /// The member.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.seat.me
    }
}

impl Broadcaster for LocalBroadcaster {
    async fn broadcast(&self, payload: Bytes) -> Result<(), NetError> {
        let mut state = lock(&self.seat.hub.state);
        let others: Vec<Peer> = state.members.keys().copied().filter(|peer| *peer != self.seat.me).collect();
        let fates: Vec<_> = others.into_iter().map(|peer| (peer, self.seat.hub.draw(&mut state))).collect();
        drop(state);
        for (to, fate) in fates {
            let payload = payload.clone();
            match fate {
                None => {}
                Some(Duration::ZERO) => self.seat.hub.deliver(self.seat.me, to, payload),
                Some(takes) => {
                    let (hub, from) = (self.seat.hub.clone(), self.seat.me);
                    drop(tokio::spawn(async move {
                        tokio::time::sleep(takes).await;
                        hub.deliver(from, to, payload);
                    }));
                }
            }
        }
        Ok(())
    }

    async fn next(&self) -> Result<Option<(Peer, Bytes)>, NetError> {
        Ok(self.received.lock().await.recv().await)
    }
}

/// The block exchange of a member of a [`LocalNetwork`].
#[derive(Debug)]
pub struct LocalSyncer {
    seat: Arc<Seat>,
}

impl LocalSyncer {
    /// The member.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.seat.me
    }
}

impl DagSyncer for LocalSyncer {
    fn serve(&self, blocks: Blocks) {
        if let Some(member) = lock(&self.seat.hub.state).members.get_mut(&self.seat.me) {
            member.blocks = Some(blocks);
        }
    }

    async fn fetch(&self, cid: Cid, from: Option<Peer>) -> Result<Fetched, NetError> {
        let peers = lock(&self.seat.hub.state).askable(self.seat.me, from);
        for (from, blocks) in peers {
            self.seat.hub.travel().await;
            let found = blocks.get(cid).await;
            self.seat.hub.travel().await;
            if let Some(bytes) = found {
                return Ok(Fetched { from, bytes });
            }
        }
        Err(NetError::new(format_args!("no member that can be reached has block {cid}")))
    }
}
