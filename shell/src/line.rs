//! Lines from a terminal, with history and completion.

use crate::{
    ShellError,
    command::{NAMES, OF_KEYS},
    session::{Keys, Session},
};
use rustyline::{
    CompletionType, Config, Context, Helper, completion::Completer, error::ReadlineError, highlight::Highlighter,
    hint::Hinter, history::DefaultHistory, validate::Validator,
};
use std::{io, path::PathBuf};

/// Keys that a completion offers, at most.
const KEYS_OFFERED_MAX: usize = 100;

/// A terminal that lines are typed into.
pub(crate) struct Editor {
    editor: rustyline::Editor<Completion, DefaultHistory>,
    history: Option<PathBuf>,
}

impl Editor {
    pub(crate) fn new(session: &Session) -> Result<Self, ShellError> {
        // As other shells do it: what all candidates have in common is typed, and a second Tab lists them.
        let config = Config::builder().completion_type(CompletionType::List).build();
        let mut editor = rustyline::Editor::with_config(config).map_err(io_error)?;
        editor.set_helper(Some(Completion { keys: session.key_source() }));
        let history = history_file();
        if let Some(file) = &history {
            // There may be none yet; and a history that cannot be read is no reason not to go on.
            let _ = editor.load_history(file);
        }
        Ok(Self { editor, history })
    }

    /// The next line; `None` at the end. A line that is broken off counts as empty.
    pub(crate) fn next_line(&mut self) -> Result<Option<String>, ShellError> {
        match self.editor.readline("anabranch> ") {
            Ok(line) => {
                // It keeps lines in memory: that cannot fail, and would do no harm.
                let _ = self.editor.add_history_entry(&line);
                Ok(Some(line))
            }
            Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
            Err(ReadlineError::Eof) => {
                // What comes after the shell begins on a line of its own.
                println!();
                Ok(None)
            }
            Err(error) => Err(io_error(error).into()),
        }
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        if let Some(file) = &self.history {
            // A history that cannot be written is lost, and nothing else.
            let _ = file.parent().map(std::fs::create_dir_all);
            let _ = self.editor.save_history(file);
        }
    }
}

fn io_error(error: ReadlineError) -> io::Error {
    match error {
        ReadlineError::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// Where the history is kept: in the user's folder for such things, if there is one.
fn history_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("anabranch/history"))
}

struct Completion {
    keys: Keys,
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(&line[..at], |start| self.keys.beginning(start, KEYS_OFFERED_MAX)))
    }
}

impl Hinter for Completion {
    type Hint = String;
}

impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}

/// Where the word begins that is typed last, and what it could become: a command, or a key after a command that takes one.
fn complete(line: &str, keys: impl Fn(&str) -> Vec<String>) -> (usize, Vec<String>) {
    let start = line.rfind(' ').map_or(0, |space| space + 1);
    let (before, word) = line.split_at(start);
    let words: Vec<&str> = before.split_whitespace().collect();
    let candidates = match words[..] {
        [] => NAMES.iter().filter(|name| name.starts_with(word)).map(|name| (*name).to_owned()).collect(),
        [name] if OF_KEYS.contains(&name) => {
            keys(word).into_iter().filter_map(|key| Some(shlex::try_quote(&key).ok()?.into_owned())).collect()
        }
        _ => Vec::new(),
    };
    (start, candidates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_completed_first_and_keys_after_them() {
        let keys = |start: &str| vec![format!("{start}pple"), String::from("/with space")];
        assert_eq!(complete("he", keys), (0, vec!["heads".into(), "help".into()]));
        let apple = || vec![String::from("/apple"), String::from("'/with space'")];
        assert_eq!(complete("get /a", keys), (4, apple()));
        assert_eq!(complete("  get /a", keys), (6, apple()));
        assert_eq!(complete("put /a v", keys), (7, vec![]));
        assert_eq!(complete("stats /a", keys), (6, vec![]));
        assert_eq!(complete("", keys).1.len(), NAMES.len());
    }
}
