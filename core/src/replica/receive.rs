//! What comes from peers: announcements and blocks.

use super::step::Step;
use crate::{
    Bytes, Cid, Effect, Error, Event, Mark, Peer, Validator, Verdict,
    dag::{
        heads,
        node::{Missing, Node},
        pending::{self, Want},
    },
    store::Store,
    wire::{self, Block},
};
use alloc::vec::Vec;

/// What is known of an obligation before its bytes come.
#[derive(Clone, Copy)]
pub(super) struct Owed {
    /// Steps from the head through which it became known.
    pub(super) depth: u32,
    /// Its generation.
    pub(super) since: u32,
}

/// How many owed blocks are looked at, for one announcement, to note who may have them.
const LOOKS_BELOW_MAX: usize = 256;

impl<S: Store, V: Validator> Step<'_, S, V> {
    /// Hears an announcement. What is good in it counts, whatever else it holds.
    pub(super) fn hear(&mut self, from: Peer, payload: &[u8]) -> Result<(), Error> {
        self.fetch.announced(from);
        let Some(announcement) = wire::decode_announcement(payload) else {
            self.out.push(Effect::Notify(Event::BadBroadcast { from, heads: 0 }));
            return Ok(());
        };
        if announcement.bad > 0 {
            self.out.push(Effect::Notify(Event::BadBroadcast { from, heads: announcement.bad }));
        }
        let (mut stale, mut purged, mut pending, mut news) = (0, 0, false, Vec::new());
        let mut looks = LOOKS_BELOW_MAX;
        for cid in &announcement.heads {
            match self.rows.node(cid)? {
                None | Some(Node::Abandoned) => {
                    self.fetch.rumour(*cid, from, self.config);
                    news.push(*cid);
                }
                Some(Node::Wanted { .. } | Node::Pending { .. }) => {
                    news.append(&mut self.ask_below(from, *cid, &mut looks)?);
                    pending = true;
                }
                Some(node) if heads::is_head(&self.rows, cid, &node)? => self.gossip.heard(*cid),
                // Decided: it is not fetched, and whoever announces it need not lag.
                Some(node) if self.is_being_purged(cid, &node)? => purged += 1,
                Some(_) => stale += 1,
            }
        }
        if pending {
            self.fetch.supplied(from);
            self.fetch.wake(from);
        }
        if stale > 0 && stale + purged == announcement.heads.len() {
            self.gossip.owe_answer(self.out);
        }
        self.fetch.pump(self.config, self.out);
        self.fetch.hurry(&news, self.config, self.out);
        Ok(())
    }

    /// A peer announced something that is owed here, so it is one to ask for what is missing below
    /// it: of that, a bounded part is looked up, and given.
    fn ask_below(&mut self, from: Peer, cid: Cid, looks: &mut usize) -> Result<Vec<Cid>, Error> {
        let (mut below, mut wanted) = (alloc::vec![cid], Vec::new());
        while let Some(cid) = below.pop().filter(|_| *looks > 0) {
            *looks -= 1;
            match self.rows.node(&cid)? {
                Some(Node::Wanted { .. }) => {
                    self.rows.hit(Mark::AskedBelow);
                    self.fetch.obligation(cid, &[from]);
                    wanted.push(cid);
                }
                Some(Node::Pending { missing, .. }) => {
                    below.append(&mut pending::missing(&self.rows, &cid, missing, *looks)?);
                }
                _ => {}
            }
        }
        Ok(wanted)
    }

    /// Takes a block. Bytes that hash right are the block, whoever sent them and whether or not they were asked for.
    pub(super) fn receive(&mut self, from: Peer, cid: Cid, bytes: &Bytes, attempt: u32) -> Result<(), Error> {
        self.fetch.answered(from);
        if Cid::of(bytes) != cid {
            self.rows.hit(Mark::WrongBytes);
            self.out.push(Effect::Notify(Event::WrongBytes { from, cid }));
            if self.fetch.asked(&cid).is_none_or(|asked| asked == from) {
                self.fetch.failed(cid, attempt, self.out);
            }
            return Ok(());
        }
        match self.rows.node(&cid)? {
            Some(Node::Good { .. } | Node::Void { .. } | Node::Purged { .. } | Node::Pending { body: true, .. }) => {
                self.fetch.done(&cid);
                return Ok(());
            }
            Some(Node::Pending { depth, missing, since, .. }) => {
                self.fetch.served(from);
                pending::unwant(&mut self.rows, &mut self.counts, depth, &cid)?;
                self.body_came_back(cid, bytes, Owed { depth, since }, missing)?;
            }
            Some(Node::Wanted { depth, since }) => {
                self.fetch.served(from);
                pending::unwant(&mut self.rows, &mut self.counts, depth, &cid)?;
                let block = self.read(bytes);
                self.admit(Some(from), cid, bytes, block, Owed { depth, since })?;
            }
            Some(Node::Abandoned) => {
                self.fetch.supplied(from);
                let since = self.owed();
                let block = self.read(bytes);
                self.admit(Some(from), cid, bytes, block, Owed { depth: 0, since })?;
            }
            None => {
                let block = self.read(bytes);
                if block.delta.is_err() {
                    return self.leave_void(from, cid, &block);
                }
                self.fetch.supplied(from);
                let since = self.owed();
                let announced = self.fetch.is_rumour(&cid);
                if !announced {
                    self.rows.hit(Mark::UnaskedBlock);
                }
                self.admit(Some(from), cid, bytes, block, Owed { depth: 0, since })?;
                if announced
                    && let Some(node) = self.rows.node(&cid)?
                    && heads::is_head(&self.rows, &cid, &node)?
                {
                    self.gossip.heard(cid);
                }
            }
        }
        self.merge_ready()
    }

    /// A block as this replica counts it: void also when the validator says so.
    pub(crate) fn read(&self, bytes: &Bytes) -> Block {
        let mut block = Block::decode_with(bytes, self.rows.codec());
        if block.delta.is_ok() && self.validator.judge(&block) == Verdict::Void {
            block.delta = Err(wire::Flaw::Refused);
        }
        block
    }

    /// A block that breaks a rule, and no good block is known to build upon it: left alone, but what
    /// it links to may be good, and its announcer may announce nothing else.
    fn leave_void(&mut self, from: Peer, cid: Cid, block: &Block) -> Result<(), Error> {
        self.rows.hit(Mark::VoidLeft);
        self.out.push(Effect::Notify(Event::VoidRumour { cid }));
        self.fetch.void_rumour(cid, from, self.config);
        for link in block.links.iter().take(self.config.rumours_per_peer_max / 2) {
            if self.rows.node(link)?.is_none() && !self.fetch.holds(link) {
                self.fetch.rumour(*link, from, self.config);
            }
        }
        Ok(())
    }

    /// An obligation's bytes came for the first time: it is merged, or waits for its parents.
    pub(super) fn admit(
        &mut self,
        from: Option<Peer>,
        cid: Cid,
        bytes: &Bytes,
        block: Block,
        owed: Owed,
    ) -> Result<(), Error> {
        let (mut missing, mut wanted) = (Vec::new(), Vec::new());
        for link in &block.links {
            match self.rows.node(link)? {
                Some(node) if node.is_decided() => continue,
                Some(Node::Wanted { .. }) => wanted.push(*link),
                Some(_) => {}
                None => {
                    self.owe(link, owed.depth.saturating_add(1));
                    wanted.push(*link);
                }
            }
            missing.push(*link);
        }
        let mut peers = self.fetch.peers_of(&cid);
        self.fetch.done(&cid);
        if missing.is_empty() {
            return self.merge_new(cid, bytes, &block, owed.since);
        }
        if let Some(from) = from {
            crate::fetch::remember(&mut peers, from);
        }
        wanted.iter().for_each(|link| self.fetch.obligation(*link, &peers));
        // What a file lacks is fetched when all that was read of it is in.
        if from.is_some() {
            self.fetch.pump(self.config, self.out);
            self.fetch.hurry(&missing, self.config, self.out);
        }
        let missing = pending::wait(&mut self.rows, &cid, &missing);
        self.keep(cid, bytes, owed, missing)
    }

    /// A block becomes known by a link to it: it is owed from now on.
    pub(crate) fn owe(&mut self, cid: &Cid, depth: u32) {
        let since = self.owed();
        self.rows.put_node(cid, &Node::Wanted { depth, since });
        pending::want(&mut self.rows, &mut self.counts, Want::Now, depth, cid, 0);
    }

    /// The bytes of a pending block came again after they had been dropped.
    pub(super) fn body_came_back(
        &mut self,
        cid: Cid,
        bytes: &Bytes,
        owed: Owed,
        missing: Missing,
    ) -> Result<(), Error> {
        self.fetch.done(&cid);
        if missing.is_empty() {
            let block = self.read(bytes);
            return self.merge_new(cid, bytes, &block, owed.since);
        }
        self.rows.hit(Mark::BodyBackEarly);
        self.keep(cid, bytes, owed, missing)
    }

    /// Keeps a block that waits for its parents, its body as long as there is room.
    fn keep(&mut self, cid: Cid, bytes: &Bytes, owed: Owed, missing: Missing) -> Result<(), Error> {
        let Owed { depth, since } = owed;
        let abandoned = self.is_abandoned(&cid)?;
        self.rows
            .put_node(&cid, &Node::Pending { depth, size: bytes.len() as u64, body: true, missing, since, abandoned });
        pending::keep_body(&mut self.rows, &mut self.counts, depth, &cid, bytes);
        pending::drop_bodies(&mut self.rows, &mut self.counts, self.config.pending_bytes_max)
    }
}
