//! What the page is given.

use super::Heading;
use crate::{
    engine::{MessageKey, hex},
    explain::{History, Holds},
    observe::{Blob, Id, Says, Seen, What},
    outcome::{MessageKind, short},
    record::{FaultNote, Recording},
    words,
};
use anabranch_core::Cid;
use serde::Serialize;
use std::collections::BTreeMap;

/// How much of a value the page gets: enough to tell values apart.
const VALUE_BYTES: usize = 16;

#[derive(Serialize)]
pub(super) struct Data<'a> {
    scenario: &'a str,
    description: &'a str,
    verdict: &'a str,
    outcome: String,
    story: &'a [String],
    seed: Option<String>,
    commit: &'a str,
    trace: Option<&'a str>,
    parties: &'a [String],
    replicas: usize,
    duration: f64,
    faults: &'a [FaultNote],
    events: Vec<Event>,
    messages: Vec<Message>,
    blocks: Vec<Block>,
}

/// Field names are short: there is one of these for each event.
#[derive(Serialize)]
struct Event {
    /// Seconds.
    t: f64,
    /// Party.
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<u16>,
    /// Kind.
    k: &'static str,
    /// In words.
    x: String,
    /// Message.
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<usize>,
    /// Block.
    #[serde(skip_serializing_if = "Option::is_none")]
    b: Option<usize>,
    /// Fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    f: Option<u32>,
    /// Heads shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    h: Option<Vec<usize>>,
    /// Values shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<Vec<(String, Option<String>)>>,
    /// Nothing else is shown; or a disk was wiped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    a: bool,
    /// In the middle of a task: what is shown is no function of the blocks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    i: bool,
    /// Blocks that are merged though no merge was told, those that are not any more, and all purged ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    g: Option<Vec<usize>>,
    /// How many blocks are given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<usize>,
}

#[derive(Serialize)]
struct Message {
    from: u16,
    to: u16,
    kind: MessageKind,
    /// The event in which it was sent, and those in which it came.
    sent: usize,
    came: Vec<usize>,
    fate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<u32>,
    says: String,
}

#[derive(Serialize)]
struct Block {
    id: String,
    cid: String,
    author: u16,
    /// The event in which it was made.
    made: usize,
    height: u64,
    priority: Option<String>,
    dag: String,
    links: Vec<usize>,
    puts: Vec<(String, String)>,
    removes: Vec<(String, String)>,
}

#[allow(clippy::cast_precision_loss)] // For the eye: a simulated year has fewer microseconds than 2^53.
fn seconds(ns: u64) -> f64 {
    (ns / 1_000) as f64 / 1e6
}

fn shown(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::from("(empty)");
    }
    let more = if bytes.len() > VALUE_BYTES { "…" } else { "" };
    hex(&bytes[..bytes.len().min(VALUE_BYTES)]) + more
}

impl<'a> Data<'a> {
    pub(super) fn of(recording: &'a Recording, heading: &'a Heading) -> Self {
        let history = History::new(recording);
        let blocks = Blocks::new(&history, &recording.events);
        let mut events = Vec::with_capacity(recording.events.len());
        let mut messages: Vec<Message> = Vec::new();
        let mut by_key: BTreeMap<MessageKey, usize> = BTreeMap::new();
        let mut holds = vec![Holds::default(); recording.header.parties.len()];
        for (number, seen) in recording.events.iter().enumerate() {
            let message = match &seen.what {
                What::Sent { message, says, stopped_by, arrives, fate } => {
                    let fate = match (stopped_by, arrives.0) {
                        (Some(_), _) => "cut",
                        (None, None) => "lost",
                        (None, Some(_)) if fate.flip.is_some() => "flipped",
                        (None, Some(_)) if fate.held_back.is_some() => "held",
                        (None, Some(_)) => "ok",
                    };
                    by_key.insert(*message, messages.len());
                    messages.push(Message {
                        from: message.from.0,
                        to: message.to.0,
                        kind: kind(says),
                        sent: number,
                        came: Vec::new(),
                        fate,
                        by: *stopped_by,
                        says: words::says(says),
                    });
                    Some(messages.len() - 1)
                }
                What::Arrived { message, .. } => {
                    let index = by_key.get(message).copied();
                    if let Some(message) = index.and_then(|index| messages.get_mut(index)) {
                        message.came.push(number);
                    }
                    index
                }
                _ => None,
            };
            let holds = seen.party.and_then(|party| holds.get_mut(party.index()));
            let changed = holds.map_or_else(Changed::default, |holds| Changed::by(&seen.what, holds, &blocks));
            events.push(event(seen, message, changed, &blocks, &recording.header.parties));
        }
        let header = &recording.header;
        Self {
            scenario: &header.scenario,
            description: &heading.description,
            verdict: &heading.verdict,
            outcome: heading.signature.outcome.clone(),
            story: &heading.story,
            // As text: a number of JavaScript holds 53 bits.
            seed: header.seed.map(|seed| seed.to_string()),
            commit: &header.commit,
            trace: header.trace.as_deref(),
            parties: &header.parties,
            replicas: header.replicas,
            duration: seconds(header.duration_ns),
            faults: &header.faults,
            events,
            messages,
            blocks: blocks.list,
        }
    }
}

