//! Blocks that are decided without their bytes: purged and abandoned ones.
//!
//! These are base facts, as the bytes of other blocks are: a rebuild keeps them and derives all else.
//! Row of [`Table::Stubs`], by digest; integers little-endian:
//!
//! ```text
//! purged     1 | height u64 | DAG name
//! abandoned  2
//! ```

use super::node::take_u64;
use crate::{
    Cid, DagName, Error,
    store::{Read, Table, Txn},
};
use alloc::{format, string::String, vec::Vec};

/// What is left of a block whose bytes are not kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stub {
    /// Its DAG was purged. It counts for ancestry and height, and for nothing else.
    Purged {
        /// The height that it had.
        height: u64,
        /// Its DAG.
        dag: DagName,
    },
    /// An operator gave it up, since nobody serves it: its children are merged without it until it turns up.
    Abandoned,
}

impl Stub {
    fn encode(&self) -> Vec<u8> {
        let mut row = Vec::new();
        match self {
            Self::Purged { height, dag } => {
                row.push(1);
                row.extend_from_slice(&height.to_le_bytes());
                row.extend_from_slice(dag.as_str().as_bytes());
            }
            Self::Abandoned => row.push(2),
        }
        row
    }

    fn decode(row: &[u8]) -> Option<Self> {
        Some(match row.split_first()? {
            (1, rest) => {
                let (height, name) = take_u64(rest)?;
                Self::Purged { height, dag: DagName::new(String::from(core::str::from_utf8(name).ok()?)) }
            }
            (2, []) => Self::Abandoned,
            _ => return None,
        })
    }
}

/// Reads one row of the table.
pub(crate) fn decode_row(key: &[u8], row: &[u8]) -> Result<(Cid, Stub), Error> {
    let cid = key.try_into().map(Cid::from_digest).map_err(|_| damaged("whose key is no digest"))?;
    let stub = Stub::decode(row).ok_or_else(|| damaged(&format!("of block {cid}")))?;
    Ok((cid, stub))
}

fn damaged(which: &str) -> Error {
    Error::Corrupt(format!("a row of the stubs {which} does not decode"))
}

pub(crate) fn put<S: Read>(rows: &mut Txn<'_, S>, cid: &Cid, stub: &Stub) {
    rows.put(Table::Stubs, cid.to_row(), stub.encode());
}
