//! Workloads of single puts and deletes.

use super::{Failure, Run, driver::Driver};
use crate::data;
use anabranch_core::{Batch, Effect, Key, store::Store};
use std::{
    path::Path,
    sync::mpsc,
    time::{Duration, Instant},
};

/// How many callers put at once in `put64`.
const CALLERS: u64 = 64;
/// How many keys are deleted for each number of versions.
const DELETES: u64 = 3;

/// A put that waits until it is durable.
struct Waiting {
    caller: u64,
    batch: Batch,
}

impl<S: Store + Send, F: Fn(&Path) -> Result<S, Failure>> Run<'_, F> {
    /// Puts one after another, each durable before the next.
    pub(super) fn put1(&self) -> Result<(), Failure> {
        let mut writer = Driver::open(self.store("writer")?)?;
        let start = Instant::now();
        for n in 0..self.args.keys {
            writer.commit(n, Batch::new().put(data::key(n), data::value(n)))?;
            writer.sync()?;
        }
        self.report("", "puts/s", self.args.keys, start.elapsed())
    }

    /// Puts of many callers, each a thread that waits until its put is durable. One thread owns the replica: it takes all puts
    /// that wait, steps each, syncs once, and answers them.
    pub(super) fn put64(&self) -> Result<(), Failure> {
        let mut writer = Driver::open(self.store("writer")?)?;
        let (send, puts) = mpsc::channel();
        let keys = self.args.keys;
        let start = Instant::now();
        std::thread::scope(|scope| {
            let mut done = Vec::new();
            for caller in 0..CALLERS {
                let (answer, answered) = mpsc::sync_channel(1);
                let send = send.clone();
                done.push(answer);
                scope.spawn(move || put_all(caller, keys, &send, &answered));
            }
            drop(send);
            own(&mut writer, puts, &done)
        })?;
        let took = start.elapsed();
        let merged = writer.replica.stats().merged;
        if merged != self.args.keys {
            return Err(format!("{merged} puts were committed, expected {}", self.args.keys).into());
        }
        self.report("", "puts/s", self.args.keys, took)
    }

    /// Puts of one key, made durable after every tenth of them: the first tenth, the last, and all.
    pub(super) fn same_key(&self) -> Result<(), Failure> {
        let mut writer = Driver::open(self.store("writer")?)?;
        let window = (self.args.keys / 10).max(1);
        let mut tenths = Vec::new();
        for first in (0..self.args.keys).step_by(usize::try_from(window)?) {
            let end = self.args.keys.min(first + window);
            let start = Instant::now();
            for n in first..end {
                writer.commit(n, Batch::new().put(data::key(0), data::value(n)))?;
            }
            writer.sync()?;
            tenths.push((end - first, start.elapsed()));
        }
        if let [(puts, first), .., (last_puts, last)] = tenths[..] {
            self.report("first tenth", "puts/s", puts, first)?;
            self.report("last tenth", "puts/s", last_puts, last)?;
        }
        self.report("whole", "puts/s", self.args.keys, tenths.iter().map(|(_, took)| *took).sum::<Duration>())
    }

    /// Durable deletes of keys that were written so many times.
    pub(super) fn delete(&self) -> Result<(), Failure> {
        let mut writer = Driver::open(self.store("writer")?)?;
        for &versions in &self.args.versions {
            let keys: Vec<String> = (0..DELETES).map(|which| data::key(versions * DELETES + which)).collect();
            for n in 0..versions {
                for key in &keys {
                    writer.commit(n, Batch::new().put(key, data::value(n)))?;
                }
            }
            writer.sync()?;
            let start = Instant::now();
            for key in &keys {
                writer.commit(0, Batch::new().delete(key))?;
                writer.sync()?;
            }
            let took = start.elapsed();
            for key in &keys {
                if writer.replica.has(&Key::new(key))? {
                    return Err(format!("key {key} outlived its delete").into());
                }
            }
            self.report(&format!("{versions} versions"), "deletes/s", DELETES, took)?;
        }
        Ok(())
    }
}

/// One caller: puts its share, one after another.
fn put_all(caller: u64, keys: u64, send: &mpsc::Sender<Waiting>, answered: &mpsc::Receiver<()>) {
    for n in (caller..keys).step_by(CALLERS as usize) {
        let batch = Batch::new().put(data::key(n), data::value(n));
        // Whoever hears nobody has no more to do: the owner failed, and says why.
        if send.send(Waiting { caller, batch }).is_err() || answered.recv().is_err() {
            return;
        }
    }
}

/// The owner of the replica: group commit.
fn own<S: Store>(
    writer: &mut Driver<S>,
    puts: mpsc::Receiver<Waiting>,
    done: &[mpsc::SyncSender<()>],
) -> Result<(), Failure> {
    while let Ok(first) = puts.recv() {
        for put in std::iter::once(first).chain(puts.try_iter()) {
            writer.commit(put.caller, put.batch)?;
        }
        for effect in writer.sync()? {
            if let Effect::Committed { token, .. } = effect {
                done[token.0 as usize].send(())?;
            }
        }
    }
    Ok(())
}
