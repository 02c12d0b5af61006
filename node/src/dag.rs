//! Pictures of the DAG: the core's walk and words, and what each block writes, as the datastore's codec reads it.

use crate::view::AnyView;
use anabranch_core::{
    Cid, Error as ReplicaError, Visited,
    picture::{edge, node, short},
};
use std::{collections::BTreeSet, fmt::Write};

/// How many keys of a block are named.
const KEYS_NAMED_MAX: usize = 3;

/// What a block does, in a few words.
fn what(view: &dyn AnyView, visited: &Visited) -> Result<String, ReplicaError> {
    if visited.purged {
        return Ok(String::from("purged"));
    }
    let bytes = view.block(&visited.cid)?.unwrap_or_default();
    let delta = match view.decode(&bytes).delta {
        Ok(delta) if !visited.void => delta,
        Ok(_) | Err(_) => return Ok(format!("void, {} B", bytes.len())),
    };
    let puts = delta.elements.iter().map(|element| format!("+{}", element.key));
    let mut removed: Vec<_> = delta.tombstones.iter().map(|tombstone| format!("-{}", tombstone.key)).collect();
    removed.dedup();
    let all: Vec<String> = puts.chain(removed).collect();
    let mut named = all.iter().take(KEYS_NAMED_MAX).map(|name| name.escape_debug().to_string()).collect::<Vec<_>>();
    if all.len() > KEYS_NAMED_MAX {
        named.push(format!("and {} more", all.len() - KEYS_NAMED_MAX));
    }
    Ok(named.join(" "))
}

fn heads(view: &dyn AnyView) -> Result<BTreeSet<Cid>, ReplicaError> {
    Ok(view.heads()?.iter().map(|head| head.cid).collect())
}

/// The DAG for Graphviz.
pub(crate) fn dot(view: &dyn AnyView) -> Result<String, ReplicaError> {
    let heads = heads(view)?;
    let mut text = String::from("digraph history {\n  rankdir=BT;\n  node [shape=box, fontname=\"monospace\"];\n");
    for visited in view.traverse(&[])? {
        let visited = visited?;
        let mut about = format!("height {}\n{}", visited.height, what(view, &visited)?);
        if !visited.dag.is_main() {
            let _ = write!(about, "\nof {}", visited.dag.as_str().escape_debug());
        }
        let style = match (visited.void, visited.purged, heads.contains(&visited.cid)) {
            (true, ..) => ", style=dashed, color=red",
            (_, true, _) => ", style=dotted, color=gray",
            (_, _, true) => ", peripheries=2",
            _ => "",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", node(&visited.cid, &about, style));
        for link in &visited.links {
            let _ = writeln!(text, "{}", edge(&visited.cid, link));
        }
    }
    text.push_str("}\n");
    Ok(text)
}

/// The DAG as lines: height, the end of the CID, what the block does, and its parents.
pub(crate) fn picture(view: &dyn AnyView, limit: usize) -> Result<String, ReplicaError> {
    let (heads, mut text, mut left) = (heads(view)?, String::new(), 0_u64);
    for (number, visited) in view.traverse(&[])?.enumerate() {
        let visited = visited?;
        if number >= limit {
            left += 1;
            continue;
        }
        let sign = match (heads.contains(&visited.cid), visited.void, visited.purged) {
            (true, ..) => '●',
            (_, true, _) => '✗',
            (_, _, true) => '·',
            _ => '○',
        };
        let _ = write!(text, "{sign} {:>6} {}  {}", visited.height, short(&visited.cid), what(view, &visited)?);
        if !visited.dag.is_main() {
            let _ = write!(text, "  of {}", visited.dag.as_str().escape_debug());
        }
        if !visited.links.is_empty() {
            let links: Vec<String> = visited.links.iter().map(short).collect();
            let _ = write!(text, "  → {}", links.join(" "));
        }
        text.push('\n');
    }
    if left > 0 {
        let _ = writeln!(text, "and {left} blocks below");
    }
    Ok(text)
}
