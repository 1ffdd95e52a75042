//! Who is measured: how each is installed, configured and started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use http::{HeaderMap, HeaderValue};

use crate::load::Door;
use crate::process::{Process, free_port};

/// Versions that are measured. LiteLLM 1.107.0 is reported compromised.
const LITELLM: &str = "litellm[proxy]==1.106.2";
const TENSORZERO: &str = "tensorzero==2026.6.0";
const PORTKEY: &str = r#"{"private": true,
  "dependencies": {"@portkey-ai/gateway": "1.15.2", "hono": "4.9.7", "@hono/node-server": "1.13.5"},
  "overrides": {"hono": "4.9.7", "@hono/node-server": "1.13.5"}}
"#;
const CHAT: &str = "/v1/chat/completions";

/// One of those that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Direct,
    Bare,
    Learning,
    Passing,
    TensorZero,
    Portkey,
    LiteLlm,
}

impl Peer {
    pub(crate) const ALL: [Self; 7] = [
        Self::Direct,
        Self::Bare,
        Self::Learning,
        Self::Passing,
        Self::TensorZero,
        Self::Portkey,
        Self::LiteLlm,
    ];
    pub(crate) const OURS: [Self; 4] = [Self::Direct, Self::Bare, Self::Learning, Self::Passing];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct to the mock",
            Self::Bare => "bare hyper proxy",
            Self::Learning => "kalibr, learning",
            Self::Passing => "kalibr, pass-through",
            Self::TensorZero => "TensorZero",
            Self::Portkey => "Portkey",
            Self::LiteLlm => "LiteLLM",
        }
    }
}

/// Where things are.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The `kalibr` program.
    pub(crate) kalibr: PathBuf,
    /// Where others are installed.
    pub(crate) peers: PathBuf,
    /// Configurations, logs and ledgers of this run.
    pub(crate) scratch: PathBuf,
}

/// One that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) peer: Peer,
    pub(crate) door: Door,
    /// The ledger, where there is one.
    pub(crate) ledger: Option<PathBuf>,
    _process: Process,
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    anyhow::ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// Installs the others from their registries, each in a folder of its own.
pub(crate) fn install(peers: &Path) -> anyhow::Result<()> {
    for (name, package) in [("litellm", LITELLM), ("tensorzero", TENSORZERO)] {
        let folder = peers.join(name);
        if !folder.join("bin/python").exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        }
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", package]))?;
    }
    let folder = peers.join("portkey");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("package.json"), PORTKEY)?;
    run(Command::new("npm").args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(folder))
}

/// What one needs before it can run; `None`: it is there.
fn missing(peer: Peer, places: &Places) -> Option<PathBuf> {
    let needed = match peer {
        Peer::Direct | Peer::Bare => return None,
        Peer::Learning | Peer::Passing => places.kalibr.clone(),
        Peer::TensorZero => {
            let installed = places.peers.join("tensorzero/bin/python");
            let package = places.peers.join("tensorzero/lib");
            let packages = fs::read_dir(package).into_iter().flatten().flatten();
            let there = packages
                .map(|python| python.path().join("site-packages/tensorzero"))
                .any(|path| path.exists());
            return (!there).then_some(installed);
        }
        Peer::Portkey => places.peers.join("portkey/node_modules/@portkey-ai/gateway/build/start-server.js"),
        Peer::LiteLlm => places.peers.join("litellm/bin/litellm"),
    };
    (!needed.exists()).then_some(needed)
}

/// Why one is not measured.
pub(crate) fn skipped(peer: Peer, places: &Places) -> Option<String> {
    missing(peer, places).map(|path| format!("{}: skipped, {} is not there", peer.name(), path.display()))
}

fn header(name: &'static str, value: &str) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(value)?);
    Ok(headers)
}

fn random_id() -> anyhow::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned())
}

/// A port that the program was told to take, whatever it says.
fn told(port: u16) -> impl Fn(&str) -> Option<u16> {
    move |_| Some(port)
}

