//! The story of a failure in words: the few events that matter, what each replica believed, and why the oracle objects.
//!
//! Works on a recording alone. What matters is found backwards from the objection: the key or the blocks that it is
//! about, the blocks that write the key, the merges of these blocks at the replicas in question, the messages that
//! brought them, and what happened to these messages.

mod block;
mod history;
mod key;

pub use history::{History, Holds, Made};

use crate::{
    observe::{Seen, What},
    oracles::Oracle,
    outcome::{MomentKind, Seconds, short},
    record::Recording,
    scenario::Party,
    signature::Signature,
};
use anabranch_core::Cid;
use std::collections::BTreeSet;

/// What an explanation is about.
#[derive(Clone, Debug)]
pub struct Subject {
    /// In which way the run failed.
    pub signature: Signature,
    /// What is wrong, in one line.
    pub message: String,
}

/// Lists of events are cut to this many at each end.
const SHOWN: usize = 8;

/// Tells the story of a recorded failure, in lines.
#[must_use]
pub fn explain(recording: &Recording, subject: &Subject) -> Vec<String> {
    let history = History::new(recording);
    let mut lines = Vec::new();
    let objection = recording.events.iter().enumerate().rev().find_map(|(number, seen)| match &seen.what {
        What::Objected { oracle, message } => Some((number, seen, *oracle, message.clone())),
        _ => None,
    });
    let message = match &objection {
        Some((number, seen, oracle, message)) => {
            let whom = seen.party.map_or("the cluster", |party| history.name(party));
            lines.push(format!("{oracle} objects to {whom} after {} (event {number}):", Seconds(seen.at)));
            lines.push(format!("  {message}"));
            lines.push(format!("What this oracle says: {}.", promise(*oracle)));
            message.clone()
        }
        None => {
            lines.push(subject.message.clone());
            subject.message.clone()
        }
    };
    let oracle = objection.as_ref().map(|(_, _, oracle, _)| *oracle);
    let whom: Vec<Party> = concerned(&history, &message, objection.as_ref().and_then(|(_, seen, ..)| seen.party));
    if let Some(key) = history.key_in(&message).filter(|_| oracle.is_none_or(about_keys)) {
        key::explain(&history, &key, &whom, &mut lines);
    } else {
        let blocks = history.blocks_in(&message);
        if oracle == Some(Oracle::HeadsAreTips) || message.contains("heads of") {
            key::explain_heads(&history, &whom, &blocks, &mut lines);
        }
        for cid in blocks.iter().take(3) {
            block::explain(&history, *cid, &whom, &mut lines);
        }
        if blocks.is_empty() {
            block::explain_end(&history, &whom, &mut lines);
        }
    }
    faults(&history, &whom, &mut lines);
    lines
}

const fn about_keys(oracle: Oracle) -> bool {
    matches!(
        oracle,
        Oracle::StateIsFold
            | Oracle::Convergence
            | Oracle::ReadYourWrites
            | Oracle::MonotonicReads
            | Oracle::HooksMatchChanges
    )
}

/// What an oracle says, in a sentence.
fn promise(oracle: Oracle) -> &'static str {
    match oracle {
        Oracle::Convergence => "replicas that have merged the same blocks have equal heads and equal states",
        Oracle::StateIsFold => {
            "a replica's state and heads are those of the naive fold over the blocks that it has merged"
        }
        Oracle::HeadsAreTips => {
            "a replica's heads are its merged good blocks to which no good block of their DAG links"
        }
        Oracle::AncestorsMerged => "the ancestors of a merged block are merged",
        Oracle::AcknowledgedWrites => "what was acknowledged is there after a crash",
        Oracle::NoCorruptBlock => "a merged block is what its author wrote",
        Oracle::KnownBlocks => "a block that was merged and synced stays merged",
        Oracle::ReadYourWrites => "a program that reads what it has written sees it, or what came after",
        Oracle::MonotonicReads => "a program that reads again sees what it saw, or what came after",
        Oracle::WritesFollowReads => "what a program writes comes after what it has read, in the same DAG",
        Oracle::HooksMatchChanges => "hooks are told of every visible change, once, and of nothing else",
        Oracle::FeedTellsAll => "the feed tells all that was merged since a token, in its order, also after a restart",
        Oracle::ObligationsPursued => "a replica that owes blocks has work left, or waits for its fetches",
        Oracle::LimitsHold => {
            "a replica holds no more fetches, rumours and bytes of pending blocks than its settings allow"
        }
        Oracle::CanonicalBlocks => {
            "a replica writes each key once, sorts its links, and declares its height, or more where a parent does"
        }
    }
}

