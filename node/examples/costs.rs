//! What the options of a datastore cost: `cargo run --release -p anabranch --example costs`.
//!
//! Each line is one run over a fresh store on disk in the folder for temporary files: writes by 64 callers, then reads. The second table tells what
//! readers wait for while others write, over a disk whose syncs take 10 ms. `-- writes` or `-- reads` runs one of the two.

use anabranch::{
    Builder, Datastore, Query,
    store::{Read, Store, StoreError, Table, Visit, VisitKey, WriteBatch},
};
use std::time::{Duration, Instant};

type Done<T> = Result<T, Box<dyn std::error::Error>>;

const CALLERS: usize = 64;
const PUTS: usize = 300;

fn main() -> Done<()> {
    let which = std::env::args().nth(1).unwrap_or_default();
    let runtime = tokio::runtime::Runtime::new()?;
    if which != "reads" {
        println!("{:<44}{:>10}{:>12}{:>12}", "options", "puts/s", "gets/s", "rows/s");
        for (name, builder) in variants() {
            let line = runtime.block_on(cost(builder))?;
            println!("{name:<44}{:>10.0}{:>12.0}{:>12.0}", line[0], line[1], line[2]);
        }
    }
    if which != "writes" {
        println!("{:<44}{:>10}{:>12}{:>12}", "while others write, syncs of 10 ms", "median", "99 %", "reads/s");
        for (name, writes) in [("get, nobody writes", false), ("get, 8 callers put", true)] {
            let [median, most, rate] = runtime.block_on(waits(writes))?;
            println!("{name:<44}{:>7.0} µs{:>9.0} µs{rate:>12.0}", median * 1e6, most * 1e6);
        }
    }
    Ok(())
}

fn variants() -> Vec<(&'static str, Builder)> {
    let with = |change: fn(&mut anabranch::Options)| Datastore::builder().options(change);
    vec![
        ("the defaults", with(|_| {})),
        ("report_changes off", with(|options| options.replica.report_changes = false)),
        ("feed", with(|options| options.replica.feed = true)),
        ("on_put and on_delete, which do nothing", with(|_| {}).on_put(|_| {}).on_delete(|_| {})),
        ("queue_max 16", with(|options| options.queue_max = 16)),
        ("queue_bytes_max 1 MiB", with(|options| options.queue_bytes_max = 1 << 20)),
    ]
}

/// Puts, gets and rows of a query a second.
async fn cost(builder: Builder) -> Done<[f64; 3]> {
    let folder = std::env::temp_dir().join(format!("anabranch-costs-{}", std::process::id()));
    let store = builder.open(&folder).await?;
    let begun = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let store = store.clone();
        drop(callers.spawn(async move {
            for n in 0..PUTS {
                store.put(format!("/{caller}/{n}"), vec![7; 100]).await?;
            }
            Ok::<_, anabranch::Error>(())
        }));
    }
    while let Some(done) = callers.join_next().await {
        done??;
    }
    let all = (CALLERS * PUTS) as f64;
    let puts = all / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    for n in 0..2_000 {
        store.get(format!("/{}/{}", n % CALLERS, n % PUTS)).await?;
    }
    let gets = 2_000.0 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let rows = store.query(Query::default()).await?.collect().await?.len() as f64;
    let rows = rows / begun.elapsed().as_secs_f64();
    store.close().await;
    std::fs::remove_dir_all(folder)?;
    Ok([puts, gets, rows])
}

/// How long a get takes, as median and 99th percentile, and gets a second of one caller.
async fn waits(writes: bool) -> Done<[f64; 3]> {
    let folder = std::env::temp_dir().join(format!("anabranch-costs-{}", std::process::id()));
    let path = folder.clone();
    let store = Datastore::builder().open_with(move || Ok(Slow(anabranch_store::open(&path)?))).await?;
    store.put("/read", "x").await?;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..if writes { 8 } else { 0 } {
        let store = store.clone();
        drop(callers.spawn(async move {
            for n in 0_u64.. {
                if store.put(format!("/{caller}/{n}"), vec![7; 100]).await.is_err() {
                    break;
                }
            }
        }));
    }
    let (begun, mut took) = (Instant::now(), Vec::new());
    while begun.elapsed() < Duration::from_secs(2) {
        let begun = Instant::now();
        store.get("/read").await?;
        took.push(begun.elapsed().as_secs_f64());
    }
    store.close().await;
    while callers.join_next().await.is_some() {}
    std::fs::remove_dir_all(folder)?;
    let rate = took.len() as f64 / took.iter().sum::<f64>();
    took.sort_by(f64::total_cmp);
    Ok([took[took.len() / 2], took[took.len() * 99 / 100], rate])
}

/// A store whose syncs take 10 ms longer.
struct Slow(anabranch_store::DiskStore);

impl Read for Slow {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<anabranch::Bytes>, StoreError> {
        self.0.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.0.scan(table, prefix, from, visit)
    }

    fn scan_keys(&self, table: Table, prefix: &[u8], from: &[u8], visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        self.0.scan_keys(table, prefix, from, visit)
    }
}

impl Store for Slow {
    type Snapshot = <anabranch_store::DiskStore as Store>::Snapshot;

    fn snapshot(&mut self) -> Result<Self::Snapshot, StoreError> {
        self.0.snapshot()
    }

    fn commit(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        self.0.commit(batch)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        std::thread::sleep(Duration::from_millis(10));
        self.0.sync()
    }
}
