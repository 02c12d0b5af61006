//! A deterministic simulator that proves that Anabranch replicas converge.
//!
//! Read [`scenario::Scenario`] first, then [`run::run`], then [`outcome::RunReport`].
#![forbid(unsafe_code)]

pub mod car;
pub mod dag;
pub mod disk;
pub mod engine;
pub mod fold;
pub mod oracles;
pub mod outcome;
pub mod run;
pub mod scenario;

pub use run::run;
