//! The datastore as programs use it, over stores in memory and on disk: one binary, for they share what is slow to build.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod basics;
mod calls;
mod codec;
mod durability;
mod faulty;
mod following;
mod hazards;
mod kit;
mod network;
mod opening;
mod options;
mod puppet;
mod reading;
mod support;
mod tasks;
mod transfer;
mod watching;
