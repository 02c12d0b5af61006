//! `anabranch run`, and `anabranch` alone.

use super::{
    determinism,
    exit::{Code, Stop},
    explain,
    export::no_folder,
    interrupt, json, junit,
    load::{self, Loaded},
    marks,
    out::Out,
    pool, replay, report, text, values,
};
use anabranch_sim::{
    failure::Failure,
    files,
    outcome::{RunReport, Verdict},
    run::record,
    scenario::Scenario,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    num::NonZeroUsize,
    ops::Range,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The scenario that runs when no path is given.
const QUICKSTART: &str = include_str!("../../../scenarios/quickstart.toml");

#[derive(Args, Debug, Default)]
pub(crate) struct RunArguments {
    /// Scenario files, or folders of which all *.toml are run in order of their names.
    ///
    /// Without one, the quickstart that is built in.
    #[arg(value_name = "PATHS")]
    paths: Vec<PathBuf>,
    /// Run with this seed. Without it, the one that the scenario names, or 0.
    #[arg(long, value_name = "N", value_parser = values::seed, allow_negative_numbers = true, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run with each of these seeds; B itself is left out (A..=B takes it in).
    #[arg(long, value_name = "A..B", value_parser = values::seeds)]
    seeds: Option<Range<u64>>,
    /// Threads to run on; as many as there are cores unless told. No result depends on it.
    #[arg(long, value_name = "N", value_parser = values::jobs)]
    jobs: Option<NonZeroUsize>,
    /// Write one JSON object a run, each in a line, to FILE once all are done; `-` is stdout, and the report for people goes to stderr then.
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Keep each run that does not end as expected in a folder below DIR, for `anabranch replay`, `shrink` and `explain`.
    #[arg(long, value_name = "DIR", env = "ANABRANCH_FAILURES")]
    failures: Option<PathBuf>,
    /// Write the results as JUnit XML to FILE, for CI systems.
    #[arg(long, value_name = "FILE.xml")]
    junit: Option<PathBuf>,
    /// Say which marks of the core were reached, in how many runs, and which were missed.
    #[arg(long)]
    marks: bool,
    /// Have each run told by two processes instead, and name the first event that differs. The exit code is 1 when one does.
    #[arg(long, conflicts_with_all = ["json", "failures", "junit", "marks"])]
    check_determinism: bool,
    /// Tell every event of one run, a line each: what `--check-determinism` compares.
    #[arg(long, hide = true)]
    tell_events: bool,
}

/// A run that has ended, one way or another.
pub(super) struct Finished<'a> {
    pub(super) file: Option<&'a Path>,
    pub(super) scenario: &'a Scenario,
    pub(super) seed: u64,
    pub(super) outcome: Outcome,
    /// The command that does it again.
    pub(super) reproduce: String,
}

/// What came of a run.
pub(super) use anabranch_sim::run::Ended as Outcome;

impl Finished<'_> {
    pub(super) fn code(&self) -> Code {
        match &self.outcome {
            Outcome::Panicked(_) => Code::Crashed,
            Outcome::Report(report) if report.as_expected => Code::Passed,
            Outcome::Report(report) => match report.verdict {
                Verdict::NotConverged { .. } => Code::NotConverged,
                Verdict::InertFaults { .. } => Code::InertFaults,
                Verdict::BrokenInvariant { .. } | Verdict::ReplicaFailed { .. } | Verdict::Passed => {
                    Code::BrokenInvariant
                }
            },
        }
    }

    /// The run, as JUnit has it.
    fn case(&self) -> junit::Case {
        let wall = match &self.outcome {
            Outcome::Panicked(_) => Duration::ZERO,
            Outcome::Report(report) => report.wall,
        };
        junit::Case {
            suite: self.scenario.name.clone(),
            name: format!("seed {}", self.seed),
            wall,
            problem: self.problem().map(|problem| (self.outcome.kind().to_owned(), problem)),
        }
    }

    /// What is wrong, in one line; nothing where the run ended as expected.
    pub(super) fn problem(&self) -> Option<String> {
        self.told().problem()
    }

    /// The run, as the report has it.
    pub(super) fn told(&self) -> anabranch_sim::report::Finished<'_> {
        let Self { file: _, scenario, seed, outcome, reproduce } = self;
        anabranch_sim::report::Finished { scenario, seed: *seed, ended: outcome, reproduce }
    }
}

