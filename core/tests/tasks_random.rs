//! Random histories with purges, rebuilds, verifications, abandoned blocks, local writes and crashes anywhere between two
//! commits: in the end a replica shows the naive fold of its blocks, of what was purged, and of what was given up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Batch, Bytes, Cid, Config, DagName, Input, Key, MergeAll, Outcome, Peer,
    wire::{Block, Delta, Element, Tombstone},
};
use std::collections::BTreeSet;
use support::{Disk, Facts, Node, Rng, World, blocks::void_block, check, recount::check_counts};

const KEYS: [&str; 4] = ["/a", "/b", "/b/c", "/z"];
const DAGS: [&str; 3] = ["", "n", "m"];

/// A history, and the blocks of it that nobody will ever serve.
fn history(rng: &mut Rng) -> (Vec<Bytes>, BTreeSet<Cid>) {
    let mut blocks: Vec<Bytes> = Vec::new();
    let mut heights: Vec<u64> = Vec::new();
    let mut lost = BTreeSet::new();
    for at in 0..8 + rng.below(24) {
        let mut parents = BTreeSet::new();
        for _ in 0..rng.below(3) {
            if at > 0 {
                parents.insert(at - 1 - rng.below(at.min(5)));
            }
        }
        let links: Vec<Cid> = parents.iter().map(|parent| Cid::of(&blocks[*parent])).collect();
        let height = 1 + parents.iter().map(|parent| heights[*parent]).max().unwrap_or(0);
        let bytes = if rng.once_in(9) {
            void_block(&links, at as u8)
        } else {
            let elements = (0..rng.below(3)).map(|_| Element {
                key: Key::new(KEYS[rng.below(4)]),
                value: Bytes::from(["", "a", "b", "bb"][rng.below(4)].repeat(1 + 40 * rng.below(3))),
            });
            let elements = elements.collect();
            let tombstones = (0..rng.below(3).min(at))
                .map(|_| Tombstone { key: Key::new(KEYS[rng.below(4)]), target: Cid::of(&blocks[rng.below(at)]) });
            let tombstones = tombstones.collect();
            let priority = if rng.once_in(5) { rng.below(9) as u64 } else { height };
            Block::encode(&links, &Delta { elements, tombstones, priority, dag: DagName::new(DAGS[rng.below(3)]) })
        };
        if rng.once_in(8) {
            lost.insert(Cid::of(&bytes));
        }
        heights.push(height);
        blocks.push(bytes);
    }
    (blocks, lost)
}

fn recording(rows: anabranch_core::store::MemoryStore) -> Disk {
    let disk = Disk::holding(rows);
    disk.record();
    disk
}

/// What happened, to see that the test tests something.
#[derive(Debug, Default)]
struct Happened {
    purges: usize,
    rebuilds: usize,
    /// By themselves, or resumed after a crash.
    unasked_rebuilds: usize,
    verifications: usize,
    abandoned: usize,
    crashes_in_tasks: usize,
}

struct Life {
    node: Node,
    facts: Facts,
    /// All blocks that anyone serves, our own among them.
    served: World,
    happened: Happened,
    /// Whether a block was ever abandoned.
    gave_up: bool,
}

impl Life {
    fn is_rebuilding(&self) -> bool {
        self.node.replica.heads().is_err()
    }

    fn step(&mut self, input: Input) {
        let _ = self.node.try_step(input).unwrap();
    }

    fn act(mut self, rng: &mut Rng, blocks: &[Bytes], lost: &BTreeSet<Cid>) -> Self {
        let block = &blocks[rng.below(blocks.len())];
        let (cid, bytes) = (Cid::of(block), block.clone());
        match rng.below(20) {
            0..=5 if !lost.contains(&cid) => {
                self.step(Input::Block { from: Peer(1), cid, bytes, attempt: 0 });
            }
            6..=10 => self.step(Input::Continue),
            11 => self.node.run().unwrap(),
            12 => self.write(rng),
            13 => self.purge(DAGS[rng.below(3)]),
            14 => {
                let token = self.node.token();
                self.step(Input::Verify { token });
            }
            15 if rng.once_in(3) => {
                let token = self.node.token();
                self.step(Input::Rebuild { token });
                self.happened.rebuilds += 1;
            }
            16 | 17 => {
                let token = self.node.token();
                self.step(Input::Abandon { token, cid });
                self.gave_up |= self.node.replica.stats().abandoned > 0;
            }
            18 => {
                let (token, blocks) = (self.node.token(), vec![(cid, bytes)]);
                if !lost.contains(&cid) {
                    self.step(Input::Import { token, blocks });
                }
            }
            19 => {
                self.happened.crashes_in_tasks += usize::from(self.node.replica.task().is_some());
                let mut left = self.node.replica.store().after_a_crash();
                let rows = left.swap_remove(rng.below(left.len()));
                self.node = self.node.crash_leaving(recording(rows));
            }
            _ => {}
        }
        self
    }

