//! Documents of [yrs](https://docs.rs/yrs), a CRDT library that is not ours, as a system under test.
//!
//! Each replica holds one document with a map in it. It tells the others which changes it has, and who lacks some is sent them. The oracle is
//! that all documents are equal in the end, and that what was acknowledged is in them. Faults, shrinker and report are the simulator's.

use anabranch_core::Write;
use anabranch_sim::{
    Body,
    engine::{Cause, Draws},
    oracles::Oracle,
    outcome::Progress,
    process::{Answer, Failed, Io, Loss, Process, Sync},
    scenario::{DiskFate, Party},
    system::{Scene, Stop, System},
    workload::Action,
};
use std::{collections::BTreeMap, mem::take, time::Duration};
use yrs::{Doc, Map, ReadTxn, StateVector, Transact, Update, updates::decoder::Decode, updates::encoder::Encode};

const OFFERS: Duration = Duration::from_secs(2);
const VECTOR: u8 = 0;
const UPDATE: u8 = 1;

/// A replica: a document, and the disk that it is saved to.
#[derive(Default)]
pub struct Document {
    me: u64,
    /// How often it was started: yrs must never number two changes alike, and a crash takes back some.
    lives: u64,
    doc: Doc,
    disk: Vec<u8>,
    unsaved: u64,
    hasty: bool,
    /// Operations to be acknowledged when they are saved.
    waiting: Vec<(Cause, u64)>,
}

impl Document {
    fn acknowledge(&mut self, io: &mut Io<Option<u64>>) {
        for (cause, operation) in take(&mut self.waiting) {
            io.because(cause);
            io.notice(Some(operation));
            io.answer(operation, Answer::Written(Vec::new()));
        }
    }

    /// Everything that the document shows, in a fixed order.
    fn shows(&self) -> BTreeMap<String, String> {
        let map = self.doc.get_or_insert_map("map");
        let txn = self.doc.transact();
        map.iter(&txn).map(|(key, value)| (key.to_owned(), value.to_string(&txn))).collect()
    }
}

impl Process for Document {
    /// This operation is acknowledged; or, without a number, the changes of another have come in.
    type Notice = Option<u64>;

    fn start(&mut self, io: &mut Io<Option<u64>>) -> Result<(), Failed> {
        self.lives += 1;
        self.doc = Doc::with_client_id(self.lives << 16 | self.me);
        if let Ok(update) = Update::decode_v1(&self.disk) {
            let _ = self.doc.transact_mut().apply_update(update);
        }
        io.set_timer(0, (OFFERS / 2, OFFERS));
        Ok(())
    }

    fn receive(&mut self, from: Party, body: Body, io: &mut Io<Option<u64>>) -> Result<(), Failed> {
        let Some((kind, bytes)) = body.unsealed() else { return Ok(()) };
        if kind == VECTOR
            && let Ok(theirs) = StateVector::decode_v1(&bytes)
        {
            io.send(from, Body::sealed(UPDATE, &self.doc.transact().encode_diff_v1(&theirs)));
        } else if kind == UPDATE
            && let Ok(update) = Update::decode_v1(&bytes)
        {
            let before = self.doc.transact().snapshot();
            let _ = self.doc.transact_mut().apply_update(update);
            if self.doc.transact().snapshot() != before {
                self.unsaved += 1;
                io.notice(None);
            }
        }
        Ok(())
    }

    fn timer(&mut self, _: u8, io: &mut Io<Option<u64>>) -> Result<(), Failed> {
        io.broadcast(Body::sealed(VECTOR, &self.doc.transact().state_vector().encode_v1()));
        io.set_timer(0, (OFFERS / 2, OFFERS));
        Ok(())
    }

    fn operate(&mut self, operation: u64, action: Action, io: &mut Io<Option<u64>>) -> Result<(), Failed> {
        let Action::Write(_, batch) = action else {
            io.answer(operation, Answer::Value(None));
            return Ok(());
        };
        let map = self.doc.get_or_insert_map("map");
        let mut txn = self.doc.transact_mut();
        for write in batch.writes {
            match write {
                Write::Put(key, _) => drop(map.insert(&mut txn, key.to_string(), operation as f64)),
                Write::Delete(key) => drop(map.remove(&mut txn, &key.to_string())),
            }
        }
        // A key of its own, which nobody else writes: by it the judge sees whether the operation is still there.
        map.insert(&mut txn, format!("operation {operation}"), operation as f64);
        drop(txn);
        self.unsaved += 1;
        self.waiting.push((io.cause(), operation));
        if self.hasty {
            self.acknowledge(io);
        }
        Ok(())
    }

    fn sync(&mut self, io: &mut Io<Option<u64>>) -> Result<(), Failed> {
        self.disk = self.doc.transact().encode_state_as_update_v1(&StateVector::default());
        self.unsaved = 0;
        self.acknowledge(io);
        Ok(())
    }

    fn wants_sync(&self) -> Sync {
        if self.unsaved > 0 { Sync::Soon } else { Sync::Not }
    }

    fn crash(&mut self, fate: DiskFate, _kept: u64, _draws: &mut Draws) -> Loss {
        let (unsynced, other) = (take(&mut self.unsaved), take(&mut self.waiting).len() as u64);
        if fate.is_loss() {
            self.disk.clear();
        }
        Loss { unsynced, kept: 0, other, is_disk: fate.is_loss() }
    }

    fn progress(&self) -> Progress {
        Progress { merged: self.shows().len() as u64, heads: 1, behind: 0 }
    }
}

/// The system: documents, and the judge.
#[derive(Default)]
pub struct Documents {
    /// A bug to plant: whether replicas acknowledge what they have not saved.
    pub hasty: bool,
    /// Which operations were acknowledged, and by whom.
    pub acknowledged: BTreeMap<u64, Party>,
}

impl System for Documents {
    type Process = Document;

    fn process(&mut self, party: Party) -> Document {
        Document { me: party.0.into(), hasty: self.hasty, ..Document::default() }
    }

    fn agree(&mut self, replicas: &[(Party, &Document)]) -> bool {
        replicas.windows(2).all(|pair| pair[0].1.shows() == pair[1].1.shows())
    }

    fn noticed(&mut self, by: Party, _: &Document, told: Option<u64>, scene: &mut Scene<'_, '_>) -> Result<(), Stop> {
        self.acknowledged.extend(told.map(|operation| (operation, by)));
        (scene.pulse.progress, scene.pulse.learned) = (true, told.is_none());
        Ok(())
    }

    fn judge(&mut self, replicas: &[(Party, &Document)], scene: &mut Scene<'_, '_>) -> Result<(), Stop> {
        // In the midst of things some have not heard of everything; when all agree, they have what one of them has acknowledged.
        let Some((_, first)) = replicas.first().filter(|_| self.agree(replicas)) else { return Ok(()) };
        let shown = first.shows();
        let is_here = |by: &Party| replicas.iter().any(|(party, _)| party == by);
        let is_lost =
            |(number, by): &(&u64, &Party)| is_here(by) && !shown.contains_key(&format!("operation {number}"));
        let lost = self.acknowledged.iter().find(is_lost);
        Ok(scene.panel.ask(Oracle::AcknowledgedWrites, None, scene.now, || match lost {
            None => Ok(()),
            Some((number, _)) => Err(format!("operation {number} was acknowledged, and is in no document")),
        })?)
    }
}
