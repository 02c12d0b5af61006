//! `anabranch campaign`: many runs, resumable, in shards.

mod merge;
mod store;

use super::{
    exit::{Code, Stop},
    interrupt, load,
    load::Loaded,
    marks,
    out::Out,
    pool,
    run::{Finished, Outcome},
    text::{count, number, quoted, time},
    values,
};
use anabranch_sim::{
    campaign::{Order, Shard, State},
    run::{Ended, record},
    signature::Signature,
};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use std::{
    num::NonZeroUsize,
    ops::Range,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use store::Store;

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct CampaignArguments {
    #[command(subcommand)]
    merge: Option<Merge>,
    /// Scenario files, or folders of which all *.toml are run. In the variable they stand between colons.
    #[arg(value_name = "SCENARIO", required = true, env = "ANABRANCH_SCENARIOS", value_delimiter = ':')]
    scenarios: Vec<PathBuf>,
    /// Run with each of these seeds; B itself is left out (A..=B takes it in).
    #[arg(long, value_name = "A..B", value_parser = values::seeds, required = true, env = "ANABRANCH_SEEDS")]
    seeds: Option<Range<u64>>,
    /// Threads to run on; as many as there are cores unless told. No result depends on it.
    #[arg(long, value_name = "N", value_parser = values::jobs, env = "ANABRANCH_JOBS")]
    jobs: Option<NonZeroUsize>,
    /// Run this part only: i of N, counted from 0, every N-th run.
    #[arg(long, value_name = "i/N", default_value = "0/1", env = "ANABRANCH_SHARD")]
    shard: Shard,
    /// Stop by itself after so much real time, such as 90s, 30m or 8h. The same command goes on from there.
    #[arg(long, value_name = "T", value_parser = values::span, env = "ANABRANCH_UNTIL")]
    until: Option<Duration>,
    /// Where results go. Shards of one campaign may share it.
    #[arg(long, value_name = "DIR", required = true, env = "ANABRANCH_OUT")]
    out: Option<PathBuf>,
    /// Say of every mark of the core in how many runs it was reached. Those that were missed are named anyway.
    #[arg(long, env = "ANABRANCH_MARKS")]
    marks: bool,
    /// Exit with 0 whatever is found, for schedulers that take anything else for a broken job.
    #[arg(long, env = "ANABRANCH_REPORT_ONLY")]
    report_only: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Merge {
    /// Put the results of shards together, and say what was found.
    ///
    /// The exit code is that of the worst failure, or 0. Incomplete shards are named.
    Merge {
        /// Folders that campaigns wrote to.
        #[arg(value_name = "DIR", required = true)]
        folders: Vec<PathBuf>,
        /// Write summary.json, summary.md, junit.xml and the fastest failure of each kind to this folder; without it, to the first DIR.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Say of every mark of the core in how many runs it was reached. Those that were missed are named anyway.
        #[arg(long)]
        marks: bool,
    },
}

/// How often the state is written down.
const SAVE_EVERY: Duration = Duration::from_secs(2);

pub(super) fn campaign(arguments: &CampaignArguments, out: &mut Out) -> Result<Code, Stop> {
    match &arguments.merge {
        Some(Merge::Merge { folders, out: target, marks }) => merge::merge(folders, target.as_deref(), *marks, out),
        None => conduct(arguments, out),
    }
}

/// Runs a shard.
#[allow(clippy::disallowed_methods)] // When to stop and when to save; no result of a run depends on it.
fn conduct(arguments: &CampaignArguments, out: &mut Out) -> Result<Code, Stop> {
    interrupt::listen();
    let begun = Instant::now();
    let (Some(seeds), Some(folder)) = (&arguments.seeds, &arguments.out) else {
        return Err(Stop::bad("--seeds and --out are missing; give both"));
    };
    let scenarios = load::scenarios(&arguments.scenarios)?;
    let digest = |loaded: &Loaded| data_encoding::HEXLOWER.encode(&Sha256::digest(loaded.text.as_bytes()));
    let names = scenarios.iter().map(|loaded| (loaded.scenario.name.clone(), digest(loaded))).collect();
    let order = Order::new(names, seeds.clone());
    let all = order.runs().ok_or_else(|| Stop::bad("--seeds: too many runs to count; give a smaller range"))?;
    let mut store = Store::open(folder, State::new(order, Some(arguments.shard), arguments.shard.runs(all)))?;
    if store.state.done > 0 {
        out.line(format_args!("going on after {} of {}", number(store.state.done), count(store.state.total, "run")))?;
    }
    let first = store.state.done;
    let left = store.state.total - first;
    let workers = pool::workers(arguments.jobs);
    let bar = progress(store.state.total, first);
    let at = |n: u64| {
        let (scenario, seed) = store_order(&scenarios, seeds, arguments.shard.number(first + n));
        (&scenarios[scenario], seed)
    };
    let mut saved = Instant::now();
    let mut code = Code::Passed;
    let mut why = None;
    let result = pool::in_order(
        left,
        workers,
        |n| anabranch_sim::run(&at(n).0.scenario, at(n).1),
        |n, result| {
            let (loaded, seed) = at(n);
            let found = take(&mut store, loaded, seed, result)?;
            code = code.max(found.code);
            bar.inc(1);
            if let Some(line) = found.line {
                bar.suspend(|| out.line(line).and_then(|()| out.flush()))?;
            }
            if saved.elapsed() >= SAVE_EVERY {
                store.save()?;
                saved = Instant::now();
            }
            let is_over = arguments.until.is_some_and(|until| begun.elapsed() >= until);
            why = if interrupt::is_pressed() {
                Some("interrupted")
            } else if is_over {
                Some("the time is over")
            } else {
                None
            };
            // The last result is taken, and no further run begins.
            if why.is_some() { Err(Stop::Interrupted(String::new())) } else { Ok(()) }
        },
    );
    bar.finish_and_clear();
    store.save()?;
    match result {
        Ok(()) | Err(Stop::Interrupted(_)) => {}
        Err(stop) => return Err(stop),
    }
    let state = &store.state;
    out.line(format_args!(
        "shard {}: {} of {} done, {} not as expected; {} simulated in {}, {} events",
        arguments.shard,
        number(state.done),
        count(state.total, "run"),
        number(state.failed),
        time(Duration::from_secs_f64(state.simulated_s)),
        time(begun.elapsed()),
        number(state.events)
    ))?;
    store::kinds(state, &store.failures(), out)?;
    marks::tell(&state.marks, arguments.marks, out)?;
    if interrupt::is_pressed() {
        return Err(Stop::Interrupted(format!("{} is kept; the same command goes on", store.path().display())));
    }
    if let Some(why) = why.filter(|_| state.done < state.total) {
        out.line(format_args!("{why}: the same command goes on"))?;
    }
    Ok(if arguments.report_only { Code::Passed } else { code.max(store::worst(state)) })
}

/// As [`Order::at`], of the scenarios that were read.
fn store_order(scenarios: &[Loaded], seeds: &Range<u64>, number: u64) -> (usize, u64) {
    let count = scenarios.len().max(1) as u64;
    ((number % count) as usize, seeds.start + number / count)
}

struct Found {
    code: Code,
    line: Option<String>,
}

/// Takes the result of a run, and keeps it when it is the fastest failure of its kind.
fn take(
    store: &mut Store,
    loaded: &Loaded,
    seed: u64,
    result: Result<anabranch_sim::outcome::RunReport, String>,
) -> Result<Found, Stop> {
    let path = loaded.file.as_deref().map_or(String::new(), |file| format!(" {}", quoted(file)));
    let finished = Finished {
        file: loaded.file.as_deref(),
        scenario: &loaded.scenario,
        seed,
        outcome: Outcome::of(result),
        reproduce: format!("anabranch run{path} --seed {seed}"),
    };
    let problem = finished.problem();
    let before = problem.is_some().then(|| store.state.clone());
    if let Outcome::Report(report) = &finished.outcome {
        store.state.count(report);
    }
    let mut found = Found { code: finished.code(), line: None };
    if let Some(problem) = problem {
        let (ended, events) = match &finished.outcome {
            Outcome::Report(report) => (Ended::Report(report.clone()), report.events),
            Outcome::Panicked(why) => (Ended::Panicked(why.clone()), u64::MAX),
        };
        let signature = Signature::of(&ended, &loaded.scenario.drawn(seed));
        let run = (loaded.scenario.name.clone(), seed, events);
        if let Some(kind) = store.state.fail(&signature, run, &problem) {
            let (ended, recording) = record(&loaded.scenario, seed);
            let folder = store.failures().join(&kind.folder);
            let kept =
                super::replay::write_folder(&folder, &loaded.scenario, Some(&loaded.text), seed, (&ended, &recording));
            if let (Err(stop), Some(before)) = (kept, before) {
                // The run was not taken: it is the next one when there is room again.
                store.state = before;
                return Err(stop);
            }
            // The folder is there before the state speaks of it.
            found.line = Some(format!(
                "{}, seed {seed}: {problem}\nreproduce: {}\nkept: {}",
                loaded.scenario.name,
                finished.reproduce,
                folder.display()
            ));
        }
    }
    store.state.done += 1;
    Ok(found)
}

fn progress(total: u64, done: u64) -> ProgressBar {
    let bar = ProgressBar::new(total).with_position(done);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} runs, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar.reset_eta();
    bar
}

/// A file written whole, or one line that says why not.
fn write(path: &Path, text: &str) -> Result<(), Stop> {
    anabranch_sim::files::write(path, |to| to.write_all(text.as_bytes())).map_err(|error| {
        Stop::bad(format!("{} cannot be written: {error}; free some space, or give another --out DIR", path.display()))
    })
}
