//! Why a scenario is refused, in one line.

use std::{fmt, ops::Range};

/// Why a scenario file is refused: one line with the file, the place, what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    file: String,
    line: usize,
    column: usize,
    what: String,
}

impl ScenarioError {
    /// An error at a place in the text, given in bytes.
    pub(super) fn new(file: &str, text: &str, span: Range<usize>, what: impl Into<String>) -> Self {
        let (line, column) = position(text, span.start);
        Self { file: file.to_owned(), line, column, what: what.into() }
    }

    /// An error of the TOML reader, with the nearest known name where it does not know one.
    pub(super) fn from_toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let message = error.message().lines().map(str::trim).collect::<Vec<_>>().join(", ");
        let what = match suggestion(&message) {
            Some(name) => format!("{message}; did you mean `{name}`?"),
            None => message,
        };
        Self::new(file, text, error.span().unwrap_or(0..0), what)
    }

    /// The line, counted from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, counted from 1.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, what } = self;
        write!(f, "{file}:{line}:{column}: {what}")
    }
}

impl std::error::Error for ScenarioError {}

/// Line and column, both from 1, of a place given in bytes.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The known name that is nearest to the unknown one, out of a message such as
/// ``unknown field `dorp`, expected one of `drop`, `latency` ``.
fn suggestion(message: &str) -> Option<&str> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    nearest(unknown, quoted)
}

/// The name that differs least, if it differs little.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(distance, name)| *distance <= name.chars().count().max(unknown.chars().count()).div_ceil(3))
        .min()
        .map(|(_, name)| name)
}
