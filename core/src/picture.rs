//! Pictures of the DAG of a replica, for people: as text, and in Graphviz's language.
//!
//! Both take what a [walk](crate::View::traverse) gives and yield lines, so that a history of any length costs the walk's
//! memory and no more.
//!
//! ```
//! use anabranch_core::{Batch, Config, Error, Input, Replica, Token, picture, store::MemoryStore};
//!
//! # fn main() -> Result<(), Error> {
//! let mut out = Vec::new();
//! let mut replica = Replica::open(MemoryStore::new(), Config::default(), &mut out)?;
//! let _ = replica.step(Input::Commit { token: Token(1), batch: Batch::new().put("/k", "v") }, &mut out)?;
//! let lines: Vec<String> = picture::text(replica.traverse(&[])?).collect::<Result<_, Error>>()?;
//! assert_eq!(lines, ["bafybeicpynjs4kxvbraf5ynxoyjwabfzzcqa5oz6i2orc5h426qh362x6m  height 1"]);
//! # Ok(())
//! # }
//! ```

use crate::{Cid, Error, Visited};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::iter;

type Line = Result<String, Error>;

/// A line a block, the highest first, and under it one for each of its parents.
pub fn text(blocks: impl Iterator<Item = Result<Visited, Error>>) -> impl Iterator<Item = Line> {
    blocks.flat_map(|visited| match visited {
        Ok(visited) => {
            let first = format!("{}  {}", visited.cid, about(&visited));
            iter::once(first).chain(visited.links.iter().map(|link| format!("    link    {link}"))).map(Ok).collect()
        }
        Err(error) => Vec::from([Err(error)]),
    })
}

/// A graph for Graphviz (`dot -Tsvg`), children above their parents. Void blocks are dashed and red, purged ones dotted and grey.
pub fn dot(blocks: impl Iterator<Item = Result<Visited, Error>>) -> impl Iterator<Item = Line> {
    let head = ["digraph history {", "  node [shape=box, fontname=\"monospace\"];"].map(|line| Ok(line.to_string()));
    let body = blocks.flat_map(|visited| match visited {
        Ok(visited) => {
            let edges = visited.links.iter().map(|link| edge(&visited.cid, link));
            let style = match (visited.void, visited.purged) {
                (true, _) => ", style=dashed, color=red",
                (_, true) => ", style=dotted, color=gray",
                _ => "",
            };
            iter::once(node(&visited.cid, &about(&visited), style)).chain(edges).map(Ok).collect()
        }
        Err(error) => Vec::from([Err(error)]),
    });
    head.into_iter().chain(body).chain(iter::once(Ok(String::from("}"))))
}

/// One block of the graph; the text under its name is quoted here, and the style is taken as it is.
#[must_use]
pub fn node(cid: &Cid, about: &str, style: &str) -> String {
    format!("  \"{cid}\" [label=\"{}\\n{}\"{style}];", short(cid), quoted(about))
}

/// One link of the graph.
#[must_use]
pub fn edge(child: &Cid, parent: &Cid) -> String {
    format!("  \"{child}\" -> \"{parent}\";")
}

/// The CID's last ten characters: the first ones are the same in all CIDs of this kind.
#[must_use]
pub fn short(cid: &Cid) -> String {
    let text = cid.to_string();
    format!("…{}", &text[text.len().saturating_sub(10)..])
}

/// Text inside the quotes of Graphviz's language. A line end becomes one of the label's.
#[must_use]
pub fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn about(visited: &Visited) -> String {
    let mut about = format!("height {}", visited.height);
    if visited.void {
        about.push_str("  void");
    }
    if visited.purged {
        about.push_str("  purged");
    }
    if !visited.dag.is_main() {
        about.push_str(&format!("  dag {:?}", visited.dag.as_str()));
    }
    about
}
