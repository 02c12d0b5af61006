//! `anabranch run --check-determinism`: each run told twice, by two processes.

use super::{
    exit::{Code, Stop},
    out::Out,
};
use anabranch_sim::{
    determinism::{Lines, first_difference},
    plan::Plan,
    run::run_plan,
    scenario::Scenario,
};
use std::{
    io::{self, BufReader, BufWriter, Write},
    path::Path,
    process::{self, Child, ChildStdout, Command, Stdio},
};

/// Tells every event of a run on stdout, a line each, and at last the trace hash: what a process does that is compared with another.
pub(super) fn tell(scenario: &Scenario, seed: u64) -> Result<Code, Stop> {
    let drawn = scenario.drawn(seed);
    let mut lines = Lines::new(BufWriter::new(WhileRead(io::stdout())));
    let report = run_plan(&drawn, seed, Plan::new(&drawn, seed), &mut lines);
    lines.finish(&report.trace).map_err(|error| Stop::bad(format!("stdout: {error}")))?;
    Ok(Code::Passed)
}

/// Ends the program when nobody reads on: the other process differed, or who compares was stopped. The run may have hours to go.
struct WhileRead<W>(W);

impl<W: Write> WhileRead<W> {
    fn heeded<T>(done: io::Result<T>) -> io::Result<T> {
        if done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            process::exit(Code::Passed.number().into());
        }
        done
    }
}

impl<W: Write> Write for WhileRead<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::heeded(self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::heeded(self.0.flush())
    }
}

/// Has a run told by two processes, and says where they first differ, if they do.
pub(super) fn check(file: Option<&Path>, name: &str, seed: u64, out: &mut Out) -> Result<Code, Stop> {
    let cannot =
        |error: io::Error| Stop::bad(format!("a second process cannot be started or read: {error}; run again"));
    let (mut one, first) = teller(file, seed).map_err(cannot)?;
    let (mut other, second) = teller(file, seed).map_err(cannot)?;
    let difference = first_difference(first, second).map_err(cannot)?;
    // Whichever still tells has nobody to tell it to.
    for child in [&mut one, &mut other] {
        let ended = child.wait().map_err(cannot)?;
        if difference.is_none() && !ended.success() {
            return Err(Stop::bad(format!("{name}, seed {seed}: the run ended with {ended}; run it alone to see why")));
        }
    }
    match difference {
        None => out.line(format_args!("repeats  {name}  seed {seed}")).map(|()| Code::Passed),
        Some(difference) => {
            out.line(format_args!("differs  {name}  seed {seed}: {difference}")).map(|()| Code::BrokenInvariant)
        }
    }
}

fn teller(file: Option<&Path>, seed: u64) -> io::Result<(Child, BufReader<ChildStdout>)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("run").args(file).args(["--seed", &seed.to_string(), "--tell-events"]);
    // In a group of its own, so that Ctrl-C does not reach it: it goes on until nobody reads what it tells.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().ok_or_else(|| io::Error::other("no stdout"))?;
    Ok((child, BufReader::new(out)))
}
