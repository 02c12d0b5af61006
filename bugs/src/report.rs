//! The table of bugs.

use crate::{bug::Bug, hunt::Hunt};
use serde::Serialize;
use std::fmt::Write;

/// The size of a failure that was shrunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Operations that are left.
    pub operations: u64,
    /// Faults that are left.
    pub faults: u64,
}

/// What came of one bug.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The bug.
    pub bug: String,
    /// What is wrong with it.
    pub what: String,
    /// Where it comes from.
    pub from: String,
    /// How it was found.
    pub hunt: Hunt,
    /// What the first failure was shrunk to.
    pub shrunk: Option<Size>,
}

impl Row {
    /// Of a bug that was hunted.
    #[must_use]
    pub fn new(bug: &Bug, hunt: Hunt, shrunk: Option<Size>) -> Self {
        Self { bug: bug.name.clone(), what: bug.what.clone(), from: bug.from.clone(), hunt, shrunk }
    }

    /// Seeds until it was found, the failing one included.
    #[must_use]
    pub fn seeds(&self) -> Option<u64> {
        self.hunt.found.as_ref().map(|found| found.seed + 1)
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
        let shrunk = row.shrunk.map_or_else(String::new, |Size { operations, faults }| {
            format!("{operations} operations, {faults} faults")
        });
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
            hunt,
            shrunk: Some(Size { operations: 2, faults: 1 }),
        }
    }

    #[test]
    fn the_median_is_of_bugs_that_are_all_found() {
        assert_eq!(median_seeds(&[row(Some(0)), row(Some(9)), row(Some(2))]), Some(3));
        assert_eq!(median_seeds(&[row(Some(0)), row(None)]), None);
    }

    #[test]
    fn a_bug_that_was_not_found_is_told() {
        let table = markdown(&[row(None), row(Some(7))]);
        assert!(table.contains("**not found** | > 1000 |"), "{table}");
        assert!(table.contains("not-converged | 8 | 1.5 s | 2 operations, 1 faults |"), "{table}");
    }
}
