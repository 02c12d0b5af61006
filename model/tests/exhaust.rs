//! Every world of the small clusters is visited, and every property holds in each.
//!
//! A test counts the worlds. Another number means that other things can happen to a replica than
//! before, or that more of it is compared: know why before you accept it.

use anabranch_core::Cid;
use anabranch_model::{Cluster, Clusters};
use stateright::{Checker, Model};

fn worlds(clusters: Clusters) -> usize {
    let checker = clusters.checker().threads(2).spawn_dfs().join();
    checker.assert_properties();
    checker.unique_state_count()
}

#[test]
fn two_replicas_and_three_operations_in_every_order() {
    insta::assert_snapshot!(worlds(Clusters::faultless()), @"9919");
}

#[test]
fn with_a_message_lost_and_a_message_delivered_twice() {
    insta::assert_snapshot!(worlds(Clusters::lossy()), @"97009");
}

#[test]
fn with_a_message_lost_and_a_crash() {
    insta::assert_snapshot!(worlds(Clusters::crashing()), @"179025");
}

#[test]
fn with_two_timers_that_run_out_early() {
    insta::assert_snapshot!(worlds(Clusters::hasty()), @"80445");
}

#[test]
fn an_acknowledged_write_that_is_missing_is_noticed() {
    let mut cluster = Cluster::new(2);
    assert!(cluster.nodes.iter().all(anabranch_model::Node::is_fold));
    cluster.nodes[0].acknowledged.insert(Cid::of(b"acknowledged, and nowhere"));
    assert!(!cluster.nodes[0].is_fold());
}
