//! The feed tells a program all that was merged since its token, in that order, also after a restart.

use super::{
    Finding,
    observed::{difference, show_value},
};
use crate::outcome::short;
use anabranch_core::{Bytes, Cid, Feed, FeedToken, Key};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A program that keeps a token, and knows of all keys what the feed told it.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    token: Option<FeedToken>,
    values: BTreeMap<Key, Bytes>,
    /// Good blocks merged since the token, in their order.
    due: VecDeque<Due>,
    /// Something happened after which the history may be another one.
    may_be_lost: bool,
}

/// A block of which the feed has to tell.
#[derive(Clone, Debug)]
struct Due {
    cid: Cid,
    keys: BTreeSet<Key>,
    bytes: u64,
}

impl Follower {
    /// The token to go on from; `None` before it has begun.
    #[must_use]
    pub const fn token(&self) -> Option<&FeedToken> {
        self.token.as_ref()
    }

    /// It takes a token, and reads all keys.
    pub fn begin(&mut self, token: FeedToken, state: &BTreeMap<Key, Bytes>) {
        *self = Self { token: Some(token), values: state.clone(), due: VecDeque::new(), may_be_lost: false };
    }

    /// The replica has merged a good block, which names these keys.
    pub fn merged(&mut self, cid: Cid, keys: BTreeSet<Key>, bytes: u64) {
        if self.token.is_some() {
            self.due.push_back(Due { cid, keys, bytes });
        }
    }

    /// The replica was opened again, with these blocks: what was not synced was never merged.
    pub fn reopened(&mut self, is_merged: impl Fn(&Cid) -> bool) {
        self.due.retain(|due| is_merged(&due.cid));
    }

    /// Its disk is another one, or was made anew: the token may be of another history now.
    pub const fn may_be_lost(&mut self) {
        self.may_be_lost = true;
    }

    /// The feed does not know the token.
    ///
    /// # Errors
    /// When nothing happened that would make it unknown.
    pub fn refused(&mut self) -> Finding {
        if !self.may_be_lost {
            return Err(format!(
                "the feed does not know a synced token, and {} blocks are due since it",
                self.due.len()
            ));
        }
        *self = Self::default();
        Ok(())
    }

    /// A page of at most `limit` blocks, and no more after `bytes_max` bytes of them.
    ///
    /// # Errors
    /// When a key is left out, named before its turn, or not of these blocks.
    pub fn reads(&mut self, page: &Feed, limit: usize, bytes_max: u64) -> Finding {
        if !self.may_be_lost {
            self.is_due(page, limit, bytes_max)?;
        } else if !page.more {
            // Where a history that is another one has the token too, in what order it went on is not known. At its end nothing is due.
            self.due.clear();
            self.may_be_lost = false;
        }
        for (key, value) in &page.keys {
            match value {
                Some(value) => self.values.insert(key.clone(), value.clone()),
                None => self.values.remove(key),
            };
        }
        self.token = Some(page.next);
        Ok(())
    }

    /// Whether a page is of the blocks that are due next, and of all of them.
    fn is_due(&mut self, page: &Feed, limit: usize, bytes_max: u64) -> Finding {
        let (mut keys, mut bytes, mut last) = (BTreeSet::new(), 0, None);
        for _ in 0..limit {
            let Some(due) = self.due.pop_front_if(|_| bytes < bytes_max) else { break };
            bytes += due.bytes;
            last = Some(due.cid);
            keys.extend(due.keys);
        }
        let up_to = || last.map_or_else(|| String::from("no block"), |cid| format!("blocks up to {}", short(&cid)));
        let told: BTreeSet<Key> = page.keys.iter().map(|(key, _)| key.clone()).collect();
        if let Some(key) = keys.difference(&told).next() {
            return Err(format!("a page of {} leaves out {key}", up_to()));
        }
        if let Some(key) = told.difference(&keys).next() {
            return Err(format!("a page of {} names {key}, which is not of them", up_to()));
        }
        if told.len() < page.keys.len() {
            return Err(format!("a page of {} names a key twice", up_to()));
        }
        if page.more == self.due.is_empty() {
            let said = if page.more { "more" } else { "no more" };
            return Err(format!(
                "after {} the feed says that there is {said}, and {} are due",
                up_to(),
                self.due.len()
            ));
        }
        Ok(())
    }

