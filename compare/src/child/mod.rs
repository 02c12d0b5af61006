//! One workload on our side, in a process of its own: what it measures goes to standard output, as lines of JSON.

mod bulk;
mod driver;
mod fetch;
mod layers;
mod raw;
mod single;

use crate::{
    measurement::{self, Measurement},
    workload::{Store, Workload},
};
use anabranch_core::store::MemoryStore;
use anabranch_store::{Buffered, FjallStore};
use std::{
    error::Error,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

/// Why a workload could not be run.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// What is run: the same flags as those of `interop/go`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The workload
    #[arg(long, value_enum)]
    pub(crate) workload: Workload,
    /// The store
    #[arg(long, value_enum, default_value = "memory")]
    pub(crate) store: Store,
    /// How many keys (put1, put64, same-key: puts; chain: blocks)
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keys: u64,
    /// Puts in a batch
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) batch: u64,
    /// Delete: how often the key was written
    #[arg(long, value_delimiter = ',', default_value = "100,200,400,800")]
    pub(crate) versions: Vec<u64>,
    /// An empty folder for the stores (reopen: the one that crash left)
    #[arg(long)]
    pub(crate) dir: PathBuf,
}

/// One invocation: what is run, and how a replica's store is opened.
struct Run<'a, F> {
    args: &'a RunArgs,
    opener: F,
}

/// Runs it.
///
/// # Errors
/// When the store fails, or when what was read is not what was written.
pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    if args.workload == Workload::RawFjall {
        return raw::replay(args);
    }
    match args.store {
        Store::Memory => Run { args, opener: |_: &Path| Ok(MemoryStore::new()) }.workload(),
        Store::Disk => Run { args, opener: |dir: &Path| Ok(anabranch_store::open(dir)?) }.workload(),
        Store::DiskUnchecked => {
            let open = |dir: &Path| Ok(Buffered::new(FjallStore::open(dir)?)?);
            Run { args, opener: open }.workload()
        }
        Store::Map | Store::Pebble | Store::PebbleDefaults => {
            Err(format!("the store {} is one of go-ds-crdt; run it with interop/go", args.store).into())
        }
    }
}

impl<S: anabranch_core::store::Store + Send, F: Fn(&Path) -> Result<S, Failure>> Run<'_, F> {
    fn workload(&self) -> Result<(), Failure> {
        match self.args.workload {
            Workload::Ingest => self.ingest(),
            Workload::Size => self.size(),
            Workload::Get => self.get(),
            Workload::Scan => self.scan(),
            Workload::Crash => self.crash(),
            Workload::Reopen => self.reopen(),
            Workload::ColdSync => self.cold_sync(),
            Workload::Live => self.live(),
            Workload::Chain => self.chain(),
            Workload::Put1 => self.put1(),
            Workload::Put64 => self.put64(),
            Workload::SameKey => self.same_key(),
            Workload::Delete => self.delete(),
            Workload::RawFjall => raw::replay(self.args),
        }
    }

    /// The store of the replica of this name.
    fn store(&self, name: &str) -> Result<S, Failure> {
        (self.opener)(&self.args.dir.join(name))
    }

    /// Prints a line: so many of the unit were done in that time.
    fn report(&self, part: &str, unit: &str, n: u64, took: Duration) -> Result<(), Failure> {
        report(self.args, (part, unit), n, took, None)
    }
}

fn report(
    args: &RunArgs,
    (part, unit): (&str, &str),
    n: u64,
    took: Duration,
    rows_read: Option<u64>,
) -> Result<(), Failure> {
    let seconds = took.as_secs_f64().max(1e-9);
    let line = Measurement {
        workload: args.workload.to_string(),
        part: part.to_owned(),
        store: args.store.to_string(),
        keys: args.keys,
        unit: unit.to_owned(),
        rate: n as f64 / seconds,
        seconds,
        n,
        rss_bytes: measurement::rss_bytes(),
        disk_bytes: measurement::disk_bytes(&args.dir)?,
        rows_read,
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&line)?)?;
    Ok(())
}
