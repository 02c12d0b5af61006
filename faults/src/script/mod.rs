//! The scripted run that every sweep plays: what it does depends on its seed and on nothing else, least of all
//! on the engine under it.
//!
//! One replica is the one under test. Two others write, hear it, and are heard by it. It writes and deletes, merges what they
//! wrote, holds blocks whose parents are late, void blocks, tombstones that come before their target, and bodies that it had to
//! drop; an operator purges, verifies, rebuilds, imports, and gives blocks up, and all else goes on meanwhile; and it syncs after some of
//! that, as a driver would that gathers callers.

mod reference;
pub(crate) mod side;
mod tasks;

pub use reference::Reference;
pub use side::{Side, World, rows};

use anabranch_core::{
    Batch, Bytes, Cid, Config, DagName, Error, Input, Key, Peer, Replica, Timer, Token,
    store::{MemoryStore, Store},
    wire::{Block, Delta, Element, Tombstone},
};
use anabranch_sim::engine::{self, Draws};
use std::collections::{BTreeMap, BTreeSet};

/// Keys that the script writes.
const KEYS: u64 = 60;
/// Those that are written most.
const HOT_KEYS: u64 = 4;

/// Which run.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// Of all that it draws.
    pub seed: u64,
    /// How many things happen.
    pub actions: usize,
}

/// Settings of the replica under test: small, so that bodies are dropped and work is left for another step.
#[must_use]
pub fn config() -> Config {
    Config {
        pending_bytes_max: 24 << 10,
        step_bytes_max: 4 << 10,
        fetches_max: 16,
        fetches_per_peer_max: 8,
        ..Config::default()
    }
}

/// Who wants to know how far a run is. The `n`-th sync covers all that came before it; the first is the 0th.
pub trait Watch<S> {
    /// All commits that the `n`-th sync is to cover have been made.
    fn syncing(&mut self, n: usize);
    /// The `n`-th sync has succeeded, and what waits for it is about to leave.
    ///
    /// # Errors
    /// When the replica cannot be read.
    fn synced(&mut self, n: usize, run: &Run<S>) -> Result<(), Error>;
}

/// Counts the syncs: all that was promised when a run ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Synced(
    /// How many.
    pub usize,
);

impl<S> Watch<S> for Synced {
    fn syncing(&mut self, _: usize) {}

    fn synced(&mut self, n: usize, _: &Run<S>) -> Result<(), Error> {
        self.0 = n + 1;
        Ok(())
    }
}

/// A run in progress.
pub struct Run<S> {
    ours: Side<S>,
    peers: [Side<MemoryStore>; 2],
    /// Blocks that the others have.
    served: World,
    /// Good blocks that the replica under test was given: it owes all their ancestors.
    received: BTreeSet<Cid>,
    /// Announcements of the others on their way to it.
    heard: Vec<(Peer, Bytes)>,
    draws: Draws,
    tokens: u64,
    syncs: usize,
    /// Blocks that a purge has taken, or will.
    doomed: BTreeSet<Cid>,
    /// Blocks that nobody serves, unless they turn up.
    withheld: BTreeMap<Cid, Withheld>,
}

/// A block that nobody serves.
#[derive(Clone, Debug)]
struct Withheld {
    bytes: Bytes,
    /// Whether the replica under test was told that it is lost.
    is_given_up: bool,
}

impl<S> Run<S> {
    /// The replica under test.
    pub const fn replica(&self) -> &Replica<S> {
        &self.ours.replica
    }
}

