//! The echo on madsim: a task a client, and one for the server.
#![allow(clippy::unwrap_used, reason = "a benchmark whose simulated network does not bind cannot go on")]

use crate::{
    CLIENTS, LATENCY, LOST_PERCENT, PAYLOAD_BYTES, RETRY_AFTER, answer, beginning,
    journal::{Echoes, Journal, What},
};
use madsim::{
    Config,
    net::Endpoint,
    runtime::Runtime,
    time::{Instant, timeout},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

const CLIENT: u16 = 0;
const SERVER: u16 = 1;

/// What all tasks share. There is one thread, so nobody ever waits for it.
#[derive(Clone)]
struct Shared {
    begun: Instant,
    journal: Arc<Mutex<Option<Journal>>>,
    left: Arc<AtomicU64>,
    finished: Arc<Mutex<Option<Echoes>>>,
}

impl Shared {
    fn enter(&self, what: What, node: u16, client: u64, payload: &[u8; PAYLOAD_BYTES]) {
        let now = self.begun.elapsed().as_nanos() as u64;
        if let Some(journal) = &mut *self.journal.lock().unwrap() {
            journal.enter(now, what, node, client, payload);
        }
    }

    /// An echo was answered; the last one ends the run.
    fn answered(&self) {
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if before == Ok(1) {
            let journal = self.journal.lock().unwrap().take();
            *self.finished.lock().unwrap() = journal.map(Journal::finish);
        }
    }
}

/// Runs until so many echoes were answered.
pub(crate) fn run(seed: u64, echoes: u64) -> Echoes {
    let mut config = Config::default();
    config.net.packet_loss_rate = f64::from(LOST_PERCENT) / 100.0;
    config.net.send_latency = LATENCY.0..LATENCY.1;
    let runtime = Runtime::with_seed_and_config(seed, config);
    let client_ip: SocketAddr = "10.0.0.1:0".parse().unwrap();
    let server: SocketAddr = "10.0.0.2:1".parse().unwrap();
    let node = |address: SocketAddr| runtime.create_node().ip(address.ip()).build();
    let (clients, servers) = (node(client_ip), node(server));
    runtime.block_on(async move {
        let shared = Shared {
            begun: Instant::now(),
            journal: Arc::new(Mutex::new(Some(Journal::new()))),
            left: Arc::new(AtomicU64::new(echoes)),
            finished: Arc::new(Mutex::new(None)),
        };
        let bound = servers.spawn(Endpoint::bind(server)).await.unwrap();
        let endpoint = Arc::new(bound.unwrap());
        for client in 0..CLIENTS {
            servers.spawn(serve(endpoint.clone(), client, shared.clone()));
        }
        let asking: Vec<_> =
            (0..CLIENTS).map(|client| clients.spawn(ask(client, client_ip, server, shared.clone()))).collect();
        for task in asking {
            task.await.unwrap();
        }
        let echoes = shared.finished.lock().unwrap().take();
        echoes.unwrap()
    })
}

/// Answers one client. A task for each, so that none waits while another's answer is sent.
async fn serve(endpoint: Arc<Endpoint>, client: u64, shared: Shared) {
    loop {
        let mut payload = [0; PAYLOAD_BYTES];
        let (_, from) = endpoint.recv_from(client, &mut payload).await.unwrap();
        shared.enter(What::Arrived, SERVER, client, &payload);
        let payload = answer(payload);
        shared.enter(What::Sent, SERVER, client, &payload);
        endpoint.send_to(from, client, &payload).await.unwrap();
    }
}

async fn ask(client: u64, address: SocketAddr, server: SocketAddr, shared: Shared) {
    let endpoint = Endpoint::bind(address).await.unwrap();
    let mut payload = beginning(client);
    while shared.left.load(Ordering::Relaxed) > 0 {
        shared.enter(What::Sent, CLIENT, client, &payload);
        endpoint.send_to(server, client, &payload).await.unwrap();
        let mut reply = [0; PAYLOAD_BYTES];
        match timeout(RETRY_AFTER, endpoint.recv_from(client, &mut reply)).await {
            Ok(received) => {
                received.unwrap();
                shared.enter(What::Arrived, CLIENT, client, &reply);
                payload = reply;
                shared.answered();
            }
            Err(_) => {
                payload = beginning(client);
                shared.enter(What::RanOut, CLIENT, client, &payload);
            }
        }
    }
}
