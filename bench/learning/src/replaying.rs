//! How far off the replayed value of a policy is that was never followed, where its true value is known.

use std::sync::Arc;

use kalibr_core::replay::{Sample, evaluate};

use crate::bars::{REPLAY, Row};
use crate::ours::Settings;
use crate::policies::Named;
use crate::policy::World;
use crate::prompts::{Data, Prompts};
use crate::run::{self, Queue, Runs};
use crate::stats;

/// The root of the mean squared error of "always the second model", from logs of ours with a floor of 1 %; the note also
/// tells it at the floor that ours has by itself.
///
/// # Errors
/// Never of its own: only a policy in another process can fail.
pub(crate) fn second_model(data: &Arc<Data>, runs: Runs) -> anyhow::Result<Row> {
    let errors = |settings: &str| -> anyhow::Result<Errors> {
        let named = Named::parse(&format!("kalibr:delta=0,{settings}"), &Settings::default())?;
        let one = |seed: u64| error(&Prompts::new(Arc::clone(data), seed), &named, seed, 1);
        Errors::of(run::each(runs, one))
    };
    let (fixed, own) = (errors("floor=0.01")?, errors("refresh=10")?);
    let rmse = |runs: &[usize]| {
        (runs.iter().map(|&run| fixed.told[run].powi(2)).sum::<f64>() / runs.len() as f64).sqrt()
    };
    if fixed.told.is_empty() {
        return Ok(Row::unmeasured(REPLAY, "every log was refused as too short".into()));
    }
    let note = format!(
        "{} logs, {} refused; at the floor that ours has by itself {:.4}, {} refused",
        fixed.told.len() + fixed.refused,
        fixed.refused,
        stats::root_mean_square(&own.told),
        own.refused
    );
    Ok(Row::of(REPLAY, stats::bootstrap(fixed.told.len(), rmse), note))
}

/// What came of some replays.
struct Errors {
    /// Error of each value that was told.
    told: Vec<f64>,
    /// Logs of which none was told.
    refused: usize,
}

impl Errors {
    fn of(all: Vec<anyhow::Result<Option<f64>>>) -> anyhow::Result<Self> {
        let all: Vec<Option<f64>> = all.into_iter().collect::<anyhow::Result<_>>()?;
        let told: Vec<f64> = all.iter().copied().flatten().collect();
        Ok(Self { refused: all.len() - told.len(), told })
    }
}

/// Lets a policy choose, replays its log for "always this path", and compares with what that path would have earned on
/// the same prompts. `None` where replay refuses to tell.
fn error(world: &dyn World, named: &Named, seed: u64, path: usize) -> anyhow::Result<Option<f64>> {
    let shape = world.shape();
    let mut policy = named.make(&shape, seed)?;
    let mut queue = Queue::default();
    let mut samples = Vec::with_capacity(shape.decisions as usize);
    let mut buckets: Vec<&str> = Vec::new();
    for decision in 0..shape.decisions {
        while let Some(heard) = queue.due(decision) {
            policy.hear(&heard);
        }
        let request = world.request(decision);
        let chosen = policy.choose(&request)?;
        policy.paid(&request, chosen.path, world.cost(decision, chosen.path));
        queue.extend(world.heard(decision, chosen.path));
        let bucket = request.prompt.as_ref().map_or("all", |prompt| prompt.bucket);
        let class = buckets.iter().position(|known| *known == bucket).unwrap_or_else(|| {
            buckets.push(bucket);
            buckets.len() - 1
        });
        let reward = Some(if world.truth(decision, chosen.path) { 1.0 } else { 0.0 });
        samples.push(Sample { class, propensities: chosen.propensities, chosen: chosen.path, reward });
    }
    let always = (0..shape.paths).map(|p| if p == path { 1.0 } else { 0.0 }).collect::<Vec<f64>>();
    let found = evaluate(&samples, &vec![Some(always); samples.len()]);
    let served = (0..shape.decisions).filter(|decision| world.truth(*decision, path)).count();
    let true_value = served as f64 / f64::from(shape.decisions.max(1));
    Ok(found.worth.ok().map(|worth| worth.value.value - true_value))
}
