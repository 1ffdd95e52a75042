//! An HTTP client of the demo's own server: what any program would send it.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
    base: String,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) trace_id: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { http, base: format!("http://{addr}") }
    }

    /// Posts JSON, and fails unless the answer is a 2xx.
    pub(crate) async fn post(
        &self,
        path: &str,
        session: Option<&str>,
        body: &Value,
    ) -> anyhow::Result<Reply> {
        let mut request = http::Request::post(format!("{}{path}", self.base))
            .header(http::header::CONTENT_TYPE, "application/json");
        if let Some(session) = session {
            request = request.header("x-kalibr-session", session);
        }
        let request = request.body(Full::from(serde_json::to_vec(body)?))?;
        let reply = self.http.request(request).await.context("the demo's server does not answer")?;
        let (status, headers) = (reply.status(), reply.headers().clone());
        let body = reply.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        Ok(Reply {
            trace_id: header("x-kalibr-trace-id"),
            model: header("x-kalibr-model"),
            body: serde_json::from_slice(&body)?,
        })
    }
}
