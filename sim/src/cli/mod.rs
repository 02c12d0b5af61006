//! The command line: what may be asked for, and what the program answers.

mod campaign;
mod dag;
mod determinism;
mod exit;
mod explain;
mod export;
mod extras;
mod interrupt;
mod json;
mod junit;
mod load;
mod marks;
mod out;
mod picture;
mod pool;
mod replay;
mod report;
mod run;
mod show;
mod shrink;
mod sweep;
mod tell;
mod text;
mod values;

pub(crate) use out::Out;

use clap::{Args, Parser, Subcommand, error::ErrorKind};
use exit::{Code, Stop};
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

/// Runs Anabranch replicas in a simulated network, and looks into histories that replicas wrote.
///
/// Without arguments: five replicas lose messages, part, crash, rejoin and converge, with a picture of it.
#[derive(Debug, Parser)]
#[command(name = "anabranch", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run scenarios in the simulator.
    ///
    /// A run is decided by its scenario and its seed: the same two give the same trace hash, in any process, with
    /// any number of jobs. Without PATHS it runs the quickstart.
    #[command(after_help = exit::HELP)]
    Run(run::RunArguments),
    /// Run a failure again, or any run watched, and say whether it fails in the same way.
    ///
    /// For the folder of a failure, its explicit form is run, event by event; where it is another run than the recorded
    /// one, the first event that differs is named.
    #[command(after_help = exit::HELP)]
    Replay(replay::ReplayArguments),
    /// Make a failure smaller: operations, faults, replicas and deliveries together.
    ///
    /// Ctrl-C stops it, and the same command goes on. The exit code is 0 when it is as small as it gets.
    Shrink(shrink::ShrinkArguments),
    /// Tell the story of a failure in words: the few events that matter, what each replica believed, and why the oracle
    /// objects.
    Explain(tell::ExplainArguments),
    /// Run scenarios with many seeds, for as long as it takes: resumable, in shards, the fastest failure of each kind kept.
    #[command(after_help = exit::HELP)]
    Campaign(campaign::CampaignArguments),
    /// Cut the power at each write of a run in turn: one run for each write that a replica's engine makes.
    ///
    /// The scenario is run once to see that it ends as it expects, and when each store is opened; then the writes are counted, and each has a run of its own in which the
    /// replica dies just before it and is started again a second later. Each must end as the scenario expects. The scenario needs `engine = "redb"` in [disk].
    #[command(after_help = exit::HELP)]
    Sweep(sweep::SweepArguments),
    /// Print the scenario format as JSON Schema, for editors.
    Schema,
    /// Print completions for a shell: `anabranch completions bash > /etc/bash_completion.d/anabranch`.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command to a folder.
    Man {
        /// Write anabranch.1, anabranch-run.1 and so on to this folder.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Look into a history in a CARv1 file, as `ipfs dag export` writes it.
    #[command(subcommand, after_help = exit::HELP_DAG)]
    Dag(Dag),
    /// Work in a store on disk: get, put, del, ls, watch, heads, and more; `help` lists all.
    ///
    /// On a terminal with history and completion; otherwise commands are read from stdin, one a line.
    #[cfg(feature = "shell")]
    #[command(after_help = exit::HELP_SHELL)]
    Shell {
        /// The folder of the store.
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// Make a store in an empty or absent folder.
        #[arg(long)]
        create: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dag {
    /// Print heads and state as the naive fold over the blocks has them.
    #[command(after_help = exit::HELP_DAG)]
    Fold {
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        format: Format,
    },
    /// Merge the blocks through a real replica, and print its heads and state.
    ///
    /// Blocks come in an order drawn from the seed, some of them twice, among announcements and fetches. The
    /// result must be that of `dag fold`; if it is not, the exit code is 1.
    #[command(after_help = exit::HELP_DAG)]
    Merge {
        #[command(flatten)]
        input: Input,
        /// Draws the order.
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
        #[command(flatten)]
        format: Format,
    },
    /// List the blocks: what each links to, puts, removes and declares, and which are void or missing.
    #[command(after_help = exit::HELP_DAG)]
    Show {
        #[command(flatten)]
        input: Input,
        /// Print a graph for Graphviz: `anabranch dag show FILE.car --dot | dot -Tsvg > FILE.svg`.
        #[arg(long)]
        dot: bool,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Input {
    /// A CARv1 file.
    #[arg(value_name = "FILE.car")]
    file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Format {
    /// Print JSON: {"heads": [CID…], "state": {key: hex…}, "void": N, "misdeclared": N}.
    #[arg(long)]
    json: bool,
}

/// Reads the arguments.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Command>, Stop> {
    match Cli::try_parse_from(arguments) {
        Ok(cli) => Ok(cli.command),
        // The help of a command that needs another one after it.
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(Stop::Usage(error.render().to_string()))
        }
        Err(error) if error.use_stderr() => Err(Stop::Usage(one_line(&error.render().to_string()))),
        Err(error) => Err(Stop::Help(error.render().to_string())),
    }
}

/// What clap says of wrong arguments, in one line.
fn one_line(text: &str) -> String {
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let mut whole = lines.fold(String::new(), |mut whole, line| {
        if !whole.is_empty() {
            whole.push_str(if whole.ends_with([':', ',']) { " " } else { "; " });
        }
        whole + &line.replacen("Usage: ", "usage: ", 1)
    });
    whole.push_str("; `--help` tells more\n");
    whole
}

/// Does what was asked for.
pub(crate) fn execute(command: Option<Command>, out: &mut Out, err: &mut Out) -> Result<Code, Stop> {
    match command {
        None => run::run(&run::RunArguments::default(), out, err),
        Some(Command::Run(arguments)) => run::run(&arguments, out, err),
        Some(Command::Replay(arguments)) => replay::replay(&arguments, out),
        Some(Command::Shrink(arguments)) => shrink::shrink(&arguments, out),
        Some(Command::Explain(arguments)) => tell::tell(&arguments, out),
        Some(Command::Campaign(arguments)) => campaign::campaign(&arguments, out),
        Some(Command::Sweep(arguments)) => sweep::sweep(&arguments, out, err),
        Some(Command::Schema) => extras::print_schema(out),
        Some(Command::Completions { shell }) => extras::completions(shell, out),
        Some(Command::Man { out: folder }) => extras::man(folder.as_deref(), out),
        Some(Command::Dag(Dag::Fold { input, format })) => dag::fold(&input.file, format.json, out, err),
        Some(Command::Dag(Dag::Merge { input, seed, format })) => dag::merge(&input.file, seed, format.json, out, err),
        Some(Command::Dag(Dag::Show { input, dot })) => show::show(&input.file, dot, out, err),
        #[cfg(feature = "shell")]
        Some(Command::Shell { path, create }) => match anabranch_shell::run(&path, create).map_err(Stop::bad)? {
            anabranch_shell::Ended::Well => Ok(Code::Passed),
            anabranch_shell::Ended::CommandFailed => Ok(Code::BadInput),
            anabranch_shell::Ended::Unsound => Ok(Code::BrokenInvariant),
        },
    }
}

/// The exit code for what has come of it, once all that is left to say is said.
pub(crate) fn exit_code(result: Result<Code, Stop>, out: &mut Out, err: &mut Out) -> ExitCode {
    // Nobody is left to be told when stderr fails.
    let mut complain = |text: String| drop(err.text(text));
    match result {
        Ok(code) => return code.into(),
        Err(Stop::Help(text)) => match out.text(text).and_then(|()| out.flush()) {
            Ok(()) => return Code::Passed.into(),
            Err(Stop::Bad(problems)) => problems.iter().for_each(|problem| complain(format!("error: {problem}\n"))),
            Err(Stop::Help(_) | Stop::Usage(_) | Stop::Interrupted(_)) => {}
        },
        Err(Stop::Interrupted(what)) => {
            let _ = out.flush();
            complain(format!("interrupted: {what}\n"));
            return interrupt::CODE.into();
        }
        Err(Stop::Usage(text)) => complain(text),
        Err(Stop::Bad(problems)) => problems.iter().for_each(|problem| complain(format!("error: {problem}\n"))),
    }
    Code::BadInput.into()
}
