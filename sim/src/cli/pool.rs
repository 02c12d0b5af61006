//! Runs on several threads, results in order, panics caught.

use super::exit::Stop;
use anabranch_sim::caught::caught;
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

/// How many threads: as many as were asked for, else as there are cores.
pub(super) fn workers(jobs: Option<NonZeroUsize>) -> usize {
    jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
}

/// Does the jobs `0..total` on so many threads, and hands their results over in order, whichever
/// comes first. A job that panics gives `Err` with one line that says where and why. When `each` stops,
/// no further job begins.
pub(super) fn in_order<T: Send>(
    total: u64,
    workers: usize,
    job: impl Fn(u64) -> T + Sync,
    mut each: impl FnMut(u64, Result<T, String>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let (next, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
    let (results, received) = mpsc::channel();
    let work = |results: mpsc::Sender<(u64, Result<T, String>)>| {
        while !stopped.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= total || results.send((number, caught(|| job(number)))).is_err() {
                break;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            let (work, results) = (&work, results.clone());
            scope.spawn(move || work(results));
        }
        drop(results);
        let (mut early, mut turn) = (BTreeMap::new(), 0);
        for (number, result) in received {
            early.insert(number, result);
            while let Some(result) = early.remove(&turn) {
                if let Err(stop) = each(turn, result) {
                    stopped.store(true, Ordering::Relaxed);
                    return Err(stop);
                }
                turn += 1;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::time::Duration;

    #[test]
    fn results_come_in_order() {
        for workers in [1, 4] {
            let mut seen = Vec::new();
            let job = |number: u64| {
                thread::sleep(Duration::from_micros(number % 7 * 100));
                number * 2
            };
            in_order(100, workers, job, |number, result| {
                seen.push((number, result.unwrap()));
                Ok(())
            })
            .unwrap();
            assert_eq!(seen, (0..100).map(|number| (number, number * 2)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_panic_is_one_jobs_result() {
        let mut seen = Vec::new();
        let job = |number: u64| if number == 3 { panic!("first\nsecond") } else { number };
        in_order(5, 2, job, |_, result| {
            seen.push(result);
            Ok(())
        })
        .unwrap();
        let why = seen.remove(3).unwrap_err();
        assert!(why.starts_with("panic at ") && why.ends_with(": first; second"), "{why}");
        assert_eq!(seen, [Ok(0), Ok(1), Ok(2), Ok(4)]);
    }

    #[test]
    fn a_stop_ends_the_work() {
        let begun = AtomicU64::new(0);
        let job = |_| {
            begun.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(1));
        };
        let result = in_order(1_000_000, 2, job, |_, _| Err(Stop::bad("full")));
        assert!(result.is_err());
        assert!(begun.into_inner() < 1_000, "jobs go on");
    }
}