/// Starts one in front of the mock.
pub(crate) fn start(peer: Peer, places: &Places, mock: u16) -> anyhow::Result<Running> {
    let port = free_port()?;
    let scratch = places.scratch.join(format!("{peer:?}"));
    fs::create_dir_all(&scratch)?;
    let (path, model) = match peer {
        Peer::Learning => (CHAT, "goal:bench"),
        Peer::Passing => (CHAT, "mock/bench"),
        Peer::TensorZero => ("/openai/v1/chat/completions", "tensorzero::model_name::bench"),
        _ => (CHAT, "bench"),
    };
    let mut headers = HeaderMap::new();
    let mut ledger = None;
    let (command, log) = match peer {
        Peer::Direct | Peer::Bare => {
            let mut command = Command::new(std::env::current_exe()?);
            if peer == Peer::Direct {
                command.args(["mock", &mock.to_string()]);
            } else {
                command.args(["bare", &port.to_string(), &mock.to_string()]);
            }
            (command, scratch.join("log"))
        }
        Peer::Learning | Peer::Passing => {
            let config = scratch.join("kalibr.toml");
            fs::write(&config, kalibr_config(mock))?;
            ledger = (peer == Peer::Learning).then(|| scratch.join("home/ledger.db"));
            let mut command = Command::new(&places.kalibr);
            command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--config"]).arg(config);
            command.env("KALIBR_HOME", scratch.join("home"));
            (command, scratch.join("log"))
        }
        Peer::TensorZero => {
            let (config, script) = (scratch.join("tensorzero.toml"), scratch.join("gateway.py"));
            fs::write(&config, tensorzero_config(mock))?;
            fs::write(&script, include_str!("tensorzero_gateway.py"))?;
            let mut command = Command::new(places.peers.join("tensorzero/bin/python"));
            command.arg(script).arg(config);
            (command, scratch.join("log"))
        }
        Peer::Portkey => {
            headers = header("x-portkey-provider", "openai")?;
            headers.extend(header("x-portkey-custom-host", &format!("http://127.0.0.1:{mock}/v1"))?);
            headers.extend(header("authorization", "Bearer bench")?);
            let mut command = Command::new("node");
            command.arg(places.peers.join("portkey/node_modules/@portkey-ai/gateway/build/start-server.js"));
            command.args([&format!("--port={port}"), "--headless"]).env("NODE_ENV", "production");
            // It refuses addresses of the own machine unless they are named.
            command.env("TRUSTED_CUSTOM_HOSTS", "127.0.0.1,localhost");
            (command, scratch.join("log"))
        }
        Peer::LiteLlm => {
            let config = scratch.join("litellm.yaml");
            fs::write(&config, litellm_config(mock))?;
            let mut command = Command::new(places.peers.join("litellm/bin/litellm"));
            command.args([
                "--host",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--num_workers",
                "1",
                "--config",
            ]);
            command.arg(config).env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
            // It does not start without a strong key; this one is forgotten with the run.
            let key = format!("sk-{}{}", random_id()?, random_id()?);
            headers = header("authorization", &format!("Bearer {key}"))?;
            command.env("LITELLM_MASTER_KEY", key);
            (command, scratch.join("log"))
        }
    };
    let (process, port) = match peer {
        Peer::Direct => Process::start(command, &log, told(mock))?,
        Peer::TensorZero => Process::start(command, &log, |said| {
            let url = said.lines().find_map(|line| line.strip_prefix("listening on http://"))?;
            url.split_once(':')?.1.split('/').next()?.parse().ok()
        })?,
        _ => Process::start(command, &log, told(port))?,
    };
    let learns = peer == Peer::Learning;
    let (path, model) = (path.to_owned(), model.to_owned());
    let door = Door { port, path, model, headers, process: process.id(), learns };
    Ok(Running { peer, door, ledger, _process: process })
}

/// Two paths on the mock, told apart by a parameter: what the goal learns of them is its own affair.
fn kalibr_config(mock: u16) -> String {
    format!(
        r#"[providers.mock]
base_url = "http://127.0.0.1:{mock}/v1"
[goals.bench]
buckets = "auto"
paths = [
    {{ model = "mock/bench" }},
    {{ model = "mock/bench", params = {{ temperature = 0.5 }} }},
    {{ model = "mock/bench-other" }},
]
"#
    )
}

fn tensorzero_config(mock: u16) -> String {
    format!(
        r#"[gateway]
observability.enabled = false
[models.bench]
routing = ["mock"]
[models.bench.providers.mock]
type = "openai"
model_name = "bench"
api_base = "http://127.0.0.1:{mock}/v1/"
api_key_location = "none"
"#
    )
}

fn litellm_config(mock: u16) -> String {
    format!(
        r"model_list:
  - model_name: bench
    litellm_params:
      model: openai/bench
      api_base: http://127.0.0.1:{mock}/v1
      api_key: bench
"
    )
}
