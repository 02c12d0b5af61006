//! What is run, and in which order.

use crate::{
    cli::CompareArgs,
    workload::{Store, Workload},
};
use std::fmt;

/// From how many keys on ours runs alone, and only where it shows the slope.
const BOTH_KEYS_MAX: u64 = 2_000_000;
/// In this order each round runs, so that Go and ours take turns.
const STORES: [Store; 6] =
    [Store::Map, Store::Memory, Store::PebbleDefaults, Store::Pebble, Store::Disk, Store::DiskUnchecked];
const QUICK_STORES: [Store; 4] = [Store::Map, Store::Memory, Store::Pebble, Store::Disk];
const VERSIONS: [u64; 4] = [100, 200, 400, 800];
const QUICK_VERSIONS: [u64; 2] = [100, 200];

/// All that is run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) cases: Vec<Case>,
    pub(crate) runs: u32,
    pub(crate) versions: Vec<u64>,
}

/// One workload of one size, on each of its stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) workload: Workload,
    pub(crate) keys: u64,
    pub(crate) stores: Vec<Store>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.keys {
            ..=1 => write!(f, "{}", self.workload),
            keys => write!(f, "{} of {keys}", self.workload),
        }
    }
}

impl Plan {
    /// The plan that these arguments ask for; without `go` only ours.
    pub(crate) fn new(args: &CompareArgs, has_go: bool) -> Self {
        let sizes = match (args.keys.is_empty(), args.quick) {
            (false, _) => args.keys.clone(),
            (true, true) => vec![10_000],
            (true, false) => vec![100_000, 1_000_000, 10_000_000],
        };
        let stores: Vec<Store> = match (args.stores.is_empty(), args.quick) {
            (false, _) => args.stores.clone(),
            (true, true) => QUICK_STORES.to_vec(),
            (true, false) => STORES.to_vec(),
        };
        let wanted = Workload::ALL.into_iter().filter(|workload| args.only.is_empty() || args.only.contains(workload));
        let sized = wanted.flat_map(|workload| match workload.own_size(args.quick) {
            Some(own) => vec![(workload, own)],
            None => sizes.iter().map(|&keys| (workload, keys)).collect(),
        });
        let cases = sized.filter_map(|(workload, keys)| {
            let telling = |store: &Store| !args.stores.is_empty() || workload.tells_of(*store);
            let runs_on = |store: &Store| (has_go || !store.is_go()) && takes(workload, keys, *store) && telling(store);
            let stores: Vec<Store> = stores.iter().copied().filter(runs_on).collect();
            (!stores.is_empty()).then_some(Case { workload, keys, stores })
        });
        Self {
            cases: cases.collect(),
            runs: args.runs.unwrap_or(if args.quick { 1 } else { 3 }),
            versions: if args.quick { QUICK_VERSIONS.to_vec() } else { VERSIONS.to_vec() },
        }
    }

    /// Whether Go is needed.
    pub(crate) fn asks_for_go(&self) -> bool {
        self.cases.iter().flat_map(|case| &case.stores).any(|store| store.is_go())
    }

    /// How many children are run.
    pub(crate) fn children(&self) -> u64 {
        let stores: usize = self.cases.iter().map(|case| case.stores.len()).sum();
        stores as u64 * u64::from(self.runs)
    }
}

/// Whether a workload of this size is run on this store.
fn takes(workload: Workload, keys: u64, store: Store) -> bool {
    let alone = keys > BOTH_KEYS_MAX;
    workload.runs_on(store) && (!alone || (workload.shows_slope() && store == Store::Disk))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    fn plan(args: &[&str], has_go: bool) -> Plan {
        let args = std::iter::once("compare").chain(args.iter().copied());
        Plan::new(&Cli::try_parse_from(args).unwrap().compare, has_go)
    }

    #[test]
    fn at_ten_million_ours_shows_its_slope_alone() {
        let plan = plan(&[], true);
        let large: Vec<&Case> = plan.cases.iter().filter(|case| case.keys == 10_000_000).collect();
        let workloads: Vec<Workload> = large.iter().map(|case| case.workload).collect();
        assert_eq!(workloads, [Workload::Ingest, Workload::Get, Workload::Reopen]);
        assert!(large.iter().all(|case| case.stores == [Store::Disk]));
    }

    #[test]
    fn both_take_turns() {
        let plan = plan(&["--only", "ingest", "--keys", "1m"], true);
        assert_eq!(plan.cases, [Case { workload: Workload::Ingest, keys: 1_000_000, stores: STORES.to_vec() }]);
        assert_eq!(plan.children(), 18);
    }

    #[test]
    fn what_the_memory_of_an_engine_cannot_change_runs_once_a_side() {
        let stores = |args: &[&str]| plan(args, true).cases[0].stores.clone();
        assert_eq!(stores(&["--only", "delete"]), [Store::Map, Store::Memory, Store::Pebble, Store::Disk]);
        assert_eq!(stores(&["--only", "delete", "--stores", "pebble-defaults"]), [Store::PebbleDefaults]);
    }

    #[test]
    fn without_go_ours_runs_alone() {
        let plan = plan(&["--quick"], false);
        assert!(!plan.asks_for_go());
        assert!(plan.cases.iter().any(|case| case.workload == Workload::Ingest));
        assert_eq!(plan.runs, 1);
    }

    #[test]
    fn what_was_written_to_memory_is_never_reopened() {
        let plan = plan(&["--only", "reopen", "--keys", "1m"], true);
        assert_eq!(plan.cases[0].stores, [Store::Pebble, Store::Disk]);
    }

    #[test]
    fn a_workload_with_a_size_of_its_own_runs_once() {
        let plan = plan(&["--only", "chain,raw-fjall"], true);
        let sizes: Vec<(Workload, u64)> = plan.cases.iter().map(|case| (case.workload, case.keys)).collect();
        assert_eq!(sizes, [(Workload::RawFjall, 100_000), (Workload::RawFjall, 1_000_000), (Workload::Chain, 10_000)]);
    }
}
