//! What one program sees of one replica is never older than what it has written and seen there.
//!
//! Judged from outside: by the values that reads give, not by what the replica says of itself. A value may have been put by several
//! blocks; one that is not older is enough.

use super::Finding;
use crate::{ledger::Ledger, outcome::short};
use anabranch_core::{Bytes, Cid, Key, wire};
use std::collections::{BTreeMap, BTreeSet};

/// What blocks do to keys: asked for the blocks that may have given a value.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// The blocks whose last write of a key is this value; `None` for a removal.
    by: BTreeMap<(Key, Option<Bytes>), Vec<Cid>>,
    /// What some block removes: the version of a key that a block has put.
    removed: BTreeSet<(Key, Cid)>,
}

impl Writes {
    /// Takes in a block.
    pub fn made(&mut self, cid: Cid, bytes: &Bytes) {
        let Ok(delta) = wire::Block::decode(bytes).delta else { return };
        let puts: BTreeMap<_, _> = delta.elements.into_iter().map(|put| (put.key, put.value)).collect();
        let removed: BTreeSet<_> = delta.tombstones.iter().map(|removal| removal.key.clone()).collect();
        self.removed.extend(delta.tombstones.into_iter().map(|removal| (removal.key, removal.target)));
        for key in removed {
            self.by.entry((key, None)).or_default().push(cid);
        }
        for (key, value) in puts {
            self.by.entry((key, Some(value))).or_default().push(cid);
        }
    }

    fn of(&self, key: &Key, value: Option<&Bytes>) -> &[Cid] {
        self.by.get(&(key.clone(), value.cloned())).map_or(&[], Vec::as_slice)
    }
}

/// What the program at one replica has written and seen.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// The last block of its own that wrote a key.
    wrote: BTreeMap<Key, Cid>,
    /// The block that it saw last for a key, where only one can have given the value.
    saw: BTreeMap<Key, Cid>,
    /// What its next write is to follow: what it saw since its last one, and that one, which follows all before it.
    follows: BTreeSet<Cid>,
}

impl Session {
    /// A write was acknowledged. Gives what it does not follow: a block of the same DAG that was seen before it was asked for.
    ///
    /// # Errors
    /// The first such block.
    pub fn wrote(&mut self, ledger: &Ledger, seen_before: &BTreeSet<Cid>, blocks: &[Cid]) -> Finding {
        let mut last = None;
        for block in blocks.iter().filter_map(|cid| ledger.block(cid)) {
            // A delete of what is absent writes nothing, so it is not to be seen.
            let Ok(delta) = wire::Block::decode(&block.bytes).delta else { continue };
            let put = delta.elements.into_iter().map(|put| put.key);
            for key in put.chain(delta.tombstones.into_iter().map(|removal| removal.key)) {
                self.wrote.insert(key, block.cid);
            }
            last = Some(block);
        }
        let Some(last) = last else { return Ok(()) };
        let is_of_its_dag =
            |cid: &Cid| ledger.block(cid).is_some_and(|seen| seen.dag.is_some() && seen.dag == last.dag);
        self.follows.retain(|cid| !(seen_before.contains(cid) && is_of_its_dag(cid)));
        self.follows.insert(last.cid);
        let mut unfollowed = ledger.not_ancestors(seen_before, &last.cid).filter(|cid| is_of_its_dag(cid));
        match unfollowed.next().and_then(|cid| ledger.block(cid)) {
            None => Ok(()),
            Some(seen) => Err(format!(
                "block {} was read, and the write that followed, {}, does not descend from it",
                short(&seen.cid),
                short(&last.cid)
            )),
        }
    }

    /// The blocks that a write asked for now has to follow.
    #[must_use]
    pub fn seen(&self) -> BTreeSet<Cid> {
        self.follows.clone()
    }

