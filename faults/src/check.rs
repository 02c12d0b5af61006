//! What must hold of a store after a crash, however it came about.

use crate::script::{Reference, Script, Side, World, config, side};
use anabranch_core::{Batch, Config};
use anabranch_core::{
    Bytes, Cid, DagName, Error, Input, Key, Peer, Query, Replica, Timer, Token,
    store::{MemoryStore, Store},
};
use anabranch_sim::fold::{Folded, fold};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// How often the fetch timer may run out before all that is owed must be there.
const FETCH_ROUNDS_MAX: usize = 200;
/// How often the two replicas may announce before they must agree.
const ANNOUNCE_ROUNDS_MAX: usize = 10;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The store, or the replica on it, did not open or did not work.
    Fails(String),
    /// A block is gone whose merging was synced, and with it an acknowledged write or the commit of a merge.
    Lost(Cid),
    /// A block is merged that cannot have been yet.
    FromNowhere(Cid),
    /// A merged block's parent is not merged, or its bytes are not its own: half of a commit is there.
    HalfThere(String),
    /// State, heads or counts are not those of the merged blocks.
    NotTheFold(String),
    /// A block that the replica owes is not pursued to the end.
    Forgotten(Cid),
    /// It does not come to agree with a healthy replica.
    Diverged(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fails(why) => write!(f, "it fails: {why}"),
            Self::Lost(cid) => write!(f, "the block {cid} was merged and synced, and is not merged now"),
            Self::FromNowhere(cid) => write!(f, "the block {cid} is merged before it can have been"),
            Self::HalfThere(what) => write!(f, "half of a commit is there: {what}"),
            Self::NotTheFold(what) => write!(f, "what it shows is not what its blocks say: {what}"),
            Self::Forgotten(cid) => write!(f, "the block {cid} was owed before the crash, and nobody pursues it"),
            Self::Diverged(what) => write!(f, "it does not come to agree with a healthy replica: {what}"),
        }
    }
}

impl std::error::Error for Broken {}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Fails(error.to_string())
    }
}

/// Judges what crashes leave of one script.
#[derive(Clone, Debug)]
pub struct Judge {
    reference: Reference,
    /// The healthy replica, as of so many syncs.
    healthy: Option<(usize, MemoryStore)>,
}

impl Judge {
    /// Plays the script once on a store that never fails.
    ///
    /// # Errors
    /// Never, but for a fault of ours.
    pub fn of(script: &Script) -> Result<Self, Error> {
        Ok(Self { reference: Reference::of(script)?, healthy: None })
    }

    /// What the run promised.
    #[must_use]
    pub const fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Opens a replica on what a crash has left after so many syncs had succeeded, and brings it together with a healthy one.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub fn after_crash<S: Store>(&mut self, store: S, synced: usize) -> Result<(), Broken> {
        let mut ours = Side::open(store, config())?;
        let before = side::merged(&ours.replica)?;
        self.nothing_lost(&before, synced)?;
        shows_the_fold(&ours.replica, &before)?;
        ours.sync()?;
        ours.release();

        let served = self.reference.served(synced);
        ours.settle(FETCH_ROUNDS_MAX, |cid| Ok(served.get(cid).cloned()))?;
        for cid in self.reference.due(synced) {
            if !ours.replica.is_merged(&cid)? {
                return Err(Broken::Forgotten(cid));
            }
        }

        let mut healthy = Side::open(self.healthy(synced)?, Config::default())?;
        converge(&mut ours, &mut healthy, &served)?;
        goes_on(&mut ours)
    }

    fn nothing_lost(&self, merged: &World, synced: usize) -> Result<(), Broken> {
        if let Some(cid) = self.reference.must_be_merged(synced).iter().find(|cid| !merged.contains_key(cid)) {
            return Err(Broken::Lost(*cid));
        }
        let may = self.reference.may_be_merged(synced);
        match merged.keys().find(|cid| !may.contains(cid)) {
            Some(cid) => Err(Broken::FromNowhere(*cid)),
            None => Ok(()),
        }
    }

    /// A replica that has all that the others had.
    fn healthy(&mut self, synced: usize) -> Result<MemoryStore, Error> {
        if let Some((_, store)) = self.healthy.as_ref().filter(|(at, _)| *at == synced) {
            return Ok(store.clone());
        }
        let served = self.reference.served(synced);
        let mut side = Side::open(MemoryStore::new(), Config::default())?;
        for (cid, bytes) in &served {
            side.input(Input::Block { from: Peer(1), cid: *cid, bytes: bytes.clone(), attempt: 0 })?;
        }
        side.settle(FETCH_ROUNDS_MAX, |cid| Ok(served.get(cid).cloned()))?;
        let store = side.replica.into_store();
        self.healthy = Some((synced, store.clone()));
        Ok(store)
    }
}

