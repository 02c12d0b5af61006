//! The story of a block: made, announced, asked for, sent, merged, lost.

use super::{
    History, cut,
    key::{at, because},
    line, list,
};
use crate::{
    observe::{Id, Says, Seen, What},
    outcome::short,
    scenario::Party,
    words,
};
use anabranch_core::Cid;

/// All that happened to a block at the replicas in question.
pub(super) fn explain(history: &History<'_>, cid: Cid, whom: &[Party], lines: &mut Vec<String>) {
    lines.push(String::new());
    lines.push(format!("What became of block {}", short(&cid)));
    let mut items = Vec::new();
    match history.blocks.get(&cid) {
        Some(made) => {
            let name = history.name(made.author);
            let parents = list(made.block.links.iter().copied());
            items.push(line(made.at, &format!("{name} makes it{}; its parents: {parents}", because(made.cause))));
        }
        None => items.push(String::from("  nobody made it")),
    }
    let concerned = |party: Party| whom.is_empty() || whom.contains(&party);
    let mut last_sync = None;
    let made_at = history.blocks.get(&cid).map_or(0, |made| made.at);
    for (number, seen) in history.events.iter().enumerate().filter(|(_, seen)| seen.at >= made_at) {
        let Some(party) = seen.party else { continue };
        if let What::Synced { .. } = &seen.what
            && last_sync == Some(party)
        {
            items.push(line(seen.at, &format!("{} syncs: the block is durable there", history.name(party))));
            last_sync = None;
        }
        let Some(what) = happened(history, cid, number, seen, &concerned) else { continue };
        if matches!(seen.what, What::Merged { .. }) {
            last_sync = Some(party);
        }
        items.push(line(seen.at, &what));
    }
    cut(items, lines);
    let (mut never, mut lost) = (Vec::new(), Vec::new());
    for replica in history.replicas().filter(|replica| !history.has_merged(*replica, &cid, history.events.len())) {
        let is_merge = |what: &What| matches!(what, What::Merged { block, .. } if block.0 == cid);
        let once = history.events.iter().any(|seen| seen.party == Some(replica) && is_merge(&seen.what));
        if once { &mut lost } else { &mut never }.push(history.name(replica));
    }
    for (what, whom) in [("never merged by", never), ("merged and lost again by", lost)] {
        if !whom.is_empty() {
            lines.push(format!("  {what} {}", whom.join(", ")));
        }
    }
}

/// What an event has to do with the block, if anything.
fn happened(
    history: &History<'_>,
    cid: Cid,
    number: usize,
    seen: &Seen,
    concerned: &impl Fn(Party) -> bool,
) -> Option<String> {
    let party = seen.party?;
    let name = history.name(party);
    match &seen.what {
        What::Merged { block, void } if block.0 == cid => {
            let void = if *void { " as void" } else { "" };
            Some(format!("{name} merges it{void}{}", came(history, cid, party, number)))
        }
        What::Acknowledged { number, blocks } if blocks.iter().any(|id| id.0 == cid) => {
            Some(format!("{name} acknowledges operation {number}"))
        }
        What::Crashed { kept, lost, .. } if concerned(party) => {
            Some(format!("{name} crashes; of its unsynced commits {kept} are kept, {lost} lost"))
        }
        What::Started { merged } if concerned(party) => {
            let has = if merged.contains(&Id(cid)) { ", this one too" } else { "" };
            Some(format!("{name} is opened with {} blocks merged{has}", merged.len()))
        }
        What::Decided { purged, abandoned } => {
            let before = history.holds_at(party, number);
            let is_purged = purged.iter().any(|(id, _)| id.0 == cid) && !before.purged.contains_key(&cid);
            let is_given_up = abandoned.contains(&Id(cid)) && !before.abandoned.contains(&cid);
            let what = is_purged.then_some("purges it").or_else(|| is_given_up.then_some("gives it up"))?;
            Some(format!("{name} {what}"))
        }
        What::Sent { message, says, stopped_by, arrives, fate, .. }
            if concerned(message.to) || concerned(message.from) =>
        {
            let what = about(says, cid)?;
            let fate = match (stopped_by, arrives.0) {
                (Some(fault), _) => format!("stopped by fault {fault}"),
                (None, None) => String::from("lost"),
                (None, Some(arrives)) if fate.flip.is_some() => {
                    format!("arrives at {} with a bit flipped", at(arrives))
                }
                (None, Some(arrives)) => format!("arrives at {}", at(arrives)),
            };
            // Announcements to those who have the block say nothing new.
            let knows = matches!(says, Says::Heads(_)) && history.has_merged(message.to, &cid, number);
            (!knows).then(|| format!("{name} {what} {}: {fate}", history.name(message.to)))
        }
        What::Arrived { message, taken: false, .. } if concerned(message.to) => {
            about(history.says(message)?, cid)?;
            Some(format!("what {} sent of it comes to {name}, who is not there", history.name(message.from)))
        }
        _ => None,
    }
}

fn about(says: &Says, cid: Cid) -> Option<&'static str> {
    match says {
        Says::Heads(heads) if heads.iter().any(|id| id.0 == cid) => Some("announces it to"),
        Says::Give(id) if id.0 == cid => Some("asks for it:"),
        Says::Block(id) if id.0 == cid => Some("sends it to"),
        Says::NotFound(id) if id.0 == cid => Some("does not have it, and says so to"),
        _ => None,
    }
}

/// How a block came to the replica that merges it: its own, or from whom, and how long that took.
pub(super) fn came(history: &History<'_>, cid: Cid, replica: Party, before: usize) -> String {
    if history.blocks.get(&cid).is_some_and(|made| made.author == replica) {
        return String::from(" (its own)");
    }
    let arrived = history.events[..before.min(history.events.len())].iter().rev().find_map(|seen| match &seen.what {
        What::Arrived { message, .. }
            if seen.party == Some(replica) && matches!(history.says(message), Some(Says::Block(id)) if id.0 == cid) =>
        {
            Some((seen.at, *message))
        }
        _ => None,
    });
    match arrived {
        Some((_, message)) => {
            let sent = history.sent(&message).map_or(String::new(), |sent| format!(", sent at {}", at(sent.at)));
            format!(" (from {}{sent})", history.name(message.from))
        }
        None => String::new(),
    }
}

/// The last that is known, for a failure that is about no key and no block.
pub(super) fn explain_end(history: &History<'_>, whom: &[Party], lines: &mut Vec<String>) {
    lines.push(String::new());
    lines.push(String::from("The last that happened"));
    let concerned = |seen: &&Seen| whom.is_empty() || seen.party.is_none_or(|party| whom.contains(&party));
    let last: Vec<&Seen> = history.events.iter().rev().filter(concerned).take(12).collect();
    for seen in last.into_iter().rev() {
        let name = seen.party.map_or("", |party| history.name(party));
        let mut what = words::what(&seen.what, history.parties());
        if what.chars().count() > 150 {
            what = what.chars().take(150).chain(['…']).collect();
        }
        lines.push(line(seen.at, &format!("{name} {what}")));
    }
}
