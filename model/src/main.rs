//! Visits every world of the small clusters and says how many there are.

use anabranch_model::Clusters;
use stateright::{Checker, Model, report::WriteReporter};

fn main() {
    for (what, clusters) in [
        ("no fault", Clusters::faultless()),
        ("a message lost, a message delivered twice", Clusters::lossy()),
        ("a message lost, a crash", Clusters::crashing()),
        ("a timer early, a crash", Clusters::hasty()),
    ] {
        println!("{what}:");
        let checker = clusters.checker().threads(2).spawn_dfs().report(&mut WriteReporter::new(&mut std::io::stdout()));
        checker.assert_properties();
        println!("{what}: {} worlds, and every property holds\n", checker.unique_state_count());
    }
}
