//! Pictures of the DAG.

use crate::{snapshot::AnyView, transfer::Walk};
use anabranch_core::{Bytes, Cid, DagName, Error as ReplicaError, wire::Block};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// How many characters of a CID tell blocks of a picture apart.
const CID_CHARS: usize = 8;
/// How many keys of a block are named.
const KEYS_NAMED_MAX: usize = 3;

/// A block in a picture.
struct Drawn {
    cid: Cid,
    height: u64,
    links: Vec<Cid>,
    dag: DagName,
    what: String,
    is_head: bool,
}

/// The merged blocks, the highest first.
fn blocks(view: &dyn AnyView) -> Result<Vec<Drawn>, ReplicaError> {
    let heads: BTreeSet<Cid> = view.heads()?.iter().map(|head| head.cid).collect();
    let (mut heights, mut drawn) = (BTreeMap::new(), Vec::new());
    let mut walk = Walk::from(view, heads.iter().copied().collect());
    while let Some((cid, bytes)) = walk.next_block()? {
        let block = Block::decode(&bytes);
        let height = 1 + block.links.iter().filter_map(|link| heights.get(link)).max().copied().unwrap_or(0_u64);
        heights.insert(cid, height);
        let dag = block.delta.as_ref().map(|delta| delta.dag.clone()).unwrap_or_default();
        let what = what(&block, &bytes);
        drawn.push(Drawn { cid, height, links: block.links, dag, what, is_head: heads.contains(&cid) });
    }
    drawn.sort_by_key(|block| (u64::MAX - block.height, block.cid));
    Ok(drawn)
}

/// What a block does, in a few words.
fn what(block: &Block, bytes: &Bytes) -> String {
    let Ok(delta) = &block.delta else { return format!("void, {} B", bytes.len()) };
    let puts = delta.elements.iter().map(|element| format!("+{}", element.key));
    let mut removed: Vec<_> = delta.tombstones.iter().map(|tombstone| format!("-{}", tombstone.key)).collect();
    removed.dedup();
    let all: Vec<String> = puts.chain(removed).collect();
    let mut named = all.iter().take(KEYS_NAMED_MAX).map(|name| name.escape_debug().to_string()).collect::<Vec<_>>();
    if all.len() > KEYS_NAMED_MAX {
        named.push(format!("and {} more", all.len() - KEYS_NAMED_MAX));
    }
    named.join(" ")
}

fn short(cid: &Cid) -> String {
    let text = cid.to_string();
    text[text.len() - CID_CHARS..].to_owned()
}

/// The DAG for Graphviz.
pub(crate) fn dot(view: &dyn AnyView) -> Result<String, ReplicaError> {
    let mut text = String::from("digraph dag {\n  rankdir=BT\n  node [shape=box]\n");
    for block in blocks(view)? {
        let label = format!("{} {}\n{}", short(&block.cid), block.height, block.what);
        let label = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let shape = if block.is_head { ", peripheries=2" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  \"{}\" [label=\"{label}\"{shape}]", block.cid);
        for link in &block.links {
            let _ = writeln!(text, "  \"{}\" -> \"{link}\"", block.cid);
        }
    }
    text.push_str("}\n");
    Ok(text)
}

/// The DAG as lines: height, the end of the CID, what the block does, and its parents.
pub(crate) fn picture(view: &dyn AnyView, limit: usize) -> Result<String, ReplicaError> {
    let (mut text, blocks) = (String::new(), blocks(view)?);
    for block in blocks.iter().take(limit) {
        let sign = if block.is_head { '●' } else { '○' };
        let _ = write!(text, "{sign} {:>6} …{}  {}", block.height, short(&block.cid), block.what);
        if !block.dag.is_main() {
            let _ = write!(text, "  of {}", block.dag.as_str().escape_debug());
        }
        if !block.links.is_empty() {
            let links: Vec<String> = block.links.iter().map(|link| format!("…{}", short(link))).collect();
            let _ = write!(text, "  → {}", links.join(" "));
        }
        text.push('\n');
    }
    if blocks.len() > limit {
        let _ = writeln!(text, "and {} blocks below", blocks.len() - limit);
    }
    Ok(text)
}
