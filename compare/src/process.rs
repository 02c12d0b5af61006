//! Child processes: one for each run, in a folder of its own.

use crate::{
    Stop,
    measurement::Measurement,
    workload::{Store, Workload},
};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// How often a child is asked whether it has ended. It sleeps in between, so that the child has the machine to itself.
const POLL: Duration = Duration::from_millis(5);

/// Set by Ctrl-C.
pub(crate) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The programs that run the workloads.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) ours: PathBuf,
    pub(crate) go: Option<PathBuf>,
    /// Where the folders of the runs are made.
    pub(crate) temp: PathBuf,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) workload: Workload,
    pub(crate) store: Store,
    pub(crate) keys: u64,
    pub(crate) versions: &'a [u64],
}

impl Programs {
    /// Runs the job in a fresh folder, which is gone afterwards, and gives the lines that it measured.
    pub(crate) fn measure(&self, job: Job<'_>) -> Result<Vec<Measurement>, Stop> {
        let folder = tempfile::Builder::new()
            .prefix("anabranch-compare-")
            .tempdir_in(&self.temp)
            .map_err(|error| Stop::failed(format!("{}: no folder for a run: {error}", self.temp.display())))?;
        if job.workload == Workload::Reopen {
            self.run(Job { workload: Workload::Crash, ..job }, folder.path())?;
        }
        let lines = self.run(job, folder.path())?;
        folder.close().map_err(|error| Stop::failed(format!("a run's folder could not be removed: {error}")))?;
        Ok(lines)
    }

    fn run(&self, job: Job<'_>, folder: &Path) -> Result<Vec<Measurement>, Stop> {
        let broken = |error: io::Error| Stop::failed(format!("{}: {error}", folder.display()));
        let stores = folder.join("stores");
        fs::create_dir_all(&stores).map_err(broken)?;
        let (out, err) = (folder.join("out"), folder.join("err"));
        let mut command = self.command(job, &stores)?;
        command.stdin(Stdio::null()).stdout(File::create(&out).map_err(broken)?);
        command.stderr(File::create(&err).map_err(broken)?);
        let status = wait(&mut command)?;
        let ended = if job.workload == Workload::Crash { was_killed(status) } else { status.success() };
        if !ended {
            let said = String::from_utf8_lossy(&fs::read(&err).map_err(broken)?).into_owned();
            return Err(Stop::failed(format!("{} on {} failed: {}", job.workload, job.store, reason(&said, status))));
        }
        let lines = fs::read_to_string(&out).map_err(broken)?;
        lines.lines().map(|line| understood(job, line)).collect()
    }

    fn command(&self, job: Job<'_>, stores: &Path) -> Result<Command, Stop> {
        let mut command = if job.store.is_go() {
            let go = self.go.as_ref().ok_or_else(|| Stop::failed(format!("no `go` to run {}", job.store)))?;
            Command::new(go)
        } else {
            let mut command = Command::new(&self.ours);
            command.arg("run");
            command
        };
        let versions: Vec<String> = job.versions.iter().map(u64::to_string).collect();
        command.args(["--workload", &job.workload.to_string(), "--store", &job.store.to_string()]);
        command.args(["--keys", &job.keys.to_string(), "--versions", &versions.join(",")]);
        command.arg("--dir").arg(stores);
        Ok(command)
    }
}

/// Runs a command to its end; Ctrl-C ends it.
pub(crate) fn wait(command: &mut Command) -> Result<ExitStatus, Stop> {
    let name = command.get_program().display().to_string();
    let broken = |error: io::Error| Stop::failed(format!("{name}: {error}"));
    let mut child = command.spawn().map_err(broken)?;
    loop {
        if INTERRUPTED.load(Ordering::Relaxed) {
            end(&mut child);
            return Err(Stop::Interrupted);
        }
        if let Some(status) = child.try_wait().map_err(broken)? {
            // The signal of a terminal reaches the child too, and may have ended it before we look.
            return if INTERRUPTED.load(Ordering::Relaxed) { Err(Stop::Interrupted) } else { Ok(status) };
        }
        std::thread::sleep(POLL);
    }
}

fn end(child: &mut Child) {
    // Both fail only when the child is gone already.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
}

#[cfg(not(unix))]
fn was_killed(status: ExitStatus) -> bool {
    !status.success()
}

fn understood(job: Job<'_>, line: &str) -> Result<Measurement, Stop> {
    serde_json::from_str(line).map_err(|error| {
        Stop::failed(format!("{} on {} printed what is no measurement: {error}", job.workload, job.store))
    })
}

/// What a child said about its failure, in one line.
fn reason(said: &str, status: ExitStatus) -> String {
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let told =
        lines.clone().find(|line| ["error:", "panic:", "fatal error:"].iter().any(|begin| line.starts_with(begin)));
    match told.or_else(|| lines.next_back()) {
        Some(line) => line.strip_prefix("error: ").unwrap_or(line).to_owned(),
        None => format!("it ended with {status} and said nothing"),
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_reason_is_one_line() {
        let status = ExitStatus::from_raw(256);
        let go = "goroutine logs\npanic: no space left on device\n\ngoroutine 1 [running]:\nmain.main()\n";
        assert_eq!(reason(go, status), "panic: no space left on device");
        assert_eq!(reason("error: the store failed\n", status), "the store failed");
        assert_eq!(reason("\n", status), "it ended with exit status: 1 and said nothing");
    }

    #[test]
    fn only_sigkill_counts_as_the_crash() {
        assert!(was_killed(ExitStatus::from_raw(9)));
        assert!(!was_killed(ExitStatus::from_raw(256)) && !was_killed(ExitStatus::from_raw(11)));
    }
}
