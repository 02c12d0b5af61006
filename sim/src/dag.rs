//! Histories in files: what they mean by the naive fold, and what a real replica makes of them.

use crate::{
    car::Car,
    fold::{self, Folded},
};
use anabranch_core::{
    Bytes, Cid, Config, DagName, Effect, Error, Input, Peer, Progress, Query, Replica, Timer,
    limits::BROADCAST_BYTES_MAX, store::MemoryStore, wire,
};
use data_encoding::HEXLOWER;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What a history means, as `anabranch dag fold --json` and `anabranch dag merge --json` print it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The heads of all DAG names, as CIDs of version 1 in base32, sorted as text.
    pub heads: BTreeSet<String>,
    /// The value of each key that has one, in hex. Keys of blocks are UTF-8, so their text tells them apart.
    pub state: BTreeMap<String, String>,
    /// How many merged blocks are void.
    pub void: u64,
    /// How many good merged blocks declare another priority than their height.
    pub misdeclared: u64,
}

impl From<&Folded> for Summary {
    fn from(folded: &Folded) -> Self {
        Self {
            heads: folded.heads.values().flatten().map(Cid::to_string).collect(),
            state: folded.state.iter().map(|(key, value)| (key.to_string(), HEXLOWER.encode(value))).collect(),
            void: folded.void,
            misdeclared: folded.misdeclared,
        }
    }
}

/// Blocks that a file should hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// The CIDs that blocks of the file link to, or its roots name. Never empty.
    pub missing: BTreeSet<Cid>,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.missing.first().map(Cid::to_string).unwrap_or_default();
        let more = match self.missing.len() {
            0 | 1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        write!(f, "the history is incomplete: it links to {first}{more}, not in the file; export the whole DAG")
    }
}

/// Why a history could not be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeError {
    /// Blocks are missing.
    Incomplete(Incomplete),
    /// The replica failed, which it never should over a store in memory.
    Replica(Error),
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete(what) => what.fmt(f),
            Self::Replica(error) => write!(f, "the replica failed: {error}"),
        }
    }
}

impl std::error::Error for MergeError {}

impl From<Error> for MergeError {
    fn from(error: Error) -> Self {
        Self::Replica(error)
    }
}

/// What a file means by the naive fold.
///
/// # Errors
/// When blocks are missing: then the state would be that of another history.
pub fn fold_car(car: &Car) -> Result<Folded, Incomplete> {
    let blocks = car.by_cid();
    let folded = fold::fold(&blocks);
    let absent_roots = car.roots.iter().copied().filter(|root| !blocks.contains_key(root));
    let missing: BTreeSet<Cid> = folded.missing.iter().copied().chain(absent_roots).collect();
    if missing.is_empty() { Ok(folded) } else { Err(Incomplete { missing }) }
}

/// What a real replica made of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Its heads, state and counts at the end.
    pub summary: Summary,
    /// Blocks given without being asked for, repeats included.
    pub given: u64,
    /// Announcements of the roots.
    pub announced: u64,
    /// Fetches that the file answered.
    pub fetched: u64,
}

/// Merges a file through a real replica over a store in memory. The seed draws the order: every
/// block comes unasked, a third of them twice, the roots are announced twice, and fetches are answered in
/// between.
///
/// # Errors
/// When blocks are missing, or when the replica fails.
pub fn merge_car(car: &Car, seed: u64) -> Result<Merged, MergeError> {
    let mut driver = Driver::open(car, seed)?;
    for act in driver.acts(car) {
        match act {
            Act::Give(cid) => driver.give(cid)?,
            Act::Announce(root) => driver.announce(root)?,
        }
        if driver.draw_below(2) == 0 {
            driver.answer_one()?;
        }
    }
    driver.finish()
}

#[derive(Clone, Copy)]
enum Act {
    Give(Cid),
    Announce(Cid),
}

/// Rounds of the fetch timer without an answer after which nothing more is to be hoped for: all
/// that the file holds has been answered at once.
const IDLE_ROUNDS_MAX: u32 = 16;

/// A replica and its peers, which all serve what is in the file.
struct Driver {
    replica: Replica<MemoryStore>,
    blocks: BTreeMap<Cid, Bytes>,
    draws: ChaCha8Rng,
    fetches: Vec<(Cid, Option<Peer>, u32)>,
    timers: BTreeSet<Timer>,
    missing: BTreeSet<Cid>,
    given: u64,
    announced: u64,
    fetched: u64,
}

