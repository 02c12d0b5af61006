//! `anabranch dag show`.

use super::{
    dag::read,
    exit::{Code, Stop},
    out::Out,
};
use anabranch_core::{
    Bytes, Cid, picture,
    wire::{Block, Delta},
};
use anabranch_sim::{
    car::Car,
    fold::{Folded, fold},
};
use data_encoding::HEXLOWER;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// How much of a value is shown.
const VALUE_BYTES_SHOWN: usize = 32;

/// Lists the blocks. Unlike `fold`, it takes a history of which a part is missing, and says so.
pub(super) fn show(file: &Path, dot: bool, out: &mut Out, err: &mut Out) -> Result<Code, Stop> {
    let dag = Dag::of(&read(file, err)?);
    if dot {
        dag.graph(out)?
    } else {
        dag.list(out)?
    }
    Ok(Code::Passed)
}

struct Dag {
    blocks: BTreeMap<Cid, Block>,
    folded: Folded,
    heads: BTreeSet<Cid>,
    /// All that is linked to or named as a root, and not in the file.
    absent: BTreeSet<Cid>,
}

impl Dag {
    fn of(car: &Car) -> Self {
        let bytes = car.by_cid();
        let folded = fold(&bytes);
        let blocks: BTreeMap<Cid, Block> = bytes.iter().map(|(cid, bytes)| (*cid, Block::decode(bytes))).collect();
        let named = blocks.values().flat_map(|block| &block.links).chain(&car.roots);
        let absent = named.copied().filter(|cid| !blocks.contains_key(cid)).collect();
        let heads = folded.heads.values().flatten().copied().collect();
        Self { blocks, folded, heads, absent }
    }

    /// The blocks, roots first: merged ones by height, then the others.
    fn in_order(&self) -> Vec<(&Cid, &Block)> {
        let mut order: Vec<_> = self.blocks.iter().collect();
        order.sort_by_key(|(cid, _)| (self.folded.heights.get(cid).copied().unwrap_or(u64::MAX), **cid));
        order
    }

    fn list(&self, out: &mut Out) -> Result<(), Stop> {
        for (cid, block) in self.in_order() {
            out.line(format_args!("{cid}  {}", self.about(cid, block)))?;
            for link in &block.links {
                let absent = if self.absent.contains(link) { "  (not in the file)" } else { "" };
                out.line(format_args!("    link    {link}{absent}"))?;
            }
            for element in block.delta.iter().flat_map(|delta| &delta.elements) {
                let key = element.key.to_string();
                out.line(format_args!("    put     {} = {}", key.escape_debug(), value(&element.value)))?;
            }
            for tombstone in block.delta.iter().flat_map(|delta| &delta.tombstones) {
                let key = tombstone.key.to_string();
                out.line(format_args!("    remove  {} of {}", key.escape_debug(), tombstone.target))?;
            }
        }
        let folded = &self.folded;
        out.line(format_args!(
            "{} blocks: {} merged, of which {} void and {} misdeclared; {} heads; {} not in the file",
            self.blocks.len(),
            folded.heights.len(),
            folded.void,
            folded.misdeclared,
            self.heads.len(),
            self.absent.len()
        ))
    }

    /// Height, declared priority, DAG name, and what is special about the block.
    fn about(&self, cid: &Cid, block: &Block) -> String {
        let mut about = Vec::new();
        let height = self.folded.heights.get(cid);
        about.extend(height.map(|height| format!("height {height}")));
        match &block.delta {
            Ok(Delta { priority, dag, .. }) => {
                let misdeclared = height.is_some_and(|height| height != priority);
                about.push(format!("priority {priority}{}", if misdeclared { " (misdeclared)" } else { "" }));
                about.extend((!dag.is_main()).then(|| format!("dag {:?}", dag.as_str())));
            }
            Err(flaw) => about.push(format!("void: {flaw}")),
        }
        about.extend(self.heads.contains(cid).then(|| String::from("head")));
        if self.folded.unmerged.contains(cid) {
            about.push(String::from("not merged: an ancestor is not in the file"));
        } else if height.is_none() {
            about.push(String::from("not merged: no good block descends from it"));
        }
        about.join("  ")
    }

    /// The graph in Graphviz's language, children above their parents.
    fn graph(&self, out: &mut Out) -> Result<(), Stop> {
        out.line("digraph history {\n  node [shape=box, fontname=\"monospace\"];")?;
        for (cid, block) in self.in_order() {
            let writes = block.delta.as_ref().map_or(String::new(), |delta| {
                format!("\n{} puts, {} removals", delta.elements.len(), delta.tombstones.len())
            });
            let style = match (&block.delta, self.heads.contains(cid)) {
                (Err(_), _) => ", style=dashed, color=red",
                (Ok(_), true) => ", style=bold",
                (Ok(_), false) => "",
            };
            out.line(format_args!("{}", picture::node(cid, &(self.about(cid, block) + &writes), style)))?;
        }
        for cid in &self.absent {
            out.line(format_args!("{}", picture::node(cid, "not in the file", ", style=dotted, color=gray")))?;
        }
        for (cid, block) in self.in_order() {
            block.links.iter().try_for_each(|link| out.line(format_args!("{}", picture::edge(cid, link))))?;
        }
        out.line("}")
    }
}

/// A value in hex, and as text where it is printable. Long ones are cut.
fn value(bytes: &Bytes) -> String {
    let shown = &bytes[..bytes.len().min(VALUE_BYTES_SHOWN)];
    let cut = if shown.len() < bytes.len() { format!("… ({} bytes)", bytes.len()) } else { String::new() };
    let printable = |text: &&str| !text.is_empty() && !text.chars().any(char::is_control);
    let text = std::str::from_utf8(shown).ok().filter(printable);
    let text = text.map_or(String::new(), |text| format!("  {text:?}{}", if cut.is_empty() { "" } else { "…" }));
    if bytes.is_empty() { String::from("(empty)") } else { format!("{}{cut}{text}", HEXLOWER.encode(shown)) }
}
