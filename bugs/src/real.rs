//! The campaign on the core as it is: many seeds, no alarm, and nothing in it that only seems to be tested.

use crate::hunt::{self, Found, Line};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path, time::Instant};

/// Seeds between two times that the results are written.
const PART: u64 = 50;
/// Events that half of the runs must have at least: in shorter ones little can happen.
const MEDIAN_EVENTS_MIN: u64 = 20_000;

/// What came of the seeds so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Real {
    /// A mark of the sources.
    pub sources: String,
    /// Seeds that were run, from 0 on.
    pub seeds: u64,
    /// How long they took, in seconds.
    pub wall_s: f64,
    /// Events of each run, in order of the seeds.
    pub events: Vec<u64>,
    /// How often each kind of fault took effect, over all runs that asked for it.
    pub faults: BTreeMap<String, u64>,
    /// In how many runs each mark of coverage was reached.
    pub marks: BTreeMap<String, u64>,
    /// The runs that did not end as they should.
    pub alarms: Vec<Found>,
}

impl Real {
    /// Of these sources, before any seed.
    #[must_use]
    pub fn new(sources: String) -> Self {
        Self { sources, ..Self::default() }
    }

    /// Runs the next seeds, at most up to `until`. Says whether there are more.
    ///
    /// # Errors
    /// When the simulator cannot be run, or writes something else.
    pub fn go_on(&mut self, program: &Path, scenario: &Path, until: u64, jobs: usize) -> Result<bool, String> {
        let part = self.seeds..(self.seeds + PART).min(until);
        let begun = Instant::now();
        let mut lines = hunt::run(program, scenario, part.clone(), jobs)?;
        lines.sort_by_key(|line| line.seed);
        lines.into_iter().for_each(|line| self.add(line));
        self.seeds = part.end;
        self.wall_s += begun.elapsed().as_secs_f64();
        Ok(self.seeds < until)
    }

    fn add(&mut self, line: Line) {
        self.events.push(line.events);
        for (kind, count) in &line.faults {
            *self.faults.entry(kind.clone()).or_default() += count.effective;
        }
        for (mark, is_reached) in &line.marks {
            *self.marks.entry(mark.clone()).or_default() += u64::from(*is_reached);
        }
        self.alarms.extend(line.into_found());
    }

    /// Events of a run, the middle one.
    #[must_use]
    pub fn median_events(&self) -> u64 {
        let mut events = self.events.clone();
        events.sort_unstable();
        events.get(events.len() / 2).copied().unwrap_or(0)
    }

    /// Kinds of faults that never took effect, and marks that were never reached.
    #[must_use]
    pub fn missed(&self) -> Vec<&str> {
        let counts = self.faults.iter().chain(&self.marks);
        counts.filter(|(_, count)| **count == 0).map(|(name, _)| name.as_str()).collect()
    }

    /// What came of it, in a line.
    #[must_use]
    pub fn summary(&self) -> String {
        let alarms = match self.alarms.len() {
            0 => String::from("no alarm"),
            1 => String::from("1 alarm"),
            many => format!("{many} alarms"),
        };
        let all: u64 = self.events.iter().sum();
        format!(
            "the real core: {} seeds in {:.0} s, {all} events, half of the runs have {} or more, {} kinds of faults took effect, {} marks reached, {alarms}",
            self.seeds,
            self.wall_s,
            self.median_events(),
            self.faults.values().filter(|count| **count > 0).count(),
            self.marks.values().filter(|count| **count > 0).count(),
        )
    }

    /// Why the campaign counts as failed, if it does.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        if let Some(alarm) = self.alarms.first() {
            return Some(format!("the real core fails with seed {}: {}", alarm.seed, alarm.message));
        }
        let missed = self.missed();
        if !missed.is_empty() {
            return Some(format!("never in {} seeds: {}", self.seeds, missed.join(", ")));
        }
        let median = self.median_events();
        (median < MEDIAN_EVENTS_MIN).then(|| {
            format!("half of the runs have {median} events or fewer, and should have {MEDIAN_EVENTS_MIN} or more")
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(seed: u64, events: u64, as_expected: bool) -> Line {
        serde_json::from_value(serde_json::json!({
            "seed": seed,
            "as_expected": as_expected,
            "verdict": { "outcome": "x", "message": "hm" },
            "events": events,
            "marks": { "met": true, "unmet": false },
            "faults": { "drop": { "requested": 9, "effective": seed }, "crash": { "requested": 1, "effective": 0 } },
        }))
        .unwrap()
    }

    #[test]
    fn what_never_happened_and_what_went_wrong_is_told() {
        let mut real = Real::new("s".into());
        [(0, 5), (1, 30), (2, 20)].into_iter().for_each(|(seed, events)| real.add(line(seed, events, true)));
        assert_eq!(real.median_events(), 20);
        assert_eq!(real.missed(), ["crash", "unmet"]);
        assert_eq!(real.complaint().unwrap(), "never in 0 seeds: crash, unmet");
        real.add(line(3, 1, false));
        assert_eq!(real.complaint().unwrap(), "the real core fails with seed 3: hm");
        assert!(real.summary().contains("1 alarm"), "{}", real.summary());
    }

    #[test]
    fn nothing_missed_and_no_alarm_is_no_complaint() {
        let mut real = Real::new("s".into());
        real.faults.insert("drop".into(), 1);
        real.events = vec![MEDIAN_EVENTS_MIN; 3];
        assert_eq!(real.complaint(), None);
        assert!(real.summary().ends_with("no alarm"));
        real.events = vec![MEDIAN_EVENTS_MIN - 1; 3];
        assert!(real.complaint().unwrap().contains("19999 events or fewer"));
    }
}
