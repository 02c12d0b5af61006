//! The simulator's figures: the event loop alone beside a bare heap of events, whole runs beside the time that they
//! simulate, and events of the real core under a swarm of faults.
//!
//! `cargo bench -p anabranch-benches --bench sim`. Measured is the time that the one thread has run for, so that what else runs on the
//! machine disturbs less.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot go on may stop")]

use anabranch_benches::CpuTime;
use anabranch_sim::{echo, outcome::Verdict, run::run, scenario::Scenario};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::{cmp::Reverse, collections::BinaryHeap, hint::black_box, time::Duration};

const EVENTS: u64 = 1_000_000;

/// The least that a loop of events has to do: push and pop by (time, sequence).
fn bare_heap(events: u64) -> u64 {
    let mut heap: BinaryHeap<Reverse<(u64, u64)>> = (0..64).map(|n| Reverse((n, n))).collect();
    let mut clock = 0;
    for sequence in 64..events {
        if let Some(Reverse((at, drawn))) = heap.pop() {
            clock = at;
            heap.push(Reverse((at + 1 + drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 50, sequence)));
        }
    }
    clock
}

fn event_loop(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("event loop");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(10);
    group.bench_function("64 B echo, latency and loss, trace hash on", |b| b.iter(|| echo::run(black_box(1), EVENTS)));
    group.bench_function("ceiling: a bare heap", |b| b.iter(|| bare_heap(black_box(EVENTS))));
    group.finish();
}

/// Five replicas, ten operations a simulated second, one message in ten lost. The throughput's unit is a
/// simulated millisecond: a thousand times faster than time is 1 Melem/s.
fn cluster(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("five replicas, 10 operations/s, 10 % loss");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    for seconds in [60_u64, 600] {
        let text = format!(
            "name = \"bench\"\ndescription = \"For the benchmark.\"\nreplicas = 5\nduration = \"{seconds}s\"\n\
             [workload]\nrate = 10\n[network]\nlatency = [\"5ms\", \"80ms\"]\ndrop = 0.1\n"
        );
        let scenario = Scenario::parse(&text, "bench.toml").unwrap_or_else(|error| panic!("{error}"));
        group.throughput(Throughput::Elements(seconds * 1_000));
        group.bench_function(format!("{seconds} s simulated"), |b| {
            b.iter(|| {
                let report = run(&scenario, black_box(1));
                assert!(matches!(report.verdict, Verdict::Passed), "{:?}", report.verdict);
                report
            });
        });
    }
    group.finish();
}

/// The real core under faults of all kinds, with all judges: what a campaign does. Each seed is another world, so the rate is that of
/// all of them together.
fn swarm(c: &mut Criterion<CpuTime>) {
    const SEEDS: u64 = 16;
    let scenario = Scenario::parse(include_str!("../scenarios/swarm.toml"), "swarm.toml");
    let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
    let events = || (0..SEEDS).map(|seed| run(&scenario, black_box(seed)).events).sum::<u64>();
    let mut group = c.benchmark_group("real core, swarm of faults, all judges");
    group.throughput(Throughput::Elements(events())).sample_size(10);
    group.bench_function(format!("events of {SEEDS} seeds"), |b| b.iter(events));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = event_loop, cluster, swarm
}
criterion_main!(benches);
