//! The table of bugs.

use crate::{bug::Bug, hunt::Hunt, real::Real};
use serde::{Deserialize, Serialize};
use std::{fmt::Write, fs, io, path::Path};

/// The size of a failure that was shrunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Operations that are left.
    pub operations: u64,
    /// Faults that are left.
    pub faults: u64,
    /// The time was over before it was as small as it gets.
    #[serde(default)]
    pub so_far: bool,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { operations, faults, so_far } = self;
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        write!(f, "{operations} operation{}, {faults} fault{}", plural(*operations), plural(*faults))?;
        if *so_far { f.write_str(" (so far)") } else { Ok(()) }
    }
}

/// What came of one bug.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The bug.
    pub bug: String,
    /// What is wrong with it.
    pub what: String,
    /// Where it comes from.
    pub from: String,
    /// A mark of the sources that it was put into, and of the bug: a row of others says nothing about these.
    pub sources: String,
    /// How it was found.
    pub hunt: Hunt,
    /// What the first failure was shrunk to.
    pub shrunk: Option<Size>,
}

impl Row {
    /// Of a bug that was hunted.
    #[must_use]
    pub fn new(bug: &Bug, sources: String, hunt: Hunt, shrunk: Option<Size>) -> Self {
        Self { bug: bug.name.clone(), what: bug.what.clone(), from: bug.from.clone(), sources, hunt, shrunk }
    }

    /// Seeds until it was found, the failing one included.
    #[must_use]
    pub fn seeds(&self) -> Option<u64> {
        self.hunt.found.as_ref().map(|found| found.seed + 1)
    }
}

/// What a campaign has found so far: written after each part of it, so that it can go on from there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// The campaign on the real core.
    #[serde(default)]
    pub real: Option<Real>,
    /// The bugs that were hunted, in order.
    #[serde(default)]
    pub bugs: Vec<Row>,
}

impl Results {
    /// Reads what was written. A file that is not there, or is empty, holds nothing.
    ///
    /// # Errors
    /// A line that names the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str(&text).map_err(|error| {
            format!("{}: {error}; expected what --json of this version wrote, or give another file", path.display())
        })
    }

    /// Writes it whole, or leaves the file as it was.
    ///
    /// # Errors
    /// A line that names the file and what is wrong with it.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let failed = |error: io::Error| format!("{}: {error}; give another file", path.display());
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        let mut draft = path.to_path_buf().into_os_string();
        draft.push(format!(".{}.tmp", std::process::id()));
        fs::write(&draft, text + "\n").and_then(|()| fs::rename(&draft, path)).map_err(|error| {
            // A draft that cannot be removed harms nobody.
            let _ = fs::remove_file(&draft);
            failed(error)
        })
    }
}

/// Seeds until found, the middle one; `None` while some bug is not found.
#[must_use]
pub fn median_seeds(rows: &[Row]) -> Option<u64> {
    let mut seeds: Vec<u64> = rows.iter().map(Row::seeds).collect::<Option<_>>()?;
    seeds.sort_unstable();
    seeds.get(seeds.len() / 2).copied()
}

/// The table in Markdown.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| bug | what is wrong | found by | seeds | wall | shrunk to |\n| --- | --- | --- | ---: | ---: | --- |\n",
    );
    for row in rows {
        let found = row.hunt.found.as_ref();
        let by = found.map_or("**not found**", |found| found.oracle.as_deref().unwrap_or(&found.outcome));
        let seeds = row.seeds().map_or_else(|| format!("> {}", row.hunt.runs), |seeds| seeds.to_string());
        let shrunk = row.shrunk.map_or_else(String::new, |size| size.to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} ({}) | {by} | {seeds} | {:.1} s | {shrunk} |",
            row.bug, row.what, row.from, row.hunt.wall_s
        );
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::hunt::Found;

    fn row(seed: Option<u64>) -> Row {
        let found =
            seed.map(|seed| Found { seed, outcome: "not-converged".into(), oracle: None, message: String::new() });
        let hunt = Hunt { found, runs: 1_000, wall_s: 1.5 };
        Row {
            bug: "b".into(),
            what: "w".into(),
            from: "f".into(),
            sources: "s".into(),
            hunt,
            shrunk: Some(Size { operations: 2, faults: 1, so_far: false }),
        }
    }

    #[test]
    fn the_median_is_of_bugs_that_are_all_found() {
        assert_eq!(median_seeds(&[row(Some(0)), row(Some(9)), row(Some(2))]), Some(3));
        assert_eq!(median_seeds(&[row(Some(0)), row(None)]), None);
    }

    #[test]
    fn results_are_read_as_they_were_written_and_a_broken_file_is_named() {
        let folder = std::env::temp_dir().join(format!("anabranch-bugs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("results.json");
        assert!(Results::read(&path).unwrap().bugs.is_empty(), "not there yet");
        Results { real: None, bugs: vec![row(Some(3))] }.write(&path).unwrap();
        let read = Results::read(&path).unwrap();
        assert_eq!((read.bugs.len(), read.bugs[0].seeds()), (1, Some(4)));
        std::fs::write(&path, "{").unwrap();
        assert!(Results::read(&path).unwrap_err().contains("results.json: "));
        assert!(Results::default().write(&folder.join("none/results.json")).unwrap_err().contains("give another"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_bug_that_was_not_found_is_told() {
        let table = markdown(&[row(None), row(Some(7))]);
        assert!(table.contains("**not found** | > 1000 |"), "{table}");
        assert!(table.contains("not-converged | 8 | 1.5 s | 2 operations, 1 fault |"), "{table}");
    }
}
