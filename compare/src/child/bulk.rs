//! Workloads on many keys at once: ingest, get, scan, reopen.

use super::{Failure, Run, driver, driver::Driver, layers::Counted, report};
use crate::data::{self, PREFIX, VALUE_LEN};
use anabranch_core::{Bytes, Key, Query, Replica, store::Store};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// How many keys `get` reads at least.
const GETS_MIN: u64 = 200_000;
/// For how long `scan` goes on.
const SCAN_MIN: Duration = Duration::from_millis(500);
/// How many keys are looked up to see that they are there.
const LOOKED_UP: u64 = 1_000;

/// A replica that holds all keys.
pub(super) struct Written<S> {
    pub(super) writer: Driver<S>,
    /// How long the commits and syncs took; making up keys and values does not count.
    pub(super) took: Duration,
    /// The last announcement.
    pub(super) announcement: Bytes,
}

impl<S: Store + Send, F: Fn(&Path) -> Result<S, Failure>> Run<'_, F> {
    /// Puts all keys in batches, each durable.
    pub(super) fn written(&self) -> Result<Written<S>, Failure> {
        let mut writer = Driver::open(self.store("writer")?)?;
        let (mut took, mut released) = (Duration::ZERO, Vec::new());
        for (token, pairs) in (0..).zip(data::batches(self.args.keys, self.args.batch)) {
            let start = Instant::now();
            writer.commit(token, data::batch(pairs))?;
            released = writer.sync()?;
            took += start.elapsed();
        }
        let announcement = driver::announcement(&released).ok_or("the last commit announced nothing")?;
        Ok(Written { writer, took, announcement })
    }

    pub(super) fn ingest(&self) -> Result<(), Failure> {
        let written = self.written()?;
        self.report("", "keys/s", self.args.keys, written.took)
    }

    /// Reports how much memory an ingest took, and how much disk when the store has been closed.
    pub(super) fn size(&self) -> Result<(), Failure> {
        let Written { writer, took, .. } = self.written()?;
        drop(writer);
        self.report("", "keys/s", self.args.keys, took)
    }

    pub(super) fn get(&self) -> Result<(), Failure> {
        let replica = self.written()?.writer.replica;
        let gets = GETS_MIN.max(self.args.keys / 10);
        let keys: Vec<Key> = (0..gets).map(|i| Key::new(data::key(data::drawn(i, self.args.keys)))).collect();
        let start = Instant::now();
        for key in &keys {
            found(&replica, key)?;
        }
        self.report("", "gets/s", gets, start.elapsed())
    }

    pub(super) fn scan(&self) -> Result<(), Failure> {
        let mut replica = self.written()?.writer.replica;
        let query = Query { prefix: Bytes::from(PREFIX), ..Query::default() };
        let (start, mut rows) = (Instant::now(), 0);
        while start.elapsed() < SCAN_MIN {
            let before = rows;
            for row in replica.snapshot()?.rows(&query) {
                row?;
                rows += 1;
            }
            if rows - before != self.args.keys {
                return Err(format!("a scan gave {} rows, expected {}", rows - before, self.args.keys).into());
            }
        }
        self.report("", "rows/s", rows, start.elapsed())
    }

    /// Puts all keys, each batch durable, and dies without closing anything.
    pub(super) fn crash(&self) -> Result<(), Failure> {
        let _open = self.written()?;
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
        Err("SIGKILL came back".into())
    }

    /// How long it takes from nothing until a key has been read from what [`crash`](Self::crash) left.
    pub(super) fn reopen(&self) -> Result<(), Failure> {
        let last = Key::new(data::key(self.args.keys - 1));
        let start = Instant::now();
        let replica = Driver::open(Counted::new(self.store("writer")?))?.replica;
        found(&replica, &last)?;
        let (took, rows) = (start.elapsed(), replica.store().rows());
        found_many(&replica, self.args.keys)?;
        report(self.args, ("", "opens/s"), 1, took, Some(rows))
    }
}

/// An error unless the replica holds the key.
fn found<S: Store>(replica: &Replica<S>, key: &Key) -> Result<(), Failure> {
    match replica.get(key)?.map(|value| value.len()) {
        Some(VALUE_LEN) => Ok(()),
        Some(len) => Err(format!("key {key} has a value of {len} bytes, expected {VALUE_LEN}").into()),
        None => Err(format!("key {key} is missing").into()),
    }
}

/// An error unless the replica holds the keys that are looked up.
pub(super) fn found_many<S: Store>(replica: &Replica<S>, keys: u64) -> Result<(), Failure> {
    (0..LOOKED_UP).try_for_each(|i| found(replica, &Key::new(data::key(data::drawn(i, keys)))))
}
