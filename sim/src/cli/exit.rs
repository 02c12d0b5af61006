//! How the program ends.

use std::{fmt, process::ExitCode};

/// How the program ends when it ends by its own will. The numbers are documented in `--help`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Code {
    /// All runs ended as expected.
    #[default]
    Passed,
    /// A fault never took effect.
    InertFaults,
    /// Replicas did not converge within the budget.
    NotConverged,
    /// An oracle objected, replicas diverged, or a pinned trace was not met.
    BrokenInvariant,
    /// A run panicked.
    Crashed,
    /// Wrong arguments, unreadable input, unwritable output.
    BadInput,
}

impl Code {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::BrokenInvariant => 1,
            Self::BadInput => 2,
            Self::NotConverged => 3,
            Self::InertFaults => 4,
            Self::Crashed => 101,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.number())
    }
}

/// What `--help` says about it.
pub(crate) const HELP: &str = "\
Exit codes:
  0    all runs ended as their scenario expects
  1    a broken invariant: an oracle objected, replicas diverged, or a pinned trace was not met
  2    bad usage, bad input, or output that cannot be written
  3    no convergence within the scenario's budget
  4    inert faults: a scenario asks for a fault that never took effect
  101  the program crashed; the run that did it is named
  130  interrupted with Ctrl-C
Of several, the first in the order 2, 101, 1, 3, 4.";

/// What the help of `anabranch dag` says about it.
pub(crate) const HELP_DAG: &str = "\
Exit codes:
  0  done
  1  a broken invariant: the replica and the naive fold disagree (`merge` only)
  2  bad usage, a file that is truncated, forged or incomplete, or output that cannot be written";

/// What the help of `anabranch shell` says about it.
#[cfg(feature = "shell")]
pub(crate) const HELP_SHELL: &str = "\
Exit codes:
  0  done
  1  a `verify` of a script found faults, whatever became of its other commands
  2  bad usage, a store that cannot be opened, or a command of a script that was wrong or failed";

/// Why the program stops before its work is done.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The help or the version was asked for.
    Help(String),
    /// The arguments are wrong; the text is for stderr as it is.
    Usage(String),
    /// An input is bad or an output cannot be written: one line a problem.
    Bad(Vec<String>),
    /// Ctrl-C: one line says what is left.
    Interrupted(String),
}

impl Stop {
    pub(crate) fn bad(problem: impl fmt::Display) -> Self {
        Self::Bad(vec![problem.to_string()])
    }
}
