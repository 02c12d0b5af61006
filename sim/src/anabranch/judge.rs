//! When the oracles are asked, and with what evidence.

mod system;

use super::{Peer, following::Followers, orders::Unserved, watched};
use crate::{
    fold::{Facts, Folded},
    ledger::Ledger,
    network::tag,
    oracles::{
        self, Observed, Oracle, acknowledged, ancestors, bounds,
        changes::Listener,
        corrupt, known,
        sessions::{Session, Writes},
        tips,
    },
    scenario::{FaultKind, Hostile, HostileAct, Party, Scenario},
    system::{Scene, Stop},
    workload::Action,
};
use anabranch_core::{Cid, Event, Outcome, Replica, store::Store};
use std::collections::{BTreeMap, BTreeSet};

/// A fold over `n` blocks in the midst of a run wants at least this part of `n` newly merged since the last one.
const FOLD_WORTH: u64 = 2;

/// At the end of a phase, folds over as many blocks as this are free; one fold is always made. Other seeds see the rest.
const FOLDED_MAX: u64 = 3_000;

/// Pages of the feed that are read in the midst of a run.
const FEED_PAGES: usize = 5;

/// How much a replica has merged: equal for equal sets.
type Extent = (u64, u128);

/// All that what a replica shows is a function of: how much it has merged, and what is decided without bytes.
type Basis = (Extent, Vec<Cid>, Vec<Cid>);

/// Anabranch: the real core, and all its judges.
#[derive(Debug)]
pub struct Anabranch<'a> {
    scenario: &'a Scenario,
    ledger: Ledger,
    /// The blocks of hostile peers, and what they are meant to do.
    poison: BTreeMap<Cid, FaultKind>,
    /// Replicas whose disk was lost in the crash that they come back from.
    wiped: Vec<bool>,
    /// Replicas that came back in the middle of a rebuild, so that it is not known what they have; and whether on another disk.
    unseen: Vec<Option<bool>>,
    blocks_merged: u64,
    /// What is known of a replica to who only listens to its changes.
    listeners: Vec<Listener>,
    /// Programs that follow the feeds.
    followers: Followers,
    /// What the program at each replica has written and seen.
    sessions: Vec<Session>,
    writes: Writes,
    /// What programs asked for, and have no answer to.
    asked: BTreeMap<u64, Asked>,
    /// Blocks newly merged since a replica's state was last compared with the fold over its blocks.
    merged_since_fold: u64,
    /// What operators know to be lost since it was purged.
    unserved: Unserved,
}

/// What a program asked for.
#[derive(Debug)]
struct Asked {
    replica: Party,
    action: Action,
    /// The blocks that it had seen by then.
    seen: BTreeSet<Cid>,
}

fn failed(replica: Party) -> impl Fn(anabranch_core::Error) -> Stop {
    move |error| Stop::Process { replica, why: error.to_string() }
}

impl<'a> Anabranch<'a> {
    /// The replicas and hostile peers of this scenario.
    #[must_use]
    pub fn new(scenario: &'a Scenario) -> Self {
        let replicas = scenario.replicas.len();
        Self {
            scenario,
            ledger: Ledger::new(replicas),
            poison: BTreeMap::new(),
            wiped: vec![false; replicas],
            unseen: vec![None; replicas],
            blocks_merged: 0,
            listeners: vec![Listener::default(); replicas],
            followers: Followers::new(replicas),
            sessions: vec![Session::default(); replicas],
            writes: Writes::default(),
            asked: BTreeMap::new(),
            merged_since_fold: 0,
            unserved: Unserved::default(),
        }
    }

    fn name(&self, party: Party) -> &str {
        self.scenario.party_name(party)
    }

