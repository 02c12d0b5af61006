//! Documents of [yrs](https://docs.rs/yrs), a CRDT library that is not ours, as a system under test.
//!
//! Each replica holds one document with a map in it. It tells the others which changes it has, and who lacks some is sent them. The faults are those
//! of Anabranch's scenarios; the oracle is that all documents are equal in the end, and that what was acknowledged is in them.

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
use std::{collections::BTreeSet, time::Duration};
use yrs::{
    Doc, Map, MapRef, ReadTxn, StateVector, Transact, Update,
    updates::{decoder::Decode, encoder::Encode},
};

const OFFERS: Duration = Duration::from_secs(2);
const VECTOR: u8 = 0;
const UPDATE: u8 = 1;

/// A replica: a document, and the disk that it is saved to.
pub struct Document {
    me: u64,
    /// How often it was started: yrs must never number two changes alike, and a crash takes back some.
    lives: u64,
    doc: Doc,
    map: MapRef,
    disk: Vec<u8>,
    unsaved: u64,
    /// Operations to be acknowledged when they are saved, each with the number that it put for good.
    waiting: Vec<(Cause, u64)>,
}

/// What a replica tells the judge.
pub enum Told {
    /// This operation is saved.
    Written(u64),
    /// Its document is another one now.
    Changed,
}

fn open(client: u64, disk: &[u8]) -> (Doc, MapRef) {
    let doc = Doc::with_client_id(client);
    let map = doc.get_or_insert_map("map");
    if let Ok(update) = Update::decode_v1(disk) {
        let _ = doc.transact_mut().apply_update(update);
    }
    (doc, map)
}

impl Document {
    fn saved(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    /// Everything that the document shows, in a fixed order.
    fn shows(&self) -> BTreeSet<String> {
        let txn = self.doc.transact();
        self.map.iter(&txn).map(|(key, value)| format!("{key} = {}", value.to_string(&txn))).collect()
    }
}

impl Process for Document {
    type Notice = Told;

    fn start(&mut self, io: &mut Io<Told>) -> Result<(), Failed> {
        self.lives += 1;
        (self.doc, self.map) = open(self.lives << 16 | self.me, &self.disk);
        io.set_timer(0, (OFFERS / 2, OFFERS));
        Ok(())
    }

    fn receive(&mut self, from: Party, body: Body, io: &mut Io<Told>) -> Result<(), Failed> {
        match body.unsealed() {
            Some((VECTOR, bytes)) => {
                if let Ok(theirs) = StateVector::decode_v1(&bytes) {
                    io.send(from, Body::sealed(UPDATE, &self.doc.transact().encode_diff_v1(&theirs)));
                }
            }
            Some((UPDATE, bytes)) => {
                if let Ok(update) = Update::decode_v1(&bytes) {
                    let before = self.doc.transact().snapshot();
                    let _ = self.doc.transact_mut().apply_update(update);
                    if self.doc.transact().snapshot() != before {
                        self.unsaved += 1;
                        io.notice(Told::Changed);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn timer(&mut self, _: u8, io: &mut Io<Told>) -> Result<(), Failed> {
        io.broadcast(Body::sealed(VECTOR, &self.doc.transact().state_vector().encode_v1()));
        io.set_timer(0, (OFFERS / 2, OFFERS));
        Ok(())
    }

    fn operate(&mut self, operation: u64, action: Action, io: &mut Io<Told>) -> Result<(), Failed> {
        match action {
            Action::Write(_, batch) => {
                let mut txn = self.doc.transact_mut();
                for write in batch.writes {
                    match write {
                        Write::Put(key, _) => drop(self.map.insert(&mut txn, key.to_string(), operation as f64)),
                        Write::Delete(key) => drop(self.map.remove(&mut txn, &key.to_string())),
                    }
                }
                // A key of its own, which nobody else writes: by it the judge sees whether the operation is still there.
                self.map.insert(&mut txn, format!("operation {operation}"), operation as f64);
                self.unsaved += 1;
                self.waiting.push((io.cause(), operation));
            }
            Action::Get(_) => io.answer(operation, Answer::Value(None)),
        }
        Ok(())
    }

    fn sync(&mut self, io: &mut Io<Told>) -> Result<(), Failed> {
        self.disk = self.saved();
        self.unsaved = 0;
        for (cause, operation) in std::mem::take(&mut self.waiting) {
            io.because(cause);
            io.notice(Told::Written(operation));
            io.answer(operation, Answer::Written(Vec::new()));
        }
        Ok(())
    }

    fn wants_sync(&self) -> Sync {
        if self.unsaved > 0 { Sync::Soon } else { Sync::Not }
    }

    fn unsynced(&self) -> u64 {
        self.unsaved
    }

    fn crash(&mut self, fate: DiskFate, _kept: u64, _draws: &mut Draws) -> Loss {
        let (unsynced, other) = (std::mem::take(&mut self.unsaved), self.waiting.len() as u64);
        self.waiting.clear();
        if fate.is_loss() {
            self.disk.clear();
        }
        Loss { unsynced, kept: 0, other, is_disk: fate.is_loss() }
    }

    fn progress(&self) -> Progress {
        Progress { merged: self.map.len(&self.doc.transact()).into(), heads: 1, behind: 0 }
    }
}

/// The system: documents, and the judge.
#[derive(Default)]
pub struct Documents {
    acknowledged: BTreeSet<u64>,
}

impl System for Documents {
    type Process = Document;

    fn process(&mut self, party: Party) -> Document {
        let me = u64::from(party.0) + 1;
        let (doc, map) = open(me, &[]);
        Document { me, lives: 0, doc, map, disk: Vec::new(), unsaved: 0, waiting: Vec::new() }
    }

    fn agree(&mut self, replicas: &[(Party, &Document)]) -> bool {
        replicas.windows(2).all(|pair| pair[0].1.shows() == pair[1].1.shows())
    }

    fn noticed(&mut self, _: Party, _: &Document, told: Told, scene: &mut Scene<'_, '_>) -> Result<(), Stop> {
        if let Told::Written(operation) = told {
            self.acknowledged.insert(operation);
        }
        scene.pulse.progress = true;
        Ok(())
    }

    fn judge(&mut self, replicas: &[(Party, &Document)], scene: &mut Scene<'_, '_>) -> Result<(), Stop> {
        // In the midst of things some have not heard of everything; at the end all have everything that was acknowledged anywhere.
        let Some((_, first)) = replicas.first().filter(|_| self.agree(replicas)) else { return Ok(()) };
        let shown = first.shows();
        let lost = self.acknowledged.iter().find(|number| !shown.contains(&format!("operation {number} = {number}")));
        scene.panel.ask(Oracle::AcknowledgedWrites, None, scene.now, || match lost {
            None => Ok(()),
            Some(number) => Err(format!("operation {number} was acknowledged, and is in no document")),
        })?;
        Ok(())
    }
}