fn kind(says: &Says) -> MessageKind {
    match says {
        Says::Heads(_) | Says::Bytes(_) => MessageKind::Broadcast,
        Says::Give(_) => MessageKind::Request,
        Says::Block(_) => MessageKind::Block,
        Says::NotFound(_) => MessageKind::NotFound,
    }
}

/// What an event that is no merge changes about what a replica has.
#[derive(Default)]
struct Changed {
    found: Option<Vec<usize>>,
    lost: Option<Vec<usize>>,
    purged: Option<Vec<usize>>,
    given_up: Option<usize>,
}

impl Changed {
    fn by(what: &What, holds: &mut Holds, blocks: &Blocks) -> Self {
        let numbers = |cids: &mut dyn Iterator<Item = &Cid>| {
            let all: Vec<usize> = cids.filter_map(|cid| blocks.index(&Id(*cid))).collect();
            Some(all)
        };
        // Merges tell themselves what they change.
        let before = matches!(what, What::Started { .. }).then(|| holds.merged.clone());
        holds.goes_on(what);
        match (what, before) {
            (What::Started { .. }, Some(before)) => Self {
                found: numbers(&mut holds.merged.difference(&before)).filter(|all| !all.is_empty()),
                lost: numbers(&mut before.difference(&holds.merged)).filter(|all| !all.is_empty()),
                ..Self::default()
            },
            (What::Decided { .. }, _) => Self {
                purged: numbers(&mut holds.purged.keys()),
                given_up: Some(holds.abandoned.len()),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
}

fn event(seen: &Seen, message: Option<usize>, changed: Changed, blocks: &Blocks, parties: &[String]) -> Event {
    let base = Event {
        t: seconds(seen.at),
        p: seen.party.map(|party| party.0),
        k: name(&seen.what),
        x: words::what(&seen.what, parties),
        m: message,
        b: None,
        f: None,
        h: None,
        v: None,
        a: false,
        i: false,
        n: changed.found,
        l: changed.lost,
        g: changed.purged,
        d: changed.given_up,
    };
    match &seen.what {
        What::Made { block, .. } | What::Merged { block, .. } => Event { b: blocks.index(block), ..base },
        What::Crashed { wiped, .. } => Event { a: *wiped, ..base },
        What::FaultBegins { number } | What::FaultEnds { number } => Event { f: Some(*number), ..base },
        What::Shows { heads, values, all, settled } => {
            let value =
                |(key, value): &(String, Option<Blob>)| (key.clone(), value.as_ref().map(|Blob(bytes)| shown(bytes)));
            Event {
                h: Some(heads.iter().filter_map(|id| blocks.index(id)).collect()),
                v: Some(values.iter().map(value).collect()),
                a: *all,
                i: !settled,
                ..base
            }
        }
        _ => base,
    }
}

const fn name(what: &What) -> &'static str {
    match what {
        What::Started { .. } => "started",
        What::Decided { .. } => "decided",
        What::Operation { .. } => "operation",
        What::Read { .. } => "read",
        What::Acknowledged { .. } => "acknowledged",
        What::Refused { .. } => "refused",
        What::Made { .. } => "made",
        What::Sent { .. } => "sent",
        What::Arrived { .. } => "arrived",
        What::Merged { .. } => "merged",
        What::Shows { .. } => "shows",
        What::Noticed { .. } => "noticed",
        What::Synced { .. } => "synced",
        What::Crashed { .. } => "crashed",
        What::Timer => "timer",
        What::Chose { .. } => "chose",
        What::FaultBegins { .. } => "fault-begins",
        What::FaultEnds { .. } => "fault-ends",
        What::Noted { .. } => "noted",
        What::Objected { .. } => "objected",
    }
}

/// The blocks, numbered in order of their making.
struct Blocks {
    list: Vec<Block>,
    numbers: BTreeMap<Cid, usize>,
}

impl Blocks {
    fn new(history: &History<'_>, events: &[Seen]) -> Self {
        let mut blocks = Self { list: Vec::new(), numbers: BTreeMap::new() };
        for (number, seen) in events.iter().enumerate() {
            let What::Made { block: Id(cid), .. } = &seen.what else { continue };
            let Some(made) = history.blocks.get(cid).filter(|_| !blocks.numbers.contains_key(cid)) else { continue };
            let delta = made.block.delta.as_ref().ok();
            let puts = delta.iter().flat_map(|delta| &delta.elements);
            let removes = delta.iter().flat_map(|delta| &delta.tombstones);
            let block = Block {
                id: short(cid),
                cid: cid.to_string(),
                author: made.author.0,
                made: number,
                height: made.height,
                priority: delta.map(|delta| delta.priority.to_string()),
                dag: delta.map_or(String::new(), |delta| delta.dag.to_string()),
                links: made.block.links.iter().filter_map(|link| blocks.numbers.get(link).copied()).collect(),
                puts: puts.map(|element| (element.key.to_string(), shown(&element.value))).collect(),
                removes: removes.map(|gone| (gone.key.to_string(), short(&gone.target))).collect(),
            };
            blocks.numbers.insert(*cid, blocks.list.len());
            blocks.list.push(block);
        }
        blocks
    }

    fn index(&self, id: &Id) -> Option<usize> {
        self.numbers.get(&id.0).copied()
    }
}
