//! `kalibr demo`: the whole loop in half a minute, without a key and without a network.
//!
//! The real server runs with a simulated provider, a crowd of simulated users sends it real HTTP requests and reacts in
//! all three ways, and half-way the best path gets worse and is later repaired. Nothing tells the router: it has the
//! users' reactions alone, and the shipped defaults.

mod client;
mod crowd;
mod screen;
mod tally;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use kalibr_engine::core::ids::Goal;
use kalibr_engine::{Config, Engine, EngineConfig, GoalSettings, Home, PathUpdate};
use kalibr_server::{Server, ServerConfig};

use client::Client;
use screen::Screen;
use tally::Tally;

pub(crate) const GOAL: &str = "demo";
/// The paths, with how often a user likes their answers. The first is the one that gets worse.
pub(crate) const PATHS: [(&str, f64); 3] = [("sim/aurora", 0.85), ("sim/basalt", 0.70), ("sim/cedar", 0.55)];
/// How often the first path is liked while it is degraded.
const DEGRADED: f64 = 0.30;

/// A stretch of the demo.
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) requests: usize,
    /// How often users like the first path in it.
    pub(crate) first: f64,
}

pub(crate) const PHASES: [Phase; 3] = [
    Phase { name: "healthy", requests: 3_000, first: PATHS[0].1 },
    Phase { name: "degraded", requests: 3_600, first: DEGRADED },
    Phase { name: "repaired", requests: 4_400, first: PATHS[0].1 },
];

/// Users that are at it at the same time.
const CROWD: usize = 12;
/// The demo is paced to last about this long where the machine could do it faster, so that one can watch.
const LENGTH: Duration = Duration::from_secs(27);

pub(crate) fn demo(json: bool, serve: bool) -> anyhow::Result<ExitCode> {
    let folder = Folder::make()?;
    let home = Home::at(&folder.0);
    let config: Config = configuration()?;
    // The environment is left out on purpose: no key of yours can be used by accident.
    let engine = Engine::open(EngineConfig::new(home, &config, &|_| None)?)?;
    let paths = PATHS.iter().map(|(model, _)| Ok(serde_json::from_value((*model).into())?));
    let paths: Vec<_> = paths.collect::<anyhow::Result<_>>()?;
    engine.put_goal(&Goal::new(GOAL)?, &GoalSettings::default(), &paths, PathUpdate::Replace)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let ok = runtime.block_on(run(engine.clone(), json, serve))?;
    engine.close(Duration::from_secs(5));
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn configuration() -> anyhow::Result<Config> {
    let mut models = serde_json::Map::new();
    for (model, quality) in PATHS {
        let name = model.trim_start_matches("sim/").to_owned();
        models.insert(name, serde_json::json!({ "quality": quality, "latency_ms": 4 }));
    }
    let config = serde_json::json!({ "providers": { "sim": { "kind": "simulated", "models": models } } });
    Ok(serde_json::from_value(config)?)
}

async fn run(engine: Engine, json: bool, serve: bool) -> anyhow::Result<bool> {
    let config = ServerConfig {
        listen: ([127, 0, 0, 1], if serve { 8600 } else { 0 }).into(),
        ..ServerConfig::default()
    };
    let server = Server::bind(engine.clone(), config).await?;
    let addr = server.addr();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move { drop(stopped.await) }));

    let simulated =
        engine.upstream().providers().simulated("sim").context("the simulated provider is missing")?;
    let tally = Arc::new(Tally::default());
    let client = Client::new(addr);
    let screen = Screen::start(Arc::clone(&tally), json);
    let begun = Instant::now();
    for (phase, Phase { first, .. }) in PHASES.iter().enumerate() {
        simulated.set_quality(PATHS[0].0.trim_start_matches("sim/"), *first)?;
        tally.enter(phase);
        crowd::drive(&client, &tally, phase, CROWD, begun, LENGTH).await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    screen.stop().await;
    let ok = tally.report(json, seconds)?;
    if serve {
        line(&format!("the server stays at http://{addr} until Ctrl-C; try http://{addr}/v1/goals/{GOAL}"))?;
        crate::serve::stopped().await;
    }
    let _ = stop.send(());
    let _ = serving.await;
    Ok(ok)
}

/// Prints a line, or says that it cannot be printed.
fn line(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

/// A folder for the demo's data, removed at the end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("kalibr-demo-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&folder).context("cannot make a temporary folder")?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
