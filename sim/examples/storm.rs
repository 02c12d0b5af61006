use anabranch_sim::{run::run_plan, plan::Plan, scenario::Scenario, engine::*, Observer};
use std::collections::BTreeMap;
struct O(u64, BTreeMap<(u16,u16,u8,String),u64>);
impl Observer for O { fn message(&mut self, k: &MessageKey, _f: &Fate) { self.0 += 1; if self.0 > 300_000 { *self.1.entry((k.from.0,k.to.0,k.kind,format!("{:?}",k.cause))).or_default() += 1; }
 if self.0 > 310_000 { let mut v: Vec<_> = self.1.iter().collect(); v.sort_by_key(|x| std::cmp::Reverse(x.1)); for x in v.iter().take(20) { println!("{x:?}"); } std::process::exit(0); } } }
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let seed: u64 = std::env::args().nth(2).map_or(0, |s| s.parse().unwrap());
    let s = Scenario::parse(&std::fs::read_to_string(&path).unwrap(), &path).unwrap();
    let r = run_plan(&s, seed, Plan::new(&s, seed), &mut O(0, BTreeMap::new()));
    println!("{}", r.verdict);
}
