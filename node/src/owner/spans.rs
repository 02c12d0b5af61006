//! The spans of the owner's work.
//!
//! `open` when the store is opened; `group` around what shares a sync, and in it `commit`, `hear`, `receive`, `merge` and the like around each step and
//! `sync` around the sync; `task` from the beginning of a purge, a verification or a rebuild to its end, entered for each of its steps. `fetch` and `broadcast` are
//! those of the network.

use anabranch_core::{Input, TaskStatus, Timer};
use tracing::{Span, debug_span, info_span, trace_span};

/// Around a step with this input.
pub(super) fn step(input: &Input) -> Span {
    match input {
        Input::Commit { token, batch } => {
            debug_span!("commit", token = token.0, writes = batch.writes.len(), dag = %batch.dag)
        }
        Input::Broadcast { from, payload } => debug_span!("hear", peer = from.0, bytes = payload.len()),
        Input::Block { from, cid, bytes, attempt } => {
            debug_span!("receive", peer = from.0, %cid, bytes = bytes.len(), attempt)
        }
        Input::FetchFailed { cid, attempt } => debug_span!("fetch_failed", %cid, attempt),
        Input::Timer(Timer::Rebroadcast) => debug_span!("round"),
        Input::Timer(timer) => trace_span!("timer", ?timer),
        Input::Import { blocks, .. } => debug_span!("import", blocks = blocks.len()),
        Input::Purge { dag, .. } => debug_span!("purge", %dag),
        Input::Verify { .. } => debug_span!("verify"),
        Input::Rebuild { .. } => debug_span!("rebuild"),
        Input::Abandon { cid, .. } => debug_span!("abandon", %cid),
        Input::Continue => debug_span!("merge"),
    }
}

/// From the beginning of a task to its end.
pub(super) fn task(status: &TaskStatus) -> Span {
    info_span!("task", kind = ?status.kind)
}
