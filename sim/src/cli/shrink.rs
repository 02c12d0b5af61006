//! `anabranch shrink`.

use super::{
    exit::{Code, Stop},
    export::no_folder,
    interrupt, load,
    load::Source,
    out::Out,
    pool,
    text::{count, number, quoted},
    values,
};
use anabranch_sim::{
    failure::Folder,
    files,
    record::explicit,
    run::{AnabranchMaker, record},
    scenario::Scenario,
    shrink::{Journal, Shrunk, Size, Watcher, as_regression, shrink as run_shrink},
    signature::Signature,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

#[derive(Args, Debug)]
pub(crate) struct ShrinkArguments {
    /// The folder of a failure, or a scenario file that fails.
    #[arg(value_name = "FAILURE|FILE.toml")]
    what: PathBuf,
    /// The seed, for a scenario file. Without it, the one that the scenario names, or 0.
    #[arg(long, value_name = "N", value_parser = values::seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Write the small scenario to this file; without it, to shrunk.toml in the failure's folder, or beside the scenario file.
    #[arg(long, value_name = "FILE.toml")]
    out: Option<PathBuf>,
    /// Threads to run on; as many as there are cores unless told. No result depends on it.
    #[arg(long, value_name = "N", value_parser = values::jobs)]
    jobs: Option<NonZeroUsize>,
    /// Stop by itself after so much real time, such as 90s, 30m or 8h. The same command goes on from there.
    #[arg(long, value_name = "T", value_parser = values::span)]
    until: Option<Duration>,
    /// Begin anew, instead of going on from where the last time stopped.
    #[arg(long)]
    fresh: bool,
}

/// How often the state is written down while it gets smaller.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Makes a failure smaller.
pub(super) fn shrink(arguments: &ShrinkArguments, out: &mut Out) -> Result<Code, Stop> {
    interrupt::listen();
    let target = arguments.out.clone().unwrap_or_else(|| match arguments.what.is_dir() {
        true => arguments.what.join("shrunk.toml"),
        false => arguments.what.with_extension("shrunk.toml"),
    });
    no_folder(&target).map_or(Ok(()), |problem| Err(Stop::bad(problem)))?;
    let (whole, signature) = failing(arguments, out)?;
    let state = beside(&target, "partial");
    let begun = Size::of(&whole);
    let of = digest(&whole, &signature);
    let past = resume(arguments, &state, &of, out)?;
    let jobs = pool::workers(arguments.jobs);
    let mut watcher = Progress::new(&state, &of, begun, arguments.until);
    let shrunk = run_shrink(&AnabranchMaker, &whole, &signature, jobs, past, &mut watcher);
    watcher.bar.finish_and_clear();
    if watcher.is_anew {
        out.line(format_args!("note: {} is of another program: begun anew", state.display()))?;
    }
    if let Some(problem) = watcher.problem.take() {
        return Err(Stop::bad(problem));
    }
    let Some(shrunk) = shrunk else {
        return Err(Stop::bad(
            "the failure does not repeat from its lists; this is a bug of the simulator, please report it",
        ));
    };
    if !shrunk.is_minimal {
        let Shrunk { scenario, journal, .. } = &shrunk;
        save(&state, &of, scenario, journal)?;
        let size = shrunk.size;
        let kept = format!("kept in {}; the same command goes on from there", state.display());
        if interrupt::is_pressed() {
            return Err(Stop::Interrupted(format!("from {begun} down to {size} so far, {kept}")));
        }
        out.line(format_args!("from  {begun}\nto    {size} so far  (in {})", count(shrunk.runs, "run")))?;
        out.line(format_args!("the time is over: {kept}"))?;
        return Ok(Code::Passed);
    }
    let regression = as_regression(&AnabranchMaker, &named(shrunk.scenario, &target), &signature);
    let regression = regression.ok_or_else(|| Stop::bad("the small scenario does not fail in the same way when it is read from its file; this is a bug of the simulator, please report it"))?;
    write(&target, &(heading(arguments, &signature) + &regression.to_toml()))?;
    // It may never have been there.
    let _ = std::fs::remove_file(&state);
    out.line(format_args!("from  {begun}\nto    {}  (in {})", shrunk.size, count(shrunk.runs, "run")))?;
    out.line(format_args!("fails in the same way: {signature}"))?;
    out.line(format_args!("written: {}", target.display()))?;
    out.line(format_args!(
        "next: anabranch explain {file}\nwhen the bug is mended, keep it: set `outcome = \"passed\"` in [expect], take out `oracle` and `trace`, and put it into scenarios/regressions/",
        file = quoted(&target)
    ))?;
    Ok(Code::Passed)
}

/// The explicit form of the failure, and in which way it fails.
fn failing(arguments: &ShrinkArguments, out: &mut Out) -> Result<(Scenario, Signature), Stop> {
    let (scenario, seed) = match load::source(&arguments.what)? {
        Source::Folder(folder) => {
            if arguments.seed.is_some() {
                return Err(Stop::bad("--seed is for a scenario file: a failure has its own"));
            }
            return of_folder(&folder, out).map(|scenario| (scenario, folder.failure.signature));
        }
        Source::Scenario(loaded) => {
            let seed = arguments.seed.or(loaded.scenario.expect.seed).unwrap_or(0);
            (loaded.scenario, seed)
        }
    };
    let (ended, recording) = record(&scenario, seed);
    let signature = Signature::of(&ended, &scenario.drawn(seed));
    if signature.is_passed() {
        return Err(Stop::bad(format!("{}: does not fail with seed {seed}; give a failure", arguments.what.display())));
    }
    Ok((explicit(&scenario, seed, &recording.events), signature))
}

fn of_folder(folder: &Folder, out: &mut Out) -> Result<Scenario, Stop> {
    let signature = &folder.failure.signature;
    if signature.is_passed() {
        return Err(Stop::bad(format!("{}: this run did not fail; give one that did", folder.path.display())));
    }
    let scenario = folder.scenario("explicit.toml").map_err(Stop::bad)?;
    let ended = anabranch_sim::run::attempt(&scenario, folder.failure.seed);
    let now = Signature::of(&ended, &scenario);
    if now == *signature {
        return Ok(scenario);
    }
    // The lists may be of another version of the program; the seed may find the bug again.
    let seeded = folder.scenario("scenario.toml").map_err(Stop::bad)?;
    let seed = folder.failure.seed;
    let (ended, recording) = record(&seeded, seed);
    if Signature::of(&ended, &seeded.drawn(seed)) == *signature {
        out.line("note: the explicit form does not fail any more, and the seed does: going on from the seed")?;
        return Ok(explicit(&seeded, seed, &recording.events));
    }
    Err(Stop::bad(format!(
        "{}: does not fail in the same way any more: it failed with {signature}, and ends now with {now}",
        folder.path.display()
    )))
}

/// What a journal belongs to: another failure, and another program, take another way.
fn digest(whole: &Scenario, signature: &Signature) -> String {
    let text = format!("{} {signature}\n{}", anabranch_sim::failure::COMMIT, whole.to_toml());
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// What the last time left, if it is of this failure.
fn resume(arguments: &ShrinkArguments, state: &Path, of: &str, out: &mut Out) -> Result<Journal, Stop> {
    let Some(text) = std::fs::read_to_string(state).ok().filter(|_| !arguments.fresh) else {
        return Ok(Journal::default());
    };
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let journal = field(OF).filter(|left| *left == of).and_then(|_| field(TRIED)?.parse().ok());
    let scenario = Scenario::parse(&text, &state.display().to_string()).ok();
    let Some((journal, scenario)) = journal.zip(scenario) else {
        out.line(format_args!("note: {} is of another failure or another program: beginning anew", state.display()))?;
        return Ok(Journal::default());
    };
    out.line(format_args!("going on from {}: {}", state.display(), Size::of(&scenario)))?;
    Ok(journal)
}

fn beside(target: &Path, more: &str) -> PathBuf {
    let mut name = target.to_owned().into_os_string();
    name.push(format!(".{more}"));
    PathBuf::from(name)
}

fn named(scenario: Scenario, target: &Path) -> Scenario {
    let stem = target.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = stem.filter(|stem| stem != "shrunk" && !stem.ends_with(".shrunk"));
    Scenario { name: name.unwrap_or_else(|| scenario.name.clone()), ..scenario }
}

fn heading(arguments: &ShrinkArguments, signature: &Signature) -> String {
    let what = arguments.what.display().to_string().replace('\n', " ");
    format!("# Shrunk from {what}, found at commit {}.\n# {signature}\n", anabranch_sim::failure::COMMIT)
}

/// What the lines begin with that hold the journal: comments, so that the rest is a scenario.
const OF: &str = "#: of ";
const TRIED: &str = "#: tried ";

fn save(path: &Path, of: &str, scenario: &Scenario, journal: &Journal) -> Result<(), Stop> {
    let heading = "# As far as `anabranch shrink` has come. The same command goes on from here.";
    write(path, &format!("{heading}\n{OF}{of}\n{TRIED}{journal}\n{}", scenario.to_toml()))
}

fn write(path: &Path, text: &str) -> Result<(), Stop> {
    files::write(path, |to| to.write_all(text.as_bytes())).map_err(|error| {
        Stop::bad(format!("{} cannot be written: {error}; free some space, or give another --out FILE", path.display()))
    })
}

/// Shows how far it is, and writes it down.
struct Progress<'a> {
    bar: ProgressBar,
    state: &'a Path,
    of: &'a str,
    begun: Size,
    size: Size,
    runs: u64,
    phase: &'static str,
    saved: Instant,
    since: Instant,
    until: Option<Duration>,
    problem: Option<String>,
    /// What the last time left was of no use.
    is_anew: bool,
}

impl<'a> Progress<'a> {
    #[allow(clippy::disallowed_methods)] // How often the state is saved, and when it is to stop; no result depends on it.
    fn new(state: &'a Path, of: &'a str, begun: Size, until: Option<Duration>) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            state,
            of,
            begun,
            size: begun,
            runs: 0,
            phase: "",
            saved: Instant::now(),
            since: Instant::now(),
            until,
            problem: None,
            is_anew: false,
        }
    }

    fn show(&self) {
        let Size { operations, faults, replicas, deliveries, choices } = self.size;
        self.bar.set_message(format!(
            "{} runs, taking out {}: {operations}/{} operations, {faults}/{} faults, {replicas}/{} replicas, {deliveries}/{} deliveries, {choices}/{} choices",
            number(self.runs), self.phase, self.begun.operations, self.begun.faults, self.begun.replicas, self.begun.deliveries, self.begun.choices,
        ));
        self.bar.tick();
    }
}

impl Watcher for Progress<'_> {
    fn tried(&mut self, runs: u64, best: &Scenario, journal: &Journal) {
        self.runs += runs;
        self.size = Size::of(best);
        if self.saved.elapsed() >= SAVE_EVERY {
            if let Err(Stop::Bad(problems)) = save(self.state, self.of, best, journal) {
                self.problem = problems.into_iter().next();
            }
            #[allow(clippy::disallowed_methods)] // As above.
            let now = Instant::now();
            self.saved = now;
        }
        self.show();
    }

    fn phase(&mut self, what: &'static str) {
        self.phase = what;
        self.show();
    }

    fn begins_anew(&mut self) {
        (self.size, self.runs, self.is_anew) = (self.begun, 0, true);
    }

    fn is_stopped(&self) -> bool {
        let is_over = self.until.is_some_and(|until| self.since.elapsed() >= until);
        interrupt::is_pressed() || is_over || self.problem.is_some()
    }
}
