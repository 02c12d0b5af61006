//! Following the changes of values: watchers, which may be slow, and hooks, which may not.

use crate::{
    ring::{Ring, Told},
    sync::lock,
};
use anabranch_core::{Bytes, Key};
use futures_core::Stream;
use std::{
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{
        Arc, Mutex, Weak,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

/// The value that a reader sees for a key has changed, durably: by a local write, or by what peers wrote.
///
/// One key changes at most once with each commit of the store, and never to what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// The value before; `None` when there was none.
    pub old: Option<Bytes>,
    /// The value now; `None` when there is none any more.
    pub new: Option<Bytes>,
}

impl Change {
    fn bytes(&self) -> usize {
        let value = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        64 + self.key.as_bytes().len() + value(&self.old) + value(&self.new)
    }
}

/// Which keys are watched.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    Key(Key),
    /// The keys below this one.
    Below(Key),
}

impl Scope {
    fn takes(&self, key: &Key) -> bool {
        match self {
            Self::Key(only) => only == key,
            Self::Below(prefix) => {
                let prefix = prefix.as_bytes();
                let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
                let rest = key.as_bytes().strip_prefix(prefix);
                rest.is_some_and(|rest| rest.first() == Some(&b'/'))
            }
        }
    }
}

/// Those who watch.
#[derive(Debug)]
pub(crate) struct Watchers {
    buffer: usize,
    list: Mutex<Vec<(Scope, Weak<Ring<Change>>)>>,
}

impl Watchers {
    pub(crate) const fn new(buffer: usize) -> Self {
        Self { buffer, list: Mutex::new(Vec::new()) }
    }

    pub(crate) fn watch(&self, scope: Scope) -> Watcher {
        let ring = Arc::new(Ring::new(self.buffer));
        lock(&self.list).push((scope, Arc::downgrade(&ring)));
        Watcher { ring }
    }

    pub(crate) fn tell(&self, change: &Change) {
        lock(&self.list).retain(|(scope, ring)| {
            let Some(ring) = ring.upgrade() else { return false };
            if scope.takes(&change.key) {
                ring.push(change.clone(), change.bytes());
            }
            true
        });
    }

    /// The store was opened again.
    pub(crate) fn reopened(&self) {
        lock(&self.list).iter().filter_map(|(_, ring)| ring.upgrade()).for_each(|ring| ring.reopened());
    }

    /// There will be no more.
    pub(crate) fn end(&self) {
        lock(&self.list).drain(..).filter_map(|(_, ring)| ring.upgrade()).for_each(|ring| ring.end());
    }
}

/// The changes of a key, or of the keys below a prefix, as they become durable: a [`Stream`], and
/// [`next`](Self::next) for those who need no more.
///
/// A watcher that does not keep up loses changes, but not the knowledge of it: it gets [`Told::Missed`] where they would have
/// been, and should then read the keys themselves. Up to [`Options::watch_buffer`](crate::Options::watch_buffer) changes, of 16 MiB in all, wait for it.
/// Dropping the watcher ends the watch.
#[derive(Debug)]
pub struct Watcher {
    ring: Arc<Ring<Change>>,
}

impl Watcher {
    /// The next change; `None` when the datastore is closed. Cancellation-safe.
    pub async fn next(&mut self) -> Option<Told<Change>> {
        std::future::poll_fn(|context| self.ring.poll_next(context)).await
    }

    /// The next change, if there is one already.
    pub fn try_next(&mut self) -> Option<Told<Change>> {
        match self.ring.poll_next(&Context::from_waker(Waker::noop())) {
            Poll::Ready(next) => next,
            Poll::Pending => None,
        }
    }
}

impl Stream for Watcher {
    type Item = Told<Change>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ring.poll_next(context)
    }
}

/// Changes that wait for the hooks, at most. Then the replica waits for them.
const HOOK_BUFFER: usize = 1024;

/// What an embedder wants called for a change.
pub(crate) type Hook = Box<dyn FnMut(&Change) + Send>;

/// The embedder's hooks.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) put: Option<Hook>,
    pub(crate) delete: Option<Hook>,
}

impl Hooks {
    pub(crate) const fn is_empty(&self) -> bool {
        self.put.is_none() && self.delete.is_none()
    }

    fn call(&mut self, change: &Change) {
        let hook = if change.new.is_some() { &mut self.put } else { &mut self.delete };
        let Some(hook) = hook else { return };
        if panic::catch_unwind(AssertUnwindSafe(|| hook(change))).is_err() {
            tracing::error!(key = %change.key, "a hook panicked; it is called again for the next change");
        }
    }
}

/// The thread that calls the hooks, one change after another.
pub(crate) struct HookThread {
    changes: SyncSender<Change>,
    ended: Receiver<()>,
}

impl HookThread {
    pub(crate) fn start(mut hooks: Hooks) -> std::io::Result<Self> {
        let (changes, received) = sync_channel::<Change>(HOOK_BUFFER);
        let (end, ended) = sync_channel(1);
        std::thread::Builder::new().name(String::from("anabranch-hooks")).spawn(move || {
            received.iter().for_each(|change| hooks.call(&change));
            let _ = end.send(());
        })?;
        Ok(Self { changes, ended })
    }

    /// Hands a change over; waits while too many wait.
    pub(crate) fn tell(&self, change: Change) {
        // The thread ends after this end of the channel only.
        let _ = self.changes.send(change);
    }

    /// Waits until all hooks were called, or the time is over. Whether they were.
    pub(crate) fn close(self, limit: Duration) -> bool {
        drop(self.changes);
        self.ended.recv_timeout(limit).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_means_what_it_means_in_a_query() {
        let takes = |prefix: &str, key: &str| Scope::Below(Key::new(prefix)).takes(&Key::new(key));
        assert!(takes("/a", "/a/b") && takes("a/", "/a/b/c") && takes("", "/a") && takes("/", "/a/b"));
        assert!(!takes("/a", "/a") && !takes("/a", "/ab") && !takes("/a/b", "/a"));
    }
}
