//! A deterministic simulator that proves that Anabranch replicas converge.
//!
//! Read [`scenario::Scenario`] first, then [`run::run`], then [`outcome::RunReport`].
#![forbid(unsafe_code)]

pub mod anabranch;
pub mod campaign;
pub mod caught;
pub mod choices;
pub mod dag;
pub mod determinism;
pub mod disk;
pub mod dot;
pub mod echo;
pub mod engine;
pub mod explain;
pub mod explicit;
pub mod failure;
pub mod files;
pub mod fold;
pub mod harness;
pub mod html;
pub mod ledger;
mod network;
pub mod observe;
pub mod oracles;
pub mod outcome;
pub mod plan;
pub mod process;
pub mod reached;
pub mod record;
pub mod report;
pub mod run;
pub mod scenario;
pub mod schema;
pub mod shiviz;
pub mod shrink;
pub mod signature;
pub mod swarm;
pub mod sweep;
pub mod system;
pub mod tally;
pub mod words;
pub mod workload;
mod world;

pub use anabranch_car as car;
pub use network::Body;
pub use run::run;