    fn merged(
        &mut self,
        replica: Party,
        process: &Peer,
        (cid, void): (&Cid, bool),
        scene: &mut Scene<'_, '_>,
    ) -> Result<(), Stop> {
        scene.trace.entry(scene.now, tag::MERGE).u16(replica.0).bytes(cid.digest());
        let Some(core) = process.core() else { return Ok(()) };
        if process.is_in_between() && matches!(core.block(cid), Err(anabranch_core::Error::Rebuilding)) {
            // It is merged anew, and looked at when that is done.
            return Ok(());
        }
        let bytes = match core.block(cid) {
            Ok(bytes) => bytes,
            // Its next own read will show it.
            Err(_) if process.is_tainted() => None,
            Err(error) => return Err(failed(replica)(error)),
        };
        let (now, ledger, who) = (scene.now, &self.ledger, Some(replica));
        scene.panel.ask(Oracle::NoCorruptBlock, who, now, || corrupt::check(ledger, cid, bytes.as_ref()))?;
        if let Some(block) = self.ledger.block(cid) {
            scene.panel.ask(Oracle::AncestorsMerged, who, now, || ancestors::check(ledger, replica, block))?;
            scene.pulse.learned |= block.author != replica;
        }
        if !void {
            self.followers.merged(replica, cid, &self.ledger);
        }
        // It was given up, and turned up.
        if self.ledger.has_abandoned(replica, cid)
            && let Ok(facts) = oracles::facts(core)
        {
            self.decided(replica, facts, scene);
        }
        if self.ledger.merged(replica, cid) {
            self.blocks_merged += 1;
            self.merged_since_fold += 1;
            scene.pulse.progress = true;
        }
        match self.poison.get(cid) {
            Some(kind @ (FaultKind::ForeignLinks | FaultKind::BadBlocks)) if void => scene.tally.effective(*kind),
            Some(FaultKind::ForeignLinks | FaultKind::BadBlocks) | None => {}
            Some(kind) => scene.tally.effective(*kind),
        }
        Ok(())
    }

    fn heard(&mut self, replica: Party, process: &Peer, event: &Event, scene: &mut Scene<'_, '_>) -> Result<(), Stop> {
        watched::notice(replica, process, event, scene);
        match event {
            Event::Merged { cid, void, .. } => self.merged(replica, process, (cid, *void), scene)?,
            Event::WrongBytes { from, .. } => {
                let party = u16::try_from(from.0).map_or(Party(u16::MAX), Party);
                let lies = |hostile: &Hostile| hostile.acts.contains(&HostileAct::WrongBlocks);
                let hostile = party.index().checked_sub(self.scenario.replicas.len());
                let liar = hostile.and_then(|index| self.scenario.hostile.get(index)).is_some_and(lies);
                if liar {
                    scene.tally.effective(FaultKind::WrongBlocks);
                }
            }
            Event::Changed { key, old, new } => {
                // It hears while it is suspended too: it must know what is there when it is asked again.
                let heard = self.listeners[replica.index()].hears(key, old.as_ref(), new.as_ref());
                scene.panel.ask(Oracle::HooksMatchChanges, Some(replica), scene.now, || heard)?;
            }
            Event::VoidRumour { cid } => {
                if let Some(kind @ (FaultKind::ForeignLinks | FaultKind::BadBlocks)) = self.poison.get(cid) {
                    scene.tally.effective(*kind);
                }
            }
            Event::BadBroadcast { .. } | Event::Parked { .. } | Event::Damage(_) => {}
        }
        Ok(())
    }

    /// Looks at one replica: everything but the fold, and that when enough has been merged since the last one.
    fn judge_replica(&mut self, replica: Party, process: &Peer, scene: &mut Scene<'_, '_>) -> Result<(), Stop> {
        let Some((observed, facts)) = self.judge_alone(replica, process, scene)? else { return Ok(()) };
        // Not to the end, so that whoever is restarted goes on in the middle.
        self.followers.read(replica, process, &observed, FEED_PAGES, scene)?;
        if self.merged_since_fold * FOLD_WORTH >= self.ledger.extent(replica).0 {
            self.merged_since_fold = 0;
            let folded = oracles::fold::of(&self.ledger, replica, &facts);
            self.ask_fold(replica, process, &observed, &folded, scene)?;
        }
        Ok(())
    }

