//! What is simulated: a scenario, read from a TOML file and checked before anything runs.
//!
//! A scenario says what there is (replicas, links, disks, a workload, hostile peers), what goes
//! wrong and when, and what should come of it. Everything that it leaves open is drawn from the seed
//! of a run. It has two phases: for [`Scenario::duration`] operations are made and faults happen,
//! and safety is checked; then faults end, everyone who has not left is alive, no more operations are made, and
//! all must converge.
//!
//! The smallest scenario:
//!
//! ```
//! let scenario = anabranch_sim::scenario::Scenario::parse(r#"
//!     name = "smallest"
//!     replicas = 2
//!     duration = "10s"
//! "#, "smallest.toml")?;
//! assert_eq!(scenario.replicas.len(), 2);
//! # Ok::<(), anabranch_sim::scenario::ScenarioError>(())
//! ```
//!
//! In the file, times are text with a unit (`"250ms"`, `"10s"`, `"5m"`, `"2h"`), probabilities are
//! numbers from 0 to 1, and ranges are lists of two, both ends included (`["1ms", "50ms"]`).

mod check;
mod check_faults;
mod error;
mod explicit;
mod fault_kind;
mod faults;
mod raw;
mod values;
mod write;

pub(crate) use check::DEFAULT_STEP_DELAY;
pub use error::ScenarioError;
pub use fault_kind::FaultKind;
pub use faults::{
    Burst, Churn, Clog, Crash, DiskFate, DiskHarm, Fault, Group, Harm, Hostile, HostileAct, Jump, Leave, Operator,
    OperatorAct, Partition, PartitionMode, Party, Pause, PowerCut, Shape, Skew, Suspension, TimedFault,
};

use crate::{explicit::Explicit, oracles::Oracle};
use std::time::Duration;

/// A checked scenario. All names in it are resolved to [`Party`] numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name; the file's name without `.toml` when it has none of its own.
    pub name: String,
    /// What it shows, in a sentence or two. May be empty.
    pub description: String,
    /// The replicas, those that join later last. Numbered by [`Party`] in this order, hostile peers after them.
    pub replicas: Vec<Replica>,
    /// How long the first phase lasts, in simulated time.
    pub duration: Duration,
    /// What local programs do.
    pub workload: Workload,
    /// How messages travel, unless a link says otherwise.
    pub network: Link,
    /// Links that differ. Of several for one link, the last counts.
    pub links: Vec<LinkOverride>,
    /// The disks of all replicas.
    pub disk: Disk,
    /// The settings of all replicas.
    pub core: anabranch_core::Config,
    /// Faults at given times, in order of their times.
    pub faults: Vec<TimedFault>,
    /// Crashes at times that are drawn from the seed.
    pub churn: Option<Churn>,
    /// Windows in which each party is clogged with a probability of one half: its clog begins in the first half, and ends in the second.
    pub swizzles: Vec<(Duration, Duration)>,
    /// Whether all else is drawn from the seed too, and how.
    pub swarm: Option<Swarm>,
    /// Peers that speak the protocol and mean harm.
    pub hostile: Vec<Hostile>,
    /// Replicas that do not heal when the faults end: who is down stays down, who is up reaches nobody. The others must converge without them.
    pub frozen: Vec<Party>,
    /// How long the second phase may go on after the last progress (a block newly merged at some
    /// replica; nothing else is progress).
    pub convergence_budget: Duration,
    /// Oracles that are suspended by the scenario's own word. Those that faults suspend by their nature
    /// are in [`Scenario::suspensions`] too.
    pub suspended: Vec<Suspension>,
    /// What should come of it.
    pub expect: Expectation,
    /// Faults may have no effect: a swarm draws more than one run can use.
    pub may_be_inert: bool,
    /// The lists that stand for a seed, in a scenario that has no randomness left.
    pub explicit: Option<Explicit>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its name: `r0`, `r1`… unless the file names them.
    pub name: String,
    /// When it joins, with an empty disk; at the start when `None`.
    pub joins_at: Option<Duration>,
}

