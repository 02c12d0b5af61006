//! `anabranch explain`.

use super::{
    exit::{Code, Stop},
    export::Exports,
    interrupt, load,
    load::Source,
    out::Out,
    text::count,
    values,
};
use anabranch_sim::{
    explain::{Subject, explain},
    failure::Failure,
    record::Recording,
    run::record,
    scenario::Scenario,
};
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct ExplainArguments {
    /// The folder of a failure, or a scenario file that fails.
    ///
    /// Of a folder that was shrunk, the small scenario is explained.
    #[arg(value_name = "FAILURE|FILE.toml")]
    what: PathBuf,
    /// The seed, for a scenario file. Without it, the one that the scenario names, or 0.
    #[arg(long, value_name = "N", value_parser = values::seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// For a folder that was shrunk: explain the whole run all the same.
    #[arg(long)]
    whole: bool,
    #[command(flatten)]
    exports: Exports,
}

/// Tells the story of a failure.
pub(super) fn tell(arguments: &ExplainArguments, out: &mut Out) -> Result<Code, Stop> {
    interrupt::listen();
    arguments.exports.check()?;
    match load::source(&arguments.what)? {
        Source::Scenario(loaded) => {
            let seed = arguments.seed.or(loaded.scenario.expect.seed).unwrap_or(0);
            run_and_tell(arguments, &loaded.scenario, seed, out)
        }
        Source::Folder(_) if arguments.seed.is_some() => {
            Err(Stop::bad("--seed is for a scenario file: a failure has its own"))
        }
        Source::Folder(folder) if folder.path.join("shrunk.toml").is_file() && !arguments.whole => {
            let scenario = folder.scenario("shrunk.toml").map_err(Stop::bad)?;
            out.line(format_args!("(of shrunk.toml; --whole explains the run as it was found)"))?;
            run_and_tell(arguments, &scenario, 0, out)
        }
        Source::Folder(folder) => {
            // From its recording: that is right even where the program has changed since.
            let recording = folder.recording().map_err(Stop::bad)?;
            let Failure { signature, message, .. } = folder.failure.clone();
            let description = folder.scenario("scenario.toml").map_or_else(|_| String::new(), |one| one.description);
            arguments.exports.write_recording(&description, Subject { signature, message }, &recording, out)?;
            print(&folder.failure, &recording, out)
        }
    }
}

fn run_and_tell(arguments: &ExplainArguments, scenario: &Scenario, seed: u64, out: &mut Out) -> Result<Code, Stop> {
    let (ended, recording) = record(scenario, seed);
    let failure = Failure::of(scenario, seed, &ended, &recording);
    arguments.exports.write(scenario, (&ended, &recording), out)?;
    print(&failure, &recording, out)
}

fn print(failure: &Failure, recording: &Recording, out: &mut Out) -> Result<Code, Stop> {
    out.line(format_args!(
        "{}: {}\n{}, {}, {}, {}; commit {}\n",
        failure.scenario,
        failure.signature,
        count(recording.header.replicas as u64, "replica"),
        count(failure.operations, "operation"),
        count(failure.faults, "fault"),
        count(recording.events.len() as u64, "event"),
        failure.commit
    ))?;
    if failure.signature.is_passed() {
        out.line("Nothing is wrong with this run.")?;
        return Ok(Code::Passed);
    }
    let subject = Subject { signature: failure.signature.clone(), message: failure.message.clone() };
    explain(recording, &subject).iter().try_for_each(|line| out.line(line))?;
    Ok(Code::Passed)
}
