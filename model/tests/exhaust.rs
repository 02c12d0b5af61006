//! Every world of the small cluster is visited, and every property holds in each.

use anabranch_model::Clusters;
use stateright::{Checker, Model};

#[test]
fn two_replicas_and_three_operations_in_every_order() {
    let checker = Clusters::small().checker().threads(2).spawn_dfs().join();
    checker.assert_properties();
    // Another number means that replicas differ in what can happen to them: look before accepting it.
    insta::assert_snapshot!(checker.unique_state_count(), @"");
}
