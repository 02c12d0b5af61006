//! The program `anabranch-bugs`: puts known bugs back, hunts them, and shows a table.

use anabranch_bugs::{
    bug::Bug,
    hunt::{self, Hunt},
    report::{self, Row},
    repository,
    shrink::shrink,
    tree::Tree,
};
use clap::Parser;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The campaign that hunts them all.
const SWARM: &str = "scenarios/swarm.toml";

/// A failure with so many operations and faults at most can be read.
const SMALL: u64 = 10;

/// Puts known bugs back into a copy of the sources, one at a time, and measures how soon the simulator finds each.
///
/// Exit codes: 0 all were found; 1 one was not, or no longer applies, or the real core fails; 2 bad usage.
#[derive(Debug, Parser)]
#[command(name = "anabranch-bugs", version)]
struct Cli {
    /// Only these, by the names of their files in bugs/patches
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    only: Vec<String>,
    /// Seeds after which a bug counts as not found
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    seeds: u64,
    /// Runs the same campaign with so many seeds on the real core first, which must pass
    #[arg(long, default_value_t = 0, value_name = "N")]
    real: u64,
    /// Threads of the simulator [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Does not shrink what is found
    #[arg(long)]
    no_shrink: bool,
    /// Lists the bugs, and checks that their patches apply
    #[arg(long)]
    list: bool,
    /// Writes the results as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the table as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Where the copy of the sources is made and built [default: target/bugs in the repository]
    #[arg(long, value_name = "FOLDER")]
    work: Option<PathBuf>,
}

/// Why it did not go well.
enum Bad {
    /// A bug was not found, or something failed.
    Failed(String),
    Usage(String),
}

type Done<T = ()> = Result<T, Bad>;

fn main() -> ExitCode {
    let (why, code) = match run(&Cli::parse()) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Bad::Failed(why)) => (why, 1),
        Err(Bad::Usage(why)) => (why, 2),
    };
    // Nowhere to tell that standard error is closed.
    let _ = writeln!(std::io::stderr(), "anabranch-bugs: {why}");
    ExitCode::from(code)
}

fn run(cli: &Cli) -> Done {
    let root = repository();
    let bugs = chosen(cli, &root)?;
    if cli.list {
        return bugs.iter().try_for_each(|bug| {
            bug.applied(&root).map_err(Bad::Failed)?;
            say(&format!("{:<32} {} ({})", bug.name, bug.what, bug.from))
        });
    }
    for path in [&cli.json, &cli.markdown].into_iter().flatten() {
        // Found out now, not after an hour.
        fs::OpenOptions::new().create(true).append(true).open(path).map_err(|error| unwritable(path, &error))?;
    }
    let jobs = cli.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    let work = cli.work.clone().unwrap_or_else(|| root.join("target/bugs"));
    let mut tree = Tree::new(&root, &work).map_err(Bad::Failed)?;
    if cli.real > 0 {
        real(&mut tree, cli.real, jobs)?;
    }
    let mut rows = Vec::new();
    for bug in &bugs {
        rows.push(hunted(&mut tree, bug, cli, jobs)?);
    }
    told(&rows, cli)
}

/// The bugs that were asked for.
fn chosen(cli: &Cli, root: &Path) -> Done<Vec<Bug>> {
    let all = Bug::all(&root.join("bugs/patches")).map_err(Bad::Failed)?;
    if let Some(unknown) = cli.only.iter().find(|name| all.iter().all(|bug| bug.name != **name)) {
        return Err(Bad::Usage(format!("there is no bug `{unknown}`; --list shows those that there are")));
    }
    Ok(all.into_iter().filter(|bug| cli.only.is_empty() || cli.only.contains(&bug.name)).collect())
}

/// The same campaign on the core as it is must find nothing.
fn real(tree: &mut Tree, seeds: u64, jobs: usize) -> Done {
    tree.put(None).map_err(Bad::Failed)?;
    let program = tree.build().map_err(|why| Bad::Failed(format!("the real core {why}")))?;
    let Hunt { found, runs, wall_s } =
        hunt::hunt(&program, &tree.path(Path::new(SWARM)), seeds, jobs).map_err(Bad::Failed)?;
    match found {
        None => say(&format!("the real core: {runs} seeds in {wall_s:.1} s, no alarm")),
        Some(found) => Err(Bad::Failed(format!("the real core fails with seed {}: {}", found.seed, found.message))),
    }
}

fn hunted(tree: &mut Tree, bug: &Bug, cli: &Cli, jobs: usize) -> Done<Row> {
    let failed = |why: String| Bad::Failed(format!("{}: {why}", bug.name));
    tree.put(Some(bug)).map_err(Bad::Failed)?;
    let program = tree.build().map_err(failed)?;
    let scenario = tree.path(bug.scenario.as_deref().unwrap_or(Path::new(SWARM)));
    let hunt = hunt::hunt(&program, &scenario, cli.seeds, jobs).map_err(failed)?;
    let found = hunt.found.as_ref().filter(|_| !cli.no_shrink);
    let target = tree.path(Path::new(&format!("{}.shrunk.toml", bug.name)));
    let shrunk = found.map(|found| shrink(&program, &scenario, found.seed, &target)).transpose().map_err(failed)?;
    let row = Row::new(bug, hunt, shrunk);
    match &row.hunt.found {
        None => say(&format!("{}: not found in {} seeds", bug.name, row.hunt.runs))?,
        Some(found) => say(&format!("{}: seed {}, {:.1} s: {}", bug.name, found.seed, row.hunt.wall_s, found.message))?,
    }
    Ok(row)
}

fn told(rows: &[Row], cli: &Cli) -> Done {
    let table = report::markdown(rows);
    say(&format!("\n{table}"))?;
    if let Some(median) = report::median_seeds(rows) {
        say(&format!("All {} were found; half of them within {median} seeds.", rows.len()))?;
    }
    let shrunk: Vec<&report::Size> = rows.iter().filter_map(|row| row.shrunk.as_ref()).collect();
    if !shrunk.is_empty() {
        let small = shrunk.iter().filter(|size| size.operations + size.faults <= SMALL).count();
        say(&format!("{small} of {} failures were shrunk to at most {SMALL} operations and faults.", shrunk.len()))?;
    }
    if let Some(path) = &cli.markdown {
        fs::write(path, &table).map_err(|error| unwritable(path, &error))?;
    }
    if let Some(path) = &cli.json {
        let text = serde_json::to_string_pretty(rows).map_err(|error| Bad::Failed(error.to_string()))?;
        fs::write(path, text + "\n").map_err(|error| unwritable(path, &error))?;
    }
    let missed: Vec<&str> = rows.iter().filter(|row| row.hunt.found.is_none()).map(|row| row.bug.as_str()).collect();
    if missed.is_empty() { Ok(()) } else { Err(Bad::Failed(format!("not found: {}", missed.join(", ")))) }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Bad {
    Bad::Usage(format!("{}: {error}; give another file", path.display()))
}

fn say(line: &str) -> Done {
    writeln!(std::io::stdout(), "{line}").map_err(|error| Bad::Usage(format!("standard output: {error}")))
}
