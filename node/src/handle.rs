//! Ways to the owner of the replica, and to what it publishes.

use crate::{
    Error,
    message::{Face, Message},
    metrics,
    shared::Shared,
    view::AnyView,
};
use anabranch_core::{Input, Outcome, Token};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// A way to the owner.
#[derive(Clone)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Message>,
}

/// A way to the owner as long as someone else holds a [`Handle`].
#[derive(Clone, Debug)]
pub(crate) struct WeakHandle {
    shared: Arc<Shared>,
    queue: mpsc::WeakSender<Message>,
}

impl WeakHandle {
    pub(crate) fn upgrade(&self) -> Option<Handle> {
        Some(Handle { shared: self.shared.clone(), queue: self.queue.upgrade()? })
    }
}

impl Handle {
    pub(crate) const fn new(shared: Arc<Shared>, queue: mpsc::Sender<Message>) -> Self {
        Self { shared, queue }
    }

    pub(crate) fn downgrade(&self) -> WeakHandle {
        WeakHandle { shared: self.shared.clone(), queue: self.queue.downgrade() }
    }

    /// Queues a message. Whether the owner is there to take it.
    pub(crate) async fn send(&self, message: Message) -> bool {
        self.queue.send(message).await.is_ok()
    }

    /// Queues what came from a peer, once there is room for it.
    pub(crate) async fn input(&self, input: Input) -> bool {
        let bytes = match &input {
            Input::Block { bytes, .. } => bytes.len(),
            Input::Broadcast { payload, .. } => payload.len(),
            _ => 0,
        };
        let room = self.shared.arrivals().take(bytes).await;
        self.send(Message::Input { input, room }).await
    }

    /// Asks for something that is neither a commit nor a read.
    pub(crate) async fn ask(
        &self,
        bytes: usize,
        what: impl FnOnce(Token) -> Input + Send + 'static,
    ) -> Result<Outcome, Error> {
        let room = self.shared.arrivals().take(bytes).await;
        let (reply, answer) = oneshot::channel();
        if !self.send(Message::Ask { what: Box::new(what), reply, room }).await {
            return Err(self.shared.error());
        }
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Reads the last durable state, whatever the owner does meanwhile.
    pub(crate) async fn view<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn AnyView) -> Result<T, anabranch_core::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let state = self.shared.state()?;
        let view = state.view().map_err(|why| Error::Read(why.clone()))?.clone();
        metrics::read();
        if view.is_in_memory() {
            return read(&*view).map_err(Error::Read);
        }
        let read = move || {
            let read = read(&*view);
            // In this order: who closes the store waits for the second.
            drop((view, state));
            read
        };
        self.shared.readers.read(read).await
    }

    /// The last durable state, to stay as it is.
    pub(crate) fn fixed(&self) -> Result<Arc<dyn AnyView>, Error> {
        let state = self.shared.state()?;
        let view = state.view().map_err(|why| Error::Read(why.clone()))?;
        metrics::read();
        Ok(view.fixed().unwrap_or_else(|| view.clone()))
    }

    /// Asks the owner, after all that waits for it is durable.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Face) -> Result<T, anabranch_core::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let read = move |replica: &mut dyn Face| {
            let _ = reply.send(read(replica));
        };
        if !self.send(Message::Read(Box::new(read))).await {
            return Err(self.shared.error());
        }
        match answer.await {
            Ok(answer) => answer.map_err(Error::Read),
            Err(_) => Err(self.shared.error()),
        }
    }
}

/// The owner died, which only a bug can make it do.
pub(crate) fn ended() -> Error {
    Error::Unknown(anabranch_core::Error::Store(String::from(
        "the thread that owns the store ended before it answered",
    )))
}