/// The replicas that the message names, and the one that is objected to.
fn concerned(history: &History<'_>, message: &str, party: Option<Party>) -> Vec<Party> {
    let words: BTreeSet<&str> = message.split(|c: char| c.is_whitespace() || ",:;".contains(c)).collect();
    let named = history.replicas().filter(|replica| words.contains(history.name(*replica)));
    let mut all: Vec<Party> = party.into_iter().collect();
    for replica in named {
        if !all.contains(&replica) {
            all.push(replica);
        }
    }
    all
}

/// What went wrong around the replicas in question, beside what happened to single messages.
fn faults(history: &History<'_>, whom: &[Party], lines: &mut Vec<String>) {
    let matters = |seen: &&Seen| match &seen.what {
        What::Crashed { .. } => seen.party.is_some_and(|party| whom.is_empty() || whom.contains(&party)),
        // That one of them crashes is told with what it lost.
        What::Noted { kind: MomentKind::Crashed, what } => {
            !whom.is_empty() && !whom.iter().any(|party| what.split(' ').next() == Some(history.name(*party)))
        }
        What::Noted { .. } => true,
        _ => false,
    };
    let all: Vec<&Seen> = history.events.iter().filter(matters).collect();
    if all.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push(String::from("What else happened"));
    let items = all.iter().map(|seen| match &seen.what {
        What::Crashed { kept, lost, wiped } => {
            let wiped = if *wiped { ", its disk is wiped" } else { "" };
            let name = seen.party.map_or("?", |party| history.name(party));
            line(
                seen.at,
                &format!("{name} crashes: of its unsynced commits {kept} are kept and {lost} are lost{wiped}"),
            )
        }
        What::Noted { what, .. } => line(seen.at, what),
        _ => String::new(),
    });
    cut(items.collect(), lines);
}

/// A time and what happened then.
fn line(at: u64, what: &str) -> String {
    format!("  {:>12}  {what}", Seconds(at).to_string())
}

/// The first and the last of many lines.
fn cut(items: Vec<String>, lines: &mut Vec<String>) {
    let count = items.len();
    if count <= 2 * SHOWN + 1 {
        lines.extend(items);
        return;
    }
    for (number, item) in items.into_iter().enumerate() {
        if number < SHOWN || number >= count - SHOWN {
            lines.push(item);
        } else if number == SHOWN {
            lines.push(format!("                … {} more …", count - 2 * SHOWN));
        }
    }
}

/// A value as the story shows it.
fn value(bytes: Option<&[u8]>) -> String {
    const SHOWN_BYTES: usize = 8;
    match bytes {
        None => String::from("absent"),
        Some([]) => String::from("empty"),
        Some(bytes) if bytes.len() <= SHOWN_BYTES => crate::engine::hex(bytes),
        Some(bytes) => format!("{}… ({} bytes)", crate::engine::hex(&bytes[..SHOWN_BYTES]), bytes.len()),
    }
}

fn list(cids: impl IntoIterator<Item = Cid>) -> String {
    let all: Vec<String> = cids.into_iter().map(|cid| short(&cid)).collect();
    if all.is_empty() { String::from("none") } else { all.join(" ") }
}
