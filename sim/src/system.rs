//! What the simulator knows of a system: which processes there are, and who judges them.

use crate::{
    engine::{Cause, Time, Trace},
    observe::{Watch, What},
    oracles::{Panel, Violation},
    outcome::Progress,
    process::{Answer, Loss, Process},
    scenario::{Party, Scenario},
    tally::Tally,
    workload::Action,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A system under test: it makes the processes of a run, and judges what they do.
///
/// Only [`process`](Self::process) and [`agree`](Self::agree) must be written; judges that see more find more. Each is asked at its time by the simulator, with the processes to look at.
pub trait System {
    /// Its processes, honest and hostile.
    type Process: Process;

    /// The process of this party, not started yet. Replicas and hostile peers alike: their numbers are those of the scenario.
    fn process(&mut self, party: Party) -> Self::Process;

    /// Whether all these replicas have the same state. Asked after the faults, each time that something has changed.
    fn agree(&mut self, replicas: &[(Party, &Self::Process)]) -> bool;

    /// What differs, in one line. Unless told better: how far the first and the last of those are that have merged the most and the least.
    ///
    /// The words of it tell failures apart when one is made smaller; names and numbers do not, nor what stands behind ` (and `.
    /// So it should have the same words with fewer replicas.
    fn difference(&self, replicas: &[(Party, &Self::Process)]) -> String {
        let far = |(party, process): &(Party, &Self::Process)| {
            let Progress { merged, heads, behind } = process.progress();
            format!("replica {} has merged {merged}, with {heads} heads and {behind} to come", party.0)
        };
        let merged = |(_, process): &&(Party, &Self::Process)| process.progress().merged;
        let (least, most) = (replicas.iter().min_by_key(merged), replicas.iter().max_by_key(merged));
        least.into_iter().chain(most).map(far).collect::<Vec<_>>().join("; ")
    }

    /// A replica has died, and lost this.
    fn crashed(&mut self, _replica: Party, _loss: &Loss, _scene: &mut Scene<'_, '_>) {}

    /// A replica has been opened: what it had must be there.
    ///
    /// # Errors
    /// What an oracle objects to; likewise below.
    fn started(&mut self, _replica: Party, _process: &Self::Process, _scene: &mut Scene<'_, '_>) -> Result<(), Stop> {
        Ok(())
    }

    /// A process has told something.
    ///
    /// # Errors
    /// As [`started`](Self::started).
    fn noticed(
        &mut self,
        _party: Party,
        _process: &Self::Process,
        _notice: <Self::Process as Process>::Notice,
        _scene: &mut Scene<'_, '_>,
    ) -> Result<(), Stop> {
        Ok(())
    }

    /// A process has been called, and all that it wanted is done. Called only where someone watches, to be told what the process shows.
    fn called(&mut self, _party: Party, _process: &Self::Process, _scene: &mut Scene<'_, '_>) {}

    /// A local program asks something of a replica.
    fn asked(&mut self, _replica: Party, _operation: u64, _action: &Action) {}

    /// A replica has answered.
    ///
    /// # Errors
    /// As [`started`](Self::started).
    fn answered(
        &mut self,
        _replica: Party,
        _operation: u64,
        _answer: &Answer,
        _scene: &mut Scene<'_, '_>,
    ) -> Result<(), Stop> {
        Ok(())
    }

    /// A replica has synced.
    fn synced(&mut self, _replica: Party) {}

    /// Looks at one replica in the midst of things.
    ///
    /// # Errors
    /// As [`started`](Self::started).
    fn look(&mut self, _replica: Party, _process: &Self::Process, _scene: &mut Scene<'_, '_>) -> Result<(), Stop> {
        Ok(())
    }

    /// Looks at all replicas that are up: when the faults end, and at the end, when all agree.
    ///
    /// # Errors
    /// As [`started`](Self::started).
    fn judge(&mut self, _replicas: &[(Party, &Self::Process)], _scene: &mut Scene<'_, '_>) -> Result<(), Stop> {
        Ok(())
    }

    /// The places in the code under test that a campaign should reach, and whether this run has reached each. Asked once, at the
    /// end, with all processes, those too that have left.
    fn marks(&self, _processes: &[(Party, &Self::Process)]) -> BTreeMap<&'static str, bool> {
        BTreeMap::new()
    }

    /// What is told of the state at the end.
    fn summary(&self, _replicas: &[(Party, &Self::Process)]) -> Summary {
        Summary::default()
    }
}

/// Where a judge stands.
pub struct Scene<'a, 'w> {
    /// What is simulated.
    pub scenario: &'a Scenario,
    /// When.
    pub now: Time,
    /// What it all goes back to.
    pub cause: Cause,
    /// The oracles: who is asked, and who is suspended.
    pub panel: &'a mut Panel,
    /// The trace of the run: what a judge enters is part of its hash.
    pub trace: &'a mut Trace,
    /// Those who watch.
    pub(crate) watch: &'a mut Watch<'w>,
    /// Counts of faults.
    pub tally: &'a mut Tally,
    /// What the simulator should know of the process at hand.
    pub pulse: &'a mut Pulse,
}

impl Scene<'_, '_> {
    /// Tells those who watch. The event is made only when someone does.
    pub fn tell(&mut self, party: Party, what: impl FnOnce() -> What) {
        self.watch.tell(self.now, Some(party), Some(self.cause), what);
    }
}

/// What a judge tells the simulator of the process at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// It has come further: the convergence budget begins anew, and agreement is looked for again.
    pub progress: bool,
    /// It has learned something that another made.
    pub learned: bool,
}

/// Why a run ends before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// An oracle objects.
    Broken(Violation),
    /// A process failed where nothing was made to fail.
    Process {
        /// Whose.
        replica: Party,
        /// Why, in one line.
        why: String,
    },
    /// Processes provoke each other without end.
    Storm {
        /// Who was called last.
        replica: Party,
        /// Why.
        cause: Cause,
    },
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

/// What is told of the state at the end, at the replica that has the most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Blocks newly merged, over all replicas, those lost in a crash and merged again counted again.
    pub blocks_merged: u64,
    /// Blocks merged.
    pub blocks: u64,
    /// Void ones among them.
    pub blocks_void: u64,
    /// Those among them that declare another priority than their height.
    pub blocks_misdeclared: u64,
    /// Keys that have a value.
    pub keys: u64,
    /// Heads.
    pub heads: u64,
    /// sha2-256 over all keys and values, in hex.
    pub state: String,
}
