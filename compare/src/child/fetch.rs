//! Workloads with a reader that fetches what a writer has: cold-sync, chain, live.

use super::{
    Failure, Run,
    bulk::{Written, found_many},
    driver,
    driver::Driver,
};
use crate::data;
use anabranch_core::{Batch, Bytes, Cid, Effect, Replica, store::Store};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, PoisonError, mpsc},
    time::Instant,
};

/// The writer's blocks that the reader may ask for.
type Served = Mutex<BTreeMap<Cid, Bytes>>;

impl<S: Store + Send, F: Fn(&Path) -> Result<S, Failure>> Run<'_, F> {
    /// How long a fresh replica takes from hearing the head until all is merged and durable.
    pub(super) fn cold_sync(&self) -> Result<(), Failure> {
        let Written { writer, announcement, .. } = self.written()?;
        self.fetch_all(&writer, announcement, "keys/s")
    }

    /// [`cold_sync`](Self::cold_sync) of blocks that hold one put each.
    pub(super) fn chain(&self) -> Result<(), Failure> {
        let mut writer = Driver::open(self.store("writer")?)?;
        for n in 0..self.args.keys {
            writer.commit(n, Batch::new().put(data::key(n), data::value(n)))?;
        }
        let announcement = driver::announcement(&writer.sync()?).ok_or("the last commit announced nothing")?;
        self.fetch_all(&writer, announcement, "blocks/s")
    }

    fn fetch_all(&self, writer: &Driver<S>, announcement: Bytes, unit: &str) -> Result<(), Failure> {
        let mut reader = Driver::open(self.store("reader")?)?;
        let start = Instant::now();
        reader.hear(announcement, |cid| Ok(writer.replica.block(cid)?))?;
        let took = start.elapsed();
        same(&reader.replica, &writer.replica, self.args.keys)?;
        self.report("", unit, self.args.keys, took)
    }

    /// How long it takes until both have all keys durably: the writer goes on while the reader merges, each in its
    /// thread, as the two replicas of the Go side do.
    pub(super) fn live(&self) -> Result<(), Failure> {
        let mut writer = Driver::open(self.store("writer")?)?;
        let mut reader = Driver::open(self.store("reader")?)?;
        let served = Served::default();
        let (announce, announced) = mpsc::channel();
        let start = Instant::now();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| read(&mut reader, announced, &served));
            let wrote = self.write_live(&mut writer, announce, &served);
            // When the reader failed, it is why the writer could announce no more.
            let read = reader.join().map_err(|_| "the reader panicked")?;
            read.and(wrote)
        })?;
        let took = start.elapsed();
        same(&reader.replica, &writer.replica, self.args.keys)?;
        self.report("", "keys/s", self.args.keys, took)
    }

    /// Puts all keys, and announces each batch and serves its blocks once it is durable.
    fn write_live(
        &self,
        writer: &mut Driver<S>,
        announce: mpsc::Sender<Bytes>,
        served: &Served,
    ) -> Result<(), Failure> {
        for (token, pairs) in (0..).zip(data::batches(self.args.keys, self.args.batch)) {
            writer.commit(token, data::batch(pairs))?;
            let released = writer.sync()?;
            for effect in &released {
                if let Effect::Committed { blocks, .. } = effect {
                    serve(&writer.replica, blocks, served)?;
                }
            }
            for effect in released {
                if let Effect::Broadcast(payload) = effect {
                    announce.send(payload)?;
                }
            }
        }
        Ok(())
    }
}

/// Lays out blocks, read from the writer's store, for the reader.
fn serve<S: Store>(writer: &Replica<S>, blocks: &[Cid], served: &Served) -> Result<(), Failure> {
    for cid in blocks {
        let bytes = writer.block(cid)?.ok_or("the writer lacks a block that it made")?;
        served.lock().unwrap_or_else(PoisonError::into_inner).insert(*cid, bytes);
    }
    Ok(())
}

/// Merges, durably, what is announced, one announcement at a time.
fn read<S: Store>(reader: &mut Driver<S>, announced: mpsc::Receiver<Bytes>, served: &Served) -> Result<(), Failure> {
    for payload in announced {
        reader.hear(payload, |cid| Ok(served.lock().unwrap_or_else(PoisonError::into_inner).remove(cid)))?;
    }
    Ok(())
}

/// An error unless both replicas have the same heads and the reader has the keys that are looked up.
fn same<S: Store>(reader: &Replica<S>, writer: &Replica<S>, keys: u64) -> Result<(), Failure> {
    let (theirs, ours) = (reader.heads()?, writer.heads()?);
    if theirs != ours || ours.len() != 1 || reader.is_behind() {
        return Err(format!("the reader ended with the heads {theirs:?}, expected {ours:?}").into());
    }
    found_many(reader, keys)
}
