//! Stories of a key, and of heads.

use super::{History, Made, block::came, cut, history::shown, line, list, value};
use crate::{
    engine::Cause,
    fold::Folded,
    observe::{Blob, What},
    outcome::{Seconds, short},
    scenario::Party,
};
use anabranch_core::{Cid, DagName, Key};
use std::collections::BTreeSet;

/// Who wrote the key, what the replicas made of it, and what the rule gives.
pub(super) fn explain(history: &History<'_>, key: &str, whom: &[Party], lines: &mut Vec<String>) {
    let writers = history.writers(key);
    lines.push(String::new());
    lines.push(format!("Who wrote {key}"));
    cut(writers.iter().map(|(cid, made)| written(history, key, cid, made)).collect(), lines);
    let cids: BTreeSet<Cid> = writers.iter().map(|(cid, _)| *cid).collect();
    for replica in whom.iter().take(2) {
        believed(history, key, &cids, *replica, lines);
    }
    if let Some(replica) = whom.first() {
        rule(history, key, &cids, *replica, lines);
    }
}

fn written(history: &History<'_>, key: &str, cid: &Cid, made: &Made) -> String {
    let wanted = Key::new(key);
    let mut does: Vec<String> = Vec::new();
    if let Ok(delta) = &made.block.delta {
        let puts = delta.elements.iter().filter(|element| element.key == wanted);
        does.extend(puts.map(|element| format!("puts {}", value(Some(&element.value)))));
        let removes = delta.tombstones.iter().filter(|tombstone| tombstone.key == wanted);
        let removed: Vec<Cid> = removes.map(|tombstone| tombstone.target).collect();
        match &removed[..] {
            [] => {}
            [one] => does.push(format!("removes the version of {}", short(one))),
            all => does.push(format!("removes the versions of {}", list(all.iter().copied()))),
        }
    }
    let priority =
        made.block.delta.as_ref().map_or(String::from("void"), |delta| format!("priority {}", delta.priority));
    line(
        made.at,
        &format!(
            "{} makes {}{}: height {}, {priority}, {}",
            history.name(made.author),
            short(cid),
            because(made.cause),
            made.height,
            does.join(", ")
        ),
    )
}

pub(super) fn because(cause: Option<Cause>) -> String {
    match cause {
        Some(Cause::Operation(number)) => format!(" (operation {number})"),
        Some(Cause::Hostile { round, .. }) => format!(" (hostile round {round})"),
        _ => String::new(),
    }
}

/// What a replica showed after each merge of a block that writes the key, beside what the fold gives.
fn believed(history: &History<'_>, key: &str, cids: &BTreeSet<Cid>, replica: Party, lines: &mut Vec<String>) {
    let name = history.name(replica);
    lines.push(String::new());
    lines.push(format!("What {name} believed"));
    let mut items = Vec::new();
    let mut is_wrong = false;
    let (mut merging, mut last, mut has_purged) = (Vec::new(), None, false);
    for (number, seen) in history.events.iter().enumerate().filter(|(_, seen)| seen.party == Some(replica)) {
        match &seen.what {
            What::Merged { block, .. } if cids.contains(&block.0) => merging.push(block.0),
            What::Decided { purged, .. } => has_purged |= purged.iter().any(|(id, _)| cids.contains(&id.0)),
            What::Shows { .. } => {
                let Some(shown) = shown(&seen.what, key) else { continue };
                if merging.is_empty() && last == Some(shown) && !has_purged {
                    continue;
                }
                last = Some(shown);
                let folded = history.fold_at(replica, number);
                let gives = folded.state.get(&Key::new(key)).map(|value| &value[..]);
                let what = match &merging[..] {
                    [] if has_purged => String::from("has purged blocks that write it"),
                    [] => String::from("is opened"),
                    merged => {
                        let how: Vec<String> = merged
                            .iter()
                            .map(|cid| format!("{}{}", short(cid), came(history, *cid, replica, number)))
                            .collect();
                        format!("merges {}", how.join(", "))
                    }
                };
                let verdict = match (shown == gives, is_wrong) {
                    (true, _) => String::from(", as the fold does"),
                    (false, true) => format!("; the fold gives {}", value(gives)),
                    (false, false) => {
                        format!("; the fold gives {}   <-- here it goes wrong (event {number})", value(gives))
                    }
                };
                is_wrong |= shown != gives;
                items.push(line(seen.at, &format!("{what}: it shows {}{verdict}", value(shown))));
                merging.clear();
                has_purged = false;
            }
            What::Read { number, key: read, value: got } if read == key => {
                let got = got.as_ref().map(|Blob(bytes)| &bytes[..]);
                items.push(line(seen.at, &format!("a program reads {} (operation {number})", value(got))));
            }
            _ => {}
        }
    }
    if items.is_empty() {
        items.push(format!("  {name} never merged a block that writes {key}"));
    }
    cut(items, lines);
}

