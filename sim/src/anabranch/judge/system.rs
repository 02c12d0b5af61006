//! The judge as the simulator calls it: at each moment that matters, which oracles are asked.

use super::{
    super::{GoPeer, HostilePeer, Notice, Peer, ReplicaProcess, watched},
    Anabranch, Asked, Basis, FOLDED_MAX, shown,
};
use crate::{
    engine::{Key as Source, hex},
    fold::Folded,
    observe::{Blob, Id, What},
    oracles::{self, Observed, Oracle, bounds, canonical, convergence, sessions::Session},
    process::{Answer, Loss},
    scenario::{FaultKind, HostileAct, Party},
    system::{Scene, Stop, Summary, System},
    workload::Action,
};
use anabranch_core::{Cid, Config, Mark, Marks, Replica};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

impl System for Anabranch<'_> {
    type Process = Peer;

    fn process(&mut self, party: Party) -> Peer {
        match self.scenario.hostile.get(party.index().wrapping_sub(self.scenario.replicas.len())) {
            Some(hostile) if hostile.acts == [HostileAct::GoLike] => {
                Peer::Go(Box::new(GoPeer::new(hostile, &self.scenario.workload.key_prefix)))
            }
            Some(hostile) => Peer::Hostile(Box::new(HostilePeer::new(hostile, &self.scenario.workload.key_prefix))),
            None => {
                let config = Config { report_changes: true, feed: true, ..self.scenario.core.clone() };
                // What a disk does is a function of the scenario and of who it belongs to; what a crash leaves is chosen by the world.
                let key = Source::of_seed(u64::from(party.0)).fork("disks");
                Peer::Replica(Box::new(ReplicaProcess::new(config, &self.scenario.disk, key, self.unserved.clone())))
            }
        }
    }

    /// Whether all have merged the same blocks.
    fn agree(&mut self, replicas: &[(Party, &Peer)]) -> bool {
        if replicas.iter().any(|(_, process)| process.is_in_between()) {
            return false;
        }
        let purged = self.ledger.all_purged();
        if !purged.is_empty() {
            self.look_for_unserved(&purged, replicas);
        }
        self.ledger.agree(replicas.iter().map(|(replica, _)| *replica))
    }

    /// Who lacks what.
    fn difference(&self, replicas: &[(Party, &Peer)]) -> String {
        let Some((most, _)) = self.fullest(replicas) else { return String::from("no replica is up") };
        let lacking = replicas.iter().find_map(|(replica, process)| {
            let lacked = self.ledger.all_merged(most).find(|block| !self.ledger.has_merged(*replica, &block.cid))?;
            Some((*replica, process, lacked.cid))
        });
        let Some((replica, process, cid)) = lacking else { return String::from("all have merged the same") };
        let stats = process.core().map(Replica::stats).unwrap_or_default();
        format!(
            "{} has merged {} blocks and {} has merged {}: it lacks {}, with {} obligations, {} rumours and {} fetches in flight",
            self.name(most),
            self.ledger.extent(most).0,
            self.name(replica),
            self.ledger.extent(replica).0,
            crate::outcome::short(&cid),
            stats.obligations,
            stats.rumours,
            stats.fetches,
        )
    }

    fn crashed(&mut self, replica: Party, loss: &Loss, _scene: &mut Scene<'_, '_>) {
        self.wiped[replica.index()] |= loss.is_disk;
        self.asked.retain(|_, asked| asked.replica != replica);
        if loss.is_disk {
            self.sessions[replica.index()] = Session::default();
            self.followers.may_be_lost(replica);
        }
    }

    fn started(&mut self, replica: Party, process: &Peer, scene: &mut Scene<'_, '_>) -> Result<(), Stop> {
        let was_wiped = std::mem::take(&mut self.wiped[replica.index()]);
        // Format 1 kept no feed.
        if process.core().is_some_and(|core| core.marks().has(Mark::Upgraded)) {
            self.followers.may_be_lost(replica);
        }
        let observed = shown(process);
        self.seen(replica, process, &observed, was_wiped, scene)?;
        if was_wiped || process.is_tainted() || process.is_in_between() {
            return Ok(());
        }
        self.followers.read(replica, process, &observed, usize::MAX, scene)
    }

    fn noticed(&mut self, party: Party, process: &Peer, notice: Notice, scene: &mut Scene<'_, '_>) -> Result<(), Stop> {
        match notice {
            Notice::Core(event) => return self.heard(party, process, &event, scene),
            Notice::Made { cid, bytes, poison } => {
                if let Some(kind) = poison {
                    self.poison.insert(cid, kind);
                }
                if party.index() < self.scenario.replicas.len() {
                    let is_decided = |cid: &Cid| process.core().is_some_and(|core| is_decided(core, cid));
                    let has_given_up = process.core().is_some_and(|core| core.stats().abandoned > 0);
                    let check = || canonical::check(&self.ledger, &cid, &bytes, has_given_up, is_decided);
                    scene.panel.ask(Oracle::CanonicalBlocks, Some(party), scene.now, check)?;
                }
                self.writes.made(cid, &bytes);
                scene.tell(party, || What::Made { block: Id(cid), bytes: Blob(bytes.to_vec()) });
                self.ledger.author(party, cid, bytes);
            }
            Notice::Waited(known) => {
                scene.tally.effective(FaultKind::LateWrite);
                let Some(core) = process.core() else { return Ok(()) };
                let check = || bounds::waited(&known, |cid| is_decided(core, cid));
                scene.panel.ask(Oracle::ObligationsPursued, Some(party), scene.now, check)?;
            }
            Notice::StillOwed(cid) => {
                let check = || bounds::taken(&cid);
                scene.panel.ask(Oracle::ObligationsPursued, Some(party), scene.now, check)?;
            }
            Notice::Ended(outcome) => return self.ended(party, process, &outcome, scene),
            Notice::Acts(kind) => scene.tally.requested(kind),
            Notice::Harmed(kind) => scene.tally.effective(kind),
        }
        Ok(())
    }

    fn called(&mut self, party: Party, process: &Peer, scene: &mut Scene<'_, '_>) {
        watched::shown(party, process, scene);
    }

    fn asked(&mut self, replica: Party, operation: u64, action: &Action) {
        let seen = match action {
            Action::Get(_) => BTreeSet::new(),
            Action::Write(..) => self.sessions[replica.index()].seen(),
        };
        self.asked.insert(operation, Asked { replica, action: action.clone(), seen });
    }

    fn answered(
        &mut self,
        replica: Party,
        operation: u64,
        answer: &Answer,
        scene: &mut Scene<'_, '_>,
    ) -> Result<(), Stop> {
        let asked = self.asked.remove(&operation);
        if let Answer::Written(blocks) = answer {
            self.ledger.acknowledged(replica, blocks);
        }
        match (answer, asked) {
            (Answer::Written(blocks), Some(Asked { seen, .. })) => {
                let follows = self.sessions[replica.index()].wrote(&self.ledger, &seen, blocks);
                scene.panel.ask(Oracle::WritesFollowReads, Some(replica), scene.now, || follows)?;
            }
            (Answer::Value(value), Some(Asked { action: Action::Get(key), .. })) => {
                scene.tell(replica, || {
                    let value = value.as_ref().map(|value| Blob(value.to_vec()));
                    What::Read { number: operation, key: key.to_string(), value }
                });
                let (ledger, writes, session) = (&self.ledger, &self.writes, &mut self.sessions[replica.index()]);
                let (who, now, value) = (Some(replica), scene.now, value.as_ref());
                let check = || session.reads_its_writes(ledger, writes, &key, value);
                scene.panel.ask(Oracle::ReadYourWrites, who, now, check)?;
                scene.panel.ask(Oracle::MonotonicReads, who, now, || session.reads_on(ledger, writes, &key, value))?;
                session.read(writes, &key, value);
            }
            _ => {}
        }
        Ok(())
    }

    fn synced(&mut self, replica: Party) {
        if replica.index() < self.wiped.len() {
            self.ledger.synced(replica);
        }
    }

    fn look(&mut self, replica: Party, process: &Peer, scene: &mut Scene<'_, '_>) -> Result<(), Stop> {
        self.judge_replica(replica, process, scene)
    }

    /// One fold for each different set of merged blocks while they are cheap; those that have equal sets are compared.
    fn judge(&mut self, replicas: &[(Party, &Peer)], scene: &mut Scene<'_, '_>) -> Result<(), Stop> {
        let mut seen: BTreeMap<Basis, (Party, Observed, Option<Folded>)> = BTreeMap::new();
        let mut blocks_folded = 0;
        for (replica, process) in replicas.iter().copied() {
            let Some((observed, facts)) = self.judge_alone(replica, process, scene)? else { continue };
            self.followers.read(replica, process, &observed, usize::MAX, scene)?;
            let extent = self.ledger.extent(replica);
            let decided = |cids: &mut dyn Iterator<Item = &Cid>| cids.copied().collect::<Vec<_>>();
            let basis = (extent, decided(&mut facts.purged.keys()), decided(&mut facts.abandoned.iter()));
            if let Some((other, theirs, folded)) = seen.get(&basis) {
                let (name, other) = (self.name(replica), self.name(*other));
                scene
                    .panel
                    .ask(Oracle::Convergence, None, scene.now, || convergence::check(name, &observed, other, theirs))?;
                if let Some(folded) = folded {
                    let void = self.ledger.void(replica);
                    let folded = &Folded { void, ..folded.clone() };
                    self.ask_fold(replica, process, &observed, folded, scene)?;
                }
                continue;
            }
            let is_cheap = blocks_folded == 0 || blocks_folded + extent.0 <= FOLDED_MAX;
            let folded = is_cheap.then(|| oracles::fold::of(&self.ledger, replica, &facts));
            if let Some(folded) = &folded {
                blocks_folded += extent.0.max(1);
                self.ask_fold(replica, process, &observed, folded, scene)?;
            }
            seen.insert(basis, (replica, observed, folded));
        }
        Ok(())
    }

    fn marks(&self, processes: &[(Party, &Peer)]) -> BTreeMap<&'static str, bool> {
        let reached = processes.iter().fold(Marks::default(), |marks, (_, process)| marks.and(process.marks()));
        Mark::ALL.iter().map(|mark| (mark.name(), reached.has(*mark))).collect()
    }

    fn summary(&self, replicas: &[(Party, &Peer)]) -> Summary {
        let core = self.fullest(replicas).and_then(|(_, process)| process.core());
        let stats = core.map(Replica::stats).unwrap_or_default();
        let observed = core.and_then(|core| Observed::of(core).ok()).unwrap_or_default();
        Summary {
            blocks_merged: self.blocks_merged,
            blocks: stats.merged,
            blocks_void: stats.void,
            blocks_misdeclared: stats.misdeclared,
            keys: observed.state.len() as u64,
            heads: stats.heads,
            state: state_digest(&observed),
        }
    }
}

/// sha2-256 over all keys and values in order, each with its length.
fn state_digest(observed: &Observed) -> String {
    let mut hasher = Sha256::new();
    for (key, value) in &observed.state {
        for bytes in [key.as_bytes(), value] {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
    }
    hex(&hasher.finalize())
}

/// Whether a replica has merged a block, purged it or given it up.
fn is_decided<S: anabranch_core::store::Store>(core: &Replica<S>, cid: &Cid) -> bool {
    let is_stub = || oracles::facts(core).is_ok_and(|facts| facts.height(cid).is_some());
    core.is_merged(cid).unwrap_or(true) || is_stub()
}