    /// Whether a replica is as the fold over its blocks.
    fn ask_fold(
        &self,
        replica: Party,
        process: &Peer,
        observed: &Observed,
        folded: &Folded,
        scene: &mut Scene<'_, '_>,
    ) -> Result<(), Stop> {
        let early = process.core().map_or(0, |core| core.stats().early_tombstones);
        let check = || {
            oracles::fold::check(observed, folded)?;
            oracles::fold::check_early(&self.ledger, replica, folded, early)
        };
        Ok(scene.panel.ask(Oracle::StateIsFold, Some(replica), scene.now, check)?)
    }

    /// What can be said of a replica without a fold. `None` when it is not up, or purging, or being rebuilt.
    fn judge_alone(
        &self,
        replica: Party,
        process: &Peer,
        scene: &mut Scene<'_, '_>,
    ) -> Result<Option<(Observed, Facts)>, Stop> {
        let can_be_judged = !process.is_tainted() && !process.is_in_between();
        let Some(core) = process.core().filter(|_| can_be_judged) else { return Ok(None) };
        let failed = failed(replica);
        let merged = oracles::merged(core).map_err(&failed)?;
        let facts = self.facts(replica, core).map_err(&failed)?;
        let observed = Observed::of(core).map_err(&failed)?;
        let blocks = |cid: &Cid| core.block(cid).map_err(&failed);
        let bytes = merged.iter().map(blocks).collect::<Result<Vec<_>, _>>()?;
        let known = known_blocks(&merged, &facts);
        let acknowledged = |cid: &Cid| known.binary_search(cid).is_ok();
        let (now, ledger, who) = (scene.now, &self.ledger, Some(replica));
        let panel = &mut *scene.panel;
        panel.ask(Oracle::KnownBlocks, who, now, || known::check(ledger, replica, &known))?;
        panel.ask(Oracle::AcknowledgedWrites, who, now, || acknowledged::check(ledger, replica, acknowledged))?;
        panel.ask(Oracle::NoCorruptBlock, who, now, || {
            merged.iter().zip(&bytes).try_for_each(|(cid, bytes)| corrupt::check(ledger, cid, bytes.as_ref()))
        })?;
        panel.ask(Oracle::AncestorsMerged, who, now, || ancestors::check_all(ledger, replica))?;
        panel.ask(Oracle::HeadsAreTips, who, now, || tips::check(ledger, replica, &facts, &observed))?;
        panel.ask(Oracle::HooksMatchChanges, who, now, || self.listeners[replica.index()].knows(&observed))?;
        let (stats, (has_work, waits)) = (core.stats(), process.pursues());
        panel.ask(Oracle::LimitsHold, who, now, || {
            bounds::limits(&stats, &self.scenario.core, self.scenario.parties())
        })?;
        panel.ask(Oracle::ObligationsPursued, who, now, || bounds::obligations(&stats, has_work, waits))?;
        Ok(Some((observed, facts)))
    }

    /// What is decided at a replica without the bytes of blocks. Void blocks may have been kept for purged ones alone.
    fn facts<S: Store>(&self, replica: Party, core: &Replica<S>) -> Result<Facts, anabranch_core::Error> {
        let facts = oracles::facts(core)?;
        let void = self.ledger.all_merged(replica).filter(|block| block.dag.is_none() && !facts.purged.is_empty());
        Ok(Facts { void: void.map(|block| block.cid).collect(), ..facts })
    }

    /// A replica is there, as it is on its disk: after a crash, or after a rebuild. If its disk is another one, it begins anew.
    fn seen(
        &mut self,
        replica: Party,
        process: &Peer,
        observed: &Observed,
        is_new: bool,
        scene: &mut Scene<'_, '_>,
    ) -> Result<(), Stop> {
        let Some(core) = process.core() else { return Ok(()) };
        self.listeners[replica.index()] = Listener::new(observed);
        let there = oracles::merged(core).and_then(|merged| Ok((merged, oracles::facts(core)?)));
        let (merged, facts) = match there {
            Ok(there) => there,
            Err(anabranch_core::Error::Rebuilding) => {
                self.unseen[replica.index()] = Some(is_new);
                return Ok(());
            }
            Err(_) if process.is_tainted() => return Ok(()),
            Err(error) => return Err(failed(replica)(error)),
        };
        self.unseen[replica.index()] = None;
        let known = known_blocks(&merged, &facts);
        self.followers.reopened(replica, &known);
        if is_new {
            // What it had is gone by the fault's nature: it begins anew with what is there.
            self.ledger.wiped(replica);
        } else {
            let (now, ledger, who) = (scene.now, &self.ledger, Some(replica));
            scene.panel.ask(Oracle::KnownBlocks, who, now, || known::check(ledger, replica, &known))?;
            scene.panel.ask(Oracle::AcknowledgedWrites, who, now, || {
                acknowledged::check(ledger, replica, |cid| known.binary_search(cid).is_ok())
            })?;
        }
        watched::started(replica, &merged, scene);
        self.decided(replica, facts, scene);
        self.ledger.reopened(replica, &known);
        watched::shows_all(replica, process, scene);
        Ok(())
    }

