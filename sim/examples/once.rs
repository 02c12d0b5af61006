use anabranch_sim::{run, scenario::Scenario};
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let from: u64 = std::env::args().nth(2).map_or(0, |s| s.parse().unwrap());
    let to: u64 = std::env::args().nth(3).map_or(from + 1, |s| s.parse().unwrap());
    let scenario = Scenario::parse(&std::fs::read_to_string(&path).unwrap(), &path).unwrap_or_else(|e| panic!("{e}"));
    for seed in from..to {
        let r = run(&scenario, seed);
        println!(
            "{seed} {} events {} sim {:.1}s conv {:?} wall {:?} x{:.0} blocks {} heads {} keys {} trace {}",
            r.verdict,
            r.events,
            r.simulated_ns as f64 / 1e9,
            r.converged_after_ns.map(|n| n as f64 / 1e9),
            r.wall,
            r.simulated_ns as f64 / 1e9 / r.wall.as_secs_f64(),
            r.blocks,
            r.heads,
            r.keys,
            &r.trace[..8]
        );
        if to == from + 1 {
            println!(
                "{:#?}\n{:#?}\n{:#?}\n{:#?}\nvoid {} mis {}",
                r.faults, r.messages, r.operations, r.checks, r.blocks_void, r.blocks_misdeclared
            );
            for m in &r.timeline {
                println!("{:>10.3} {}", m.at_ns as f64 / 1e9, m.what);
            }
        }
    }
}
