//! A recorded run in the formats of other tools.

use super::{exit::Stop, out::Out};
use anabranch_sim::{
    dot,
    explain::{Subject, explain},
    files,
    html::{self, Heading},
    record::Recording,
    run::Ended,
    scenario::Scenario,
    shiviz,
    signature::Signature,
};
use clap::Args;
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

#[derive(Args, Debug, Default)]
pub(crate) struct Exports {
    /// Draw the run as one HTML file that needs nothing else: a space-time diagram, the DAG, the state at any moment.
    #[arg(long, value_name = "FILE.html")]
    html: Option<PathBuf>,
    /// Write every event of the run to FILE, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Write the run as a log with vector clocks for ShiViz.
    #[arg(long, value_name = "FILE")]
    shiviz: Option<PathBuf>,
    /// Write the DAG of the run for Graphviz.
    #[arg(long, value_name = "FILE.dot")]
    dot: Option<PathBuf>,
}

impl Exports {
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.html, &self.events, &self.shiviz, &self.dot].into_iter().flatten()
    }

    /// Whether the outputs can be written at all: asked before anything is run.
    pub(super) fn check(&self) -> Result<(), Stop> {
        let problems: Vec<String> = self.files().filter_map(|path| no_folder(path)).collect();
        if problems.is_empty() { Ok(()) } else { Err(Stop::Bad(problems)) }
    }

    /// Writes all that is asked for of a run.
    pub(super) fn write(
        &self,
        scenario: &Scenario,
        (ended, recording): (&Ended, &Recording),
        out: &mut Out,
    ) -> Result<(), Stop> {
        let message = match ended {
            Ended::Report(report) => report.verdict.to_string(),
            Ended::Panicked(why) => why.clone(),
        };
        let subject = Subject { signature: Signature::of(ended, scenario), message };
        self.write_recording(&scenario.description, subject, recording, out)
    }

    /// Writes all that is asked for of a run that was recorded earlier.
    pub(super) fn write_recording(
        &self,
        description: &str,
        subject: Subject,
        recording: &Recording,
        out: &mut Out,
    ) -> Result<(), Stop> {
        if let Some(path) = &self.html {
            let story = if subject.signature.is_passed() { Vec::new() } else { explain(recording, &subject) };
            let Subject { signature, message } = subject;
            let heading = Heading { description: description.to_owned(), verdict: message, signature, story };
            write(path, out, |to| html::write(recording, &heading, to))?;
        }
        if let Some(path) = &self.shiviz {
            write(path, out, |to| shiviz::write(recording, to))?;
        }
        if let Some(path) = &self.dot {
            write(path, out, |to| dot::write(recording, to))?;
        }
        if let Some(path) = &self.events {
            write(path, out, |to| {
                recording.events.iter().try_for_each(|event| {
                    serde_json::to_writer(&mut *to, event)?;
                    to.write_all(b"\n")
                })
            })?;
        }
        Ok(())
    }
}

/// What is wrong where a file is to be written into a folder that is not there: said before anything is run.
pub(super) fn no_folder(path: &Path) -> Option<String> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty())?;
    (!parent.is_dir()).then(|| {
        format!(
            "{} cannot be written: {} is no folder; make it, or give another file",
            path.display(),
            parent.display()
        )
    })
}

fn write(path: &Path, out: &mut Out, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Stop> {
    files::write(path, content).map_err(|error| {
        Stop::bad(format!("{} cannot be written: {error}; free some space, or give another file", path.display()))
    })?;
    out.line(format_args!("written: {}", path.display()))
}
