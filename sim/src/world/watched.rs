//! What is told to those who watch, where it takes more than a line.

use super::{Failure, Outcome, World};
use crate::{
    choices::{Choice, ChoiceKey},
    engine::Cause,
    observe::{Blob, Id, What},
    oracles::Observed,
    scenario::Party,
    workload::{Action, Operation},
};
use anabranch_core::{Bytes, Cid, Event as Notice, Key, Write, wire};

impl World<'_> {
    /// A number that the scenario leaves open, from the first to the second, both included.
    pub(super) fn choose(&mut self, choice: Choice, party: Party, cause: Cause, n: u64, range: (u64, u64)) -> u64 {
        let key = ChoiceKey { choice, party, cause, n };
        let value = self.choices.between(&key, range.0, range.1);
        self.tell_choice(&key, value);
        value
    }

    pub(super) fn tell_choice(&mut self, key: &ChoiceKey, value: u64) {
        let ChoiceKey { choice, party, cause, n } = *key;
        self.watch.tell(self.now, Some(party), Some(cause), || What::Chose { choice, n, value });
    }

    pub(super) fn tell_operation(&mut self, operation: &Operation, is_up: bool) {
        let Operation { index, replica, action, .. } = operation;
        self.watch.tell(self.now, Some(*replica), Some(Cause::Operation(*index)), || {
            let (dag, writes) = match action {
                Action::Get(key) => (String::new(), vec![(key.to_string(), None)]),
                Action::Write(_, batch) => (batch.dag.to_string(), batch.writes.iter().map(written).collect()),
            };
            What::Operation { number: *index, kind: action.kind(), dag, writes, is_up }
        });
    }

    pub(super) fn tell_made(&mut self, author: Party, cause: Cause, cid: Cid, bytes: &Bytes) {
        self.watch
            .tell(self.now, Some(author), Some(cause), || What::Made { block: Id(cid), bytes: Blob(bytes.to_vec()) });
    }

    pub(super) fn tell_started(&mut self, replica: Party, cause: Cause) {
        let Some(core) = self.processes[replica.index()].core.as_ref().filter(|_| self.watch.is_on()) else { return };
        let Ok(observed) = Observed::of(core) else { return };
        let merged = core.stats().merged;
        self.watch.tell(self.now, Some(replica), Some(cause), || What::Started { merged });
        self.watch.tell(self.now, Some(replica), Some(cause), || What::Shows {
            heads: observed.heads.values().flatten().copied().map(Id).collect(),
            values: observed.state.iter().map(|(key, value)| (key.to_string(), Some(Blob(value.to_vec())))).collect(),
            all: true,
        });
    }

    pub(super) fn tell_notice(&mut self, replica: Party, cause: Cause, notice: &Notice) {
        if !self.watch.is_on() {
            return;
        }
        let peer = |peer: &anabranch_core::Peer| {
            u16::try_from(peer.0).map_or("?", |number| self.scenario.party_name(Party(number)))
        };
        let what = match notice {
            Notice::Merged { cid, void, .. } => {
                let bytes =
                    self.processes[replica.index()].core.as_ref().and_then(|core| core.block(cid).ok().flatten());
                let delta = bytes.and_then(|bytes| wire::Block::decode(&bytes).delta.ok());
                self.watch.touch(delta.iter().flat_map(keys));
                What::Merged { block: Id(*cid), void: *void }
            }
            Notice::WrongBytes { from, cid } => What::Noticed {
                what: format!("{} sent bytes that do not hash to {}", peer(from), crate::outcome::short(cid)),
            },
            Notice::BadBroadcast { from, heads: 0 } => {
                What::Noticed { what: format!("{} sent what is no announcement", peer(from)) }
            }
            Notice::BadBroadcast { from, heads } => {
                What::Noticed { what: format!("{} announced {heads} heads that are no blocks", peer(from)) }
            }
            Notice::VoidRumour { cid } => {
                What::Noticed { what: format!("block {} breaks a rule, and is left alone", crate::outcome::short(cid)) }
            }
            Notice::Parked { cid, obligation } => {
                let which = if *obligation { "an obligation" } else { "a rumour" };
                What::Noticed { what: format!("nobody serves block {}, {which}", crate::outcome::short(cid)) }
            }
        };
        self.watch.tell(self.now, Some(replica), Some(cause), || what);
    }

    /// What the keys that were merged in this step have for values now, and the heads.
    pub(super) fn tell_shown(&mut self, replica: Party, cause: Cause) {
        if !self.watch.is_on() {
            return;
        }
        let touched = self.watch.take_touched();
        let Some(core) = self.processes[replica.index()].core.as_ref().filter(|_| !touched.is_empty()) else { return };
        let value = |key: &Key| Some(core.get(key).ok()?.map(|value| Blob(value.to_vec())));
        let values = touched.iter().filter_map(|key| Some((key.to_string(), value(key)?))).collect();
        let heads = core.heads().unwrap_or_default().iter().map(|head| Id(head.cid)).collect();
        self.watch.tell(self.now, Some(replica), Some(cause), || What::Shows { heads, values, all: false });
    }

    pub(super) fn tell_objection(&mut self, outcome: &Outcome) {
        let Err(Failure::Broken(violation)) = outcome else { return };
        self.watch.tell(self.now, violation.replica, None, || What::Objected {
            oracle: violation.oracle,
            message: violation.message.clone(),
        });
    }
}

fn keys(delta: &wire::Delta) -> impl Iterator<Item = Key> + use<> {
    let put: Vec<Key> = delta.elements.iter().map(|element| element.key.clone()).collect();
    let removed: Vec<Key> = delta.tombstones.iter().map(|tombstone| tombstone.key.clone()).collect();
    put.into_iter().chain(removed)
}

fn written(write: &Write) -> (String, Option<Blob>) {
    match write {
        Write::Put(key, value) => (key.to_string(), Some(Blob(value.to_vec()))),
        Write::Delete(key) => (key.to_string(), None),
    }
}
