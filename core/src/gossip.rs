//! Announcing heads: rounds, what others announced, and answers to those that lag.

use crate::{Cid, Config, Effect, Mark, Marks, Timer, mark::Trail};
use alloc::{collections::BTreeMap, vec::Vec};
use core::{ops::RangeInclusive, time::Duration};

/// Rounds running that a head heard from others may be left out of.
const SKIPS_MAX: u8 = 2;
/// A jittered second: when a peer that lags is answered, unless someone else did.
const ANSWER_AFTER: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_millis(1500);

/// What is remembered of a current head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Heard {
    /// Someone announced it since the last round.
    heard: bool,
    /// Rounds running that it was left out of.
    skips: u8,
    /// Someone announced it since an answer became due.
    answered: bool,
}

/// What was heard of our heads. Only current heads are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Gossip {
    heads: BTreeMap<Cid, Heard>,
    answer_due: bool,
    trail: Trail,
}

impl Gossip {
    /// The places that were reached.
    pub(crate) const fn marks(&self) -> Marks {
        self.trail.0
    }

    /// Someone announced one of our heads.
    pub(crate) fn heard(&mut self, head: Cid) {
        let answered = self.answer_due;
        let known = self.heads.entry(head).or_default();
        known.heard = true;
        known.answered |= answered;
    }

    /// A block is a head no more.
    pub(crate) fn forget(&mut self, cid: &Cid) {
        self.heads.remove(cid);
    }

    /// There are no heads. The timer of an answer stays set.
    pub(crate) fn forget_all(&mut self) {
        self.heads.clear();
    }

    /// Someone announced only what we have long merged: our heads are due, unless others announce them first.
    pub(crate) fn owe_answer(&mut self, out: &mut Vec<Effect>) {
        if !self.answer_due {
            self.answer_due = true;
            out.push(Effect::SetTimer { timer: Timer::Answer, after: ANSWER_AFTER });
        }
    }

    /// Whether a head belongs in the answer that is due now.
    pub(crate) fn answers_with(&mut self, head: &Cid) -> bool {
        let answers = !self.heads.get(head).is_some_and(|heard| heard.answered);
        self.trail.0.hit(if answers { Mark::LaggardAnswered } else { Mark::AnswerSpared });
        answers
    }

    /// The answer was given.
    pub(crate) fn answered(&mut self) {
        self.answer_due = false;
        self.heads.values_mut().for_each(|heard| heard.answered = false);
        self.heads.retain(|_, heard| *heard != Heard::default());
    }

    /// Whether a head belongs in this round. To be asked once a head and round.
    pub(crate) fn round_takes(&mut self, head: &Cid) -> bool {
        let Some(known) = self.heads.get_mut(head) else { return true };
        let skip = known.heard && known.skips < SKIPS_MAX;
        if known.heard {
            self.trail.0.hit(if skip { Mark::HeadLeftOut } else { Mark::HeadNotStarved });
        }
        known.heard = false;
        known.skips = if skip { known.skips + 1 } else { 0 };
        if *known == Heard::default() {
            self.heads.remove(head);
        }
        !skip
    }
}

/// Sets the timer of the next round.
pub(crate) fn set_round(config: &Config, out: &mut Vec<Effect>) {
    let mean = config.rebroadcast_interval;
    let percent = u32::from(config.rebroadcast_jitter_percent.min(100));
    let jitter = mean.checked_mul(percent).map_or(mean / 100 * percent, |product| product / 100);
    let after = mean.saturating_sub(jitter)..=mean.saturating_add(jitter);
    out.push(Effect::SetTimer { timer: Timer::Rebroadcast, after });
}
