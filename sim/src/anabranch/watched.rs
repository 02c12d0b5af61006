//! What is told to those who watch, where it takes more than a line.

use super::Peer;
use crate::{
    fold::Facts,
    observe::{Blob, Id, What},
    oracles::Observed,
    scenario::Party,
    system::Scene,
};
use anabranch_core::{Cid, Event, Key, Outcome, wire};

/// A replica was opened: what it has merged.
pub(super) fn started(replica: Party, merged: &[Cid], scene: &mut Scene<'_, '_>) {
    scene.tell(replica, || What::Started { merged: merged.iter().copied().map(Id).collect() });
}

/// What is decided without the bytes of blocks has changed.
pub(super) fn decided(replica: Party, facts: &Facts, scene: &mut Scene<'_, '_>) {
    scene.tell(replica, || What::Decided {
        purged: facts.purged.iter().map(|(cid, height)| (Id(*cid), *height)).collect(),
        abandoned: facts.abandoned.iter().copied().map(Id).collect(),
    });
}

/// A task has come to its end, or a decision was taken.
pub(super) fn ended(replica: Party, outcome: &Outcome, scene: &mut Scene<'_, '_>) {
    scene.tell(replica, || What::Noticed {
        what: match outcome {
            Outcome::Imported { merged, pending, wrong, left } => format!(
                "has imported a file: {merged} of its blocks are merged, {pending} wait, {} were left, {wrong} of them wrong",
                left.len()
            ),
            Outcome::Purged { blocks, keys } => {
                format!("has purged a DAG: {blocks} blocks are stubs now, {keys} keys were derived anew")
            }
            Outcome::Verified { blocks, keys, faults } => {
                format!("has verified {blocks} blocks and {keys} keys, and found {faults} faults")
            }
            Outcome::Rebuilt { blocks, damaged, owed } => {
                format!("has been rebuilt: {blocks} blocks are merged, {damaged} were damaged, {owed} are owed")
            }
            Outcome::Abandoned { cid } => format!("has given up block {}", crate::outcome::short(cid)),
        },
    });
}

/// All that a replica shows.
pub(super) fn shows_all(replica: Party, process: &Peer, scene: &mut Scene<'_, '_>) {
    let Some(core) = process.core().filter(|_| scene.watch.is_on()) else { return };
    let Ok(observed) = Observed::of(core) else { return };
    scene.tell(replica, || What::Shows {
        heads: observed.heads.values().flatten().copied().map(Id).collect(),
        values: observed.state.iter().map(|(key, value)| (key.to_string(), Some(Blob(value.to_vec())))).collect(),
        all: true,
        settled: is_settled(process),
    });
}

fn is_settled(process: &Peer) -> bool {
    !process.is_in_between() && !process.is_tainted()
}

/// What the core says.
pub(super) fn notice(replica: Party, process: &Peer, event: &Event, scene: &mut Scene<'_, '_>) {
    if !scene.watch.is_on() {
        return;
    }
    let scenario = scene.scenario;
    let peer =
        |peer: &anabranch_core::Peer| u16::try_from(peer.0).map_or("?", |number| scenario.party_name(Party(number)));
    let what = match event {
        // What a replica shows is told after each step. A purge changes what no merge of the step writes.
        Event::Changed { key, .. } => return scene.watch.touch([key.clone()]),
        Event::Merged { cid, void, .. } => {
            let bytes = process.core().and_then(|core| core.block(cid).ok().flatten());
            let delta = bytes.and_then(|bytes| wire::Block::decode(&bytes).delta.ok());
            scene.watch.touch(delta.iter().flat_map(keys));
            What::Merged { block: Id(*cid), void: *void }
        }
        Event::WrongBytes { from, cid } => What::Noticed {
            what: format!("{} sent bytes that do not hash to {}", peer(from), crate::outcome::short(cid)),
        },
        Event::BadBroadcast { from, heads: 0 } => {
            What::Noticed { what: format!("{} sent what is no announcement", peer(from)) }
        }
        Event::BadBroadcast { from, heads } => {
            What::Noticed { what: format!("{} announced {heads} heads that are no blocks", peer(from)) }
        }
        Event::VoidRumour { cid } => {
            What::Noticed { what: format!("block {} breaks a rule, and is left alone", crate::outcome::short(cid)) }
        }
        Event::Parked { cid, obligation } => {
            let which = if *obligation { "an obligation" } else { "a rumour" };
            What::Noticed { what: format!("nobody serves block {}, {which}", crate::outcome::short(cid)) }
        }
        Event::Damage(damage) => What::Noticed { what: damage.to_string() },
    };
    scene.tell(replica, || what);
}

/// What the keys that were merged in this step have for values now, and the heads.
pub(super) fn shown(replica: Party, process: &Peer, scene: &mut Scene<'_, '_>) {
    let touched = scene.watch.take_touched();
    let Some(core) = process.core().filter(|_| !touched.is_empty()) else { return };
    let value = |key: &Key| Some(core.get(key).ok()?.map(|value| Blob(value.to_vec())));
    let values = touched.iter().filter_map(|key| Some((key.to_string(), value(key)?))).collect();
    // While it is being rebuilt there is nothing to show.
    let Ok(heads) = core.heads() else { return };
    let heads = heads.iter().map(|head| Id(head.cid)).collect();
    scene.tell(replica, || What::Shows { heads, values, all: false, settled: is_settled(process) });
}

fn keys(delta: &wire::Delta) -> impl Iterator<Item = Key> + use<> {
    let put: Vec<Key> = delta.elements.iter().map(|element| element.key.clone()).collect();
    let removed: Vec<Key> = delta.tombstones.iter().map(|tombstone| tombstone.key.clone()).collect();
    put.into_iter().chain(removed)
}
