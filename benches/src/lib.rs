//! Nothing but benchmarks: `cargo bench -p anabranch-benches`.
