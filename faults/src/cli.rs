//! What the program is asked for.

use anabranch_faults::{
    check::Judge,
    engines::{self, Engine},
    files::{Lie, Log},
    process::{self, Player},
    recorder::Recorder,
    script::Script,
    sweep::{Failure, Places, Tally, calls, files, kill, layers, rot},
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{
    fmt::Display,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

/// Sweeps of crashes, I/O errors and full disks over the engines under an Anabranch replica.
///
/// Each sweep plays a scripted run of one replica (drawn from a seed), lets one fault strike at one place after the other, and judges what
/// is left: nothing acknowledged is lost, nothing is half there, all that was owed is pursued, and it comes to agree with a healthy replica.
///
/// Exit codes: 0 all promises held; 1 one did not, and the last line says which, where and how to do it again; 2 bad usage, or what
/// was asked for cannot be done here.
#[derive(Debug, Parser)]
#[command(name = "anabranch-faults", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Crashes, errors and rot at every place of a run.
    Sweep(Sweep),
    /// Processes killed (SIGKILL) at random moments.
    Kill(Kill),
    /// Every acknowledgement comes after a sync of a file that began after its commit.
    SyncOrder(SyncOrder),
    /// Judges again what the disk may hold along a recorded run (the `log` that a failed sweep has kept).
    Images(Images),
    /// Lists a recorded run: the operations on files, and what was promised between them.
    List {
        /// The log.
        log: PathBuf,
    },
    /// Plays the script in this process, as the sweeps' children do.
    #[command(hide = true)]
    Play(Play),
}

/// What a sweep runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum On {
    /// A store in memory that can fail, under every layering.
    Memory,
    /// The default engine, on files.
    Fjall,
    /// The same with so little memory that it flushes and compacts all the time.
    FjallSmall,
    /// redb, on files.
    Redb,
    /// redb, on a simulated disk.
    RedbDisk,
}

#[derive(Debug, Args)]
struct Which {
    /// What to sweep; all if not given.
    #[arg(long = "engine", value_name = "ENGINE")]
    engines: Vec<On>,
    /// The seed of the script.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many things happen in the script.
    #[arg(long)]
    actions: Option<usize>,
}

impl Which {
    fn has(&self, engine: On) -> bool {
        self.engines.is_empty() || self.engines.contains(&engine)
    }

    fn script(&self, actions: usize) -> Script {
        Script { seed: self.seed, actions: self.actions.unwrap_or(actions) }
    }

    fn player(&self, actions: usize) -> std::io::Result<Player> {
        Ok(Player { program: std::env::current_exe()?, script: self.script(actions), syncs: true })
    }
}

#[derive(Debug, Args)]
struct Sweep {
    #[command(flatten)]
    which: Which,
    /// Every place of three scripts of 400 actions, in place of some places of one of 150: hours instead of a minute.
    #[arg(long)]
    long: bool,
    /// Only this place: the number of a file operation, as a failure names it.
    #[arg(long, value_name = "PLACE")]
    at: Option<usize>,
}

#[derive(Debug, Args)]
struct Kill {
    #[command(flatten)]
    which: Which,
    /// How often, for each engine.
    #[arg(long, default_value_t = 200)]
    times: usize,
}

#[derive(Debug, Args)]
struct SyncOrder {
    #[command(flatten)]
    which: Which,
    /// Takes the syncs out: then the check must fail.
    #[arg(long)]
    without_sync: bool,
}

#[derive(Debug, Args)]
struct Images {
    /// The log.
    log: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Only this place.
    #[arg(long, value_name = "PLACE")]
    at: Option<usize>,
    /// On a disk whose syncs do nothing: then it must fail.
    #[arg(long)]
    lying: bool,
}

#[derive(Debug, Args)]
struct Play {
    engine: String,
    folder: PathBuf,
    marks: PathBuf,
    seed: u64,
    actions: usize,
    #[arg(long)]
    without_sync: bool,
}

/// Actions of a script, quickly and at length.
const ACTIONS: [usize; 2] = [150, 400];
/// Scripts of a sweep at length.
const LONG_SCRIPTS: u64 = 3;

/// Why it did not go well.
enum Bad {
    /// A promise did not hold.
    Broken(String),
    /// What was asked for cannot be done.
    Usage(String),
}

type Done<T = ()> = Result<T, Bad>;

/// Does what was asked.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let done = match &cli.command {
        Command::Sweep(args) => sweep(args),
        Command::Kill(args) => kill(args),
        Command::SyncOrder(args) => sync_order(args),
        Command::Images(args) => images(args),
        Command::List { log } => list(log),
        Command::Play(args) => {
            let script = Script { seed: args.seed, actions: args.actions };
            process::child(&args.engine, &args.folder, &args.marks, &script, !args.without_sync).map_err(broken)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(bad) => {
            let (what, code) = match bad {
                Bad::Broken(what) => (what, 1),
                Bad::Usage(what) => (what, 2),
            };
            // Nowhere to tell that standard error is closed.
            let _ = writeln!(std::io::stderr(), "anabranch-faults: {what}");
            ExitCode::from(code)
        }
    }
}

fn broken(error: impl Display) -> Bad {
    Bad::Broken(error.to_string())
}

fn usage(error: impl Display) -> Bad {
    Bad::Usage(error.to_string())
}

fn say(line: impl Display) -> Done {
    writeln!(std::io::stdout(), "{line}").map_err(|error| usage(format_args!("standard output: {error}")))
}

/// Runs a sweep and says what it did.
fn told(engine: &str, what: &str, run: impl FnOnce() -> Result<Tally, Failure>) -> Done {
    let begun = Instant::now();
    let tally = run().map_err(broken)?;
    say(format_args!("{engine:<12} {what:<36} {tally} ({:.1} s)", begun.elapsed().as_secs_f64()))
}

