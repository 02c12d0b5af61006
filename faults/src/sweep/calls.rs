//! Crashes and errors at every call of the [`Store`](anabranch_core::store::Store) trait.

use super::{Failure, Tally, at, layers::Layers};
use crate::{
    check::{Broken, Judge},
    recorder::{Call, Fault, Recorder},
    script::{Run, Script, Watch, play, rows},
};
use anabranch_core::{Error, Replica, store::StoreError};

/// Tells the store of every sync that a replica has seen succeed.
struct Promises(Recorder);

impl<S> Watch<S> for Promises {
    fn syncing(&mut self, _: usize) {}

    fn synced(&mut self, _: usize, _: &Run<S>) -> Result<(), Error> {
        self.0.promise();
        Ok(())
    }
}

/// Plays the script, and judges all that a crash may leave: after every commit and every sync, and in the middle of each (which leaves it
/// undone or done), with all, some or none of the commits since the last sync.
///
/// # Errors
/// The first promise that does not hold.
pub fn crashes<L: Layers>(script: &Script, engine: Recorder) -> Result<Tally, Failure> {
    let mut judge = at(|| "the script in memory".into(), Judge::of(script))?;
    let place = |what: String| move || format!("{}, seed {}, {what}", L::NAME, script.seed);
    let store = at(place("opening".into()), L::over(engine.clone()).map_err(Error::from))?;
    at(place("the script".into()), play(script, store, &mut Promises(engine.clone())))?;
    let crashes = engine.crashes();
    for (index, (left, synced)) in crashes.iter().enumerate() {
        let place = || format!("{}, seed {}, crash {index} of {}", L::NAME, script.seed, crashes.len());
        let store = at(place, L::over(Recorder::holding(left.clone())).map_err(Error::from))?;
        at(place, judge.after_crash(store, *synced))?;
    }
    let crashes = crashes.len();
    Ok(Tally { judged: crashes, requested: crashes, effective: crashes })
}

/// Plays the script once for every `stride`-th read, commit and sync, which fails with all of its kind that follow; then judges what is
/// left when the process ends, and when the machine does.
///
/// # Errors
/// The first promise that does not hold, or a failure that is not told.
pub fn errors<L: Layers>(script: &Script, stride: usize) -> Result<Tally, Failure> {
    let mut judge = at(|| "the script in memory".into(), Judge::of(script))?;
    let counter = Recorder::default();
    let place = || format!("{}, seed {}, counting", L::NAME, script.seed);
    let store = at(place, L::over(counter.clone()).map_err(Error::from))?;
    at(place, play(script, store, &mut Promises(counter.clone())))?;
    let mut tally = Tally::default();
    for (call, total) in [Call::Read, Call::Commit, Call::Sync].into_iter().zip(counter.calls()) {
        // Reads are many, and one fails as the next does.
        let stride = if call == Call::Read { stride * 16 } else { stride };
        for after in (0..total).step_by(stride) {
            let error = match after % 2 {
                0 => StoreError::Io("no room left on the disk".into()),
                _ => StoreError::Io("input/output error".into()),
            };
            error_at::<L>(script, &mut judge, Fault { call, after, error }, &mut tally)?;
        }
    }
    Ok(tally)
}

fn error_at<L: Layers>(script: &Script, judge: &mut Judge, fault: Fault, tally: &mut Tally) -> Result<(), Failure> {
    let place = || format!("{}, seed {}, {:?} {} fails", L::NAME, script.seed, fault.call, fault.after);
    let engine = Recorder::failing(fault.clone());
    let opened = L::over(engine.clone()).map_err(Error::from);
    let ended = opened.and_then(|store| play(script, store, &mut Promises(engine.clone())));
    tally.requested += 1;
    tally.effective += usize::from(engine.effective() > 0);
    at(place, told(ended, &fault.error))?;

    // A disk that still fails: it does not open, or does nothing; and nothing changes.
    let still = Recorder::failing(Fault { after: 0, ..fault });
    let before = engine.rows();
    still.replace(before.clone());
    if let Ok(store) = L::over(still.clone()) {
        let _ = Replica::open(store, crate::script::config(), &mut Vec::new());
    }
    if at(place, rows(&still.rows()))? != at(place, rows(&before))? {
        let broken = Broken::HalfThere("a store that fails was changed by opening it".into());
        return Err(Failure { place: place(), broken });
    }

    for (left, synced) in engine.left() {
        let store = at(place, L::over(Recorder::holding(left)).map_err(Error::from))?;
        at(place, judge.after_crash(store, synced))?;
        tally.judged += 1;
    }
    Ok(())
}

/// The run ended with the error of the store, in its words.
fn told(ended: Result<(), Error>, error: &StoreError) -> Result<(), Broken> {
    match ended {
        Err(told) if told.to_string().contains(&error.to_string()) => Ok(()),
        Err(other) => Err(Broken::Fails(format!("the store said `{error}`, and the replica `{other}`"))),
        Ok(()) => Err(Broken::Fails(format!("the store said `{error}`, and the replica nothing"))),
    }
}
