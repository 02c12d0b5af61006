//! A deterministic simulator that proves that Anabranch replicas converge.

pub mod car;
pub mod dag;
pub mod fold;
