//! Blocks that come from a file.

use super::{receive::Owed, step::Step};
use crate::{
    Bytes, Cid, Effect, Error, Mark, Outcome, Token, Validator,
    dag::{node::Node, pending},
    store::Store,
};
use alloc::vec::Vec;

/// What became of one block of a file.
enum Taken {
    Yes,
    Left,
}

impl<S: Store, V: Validator> Step<'_, S, V> {
    /// Takes blocks in, whoever made them. Each is an obligation from now on, if it is good, or if
    /// something good waits for it.
    pub(super) fn import(&mut self, token: Token, blocks: Vec<(Cid, Bytes)>) -> Result<(), Error> {
        let (mut taken, mut wrong, mut left) = (Vec::new(), 0, Vec::new());
        for (cid, bytes) in blocks {
            if Cid::of(&bytes) != cid {
                wrong += 1;
                left.push(cid);
                continue;
            }
            if self.is_rebuilding() {
                // An abandoned block was among them, and all is merged anew.
                left.push(cid);
                continue;
            }
            match self.take_in(cid, &bytes)? {
                Taken::Yes => taken.push(cid),
                Taken::Left => left.push(cid),
            }
        }
        self.merge_ready()?;
        let (mut merged, mut pending) = (0, 0);
        for cid in taken {
            if self.rows.node(&cid)?.is_some_and(|node| node.height().is_some()) { merged += 1 } else { pending += 1 }
        }
        let outcome = Outcome::Imported { merged, pending, wrong, left };
        self.out.push(Effect::Finished { token: Some(token), outcome });
        Ok(())
    }

    fn take_in(&mut self, cid: Cid, bytes: &Bytes) -> Result<Taken, Error> {
        match self.rows.node(&cid)? {
            Some(Node::Good { .. } | Node::Void { .. } | Node::Purged { .. } | Node::Pending { body: true, .. }) => {}
            Some(Node::Pending { depth, missing, since, .. }) => {
                pending::unwant(&mut self.rows, &mut self.counts, depth, &cid)?;
                self.body_came_back(cid, bytes, Owed { depth, since }, missing)?;
            }
            Some(Node::Wanted { depth, since }) => {
                self.rows.hit(Mark::ImportedOwed);
                pending::unwant(&mut self.rows, &mut self.counts, depth, &cid)?;
                let block = self.read(bytes);
                self.admit(None, cid, bytes, block, Owed { depth, since })?;
            }
            Some(Node::Abandoned) => {
                let since = self.owed();
                let block = self.read(bytes);
                self.admit(None, cid, bytes, block, Owed { depth: 0, since })?;
            }
            None => {
                let block = self.read(bytes);
                if block.delta.is_err() {
                    return Ok(Taken::Left);
                }
                self.rows.hit(Mark::ImportedUnknown);
                let since = self.owed();
                self.admit(None, cid, bytes, block, Owed { depth: 0, since })?;
            }
        }
        Ok(Taken::Yes)
    }
}