/// Plays the script on a replica over this store. Opening is part of it.
///
/// # Errors
/// When the store fails.
pub fn play<S: Store>(script: &Script, store: S, watch: &mut impl Watch<S>) -> Result<(), Error> {
    let peer = || Side::open(MemoryStore::new(), Config::default());
    let mut run = Run {
        ours: Side::open(store, config())?,
        peers: [peer()?, peer()?],
        served: World::new(),
        received: BTreeSet::new(),
        heard: Vec::new(),
        draws: engine::Key::of_seed(script.seed).fork("script").at(0, 0),
        tokens: 0,
        syncs: 0,
        doomed: BTreeSet::new(),
        withheld: BTreeMap::new(),
    };
    run.ours.is_patient = true;
    run.sync(watch)?;
    for _ in 0..script.actions {
        run.act()?;
        if run.draws.chance(0.4) {
            run.sync(watch)?;
        }
    }
    // The last word: what was begun ends, all that was announced comes, and all that is owed is paid or given up.
    run.ours.is_patient = false;
    run.ours.go_on()?;
    run.give_all_up()?;
    run.hear(usize::MAX)?;
    let served = run.served.clone();
    run.ours.settle(100, |cid| Ok(served.get(cid).cloned()))?;
    run.sync(watch)
}

impl<S: Store> Run<S> {
    fn act(&mut self) -> Result<(), Error> {
        match self.draws.below(100) {
            0..25 => self.write(),
            25..50 => self.peer_writes(),
            50..58 => self.hear(2),
            58..74 => self.answer(),
            74..86 => self.operate(),
            86..89 => self.ours.fire(Timer::Fetch),
            89..91 => self.ours.fire(Timer::Rebroadcast),
            91..93 => self.ours.fire(Timer::Answer),
            93..96 => self.unasked(),
            96..98 => self.early_tombstone(),
            _ => self.void_block(),
        }
    }

    // ---- what happens

    fn write(&mut self) -> Result<(), Error> {
        let batch = self.batch();
        self.tokens += 1;
        self.ours.input(Input::Commit { token: Token(self.tokens), batch })
    }

    fn batch(&mut self) -> Batch {
        let named = self.draws.chance(0.1);
        let mut batch = if named { Batch::for_dag(DagName::new("named")) } else { Batch::new() };
        for _ in 0..1 + self.draws.below(4) {
            let key = self.key();
            batch = if self.draws.chance(0.2) {
                batch.delete(key.as_bytes())
            } else {
                batch.put(key.as_bytes(), self.value())
            };
        }
        batch
    }

    fn key(&mut self) -> Key {
        // Every other write goes to a few keys, which gather versions.
        let keys = if self.draws.chance(0.5) { KEYS } else { HOT_KEYS };
        Key::new(format!("/k/{:02}", self.draws.below(keys)))
    }

    /// Mostly short; some long enough that engines keep them apart.
    fn value(&mut self) -> Bytes {
        let len = match self.draws.below(20) {
            0..14 => 10 + self.draws.below(100),
            14..19 => 1_000 + self.draws.below(4_000),
            _ => 20_000 + self.draws.below(30_000),
        };
        let mut value = vec![0; len as usize];
        self.draws.fill(&mut value);
        value.into()
    }

    /// Another replica writes a few times and announces it, not always knowing what the third wrote.
    fn peer_writes(&mut self) -> Result<(), Error> {
        let at = self.draws.below(2) as usize;
        if self.draws.chance(0.5) {
            for payload in self.peers[1 - at].sent.clone() {
                self.peers[at].hear(Peer(10), payload)?;
            }
            self.peer_pulls(at)?;
        }
        for _ in 0..1 + self.draws.below(3) {
            let batch = self.batch();
            self.tokens += 1;
            self.peers[at].input(Input::Commit { token: Token(self.tokens), batch })?;
        }
        self.peer_pulls(at)?;
        let sent = std::mem::take(&mut self.peers[at].sent);
        self.heard.extend(sent.into_iter().map(|payload| (Peer(at as u64), payload)));
        Ok(())
    }

    /// The other replica fetches from all, and keeps what it made itself for them.
    fn peer_pulls(&mut self, at: usize) -> Result<(), Error> {
        let Self { ours, peers, served, .. } = self;
        peers[at].pull(|cid| match served.get(cid) {
            Some(bytes) => Ok(Some(bytes.clone())),
            None => ours.serve(cid),
        })?;
        for head in peers[at].replica.heads()? {
            keep(served, &peers[at].replica, head.cid)?;
        }
        Ok(())
    }

