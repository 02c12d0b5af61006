//! The power is cut at each write of a run in turn.

use crate::{
    observe::Nobody,
    outcome::RunReport,
    plan::Plan,
    run::run_plan,
    scenario::{Engine, Fault, FaultKind, Party, PowerCut, Scenario, TimedFault},
};
use std::time::Duration;

/// Runs the scenario again and again, on the engine over a simulated disk: with the power of the replica's disk cut before write 0, before write
/// `step`, and so on, until a run has no such write. Each report goes to `each`; when that says no, the sweep ends. Gives how many runs had their cut.
pub fn power_cuts(
    scenario: &Scenario,
    seed: u64,
    replica: Party,
    step: u64,
    mut each: impl FnMut(u64, RunReport) -> bool,
) -> u64 {
    let mut scenario = scenario.drawn(seed).into_owned();
    scenario.disk.engine = Engine::Redb;
    // The last run has no such write, and that is no failure.
    scenario.may_be_inert = true;
    let plan = Plan::new(&scenario, seed);
    let number = plan.faults.iter().map(|(number, _)| number + 1).max().unwrap_or(0);
    let mut cuts = 0;
    for write in (0..).step_by(usize::try_from(step.max(1)).unwrap_or(1)) {
        let mut plan = plan.clone();
        let fault = Fault::PowerCut(PowerCut { replica, write });
        plan.faults.insert(0, (number, TimedFault { at: Duration::ZERO, fault }));
        let report = run_plan(&scenario, seed, plan, &mut Nobody);
        let was_cut = report.faults.get(&FaultKind::PowerCut).is_some_and(|count| count.effective > 0);
        cuts += u64::from(was_cut);
        if !each(write, report) || !was_cut {
            break;
        }
    }
    cuts
}
