//! The pooled HTTP client of a provider, and what its errors mean.
//!
//! HTTP/1.1 on purpose: with HTTP/2 all calls to a provider share one connection and its stream limit.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kalibr_core::outcome::FailureCategory;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::failure::{Blame, Failure};

type BoxError = Box<dyn Error + Send + Sync>;

/// A client with its pool of connections; clones share the pool.
pub(crate) type HttpClient = Client<Connector, Full<Bytes>>;

/// Idle connections are closed after this: shorter than the 60 s after which common load balancers close them, so that
/// a call rarely meets a connection that is being closed under it.
const POOL_IDLE: Duration = Duration::from_secs(50);

pub(crate) fn client(connect_timeout: Duration, is_tls: bool) -> HttpClient {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let tls = if is_tls { TLS.clone() } else { without_roots() };
    let https =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_timer(TokioTimer::new())
        .build(Connector { https, limit: connect_timeout })
}

/// Certificates are read once in a process: it takes tens of milliseconds.
static TLS: LazyLock<ClientConfig> = LazyLock::new(|| match builder().with_native_roots() {
    Ok(config) => config.with_no_client_auth(),
    Err(error) => {
        tracing::warn!(%error, "no trusted certificates were found, so calls to https addresses will fail; install the system's CA certificates or set SSL_CERT_FILE");
        without_roots()
    }
});

fn without_roots() -> ClientConfig {
    builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    // Fails only for a crypto provider without a cipher suite of either version.
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
}

/// Connects within a time limit. hyper's own limit ends with the TCP handshake, and a server that accepts and then
/// keeps silent in the TLS handshake would hold the call for its whole time.
#[derive(Clone)]
pub(crate) struct Connector {
    https: HttpsConnector<HttpConnector>,
    limit: Duration,
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.limit, self.https.call(address));
        Box::pin(async move {
            connecting.await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        })
    }
}

/// What a call that got no answer means.
pub(crate) fn call_failed(provider: &str, error: &hyper_util::client::legacy::Error) -> Failure {
    use FailureCategory::{ProviderError, Timeout};
    let is_not_http =
        |cause: &(dyn Error + 'static)| cause.downcast_ref().is_some_and(hyper::Error::is_parse);
    let (category, said) = if has_cause(error, is_not_http) {
        (ProviderError, "answered with something that is not HTTP/1.1; check its base_url")
    } else if !error.is_connect() {
        (ProviderError, "closed the connection before it answered; try again")
    } else if has_cause(error, |cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::TimedOut)
    }) {
        (Timeout, "did not accept the connection in time; check that it is up, or raise connect_timeout_ms")
    } else if has_cause(error, <dyn Error>::is::<rustls::Error>) {
        (
            ProviderError,
            "has a certificate that is not trusted, or no TLS; check its base_url and the CA certificates",
        )
    } else {
        (ProviderError, "cannot be connected to; check that it is up and that its base_url is right")
    };
    Failure::new(category, Blame::Path, format!("provider {provider} {said}"))
}

fn has_cause(error: &(dyn Error + 'static), is_it: fn(&(dyn Error + 'static)) -> bool) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if is_it(cause) {
            return true;
        }
        // An io::Error passes over the error that it wraps and gives that one's source.
        next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    false
}
