//! `anabranch sweep`: the power cut at each write of a run.

use super::{
    exit::{Code, Stop},
    interrupt, json,
    load::{self, Loaded},
    out::Out,
    pool, replay, report,
    run::{Finished, Outcome, progress},
    text::{count, number, quoted, time},
    values,
};
use anabranch_sim::{
    caught::caught,
    failure::Failure,
    outcome::RunReport,
    run::record,
    scenario::{Party, Scenario},
    sweep::{Life, Sweep, was_cut},
};
use clap::Args;
use serde::Serialize;
use std::{
    num::{NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
    time::Instant,
};

#[derive(Args, Debug)]
pub(crate) struct SweepArguments {
    /// A scenario file with `engine = "redb"` in [disk]. A short run is enough: as many runs are made as it has writes.
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Run with this seed. Without it, the one that the scenario names, or 0.
    #[arg(long, value_name = "N", value_parser = values::seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Cut the power of this replica only. Without it, of each in turn.
    #[arg(long, value_name = "NAME")]
    replica: Option<String>,
    /// Cut before every K-th write only: before write 0, K, 2K and so on of each replica.
    #[arg(long, value_name = "K", value_parser = values::every, allow_negative_numbers = true, default_value = "1")]
    every: NonZeroU64,
    /// Cut before this write only, counted from 0: what a failure's `reproduce:` line says.
    #[arg(long, value_name = "N", value_parser = values::seed, allow_negative_numbers = true, conflicts_with = "every", requires = "replica")]
    write: Option<u64>,
    /// Threads to run on; as many as there are cores unless told. No result depends on it.
    #[arg(long, value_name = "N", value_parser = values::jobs)]
    jobs: Option<NonZeroUsize>,
    /// Write one JSON object a cut, each in a line, to FILE once all are done; `-` is stdout, and the report for people goes to stderr then.
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Keep each run that does not end as expected in a folder below DIR, its cut as a [[power_cut]] of the scenario, for `anabranch replay`, `shrink` and
    /// `explain`.
    #[arg(long, value_name = "DIR", env = "ANABRANCH_FAILURES")]
    failures: Option<PathBuf>,
}

/// Where the power is cut in one run.
#[derive(Clone, Copy)]
struct Place {
    life: Life,
    /// Which write of the life.
    in_life: u64,
    /// Which of all writes of the replica in the run.
    write: u64,
}

/// The same, for JSON.
#[derive(Serialize)]
struct Cut<'a> {
    replica: &'a str,
    write: u64,
    /// As [[power_cut]] has it.
    power_cut: PowerCut,
}

#[derive(Serialize)]
struct PowerCut {
    at_ns: u128,
    write: u64,
}

/// Cuts the power at each write, and says what came of it.
pub(super) fn sweep(arguments: &SweepArguments, out: &mut Out, err: &mut Out) -> Result<Code, Stop> {
    interrupt::listen();
    #[allow(clippy::disallowed_methods)] // How long all of it takes, for the reader; nothing depends on it.
    let begun = Instant::now();
    let work = Work::new(arguments)?;
    let mut sink = json::Sink::open(arguments.json.as_deref())?;
    let lives = match work.lives()? {
        Ok(lives) => lives,
        Err(finished) => {
            let to = sink.people(out, err);
            to.line(format_args!("{}: does not end as it expects without a power cut; no cut was made", work.name()))?;
            report::failure(&finished, to)?;
            return Ok(finished.code());
        }
    };
    let places = work.places(&work.counted(&lives)?)?;
    let total = places.len() as u64;
    let at = |n: u64| places[usize::try_from(n).unwrap_or(usize::MAX)];
    let bar = progress(total);
    let (mut code, mut failed) = (Code::Passed, 0);
    pool::in_order(
        total,
        work.workers,
        |n| work.sweep.run(at(n).life, at(n).in_life),
        |n, result| {
            let place = at(n);
            let finished = work.finished(place, result);
            bar.inc(1);
            let kept = work.keep(place, &finished)?;
            code = code.max(finished.code());
            failed += u64::from(finished.code() != Code::Passed);
            bar.suspend(|| {
                sink.write_with(&work.cut(place), &finished, out)?;
                work.tell(place, &finished, kept.as_deref(), sink.people(out, err))?;
                if n + 1 < total {
                    interrupt::check(&work.left_out(n + 1, total))?;
                }
                out.flush()
            })
        },
    )?;
    bar.finish_and_clear();
    let whom = work.whom(&lives, &places);
    sink.people(out, err).line(format_args!(
        "{}, seed {}: {} ({}): {} as expected, {} not; in {}",
        work.name(),
        work.seed,
        count(total, "power cut"),
        whom.join(", "),
        number(total - failed),
        number(failed),
        time(begun.elapsed())
    ))?;
    sink.finish()?;
    Ok(code)
}

