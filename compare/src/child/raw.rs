//! The ceiling of an ingest: exactly the rows that it writes, on the bare engine.

use super::{
    Failure, RunArgs,
    driver::Driver,
    layers::{Asked, Recorded},
    report,
};
use crate::data;
use anabranch_core::store::{MemoryStore, Store};
use anabranch_store::{Buffered, Checked, FjallStore};
use std::time::{Duration, Instant};

/// Records what an ingest through the default stack asks of its engine, then asks the same of a bare fjall, and times only that.
pub(super) fn replay(args: &RunArgs) -> Result<(), Failure> {
    let asked = record(args)?;
    let mut engine = FjallStore::open(args.dir.join("raw"))?;
    let start = Instant::now();
    for asked in asked {
        match asked {
            Asked::Commit(batch) => engine.commit(batch)?,
            Asked::Sync => engine.sync()?,
        }
    }
    let took: Duration = start.elapsed();
    report(args, ("", "keys/s"), args.keys, took, None)
}

/// The engine in memory gives the same rows as one on disk: what a replica writes depends on the rows that it reads only.
/// It stands below all layers of [`anabranch_store::open`], so that rows are recorded as the engine gets them.
fn record(args: &RunArgs) -> Result<Vec<Asked>, Failure> {
    let (engine, asked) = Recorded::new(MemoryStore::new());
    let mut writer = Driver::open(Buffered::new(Checked::new(engine))?)?;
    for (token, pairs) in (0..).zip(data::batches(args.keys, args.batch)) {
        writer.commit(token, data::batch(pairs))?;
        writer.sync()?;
    }
    drop(writer);
    Ok(asked.take())
}