/// The versions of a key that live at a replica in the end, and which of them wins.
fn rule(history: &History<'_>, key: &str, cids: &BTreeSet<Cid>, replica: Party, lines: &mut Vec<String>) {
    let holds = history.holds_at(replica, history.events.len());
    let folded = history.fold(&holds);
    let wanted = Key::new(key);
    let mut dead: BTreeSet<Cid> = BTreeSet::new();
    let mut versions = Vec::new();
    let counts = |cid: &&Cid| cids.contains(*cid) && folded.heights.contains_key(*cid);
    for (cid, made) in history.blocks.iter().filter(|(cid, _)| counts(cid)) {
        let Ok(delta) = &made.block.delta else { continue };
        dead.extend(
            delta.tombstones.iter().filter(|tombstone| tombstone.key == wanted).map(|tombstone| tombstone.target),
        );
        if let Some(element) = delta.elements.iter().rev().find(|element| element.key == wanted) {
            versions.push((delta.priority.min(folded.heights[cid]), element.value.clone(), *cid));
        }
    }
    versions.sort();
    lines.push(String::new());
    lines.push(format!("What the rule gives for {key} at {}", history.name(replica)));
    for (rank, bytes, cid) in versions.iter().rev() {
        let state = if dead.contains(cid) { "removed" } else { "lives" };
        lines.push(format!(
            "  the version of {} with rank {rank} and value {} {state}",
            short(cid),
            value(Some(bytes))
        ));
    }
    for cid in cids.iter().filter(|cid| holds.purged.contains_key(*cid)) {
        lines.push(format!("  {} is purged: what it put is gone, and what it removed is back", short(cid)));
    }
    let winner = versions.iter().rev().find(|(_, _, cid)| !dead.contains(cid));
    lines.push(match winner {
        Some((_, bytes, cid)) => format!(
            "  of those that live, the greatest (rank, value) is that of {}: {key} is {}",
            short(cid),
            value(Some(bytes))
        ),
        None => format!("  none lives: {key} is absent"),
    });
    let last = history
        .events
        .iter()
        .rev()
        .find_map(|seen| (seen.party == Some(replica)).then(|| shown(&seen.what, key)).flatten());
    if let Some(shown) = last {
        lines.push(format!("  {} shows {}", history.name(replica), value(shown)));
    }
}

/// When the heads of a replica first were not the tips of what it had merged.
pub(super) fn explain_heads(history: &History<'_>, whom: &[Party], blocks: &[Cid], lines: &mut Vec<String>) {
    for replica in whom.iter().take(2) {
        let name = history.name(*replica);
        lines.push(String::new());
        lines.push(format!("What {name} took for its heads"));
        let mut items = Vec::new();
        for (number, seen) in history.events.iter().enumerate().filter(|(_, seen)| seen.party == Some(*replica)) {
            let What::Shows { heads, settled: true, .. } = &seen.what else { continue };
            let shows: BTreeSet<Cid> = heads.iter().map(|id| id.0).collect();
            let folded = history.fold_at(*replica, number);
            let tips = tips(&folded);
            if shows == tips {
                continue;
            }
            let merged = history.events[..number].iter().rev().find_map(|seen| match &seen.what {
                What::Merged { block, .. } if seen.party == Some(*replica) => Some(block.0),
                _ => None,
            });
            let what = merged.map_or(String::from("is opened"), |cid| {
                format!("merges {}{}", short(&cid), came(history, cid, *replica, number))
            });
            items.push(line(
                seen.at,
                &format!(
                    "{what}: its heads are {}, and the tips are {}   <-- here it goes wrong (event {number})",
                    list(shows.iter().copied()),
                    list(tips.iter().copied())
                ),
            ));
            for cid in shows.symmetric_difference(&tips).take(4) {
                items.push(format!("                {}", about(history, *cid, &folded)));
            }
            break;
        }
        if items.is_empty() {
            items.push(String::from("  its heads were the tips of what it had merged, as far as the recording tells"));
        }
        lines.extend(items);
    }
    let _ = blocks;
}

fn tips(folded: &Folded) -> BTreeSet<Cid> {
    folded.heads.values().flatten().copied().collect()
}

/// Why a block is a head or not.
fn about(history: &History<'_>, cid: Cid, folded: &Folded) -> String {
    let Some(made) = history.blocks.get(&cid) else { return format!("{} was made by nobody", short(&cid)) };
    let dag = made.block.delta.as_ref().map(|delta| delta.dag.clone()).unwrap_or_default();
    let good = |other: &Cid| folded.heights.contains_key(other);
    let children: Vec<Cid> = history
        .blocks
        .iter()
        .filter(|(other, child)| good(other) && child.block.links.contains(&cid) && of_dag(child, &dag))
        .map(|(other, _)| *other)
        .collect();
    let author = history.name(made.author);
    match children.first() {
        Some(child) => format!("{} of {author} is no head: {} links to it, and is merged", short(&cid), short(child)),
        None => format!("{} of {author} is a head: no merged block of its DAG links to it", short(&cid)),
    }
}

fn of_dag(made: &Made, dag: &DagName) -> bool {
    made.block.delta.as_ref().is_ok_and(|delta| delta.dag == *dag)
}

/// A moment for a heading.
#[must_use]
pub(super) fn at(ns: u64) -> String {
    Seconds(ns).to_string()
}
