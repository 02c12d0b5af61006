//! Writing to stdout and stderr without a panic.

use super::exit::Stop;
use std::{
    fmt,
    io::{self, BufWriter, Write},
};

/// Where text goes. A reader that has gone away is no error: the rest is written to nobody, and the
/// exit code still tells how the work ended. Anything else that keeps the text from its place is one.
pub(crate) struct Out {
    name: &'static str,
    to: Option<Box<dyn Write>>,
}

impl Out {
    pub(crate) fn stdout() -> Self {
        Self { name: "stdout", to: Some(Box::new(BufWriter::new(io::stdout()))) }
    }

    pub(crate) fn stderr() -> Self {
        Self { name: "stderr", to: Some(Box::new(io::stderr())) }
    }

    /// Writes the text and a line break.
    pub(crate) fn line(&mut self, text: impl fmt::Display) -> Result<(), Stop> {
        self.text(format_args!("{text}\n"))
    }

    /// Writes the text as it is.
    pub(crate) fn text(&mut self, text: impl fmt::Display) -> Result<(), Stop> {
        self.attempt(|to| write!(to, "{text}"))
    }

    /// Writes what is still in memory. Before it succeeds, nothing is known to be written.
    pub(crate) fn flush(&mut self) -> Result<(), Stop> {
        self.attempt(|to| to.flush())
    }

    fn attempt(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Stop> {
        let Some(to) = &mut self.to else { return Ok(()) };
        match write(to) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.to = None;
                Ok(())
            }
            Err(error) => {
                let name = self.name;
                // What is buffered would fail again when it is dropped.
                self.to = None;
                Err(Stop::bad(format!("{name} cannot be written: {error}; free some space or write elsewhere")))
            }
        }
    }
}