    /// A local write; what it makes is served to others from then on.
    fn write(&mut self, rng: &mut Rng) {
        let dag = DAGS[rng.below(3)];
        let mut batch = Batch::for_dag(DagName::new(dag));
        batch = if rng.once_in(3) { batch.delete(KEYS[rng.below(4)]) } else { batch.put(KEYS[rng.below(4)], "own") };
        let token = self.node.token();
        self.step(Input::Commit { token, batch });
        if self.is_rebuilding() {
            return;
        }
        for head in self.node.replica.heads().unwrap() {
            let bytes = self.node.bytes(&head.cid);
            self.served.insert(head.cid, bytes);
        }
    }

    /// A purge, of what is merged and synced.
    fn purge(&mut self, dag: &str) {
        if self.node.replica.task().is_some() {
            return;
        }
        self.node.sync().unwrap();
        let world = self.node.world();
        self.facts.abandoned = self.node.facts().1;
        self.facts.purge(&world, dag);
        let token = self.node.token();
        self.step(Input::Purge { token, dag: DagName::new(dag) });
        self.node.sync().unwrap();
        self.happened.purges += 1;
    }

    /// All comes that will ever come, and what will not is given up.
    fn end(&mut self, blocks: &[Bytes], lost: &BTreeSet<Cid>) {
        self.node.run().unwrap();
        self.served.extend(self.node.world());
        for bytes in blocks.iter().filter(|bytes| !lost.contains(&Cid::of(bytes))) {
            self.served.insert(Cid::of(bytes), bytes.clone());
        }
        for _ in 0..3 {
            for bytes in self.served.clone().values() {
                self.node.receive(bytes);
            }
            self.node.pull(&self.served);
            for cid in lost {
                let _ = self.node.ask(|token| Input::Abandon { token, cid: *cid });
            }
            self.node.pull(&self.served);
        }
        self.node.settle(&self.served);
        self.node.fetches.clear();
    }

    fn check(&mut self, lost: &BTreeSet<Cid>, what: &str) {
        self.facts.abandoned = self.node.facts().1;
        assert!(self.facts.abandoned.is_subset(lost), "what is served came back, {what}");
        if self.gave_up {
            // A void block may have been owed for a block that was given up then: it stays owed, and is merged.
            let is_void = |cid: &Cid| self.served.get(cid).is_some_and(|bytes| Block::decode(bytes).delta.is_err());
            self.facts.void.extend(self.node.merged().into_iter().filter(is_void));
            // An abandoned block that came back while a purge ran has changed heights before stubs were made.
            for (cid, (height, dag)) in self.node.facts().0 {
                if let Some(known) = self.facts.purged.get_mut(&cid).filter(|(_, known)| *known == dag) {
                    known.0 = height;
                }
            }
        }
        let world = self.served.clone();
        check::is_fold_with(&self.node, &world, &self.facts, what);
        check_counts(&self.node, what);
    }
}

fn live(seed: u64) -> Happened {
    let mut rng = Rng::new(seed);
    let (blocks, lost) = history(&mut rng);
    let config = Config {
        step_bytes_max: [1, 200, 1_000][rng.below(3)],
        pending_bytes_max: [100, 1 << 20][rng.below(2)],
        fetch_timeout_ticks: 1,
        ..Config::default()
    };
    let node = Node::open(recording(Default::default()), config, MergeAll);
    let mut life =
        Life { node, facts: Facts::default(), served: World::new(), happened: Happened::default(), gave_up: false };
    for _ in 0..rng.below(120) {
        life = life.act(&mut rng, &blocks, &lost);
    }
    life.end(&blocks, &lost);
    let what = format!("seed {seed}");
    life.check(&lost, &what);
    let unasked =
        life.node.finished.iter().filter(|(token, done)| token.is_none() && matches!(done, Outcome::Rebuilt { .. }));
    life.happened.unasked_rebuilds += unasked.count();
    life.happened.abandoned += life.facts.abandoned.len();
    let verified = life.node.ask(|token| Input::Verify { token }).unwrap();
    assert!(
        matches!(verified, Outcome::Verified { faults: 0, .. }),
        "{what}: {verified:?}, {:?}",
        life.node.events.last()
    );
    for (_, outcome) in &life.node.finished {
        if let Outcome::Verified { faults, .. } = outcome {
            life.happened.verifications += 1;
            assert_eq!(*faults, 0, "{what}: nothing was damaged");
        }
    }
    life.node.ask(|token| Input::Rebuild { token }).unwrap();
    life.check(&lost, &format!("{what}, rebuilt"));
    life.node = life.node.crash();
    life.check(&lost, &format!("{what}, rebuilt and reopened"));
    life.happened
}

#[test]
fn random_lives_with_tasks_and_crashes_end_as_the_fold_says() {
    let mut all = Happened::default();
    // More, for a night: SEEDS=100000 cargo test -p anabranch-core --test tasks_random
    let seeds = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    for seed in 0..seeds {
        let one = live(seed);
        all.purges += one.purges;
        all.rebuilds += one.rebuilds;
        all.unasked_rebuilds += one.unasked_rebuilds;
        all.verifications += one.verifications;
        all.abandoned += one.abandoned;
        all.crashes_in_tasks += one.crashes_in_tasks;
    }
    println!("{all:?}");
    assert!(all.purges > 100 && all.rebuilds > 50 && all.verifications >= 1_000, "{all:?}");
    assert!(all.abandoned > 50 && all.crashes_in_tasks > 50 && all.unasked_rebuilds > 0, "{all:?}");
}
