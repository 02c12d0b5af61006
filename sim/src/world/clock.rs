//! The clock of a process, and how wrong it is.

use crate::{
    engine::{Time, nanoseconds},
    scenario::Skew,
};

/// A clock: simulated time, and what faults have made of it.
#[derive(Debug)]
pub(super) struct Clock {
    /// The fault of this number makes it go at another speed and late, since then.
    skew: Option<(u32, Skew, Time)>,
    /// How far those have taken it that another has taken the place of, in nanoseconds.
    drift: i64,
    /// How far it has jumped, forward and back, in nanoseconds.
    jumped: i64,
    /// The faults that made it jump.
    jumps: Vec<u32>,
}

fn signed(time: Time) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// How far a clock of this speed is off after so long.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // One product of two numbers is rounded alike everywhere.
fn drift(speed: f64, elapsed: Time) -> i64 {
    (elapsed as f64 * (speed - 1.0)) as i64
}

impl Clock {
    /// One that is right.
    pub(super) const fn new() -> Self {
        Self { skew: None, drift: 0, jumped: 0, jumps: Vec::new() }
    }

    /// How far it is off, in nanoseconds.
    fn off(&self, now: Time) -> i64 {
        let skewed = self.skew.as_ref().map_or(0, |(_, skew, since)| {
            drift(skew.speed, now.saturating_sub(*since)).saturating_sub(signed(nanoseconds(skew.late)))
        });
        self.jumped.saturating_add(self.drift).saturating_add(skewed)
    }

    /// What it shows. It never shows a time before the start of the run.
    pub(super) fn shows(&self, now: Time) -> Time {
        now.saturating_add_signed(self.off(now))
    }

    /// It goes wrong. Where it was wrong already, it goes on from where that has taken it.
    pub(super) fn goes_wrong(&mut self, number: u32, skew: Skew, now: Time) {
        if let Some((_, before, since)) = self.skew.replace((number, skew, now)) {
            self.drift = self.drift.saturating_add(drift(before.speed, now.saturating_sub(since)));
        }
    }

    /// It is set right, if the fault of this number is what makes it wrong. What it has jumped stays: nobody has noticed that.
    pub(super) fn is_set_right(&mut self, number: u32) -> bool {
        let is_it = self.skew.as_ref().is_some_and(|(by, ..)| *by == number);
        if is_it {
            (self.skew, self.drift) = (None, 0);
        }
        is_it
    }

    /// It jumps.
    pub(super) fn jumps(&mut self, number: u32, by: Time, back: bool) {
        let by = signed(by);
        self.jumped = self.jumped.saturating_add(if back { -by } else { by });
        self.jumps.push(number);
    }

    /// The fault that makes it go at another speed, or late.
    pub(super) fn wrong_by(&self) -> Option<u32> {
        self.skew.as_ref().map(|(number, ..)| *number)
    }

    /// The faults for which it shows another time than it should, to who looks now.
    pub(super) fn off_by(&self, now: Time) -> Vec<u32> {
        if self.shows(now) == now {
            return Vec::new();
        }
        self.jumps.iter().copied().chain(self.wrong_by()).collect()
    }

    /// How long a timer takes by it.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Division rounds alike everywhere.
    pub(super) fn takes(&self, after: Time) -> Time {
        match &self.skew {
            None => after,
            Some((_, skew, _)) => (after as f64 / skew.speed) as Time + nanoseconds(skew.late),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Party;
    use std::time::Duration;

    const SECOND: Time = 1_000_000_000;

    fn skew(speed: f64, late: u64) -> Skew {
        Skew { replica: Party(0), speed, late: Duration::from_secs(late), until: Duration::from_secs(100) }
    }

    #[test]
    fn a_clock_drifts_is_late_jumps_both_ways_and_shows_nothing_before_the_start() {
        let mut clock = Clock::new();
        assert_eq!(clock.shows(7 * SECOND), 7 * SECOND);
        assert!(clock.off_by(7 * SECOND).is_empty());
        clock.goes_wrong(3, skew(2.0, 1), 10 * SECOND);
        assert_eq!([10, 11, 14].map(|second| clock.shows(second * SECOND) / SECOND), [9, 11, 17]);
        assert_eq!((clock.off_by(14 * SECOND), clock.off_by(11 * SECOND)), (vec![3], vec![]));
        // Another fault takes over: the four seconds that it has gained stay, until it is set right.
        clock.goes_wrong(4, skew(0.5, 0), 14 * SECOND);
        assert_eq!([14, 16].map(|second| clock.shows(second * SECOND) / SECOND), [18, 19]);
        assert!(!clock.is_set_right(3) && clock.is_set_right(4) && !clock.is_set_right(4));
        assert_eq!(clock.shows(20 * SECOND), 20 * SECOND);
        clock.jumps(5, 30 * SECOND, false);
        assert_eq!((clock.shows(21 * SECOND), clock.off_by(21 * SECOND)), (51 * SECOND, vec![5]));
        clock.jumps(6, 60 * SECOND, true);
        assert_eq!([21, 30, 31].map(|second| clock.shows(second * SECOND)), [0, 0, SECOND]);
        clock.jumps(7, Time::MAX, true);
        clock.jumps(8, Time::MAX, true);
        assert_eq!(clock.shows(50 * SECOND), 0);
    }
}
