//! The rows of a query as a stream.

use crate::{Error, view::AnyView};
use anabranch_core::{Query, Row};
use futures_core::Stream;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    vec,
};
use tokio::{runtime, sync::mpsc};

/// Rows that are handed over together, at most.
const CHUNK_ROWS: usize = 256;
/// Bytes of values that are handed over together, roughly.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that are read ahead.
const CHUNKS_AHEAD: usize = 2;

/// Some rows; none after the last ones, so that an end is told from a reader that was stopped.
type Chunk = Result<Vec<Row>, Error>;

/// The rows that a query selects, all of one moment: a [`Stream`], and [`next`](Self::next) for those who need no more.
///
/// A blocking thread reads at most some hundreds of rows ahead of whoever takes them (in an order other than by key: all rows first). Dropping
/// the stream ends the reading. After an error there are no more rows.
#[derive(Debug)]
pub struct RowStream {
    chunks: mpsc::Receiver<Chunk>,
    chunk: vec::IntoIter<Row>,
    ended: bool,
}

impl RowStream {
    pub(crate) fn start(view: Arc<dyn AnyView>, query: Query, runtime: &runtime::Handle) -> Self {
        let (send, chunks) = mpsc::channel(CHUNKS_AHEAD);
        drop(runtime.spawn_blocking(move || read(&*view, &query, &send)));
        Self { chunks, chunk: Vec::new().into_iter(), ended: false }
    }

    /// The next row, or `None` after the last one. Cancellation-safe: no row is lost.
    pub async fn next(&mut self) -> Option<Result<Row, Error>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// All rows that are left.
    ///
    /// # Errors
    /// The first error, as [`next`](Self::next) gives it.
    pub async fn collect(mut self) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        while let Some(row) = self.next().await {
            rows.push(row?);
        }
        Ok(rows)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Row, Error>>> {
        loop {
            if let Some(row) = self.chunk.next() {
                return Poll::Ready(Some(Ok(row)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let chunk = ready!(self.chunks.poll_recv(context));
            self.ended = !matches!(&chunk, Some(Ok(rows)) if !rows.is_empty());
            match chunk {
                Some(Ok(rows)) => self.chunk = rows.into_iter(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                // The runtime is shutting down.
                None => return Poll::Ready(Some(Err(Error::Closed))),
            }
        }
    }
}

impl Stream for RowStream {
    type Item = Result<Row, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(context)
    }
}

/// Reads all rows, chunk by chunk, as long as someone takes them.
fn read(view: &dyn AnyView, query: &Query, send: &mpsc::Sender<Chunk>) {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    for row in view.rows(query) {
        match row {
            Ok(row) => {
                bytes += row.value.as_ref().map_or(0, |value| value.len());
                chunk.push(row);
            }
            Err(error) => {
                if !chunk.is_empty() && send.blocking_send(Ok(chunk)).is_err() {
                    return;
                }
                // Nobody is left to be told when this fails.
                let _ = send.blocking_send(Err(Error::Read(error)));
                return;
            }
        }
        if chunk.len() >= CHUNK_ROWS || bytes >= CHUNK_BYTES {
            bytes = 0;
            if send.blocking_send(Ok(std::mem::take(&mut chunk))).is_err() {
                return;
            }
        }
    }
    if chunk.is_empty() || send.blocking_send(Ok(chunk)).is_ok() {
        let _ = send.blocking_send(Ok(Vec::new()));
    }
}
