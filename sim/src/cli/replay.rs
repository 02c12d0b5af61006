//! `anabranch replay`.

use super::{
    exit::{Code, Stop},
    export::Exports,
    interrupt, load,
    load::{Loaded, Source},
    out::Out,
    report,
    run::{Finished, Outcome},
    text::quoted,
    values,
};
use anabranch_sim::{
    failure::{self, Failure, Folder},
    observe::Seen,
    record::{Recording, first_difference},
    run::{Ended, record},
    scenario::Scenario,
    words,
};
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct ReplayArguments {
    /// The folder of a failure, or a scenario file.
    #[arg(value_name = "FAILURE|FILE.toml")]
    what: PathBuf,
    /// The seed, for a scenario file. Without it, the one that the scenario names, or 0.
    #[arg(long, value_name = "N", value_parser = values::seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// For a folder: run its scenario with its seed, instead of its explicit form.
    #[arg(long)]
    seeded: bool,
    /// Keep the run in a folder of this name, as a failure is kept, whether it fails or not.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    exports: Exports,
}

/// Runs it again, watched.
pub(super) fn replay(arguments: &ReplayArguments, out: &mut Out) -> Result<Code, Stop> {
    interrupt::listen();
    arguments.exports.check()?;
    match load::source(&arguments.what)? {
        Source::Folder(folder) => replay_folder(arguments, &folder, out),
        Source::Scenario(loaded) => {
            if arguments.seeded {
                return Err(Stop::bad("--seeded is for the folder of a failure; a scenario file is run with --seed"));
            }
            let seed = arguments.seed.or(loaded.scenario.expect.seed).unwrap_or(0);
            let (ended, recording) = record(&loaded.scenario, seed);
            keep(arguments, &loaded.scenario, Some(&loaded.text), seed, (&ended, &recording), out)?;
            finish(&loaded, seed, ended, out)
        }
    }
}

fn replay_folder(arguments: &ReplayArguments, folder: &Folder, out: &mut Out) -> Result<Code, Stop> {
    if arguments.seed.is_some() {
        return Err(Stop::bad("--seed is for a scenario file: a failure has its own"));
    }
    let (file, seed) =
        if arguments.seeded { ("scenario.toml", folder.failure.seed) } else { ("explicit.toml", folder.failure.seed) };
    let scenario = folder.scenario(file).map_err(Stop::bad)?;
    let recorded = match folder.recording() {
        Ok(recorded) => Some(recorded),
        // Recording it anew is what the message says to do.
        Err(why) if arguments.out.is_some() => {
            out.line(format_args!("not compared event by event: {}", why.split(';').next().unwrap_or(&why)))?;
            None
        }
        Err(why) => return Err(Stop::bad(why)),
    };
    let (ended, recording) = record(&scenario, seed);
    keep(arguments, &scenario, None, seed, (&ended, &recording), out)?;
    compare(&folder.failure, recorded.as_ref(), &Failure::of(&scenario, seed, &ended, &recording), &recording, out)?;
    let loaded = Loaded { file: Some(folder.path.join(file)), text: String::new(), scenario };
    finish(&loaded, seed, ended, out)
}

/// Whether it failed in the same way, and if it is not the same run, where it parts from it.
fn compare(
    then: &Failure,
    recorded: Option<&Recording>,
    now: &Failure,
    recording: &Recording,
    out: &mut Out,
) -> Result<(), Stop> {
    if then.signature == now.signature {
        out.line(format_args!("fails in the same way: {}", then.signature))?;
    } else if now.signature.is_passed() {
        out.line(format_args!("does not fail any more; it failed with {}", then.signature))?;
    } else {
        out.line(format_args!("fails in another way: {}; it failed with {}", now.signature, then.signature))?;
    }
    if let Some(recorded) = recorded
        && let Some(difference) = first_difference(&recorded.events, &recording.events)
    {
        let show = |seen: &Option<Seen>, of: &Recording| {
            seen.as_ref().map_or(String::from("the end of the run"), |seen| words::event(seen, &of.header.parties))
        };
        out.line(format_args!(
            "the first event that differs is number {}\n  recorded: {}\n  now:      {}",
            difference.number,
            show(&difference.first, recorded),
            show(&difference.second, recording)
        ))?;
    } else if recorded.is_some() {
        out.line("the same run, event by event")?;
    }
    if then.commit != now.commit {
        out.line(format_args!("recorded at commit {}, this program is of {}", then.commit, now.commit))?;
    }
    Ok(())
}

fn keep(
    arguments: &ReplayArguments,
    scenario: &Scenario,
    text: Option<&str>,
    seed: u64,
    run: (&Ended, &Recording),
    out: &mut Out,
) -> Result<(), Stop> {
    if let Some(folder) = &arguments.out {
        write_folder(folder, scenario, text, seed, run)?;
        out.line(format_args!("kept: {}", folder.display()))?;
    }
    arguments.exports.write(scenario, run, out)
}

/// Writes a failure's folder, or says in a line why not.
pub(super) fn write_folder(
    folder: &std::path::Path,
    scenario: &Scenario,
    text: Option<&str>,
    seed: u64,
    run: (&Ended, &Recording),
) -> Result<Failure, Stop> {
    failure::write(folder, scenario, text, seed, run).map_err(|error| {
        Stop::bad(format!("{} cannot be written: {error}; free some space, or give another folder", folder.display()))
    })
}

fn finish(loaded: &Loaded, seed: u64, ended: Ended, out: &mut Out) -> Result<Code, Stop> {
    let file = loaded.file.as_deref();
    let path = file.map_or(String::new(), |file| format!(" {}", quoted(file)));
    let finished = Finished {
        file,
        scenario: &loaded.scenario,
        seed,
        outcome: ended,
        reproduce: format!("anabranch run{path} --seed {seed}"),
    };
    if let Outcome::Report(report) = &finished.outcome {
        report::block(finished.scenario, report, out)?;
    }
    report::failure(&finished, out)?;
    Ok(finished.code())
}
