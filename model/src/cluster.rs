//! The state of the world, and what an event does to it.

use crate::fold::fold;
use anabranch_core::{
    Batch, Bytes, Cid, Config, Effect, Error, Input, Key, Peer, Progress, Query, Replica, Timer, Token,
    store::MemoryStore,
};
use std::collections::{BTreeMap, BTreeSet};

/// A message under way. Equal messages are one: what a second copy does, a duplicated delivery does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Message {
    /// Who sent it: the number of a replica.
    pub from: usize,
    /// Who is to get it.
    pub to: usize,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Body {
    /// An announcement of heads.
    Heads(Bytes),
    /// A request for a block.
    Fetch(Cid, u32),
    /// The answer, with the block or without.
    Answer(Cid, u32, Option<Bytes>),
}

/// One replica, the timers that it has set, and what it has promised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// The replica itself.
    pub replica: Replica<MemoryStore>,
    /// The timers that are set.
    pub timers: BTreeSet<Timer>,
    /// The blocks of the commits that it has acknowledged.
    pub acknowledged: BTreeSet<Cid>,
    /// How many operations of its script it has been given.
    pub written: usize,
}

/// The state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// The replicas.
    pub nodes: Vec<Node>,
    /// The messages under way.
    pub net: BTreeSet<Message>,
    /// Messages that have been lost.
    pub lost: u8,
    /// Messages that have been delivered and are under way still.
    pub duplicated: u8,
    /// Timers that have run out while messages were under way.
    pub early: u8,
    /// Replicas that have crashed.
    pub crashed: u8,
    /// What went wrong, if anything ever did: a failed step, a commit that ended twice or not at all.
    pub fault: Option<String>,
}

/// Fetches are limited to one tick, so that a timer runs out in one step.
fn config() -> Config {
    Config { fetch_timeout_ticks: 1, ..Config::default() }
}

