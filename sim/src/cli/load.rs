//! Reading what is to be run.

use super::exit::Stop;
use anabranch_sim::{failure::Folder, scenario::Scenario};
use std::path::{Path, PathBuf};

/// A scenario that was read.
pub(super) struct Loaded {
    /// Its file; none for the one that is built in.
    pub(super) file: Option<PathBuf>,
    /// The text of the file.
    pub(super) text: String,
    pub(super) scenario: Scenario,
}

/// Reads all scenarios before any is run. Every file that is bad is named.
pub(super) fn scenarios(paths: &[PathBuf]) -> Result<Vec<Loaded>, Stop> {
    let (mut scenarios, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        for file in files(path, &mut problems) {
            match one(&file) {
                Ok(loaded) => scenarios.push(loaded),
                Err(problem) => problems.push(problem),
            }
        }
    }
    if problems.is_empty() { Ok(scenarios) } else { Err(Stop::Bad(problems)) }
}

/// Reads one scenario file.
pub(super) fn scenario(file: &Path) -> Result<Loaded, Stop> {
    if file.is_dir() {
        return Err(Stop::bad(format!("{}: is a folder, expected one scenario file", file.display())));
    }
    one(file).map_err(Stop::bad)
}

fn one(file: &Path) -> Result<Loaded, String> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        format!("{}: cannot be read: {error}; give a scenario file or a folder of them", file.display())
    })?;
    let scenario = Scenario::parse(&text, &file.display().to_string()).map_err(|error| error.to_string())?;
    Ok(Loaded { file: Some(file.to_owned()), text, scenario })
}

/// The file itself, or all *.toml in the folder, sorted.
fn files(path: &Path, problems: &mut Vec<String>) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries =
        std::fs::read_dir(path).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    let mut files: Vec<PathBuf> = match entries {
        Ok(files) => files,
        Err(error) => {
            problems.push(format!("{}: cannot be read: {error}", path.display()));
            return Vec::new();
        }
    };
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml") && !file.is_dir());
    files.sort();
    if files.is_empty() {
        problems
            .push(format!("{}: no *.toml in this folder; give a scenario file or a folder of them", path.display()));
    }
    files
}

/// One failure: its folder, or a scenario.
pub(super) enum Source {
    Folder(Box<Folder>),
    Scenario(Box<Loaded>),
}

/// Reads a failure's folder or a scenario file.
pub(super) fn source(path: &Path) -> Result<Source, Stop> {
    if Folder::is_one(path) {
        return Folder::open(path).map(|folder| Source::Folder(Box::new(folder))).map_err(Stop::bad);
    }
    if path.is_dir() {
        let what = "no failure.json in this folder; give the folder of a failure (`anabranch run … --failures DIR` writes them), or a scenario file";
        return Err(Stop::bad(format!("{}: {what}", path.display())));
    }
    if let Err(error) = path.metadata() {
        let what = "give the folder of a failure, or a scenario file";
        return Err(Stop::bad(format!("{}: cannot be read: {error}; {what}", path.display())));
    }
    one(path).map(|loaded| Source::Scenario(Box::new(loaded))).map_err(Stop::bad)
}