impl Driver {
    fn open(car: &Car, seed: u64) -> Result<Self, Error> {
        let mut effects = Vec::new();
        let mut driver = Self {
            replica: Replica::open(MemoryStore::new(), Config::default(), &mut effects)?,
            blocks: car.by_cid(),
            draws: ChaCha8Rng::seed_from_u64(seed),
            fetches: Vec::new(),
            timers: BTreeSet::new(),
            missing: BTreeSet::new(),
            given: 0,
            announced: 0,
            fetched: 0,
        };
        driver.take(effects);
        Ok(driver)
    }

    /// What peers do unasked, in an order that the seed draws.
    fn acts(&mut self, car: &Car) -> Vec<Act> {
        let mut acts: Vec<Act> = car.blocks.iter().map(|(cid, _)| Act::Give(*cid)).collect();
        acts.extend(car.roots.iter().flat_map(|root| [Act::Announce(*root); 2]));
        for _ in 0..car.blocks.len().div_ceil(3) {
            acts.push(Act::Give(car.blocks[self.draw_below(car.blocks.len())].0));
        }
        for last in (1..acts.len()).rev() {
            acts.swap(last, self.draw_below(last + 1));
        }
        acts
    }

    /// A number below `end`, which is not 0.
    fn draw_below(&mut self, end: usize) -> usize {
        // The product of a 64-bit draw and a 64-bit end, shifted by 64, is below the end.
        ((u128::from(self.draws.next_u64()) * end as u128) >> 64) as usize
    }

    fn draw_peer(&mut self) -> Peer {
        Peer(self.draws.next_u64() % 3)
    }

    fn give(&mut self, cid: Cid) -> Result<(), Error> {
        let (from, bytes) = (self.draw_peer(), self.blocks[&cid].clone());
        self.given += 1;
        self.step(Input::Block { from, cid, bytes, attempt: 0 })
    }

    fn announce(&mut self, root: Cid) -> Result<(), Error> {
        self.announced += 1;
        for payload in wire::encode_announcements([(root, &DagName::default())], BROADCAST_BYTES_MAX) {
            let from = self.draw_peer();
            self.step(Input::Broadcast { from, payload })?;
        }
        Ok(())
    }

    /// Answers one of the fetches that are out. Whether there was one that the file could answer.
    fn answer_one(&mut self) -> Result<bool, Error> {
        if self.fetches.is_empty() {
            return Ok(false);
        }
        let drawn = self.draw_below(self.fetches.len());
        let (cid, from, attempt) = self.fetches.swap_remove(drawn);
        let Some(bytes) = self.blocks.get(&cid).cloned() else {
            self.missing.insert(cid);
            self.step(Input::FetchFailed { cid, attempt })?;
            return Ok(false);
        };
        let from = from.unwrap_or_else(|| self.draw_peer());
        self.fetched += 1;
        self.step(Input::Block { from, cid, bytes, attempt })?;
        Ok(true)
    }

    fn step(&mut self, input: Input) -> Result<(), Error> {
        let mut effects = Vec::new();
        let mut progress = self.replica.step(input, &mut effects)?;
        while progress == Progress::More {
            progress = self.replica.step(Input::Continue, &mut effects)?;
        }
        self.replica.sync()?;
        self.take(effects);
        Ok(())
    }

    /// Fetches and timers concern this driver; there is no one to broadcast to.
    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Fetch { cid, from, attempt } => self.fetches.push((cid, from, attempt)),
                Effect::SetTimer { timer, .. } => drop(self.timers.insert(timer)),
                Effect::Broadcast(_)
                | Effect::Committed { .. }
                | Effect::Finished { .. }
                | Effect::Refused { .. }
                | Effect::Notify(_) => {}
            }
        }
    }

    /// Answers fetches until no more come, and time passes as long as that helps.
    fn finish(mut self) -> Result<Merged, MergeError> {
        let mut idle_rounds = 0;
        loop {
            while !self.fetches.is_empty() {
                if self.answer_one()? {
                    idle_rounds = 0;
                }
            }
            let waits = self.replica.is_behind() && self.timers.remove(&Timer::Fetch);
            if !waits || idle_rounds == IDLE_ROUNDS_MAX {
                break;
            }
            idle_rounds += 1;
            self.step(Input::Timer(Timer::Fetch))?;
        }
        if !self.missing.is_empty() {
            return Err(MergeError::Incomplete(Incomplete { missing: self.missing }));
        }
        let stats = self.replica.stats();
        let rows = self.replica.query(&Query::default())?;
        let value = |value: Option<Bytes>| HEXLOWER.encode(&value.unwrap_or_default());
        let summary = Summary {
            heads: self.replica.heads()?.iter().map(|head| head.cid.to_string()).collect(),
            state: rows.into_iter().map(|row| (row.key.to_string(), value(row.value))).collect(),
            void: stats.void,
            misdeclared: stats.misdeclared,
        };
        Ok(Merged { summary, given: self.given, announced: self.announced, fetched: self.fetched })
    }
}
