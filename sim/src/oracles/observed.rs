//! What can be seen of a replica from outside.

use crate::fold::Facts;
use anabranch_core::{Bytes, Cid, DagName, Error, Key, Query, Replica, Stub, store::Store};
use std::collections::{BTreeMap, BTreeSet};

/// All that a replica shows at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The heads of each DAG name that has any.
    pub heads: BTreeMap<DagName, BTreeSet<Cid>>,
    /// The value of each key that has one.
    pub state: BTreeMap<Key, Bytes>,
    /// Void blocks merged.
    pub void: u64,
    /// Good blocks merged that declare another priority than their height.
    pub misdeclared: u64,
}

impl Observed {
    /// Reads everything out of a replica: O(keys + heads).
    ///
    /// # Errors
    /// When its store fails.
    pub fn of<S: Store>(replica: &Replica<S>) -> Result<Self, Error> {
        let mut heads: BTreeMap<DagName, BTreeSet<Cid>> = BTreeMap::new();
        for head in replica.heads()? {
            heads.entry(head.dag).or_default().insert(head.cid);
        }
        let rows = replica.query(&Query::default())?;
        let state = rows.into_iter().map(|row| (row.key, row.value.unwrap_or_default())).collect();
        let stats = replica.stats();
        Ok(Self { heads, state, void: stats.void, misdeclared: stats.misdeclared })
    }
}

/// All blocks that a replica has merged, in order of their CIDs.
///
/// # Errors
/// When its store fails.
pub fn merged<S: Store>(replica: &Replica<S>) -> Result<Vec<Cid>, Error> {
    const PAGE: usize = 4096;
    let mut all = Vec::new();
    loop {
        let page = replica.merged(all.last(), PAGE)?;
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

/// What a replica knows of blocks without their bytes. `void` is left empty.
///
/// # Errors
/// When its store fails.
pub fn facts<S: Store>(replica: &Replica<S>) -> Result<Facts, Error> {
    const PAGE: usize = 4096;
    let (mut facts, mut last) = (Facts::default(), None);
    loop {
        let page = replica.stubs(last.as_ref(), PAGE)?;
        let is_last = page.len() < PAGE;
        last = page.last().map(|(cid, _)| *cid);
        for (cid, stub) in page {
            match stub {
                Stub::Purged { height, .. } => drop(facts.purged.insert(cid, height)),
                Stub::Abandoned => drop(facts.abandoned.insert(cid)),
            }
        }
        if is_last {
            return Ok(facts);
        }
    }
}

/// Where two maps differ, in words: the first key, and how many keys.
pub(super) fn difference<K: Ord, V: PartialEq>(
    ours: &BTreeMap<K, V>,
    theirs: &BTreeMap<K, V>,
    show: impl Fn(&K, Option<&V>, Option<&V>) -> String,
) -> Option<String> {
    let keys: BTreeSet<&K> = ours.keys().chain(theirs.keys()).collect();
    let mut different = keys.into_iter().filter(|key| ours.get(key) != theirs.get(key));
    let first = different.next()?;
    let others = different.count();
    let more = if others > 0 { format!(" (and {others} more)") } else { String::new() };
    Some(show(first, ours.get(first), theirs.get(first)) + &more)
}

/// Heads in words.
pub(super) fn show_heads(heads: Option<&BTreeSet<Cid>>) -> String {
    let short: Vec<String> = heads.into_iter().flatten().take(4).map(crate::outcome::short).collect();
    let more = if heads.map_or(0, BTreeSet::len) > short.len() { " …" } else { "" };
    format!("{{{}{more}}}", short.join(" "))
}

/// A value in words.
pub(super) fn show_value(value: Option<&Bytes>) -> String {
    match value {
        None => String::from("absent"),
        Some(value) if value.is_empty() => String::from("empty"),
        Some(value) => format!("{} bytes {}…", value.len(), crate::engine::hex(&value[..value.len().min(8)])),
    }
}