/// What local programs do. Operation `i` is drawn from the seed and `i` alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// How many operations there are, over the whole first phase.
    pub operations: u64,
    /// How many of them there are a simulated second, of all replicas together.
    pub rate: f64,
    /// The shares of the kinds of operations.
    pub mix: Mix,
    /// How many keys there are; at least 1.
    pub keys: u64,
    /// The exponent of the keys' Zipf distribution: 0 is uniform, 0.99 is YCSB's, at most 4.
    pub skew: f64,
    /// What keys begin with, before their number (default `/key/`).
    pub key_prefix: String,
    /// The length of a value in bytes, least and most.
    pub value_bytes: (u32, u32),
    /// So many bytes all values begin with.
    pub value_shared: u32,
    /// The writes in a batch, least and most; at least 1.
    pub batch_writes: (u32, u32),
    /// The names of the DAGs that are written to, drawn evenly. The main DAG (`""`) alone unless the file says otherwise.
    pub dags: Vec<String>,
    /// The replicas whose programs make operations; never empty.
    pub writers: Vec<Party>,
}

/// The shares of the kinds of operations: weights, not percentages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// One key gets a value.
    pub put: u32,
    /// One key is deleted.
    pub delete: u32,
    /// Several writes in one commit, of puts and deletes in the proportion of the two above.
    pub batch: u32,
    /// One key is read.
    pub get: u32,
}

/// How messages travel over a link, in one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// How long a message takes, least and most.
    pub latency: (Duration, Duration),
    /// The probability that a message is lost.
    pub drop: f64,
    /// The probability that it comes twice.
    pub duplicate: f64,
    /// The probability that it is held back by [`Self::reorder_delay`], so that later ones overtake it.
    pub reorder: f64,
    /// How long a message that is to be overtaken is held back, least and most.
    pub reorder_delay: (Duration, Duration),
    /// The probability that one bit of a broadcast or a block is flipped.
    pub corrupt: f64,
    /// The probability that a broadcast or a block is cut short.
    pub truncate: f64,
    /// The probability that it goes to another party than it was sent to.
    pub misdeliver: f64,
    /// The probability that it comes once more, much later.
    pub replay: f64,
    /// How much later, least and most.
    pub replay_delay: (Duration, Duration),
    /// Bytes that the link carries a second; 0 is without limit.
    pub bandwidth: u64,
    /// Messages that may be on the link at one time, more are lost; 0 is without limit.
    pub queue: u32,
}

impl Link {
    /// A link on which nothing goes wrong: 1 to 50 ms.
    pub const DEFAULT: Self = Self {
        latency: (Duration::from_millis(1), Duration::from_millis(50)),
        drop: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        reorder_delay: (Duration::from_millis(50), Duration::from_millis(500)),
        corrupt: 0.0,
        truncate: 0.0,
        misdeliver: 0.0,
        replay: 0.0,
        replay_delay: (Duration::from_secs(5), Duration::from_secs(30)),
        bandwidth: 0,
        queue: 0,
    };
}

/// How some links differ from the others.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkOverride {
    /// Senders; everyone when empty.
    pub from: Vec<Party>,
    /// Receivers; everyone when empty.
    pub to: Vec<Party>,
    /// How messages from one of the former to one of the latter travel.
    pub link: Link,
}

/// How the whole configuration is drawn from the seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Swarm {
    /// The probability that a family is off in a run.
    pub off: f64,
    /// The families that may be on.
    pub families: Vec<Family>,
}

