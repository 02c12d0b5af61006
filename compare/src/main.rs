//! Anabranch and go-ds-crdt side by side: the same workloads on both, in one run.
//!
//! ```console
//! $ cargo run --release -p anabranch-compare -- --quick
//! ```
//!
//! What is comparable, and how durability is had on both sides, is told in `interop/go/README.md`.

#![forbid(unsafe_code)]

mod child;
mod cli;
mod data;
mod golang;
mod machine;
mod measurement;
mod outputs;
mod plan;
mod process;
mod report;
mod summary;
mod workload;

use clap::Parser;
use cli::{Cli, CompareArgs, Hidden};
use indicatif::{ProgressBar, ProgressStyle};
use machine::Machine;
use outputs::Output;
use plan::Plan;
use process::{INTERRUPTED, Job, Programs};
use std::{io::Write, path::PathBuf, process::ExitCode, sync::atomic::Ordering, time::Duration};
use summary::Summary;

/// The allocator that a program of ours would take: glibc's costs a tenth of the time of small steps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why the program ends before its work is done.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Bad usage: exit code 2.
    Usage(String),
    /// Something failed: exit code 1.
    Failed(String),
    /// Ctrl-C: exit code 130.
    Interrupted,
}

impl Stop {
    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into())
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.hidden {
        Some(Hidden::Run(args)) => child::run(args).map_err(|error| Stop::failed(error.to_string())),
        None => compare(&cli.compare),
    };
    let (why, code) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Stop::Usage(why)) => (why, 2),
        Err(Stop::Failed(why)) => (why, 1),
        Err(Stop::Interrupted) => (String::from("interrupted; nothing was written"), 130),
    };
    // When standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "error: {why}");
    ExitCode::from(code)
}

/// Plans, builds the other side, runs all, and reports.
fn compare(args: &CompareArgs) -> Result<(), Stop> {
    let [json, markdown, svg] = [&args.json, &args.markdown, &args.svg];
    let open = |path: &Option<PathBuf>| path.as_deref().map(Output::open).transpose();
    let (json, markdown, svg) = (open(json)?, open(markdown)?, open(svg)?);
    let temp = args.temp.clone().unwrap_or_else(std::env::temp_dir);
    if !temp.is_dir() {
        return Err(Stop::Usage(format!("{}: there is no such folder; give --temp one that exists", temp.display())));
    }
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
        .map_err(|error| Stop::failed(format!("Ctrl-C cannot be caught: {error}")))?;

    let machine = Machine::look();
    let plan = Plan::new(args, machine.go.is_some());
    if machine.go.is_none() {
        say("there is no `go` on this machine: Anabranch runs alone, and there are no ratios");
    }
    if plan.cases.is_empty() {
        return Err(Stop::Usage("nothing to run: none of these workloads runs on these stores at these sizes".into()));
    }
    let tools = tempfile::Builder::new()
        .prefix("anabranch-compare-")
        .tempdir_in(&temp)
        .map_err(|error| Stop::failed(format!("{}: {error}", temp.display())))?;
    let go = if plan.asks_for_go() {
        say("building interop/go");
        Some(golang::build(tools.path())?)
    } else {
        None
    };
    let ours = std::env::current_exe().map_err(|error| Stop::failed(format!("this program's own file: {error}")))?;
    let summary = run_all(&plan, &Programs { ours, go, temp })?;

    let table = report::markdown(&summary, &machine, plan.runs);
    let broken = |error: std::io::Error| Stop::failed(format!("standard output: {error}"));
    std::io::stdout().write_all(table.as_bytes()).map_err(broken)?;
    if let Some(file) = markdown {
        file.write(&table)?;
    }
    if let Some(file) = json {
        let text = report::json(&summary, &machine, plan.runs).map_err(|error| Stop::failed(error.to_string()))?;
        file.write(&text)?;
    }
    svg.map_or(Ok(()), |file| file.write(&report::svg(&summary, &machine)))
}

fn say(what: &str) {
    // Progress that nobody can read is not worth an error.
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Runs every case so many times, each time on all of its stores in turn.
fn run_all(plan: &Plan, programs: &Programs) -> Result<Summary, Stop> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {elapsed}, {eta} left  {msg}")
        .map_err(|error| Stop::failed(error.to_string()))?;
    let bar = ProgressBar::new(plan.children()).with_style(style);
    bar.enable_steady_tick(Duration::from_secs(1));
    let mut summary = Summary::default();
    for case in &plan.cases {
        if bar.is_hidden() {
            say(&case.to_string());
        }
        for run in 1..=plan.runs {
            for &store in &case.stores {
                bar.set_message(format!("{case} on {store}, run {run}"));
                let (workload, keys) = (case.workload, case.keys);
                let lines = programs.measure(Job { workload, store, keys, versions: &plan.versions })?;
                summary.add(workload, store, &lines);
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    Ok(summary)
}
