//! One replica with its driver: effects leave as a real driver would let them.

use super::{Disk, Ops, World, blocks::announcement};
use anabranch_core::{
    Batch, Bytes, Cid, Config, DagName, Effect, Error, Event, Input, Key, MergeAll, Outcome, Peer, Progress, Query,
    Refusal, Replica, Stub, Timer, Token, Validator,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

/// A fetch that the replica has asked for and that nobody has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    pub cid: Cid,
    pub from: Option<Peer>,
    pub attempt: u32,
}

/// What becomes of a fetch of a block that the world does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Fails,
    Hangs,
}

pub struct Node<V = MergeAll> {
    pub replica: Replica<Disk, V>,
    config: Config,
    validator: V,
    next_token: u64,
    /// Effects of steps that no sync has covered yet.
    unsynced: Vec<Effect>,
    pub timers: BTreeMap<Timer, RangeInclusive<Duration>>,
    pub fetches: Vec<Fetch>,
    /// All fetches ever asked for.
    pub fetches_total: u64,
    pub sent: Vec<Bytes>,
    pub events: Vec<Event>,
    pub outcomes: BTreeMap<Token, Result<Vec<Cid>, Refusal>>,
    /// How much each commit did not see.
    pub behind: BTreeMap<Token, u64>,
    /// What else has finished.
    pub finished: Vec<(Option<Token>, Outcome)>,
}

impl Node {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        Self::open(Disk::new(), config, MergeAll)
    }
}

impl<V: Validator + Clone> Node<V> {
    pub fn open(disk: Disk, config: Config, validator: V) -> Self {
        Self::try_open(disk, config, validator).expect("the store opens")
    }

    pub fn try_open(disk: Disk, config: Config, validator: V) -> Result<Self, Error> {
        let mut effects = Vec::new();
        let replica = Replica::open_with(disk, config.clone(), validator.clone(), &mut effects)?;
        let mut node = Self {
            replica,
            config,
            validator,
            next_token: 0,
            unsynced: Vec::new(),
            timers: BTreeMap::new(),
            fetches: Vec::new(),
            fetches_total: 0,
            sent: Vec::new(),
            events: Vec::new(),
            outcomes: BTreeMap::new(),
            behind: BTreeMap::new(),
            finished: Vec::new(),
        };
        node.take(effects);
        node.run()?;
        Ok(node)
    }

    /// The process dies and comes back: what the store holds is all that is left. Tokens go on,
    /// so that no two commits of a test share one.
    pub fn crash(self) -> Self {
        let rows = self.replica.store().rows().clone();
        self.crash_leaving(Disk::holding(rows))
    }

    /// As `crash`, where this is what the crash has left of the store.
    pub fn crash_leaving(self, disk: Disk) -> Self {
        Self { next_token: self.next_token, ..Self::open(disk, self.config, self.validator) }
    }

    // ---- inputs

    /// Takes an input, goes on to the end, and syncs.
    pub fn input(&mut self, input: Input) {
        self.try_input(input).expect("the store does not fail");
    }

    pub fn try_input(&mut self, input: Input) -> Result<(), Error> {
        let progress = self.try_step(input)?;
        if progress == Progress::More { self.run() } else { self.sync() }
    }

    /// Takes one step only and does not sync.
    pub fn try_step(&mut self, input: Input) -> Result<Progress, Error> {
        let mut effects = Vec::new();
        let progress = self.replica.step(input, &mut effects)?;
        assert_eq!(progress, self.replica.progress(), "a step tells what `progress` tells");
        self.take(effects);
        Ok(progress)
    }

    /// Continues to the end and syncs.
    pub fn run(&mut self) -> Result<(), Error> {
        let mut steps = 0;
        while self.replica.progress() == Progress::More {
            let _ = self.try_step(Input::Continue)?;
            steps += 1;
            assert!(steps < 1_000_000, "the replica never comes to rest");
        }
        self.sync()
    }