impl Cluster {
    /// So many empty replicas.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        let mut cluster =
            Self { nodes: Vec::new(), net: BTreeSet::new(), lost: 0, duplicated: 0, early: 0, crashed: 0, fault: None };
        for at in 0..nodes {
            match open(MemoryStore::new()) {
                Ok((replica, effects)) => {
                    let (timers, acknowledged) = (BTreeSet::new(), BTreeSet::new());
                    cluster.nodes.push(Node { replica, timers, acknowledged, written: 0 });
                    cluster.perform(at, effects);
                }
                Err(error) => cluster.fault = Some(error.to_string()),
            }
        }
        cluster
    }

    /// Gives a replica an input, goes on to the end, syncs, and lets the effects leave.
    pub(crate) fn input(&mut self, at: usize, input: Input) {
        let replica = &mut self.nodes[at].replica;
        let mut effects = Vec::new();
        let mut step = |input| replica.step(input, &mut effects);
        let mut progress = step(input);
        while progress == Ok(Progress::More) {
            progress = step(Input::Continue);
        }
        match progress.and_then(|_| self.nodes[at].replica.sync()) {
            Ok(()) => self.perform(at, effects),
            Err(error) => self.fault = Some(error.to_string()),
        }
    }

    /// A replica's next operation.
    pub(crate) fn write(&mut self, at: usize, batch: Batch) {
        let token = Token(self.nodes[at].written as u64);
        self.nodes[at].written += 1;
        self.input(at, Input::Commit { token, batch });
    }

    /// A timer runs out.
    pub(crate) fn fire(&mut self, at: usize, timer: Timer) {
        self.nodes[at].timers.remove(&timer);
        self.input(at, Input::Timer(timer));
    }

    /// A message arrives. It stays under way if it was `duplicated`.
    pub(crate) fn deliver(&mut self, message: &Message, duplicated: bool) {
        if !duplicated {
            self.net.remove(message);
        }
        let (from, to) = (Peer(message.from as u64), message.to);
        match &message.body {
            Body::Heads(payload) => self.input(to, Input::Broadcast { from, payload: payload.clone() }),
            Body::Answer(cid, attempt, Some(bytes)) => {
                self.input(to, Input::Block { from, cid: *cid, bytes: bytes.clone(), attempt: *attempt });
            }
            Body::Answer(cid, attempt, None) => self.input(to, Input::FetchFailed { cid: *cid, attempt: *attempt }),
            Body::Fetch(cid, attempt) => match self.nodes[to].replica.block(cid) {
                Ok(block) => self.send(to, message.from, Body::Answer(*cid, *attempt, block)),
                Err(error) => self.fault = Some(error.to_string()),
            },
        }
    }

    /// A replica's process dies and comes back with what its store holds.
    pub(crate) fn crash(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        match open(node.replica.clone().into_store()) {
            Ok((replica, effects)) => {
                node.replica = replica;
                node.timers.clear();
                self.perform(at, effects);
                if self.nodes[at].replica.progress() == Progress::More {
                    self.input(at, Input::Continue);
                }
            }
            Err(error) => self.fault = Some(error.to_string()),
        }
    }

    fn perform(&mut self, at: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Broadcast(payload) => {
                    for to in (0..self.nodes.len()).filter(|to| *to != at) {
                        self.send(at, to, Body::Heads(payload.clone()));
                    }
                }
                Effect::Fetch { cid, from, attempt } => {
                    let to = from.map_or(1 - at.min(1), |peer| peer.0 as usize);
                    self.send(at, to, Body::Fetch(cid, attempt));
                }
                Effect::Committed { blocks, .. } => self.nodes[at].acknowledged.extend(blocks),
                Effect::Refused { why, .. } => self.fault = Some(why.to_string()),
                Effect::SetTimer { timer, .. } => {
                    if !self.nodes[at].timers.insert(timer) {
                        self.fault = Some(format!("{timer:?} is set twice"));
                    }
                }
                Effect::Finished { .. } | Effect::Notify(_) => {}
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, body: Body) {
        self.net.insert(Message { from, to, body });
    }

    /// The world some rounds later, if from now on nothing is lost and all timers run out in turn.
    #[must_use]
    pub fn healed(&self) -> Self {
        let mut cluster = self.clone();
        for _ in 0..4 {
            for at in 0..cluster.nodes.len() {
                for timer in cluster.nodes[at].timers.clone() {
                    cluster.fire(at, timer);
                    while let Some(message) = cluster.net.first().cloned() {
                        cluster.deliver(&message, false);
                    }
                }
            }
        }
        cluster
    }
}

fn open(store: MemoryStore) -> Result<(Replica<MemoryStore>, Vec<Effect>), Error> {
    let mut effects = Vec::new();
    let replica = Replica::open(store, config(), &mut effects)?;
    Ok((replica, effects))
}

impl Node {
    /// The blocks that the replica has merged.
    fn blocks(&self) -> Option<BTreeMap<Cid, Bytes>> {
        let merged = self.replica.merged(None, 100).ok()?;
        merged.into_iter().map(|cid| Some((cid, self.replica.block(&cid).ok()??))).collect()
    }

    /// What the replica shows: keys with their values, and the heads.
    #[must_use]
    pub fn shown(&self) -> Option<(BTreeMap<Key, Bytes>, BTreeSet<Cid>)> {
        let rows = self.replica.query(&Query::default()).ok()?;
        let state = rows.into_iter().map(|row| Some((row.key, row.value?))).collect::<Option<_>>()?;
        Some((state, self.replica.heads().ok()?.into_iter().map(|head| head.cid).collect()))
    }

    /// Whether what the replica shows is the fold of what it has merged, ancestors and
    /// acknowledged writes included.
    #[must_use]
    pub fn is_fold(&self) -> bool {
        let Some(blocks) = self.blocks() else { return false };
        let shown = self.shown();
        shown.is_some() && shown == fold(&blocks) && self.acknowledged.iter().all(|cid| blocks.contains_key(cid))
    }
}
