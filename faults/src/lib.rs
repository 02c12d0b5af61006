//! Sweeps of crashes, I/O errors and full disks over the engines under an Anabranch replica.
#![forbid(unsafe_code)]

pub mod files;
