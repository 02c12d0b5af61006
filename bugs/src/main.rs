//! The program `anabranch-bugs`: puts known bugs back, hunts them, and shows a table.

use anabranch_bugs::{
    bug::Bug,
    hunt,
    real::Real,
    report::{self, Results, Row},
    repository,
    shrink::shrink,
    tree::{Build, Tree},
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
    #[arg(long, value_name = "N")]
    real: Option<u64>,
    /// Runs that one alone, and hunts no bugs
    #[arg(long, requires = "real")]
    real_only: bool,
    /// Threads of the simulator [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Shrinks each failure for so many seconds at most
    #[arg(long, default_value_t = 180, value_name = "N")]
    shrink_for: u64,
    /// Does not shrink what is found
    #[arg(long)]
    no_shrink: bool,
    /// Lists the bugs, and checks that their patches apply
    #[arg(long)]
    list: bool,
    /// Writes the results as JSON, after each bug and after every 50 seeds on the real core. What FILE holds already of these sources is
    /// not done again
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Does everything anew, whatever FILE holds
    #[arg(long)]
    fresh: bool,
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
    let before = match &cli.json {
        Some(path) if !cli.fresh => Results::read(path).map_err(Bad::Usage)?,
        _ => Results::default(),
    };
    let jobs = cli.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    let work = cli.work.clone().unwrap_or_else(|| root.join("target/bugs"));
    let tree = Tree::new(&root, &work).map_err(Bad::Failed)?;
    let mut campaign =
        Campaign { cli, jobs, tree, before, results: Results::default(), stale: Vec::new(), unhunted: Vec::new() };
    // Found out now, not after an hour, that the file cannot be written.
    campaign.keep()?;
    if let Some(seeds) = cli.real {
        campaign.real(seeds)?;
    }
    if !cli.real_only {
        for bug in &bugs {
            campaign.hunt(bug)?;
        }
    }
    told(&campaign.results, cli)?;
    if !campaign.unhunted.is_empty() {
        return Err(Bad::Failed(format!("not hunted: {}", campaign.unhunted.join(", "))));
    }
    match &campaign.stale[..] {
        [] => Ok(()),
        stale => Err(Bad::Failed(format!(
            "scenarios/regressions/NAME.toml passes with the bug that it was made of: {}; shrink a new failure",
            stale.join(", ")
        ))),
    }
}

/// The bugs that were asked for.
fn chosen(cli: &Cli, root: &Path) -> Done<Vec<Bug>> {
    let all = Bug::all(&root.join("bugs/patches")).map_err(Bad::Failed)?;
    if let Some(unknown) = cli.only.iter().find(|name| all.iter().all(|bug| bug.name != **name)) {
        return Err(Bad::Usage(format!("there is no bug `{unknown}`; --list shows those that there are")));
    }
    Ok(all.into_iter().filter(|bug| cli.only.is_empty() || cli.only.contains(&bug.name)).collect())
}

/// What is done, and what has been found.
struct Campaign<'a> {
    cli: &'a Cli,
    jobs: usize,
    tree: Tree,
    /// What an earlier run has left.
    before: Results,
    results: Results,
    /// Bugs with which their regression passes.
    stale: Vec<String>,
    /// Bugs whose patch no longer applies, or does not build.
    unhunted: Vec<String>,
}

