//! A provider that answers with bytes from a script.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it does for a model.
#[derive(Clone)]
pub(crate) struct Script {
    /// Sent piece by piece, then the connection is closed.
    pub(crate) pieces: Vec<String>,
    /// Between the pieces.
    pub(crate) pause: Duration,
}

impl Script {
    pub(crate) fn bytes(bytes: impl Into<String>) -> Self {
        Self { pieces: vec![bytes.into()], pause: Duration::ZERO }
    }

    pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::bytes(format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
        ))
    }

    /// A stream that ends with the connection.
    pub(crate) fn stream(events: &[&str]) -> Self {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        let pieces = std::iter::once(head).chain(events.iter().copied()).map(str::to_owned).collect();
        Self { pieces, pause: Duration::from_millis(20) }
    }
}

pub(crate) struct Provider {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<Value>>>,
}

impl Provider {
    /// Answers each model by its script; one that is named several times by these scripts in turn, and then by the last.
    pub(crate) async fn start(scripts: &[(&str, Script)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let scripts: Vec<_> =
            scripts.iter().map(|(model, script)| ((*model).to_owned(), script.clone())).collect();
        let noted = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (scripts, noted) = (scripts.clone(), Arc::clone(&noted));
                tokio::spawn(async move {
                    let Some(body) = read(&mut stream).await else {
                        return;
                    };
                    let model = body["model"].as_str().unwrap().to_owned();
                    let call = {
                        let mut noted = noted.lock().unwrap();
                        noted.push(body);
                        noted.iter().filter(|body| body["model"] == *model).count() - 1
                    };
                    let of_model: Vec<_> = scripts.iter().filter(|(name, _)| *name == model).collect();
                    let (_, script) = of_model[call.min(of_model.len() - 1)];
                    for piece in &script.pieces {
                        _ = stream.write_all(piece.as_bytes()).await;
                        tokio::time::sleep(script.pause).await;
                    }
                });
            }
        });
        Self { addr, seen }
    }

    /// The configuration that calls it `raw`.
    pub(crate) fn config(&self) -> String {
        format!("[providers.raw]\nbase_url = \"http://{}/v1\"\n", self.addr)
    }

    /// The bodies that it was sent.
    pub(crate) fn seen(&self) -> Vec<Value> {
        self.seen.lock().unwrap().clone()
    }
}

async fn read(stream: &mut TcpStream) -> Option<Value> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let length: usize = head.lines().find_map(|l| l.strip_prefix("content-length: "))?.parse().ok()?;
        if body.len() >= length {
            return serde_json::from_str(body).ok();
        }
    }
}