/// What is swept.
struct Work<'a> {
    arguments: &'a SweepArguments,
    loaded: Loaded,
    sweep: Sweep,
    seed: u64,
    /// The replica that was asked for.
    only: Option<Party>,
    workers: usize,
}

impl<'a> Work<'a> {
    fn new(arguments: &'a SweepArguments) -> Result<Self, Stop> {
        let loaded = load::scenario(&arguments.path)?;
        let seed = arguments.seed.or(loaded.scenario.expect.seed).unwrap_or(0);
        let bad = |what: String| Stop::bad(format!("{}: {what}", arguments.path.display()));
        let sweep = Sweep::new(&loaded.scenario, seed).map_err(|why| bad(why.to_string()))?;
        let replicas = &sweep.scenario().replicas;
        let only = arguments.replica.as_ref().map(|name| {
            let place = replicas.iter().position(|replica| replica.name == *name).and_then(|at| u16::try_from(at).ok());
            place.map(Party).ok_or_else(|| {
                let names: Vec<&str> = replicas.iter().map(|replica| replica.name.as_str()).collect();
                bad(format!("--replica {name:?} is none of its replicas, expected one of {}", names.join(", ")))
            })
        });
        let workers = pool::workers(arguments.jobs);
        Ok(Self { arguments, only: only.transpose()?, loaded, sweep, seed, workers })
    }

    fn name(&self) -> &str {
        &self.sweep.scenario().name
    }

    fn replica(&self, replica: Party) -> &str {
        self.sweep.scenario().party_name(replica)
    }

