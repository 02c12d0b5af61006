//! A store on files: the power goes before every operation on them, and every operation fails.

use super::{Failure, Tally, at};
use crate::{
    check::{Broken, Judge},
    engines::Engine,
    files::{Errno, Fail, Image, Lie, Log, Loss, Tree, sync_order},
    process::{Player, Recording, STORE, scratch, synced},
    script::Script,
};
use std::{collections::BTreeSet, fmt::Display, path::Path};

/// Which of the places where a fault can strike.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Every `stride`-th.
    pub stride: usize,
    /// Only this one.
    pub only: Option<usize>,
}

impl Places {
    fn of(self, total: usize) -> Vec<usize> {
        match self.only {
            Some(place) => vec![place],
            // The first few make the store: none is passed over.
            None => (0..total).filter(|place| *place < ALL_BELOW || place % self.stride == 0).collect(),
        }
    }
}

/// Places before this one are all visited.
const ALL_BELOW: usize = 40;

fn fails(error: impl Display) -> Broken {
    Broken::Fails(error.to_string())
}

/// Records one run, and judges what the disk may hold if the power goes before any operation: with all that waits for a sync lost, kept, or
/// in part. Each place is judged with four losses, and with fewer where they leave the same.
///
/// # Errors
/// The first promise that does not hold.
pub fn crashes<E: Engine>(player: &Player, places: Places, lie: Option<Lie>) -> Result<Tally, Failure> {
    let seed = player.script.seed;
    let place = || format!("{}, script {seed}, the recorded run", E::NAME);
    let recording = at(place, player.record::<E>(None, None).map_err(fails))?;
    let done = at(place, complete(&recording)).and_then(|()| {
        let mut judge = at(place, Judge::of(&player.script))?;
        crashes_of::<E>(&recording.log, &player.script, &mut judge, places, lie)
    });
    done.map_err(|Failure { place, broken }| {
        let place = format!("{place} (the log is {}/log)", recording.keep().display());
        Failure { place, broken }
    })
}

/// As [`crashes`], of a run that was recorded before.
///
/// # Errors
/// As `crashes`.
pub fn crashes_of<E: Engine>(
    log: &Log,
    script: &Script,
    judge: &mut Judge,
    places: Places,
    lie: Option<Lie>,
) -> Result<Tally, Failure> {
    let mut tree = Tree::new(log);
    if let Some(lie) = lie {
        tree = tree.lying(lie);
    }
    let operations = log.operations();
    let visited: BTreeSet<usize> = places.of(operations.len() + 1).into_iter().collect();
    let mut tally = Tally::default();
    for index in 0..=operations.len() {
        let next = operations.get(index);
        if visited.contains(&index) {
            let synced = promised(log, index);
            let losses = [Loss::None, Loss::All, Loss::Data, Loss::Random(script.seed << 32 | index as u64)];
            let losses = if tree.unsynced() { &losses[..] } else { &losses[..1] };
            tally.requested += 1;
            tally.effective += usize::from(losses.len() > 1);
            for loss in losses {
                let place = || {
                    let next = next.map_or_else(|| "the end".to_owned(), ToString::to_string);
                    let (name, total) = (E::NAME, operations.len());
                    format!(
                        "{name}, script {}, power cut before operation {index} of {total} ({next}), {loss:?}",
                        script.seed
                    )
                };
                at(place, judged::<E>(&tree.image(*loss), judge, synced))?;
                tally.judged += 1;
            }
        }
        if let Some(operation) = next {
            at(|| format!("{}, the log", E::NAME), tree.apply(operation).map_err(fails))?;
        }
    }
    Ok(tally)
}

/// The run came to its end, and nothing that it did to its files passed by the shim.
fn complete(recording: &Recording) -> Result<(), Broken> {
    recording.ended().map_err(Broken::Fails)?.map_err(Broken::Fails)?;
    let log = &recording.log;
    let image = Image::at(log, log.operations().len(), Loss::None).map_err(fails)?;
    match image.differences(&recording.root()).map_err(fails)?.first() {
        Some(path) => Err(Broken::Fails(format!("{}: was changed unseen by the shim", path.display()))),
        None => Ok(()),
    }
}

/// How many syncs had succeeded before an operation.
fn promised(log: &Log, index: usize) -> usize {
    let marks: Vec<_> = log.marks_before(index).iter().map(|mark| String::from_utf8_lossy(&mark.bytes)).collect();
    synced(marks.iter().map(AsRef::as_ref))
}

