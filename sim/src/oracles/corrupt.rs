//! No corrupted block is merged: what a replica holds are the bytes that the author made, and they hash to the CID.

use super::Finding;
use crate::{ledger::Ledger, outcome::short};
use anabranch_core::{Bytes, Cid};

/// Whether a block that a replica has merged is one that someone made, with the bytes that it was made with.
///
/// # Errors
/// What is wrong with it.
pub fn check(ledger: &Ledger, cid: &Cid, bytes: Option<&Bytes>) -> Finding {
    let Some(made) = ledger.block(cid) else {
        return Err(format!("block {} is merged, and nobody made it", short(cid)));
    };
    match bytes {
        None => Err(format!("block {} is merged, and its bytes are not there", short(cid))),
        Some(bytes) if *bytes == made.bytes => Ok(()),
        Some(bytes) => {
            let at = bytes
                .iter()
                .zip(&made.bytes)
                .position(|(ours, made)| ours != made)
                .unwrap_or(made.bytes.len().min(bytes.len()));
            Err(format!(
                "block {} is merged with other bytes than it was made with: the first differs at {at}",
                short(cid)
            ))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{ledger::tests::block, scenario::Party};

    #[test]
    fn fires_on_flipped_bits_on_missing_bytes_and_on_blocks_from_nowhere() {
        let (cid, bytes) = block(&[], "k", "v", 1);
        let mut ledger = Ledger::new(1);
        assert!(check(&ledger, &cid, Some(&bytes)).unwrap_err().contains("nobody made it"));
        ledger.author(Party(0), cid, bytes.clone());
        assert_eq!(check(&ledger, &cid, Some(&bytes)), Ok(()));
        assert!(check(&ledger, &cid, None).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let why = check(&ledger, &cid, Some(&flipped.into())).unwrap_err();
            assert!(why.ends_with(&format!("differs at {}", bit / 8)), "{why}");
        }
        assert!(check(&ledger, &cid, Some(&bytes.slice(..bytes.len() - 1))).is_err());
    }
}
