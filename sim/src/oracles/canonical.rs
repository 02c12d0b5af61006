//! The blocks that a replica writes are written as they should be (invariants 3 and 12): everyone else ranks and names them by their bytes.

use super::Finding;
use crate::{ledger::Ledger, outcome::short};
use anabranch_core::{
    Bytes, Cid,
    limits::PRIORITY_DECLARED_END,
    wire::{Block, Delta},
};
use std::collections::BTreeSet;

/// Whether a block that a replica has made is in order: good, its links sorted by CID bytes, each key written once, and
/// declaring its height, or more where a parent declares as much, or where the very block that it would be otherwise is decided there: after a purge
/// a root may be one that is gone, and says nothing any more. Who has given up blocks does not know how high others are, and may declare less than
/// what has all of them counts.
///
/// # Errors
/// What is out of order.
pub fn check(
    ledger: &Ledger,
    cid: &Cid,
    bytes: &Bytes,
    has_given_up: bool,
    is_decided: impl Fn(&Cid) -> bool,
) -> Finding {
    let wrong = |what: String| Err(format!("block {} was made here, and {what}", short(cid)));
    let block = Block::decode(bytes);
    let delta = match block.delta {
        Ok(delta) => delta,
        Err(flaw) => return wrong(format!("is void: {flaw}")),
    };
    if let Some([left, right]) = block.links.array_windows().find(|[left, right]| left.to_bytes() >= right.to_bytes()) {
        return wrong(format!(
            "links to {} before {}, which is not the order of their bytes",
            short(left),
            short(right)
        ));
    }
    let mut written = BTreeSet::new();
    if let Some(twice) = delta.elements.iter().find(|put| !written.insert(&put.key)) {
        return wrong(format!("puts {} twice", twice.key));
    }
    if let Some(both) = delta.tombstones.iter().find(|removal| written.contains(&removal.key)) {
        return wrong(format!("puts and removes {}", both.key));
    }
    let (mut height, mut least) = (1, 1);
    for parent in block.links.iter().filter_map(|link| ledger.block(link)) {
        height = height.max(parent.height + 1);
        let declared = Block::decode(&parent.bytes).delta.map_or(0, |delta| delta.priority);
        least = least.max(declared.checked_add(1).filter(|over| *over < PRIORITY_DECLARED_END).unwrap_or(0));
    }
    let is_gone = |priority| is_decided(&Cid::of(&Block::encode(&block.links, &Delta { priority, ..delta.clone() })));
    let asked = height.max(least);
    let is_lower = has_given_up && (least..asked).contains(&delta.priority);
    match is_lower || delta.priority >= asked && (asked..delta.priority).all(is_gone) {
        true => Ok(()),
        false => wrong(format!(
            "declares priority {}: its height is {height}, and its parents ask for {least}",
            delta.priority
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{ledger::tests::block, scenario::Party};
    use anabranch_core::{
        Key,
        wire::{Element, Tombstone},
    };

    #[test]
    fn fires_on_every_rule_that_is_broken() {
        let (one, one_bytes) = block(&[], "k", "1", 1);
        let (two, two_bytes) = block(&[], "k", "2", 7);
        let mut ledger = Ledger::new(1);
        ledger.author(Party(0), one, one_bytes);
        ledger.author(Party(0), two, two_bytes);
        let put = Element { key: Key::new("k"), value: Bytes::from_static(b"v") };
        let judge = |delta: &Delta, links: &[Cid]| {
            let bytes = Block::encode(links, delta);
            check(&ledger, &Cid::of(&bytes), &bytes, false, |_| false)
        };
        let right = Delta { elements: vec![put.clone()], priority: 8, ..Delta::default() };
        assert_eq!(judge(&right, &[one, two]), Ok(()));
        let twice = Delta { elements: vec![put.clone(), put], ..right.clone() };
        assert!(judge(&twice, &[one, two]).unwrap_err().contains("twice"));
        let removal = Tombstone { key: Key::new("k"), target: one };
        let both = Delta { tombstones: vec![removal], ..right.clone() };
        assert!(judge(&both, &[one, two]).unwrap_err().contains("puts and removes"));
        for priority in [0, 2, 7, 9] {
            let other = Delta { priority, ..right.clone() };
            assert!(judge(&other, &[one, two]).unwrap_err().contains("declares"), "{priority}");
        }
        assert_eq!(judge(&Delta { priority: 2, ..right.clone() }, &[one]), Ok(()));
        assert!(check(&ledger, &one, &Bytes::from_static(b"\xff"), false, |_| false).unwrap_err().contains("void"));

        // What it would be otherwise is gone: it has to be another, and no further from it than that.
        let gone = Cid::of(&Block::encode(&[one, two], &right));
        let nine = Block::encode(&[one, two], &Delta { priority: 9, ..right.clone() });
        assert_eq!(check(&ledger, &Cid::of(&nine), &nine, false, |cid| *cid == gone), Ok(()));
        let ten = Block::encode(&[one, two], &Delta { priority: 10, ..right.clone() });
        assert!(check(&ledger, &Cid::of(&ten), &ten, false, |cid| *cid == gone).unwrap_err().contains("declares"));
        // Its height is 3, and its parents ask for 2: who has given blocks up may not know of the height.
        let (three, three_bytes) = block(&[one], "k", "3", 1);
        ledger.author(Party(0), three, three_bytes);
        for (priority, is_in_order) in [(1, false), (2, true), (3, true), (4, false)] {
            let bytes = Block::encode(&[three], &Delta { priority, ..right.clone() });
            let judge = |has_given_up| check(&ledger, &Cid::of(&bytes), &bytes, has_given_up, |_| false);
            assert_eq!((judge(true).is_ok(), judge(false).is_ok()), (is_in_order, priority == 3), "{priority}");
        }

        // The encoder sorts; what is not sorted is made of a sorted block, its two links of equal length exchanged.
        let sorted = Block::encode(&[one, two], &right).to_vec();
        let link = 2 + usize::from(sorted[1]);
        assert_eq!(sorted[0], 0x12);
        let exchanged = [&sorted[link..2 * link], &sorted[..link], &sorted[2 * link..]].concat();
        let bytes = Bytes::from(exchanged);
        assert!(
            check(&ledger, &Cid::of(&bytes), &bytes, false, |_| false).unwrap_err().contains("order of their bytes")
        );
    }
}
