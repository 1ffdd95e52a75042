//! What is measured on real prompts: quality at equal terms, and what quality costs.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::bars::{COST, QUALITY, Row};
use crate::ours::Settings;
use crate::policies::Named;
use crate::prompts::{Data, OfBucket, Prompts};
use crate::run::{self, Played, Runs};
use crate::stats::{self, Estimate};

/// Success that a lower cost may forgo, along the frontier. The first is "cost has no say".
const DELTAS: [f64; 7] = [0.0, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12];

/// One data set, played.
pub(crate) struct Real {
    /// Which.
    pub(crate) data: Arc<Data>,
    /// Ours at each delta, in order.
    pub(crate) ours: Vec<Played>,
    /// All others.
    pub(crate) others: Vec<Played>,
}

/// Policies that are no rivals: bounds, or a path that only hindsight would have picked.
fn is_bound(name: &str) -> bool {
    // Ours without a part of it is no peer either.
    name.starts_with("kalibr,") || name.starts_with("always-") || matches!(name, "truth-ts" | "uniform")
}

impl Real {
    /// Plays a data set.
    pub(crate) fn play(data: Arc<Data>, others: &[Named], runs: Runs) -> anyhow::Result<Self> {
        let ours: Vec<Named> = DELTAS
            .iter()
            .map(|delta| {
                let name = format!("kalibr:delta={delta}");
                Ok(Named::parse(&name, &Settings::default())?.called(&format!("kalibr, delta {delta}")))
            })
            .collect::<anyhow::Result<_>>()?;
        let mut policies = ours;
        policies.extend(others.iter().cloned());
        let mut played = run::all(|seed| Prompts::new(Arc::clone(&data), seed), &policies, runs);
        let others = played.split_off(DELTAS.len());
        Ok(Self { data, ours: played, others })
    }

    /// Quality where cost has no say, against the best of all other learners.
    pub(crate) fn quality(&self) -> Row {
        let ours = self.ours[0].each(|outcome| outcome.quality);
        let rivals = self.others.iter().filter(|other| !is_bound(&other.name) && other.failed.is_none());
        let best = rivals
            .map(|rival| (rival, stats::mean_of(&rival.each(|outcome| outcome.quality))))
            .max_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
        let Some((best, its)) = best else {
            return Row::unmeasured(QUALITY, "there was nobody to compare with".into());
        };
        let found = stats::mean_of(&ours);
        let note = format!(
            "{:.4} [{:.4}, {:.4}] against {} {:.4} [{:.4}, {:.4}]",
            found.mean, found.low, found.high, best.name, its.mean, its.low, its.high
        );
        // 0 within the interval or above; less than 0 only above it, which is the moonshot.
        let below =
            if found.mean > its.high { its.high - found.mean } else { (its.low - found.mean).max(0.0) };
        let spread = found.high - found.low;
        let mut row = Row::of(
            QUALITY,
            Estimate { mean: below, low: below - 0.5 * spread, high: below + 0.5 * spread },
            note,
        );
        if below == 0.0 {
            row.verdict = crate::bars::Verdict::Hit;
        }
        row
    }

    /// What ours costs at the quality of Beta Thompson, on the line through its deltas, against what that costs.
    pub(crate) fn cost(&self) -> Row {
        let Some(beta) = self.others.iter().find(|other| other.name == "beta-ts") else {
            return Row::unmeasured(COST, "Beta Thompson was not played".into());
        };
        let (quality, dollars) = (beta.each(|o| o.quality), beta.each(|o| o.dollars));
        let ours: Vec<(Vec<f64>, Vec<f64>)> =
            self.ours.iter().map(|of| (of.each(|o| o.quality), of.each(|o| o.dollars))).collect();
        let mean = |values: &[f64], runs: &[usize]| {
            runs.iter().map(|&run| values[run]).sum::<f64>() / runs.len().max(1) as f64
        };
        let found = stats::bootstrap(quality.len(), |runs| {
            let frontier: Vec<(f64, f64)> =
                ours.iter().map(|(quality, dollars)| (mean(quality, runs), mean(dollars, runs))).collect();
            cost_at(&frontier, mean(&quality, runs)) / mean(&dollars, runs)
        });
        let best = stats::mean_of(&ours[0].0);
        let (q, c) = (stats::mean(&quality), stats::mean(&dollars));
        let bound = known_cost_at(&self.data.buckets(), q) / c;
        let note = format!(
            "Beta Thompson {q:.4} at ${:.2} per 1,000; ours at delta 0 {:.4}; whoever knew the best path of every bucket \
             beforehand would pay {bound:.2} x",
            1e3 * c,
            best.mean
        );
        if found.mean.is_nan() {
            return Row {
                measured: None,
                verdict: crate::bars::Verdict::Missed,
                ..Row::unmeasured(COST, format!("{note}: no delta reaches that quality"))
            };
        }
        Row::of(COST, found, note)
    }

