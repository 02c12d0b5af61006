//! A replica keeps to its limits, and whatever it owes it pursues.

use super::Finding;
use crate::outcome::short;
use anabranch_core::{Cid, Config, Stats, limits};

/// Whether a replica holds no more than its settings allow. Bodies that are ready to be merged, and the one that came last, may be over it.
///
/// # Errors
/// Which limit is passed.
pub fn limits(stats: &Stats, config: &Config, peers: usize) -> Finding {
    let within = |name: &str, found: u64, most: u64| match found <= most {
        true => Ok(()),
        false => Err(format!("{found} {name}, and at most {most} are allowed")),
    };
    within("fetches in flight", stats.fetches as u64, config.fetches_max as u64)?;
    // Those that were announced by several count once.
    within("rumours", stats.rumours as u64, config.rumours_per_peer_max as u64 * peers as u64)?;
    let bytes = config.pending_bytes_max + limits::BLOCK_BYTES_MERGED_MAX as u64;
    within("bytes of pending blocks", stats.pending_bytes, bytes)
}

/// Whether a replica that owes something goes on with it: it has work left, or waits for a timer of its fetches.
///
/// # Errors
/// What it owes and has forgotten.
pub fn obligations(stats: &Stats, has_work: bool, waits_for_fetches: bool) -> Finding {
    if stats.obligations == 0 || has_work || waits_for_fetches {
        return Ok(());
    }
    Err(format!(
        "{} blocks are owed, {} fetches are in flight, and neither work nor a timer is left: they are forgotten",
        stats.obligations, stats.fetches
    ))
}

/// Objects to an obligation whose bytes came and changed nothing: whoever builds upon the block waits for ever.
///
/// # Errors
/// Always.
pub fn taken(cid: &Cid) -> Finding {
    Err(format!("block {} came, and is owed as if it had not", short(cid)))
}

/// Whether a write that waited, and says that it has seen all that was known to be missing when it was asked for, has seen it.
///
/// # Errors
/// What it has not seen.
pub fn waited(known: &[Cid], is_decided: impl Fn(&Cid) -> bool) -> Finding {
    match known.iter().find(|cid| !is_decided(cid)) {
        None => Ok(()),
        Some(cid) => Err(format!(
            "a write says that it has seen all that was missing when it was asked for, and block {} is not merged",
            short(cid)
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fires_when_a_limit_is_passed() {
        let config = Config { fetches_max: 3, rumours_per_peer_max: 2, pending_bytes_max: 10, ..Config::default() };
        let fine = Stats { fetches: 3, rumours: 4, pending_bytes: 10, ..Stats::default() };
        assert_eq!(limits(&fine, &config, 2), Ok(()));
        assert!(limits(&Stats { fetches: 4, ..fine }, &config, 2).unwrap_err().contains("fetches"));
        assert!(limits(&Stats { rumours: 5, ..fine }, &config, 2).unwrap_err().contains("rumours"));
        assert!(limits(&Stats { pending_bytes: 1 << 40, ..fine }, &config, 2).unwrap_err().contains("bytes"));
    }

    #[test]
    fn fires_when_what_is_owed_is_not_pursued() {
        let owes = Stats { obligations: 2, ..Stats::default() };
        assert!(obligations(&owes, false, false).unwrap_err().contains("forgotten"));
        assert_eq!(obligations(&owes, true, false), Ok(()));
        assert_eq!(obligations(&owes, false, true), Ok(()));
        assert_eq!(obligations(&Stats::default(), false, false), Ok(()));
    }

    #[test]
    fn a_block_that_came_in_vain_is_named() {
        let cid = Cid::of(b"block");
        assert!(taken(&cid).unwrap_err().starts_with(&format!("block {} came", short(&cid))));
    }

    #[test]
    fn a_write_that_has_not_waited_is_found() {
        let known = [Cid::of(b"one"), Cid::of(b"two")];
        assert_eq!(waited(&known, |_| true), Ok(()));
        assert!(waited(&known, |cid| *cid == known[0]).unwrap_err().contains("is not merged"));
    }
}
