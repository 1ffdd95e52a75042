//! The listener: connections in, and a stop that lets requests finish.
//!
//! axum's own `serve` sets no limit on how long a client may take to send a request's head, so one that sends nothing
//! holds a connection for ever. This one is built on hyper's connection with such a limit.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use kalibr_engine::Engine;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::app::App;
use crate::config::{ServeError, ServerConfig};
use crate::router::router;

/// How long a client may take for the head of a request. hyper counts the pause between two requests of a connection
/// in, so it is as long as clients usually keep idle connections.
const HEAD_PATIENCE: Duration = Duration::from_secs(75);

/// How long requests may take to finish once the server is told to stop: most answers of a model are done by then, and
/// supervisors send the second, hard signal after 30 seconds or more.
const DRAIN_PATIENCE: Duration = Duration::from_secs(25);

/// A pause after the system has refused a connection, for want of file descriptors mostly: trying again at once would
/// only burn the processor that could free some.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// A server that listens. Connections wait until it [runs](Server::run).
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    router: Router,
}

impl Server {
    /// Listens on the configured address.
    ///
    /// # Errors
    /// [`ServeError::NotLoopback`] for an address that other machines could reach, [`ServeError::Bind`] when it cannot be
    /// used.
    pub async fn bind(engine: Engine, config: ServerConfig) -> Result<Self, ServeError> {
        let addr = config.listen;
        if !addr.ip().to_canonical().is_loopback() {
            return Err(ServeError::NotLoopback(addr));
        }
        let problem = |source| ServeError::Bind { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(problem)?;
        let addr = listener.local_addr().map_err(problem)?;
        Ok(Self { listener, addr, router: router(App { engine, max_body_bytes: config.max_body_bytes }) })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `shutdown` is done, then lets the requests in flight finish for up to 25 seconds. Returns whether
    /// all of them did.
    ///
    /// The engine is left open: close it afterwards, so that what the last requests recorded is written.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> bool {
        let mut shutdown = pin!(shutdown);
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(graceful.watch(connection(stream, self.router.clone())));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(REFUSED_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
        // Before the wait, so that clients that come now are refused instead of kept waiting.
        drop(self.listener);
        let drained = tokio::time::timeout(DRAIN_PATIENCE, graceful.shutdown()).await.is_ok();
        if !drained {
            tracing::warn!(cut = connections.len(), "requests were still running and are cut off");
        }
        connections.shutdown().await;
        drained
    }
}

type Connection = http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>>;

fn connection(stream: TcpStream, router: Router) -> Connection {
    // A stream's events are small and must not wait for one another.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}
