//! Announcements on their way in.

use crate::{handle::WeakHandle, metrics, net::DynBroadcaster};
use anabranch_core::Input;
use std::{sync::Arc, time::Duration};

/// How long to wait before a broadcaster that failed to receive is asked again.
const RECEIVE_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Hands announcements to the owner, as fast as it takes them.
pub(super) async fn receive_all(broadcaster: Arc<dyn DynBroadcaster>, owner: WeakHandle) {
    loop {
        match broadcaster.next().await {
            Ok(Some((from, payload))) => {
                metrics::broadcast_received();
                let Some(owner) = owner.upgrade() else { return };
                if !owner.input(Input::Broadcast { from, payload }).await {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "receiving announcements failed");
                tokio::time::sleep(RECEIVE_AGAIN_AFTER).await;
            }
        }
    }
}