    /// This is decided at a replica by now.
    fn decided(&mut self, replica: Party, facts: Facts, scene: &mut Scene<'_, '_>) {
        if self.ledger.decided(replica, facts.purged.keys().copied(), facts.abandoned.clone()) {
            watched::decided(replica, &facts, scene);
        }
    }

    /// A task has come to its end, or a decision was taken.
    fn ended(
        &mut self,
        replica: Party,
        process: &Peer,
        outcome: &Outcome,
        scene: &mut Scene<'_, '_>,
    ) -> Result<(), Stop> {
        if matches!(outcome, Outcome::Purged { .. } | Outcome::Rebuilt { .. }) {
            // Another epoch of its feed has begun.
            self.followers.may_be_lost(replica);
        }
        scene.pulse.progress = true;
        watched::ended(replica, outcome, scene);
        match outcome {
            Outcome::Verified { faults, .. } if *faults > 0 && !process.is_tainted() => {
                let found = Err(format!("verifying it finds {faults} faults"));
                scene.panel.ask(Oracle::StateIsFold, Some(replica), scene.now, || found)?;
            }
            Outcome::Rebuilt { .. } if !process.is_tainted() => {
                // What it is the first to merge (it waited for its turn, or was given up and came back) it does not tell of.
                for cid in process.core().and_then(|core| oracles::merged(core).ok()).unwrap_or_default() {
                    self.ledger.merged(replica, &cid);
                }
                let is_new = self.unseen[replica.index()].unwrap_or(false);
                self.seen(replica, process, &shown(process), is_new, scene)?;
            }
            Outcome::Purged { .. } | Outcome::Abandoned { .. } => {
                let decided = process.core().map(oracles::facts);
                if let Some(facts) = decided.and_then(Result::ok) {
                    self.decided(replica, facts, scene);
                }
                if matches!(outcome, Outcome::Purged { .. }) {
                    watched::shows_all(replica, process, scene);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Looks for those of these purged blocks that none of these replicas has any more.
    fn look_for_unserved(&self, purged: &BTreeSet<Cid>, replicas: &[(Party, &Peer)]) {
        let has =
            |cid: &Cid, process: &Peer| process.core().is_some_and(|core| core.block(cid).is_ok_and(|b| b.is_some()));
        // What is known of it spares most reads.
        let is_unserved = |cid: &Cid| {
            !replicas.iter().any(|(replica, _)| self.ledger.has_bytes(*replica, cid))
                && !replicas.iter().any(|(_, process)| has(cid, process))
        };
        self.unserved.are(purged.iter().filter(|cid| is_unserved(cid)).copied().collect());
    }

    /// The replica that has merged the most.
    fn fullest<'p>(&self, replicas: &[(Party, &'p Peer)]) -> Option<(Party, &'p Peer)> {
        replicas.iter().copied().max_by_key(|(replica, _)| self.ledger.extent(*replica).0)
    }
}

/// What a process shows; nothing where it has no core, or one that cannot be read.
fn shown(process: &Peer) -> Observed {
    process.core().and_then(|core| Observed::of(core).ok()).unwrap_or_default()
}

/// What is merged, and what was, in order of the CIDs.
fn known_blocks(merged: &[Cid], facts: &Facts) -> Vec<Cid> {
    let mut known: Vec<Cid> = merged.iter().chain(facts.purged.keys()).copied().collect();
    known.sort_unstable();
    known
}
