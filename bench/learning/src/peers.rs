//! Policies of other libraries, in processes of peers.py: JSON lines in, JSON lines out.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::policies::Weigh;
use crate::policy::{Chosen, Policy, Request, Shape};
use crate::prompts::Prompt;
use crate::simulator::{Heard, Said};

/// What peers.py can host here, and what it cannot.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Listing {
    /// What can be made.
    pub(crate) algorithms: Vec<Algorithm>,
    /// What cannot, and why.
    pub(crate) missing: Vec<Missing>,
}

/// An algorithm of a library.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Algorithm {
    /// Its name.
    pub(crate) name: String,
    /// Where it is from.
    pub(crate) library: String,
    /// Which version.
    pub(crate) version: String,
}

/// An algorithm that cannot be made here.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Missing {
    /// Its name.
    pub(crate) name: String,
    /// Why not.
    pub(crate) why: String,
}

/// Processes of peers.py, made as they are needed: one for every run that is under way.
#[derive(Debug)]
pub(crate) struct Hosts {
    python: PathBuf,
    script: PathBuf,
    idle: Mutex<Vec<Host>>,
}

impl Hosts {
    /// Hosts that are run by this interpreter.
    pub(crate) fn new(python: PathBuf, script: PathBuf) -> Arc<Self> {
        Arc::new(Self { python, script, idle: Mutex::default() })
    }

    /// What there is.
    ///
    /// # Errors
    /// When the process cannot be started or does not answer.
    pub(crate) fn list(&self) -> anyhow::Result<Listing> {
        let mut host = self.take()?;
        let listing = serde_json::from_value(host.ask(&json!({"op": "list"}))?)?;
        self.give(host);
        Ok(listing)
    }

    fn take(&self) -> anyhow::Result<Host> {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        idle.map_or_else(|| Host::start(&self.python, &self.script), Ok)
    }

    fn give(&self, host: Host) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(host);
        }
    }
}

#[derive(Debug)]
struct Host {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    last: u64,
}

impl Host {
    fn start(python: &PathBuf, script: &PathBuf) -> anyhow::Result<Self> {
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} cannot be started", python.display()))?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("the process has no output")?);
        Ok(Self { child, requests, answers, last: 0 })
    }

    fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        let requests = self.requests.as_mut().context("the process was told to end")?;
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        requests.write_all(line.as_bytes()).context("peers.py ended")?;
        requests.flush()?;
        line.clear();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("peers.py ended");
        }
        let answer: Value = serde_json::from_str(&line)?;
        if let Some(error) = answer.get("error") {
            bail!("{}", error.as_str().unwrap_or("peers.py answered with an error"));
        }
        Ok(answer)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}

/// One policy of one run: one of the library's for every goal, since none of them knows of goals.
pub(crate) struct Peer {
    hosts: Arc<Hosts>,
    host: Option<Host>,
    /// By goal.
    ids: Vec<u64>,
    weigh: Weigh,
    /// What it must still be told before it chooses again.
    lessons: Vec<Value>,
    open: HashMap<u32, Open>,
}

/// What was known when a decision was made.
struct Open {
    prompt: Option<Arc<Prompt>>,
    propensity: Option<f64>,
    cost: Option<f64>,
}

impl Peer {
    /// A fresh one; signals count as in [`Weigh`], since none of them knows of sources.
    ///
    /// # Errors
    /// When the process cannot be started, or cannot make this algorithm.
    pub(crate) fn new(
        hosts: &Arc<Hosts>,
        algorithm: &str,
        weigh: Weigh,
        shape: &Shape,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let mut host = hosts.take()?;
        let mut ids = Vec::with_capacity(shape.goals);
        for goal in 0..shape.goals as u64 {
            host.last += 1;
            // Seeds of some libraries hold 32 bits.
            let seed = (seed.wrapping_mul(31) + goal) % (1 << 31);
            let mut request = json!({
                "op": "new", "id": host.last, "algorithm": algorithm, "paths": shape.paths,
                "features": shape.features, "seed": seed,
            });
            if !shape.costs.is_empty() {
                request["costs"] = json!(shape.costs);
            }
            host.ask(&request)?;
            ids.push(host.last);
        }
        let hosts = Arc::clone(hosts);
        Ok(Self { hosts, host: Some(host), ids, weigh, lessons: Vec::new(), open: HashMap::new() })
    }
}

/// Adds the context of a decision to a step.
fn with_context(step: &mut Value, prompt: Option<&Prompt>) {
    if let Some(prompt) = prompt {
        step["features"] = json!(prompt.features);
        step["text"] = json!(prompt.text);
    }
}

impl Policy for Peer {
    fn choose(&mut self, request: &Request) -> anyhow::Result<Chosen> {
        let mut choose = json!({"op": "choose", "id": self.ids[request.goal as usize]});
        with_context(&mut choose, request.prompt.as_deref());
        let mut steps = std::mem::take(&mut self.lessons);
        steps.push(choose);
        let host = self.host.as_mut().context("the process is gone")?;
        let answer = host.ask(&json!({"op": "batch", "steps": steps}))?;
        let answers = answer["answers"].as_array().context("peers.py answered something else")?;
        if let Some(error) = answers.iter().find_map(|answer| answer.get("error")) {
            bail!("{}", error.as_str().unwrap_or("an error"));
        }
        let chosen = answers.last().context("peers.py owes an answer")?;
        let path = chosen["path"].as_u64().context("peers.py named no path")? as usize;
        let propensity = chosen["propensity"].as_f64();
        let open = Open { prompt: request.prompt.clone(), propensity, cost: None };
        self.open.insert(request.decision, open);
        Ok(Chosen::path(path))
    }

    fn hear(&mut self, heard: &Heard) {
        let Some(open) = self.open.get(&heard.decision) else { return };
        let reward = match heard.said {
            Said::Praise => 1.0,
            Said::Fault => 0.0,
            Said::TakenBack(_) => return,
        };
        let mut lesson = json!({
            "op": "learn", "id": self.ids[heard.goal as usize], "path": heard.path, "reward": reward,
            "weight": self.weigh.of(heard.source),
        });
        with_context(&mut lesson, open.prompt.as_deref());
        if let Some(propensity) = open.propensity {
            lesson["propensity"] = json!(propensity);
        }
        if let Some(cost) = open.cost {
            lesson["cost"] = json!(cost);
        }
        self.lessons.push(lesson);
    }

    fn paid(&mut self, request: &Request, _: usize, dollars: f64) {
        if let Some(open) = self.open.get_mut(&request.decision) {
            open.cost = Some(dollars);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let Some(mut host) = self.host.take() else { return };
        let drops: Vec<Value> = self.ids.iter().map(|id| json!({"op": "drop", "id": id})).collect();
        // A process that does not even answer this is not used again.
        if host.ask(&json!({"op": "batch", "steps": drops})).is_ok() {
            self.hosts.give(host);
        }
    }
}
