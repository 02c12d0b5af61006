//! A run as a log for ShiViz: events with vector clocks.
//!
//! ShiViz is asked to read it with the expression that stands in the first line of the file.

use crate::{engine::MessageKey, observe::What, outcome::Seconds, record::Recording, words};
use std::{
    collections::BTreeMap,
    io::{self, Write},
};

/// The regular expression by which ShiViz reads the log.
pub const EXPRESSION: &str = r"(?<host>\S+) (?<clock>\{.*\})\n(?<event>.*)";

/// Writes the log: two lines an event. Of an event, only its own replica and what reached it through messages is in its clock.
///
/// # Errors
/// When `to` cannot be written.
pub fn write(recording: &Recording, to: &mut dyn Write) -> io::Result<()> {
    let parties = &recording.header.parties;
    writeln!(to, "{EXPRESSION}\n")?;
    let mut clocks: Vec<BTreeMap<usize, u64>> = vec![BTreeMap::new(); parties.len()];
    let mut carried: BTreeMap<MessageKey, BTreeMap<usize, u64>> = BTreeMap::new();
    for seen in &recording.events {
        let Some(party) = seen.party.map(|party| party.index()).filter(|party| *party < parties.len()) else {
            continue;
        };
        if matches!(seen.what, What::Chose { .. } | What::Shows { .. }) {
            continue;
        }
        if let What::Arrived { message, taken: true, .. } = &seen.what
            && let Some(theirs) = carried.get(message)
        {
            for (other, count) in theirs {
                let own = clocks[party].entry(*other).or_default();
                *own = (*own).max(*count);
            }
        }
        *clocks[party].entry(party).or_default() += 1;
        if let What::Sent { message, .. } = &seen.what {
            carried.insert(*message, clocks[party].clone());
        }
        let host = |index: usize| serde_json::Value::from(host(&parties[index]));
        let clock: Vec<String> =
            clocks[party].iter().map(|(other, count)| format!("{}:{count}", host(*other))).collect();
        let what = words::what(&seen.what, parties).replace('\n', " ");
        writeln!(to, "{} {{{}}}\n{} {what}", self::host(&parties[party]), clock.join(", "), Seconds(seen.at))?;
    }
    Ok(())
}

/// A host's name has no blanks in ShiViz.
fn host(name: &str) -> String {
    name.replace(char::is_whitespace, "_")
}
