//! A server with an engine and a data folder of its own.

use std::path::Path;
use std::time::Duration;

use http::Method;
use kalibr_engine::{Config, Engine, EngineConfig, Home};
use kalibr_server::{Server, ServerConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Client, Reply};

/// Two models that always answer well and one that always fails.
pub(crate) const LAB: &str = r#"
    [providers.lab]
    kind = "simulated"
    models.one = { quality = 1.0 }
    models.two = { quality = 1.0 }
    models.down = { failure_rate = 1.0 }
"#;

pub(crate) struct Kalibr {
    pub(crate) client: Client,
    pub(crate) engine: Engine,
    folder: TempDir,
    stop: oneshot::Sender<()>,
    running: JoinHandle<bool>,
}

impl Kalibr {
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_with(config, ServerConfig::default()).await
    }

    pub(crate) async fn start_with(config: &str, server: ServerConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config: Config = toml::from_str(config).unwrap();
        let config = EngineConfig::new(Home::at(folder.path()), &config, &|_| None).unwrap();
        let engine = Engine::open(EngineConfig { seed: Some(7), ..config }).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = Server::bind(engine.clone(), ServerConfig { listen, ..server }).await.unwrap();
        let client = Client::new(server.addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async move { _ = stopped.await }));
        Self { client, engine, folder, stop, running }
    }

    /// A server whose goal `g` has these paths.
    pub(crate) async fn with_paths(config: &str, paths: Value) -> Self {
        let kalibr = Self::start(config).await;
        kalibr.client.put("/v1/goals/g", json!({ "paths": paths })).await.ok(200);
        kalibr
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks goal `g` something.
    pub(crate) async fn ask(&self, headers: &[(&str, &str)]) -> Reply {
        let body = json!({ "model": "goal:g", "messages": [{ "role": "user", "content": "Hello" }] });
        self.client.json(Method::POST, "/v1/chat/completions", headers, body).await
    }

    /// Asks goal `g` something, and gives the decision's trace id.
    pub(crate) async fn asked(&self) -> String {
        let reply = self.ask(&[]).await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        reply.header("x-kalibr-trace-id").unwrap().to_owned()
    }

    pub(crate) async fn decision(&self, id: &str) -> Value {
        self.client.get(&format!("/v1/decisions/{id}")).await.ok(200)
    }

    /// All that is counted of goal `g`, once everything sent so far is in.
    pub(crate) async fn counted(&self) -> Value {
        let engine = self.engine.clone();
        assert!(tokio::task::spawn_blocking(move || engine.flush(Duration::from_secs(10))).await.unwrap());
        let goals = self.client.get("/v1/goals").await.ok(200);
        goals["data"].clone()
    }

    /// Tells the server to stop; whether all requests could finish.
    pub(crate) fn stop(self) -> (JoinHandle<bool>, Engine, TempDir) {
        self.stop.send(()).unwrap();
        (self.running, self.engine, self.folder)
    }
}