fn sweep(args: &Sweep) -> Done {
    let scripts = if args.long { LONG_SCRIPTS } else { 1 };
    for seed in args.which.seed..args.which.seed + scripts {
        let which = Which { seed, engines: args.which.engines.clone(), actions: args.which.actions };
        say(format_args!("script {seed}"))?;
        if which.has(On::Memory) && args.at.is_none() {
            in_memory(&which, args.long)?;
        }
        let quick = |stride| Places { stride: if args.long { 1 } else { stride }, only: args.at };
        if which.has(On::Fjall) {
            on_files::<engines::Default>(&which, args.long, quick(5))?;
        }
        if which.has(On::FjallSmall) {
            on_files::<engines::Small>(&which, args.long, quick(5))?;
        }
        if which.has(On::Redb) {
            on_files::<engines::Redb>(&which, args.long, quick(25))?;
        }
    }
    Ok(())
}

fn in_memory(which: &Which, long: bool) -> Done {
    let script = which.script(ACTIONS[usize::from(long)]);
    let engine = Recorder::default;
    let crash = "crash at every commit and sync:";
    told("memory", &format!("{crash} bare"), || calls::crashes::<layers::Bare>(&script, engine()))?;
    told("memory", &format!("{crash} sums"), || calls::crashes::<layers::Sums>(&script, engine()))?;
    told("memory", &format!("{crash} held"), || calls::crashes::<layers::Held>(&script, engine()))?;
    told("memory", &format!("{crash} both"), || calls::crashes::<layers::Default>(&script, engine()))?;
    let stride = if long { 1 } else { 7 };
    told("memory", "errors: bare", || calls::errors::<layers::Bare>(&script, stride))?;
    told("memory", "errors: default's layers", || calls::errors::<layers::Default>(&script, stride))?;
    told("memory", "rot", || rot::rot(&script, stride))
}

fn on_files<E: Engine>(which: &Which, long: bool, places: Places) -> Done {
    let player = which.player(ACTIONS[usize::from(long)]).map_err(usage)?;
    told(E::NAME, "power cut before every operation", || files::crashes::<E>(&player, places, None))?;
    // A process for each place.
    let fewer = Places { stride: places.stride * 4, ..places };
    told(E::NAME, "errors from every operation on", || files::errors::<E>(&player, fewer))?;
    told(E::NAME, "errors from every read on", || files::read_errors::<E>(&player, if long { 200 } else { 20 }))
}

fn kill(args: &Kill) -> Done {
    let player = args.which.player(ACTIONS[1]).map_err(usage)?;
    let what = format!("killed {} times", args.times);
    if args.which.has(On::Fjall) {
        told("fjall", &what, || kill::kills::<engines::Default>(&player, args.times))?;
    }
    if args.which.has(On::FjallSmall) {
        told("fjall-small", &what, || kill::kills::<engines::Small>(&player, args.times))?;
    }
    if args.which.has(On::Redb) {
        told("redb", &what, || kill::kills::<engines::Redb>(&player, args.times))?;
    }
    Ok(())
}

fn sync_order(args: &SyncOrder) -> Done {
    let player = args.which.player(ACTIONS[0]).map_err(usage)?;
    let player = Player { syncs: !args.without_sync, ..player };
    if args.which.has(On::Fjall) {
        ordered::<engines::Default>(&player)?;
    }
    if args.which.has(On::FjallSmall) {
        ordered::<engines::Small>(&player)?;
    }
    if args.which.has(On::Redb) {
        ordered::<engines::Redb>(&player)?;
    }
    Ok(())
}

fn ordered<E: Engine>(player: &Player) -> Done {
    let acknowledged = files::acknowledgements::<E>(player).map_err(broken)?;
    say(format_args!("{:<12} {acknowledged} commits acknowledged, each after a sync that began after it", E::NAME))
}

fn images(args: &Images) -> Done {
    let [engine] = args.which.engines[..] else {
        return Err(usage("images: give the one engine that the log is of, as in --engine fjall"));
    };
    let places = Places { stride: 1, only: args.at };
    let lie = args.lying.then_some(Lie::Fsync);
    let script = args.which.script(ACTIONS[0]);
    match engine {
        On::Fjall => again::<engines::Default>(&args.log, &script, places, lie),
        On::FjallSmall => again::<engines::Small>(&args.log, &script, places, lie),
        On::Redb => again::<engines::Redb>(&args.log, &script, places, lie),
        On::Memory | On::RedbDisk => {
            Err(usage("images: only engines on files leave a log; expected fjall, fjall-small or redb"))
        }
    }
}

fn again<E: Engine>(log: &Path, script: &Script, places: Places, lie: Option<Lie>) -> Done {
    let log = Log::read(log).map_err(usage)?;
    let mut judge = Judge::of(script).map_err(broken)?;
    told(E::NAME, "power cuts along the log", || files::crashes_of::<E>(&log, script, &mut judge, places, lie))
}

fn list(log: &Path) -> Done {
    let log = Log::read(log).map_err(usage)?;
    let mut marks = log.marks().iter().peekable();
    for (index, operation) in log.operations().iter().enumerate() {
        while let Some(mark) = marks.next_if(|mark| mark.before <= index) {
            say(format_args!("       {}", String::from_utf8_lossy(&mark.bytes).trim_end()))?;
        }
        say(format_args!("{index:>6} {operation}"))?;
    }
    marks.try_for_each(|mark| say(format_args!("       {}", String::from_utf8_lossy(&mark.bytes).trim_end())))
}
