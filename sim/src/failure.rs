//! A failure as a folder: all that it takes to see it again, now and after the program has changed.
//!
//! | file | what |
//! | --- | --- |
//! | `failure.json` | seed, commit, verdict, trace hash: see [`Failure`] |
//! | `scenario.toml` | the scenario as it was run; with the seed, the short form of the failure |
//! | `explicit.toml` | the scenario without randomness: operations, fates of messages and choices as lists |
//! | `trace.cbor` | every event of the run, as [`Recording`] reads it |
//! | `report.json` | the report of the run; absent when it panicked |

use crate::{
    files,
    outcome::{RunReport, Verdict},
    record::{self, Recording},
    run::Ended,
    scenario::Scenario,
    signature::Signature,
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The commit that this program was built from, `unknown` where that is not known.
pub const COMMIT: &str = env!("ANABRANCH_COMMIT");

/// The version of the folder's format.
const VERSION: u32 = 1;

/// What is said of a failure in `failure.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The version of the folder's format.
    pub version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The commit that the program was built from.
    pub commit: String,
    /// In which way it failed.
    pub signature: Signature,
    /// What is wrong, in one line.
    pub message: String,
    /// The replica that it is about, where it is about one.
    pub replica: Option<String>,
    /// When the run ended, in nanoseconds of simulated time.
    pub at_ns: Option<u64>,
    /// The trace hash; absent when the run panicked.
    pub trace: Option<String>,
    /// Events of the loop.
    pub events: u64,
    /// How many operations the run had.
    pub operations: u64,
    /// How many faults the plan had; what happens to messages by chance is not among them.
    pub faults: u64,
}

impl Failure {
    /// What is said of a run that was recorded.
    #[must_use]
    pub fn of(scenario: &Scenario, seed: u64, ended: &Ended, recording: &Recording) -> Self {
        let report = if let Ended::Report(report) = ended { Some(report) } else { None };
        let replica = match report.map(|report| &report.verdict) {
            Some(Verdict::BrokenInvariant { replica, .. }) => replica.clone(),
            Some(Verdict::ReplicaFailed { replica, .. }) => Some(replica.clone()),
            _ => None,
        };
        let operation = |seen: &&crate::observe::Seen| matches!(seen.what, crate::observe::What::Operation { .. });
        Self {
            version: VERSION,
            scenario: scenario.name.clone(),
            seed,
            commit: COMMIT.to_owned(),
            signature: Signature::of(ended, &scenario.drawn(seed)),
            message: match ended {
                Ended::Report(report) => report.verdict.to_string(),
                Ended::Panicked(why) => why.clone(),
            },
            replica,
            at_ns: report.map(|report| report.simulated_ns),
            trace: report.map(|report| report.trace.clone()),
            events: report.map_or(recording.events.len() as u64, |report| report.events),
            operations: recording.events.iter().filter(operation).count() as u64,
            faults: recording.header.faults.len() as u64,
        }
    }

    /// The name of its folder: scenario and seed.
    #[must_use]
    pub fn folder_name(&self) -> String {
        let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        format!("{}-{}", self.scenario.chars().map(plain).collect::<String>(), self.seed)
    }
}

/// Writes the folder of a recorded run. `text` is the scenario's file where there is one. Nothing is left when it fails.
///
/// # Errors
/// What the system says.
pub fn write(
    folder: &Path,
    scenario: &Scenario,
    text: Option<&str>,
    seed: u64,
    (ended, recording): (&Ended, &Recording),
) -> io::Result<Failure> {
    let failure = Failure::of(scenario, seed, ended, recording);
    let explicit = record::explicit(scenario, seed, &recording.events);
    let json = |value: &dyn erased::Json| value.pretty();
    files::write_folder(folder, |at| {
        let file = |name: &str, bytes: &[u8]| files::write(&at.join(name), |to| to.write_all(bytes));
        file("failure.json", json(&failure)?.as_bytes())?;
        file("scenario.toml", text.map_or_else(|| scenario.to_toml(), str::to_owned).as_bytes())?;
        file("explicit.toml", explicit.to_toml().as_bytes())?;
        files::write(&at.join("trace.cbor"), |to| recording.write(to))?;
        if let Ended::Report(report) = ended {
            // How long it took for real differs from time to time, and says nothing of the failure.
            let report = RunReport { wall: std::time::Duration::ZERO, ..(**report).clone() };
            file("report.json", json(&report)?.as_bytes())?;
        }
        Ok(())
    })?;
    Ok(failure)
}

/// JSON of anything, behind a reference.
mod erased {
    pub(super) trait Json {
        fn pretty(&self) -> std::io::Result<String>;
    }
    impl<T: serde::Serialize> Json for T {
        fn pretty(&self) -> std::io::Result<String> {
            serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(std::io::Error::other)
        }
    }
}

/// A failure's folder, read.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// What is said of it.
    pub failure: Failure,
}

impl Folder {
    /// Whether this is the folder of a failure.
    #[must_use]
    pub fn is_one(path: &Path) -> bool {
        path.join("failure.json").is_file()
    }

    /// Reads what is said of the failure.
    ///
    /// # Errors
    /// One line with the file, what is wrong and what to do.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = path.join("failure.json");
        let text = fs::read_to_string(&file).map_err(|error| {
            format!(
                "{}: cannot be read: {error}; give the folder of a failure, as `--failures DIR` writes them",
                file.display()
            )
        })?;
        #[derive(Deserialize)]
        struct AnyVersion {
            version: u32,
        }
        let wrong = |error: serde_json::Error| {
            format!("{}: is not what `anabranch` writes: {error}; record the failure again", file.display())
        };
        let AnyVersion { version } = serde_json::from_str(&text).map_err(wrong)?;
        if version != VERSION {
            return Err(format!(
                "{}: has version {version} of the format, expected version {VERSION}; use the program that wrote it, or record the failure again",
                file.display()
            ));
        }
        let failure = serde_json::from_str(&text).map_err(wrong)?;
        Ok(Self { path: path.to_owned(), failure })
    }

    /// The scenario of one of its files.
    ///
    /// # Errors
    /// One line with the file, the place, and what is wrong.
    pub fn scenario(&self, file: &str) -> Result<Scenario, String> {
        let path = self.path.join(file);
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
        Scenario::parse(&text, &path.display().to_string())
            .map_err(|error| error.to_string())
            .map(|scenario| Scenario { name: self.failure.scenario.clone(), ..scenario })
    }

    /// The recorded events.
    ///
    /// # Errors
    /// One line with the file and what is wrong.
    pub fn recording(&self) -> Result<Recording, String> {
        let path = self.path.join("trace.cbor");
        let bytes = fs::read(&path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
        Recording::read(&bytes).map_err(|error| format!("{} {error}", path.display()))
    }
}
