//! Sweeps of crashes, I/O errors and full disks over the engines under an Anabranch replica.
//!
//! Read [`script`] first: the run that all of them play. Then [`check`]: what must hold after a fault. Then [`sweep`].
#![forbid(unsafe_code)]

pub mod check;
pub mod engines;
pub mod files;
pub mod process;
pub mod recorder;
pub mod script;
pub mod sweep;