    /// Quality against cost, as plots.py draws it.
    pub(crate) fn frontier(&self) -> Vec<Value> {
        let point = |played: &Played, label: String| {
            let quality = stats::mean_of(&played.each(|outcome| outcome.quality));
            let cost = stats::mean(&played.each(|outcome| outcome.dollars));
            json!({"label": label, "cost": cost, "quality": quality.mean, "low": quality.low, "high": quality.high})
        };
        let ours = self.ours.iter().zip(DELTAS).map(|(of, delta)| point(of, format!("delta {delta}")));
        let mut all = vec![json!({"name": "kalibr", "points": ours.collect::<Vec<_>>()})];
        let played = self.others.iter().filter(|other| other.failed.is_none());
        all.extend(
            played.map(|other| json!({"name": other.name, "points": [point(other, other.name.clone())]})),
        );
        all
    }
}

/// The cost at which a line through (quality, cost) points reaches a quality; NaN where it never does.
fn cost_at(frontier: &[(f64, f64)], quality: f64) -> f64 {
    let mut cheapest = f64::NAN;
    for pair in frontier.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let (low, high) = if a.0 < b.0 { (a, b) } else { (b, a) };
        if (low.0..=high.0).contains(&quality) {
            let share = if high.0 > low.0 { (quality - low.0) / (high.0 - low.0) } else { 0.0 };
            cheapest = f64::min(cheapest, low.1 + share * (high.1 - low.1));
        }
    }
    // Whoever is better at every delta pays at most what its cheapest delta costs.
    if cheapest.is_nan() && frontier.iter().all(|point| point.0 > quality) {
        cheapest = frontier.iter().map(|point| point.1).fold(f64::NAN, f64::min);
    }
    cheapest
}

/// The least cost at a quality for somebody who knows all rates of every bucket, and mixes at best two ways of giving
/// each bucket a path: the convex hull, walked along by the price of a success.
fn known_cost_at(buckets: &[OfBucket], quality: f64) -> f64 {
    let at = |price: f64| {
        buckets.iter().fold((0.0, 0.0), |(quality, cost), of| {
            let worth = |path: usize| of.success[path] - price * of.costs[path];
            let best = (0..of.success.len()).max_by(|&a, &b| worth(a).total_cmp(&worth(b))).unwrap_or(0);
            (quality + of.success[best], cost + of.costs[best])
        })
    };
    let hull: Vec<(f64, f64)> = (-200..600).map(|step| at(10f64.powf(f64::from(step) / 100.0))).collect();
    cost_at(&hull, quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_knows_all_rates_pays_for_the_dear_path_only_where_it_helps() {
        let of = |success: [f64; 2], costs: [f64; 2]| OfBucket {
            success: success.to_vec(),
            costs: costs.to_vec(),
        };
        let buckets = [of([0.45, 0.25], [5.0, 0.0]), of([0.4, 0.4], [5.0, 0.0])];
        assert!((known_cost_at(&buckets, 0.85) - 5.0).abs() < 1e-9);
        assert!((known_cost_at(&buckets, 0.75) - 2.5).abs() < 1e-9);
        assert!(known_cost_at(&buckets, 0.9).is_nan());
    }

    #[test]
    fn the_cost_at_a_quality_lies_on_the_line_between_two_deltas() {
        let frontier = [(0.78, 12.0), (0.76, 8.0), (0.74, 2.0)];
        assert!((cost_at(&frontier, 0.77) - 10.0).abs() < 1e-12);
        assert!((cost_at(&frontier, 0.75) - 5.0).abs() < 1e-12);
        assert!(cost_at(&frontier, 0.79).is_nan());
        assert_eq!(cost_at(&frontier, 0.70), 2.0);
    }
}
