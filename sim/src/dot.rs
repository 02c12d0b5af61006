//! The DAG of a run in Graphviz's language.

use crate::{
    explain::History,
    observe::What,
    outcome::{Seconds, short},
    record::Recording,
};
use anabranch_core::Cid;
use std::{
    collections::BTreeMap,
    io::{self, Write},
};

/// Writes the DAG: children above their parents, each block with its author, what it writes, and who never merged it.
///
/// # Errors
/// When `to` cannot be written.
pub fn write(recording: &Recording, to: &mut dyn Write) -> io::Result<()> {
    let history = History::new(recording);
    let mut merged: BTreeMap<Cid, Vec<&str>> = BTreeMap::new();
    for seen in &recording.events {
        if let (What::Merged { block, .. }, Some(party)) = (&seen.what, seen.party) {
            let names = merged.entry(block.0).or_default();
            if !names.contains(&history.name(party)) {
                names.push(history.name(party));
            }
        }
    }
    writeln!(to, "digraph run {{\n  node [shape=box, fontname=\"monospace\"];")?;
    for (cid, made) in &history.blocks {
        let delta = made.block.delta.as_ref().ok();
        let puts = delta.iter().flat_map(|delta| &delta.elements).map(|element| format!("put {}", element.key));
        let gone = delta
            .iter()
            .flat_map(|delta| &delta.tombstones)
            .map(|gone| format!("remove {} of {}", gone.key, short(&gone.target)));
        const WRITES_SHOWN: usize = 4;
        let mut writes: Vec<String> = puts.chain(gone).collect();
        let more = writes.len().saturating_sub(WRITES_SHOWN);
        writes.truncate(WRITES_SHOWN);
        if more > 0 {
            writes.push(format!("and {more} more"));
        }
        let by = merged.get(cid).map_or(&[][..], |names| &names[..]);
        let lacking: Vec<&str> =
            history.replicas().map(|replica| history.name(replica)).filter(|name| !by.contains(name)).collect();
        let style = if delta.is_none() {
            ", style=dashed, color=red"
        } else if lacking.is_empty() {
            ""
        } else {
            ", color=orange"
        };
        let lacking =
            if lacking.is_empty() { String::new() } else { format!("\nnot merged by {}", lacking.join(", ")) };
        let label = format!(
            "{} {}\n{} height {}\n{}{lacking}",
            short(cid),
            history.name(made.author),
            Seconds(made.at),
            made.height,
            writes.join("\n")
        );
        let label = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        writeln!(to, "  \"{cid}\" [label=\"{label}\"{style}];")?;
    }
    for (cid, made) in &history.blocks {
        made.block.links.iter().try_for_each(|link| writeln!(to, "  \"{cid}\" -> \"{link}\";"))?;
    }
    writeln!(to, "}}")
}
