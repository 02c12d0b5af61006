//! A shard's results on disk.

use super::{
    super::{
        exit::{Code, Stop},
        out::Out,
        text::{count, number},
    },
    write,
};
use anabranch_sim::campaign::{State, VERSION};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A shard's folder.
pub(super) struct Store {
    folder: PathBuf,
    pub(super) state: State,
}

impl Store {
    /// Goes on with what is there, or begins.
    pub(super) fn open(out: &Path, fresh: State) -> Result<Self, Stop> {
        let shard = fresh.shard.map_or(String::new(), |shard| format!("shard-{}-of-{}", shard.index, shard.count));
        let folder = out.join(shard);
        fs::create_dir_all(&folder).map_err(|error| {
            Stop::bad(format!("{} cannot be made: {error}; give another --out DIR", folder.display()))
        })?;
        let file = folder.join("state.json");
        if !file.exists() {
            // A folder that cannot be written is noticed before hours are spent.
            let store = Self { folder, state: fresh };
            store.save()?;
            return Ok(store);
        }
        let state = read(&file)?;
        if state.order != fresh.order {
            let what = if state.order.commit == fresh.order.commit {
                "other scenarios or seeds"
            } else {
                "another commit of the program"
            };
            return Err(Stop::bad(format!(
                "{}: holds a campaign of {what}, expected the one that is asked for; give another --out DIR",
                file.display()
            )));
        }
        Ok(Self { folder, state })
    }

    pub(super) fn path(&self) -> &Path {
        &self.folder
    }

    pub(super) fn failures(&self) -> PathBuf {
        self.folder.join("failures")
    }

    pub(super) fn save(&self) -> Result<(), Stop> {
        let text = serde_json::to_string_pretty(&self.state).map_err(Stop::bad)?;
        write(&self.folder.join("state.json"), &(text + "\n"))
    }
}

/// Reads a state file.
pub(super) fn read(file: &Path) -> Result<State, Stop> {
    #[derive(Deserialize)]
    struct AnyVersion {
        version: u32,
    }
    let text =
        fs::read_to_string(file).map_err(|error| Stop::bad(format!("{}: cannot be read: {error}", file.display())))?;
    let wrong = |error: serde_json::Error| {
        Stop::bad(format!(
            "{}: is not what `anabranch campaign` writes: {error}; give another --out DIR",
            file.display()
        ))
    };
    let AnyVersion { version } = serde_json::from_str(&text).map_err(wrong)?;
    if version != VERSION {
        let what = format!(
            "has version {version} of the format, expected version {VERSION}; use the program that wrote it, or begin anew in another folder"
        );
        return Err(Stop::bad(format!("{}: {what}", file.display())));
    }
    serde_json::from_str(&text).map_err(wrong)
}

/// Says what kinds of failures there are, and where.
pub(super) fn kinds(state: &State, failures: &Path, out: &mut Out) -> Result<(), Stop> {
    for kind in &state.kinds {
        let (scenario, seed, events) = &kind.fastest;
        let events = if *events == u64::MAX { String::from("crashed") } else { format!("{} events", number(*events)) };
        out.line(format_args!(
            "  {}\n    {}, the fastest: {scenario}, seed {seed}, {events}: {}",
            kind.signature,
            count(kind.count, "run"),
            failures.join(&kind.folder).display()
        ))?;
    }
    Ok(())
}

/// The exit code of the worst kind of failure.
pub(super) fn worst(state: &State) -> Code {
    let code = |outcome: &str| match outcome {
        "crashed" => Code::Crashed,
        "not-converged" => Code::NotConverged,
        "inert-faults" => Code::InertFaults,
        // A run that passed although its scenario expects a failure, or another trace, is one too.
        _ => Code::BrokenInvariant,
    };
    state.kinds.iter().map(|kind| code(&kind.signature.outcome)).max().unwrap_or_default()
}