    /// Some announcements arrive, not in their order.
    fn hear(&mut self, at_most: usize) -> Result<(), Error> {
        for _ in 0..at_most.min(self.heard.len()) {
            let at = self.draws.below(self.heard.len() as u64) as usize;
            let (from, payload) = self.heard.swap_remove(at);
            self.ours.hear(from, payload)?;
        }
        Ok(())
    }

    /// Some fetches are answered, some fail, some wait.
    fn answer(&mut self) -> Result<(), Error> {
        for _ in 0..self.draws.below(6) {
            if self.ours.fetches.is_empty() {
                return Ok(());
            }
            let at = self.draws.below(self.ours.fetches.len() as u64) as usize;
            let fetch = self.ours.fetches.swap_remove(at);
            let block = self.served.get(&fetch.cid).filter(|_| self.draws.chance(0.85)).cloned();
            self.note(block.as_ref());
            self.ours.answer(fetch, block)?;
        }
        Ok(())
    }

    /// A block comes that nobody asked for, an old one perhaps.
    fn unasked(&mut self) -> Result<(), Error> {
        if self.served.is_empty() {
            return Ok(());
        }
        let at = self.draws.below(self.served.len() as u64) as usize;
        let Some(bytes) = self.served.values().nth(at).cloned() else { return Ok(()) };
        self.give(bytes)
    }

    /// A tombstone comes before the version that it removes.
    fn early_tombstone(&mut self) -> Result<(), Error> {
        let key = self.key();
        let put = Delta {
            elements: vec![Element { key: key.clone(), value: self.value() }],
            priority: 1,
            ..Delta::default()
        };
        let put = Block::encode(&[], &put);
        let target = Cid::of(&put);
        let delete = Delta { tombstones: vec![Tombstone { key, target }], priority: 1, ..Delta::default() };
        self.give(Block::encode(&[], &delete))?;
        self.served.insert(target, put);
        Ok(())
    }

    /// A void block, and a good one over it. The void one has to be fetched.
    fn void_block(&mut self) -> Result<(), Error> {
        let void = self.value();
        let put =
            Delta { elements: vec![Element { key: self.key(), value: self.value() }], priority: 2, ..Delta::default() };
        let good = Block::encode(&[Cid::of(&void)], &put);
        self.served.insert(Cid::of(&void), void);
        self.give(good)
    }

    fn give(&mut self, bytes: Bytes) -> Result<(), Error> {
        let cid = Cid::of(&bytes);
        self.served.insert(cid, bytes.clone());
        self.note(Some(&bytes));
        self.ours.input(Input::Block { from: Peer(7), cid, bytes, attempt: 0 })
    }

    /// A block is about to be given. A replica that is being rebuilt does not hear.
    fn note(&mut self, block: Option<&Bytes>) {
        if let Some(bytes) = block.filter(|bytes| !side::is_void(bytes) && !self.ours.is_rebuilding()) {
            self.received.insert(Cid::of(bytes));
        }
    }

    // ---- the sync

    fn sync(&mut self, watch: &mut impl Watch<S>) -> Result<(), Error> {
        watch.syncing(self.syncs);
        self.ours.sync()?;
        watch.synced(self.syncs, self)?;
        self.syncs += 1;
        self.ours.release();
        for payload in std::mem::take(&mut self.ours.sent) {
            for at in 0..self.peers.len() {
                if self.draws.chance(0.7) {
                    self.peers[at].hear(Peer(9), payload.clone())?;
                    self.peer_pulls(at)?;
                }
            }
        }
        Ok(())
    }
}

/// Adds a block and those of its ancestors that are not there yet.
fn keep(served: &mut World, peer: &Replica<MemoryStore>, head: Cid) -> Result<(), Error> {
    let mut walk = vec![head];
    while let Some(cid) = walk.pop() {
        if served.contains_key(&cid) {
            continue;
        }
        if let Some(bytes) = peer.block(&cid)? {
            walk.extend(Block::decode(&bytes).links);
            served.insert(cid, bytes);
        }
    }
    Ok(())
}
