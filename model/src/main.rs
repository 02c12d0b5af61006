//! Visits every world of the small cluster and says how many there are.

use anabranch_model::Clusters;
use stateright::{Checker, Model, report::WriteReporter};

fn main() {
    let checker =
        Clusters::small().checker().threads(2).spawn_dfs().report(&mut WriteReporter::new(&mut std::io::stdout()));
    checker.assert_properties();
    println!("{} worlds, every property holds in each", checker.unique_state_count());
}