impl Campaign<'_> {
    /// Writes down what there is: of this run, and of earlier ones what this one does not make anew.
    fn keep(&self) -> Done {
        let Some(path) = &self.cli.json else { return Ok(()) };
        let mut all = self.results.clone();
        all.real = all.real.or_else(|| self.before.real.clone());
        let is_new = |row: &&Row| self.results.bugs.iter().all(|other| other.bug != row.bug);
        all.bugs.extend(self.before.bugs.iter().filter(is_new).cloned());
        all.bugs.sort_by(|a, b| a.bug.cmp(&b.bug));
        all.write(path).map_err(Bad::Usage)
    }

    /// The same campaign on the core as it is must find nothing.
    fn real(&mut self, seeds: u64) -> Done {
        let sources = self.tree.mark(None);
        let earlier = self.before.real.clone().filter(|real| real.sources == sources);
        let mut real = earlier.unwrap_or_else(|| Real::new(sources));
        if real.seeds < seeds {
            self.tree.put(None).map_err(Bad::Failed)?;
            let program = self.tree.build(Build::Fast).map_err(|why| Bad::Failed(format!("the real core {why}")))?;
            let scenario = self.tree.path(Path::new(SWARM));
            loop {
                let (known, more) = (real.alarms.len(), real.go_on(&program, &scenario, seeds, self.jobs));
                let more = more.map_err(Bad::Failed)?;
                for alarm in &real.alarms[known..] {
                    say(&format!("the real core: ALARM with seed {}: {}", alarm.seed, alarm.message))?;
                }
                self.results.real = Some(real.clone());
                self.keep()?;
                if !more {
                    break;
                }
            }
        }
        say(&real.summary())?;
        self.results.real = Some(real);
        Ok(())
    }

    /// Puts one bug in, hunts it, and shrinks what is found; or takes over what an earlier run has found with the same sources.
    fn hunt(&mut self, bug: &Bug) -> Done {
        let sources = self.tree.mark(Some(bug));
        let earlier = self.before.bugs.iter().find(|row| row.bug == bug.name && row.sources == sources);
        let is_enough = |row: &&Row| {
            row.hunt.found.is_some() && (row.shrunk.is_some() || self.cli.no_shrink) || row.hunt.runs >= self.cli.seeds
        };
        let row = match earlier.filter(is_enough) {
            Some(row) => row.clone(),
            None => match self.hunted(bug, sources) {
                Ok(row) => row,
                // The others are hunted all the same.
                Err(Bad::Failed(why)) => {
                    self.unhunted.push(bug.name.clone());
                    return say(&why);
                }
                Err(bad) => return Err(bad),
            },
        };
        let shrunk = row.shrunk.map(|size| format!(", shrunk to {size}")).unwrap_or_default();
        match &row.hunt.found {
            None => say(&format!("{}: not found in {} seeds", bug.name, row.hunt.runs))?,
            Some(found) => {
                say(&format!(
                    "{}: seed {}, {:.1} s{shrunk}: {}",
                    bug.name, found.seed, row.hunt.wall_s, found.message
                ))?;
            }
        }
        self.results.bugs.push(row);
        self.keep()
    }

    fn hunted(&mut self, bug: &Bug, sources: String) -> Done<Row> {
        let failed = |why: String| Bad::Failed(format!("{}: {why}", bug.name));
        self.tree.put(Some(bug)).map_err(Bad::Failed)?;
        let program = self.tree.build(Build::Soon).map_err(failed)?;
        // What it was once shrunk to passes on the real core, and must fail here.
        let regression = self.tree.path(&Path::new("scenarios/regressions").join(format!("{}.toml", bug.name)));
        if regression.is_file() && hunt::hunt(&program, &regression, 1, 1).map_err(failed)?.found.is_none() {
            self.stale.push(bug.name.clone());
        }
        let scenario = self.tree.path(bug.scenario.as_deref().unwrap_or(Path::new(SWARM)));
        let hunt = hunt::hunt(&program, &scenario, self.cli.seeds, self.jobs).map_err(failed)?;
        let found = hunt.found.as_ref().filter(|_| !self.cli.no_shrink);
        let target = self.tree.path(Path::new(&format!("../{}.toml", bug.name)));
        let shrunk =
            found.map(|found| shrink(&program, (&scenario, found.seed), self.jobs, self.cli.shrink_for, &target));
        let shrunk = shrunk.transpose().or_else(|why| say(&format!("{}: {why}", bug.name)).map(|()| None))?;
        Ok(Row::new(bug, sources, hunt, shrunk))
    }
}

fn told(results: &Results, cli: &Cli) -> Done {
    let rows = &results.bugs;
    let table = report::markdown(rows);
    if !rows.is_empty() {
        say(&format!("\n{table}"))?;
    }
    if let Some(median) = report::median_seeds(rows).filter(|_| !rows.is_empty()) {
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
    if let Some(complaint) = results.real.as_ref().and_then(Real::complaint) {
        return Err(Bad::Failed(complaint));
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
