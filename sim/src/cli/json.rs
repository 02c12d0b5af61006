//! Results as JSON lines: one object a run.

use super::{
    exit::Stop,
    interrupt,
    out::Out,
    run::{Finished, Outcome},
};
use anabranch_sim::outcome::RunReport;
use serde::Serialize;
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process,
};

/// Where JSON lines go.
pub(super) enum Sink {
    /// Nowhere.
    None,
    /// To stdout, as they come.
    Stdout,
    /// To a file.
    File(FileSink),
}

/// A file that appears under its name when all of it is written, or, where the name is that of no
/// regular file (a pipe, a device), is written as the lines come.
pub(super) struct FileSink {
    file: BufWriter<File>,
    name: PathBuf,
    /// Written here first. Removed if the file is never finished.
    draft: Option<PathBuf>,
}

impl Sink {
    /// `-` is stdout.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Stop> {
        match path {
            None => Ok(Self::None),
            Some(path) if path == Path::new("-") => Ok(Self::Stdout),
            Some(path) => FileSink::open(path).map(Self::File),
        }
    }

    /// Where people read: not where JSON goes.
    pub(super) const fn people<'a>(&self, out: &'a mut Out, err: &'a mut Out) -> &'a mut Out {
        if matches!(self, Self::Stdout) { err } else { out }
    }

    pub(super) fn write(&mut self, finished: &Finished, out: &mut Out) -> Result<(), Stop> {
        self.line(&Line::of(finished), out)
    }

    /// A run of which more is to be said: the fields of `more` come first.
    pub(super) fn write_with(&mut self, more: &impl Serialize, finished: &Finished, out: &mut Out) -> Result<(), Stop> {
        self.line(&With { more, line: Line::of(finished) }, out)
    }

    fn line(&mut self, line: &impl Serialize, out: &mut Out) -> Result<(), Stop> {
        if let Self::None = self {
            return Ok(());
        }
        let line = serde_json::to_string(line).map_err(Stop::bad)?;
        match self {
            Self::None => Ok(()),
            Self::Stdout => out.line(line),
            Self::File(file) => writeln!(file.file, "{line}").map_err(|error| unwritable(&file.name, &error)),
        }
    }

    /// Gives the file its name.
    pub(super) fn finish(self) -> Result<(), Stop> {
        match self {
            Self::None | Self::Stdout => Ok(()),
            Self::File(file) => file.finish(),
        }
    }
}

impl FileSink {
    fn open(path: &Path) -> Result<Self, Stop> {
        // A link stays a link: what it points to is replaced.
        let name = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let special = name.metadata().is_ok_and(|metadata| !metadata.is_file());
        let draft = (!special).then(|| {
            let mut draft = name.clone().into_os_string();
            draft.push(format!(".{}.tmp", process::id()));
            PathBuf::from(draft)
        });
        draft.as_deref().map(interrupt::is_draft);
        let file = match &draft {
            Some(draft) => File::create(draft),
            None => File::options().write(true).open(&name),
        };
        let file = BufWriter::new(file.map_err(|error| unwritable(&name, &error))?);
        Ok(Self { file, name, draft })
    }

    fn finish(mut self) -> Result<(), Stop> {
        let written = self.file.flush().and_then(|()| match &self.draft {
            Some(draft) => self.file.get_ref().sync_all().and_then(|()| std::fs::rename(draft, &self.name)),
            None => Ok(()),
        });
        written.map_err(|error| unwritable(&self.name, &error))?;
        self.draft.take().as_deref().map(interrupt::is_no_draft);
        Ok(())
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        if let Some(draft) = &self.draft {
            // Nothing can be done about a draft that cannot be removed.
            let _ = std::fs::remove_file(draft);
            interrupt::is_no_draft(draft);
        }
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Stop {
    Stop::bad(format!("{} cannot be written: {error}; give another --json FILE", path.display()))
}

/// One run as JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Report {
        file: Option<String>,
        reproduce: &'a str,
        #[serde(flatten)]
        report: &'a RunReport,
    },
    Crashed {
        file: Option<String>,
        reproduce: &'a str,
        scenario: &'a str,
        seed: u64,
        verdict: Crash<'a>,
        as_expected: bool,
    },
}

#[derive(Serialize)]
struct With<'a, M> {
    #[serde(flatten)]
    more: &'a M,
    #[serde(flatten)]
    line: Line<'a>,
}

#[derive(Serialize)]
struct Crash<'a> {
    outcome: &'static str,
    message: &'a str,
}

impl<'a> Line<'a> {
    fn of(finished: &'a Finished) -> Self {
        let file = finished.file.map(|file| file.display().to_string());
        let reproduce = finished.reproduce.as_str();
        match &finished.outcome {
            Outcome::Report(report) => Line::Report { file, reproduce, report },
            Outcome::Panicked(message) => Line::Crashed {
                file,
                reproduce,
                scenario: &finished.scenario.name,
                seed: finished.seed,
                verdict: Crash { outcome: "crashed", message },
                as_expected: false,
            },
        }
    }
}
