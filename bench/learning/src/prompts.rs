//! Real prompts, as data.py prepares them: every model's score and cost on each of them is known.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use kalibr_core::evidence::Source;
use kalibr_signals::bucket::{Offer, classify};
use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom as _;
use serde::Deserialize;

use crate::policy::{Request, Shape, World};
use crate::simulator::{Heard, Said};

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prompt {
    /// Its words.
    pub(crate) text: String,
    /// Cheap features of it, each in 0..=1.
    pub(crate) features: Vec<f64>,
    /// The class that Kalibr puts it in.
    pub(crate) bucket: &'static str,
}

/// A prompt with the outcome of every model.
#[derive(Debug)]
struct Row {
    prompt: Arc<Prompt>,
    good: Vec<bool>,
    costs: Vec<f64>,
}

/// A data set.
#[derive(Debug)]
pub(crate) struct Data {
    /// Its name.
    pub(crate) name: String,
    /// The models, from the dearest to the cheapest.
    pub(crate) models: Vec<String>,
    /// Share of successes of each model.
    pub(crate) success: Vec<f64>,
    /// Mean dollars per request of each model.
    pub(crate) costs: Vec<f64>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Meta {
    models: Vec<String>,
    rows: usize,
    success_at: f64,
    mean_success: Vec<f64>,
    mean_costs: Vec<f64>,
}

#[derive(Deserialize)]
struct Line {
    text: String,
    scores: Vec<f64>,
    costs: Vec<f64>,
    features: Vec<f64>,
}

impl Data {
    /// Reads a folder that data.py wrote.
    ///
    /// # Errors
    /// When a file is missing, or is not what data.py writes.
    pub(crate) fn load(folder: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let file = folder.join(name);
            fs::read_to_string(&file)
                .with_context(|| format!("{} cannot be read: run data.py first", file.display()))
        };
        let meta: Meta = serde_json::from_str(&read("meta.json")?)?;
        let row = |line: &str| -> anyhow::Result<Row> {
            let Line { text, scores, costs, features } = serde_json::from_str(line)?;
            let bucket = classify(Offer { text_bytes: text.len(), ..Offer::default() }, [&text]);
            let bucket = bucket.map_or("all", |bucket| bucket.as_str());
            Ok(Row {
                good: scores.iter().map(|score| *score >= meta.success_at).collect(),
                prompt: Arc::new(Prompt { text, features, bucket }),
                costs,
            })
        };
        let rows: Vec<Row> = read("rows.jsonl")?.lines().map(row).collect::<anyhow::Result<_>>()?;
        anyhow::ensure!(
            rows.len() == meta.rows && rows.iter().all(|row| row.good.len() == meta.models.len()),
            "{} is not whole: delete it and run data.py again",
            folder.display()
        );
        Ok(Self {
            name: folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            models: meta.models,
            success: meta.mean_success,
            costs: meta.mean_costs,
            rows,
        })
    }
}

/// The prompts of a data set in an order of the seed's own; the truth is heard at once, as the caller's own metric.
#[derive(Debug)]
pub(crate) struct Prompts {
    data: Arc<Data>,
    order: Vec<u32>,
}

impl Prompts {
    /// The world of a seed.
    pub(crate) fn new(data: Arc<Data>, seed: u64) -> Self {
        let mut order: Vec<u32> = (0..data.rows.len() as u32).collect();
        order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
        Self { data, order }
    }

    fn row(&self, decision: u32) -> &Row {
        &self.data.rows[self.order[decision as usize] as usize]
    }
}

impl World for Prompts {
    fn shape(&self) -> Shape {
        Shape {
            decisions: self.order.len() as u32,
            goals: 1,
            paths: self.data.models.len(),
            features: self.row(0).prompt.features.len(),
            costs: self.data.costs.clone(),
            window: 0,
            recovered: None,
        }
    }

    fn request(&self, decision: u32) -> Request {
        Request { decision, goal: 0, prompt: Some(Arc::clone(&self.row(decision).prompt)) }
    }

    /// Of a prompt that is drawn at random: what a model would do on this very one is not its rate.
    fn rates(&self, _: u32) -> Vec<f64> {
        self.data.success.clone()
    }

    fn truth(&self, decision: u32, path: usize) -> bool {
        self.row(decision).good[path]
    }

    fn heard(&self, decision: u32, path: usize) -> Vec<Heard> {
        let said = if self.truth(decision, path) { Said::Praise } else { Said::Fault };
        vec![Heard { due: decision, decision, goal: 0, path, number: 0, source: Source::Metric, said }]
    }

    fn cost(&self, decision: u32, path: usize) -> f64 {
        self.row(decision).costs[path]
    }
}
