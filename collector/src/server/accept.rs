// SPDX-License-Identifier: Apache-2.0
//! Listens, accepts within bounds, and ends in time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::ServerConfig;
use super::tls::{self, TlsError};

/// Connections beyond the watchers'.
const SPARE_CONNECTIONS: usize = 256;
/// How long a client may take for its handshake, and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a dead peer holds a connection.
const DEAD_PEER: Duration = Duration::from_secs(90);
/// How long answers that are under way may take at the end.
const GRACE: Duration = Duration::from_secs(1);

/// The server cannot listen.
#[derive(Debug, Error)]
pub enum BindError {
    /// The address cannot be had.
    #[error("Server.Listen {address}: {source}; {}", hint(.source))]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// TLS cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "end what listens there, or choose another port",
        io::ErrorKind::AddrNotAvailable => "choose an address of this host",
        io::ErrorKind::PermissionDenied => "choose a port from 1024 on",
        _ => "choose another address",
    }
}

/// A server that listens already.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    address: SocketAddr,
    connections: Arc<Semaphore>,
}

impl Server {
    /// Takes the address. `max_watchers` connections may stay open for long.
    pub async fn bind(config: &ServerConfig, max_watchers: usize) -> Result<Self, BindError> {
        let tls = tls::acceptor(config)?;
        let wrap = |source| BindError::Address { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(wrap)?;
        let address = listener.local_addr().map_err(wrap)?;
        if !address.ip().is_loopback() && config.token.is_empty() {
            tracing::warn!(%address, "everyone who reaches the address may read; set Server.Token");
        }
        let connections = Arc::new(Semaphore::new(max_watchers + SPARE_CONNECTIONS));
        Ok(Self { listener, tls, address, connections })
    }

    /// Where it listens, e.g. `http://127.0.0.1:19704/`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/", self.address)
    }

    /// Answers until `stop`. Streams must end at `stop` by themselves.
    pub async fn run(self, router: Router, stop: CancellationToken) {
        let graceful = GracefulShutdown::new();
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, mostly: others end meanwhile.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(slot) = Arc::clone(&self.connections).try_acquire_owned() else { continue };
            let (router, tls) = (router.clone(), self.tls.clone());
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                let _slot = slot;
                serve(stream, tls, router, watcher).await;
            });
        }
        let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    }
}

type Watcher = hyper_util::server::graceful::Watcher;

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router, watcher: Watcher) {
    // Not all kernels let us; then a dead peer is noticed by TCP alone.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, DEAD_PEER.as_millis() as u32);
    match tls {
        None => converse(stream, router, watcher).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
                converse(stream, router, watcher).await;
            }
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    router: Router,
    watcher: Watcher,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A client that breaks off is its own affair.
    let _ = watcher.watch(connection).await;
}