    /// The lives of all whose power is to be cut; or the run without a cut, if that is what fails.
    fn lives(&self) -> Result<Result<Vec<Life>, Finished<'_>>, Stop> {
        let (result, lives) = match caught(|| self.sweep.uncut()) {
            Ok((report, lives)) => (Ok(report), lives),
            Err(why) => (Err(why), Vec::new()),
        };
        interrupt::check("no power cut was made yet")?;
        let finished = Finished {
            file: self.loaded.file.as_deref(),
            scenario: self.sweep.scenario(),
            seed: self.seed,
            outcome: Outcome::of(result),
            reproduce: format!("anabranch run {} --seed {}", quoted(&self.arguments.path), self.seed),
        };
        if finished.code() != Code::Passed {
            return Ok(Err(finished));
        }
        Ok(Ok(lives.into_iter().filter(|life| self.only.is_none_or(|only| only == life.replica)).collect()))
    }

    /// The lives, each with the number of its writes.
    fn counted(&self, lives: &[Life]) -> Result<Vec<(Life, u64)>, Stop> {
        let mut counted = Vec::new();
        let life = |n: u64| lives[usize::try_from(n).unwrap_or(usize::MAX)];
        let count = |n| self.sweep.writes(life(n));
        pool::in_order(lives.len() as u64, self.workers, count, |n, writes| {
            counted.push((life(n), writes.map_err(Stop::bad)?));
            interrupt::check("the writes are not counted, and no power cut was made yet")
        })?;
        Ok(counted)
    }

    /// The places that were asked for.
    fn places(&self, counted: &[(Life, u64)]) -> Result<Vec<Place>, Stop> {
        let mut places = Vec::new();
        let mut first = (None, 0);
        for (life, writes) in counted {
            if first.0 != Some(life.replica) {
                first = (Some(life.replica), 0);
            }
            let all = (0..*writes).map(|in_life| Place { life: *life, in_life, write: first.1 + in_life });
            places.extend(all.filter(|place| match self.arguments.write {
                Some(write) => place.write == write,
                None => place.write % self.arguments.every == 0,
            }));
            first.1 += writes;
        }
        if places.is_empty() {
            let whose = self.arguments.replica.as_ref().map_or(String::from("its replicas"), String::clone);
            let (file, seed, all) = (self.arguments.path.display(), self.seed, number(first.1));
            return Err(Stop::bad(match self.arguments.write.filter(|_| first.1 > 0) {
                Some(write) => format!(
                    "{file}: --write {write} is beyond the run with seed {seed}, in which {whose} makes {all} writes, expected a number below that"
                ),
                None => format!(
                    "{file}: no write of {whose} in the run with seed {seed}, expected one at least; let replicas write, or take another seed"
                ),
            }));
        }
        Ok(places)
    }

    fn finished(&self, place: Place, result: Result<RunReport, String>) -> Finished<'_> {
        let reproduce = format!(
            "anabranch sweep {} --seed {} --replica {} --write {}",
            quoted(&self.arguments.path),
            self.seed,
            quoted(Path::new(self.replica(place.life.replica))),
            place.write
        );
        // It was counted by its effect: without one, the simulator has lost its determinism.
        let result = result.and_then(|report| match was_cut(&report) {
            true => Ok(report),
            false => Err(String::from("the power was not cut, and it was when the writes were counted; this is a bug of the simulator, please report it")),
        });
        Finished {
            file: self.loaded.file.as_deref(),
            scenario: self.sweep.scenario(),
            seed: self.seed,
            outcome: Outcome::of(result),
            reproduce,
        }
    }

    /// The scenario with the cut, as it is kept: under a name of its own.
    fn with_cut(&self, place: Place) -> Scenario {
        let name = format!("{}-{}-write-{}", self.name(), self.replica(place.life.replica), place.write);
        Scenario { name, ..self.sweep.with_cut(place.life, place.in_life) }
    }

    /// Runs a failure once more, recorded, and writes its folder.
    fn keep(&self, place: Place, finished: &Finished<'_>) -> Result<Option<PathBuf>, Stop> {
        let Some(failures) = self.arguments.failures.as_deref().filter(|_| finished.code() != Code::Passed) else {
            return Ok(None);
        };
        let scenario = self.with_cut(place);
        let (ended, recording) = record(&scenario, self.seed);
        let folder = failures.join(Failure::of(&scenario, self.seed, &ended, &recording).folder_name());
        replay::write_folder(&folder, &scenario, None, self.seed, (&ended, &recording))?;
        Ok(Some(folder))
    }

    fn cut(&self, place: Place) -> Cut<'_> {
        let power_cut = PowerCut { at_ns: place.life.from.as_nanos(), write: place.in_life };
        Cut { replica: self.replica(place.life.replica), write: place.write, power_cut }
    }

    /// A run that does not end as expected, and how to see it again. Of the others there are too many.
    fn tell(&self, place: Place, finished: &Finished<'_>, kept: Option<&Path>, out: &mut Out) -> Result<(), Stop> {
        if finished.code() == Code::Passed {
            return Ok(());
        }
        let kind = finished.outcome.kind();
        out.line(format_args!("{kind:<16}  {}  write {}", self.replica(place.life.replica), number(place.write)))?;
        report::failure(finished, out)?;
        kept.map_or(Ok(()), |folder| out.line(format_args!("kept: {}", folder.display())))
    }

    /// Each replica, and how many cuts it had.
    fn whom(&self, lives: &[Life], places: &[Place]) -> Vec<String> {
        let mut replicas: Vec<Party> = lives.iter().map(|life| life.replica).collect();
        replicas.dedup();
        let cuts = |replica: Party| places.iter().filter(|place| place.life.replica == replica).count() as u64;
        replicas.iter().map(|replica| format!("{} {}", self.replica(*replica), number(cuts(*replica)))).collect()
    }

    /// What Ctrl-C leaves, and what it does not.
    fn left_out(&self, done: u64, total: u64) -> String {
        let file = self.arguments.json.as_deref().filter(|path| *path != Path::new("-"));
        let unwritten = file.map_or(String::new(), |path| format!("; {} not written", path.display()));
        format!("{} of {} done{unwritten}", number(done), count(total, "power cut"))
    }
}
