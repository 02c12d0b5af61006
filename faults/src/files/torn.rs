//! What a power cut leaves of a file whose changes were not synced.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::content::{Change, Content};

/// What a disk writes whole or not at all, in bytes.
const SECTOR: u64 = 512;

/// How many of `count` changes, in their order, survive: often none, often all.
pub(super) fn beginning(rng: &mut ChaCha8Rng, count: usize) -> usize {
    match rng.next_u32() % 4 {
        0 => 0,
        1 => count,
        _ => below(rng, count + 1),
    }
}

/// A number below `bound`, which is not 0. The bias of the remainder is of no account here.
fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    (rng.next_u64() % bound as u64) as usize
}

/// A change that cut the file: its place in the list, and the length it left.
struct Cut {
    index: usize,
    length: u64,
}

/// The file as it may be after a power cut: `durable` with some of the changes that wait. Lengths survive up to a random
/// change; of each sector written since, it keeps the old bytes or those after a random write to it.
pub(super) fn torn(durable: &Content, pending: &[Change], rng: &mut ChaCha8Rng) -> Content {
    let lengths = beginning(rng, pending.len());
    // Of four: how many sectors survive, from none to all.
    let share = rng.next_u32() % 5;
    let mut content = durable.clone();
    pending[..lengths].iter().for_each(|change| content.apply_length(change));
    let cuts = cuts(durable.size(), pending);
    for (sector, writes) in sectors(pending) {
        let survives = rng.next_u32() % 4 < share;
        let newest = rng.next_u32().is_multiple_of(2);
        let pick = rng.next_u64();
        let end = (sector + 1) * SECTOR;
        // Versions of the sector before a cut that took effect are gone; after one that was lost they never came.
        let first = cuts.iter().rfind(|cut| cut.index < lengths && cut.length < end).map_or(0, |cut| cut.index + 1);
        let last = cuts.iter().find(|cut| cut.index >= lengths && cut.length < end).map_or(usize::MAX, |cut| cut.index);
        let candidates: Vec<usize> = writes.iter().copied().filter(|write| (first..last).contains(write)).collect();
        if !survives || candidates.is_empty() {
            continue;
        }
        let chosen = match newest {
            true => candidates[candidates.len() - 1],
            false => candidates[(pick % candidates.len() as u64) as usize],
        };
        content.put(sector * SECTOR, &version(durable, pending, &cuts, sector, &writes, chosen));
    }
    content
}

/// The changes that cut the file.
fn cuts(mut length: u64, pending: &[Change]) -> Vec<Cut> {
    let mut cuts = Vec::new();
    for (index, change) in pending.iter().enumerate() {
        length = match change {
            Change::Write(_, data) if data.is_empty() => length,
            Change::Write(offset, data) => length.max(offset + data.len() as u64),
            Change::Grow(size) => length.max(*size),
            Change::Resize(size) => {
                if *size < length {
                    cuts.push(Cut { index, length: *size });
                }
                *size
            }
        };
    }
    cuts
}

/// The sectors that were written, and the changes that wrote each.
fn sectors(pending: &[Change]) -> BTreeMap<u64, Vec<usize>> {
    let mut sectors: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (index, change) in pending.iter().enumerate() {
        if let Change::Write(offset, data) = change {
            for sector in offset / SECTOR..(offset + data.len() as u64).div_ceil(SECTOR) {
                sectors.entry(sector).or_default().push(index);
            }
        }
    }
    sectors
}

/// The sector's bytes after the change `chosen`.
fn version(
    durable: &Content,
    pending: &[Change],
    cuts: &[Cut],
    sector: u64,
    writes: &[usize],
    chosen: usize,
) -> [u8; SECTOR as usize] {
    let start = sector * SECTOR;
    let mut bytes = [0; SECTOR as usize];
    durable.get(start, &mut bytes);
    let mut cuts = cuts.iter().peekable();
    for write in writes.iter().filter(|write| **write <= chosen) {
        while let Some(cut) = cuts.next_if(|cut| cut.index < *write) {
            let kept = cut.length.saturating_sub(start).min(SECTOR) as usize;
            bytes[kept..].fill(0);
        }
        if let Change::Write(offset, data) = &pending[*write] {
            let from = start.max(*offset);
            let to = (start + SECTOR).min(offset + data.len() as u64);
            bytes[(from - start) as usize..(to - start) as usize]
                .copy_from_slice(&data[(from - offset) as usize..(to - offset) as usize]);
        }
    }
    bytes
}
