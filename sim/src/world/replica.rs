//! Driving a replica: steps, their effects, syncs.

use super::{CONTINUE_AFTER, Event, Failure, Held, NOBODY_AFTER, Outcome, World};
use crate::{
    choices::{Choice, ChoiceKey},
    engine::{Cause, Time, nanoseconds},
    network::{Body, Message, tag},
    observe::{Blob, Id, What},
    oracles::{Oracle, ancestors, corrupt},
    scenario::{FaultKind, Party},
};
use anabranch_core::{Bytes, Cid, Effect, Event as Notice, Input, Peer, Progress, Timer, Token};
use std::time::Duration;

/// The shortest stretch of simulated time by which rounds of a timer are told apart.
const ROUND_MIN: Time = 1_000_000;

const fn number_of(timer: Timer) -> u8 {
    match timer {
        Timer::Rebroadcast => 0,
        Timer::Answer => 1,
        Timer::Fetch => 2,
    }
}

impl World<'_> {
    /// Gives the core what a message says.
    pub(super) fn deliver(&mut self, message: Message) -> Outcome {
        let Message { key, body, corrupted, .. } = message;
        let (to, from) = (key.to, Peer(key.from.0.into()));
        let input = match body {
            Body::Broadcast(payload) => {
                if corrupted {
                    self.tally.effective(FaultKind::Corrupt);
                }
                Input::Broadcast { from, payload }
            }
            Body::Block { cid, attempt, bytes } => Input::Block { from, cid, bytes, attempt },
            Body::NotFound { cid, attempt } => Input::FetchFailed { cid, attempt },
            Body::Request { cid, attempt } => return self.serve(to, key.from, key.cause, cid, attempt),
        };
        self.step(to, input, key.cause)
    }

    /// Answers a peer's request, after the sync if the answer is made of what is not synced.
    fn serve(&mut self, replica: Party, to: Party, cause: Cause, cid: Cid, attempt: u32) -> Outcome {
        let process = &mut self.processes[replica.index()];
        let Some(core) = &process.core else { return Ok(()) };
        let bytes = core.block(&cid).map_err(|error| Failure::Replica { replica, error })?;
        if process.is_dirty() {
            process.held.push((cause, Held::Answer { to, cid, attempt, bytes }));
        } else {
            self.answer(replica, to, cause, cid, attempt, bytes);
        }
        Ok(())
    }

    fn answer(&mut self, from: Party, to: Party, cause: Cause, cid: Cid, attempt: u32, bytes: Option<Bytes>) {
        let body = match bytes {
            Some(bytes) => Body::Block { cid, attempt, bytes },
            None => Body::NotFound { cid, attempt },
        };
        self.send(from, to, cause, body);
    }

    /// Steps a replica, and does what it asks for.
    pub(super) fn step(&mut self, replica: Party, input: Input, cause: Cause) -> Outcome {
        let mut effects = std::mem::take(&mut self.effects);
        self.stepped = (replica, cause);
        let process = &mut self.processes[replica.index()];
        let Some(core) = &mut process.core else { return Ok(()) };
        let progress = core.step(input, &mut effects).map_err(|error| Failure::Replica { replica, error })?;
        if progress == Progress::More && !process.continue_is_set {
            process.continue_is_set = true;
            let life = process.life;
            self.queue.push(self.now + CONTINUE_AFTER, Event::Continue { replica, life, cause });
        }
        self.carry_out(replica, cause, &mut effects)?;
        self.tell_shown(replica, cause);
        effects.clear();
        self.effects = effects;
        Ok(())
    }

    /// Does what may be done at once, keeps the rest for the sync, and sees to it that there is one.
    pub(super) fn carry_out(&mut self, replica: Party, cause: Cause, effects: &mut Vec<Effect>) -> Outcome {
        self.record_own_blocks(replica, cause, effects)?;
        for effect in effects.drain(..) {
            match effect {
                Effect::Fetch { cid, from, attempt } => self.fetch(replica, cause, cid, from, attempt),
                Effect::SetTimer { timer, after } => self.set_timer(replica, timer, (*after.start(), *after.end())),
                Effect::Refused { token: Token(index), why } => {
                    self.trace.entry(self.now, tag::REFUSE).u64(index).bytes(why.to_string().as_bytes());
                    self.watch.tell(self.now, Some(replica), Some(cause), || What::Refused {
                        number: index,
                        why: why.to_string(),
                    });
                    if let Some((_, kind)) = self.open.remove(&index) {
                        self.count(kind).refused += 1;
                    }
                }
                Effect::Notify(notice) => self.notice(replica, cause, &notice)?,
                effect @ (Effect::Broadcast(_) | Effect::Committed { .. }) => {
                    self.processes[replica.index()].held.push((cause, Held::Effect(effect)));
                }
            }
        }
        let process = &mut self.processes[replica.index()];
        if !process.is_dirty() {
            return if process.held.is_empty() { Ok(()) } else { self.sync(replica) };
        }
        if !process.sync_is_set {
            process.sync_is_set = true;
            let life = process.life;
            let (least, most) = self.scenario.disk.sync_delay;
            let delay = self.choose(Choice::Sync, replica, cause, 0, (nanoseconds(least), nanoseconds(most)));
            self.queue.push(self.now + delay, Event::Sync { replica, life });
        }
        Ok(())
    }

    /// The oracles must know what a replica made before they hear that it is merged.
    fn record_own_blocks(&mut self, replica: Party, cause: Cause, effects: &[Effect]) -> Outcome {
        for effect in effects {
            let Effect::Committed { blocks, .. } = effect else { continue };
            let Some(core) = &self.processes[replica.index()].core else { continue };
            for cid in blocks {
                let bytes = core.block(cid).map_err(|error| Failure::Replica { replica, error })?;
                if let Some(bytes) = bytes.filter(|bytes| Cid::of(bytes) == *cid) {
                    self.watch.tell(self.now, Some(replica), Some(cause), || What::Made {
                        block: Id(*cid),
                        bytes: Blob(bytes.to_vec()),
                    });
                    self.ledger.author(replica, *cid, bytes);
                }
            }
        }
        Ok(())
    }

    /// The simulation sees at once what programs see after the sync.
    fn notice(&mut self, replica: Party, cause: Cause, notice: &Notice) -> Outcome {
        self.tell_notice(replica, cause, notice);
        match notice {
            Notice::Merged { cid, void, .. } => self.merged(replica, cid, *void),
            Notice::WrongBytes { .. } => {
                self.tally.effective(FaultKind::Corrupt);
                Ok(())
            }
            Notice::VoidRumour { cid } => {
                if self.poison.get(cid) == Some(&FaultKind::ForeignLinks) {
                    self.tally.effective(FaultKind::ForeignLinks);
                }
                Ok(())
            }
            Notice::BadBroadcast { .. } | Notice::Parked { .. } => Ok(()),
        }
    }

    fn merged(&mut self, replica: Party, cid: &Cid, void: bool) -> Outcome {
        self.trace.entry(self.now, tag::MERGE).u16(replica.0).bytes(cid.digest());
        let process = &self.processes[replica.index()];
        let Some(core) = &process.core else { return Ok(()) };
        let bytes = core.block(cid).map_err(|error| Failure::Replica { replica, error })?;
        let (now, ledger) = (self.now, &self.ledger);
        self.panel.ask(Oracle::NoCorruptBlock, Some(replica), now, || corrupt::check(ledger, cid, bytes.as_ref()))?;
        if let Some(block) = self.ledger.block(cid) {
            self.panel.ask(Oracle::AncestorsMerged, Some(replica), now, || ancestors::check(ledger, replica, block))?;
        }
        if self.ledger.merged(replica, cid) {
            self.blocks_merged += 1;
            self.merged_since_fold += 1;
            self.last_progress = self.now;
            self.has_changed = true;
        }
        match self.poison.get(cid) {
            Some(FaultKind::ForeignLinks) if void => self.tally.effective(FaultKind::ForeignLinks),
            Some(kind @ (FaultKind::ForgedPriority | FaultKind::OddKeys)) => self.tally.effective(*kind),
            _ => {}
        }
        if let Some(number) = process.joined_by
            && self.ledger.block(cid).is_some_and(|block| block.author != replica)
        {
            self.tally.effective_once(number, FaultKind::Join);
        }
        Ok(())
    }

    fn fetch(&mut self, replica: Party, cause: Cause, cid: Cid, from: Option<Peer>, attempt: u32) {
        let known = from.and_then(|peer| u16::try_from(peer.0).ok()).map(Party);
        match known.filter(|party| party.index() < self.scenario.parties()).or_else(|| self.anyone(replica, cause)) {
            Some(to) => self.send(replica, to, cause, Body::Request { cid, attempt }),
            None => {
                let life = self.processes[replica.index()].life;
                self.queue.push(self.now + NOBODY_AFTER, Event::Nobody { replica, life, cid, attempt, cause });
            }
        }
    }

    /// A peer drawn from those that are there.
    fn anyone(&mut self, replica: Party, cause: Cause) -> Option<Party> {
        let present: Vec<Party> = self.parties().filter(|party| *party != replica && self.is_present(*party)).collect();
        let process = &mut self.processes[replica.index()];
        process.asked_anyone += 1;
        let key = ChoiceKey { choice: Choice::Peer, party: replica, cause, n: process.asked_anyone };
        let chosen = self.choices.among(&key, &present)?;
        self.tell_choice(&key, chosen.0.into());
        Some(chosen)
    }

    fn set_timer(&mut self, replica: Party, timer: Timer, after: (Duration, Duration)) {
        let (least, most) = (nanoseconds(after.0), nanoseconds(after.1));
        let round = self.now / least.max(most / 4).max(ROUND_MIN);
        let cause = Cause::Timer { replica, timer: number_of(timer), round };
        let drawn = self.choose(Choice::Timer, replica, cause, 0, (least, most));
        let process = &self.processes[replica.index()];
        let after = process.by_its_clock(drawn);
        let skewed_by = process.clock.as_ref().filter(|_| after != drawn).map(|(number, _)| *number);
        self.queue.push(self.now + after, Event::Timer { replica, life: process.life, timer, cause, skewed_by });
    }

    /// Syncs the disk, and lets out what waited for it.
    pub(super) fn sync(&mut self, replica: Party) -> Outcome {
        let process = &mut self.processes[replica.index()];
        let Some(core) = &mut process.core else { return Ok(()) };
        process.sync_is_set = false;
        self.trace.entry(self.now, tag::SYNC).u16(replica.0).u64(core.store().unsynced() as u64);
        let commits = core.store().unsynced() as u64;
        core.sync().map_err(|error| Failure::Replica { replica, error })?;
        self.watch.tell(self.now, Some(replica), None, || What::Synced { commits });
        self.ledger.synced(replica);
        for (cause, held) in std::mem::take(&mut process.held) {
            match held {
                Held::Answer { to, cid, attempt, bytes } => self.answer(replica, to, cause, cid, attempt, bytes),
                Held::Read { operation, kind } => {
                    self.open.remove(&operation);
                    self.count(kind).done += 1;
                }
                Held::Effect(Effect::Broadcast(payload)) => self.broadcast(replica, cause, &payload),
                Held::Effect(Effect::Committed { token: Token(index), blocks }) => {
                    self.trace.entry(self.now, tag::ACKNOWLEDGE).u64(index).u64(blocks.len() as u64);
                    self.watch.tell(self.now, Some(replica), Some(cause), || What::Acknowledged {
                        number: index,
                        blocks: blocks.iter().copied().map(Id).collect(),
                    });
                    self.ledger.acknowledged(replica, &blocks);
                    if let Some((_, kind)) = self.open.remove(&index) {
                        self.count(kind).done += 1;
                    }
                }
                Held::Effect(_) => {}
            }
        }
        Ok(())
    }
}
