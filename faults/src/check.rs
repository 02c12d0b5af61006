//! What must hold of a store after a crash, however it came about.

use crate::script::{Reference, Script, Side, World, config, side};
use anabranch_core::{
    Batch, Bytes, Cid, Config, DagName, Error, Input, Key, Outcome, Peer, Query, Replica, Timer, Token,
    store::{MemoryStore, Store, Table},
};
use anabranch_sim::fold::{Facts, Folded, fold_with};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::ControlFlow,
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
    /// A block is gone, or its bytes are still there, against what an operator has decided; and the decision was synced.
    Undecided(String),
    /// A block is merged that cannot have been yet.
    FromNowhere(Cid),
    /// A merged block's parent is not merged, or its bytes are not its own: half of a commit is there.
    HalfThere(String),
    /// State, heads or counts are not those of the merged blocks.
    NotTheFold(String),
    /// Verifying the store finds what nothing else has come by.
    Damaged(String),
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
            Self::Undecided(what) => write!(f, "what an operator has decided is not so: {what}"),
            Self::FromNowhere(cid) => write!(f, "the block {cid} is merged before it can have been"),
            Self::HalfThere(what) => write!(f, "half of a commit is there: {what}"),
            Self::NotTheFold(what) => write!(f, "what it shows is not what its blocks say: {what}"),
            Self::Damaged(what) => write!(f, "verifying it ended with {what}"),
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

    /// Opens a replica on what a crash has left after so many syncs had succeeded, lets a task that was cut off go on to its end, and brings
    /// it together with a healthy one.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub fn after_crash<S: Store>(&mut self, store: S, synced: usize) -> Result<(), Broken> {
        let mut ours = Side::open(store, config())?;
        let before = side::merged(&ours.replica)?;
        let facts = side::facts(&ours.replica, &before)?;
        self.nothing_lost(&before, &facts, synced)?;
        self.as_decided(&facts, synced)?;
        shows_the_fold(&ours.replica, &before, &facts)?;
        ours.sync()?;
        ours.release();
        // What nobody serves is given up (again, where that was lost).
        let hopeless = self.reference.hopeless(synced);
        give_up(&mut ours, &hopeless)?;

        let served = self.reference.served(synced);
        ours.settle(FETCH_ROUNDS_MAX, |cid| Ok(served.get(cid).cloned()))?;
        for cid in self.reference.due(synced) {
            if !ours.replica.is_merged(&cid)? && !facts.purged.contains_key(&cid) {
                return Err(Broken::Forgotten(cid));
            }
        }

        let mut healthy = Side::open(self.healthy(synced)?, Config::default())?;
        converge(&mut ours, &mut healthy, &served, &hopeless)?;
        goes_on(&mut ours)?;
        verifies(&mut ours)
    }

    fn nothing_lost(&self, merged: &World, facts: &Facts, synced: usize) -> Result<(), Broken> {
        // What was purged may have been all that a void block was kept for.
        let is_void = |cid: &Cid| self.reference.is_void(cid);
        let may_go = |cid: &Cid| facts.purged.contains_key(cid) || !facts.purged.is_empty() && is_void(cid);
        let must = self.reference.must_be_merged(synced);
        if let Some(cid) = must.iter().find(|cid| !merged.contains_key(cid) && !may_go(cid)) {
            return Err(Broken::Lost(*cid));
        }
        let may = self.reference.may_be_merged(synced);
        match merged.keys().find(|cid| !may.contains(cid)) {
            Some(cid) => Err(Broken::FromNowhere(*cid)),
            None => Ok(()),
        }
    }

    /// Purged is what was to be purged, and given up what was given up; what the last sync did not cover may be missing.
    fn as_decided(&self, facts: &Facts, synced: usize) -> Result<(), Broken> {
        let purged: BTreeSet<Cid> = facts.purged.keys().copied().collect();
        let decided = [
            ("purged", &purged, self.reference.must_be_purged(synced), self.reference.may_be_purged(synced)),
            (
                "given up",
                &facts.abandoned,
                self.reference.must_be_given_up(synced),
                self.reference.may_be_given_up(synced),
            ),
        ];
        for (what, are, must_be, may_be) in decided {
            if let Some(cid) = must_be.difference(are).next() {
                return Err(Broken::Undecided(format!("the block {cid} was {what}, and is not")));
            }
            if let Some(cid) = are.difference(&may_be).next() {
                return Err(Broken::Undecided(format!("the block {cid} is {what}, and never was")));
            }
        }
        Ok(())
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

/// State, heads and counts are those of the merged blocks and of what is decided without bytes, their parents are among them, and no task
/// has left anything.
///
/// # Errors
/// What is otherwise.
pub fn shows_the_fold<S: Store>(replica: &Replica<S>, merged: &World, facts: &Facts) -> Result<(), Broken> {
    for (cid, bytes) in merged {
        if Cid::of(bytes) != *cid {
            return Err(Broken::HalfThere(format!("the bytes kept for {cid} are not its own")));
        }
    }
    let folded = fold_with(merged, facts);
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
    let found =
        [stats.merged, stats.void, stats.heads, stats.height_max, stats.misdeclared, stats.purged, stats.abandoned];
    let wanted = counts(merged, facts, &folded);
    // A void block may be merged before the good block for which it is merged; then that one is owed.
    if found != wanted && !replica.is_behind() {
        let what = "[merged, void, heads, height, misdeclared, purged, abandoned]";
        return differs(what, format!("{found:?}"), format!("{wanted:?}"));
    }
    let mut notes = 0;
    replica
        .store()
        .scan(Table::Derive, &[], &[], &mut |_, _| {
            notes += 1;
            ControlFlow::Continue(())
        })
        .map_err(Error::from)?;
    if notes > 0 || replica.task().is_some() {
        return Err(Broken::HalfThere(format!("{notes} notes of a task ({:?})", replica.task())));
    }
    Ok(())
}

fn counts(merged: &World, facts: &Facts, folded: &Folded) -> [u64; 7] {
    let heads = folded.heads.values().map(|heads| heads.len() as u64).sum();
    // The height of a purged block is remembered.
    let height = folded.heights.values().chain(facts.purged.values()).copied().max().unwrap_or(0);
    let (purged, abandoned) = (facts.purged.len() as u64, facts.abandoned.len() as u64);
    [merged.len() as u64, folded.void, heads, height, folded.misdeclared, purged, abandoned]
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
fn converge<S: Store>(
    ours: &mut Side<S>,
    healthy: &mut Side<MemoryStore>,
    served: &World,
    hopeless: &BTreeSet<Cid>,
) -> Result<(), Broken> {
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
        // What one gives up, all give up that need it.
        give_up(ours, hopeless)?;
        give_up(healthy, hopeless)?;
        let (here, there) = (side::merged(&ours.replica)?, side::merged(&healthy.replica)?);
        let facts = side::facts(&ours.replica, &here)?;
        if is_agreed(&here, &facts, &there) && !ours.replica.is_behind() && !healthy.replica.is_behind() {
            shows_the_fold(&ours.replica, &here, &facts)?;
            return shows_the_fold(&healthy.replica, &there, &side::facts(&healthy.replica, &there)?);
        }
        if round == ANNOUNCE_ROUNDS_MAX {
            let what = format!("{} blocks merged here, {} there", here.len(), there.len());
            return Err(Broken::Diverged(what));
        }
    }
    Ok(())
}

/// An operator gives up what nobody serves, where it is missing.
fn give_up<S: Store>(side: &mut Side<S>, hopeless: &BTreeSet<Cid>) -> Result<(), Error> {
    hopeless.iter().try_for_each(|cid| side.input(Input::Abandon { token: Token(u64::MAX), cid: *cid }))
}

/// Whether the healthy replica has merged the same, but for what is purged or given up here.
fn is_agreed(here: &World, facts: &Facts, there: &World) -> bool {
    let is_decided = |cid: &Cid| facts.purged.contains_key(cid) || facts.abandoned.contains(cid);
    let has = |world: &World, cid: &Cid, bytes: &Bytes| {
        // A void block that only purged ones needed is known to one of the two.
        world.contains_key(cid) || is_decided(cid) || !facts.purged.is_empty() && side::is_void(bytes)
    };
    here.iter().all(|(cid, bytes)| has(there, cid, bytes)) && there.iter().all(|(cid, bytes)| has(here, cid, bytes))
}

/// All rows are what the blocks say, by another path than the fold's.
fn verifies<S: Store>(ours: &mut Side<S>) -> Result<(), Broken> {
    ours.input(Input::Verify { token: Token(u64::MAX) })?;
    match ours.outcomes.last() {
        Some(Outcome::Verified { faults: 0, .. }) => Ok(()),
        other => Err(Broken::Damaged(format!("{other:?}"))),
    }
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