/// Runs all that is asked for, and says what came of it.
pub(super) fn run(arguments: &RunArguments, out: &mut Out, err: &mut Out) -> Result<Code, Stop> {
    if !arguments.tell_events {
        interrupt::listen();
    }
    let scenarios = load(&arguments.paths)?;
    let plan = Plan::new(&scenarios, arguments)?;
    if arguments.tell_events {
        let (loaded, seed) = plan.at(0);
        return determinism::tell(&loaded.scenario, seed);
    }
    if arguments.check_determinism {
        return plan.check_determinism(arguments, out);
    }
    let problem = arguments.junit.as_deref().and_then(no_folder);
    problem.map_or(Ok(()), |problem| Err(Stop::bad(problem)))?;
    let mut sink = json::Sink::open(arguments.json.as_deref())?;
    let workers = pool::workers(arguments.jobs);
    let explained = arguments.paths.is_empty() && plan.total == 1;
    let bar = progress(plan.total);
    let mut summary = report::Summary::new(&plan.names(), plan.total);
    let mut code = Code::Passed;
    let mut cases = Vec::new();
    #[allow(clippy::disallowed_methods)] // How long all of it takes, for the reader; nothing depends on it.
    let begun = Instant::now();
    pool::in_order(
        plan.total,
        workers,
        |number| plan.run(number),
        |number, result| {
            let finished = plan.finished(number, result);
            code = code.max(finished.code());
            bar.inc(1);
            if arguments.junit.is_some() {
                cases.push(finished.case());
            }
            let kept = plan.keep(number, &finished, arguments.failures.as_deref())?;
            bar.suspend(|| {
                sink.write(&finished, out)?;
                let people = sink.people(out, err);
                if explained {
                    explain::quickstart(&finished, people)?
                } else {
                    people.text(summary.run(&finished.told()))?
                }
                if let Some(folder) = &kept {
                    people.line(format_args!("kept: {}", folder.display()))?;
                }
                if number + 1 < plan.total {
                    interrupt::check(&plan.left_out(number + 1, arguments))?;
                }
                // Whoever reads along sees each run when it is done.
                out.flush()
            })
        },
    )?;
    bar.finish_and_clear();
    let people = sink.people(out, err);
    if plan.total > 1 {
        people.text(summary.end(begun.elapsed()))?;
    }
    if arguments.marks {
        marks::tell(&summary.marks, true, people)?;
    }
    sink.finish()?;
    if let Some(path) = &arguments.junit {
        let text = junit::junit("anabranch run", &cases);
        files::write(path, |to| to.write_all(text.as_bytes())).map_err(|error| {
            Stop::bad(format!("{} cannot be written: {error}; give another --junit FILE", path.display()))
        })?;
    }
    Ok(code)
}

/// What is run: every scenario with every seed, in this order.
struct Plan<'a> {
    scenarios: &'a [Loaded],
    seeds: Option<Range<u64>>,
    /// Seeds of each scenario; 1 where they are not given as a range.
    seeds_each: u64,
    total: u64,
    seed: Option<u64>,
}

impl<'a> Plan<'a> {
    fn new(scenarios: &'a [Loaded], arguments: &RunArguments) -> Result<Self, Stop> {
        let seeds = arguments.seeds.clone();
        let seeds_each = seeds.as_ref().map_or(1, |seeds| seeds.end - seeds.start);
        let total = seeds_each
            .checked_mul(scenarios.len() as u64)
            .ok_or_else(|| Stop::bad("--seeds: too many runs to count; give a smaller range"))?;
        Ok(Self { scenarios, seeds, seeds_each, total, seed: arguments.seed })
    }