/// A family of things that a swarm draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Loss, duplicates, reordering, delays.
    Loss,
    /// Corruption, truncation, misdelivery, replay.
    Harm,
    /// Limits of bandwidth and queues, clogs, bursts.
    Congestion,
    /// Partitions of all shapes.
    Partition,
    /// Crashes.
    Crash,
    /// Disks that are lost, set back, slow, or do harm.
    Disk,
    /// Replicas that join, leave, return, pause.
    Membership,
    /// Wrong clocks.
    Clock,
    /// Hostile peers.
    Hostile,
    /// Operators who purge, verify, rebuild and import.
    Operator,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 10] = [
        Self::Loss,
        Self::Harm,
        Self::Congestion,
        Self::Partition,
        Self::Crash,
        Self::Disk,
        Self::Membership,
        Self::Clock,
        Self::Hostile,
        Self::Operator,
    ];
}

/// The disk of a replica. What is written after the last sync may be lost in a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// How long after a step the driver syncs, least and most. All steps until then share the sync.
    pub sync_delay: (Duration, Duration),
    /// How long after a step that left work undone the next one comes.
    pub step_delay: Duration,
    /// What the rows are kept in.
    pub engine: Engine,
    /// Memory of the engine for pages, in bytes: what does not fit is read from the disk again.
    pub cache: u64,
}

/// What a replica keeps its rows in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// A map in memory that forgets what is not synced, last commits first.
    #[default]
    Memory,
    /// redb over a simulated disk, whose crashes tear, lose and reorder writes.
    Redb,
}

/// What should come of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// How runs should end.
    pub outcome: ExpectedOutcome,
    /// For a failure of an oracle: which one. Any when `None`.
    pub oracle: Option<Oracle>,
    /// The trace hash that a run with [`Self::seed`] must have, in hex; any when `None`.
    pub trace: Option<String>,
    /// The seed of the pinned trace, and the one that the program runs when it is told none.
    pub seed: Option<u64>,
}

/// How runs should end. The names are those of [`crate::outcome::Verdict::kind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectedOutcome {
    /// Every oracle is content, all replicas converge, and every fault took effect.
    #[default]
    Passed,
    /// An oracle objects.
    BrokenInvariant,
    /// Replicas do not converge within the budget.
    NotConverged,
    /// A fault that the scenario asks for never takes effect.
    InertFaults,
}

impl Scenario {
    /// Reads and checks a scenario.
    ///
    /// `file_name` is what errors call the file; nothing is opened.
    ///
    /// # Errors
    /// One line with file, line and column, what was found, what was expected, and a hint: for text
    /// that is no TOML, unknown fields, values out of range, names of replicas that do not exist, faults
    /// outside the first phase.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ScenarioError> {
        check::scenario(text, file_name)
    }

    /// The name of a replica or hostile peer.
    #[must_use]
    pub fn party_name(&self, party: Party) -> &str {
        let index = usize::from(party.0);
        let replica = self.replicas.get(index).map(|replica| replica.name.as_str());
        let hostile = || self.hostile.get(index - self.replicas.len()).map(|peer| peer.name.as_str());
        replica.or_else(hostile).unwrap_or("?")
    }

    /// How many replicas and hostile peers there are.
    #[must_use]
    pub fn parties(&self) -> usize {
        self.replicas.len() + self.hostile.len()
    }

    /// Whether the party is a replica and not a hostile peer.
    #[must_use]
    pub fn is_replica(&self, party: Party) -> bool {
        usize::from(party.0) < self.replicas.len()
    }

    /// How messages travel from one party to another.
    #[must_use]
    pub fn link(&self, from: Party, to: Party) -> Link {
        let matches = |names: &[Party], party: Party| names.is_empty() || names.contains(&party);
        let special = self.links.iter().rev().find(|special| matches(&special.from, from) && matches(&special.to, to));
        special.map_or(self.network, |special| special.link)
    }

    /// All suspended oracles: by the scenario's own word, and by faults whose nature breaks a promise.
    #[must_use]
    pub fn suspensions(&self) -> Vec<Suspension> {
        let by_faults = self.faults.iter().filter_map(TimedFault::suspends).flatten();
        self.suspended.iter().cloned().chain(by_faults).collect()
    }
}