/// State, heads and counts are those of the merged blocks, and their parents are among them.
///
/// # Errors
/// What is otherwise.
pub fn shows_the_fold<S: Store>(replica: &Replica<S>, merged: &World) -> Result<(), Broken> {
    for (cid, bytes) in merged {
        if Cid::of(bytes) != *cid {
            return Err(Broken::HalfThere(format!("the bytes kept for {cid} are not its own")));
        }
    }
    let folded = fold(merged);
    if let Some(missing) = folded.missing.first() {
        return Err(Broken::HalfThere(format!("{missing}, a parent of a merged block, is not merged")));
    }
    let differs = |what: &str, found: String, wanted: String| {
        Err(Broken::NotTheFold(format!("{what}: found {found}, and the blocks say {wanted}")))
    };
    let (state, heads) = (state(replica)?, heads(replica)?);
    if state != folded.state {
        return differs(
            "the state",
            format!("{} keys", state.len()),
            format!("{} keys, or others", folded.state.len()),
        );
    }
    if heads != folded.heads {
        return differs("the heads", format!("{heads:?}"), format!("{:?}", folded.heads));
    }
    let stats = replica.stats();
    let found = (stats.merged, stats.void, stats.heads, stats.height_max, stats.misdeclared);
    let wanted = counts(merged, &folded);
    // A void block may be merged before the good block for which it is merged; then that one is owed.
    if found != wanted && !replica.is_behind() {
        return differs("(merged, void, heads, height, misdeclared)", format!("{found:?}"), format!("{wanted:?}"));
    }
    Ok(())
}

fn counts(merged: &World, folded: &Folded) -> (u64, u64, u64, u64, u64) {
    let heads = folded.heads.values().map(|heads| heads.len() as u64).sum();
    let height = folded.heights.values().copied().max().unwrap_or(0);
    (merged.len() as u64, folded.void, heads, height, folded.misdeclared)
}

fn state<S: Store>(replica: &Replica<S>) -> Result<BTreeMap<Key, Bytes>, Error> {
    let rows = replica.query(&Query::default())?;
    Ok(rows.into_iter().map(|row| (row.key, row.value.unwrap_or_default())).collect())
}

fn heads<S: Store>(replica: &Replica<S>) -> Result<BTreeMap<DagName, BTreeSet<Cid>>, Error> {
    let mut heads: BTreeMap<DagName, BTreeSet<Cid>> = BTreeMap::new();
    for head in replica.heads()? {
        heads.entry(head.dag).or_default().insert(head.cid);
    }
    Ok(heads)
}

/// The two hear nothing but each other's rounds of announcing until they have the same blocks and show the same.
fn converge<S: Store>(ours: &mut Side<S>, healthy: &mut Side<MemoryStore>, served: &World) -> Result<(), Broken> {
    for round in 0.. {
        ours.fire(Timer::Rebroadcast)?;
        healthy.fire(Timer::Rebroadcast)?;
        ours.pull(|cid| Ok(served.get(cid).cloned()))?;
        healthy.pull(|cid| ours.replica.block(cid))?;
        for payload in std::mem::take(&mut ours.sent) {
            healthy.hear(Peer(1), payload)?;
        }
        healthy.settle(FETCH_ROUNDS_MAX, |cid| match served.get(cid) {
            Some(bytes) => Ok(Some(bytes.clone())),
            None => ours.replica.block(cid),
        })?;
        for payload in std::mem::take(&mut healthy.sent) {
            ours.hear(Peer(2), payload)?;
        }
        ours.settle(FETCH_ROUNDS_MAX, |cid| healthy.replica.block(cid))?;
        let (here, there) = (side::merged(&ours.replica)?, side::merged(&healthy.replica)?);
        if here == there && !ours.replica.is_behind() && !healthy.replica.is_behind() {
            shows_the_fold(&ours.replica, &here)?;
            return shows_the_fold(&healthy.replica, &there);
        }
        if round == ANNOUNCE_ROUNDS_MAX {
            let what = format!("{} blocks merged here, {} there", here.len(), there.len());
            return Err(Broken::Diverged(what));
        }
    }
    Ok(())
}

/// It takes a write, and acknowledges it.
fn goes_on<S: Store>(ours: &mut Side<S>) -> Result<(), Broken> {
    let token = Token(u64::MAX);
    ours.input(Input::Commit { token, batch: Batch::new().put("/after", "the crash") })?;
    ours.sync()?;
    ours.release();
    match ours.acknowledged.iter().any(|(done, _)| *done == token) {
        true if ours.replica.get(&Key::new("/after"))?.as_deref() == Some(b"the crash") => Ok(()),
        true => Err(Broken::NotTheFold("a put after the crash does not show".into())),
        false => Err(Broken::Fails("a put after the crash is not acknowledged".into())),
    }
}
