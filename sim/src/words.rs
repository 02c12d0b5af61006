//! Events in words.

use crate::{
    engine::{MessageKey, hex},
    observe::{Blob, Id, Says, Seen, What},
    outcome::{OperationKind, Seconds, short},
    scenario::Party,
};

/// An event in one line: when, who, what.
#[must_use]
pub fn event(seen: &Seen, parties: &[String]) -> String {
    let who = seen.party.map_or("", |party| name(parties, party));
    format!("{}  {who}: {}", Seconds(seen.at), what(&seen.what, parties))
}

/// A party's name.
#[must_use]
pub fn name(parties: &[String], party: Party) -> &str {
    parties.get(party.index()).map_or("?", String::as_str)
}

/// Blocks by the ends of their CIDs.
#[must_use]
pub fn blocks(ids: &[Id]) -> String {
    ids.iter().map(|id| short(&id.0)).collect::<Vec<_>>().join(" ")
}

/// A value: in hex, cut when it is long.
#[must_use]
pub fn value(value: Option<&Blob>) -> String {
    match value {
        None => String::from("absent"),
        Some(Blob(bytes)) if bytes.is_empty() => String::from("empty"),
        Some(Blob(bytes)) => {
            let shown = &bytes[..bytes.len().min(8)];
            let more = if shown.len() < bytes.len() { format!("… ({} bytes)", bytes.len()) } else { String::new() };
            format!("{}{more}", hex(shown))
        }
    }
}

/// What a message says.
#[must_use]
pub fn says(says: &Says) -> String {
    match says {
        Says::Heads(heads) => format!("\"my heads are {}\"", blocks(heads)),
        Says::Give(id) => format!("\"give me {}\"", short(&id.0)),
        Says::Block(id) => format!("block {}", short(&id.0)),
        Says::NotFound(id) => format!("\"I do not have {}\"", short(&id.0)),
        Says::Bytes(bytes) => format!("{bytes} bytes"),
    }
}

/// What happened, without when and to whom.
#[must_use]
pub fn what(what: &What, parties: &[String]) -> String {
    let to = |key: &MessageKey| name(parties, key.to).to_owned();
    match what {
        What::Started { merged } => format!("starts with {} blocks merged", merged.len()),
        What::Decided { purged, abandoned } => decided(purged, abandoned),
        What::Operation { number, kind, writes, is_up, .. } => {
            // A batch has both; elsewhere the kind of operation says it.
            let gone = if *kind == OperationKind::Batch { "delete " } else { "" };
            let writes: Vec<String> = writes
                .iter()
                .map(|(key, put)| {
                    put.as_ref().map_or_else(|| format!("{gone}{key}"), |put| format!("{key} = {}", value(Some(put))))
                })
                .collect();
            let down = if *is_up { "" } else { " (it is down)" };
            format!("operation {number}, {kind} {}{down}", writes.join(", "))
        }
        What::Read { number, key, value: read } => format!("operation {number} reads {key}: {}", value(read.as_ref())),
        What::Acknowledged { number, blocks: made } => {
            format!("acknowledges operation {number}, block {}", blocks(made))
        }
        What::Refused { number, why } => format!("refuses operation {number}: {why}"),
        What::Made { block, .. } => format!("makes block {}", short(&block.0)),
        What::Sent { message, says: said, fate, stopped_by, arrives } => {
            let flip = if fate.flip.is_some() { ", a bit flipped" } else { "" };
            let fate = match (stopped_by, arrives) {
                (Some(number), _) => format!("stopped by fault {number}"),
                (None, (None, _)) => String::from("lost"),
                (None, (Some(at), None)) => format!("arrives at {}", Seconds(*at)),
                (None, (Some(at), Some(copy))) => format!("arrives at {} and at {}", Seconds(*at), Seconds(*copy)),
            };
            format!("sends {} {}: {fate}{flip}", to(message), says(said))
        }
        What::Arrived { message, copy, corrupted, taken } => {
            let copy = if *copy { " (second copy)" } else { "" };
            let corrupted = if *corrupted { " (corrupted)" } else { "" };
            let taken = if *taken { "" } else { ", and nobody is there" };
            format!("a message of {} comes{copy}{corrupted}{taken}", name(parties, message.from))
        }
        What::Merged { block, void } => format!("merges {}block {}", if *void { "void " } else { "" }, short(&block.0)),
        What::Shows { heads, values, all, settled } => {
            let values: Vec<String> =
                values.iter().map(|(key, shown)| format!("{key} = {}", value(shown.as_ref()))).collect();
            let values = if *all { format!("{} keys", values.len()) } else { values.join(", ") };
            let between =
                if *settled { "" } else { " (in the middle of a task, or with a disk that cannot be trusted)" };
            format!("shows {values}; heads {}{between}", blocks(heads))
        }
        What::Noticed { what } => what.clone(),
        What::Synced { commits: 1 } => String::from("syncs a commit"),
        What::Synced { commits } => format!("syncs {commits} commits"),
        What::Crashed { kept, lost, wiped } => {
            let wiped = if *wiped { ", and its disk is wiped" } else { "" };
            format!("crashes: {kept} unsynced commits are kept, {lost} lost{wiped}")
        }
        What::Timer => String::from("a timer runs out"),
        What::Chose { choice, value, .. } => format!("{choice} is {value}"),
        What::FaultBegins { number } => format!("fault {number} begins"),
        What::FaultEnds { number } => format!("fault {number} ends"),
        What::Noted { what, .. } => what.clone(),
        What::Objected { oracle, message } => format!("{oracle} objects: {message}"),
    }
}

/// What is decided without the bytes of blocks.
fn decided(purged: &[(Id, u64)], abandoned: &[Id]) -> String {
    const SHOWN: usize = 4;
    let more = if abandoned.len() > SHOWN { " …" } else { "" };
    let given_up = blocks(&abandoned[..abandoned.len().min(SHOWN)]);
    let which = if abandoned.is_empty() { String::new() } else { format!(" ({given_up}{more})") };
    format!("has purged {} blocks by now, and given up {}{which}", purged.len(), abandoned.len())
}