    /// Syncs; then what waited for it leaves.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.replica.sync()?;
        for effect in core::mem::take(&mut self.unsynced) {
            self.leave(effect);
        }
        Ok(())
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if effect.waits_for_sync() { self.unsynced.push(effect) } else { self.leave(effect) }
        }
    }

    fn leave(&mut self, effect: Effect) {
        match effect {
            Effect::Broadcast(payload) => self.sent.push(payload),
            Effect::Fetch { cid, from, attempt } => {
                self.fetches_total += 1;
                self.fetches.push(Fetch { cid, from, attempt });
            }
            Effect::Committed { token, blocks, behind } => {
                self.behind.insert(token, behind);
                self.outcome(token, Ok(blocks));
            }
            Effect::Finished { token, outcome } => self.finished.push((token, outcome)),
            Effect::Refused { token, why } => self.outcome(token, Err(why)),
            Effect::Notify(event) => self.events.push(event),
            Effect::SetTimer { timer, after } => {
                assert!(after.start() <= after.end(), "{timer:?} after {after:?}");
                let set = self.timers.insert(timer, after);
                assert_eq!(set, None, "{timer:?} is set twice");
            }
        }
    }

    fn outcome(&mut self, token: Token, outcome: Result<Vec<Cid>, Refusal>) {
        let earlier = self.outcomes.insert(token, outcome);
        assert_eq!(earlier, None, "a commit ends once");
    }

    // ---- writes

    pub fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    pub fn try_commit(&mut self, batch: Batch) -> Result<Vec<Cid>, Refusal> {
        let token = self.token();
        self.input(Input::Commit { token, batch });
        self.outcomes.remove(&token).expect("a commit ends in Committed or Refused")
    }

    pub fn commit(&mut self, batch: Batch) -> Vec<Cid> {
        self.try_commit(batch).expect("the commit is accepted")
    }

    pub fn put(&mut self, key: &str, value: &str) -> Cid {
        let blocks = self.commit(Batch::new().put(key, value.to_owned()));
        assert_eq!(blocks.len(), 1, "a put makes one block");
        blocks[0]
    }

    pub fn delete(&mut self, key: &str) -> Vec<Cid> {
        self.commit(Batch::new().delete(key))
    }

    /// Asks for something other than a commit, and goes on to its end.
    pub fn ask(&mut self, input: impl FnOnce(Token) -> Input) -> Result<Outcome, Refusal> {
        let token = self.token();
        self.input(input(token));
        match self.finished.iter().find(|(done, _)| *done == Some(token)) {
            Some((_, outcome)) => Ok(outcome.clone()),
            None => Err(self.outcomes.remove(&token).expect("it finishes or is refused").expect_err("it is no commit")),
        }
    }

    pub fn purge(&mut self, dag: &str) -> Outcome {
        let dag = DagName::new(dag);
        self.ask(|token| Input::Purge { token, dag }).expect("a purge is not refused")
    }

    pub fn rebuild(&mut self) -> Outcome {
        self.ask(|token| Input::Rebuild { token }).expect("a rebuild is not refused")
    }

    pub fn abandon(&mut self, cid: Cid) -> Result<Outcome, Refusal> {
        self.ask(|token| Input::Abandon { token, cid })
    }

    // ---- what comes from others

    /// A peer announces these blocks.
    pub fn hear(&mut self, from: u64, heads: &[Cid]) {
        self.input(Input::Broadcast { from: Peer(from), payload: announcement(heads) });
    }

    /// A block comes that may not have been asked for.
    pub fn receive(&mut self, bytes: &Bytes) {
        self.input(Input::Block { from: Peer(99), cid: Cid::of(bytes), bytes: bytes.clone(), attempt: 0 });
    }

    pub fn answer(&mut self, fetch: Fetch, bytes: &Bytes) {
        let from = fetch.from.unwrap_or(Peer(99));
        self.input(Input::Block { from, cid: fetch.cid, bytes: bytes.clone(), attempt: fetch.attempt });
    }

    pub fn fail(&mut self, fetch: Fetch) {
        self.input(Input::FetchFailed { cid: fetch.cid, attempt: fetch.attempt });
    }

    /// A timer runs out. It must have been set.
    pub fn fire(&mut self, timer: Timer) {
        assert!(self.timers.remove(&timer).is_some(), "{timer:?} is not set");
        self.input(Input::Timer(timer));
    }

    /// A round trip: all fetches that are out when it begins are answered from the world.
    pub fn round(&mut self, world: &World, missing: Missing) -> usize {
        let mut answered = 0;
        for fetch in core::mem::take(&mut self.fetches) {
            match world.get(&fetch.cid) {
                Some(bytes) => self.answer(fetch, bytes),
                None if missing == Missing::Fails => self.fail(fetch),
                None => continue,
            }
            answered += 1;
        }
        answered
    }

    /// Round trips until no fetch is out, without any timer. Returns how many.
    pub fn pull(&mut self, world: &World) -> usize {
        let mut rounds = 0;
        while !self.fetches.is_empty() {
            self.round(world, Missing::Fails);
            rounds += 1;
            assert!(rounds < 1_000_000, "fetches never end");
        }
        rounds
    }

    /// As `pull`, and the fetch timer runs out as often as it takes to leave nothing behind.
    pub fn settle(&mut self, world: &World) {
        self.pull(world);
        for _ in 0..1_000 {
            if !self.replica.is_behind() {
                return;
            }
            self.fire(Timer::Fetch);
            self.pull(world);
        }
        panic!("still behind: {:?}", self.replica.stats());
    }

    // ---- what it shows

    pub fn get(&self, key: &str) -> Option<String> {
        let value = self.replica.get(&Key::new(key)).expect("a read")?;
        Some(String::from_utf8(value.to_vec()).expect("values of tests are text"))
    }

    pub fn state(&self) -> BTreeMap<Vec<u8>, Bytes> {
        let rows = self.replica.query(&Query::default()).expect("a query");
        rows.into_iter().map(|row| (row.key.as_bytes().to_vec(), row.value.expect("values were asked for"))).collect()
    }

    pub fn heads(&self) -> BTreeSet<(String, Cid)> {
        let heads = self.replica.heads().expect("heads");
        let set: BTreeSet<_> = heads.iter().map(|head| (head.dag.as_str().to_owned(), head.cid)).collect();
        assert_eq!(set.len(), heads.len(), "each head comes once");
        set
    }

    pub fn merged(&self) -> BTreeSet<Cid> {
        let mut all: Vec<Cid> = Vec::new();
        loop {
            let more = self.replica.merged(all.last(), 100).expect("a read");
            if more.is_empty() {
                assert!(all.is_sorted(), "in order of their CIDs");
                return all.into_iter().collect();
            }
            all.extend(more);
        }
    }

    /// The bytes of a block that it has.
    pub fn bytes(&self, cid: &Cid) -> Bytes {
        self.replica.block(cid).expect("a read").expect("the replica has the block")
    }

    /// All that it has merged.
    pub fn world(&self) -> World {
        self.merged().into_iter().map(|cid| (cid, self.bytes(&cid))).collect()
    }

    /// What it has decided without the bytes: heights and names of purged blocks, and abandoned ones.
    pub fn facts(&self) -> (BTreeMap<Cid, (u64, String)>, BTreeSet<Cid>) {
        let (mut purged, mut abandoned) = (BTreeMap::new(), BTreeSet::new());
        let mut last = None;
        loop {
            let more = self.replica.stubs(last.as_ref(), 3).expect("a read");
            let Some((end, _)) = more.last() else { return (purged, abandoned) };
            last = Some(*end);
            for (cid, stub) in more {
                match stub {
                    Stub::Purged { height, dag } => drop(purged.insert(cid, (height, dag.as_str().to_owned()))),
                    Stub::Abandoned => drop(abandoned.insert(cid)),
                }
            }
        }
    }

    /// All that was announced since the last call, message by message.
    pub fn announced(&mut self) -> Vec<Vec<Cid>> {
        let read = |payload: Bytes| {
            let message = anabranch_core::wire::decode_announcement(&payload).expect("what we announce decodes");
            assert_eq!(message.bad, 0, "we announce CIDs of blocks");
            message.heads
        };
        core::mem::take(&mut self.sent).into_iter().map(read).collect()
    }

    pub fn ops(&self) -> Ops {
        self.replica.store().ops()
    }

    pub fn rows(&self, table: anabranch_core::store::Table) -> usize {
        self.replica.store().rows().rows(table)
    }
}