    fn names(&self) -> Vec<&'a str> {
        self.scenarios.iter().map(|loaded| loaded.scenario.name.as_str()).collect()
    }

    /// Scenario and seed of a run.
    fn at(&self, number: u64) -> (&'a Loaded, u64) {
        // The quotient is below the number of scenarios.
        let loaded = &self.scenarios[(number / self.seeds_each) as usize];
        let own = loaded.scenario.expect.seed.unwrap_or(0);
        let seed = self.seeds.as_ref().map(|seeds| seeds.start + number % self.seeds_each);
        (loaded, seed.or(self.seed).unwrap_or(own))
    }

    /// What Ctrl-C leaves, and what it does not.
    fn left_out(&self, done: u64, arguments: &RunArguments) -> String {
        let files = [&arguments.json, &arguments.junit].into_iter().flatten().filter(|path| **path != *Path::new("-"));
        let files: Vec<String> = files.map(|path| path.display().to_string()).collect();
        let unwritten = if files.is_empty() { String::new() } else { format!("; {} not written", files.join(" and ")) };
        format!("{done} of {} done{unwritten}", text::count(self.total, "run"))
    }

    fn check_determinism(&self, arguments: &RunArguments, out: &mut Out) -> Result<Code, Stop> {
        let mut code = Code::Passed;
        for number in 0..self.total {
            let (Loaded { file, scenario, .. }, seed) = self.at(number);
            code = code.max(determinism::check(file.as_deref(), &scenario.name, seed, out)?);
            out.flush()?;
            if number + 1 < self.total {
                interrupt::check(&self.left_out(number + 1, arguments))?;
            }
        }
        Ok(code)
    }

    fn run(&self, number: u64) -> RunReport {
        let (loaded, seed) = self.at(number);
        anabranch_sim::run(&loaded.scenario, seed)
    }

    /// Runs a failure once more, recorded, and writes its folder.
    fn keep(&self, number: u64, finished: &Finished<'_>, failures: Option<&Path>) -> Result<Option<PathBuf>, Stop> {
        let Some(failures) = failures.filter(|_| finished.code() != Code::Passed) else { return Ok(None) };
        let (loaded, seed) = self.at(number);
        let (ended, recording) = record(&loaded.scenario, seed);
        let name = Failure::of(&loaded.scenario, seed, &ended, &recording).folder_name();
        let folder = failures.join(name);
        replay::write_folder(&folder, &loaded.scenario, Some(&loaded.text), seed, (&ended, &recording))?;
        Ok(Some(folder))
    }

    fn finished(&self, number: u64, result: Result<RunReport, String>) -> Finished<'a> {
        let (Loaded { file, scenario, .. }, seed) = self.at(number);
        let path = file.as_ref().map_or(String::new(), |file| format!(" {}", text::quoted(file)));
        Finished {
            file: file.as_deref(),
            scenario,
            seed,
            outcome: Outcome::of(result),
            reproduce: format!("anabranch run{path} --seed {seed}"),
        }
    }
}

/// Reads all scenarios before any is run; without paths, the one that is built in.
fn load(paths: &[PathBuf]) -> Result<Vec<Loaded>, Stop> {
    if paths.is_empty() {
        let scenario = Scenario::parse(QUICKSTART, "quickstart.toml").map_err(Stop::bad)?;
        return Ok(vec![Loaded { file: None, text: QUICKSTART.to_owned(), scenario }]);
    }
    load::scenarios(paths)
}

/// A bar on stderr, where that is a terminal and there is something to wait for.
pub(super) fn progress(total: u64) -> ProgressBar {
    if total < 2 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} runs, {per_sec}, {eta} left");
    let bar = ProgressBar::new(total);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