    /// Whether a value is not older than the last own write of its key.
    ///
    /// # Errors
    /// What was written and is not seen.
    pub fn reads_its_writes(&self, ledger: &Ledger, writes: &Writes, key: &Key, value: Option<&Bytes>) -> Finding {
        Self::not_older(ledger, writes, key, value, self.wrote.get(key), "was written")
    }

    /// Whether a value is not older than the one read before it.
    ///
    /// # Errors
    /// What was read, and now something older.
    pub fn reads_on(&self, ledger: &Ledger, writes: &Writes, key: &Key, value: Option<&Bytes>) -> Finding {
        Self::not_older(ledger, writes, key, value, self.saw.get(key), "was read")
    }

    /// A value was read.
    pub fn read(&mut self, writes: &Writes, key: &Key, value: Option<&Bytes>) {
        if let ([only], Some(_)) = (writes.of(key, value), value) {
            self.saw.insert(key.clone(), *only);
            self.follows.insert(*only);
        }
    }

    fn not_older(
        ledger: &Ledger,
        writes: &Writes,
        key: &Key,
        value: Option<&Bytes>,
        floor: Option<&Cid>,
        what: &str,
    ) -> Finding {
        let Some(floor) = floor.and_then(|cid| ledger.block(cid)) else { return Ok(()) };
        // A stranger may remove that version alone, and then what is older shows again.
        if writes.removed.contains(&(key.clone(), floor.cid)) {
            return Ok(());
        }
        // The last one first: it is the likeliest not to be older.
        let mut candidates = writes.of(key, value).iter().rev().filter(|cid| ledger.block(cid).is_some());
        let fits = candidates.any(|cid| *cid == floor.cid || !ledger.is_ancestor(cid, &floor.cid));
        match fits {
            true => Ok(()),
            false => Err(format!(
                "{key} {what} in block {}, and a later read gives {}, which is older",
                short(&floor.cid),
                super::observed::show_value(value)
            )),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{ledger::tests::block, scenario::Party};

    #[test]
    fn fires_when_a_session_sees_what_is_older_or_writes_what_does_not_follow() {
        let (old, old_bytes) = block(&[], "k", "old", 1);
        let (new, new_bytes) = block(&[old], "k", "new", 2);
        let (other, other_bytes) = block(&[], "k", "other", 1);
        let (mut ledger, mut writes) = (Ledger::new(1), Writes::default());
        for (cid, bytes) in [(old, old_bytes), (new, new_bytes), (other, other_bytes)] {
            writes.made(cid, &bytes);
            ledger.author(Party(0), cid, bytes);
        }
        let key = Key::new("k");
        let value = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        let mut session = Session::default();
        session.wrote(&ledger, &BTreeSet::new(), &[new]).unwrap();
        let reads =
            |session: &Session, value: Option<Bytes>| session.reads_its_writes(&ledger, &writes, &key, value.as_ref());
        assert!(reads(&session, value("old")).unwrap_err().contains("which is older"));
        assert!(reads(&session, None).is_err(), "nobody has removed it");
        assert!(reads(&session, value("new")).is_ok());
        assert!(reads(&session, value("other")).is_ok(), "it is concurrent");
        let removal = wire::Tombstone { key: key.clone(), target: new };
        let delta = wire::Delta { tombstones: vec![removal], priority: 1, ..wire::Delta::default() };
        let bytes = wire::Block::encode(&[], &delta);
        let mut with_stranger = writes.clone();
        with_stranger.made(Cid::of(&bytes), &bytes);
        let old = value("old");
        assert!(session.reads_its_writes(&ledger, &with_stranger, &key, old.as_ref()).is_ok(), "a stranger removed it");

        let mut session = Session::default();
        session.read(&writes, &key, value("new").as_ref());
        assert!(session.reads_on(&ledger, &writes, &key, value("old").as_ref()).is_err());
        assert!(session.reads_on(&ledger, &writes, &key, value("new").as_ref()).is_ok());
        let seen = session.seen();
        assert!(session.wrote(&ledger, &seen, &[other]).unwrap_err().contains("does not descend"));
    }
}
