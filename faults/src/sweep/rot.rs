//! Rows that rot, and rows that a disk gives in place of others.

use super::{
    Failure, Tally, at,
    layers::{Default, Layers},
};
use crate::{
    check::{Broken, Judge},
    recorder::Recorder,
    script::{Script, Synced, config, play},
};
use anabranch_core::{
    Bytes, Effect, Error, Input, MergeAll, Outcome, Progress, Replica,
    store::{MemoryStore, Read, Store, Table, WriteBatch},
};
use std::ops::ControlFlow;

/// A row of the engine.
type Row = (Table, Bytes, Bytes);

/// Plays the script under the default's layers; then damages the engine's rows, every `stride`-th in turn: one bit flipped, and the row of the
/// next key in its place. A replica on it must say that the store is damaged or, where it does not come by the row, be right in
/// everything. One whose indexes are damaged is mended from the blocks that it has kept.
///
/// # Errors
/// The first damage that is believed or that cannot be mended.
pub fn rot(script: &Script, stride: usize) -> Result<Tally, Failure> {
    let place = || format!("rot, seed {}", script.seed);
    let mut judge = at(place, Judge::of(script))?;
    let (engine, mut synced) = (Recorder::default(), Synced::default());
    let store = at(place, Default::over(engine.clone()).map_err(Error::from))?;
    at(place, play(script, store, &mut synced))?;
    let rows = at(place, all(&engine.rows()))?;
    let mut tally = Tally::default();
    for (index, (table, key, row)) in rows.iter().enumerate().step_by(stride) {
        let mut flipped = row.to_vec();
        let bit = index * 7919 % (row.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        let next = rows.get(index + 1).filter(|next| next.0 == *table && next.2 != row).map(|next| next.2.clone());
        for bad in [Some(Bytes::from(flipped)), next].into_iter().flatten() {
            let place = || format!("rot, seed {}, row {index} of {} ({table:?})", script.seed, rows.len());
            let damaged = at(place, with(engine.rows(), *table, key, bad))?;
            tally.requested += 1;
            match Default::over(Recorder::holding(damaged.clone())).map_err(Error::from).map_err(Broken::from) {
                Ok(store) => match judge.after_crash(store, synced.0) {
                    Ok(()) => {}
                    // A row that nothing has come by is found by who looks at all.
                    Err(Broken::Damaged(_)) => tally.effective += 1,
                    Err(Broken::Fails(why)) if why.contains("damaged") => tally.effective += 1,
                    Err(broken) => return Err(Failure { place: place(), broken }),
                },
                Err(Broken::Fails(why)) if why.contains("damaged") => tally.effective += 1,
                Err(broken) => return Err(Failure { place: place(), broken }),
            }
            let (mended, lost) = at(place, rebuilt(damaged))?;
            if (*table == Table::Blocks) != (lost > 0) {
                let broken = Broken::Fails(format!("the rebuild found {lost} damaged blocks"));
                return Err(Failure { place: place(), broken });
            }
            if *table != Table::Blocks {
                let store = at(place, Default::over(Recorder::holding(mended)).map_err(Error::from))?;
                at(place, judge.after_crash(store, synced.0))?;
                tally.judged += 1;
            }
        }
    }
    Ok(tally)
}

fn all(store: &MemoryStore) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for table in Table::ALL {
        store.scan(table, &[], &[], &mut |key, row| {
            rows.push((table, Bytes::copy_from_slice(key), row.clone()));
            ControlFlow::Continue(())
        })?;
    }
    Ok(rows)
}

fn with(mut store: MemoryStore, table: Table, key: &Bytes, row: Bytes) -> Result<MemoryStore, Error> {
    store.commit(WriteBatch { rows: vec![(table, key.clone(), Some(row))] })?;
    Ok(store)
}

/// Rebuilds a damaged store under the default's layers. Gives its rows, and how many blocks were damaged.
fn rebuilt(damaged: MemoryStore) -> Result<(MemoryStore, u64), Error> {
    let engine = Recorder::holding(damaged);
    let mut effects = Vec::new();
    let mut replica = Replica::open_rebuilding(Default::over(engine.clone())?, config(), MergeAll, &mut effects)?;
    while replica.progress() == Progress::More {
        let _ = replica.step(Input::Continue, &mut effects)?;
    }
    replica.sync()?;
    let lost = effects.iter().find_map(|effect| match effect {
        Effect::Finished { outcome: Outcome::Rebuilt { damaged, .. }, .. } => Some(*damaged),
        _ => None,
    });
    let lost = lost.ok_or_else(|| Error::Corrupt("the rebuild has not finished".into()))?;
    Ok((engine.rows(), lost))
}
