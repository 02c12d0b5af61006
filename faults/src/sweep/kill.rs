//! Processes killed at random moments, on real files.

use super::{Failure, Tally, at};
use crate::{
    check::{Broken, Judge},
    engines::Engine,
    process::{Player, STORE, scratch, synced},
    script::Script,
};
use anabranch_sim::engine::Key;
use std::{
    path::Path,
    process::Child,
    time::{Duration, Instant},
};

/// Kills of one script, before another is played.
const KILLS_PER_SCRIPT: usize = 25;

fn fails(error: impl std::fmt::Display) -> Broken {
    Broken::Fails(error.to_string())
}

/// Starts a process so many times, kills it (SIGKILL) at a moment drawn from the time that it takes, and judges the files that it leaves by
/// what it had acknowledged. The moments are drawn from the script's seed, but what they hit depends on the machine.
///
/// # Errors
/// The first promise that does not hold.
pub fn kills<E: Engine>(player: &Player, times: usize) -> Result<Tally, Failure> {
    let mut draws = Key::of_seed(player.script.seed).fork("kill").at(0, 0);
    let mut tally = Tally::default();
    let mut current = None;
    for time in 0..times {
        let script = Script { seed: player.script.seed + (time / KILLS_PER_SCRIPT) as u64, ..player.script };
        let player = Player { script, ..player.clone() };
        let place = || format!("{}, script {}, kill {time}", E::NAME, script.seed);
        if time % KILLS_PER_SCRIPT == 0 {
            let begun = Instant::now();
            let (_, code) = at(place, run::<E>(&player, None))?;
            let whole = begun.elapsed();
            if code != Some(0) {
                let broken = Broken::Fails(format!("a process that nobody killed ended with {code:?}"));
                return Err(Failure { place: place(), broken });
            }
            current = Some((at(place, Judge::of(&script))?, whole));
        }
        let Some((judge, whole)) = &mut current else { continue };
        let moment = whole.mul_f64(draws.below(1_000_000) as f64 / 1_000_000.0);
        let ((folder, synced), code) = at(place, run::<E>(&player, Some(moment)))?;
        tally.requested += 1;
        tally.effective += usize::from(code.is_none());
        let place = || format!("{}, after {moment:?}, {synced} syncs acknowledged", place());
        at(
            place,
            E::open(&folder.path().join(STORE)).map_err(fails).and_then(|store| judge.after_crash(store, synced)),
        )?;
        tally.judged += 1;
    }
    Ok(tally)
}

/// A folder with a store, and how many syncs its process had acknowledged.
type Left = (tempfile::TempDir, usize);

/// What a process leaves, and its exit code where nobody killed it.
fn run<E: Engine>(player: &Player, moment: Option<Duration>) -> Result<(Left, Option<i32>), Broken> {
    let folder = tempfile::Builder::new().prefix("anabranch-faults-").tempdir_in(scratch()).map_err(fails)?;
    let marks = folder.path().join("marks");
    let mut child = player.command::<E>(&folder.path().join(STORE), &marks).spawn().map_err(fails)?;
    let code = match moment {
        Some(moment) => killed(&mut child, moment).map_err(fails)?,
        None => child.wait().map_err(fails)?.code(),
    };
    let synced = acknowledged(&marks);
    Ok(((folder, synced), code))
}

fn killed(child: &mut Child, moment: Duration) -> std::io::Result<Option<i32>> {
    std::thread::sleep(moment);
    child.kill()?;
    Ok(child.wait()?.code())
}

/// The marks that a process has written. It may have been killed before it had made the file, or in the middle of a line.
fn acknowledged(marks: &Path) -> usize {
    let text = std::fs::read(marks).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    synced(text.split_inclusive('\n').collect::<Vec<_>>().into_iter())
}
