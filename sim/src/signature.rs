//! In which way a run failed: what must stay the same while a failure is made smaller.

use crate::{oracles::Oracle, outcome::Verdict, run::Ended, scenario::Scenario};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// In which way a run ended. Two runs failed in the same way when these are equal: the same verdict, the
/// same oracle, and the same kind of finding, which is what was found without the names, keys, CIDs and
/// numbers in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// The verdict's name, or `crashed` for a panic.
    pub outcome: String,
    /// The oracle that objected.
    pub oracle: Option<Oracle>,
    /// The kind of finding.
    pub finding: String,
}

impl Signature {
    /// In which way a run of this scenario ended.
    #[must_use]
    pub fn of(ended: &Ended, scenario: &Scenario) -> Self {
        let kind = |message: &str| kind_of(message, scenario);
        let plain = |outcome: &str, finding: String| Self { outcome: outcome.to_owned(), oracle: None, finding };
        let report = match ended {
            // The place is a part of what was found; numbers in the message are not.
            Ended::Panicked(why) => {
                let (place, message) = why.split_once(": ").unwrap_or((why, ""));
                return plain("crashed", format!("{place}: {}", kind(message)));
            }
            Ended::Report(report) => report,
        };
        let outcome = report.verdict.kind();
        match &report.verdict {
            Verdict::Passed => plain(outcome, String::new()),
            Verdict::BrokenInvariant { oracle, message, .. } => {
                Self { oracle: Some(*oracle), ..plain(outcome, kind(message)) }
            }
            Verdict::NotConverged { message, .. } | Verdict::ReplicaFailed { message, .. } => {
                plain(outcome, kind(message))
            }
            Verdict::InertFaults { kinds } => {
                plain(outcome, kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            }
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.outcome == "passed"
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.outcome)?;
        if let Some(oracle) = self.oracle {
            write!(f, " ({oracle})")?;
        }
        if self.finding.is_empty() { Ok(()) } else { write!(f, ": {}", self.finding) }
    }
}

/// The words of a message that are the same whoever it is about: small letters only, no names.
fn kind_of(message: &str, scenario: &Scenario) -> String {
    let replicas = scenario.replicas.iter().map(|replica| replica.name.as_str());
    let names: BTreeSet<&str> = replicas.chain(scenario.hostile.iter().map(|peer| peer.name.as_str())).collect();
    // How many more there are says nothing of the first.
    let message = message.split(" (and ").next().unwrap_or(message);
    let word = |word: &&str| {
        let word = word.trim_matches([',', ':', ';', '.', '(', ')', '"']);
        !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !names.contains(word)
    };
    let words: Vec<&str> = message
        .split_whitespace()
        .filter(word)
        .map(|word| word.trim_matches([',', ':', ';', '.', '(', ')', '"']))
        // An empty value is a value.
        .map(|word| if word == "empty" { "bytes" } else { word })
        .collect();
    words.join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_keys_and_numbers_do_not_tell_findings_apart() {
        let scenario = Scenario::parse("replicas = [\"ann\", \"bob\"]\nduration = \"1s\"", "x.toml").unwrap();
        let kind = |message: &str| kind_of(message, &scenario);
        let wrong = kind("/key/7 is 12 bytes a1b2…, and the fold over its blocks gives 9 bytes 00ff…");
        assert_eq!(wrong, kind("/other is 3 bytes ff…, and the fold over its blocks gives 1 bytes 1… (and 4 more)"));
        assert_ne!(wrong, kind("/key/7 is absent, and the fold over its blocks gives 9 bytes 00ff…"));
        assert_eq!(
            kind("the same blocks are merged, and /k: ann has absent, bob has 3 bytes f…"),
            "the same blocks are merged and has absent has bytes"
        );
        assert_eq!(wrong, kind("/k is empty, and the fold over its blocks gives 9 bytes 00ff…"));
        let lost = kind("block …abcdefghij of an acknowledged commit is lost");
        assert_eq!(lost, "block of an acknowledged commit is lost");
        let panicked = |text: &str| Signature::of(&Ended::Panicked(text.to_owned()), &scenario);
        assert_eq!(
            panicked("panic at core/src/x.rs:7: index 3 out of bounds"),
            panicked("panic at core/src/x.rs:7: index 4 out of bounds")
        );
        assert_ne!(panicked("panic at core/src/x.rs:7: index 3"), panicked("panic at core/src/x.rs:8: index 3"));
    }
}