    /// It has read to the end: it knows all that there is to see.
    ///
    /// # Errors
    /// The first key of which it was not told.
    pub fn knows(&self, state: &BTreeMap<Key, Bytes>) -> Finding {
        let difference = difference(state, &self.values, |key, seen, told| {
            format!("{key} is {}, and the last that the feed told of it is {}", show_value(seen), show_value(told))
        });
        difference.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn token(number: u8) -> FeedToken {
        FeedToken::decode(&[&[2][..], &[number; 48]].concat()).unwrap()
    }

    fn page(keys: &[&str], more: bool) -> Feed {
        let keys = keys.iter().map(|key| (Key::new(*key), Some(Bytes::from_static(b"v")))).collect();
        Feed { keys, next: token(2), more }
    }

    /// A follower to which two blocks are due: one names `a` and `b`, the other `c`.
    fn follower() -> Follower {
        let mut follower = Follower::default();
        follower.begin(token(1), &BTreeMap::new());
        follower.merged(Cid::of(b"1"), [Key::new("a"), Key::new("b")].into(), 10);
        follower.merged(Cid::of(b"2"), [Key::new("c")].into(), 10);
        follower
    }

    #[test]
    fn fires_on_a_key_that_is_left_out_foreign_early_or_twice() {
        assert_eq!(follower().reads(&page(&["a", "b"], true), 1, 100), Ok(()));
        assert_eq!(follower().reads(&page(&["a", "b", "c"], false), 9, 100), Ok(()));
        assert_eq!(follower().reads(&page(&["a", "b"], true), 9, 5), Ok(()), "the bytes end the page");
        assert!(follower().reads(&page(&["a"], true), 1, 100).unwrap_err().contains("leaves out /b"));
        assert!(follower().reads(&page(&["a", "b", "c"], true), 1, 100).unwrap_err().contains("names /c"), "early");
        assert!(follower().reads(&page(&["a", "a", "b"], true), 1, 100).unwrap_err().contains("twice"));
        assert!(follower().reads(&page(&["a", "b"], false), 1, 100).unwrap_err().contains("no more"));
        assert!(follower().reads(&page(&["a", "b", "c"], true), 2, 100).unwrap_err().contains("is more"));
    }

    #[test]
    fn fires_when_the_last_page_leaves_something_unknown() {
        let mut follower = follower();
        follower.reads(&page(&["a", "b", "c"], false), 9, 100).unwrap();
        let value = Bytes::from_static(b"v");
        let mut state: BTreeMap<Key, Bytes> = ["a", "b", "c"].map(|key| (Key::new(key), value.clone())).into();
        assert_eq!(follower.knows(&state), Ok(()));
        state.insert(Key::new("d"), value);
        assert!(follower.knows(&state).unwrap_err().contains("/d"));
    }

    #[test]
    fn fires_when_a_token_is_forgotten_for_no_reason() {
        let mut follower = follower();
        assert!(follower.refused().is_err());
        follower.may_be_lost();
        assert_eq!(follower.refused(), Ok(()));
        assert_eq!(follower.token(), None);
    }

    /// Histories that begin alike share their first tokens: a restored disk may know one, and go on otherwise.
    #[test]
    fn another_history_is_read_to_its_end_and_checked_there() {
        let mut follower = follower();
        follower.may_be_lost();
        assert_eq!(follower.reads(&page(&["x"], true), 1, 100), Ok(()));
        assert_eq!(follower.reads(&page(&["y"], false), 1, 100), Ok(()));
        let state = ["x", "y"].map(|key| (Key::new(key), Bytes::from_static(b"v"))).into();
        assert_eq!(follower.knows(&state), Ok(()));
        assert!(follower.knows(&BTreeMap::new()).is_err());
        follower.merged(Cid::of(b"3"), [Key::new("z")].into(), 10);
        assert!(follower.reads(&page(&["x"], false), 1, 100).is_err(), "from there on it is as ever");
    }

    #[test]
    fn what_a_crash_took_back_is_not_due() {
        let mut follower = follower();
        follower.reopened(|cid| *cid == Cid::of(b"1"));
        assert_eq!(follower.reads(&page(&["a", "b"], false), 9, 100), Ok(()));
    }
}