fn judged<E: Engine>(image: &Image, judge: &mut Judge, synced: usize) -> Result<(), Broken> {
    let place = tempfile::Builder::new().prefix("anabranch-faults-").tempdir_in(scratch()).map_err(fails)?;
    let root = place.path().join("root");
    image.write_to(&root).map_err(fails)?;
    judge_folder::<E>(&root.join(STORE), judge, synced)
}

fn judge_folder<E: Engine>(folder: &Path, judge: &mut Judge, synced: usize) -> Result<(), Broken> {
    judge.after_crash(E::open(folder).map_err(fails)?, synced)
}

/// Runs a child for every place in turn, whose operations fail from there on; then judges what is left when the process has ended, and
/// when the machine has. The disk is full, broken or read-only by turns; a full one takes half of a write first.
///
/// # Errors
/// The first promise that does not hold, or a failure that is not told in one line.
pub fn errors<E: Engine>(player: &Player, places: Places) -> Result<Tally, Failure> {
    let counting = || format!("{}, script {}, counting", E::NAME, player.script.seed);
    let whole = at(counting, player.record::<E>(None, None).map_err(fails))?;
    at(counting, complete(&whole))?;
    let mut judge = at(counting, Judge::of(&player.script))?;
    let mut tally = Tally::default();
    for index in places.of(whole.log.operations().len()) {
        let errno = [Errno::Full, Errno::Io, Errno::ReadOnly][index % 3];
        let fail = Fail { half: index % 2 == 0, ..Fail::from(index as u64, errno) };
        let place = || format!("{}, script {}, {errno:?} from operation {index} on", E::NAME, player.script.seed);
        let recording = at(place, player.record::<E>(Some(fail), None).map_err(fails))?;
        error_judged::<E>(recording, place, &mut judge, &mut tally)?;
    }
    Ok(tally)
}

/// As [`errors`], for reads.
///
/// # Errors
/// As `errors`.
pub fn read_errors<E: Engine>(player: &Player, count: usize) -> Result<Tally, Failure> {
    let mut judge = at(|| E::NAME.to_owned(), Judge::of(&player.script))?;
    let mut tally = Tally::default();
    for index in 0..count {
        // Reads are few or many, by the engine: ever greater steps.
        let index = index * (index + 1) / 2;
        let fail = Fail::from(index as u64, Errno::Io);
        let place = || format!("{}, script {}, reads fail from {index} on", E::NAME, player.script.seed);
        let recording = at(place, player.record::<E>(None, Some(fail)).map_err(fails))?;
        let past_the_end = recording.log.faults() == 0;
        error_judged::<E>(recording, place, &mut judge, &mut tally)?;
        if past_the_end {
            break;
        }
    }
    Ok(tally)
}

fn error_judged<E: Engine>(
    recording: Recording,
    place: impl Fn() -> String,
    judge: &mut Judge,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let struck = recording.log.faults() > 0;
    tally.requested += 1;
    tally.effective += usize::from(struck);
    // What fails in the background, or after the last sync, need not end it; what it acknowledged must be true all the same.
    let told = at(&place, recording.ended().map_err(Broken::Fails))?;
    if told.is_err() && !struck {
        return at(&place, told.map_err(|text| Broken::Fails(format!("without a fault: {text}"))));
    }
    let log = &recording.log;
    let end = log.operations().len();
    let synced = promised(log, end);
    for loss in [Loss::All, Loss::Random(end as u64)] {
        let image = at(&place, Image::at(log, end, loss).map_err(fails))?;
        at(|| format!("{}, then a power cut, {loss:?}", place()), judged::<E>(&image, judge, synced))?;
        tally.judged += 1;
    }
    at(&place, judge_folder::<E>(&recording.root().join(STORE), judge, synced))?;
    tally.judged += 1;
    Ok(())
}

/// Records one run, and checks that every acknowledgement comes after a sync that began after its commit. Gives how many there were.
///
/// # Errors
/// The first acknowledgement that does not.
pub fn acknowledgements<E: Engine>(player: &Player) -> Result<usize, Failure> {
    let place = || format!("{}, script {}, the order of syncs", E::NAME, player.script.seed);
    let recording = at(place, player.record::<E>(None, None).map_err(fails))?;
    at(place, complete(&recording))?;
    at(place, sync_order(&recording.log).map_err(fails))
}
