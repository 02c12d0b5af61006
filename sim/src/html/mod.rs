//! A run as one HTML file that needs nothing else: a space-time diagram, the DAG, and the state of every replica at
//! any moment.
//!
//! The file's data stand in it as JSON; what the page does with them is in `page.js`. It asks for nothing from outside, so
//! it can be kept beside a failure and opened in ten years.

mod data;

use crate::{record::Recording, signature::Signature};
use std::io::{self, Write};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What the page says at its top.
#[derive(Clone, Debug)]
pub struct Heading {
    /// The scenario's description.
    pub description: String,
    /// How the run ended, in one line.
    pub verdict: String,
    /// In which way it failed, or that it passed.
    pub signature: Signature,
    /// The story of the failure, in lines; none for a run that passed.
    pub story: Vec<String>,
}

/// Writes the page of a run: about 150 bytes an event.
///
/// # Errors
/// When `to` cannot be written.
pub fn write(recording: &Recording, heading: &Heading, to: &mut dyn Write) -> io::Result<()> {
    let data = serde_json::to_string(&data::Data::of(recording, heading))?;
    // Inside a script element only this could end it.
    let data = data.replace('<', "\\u003c");
    let title = format!("{}: {}", recording.header.scenario, heading.signature.outcome);
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        to.write_all(before.as_bytes())?;
        let insert = match name {
            "title" => &escaped(&title),
            "style" => STYLE,
            "data" => &data,
            "script" => SCRIPT,
            _ => "",
        };
        to.write_all(insert.as_bytes())?;
        rest = after;
    }
    to.write_all(rest.as_bytes())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
