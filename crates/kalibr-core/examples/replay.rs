//! How far replay is off, and how often its intervals cover: `cargo run --release -p kalibr-core --example replay`
//! prints the tables that `kalibr_core::replay` quotes.
//!
//! Logs are made by Thompson sampling with a floor, and by the shipped learner (half-life 800, cheapest within 0.02)
//! that choose among three paths; every decision is graded, and each class of requests learns for itself. With the rows.jsonl
//! that `bench/learning/data.py` writes as argument, rewards are those of the real prompts in a random order, the truth
//! is the mean over all of them, and classes are the prompts' sources, or none.

use std::collections::HashMap;

use kalibr_core::best::p_best;
use kalibr_core::counters::{Cell, Count, Counters, Epoch};
use kalibr_core::evidence::{Pattern, Register, Signal, Source, Strength, Value};
use kalibr_core::ids::{InvalidId, PathId, SignalId, Timestamp};
use kalibr_core::objective::{Objective, Offer, Pacer};
use kalibr_core::policy::{pick, uniform};
use kalibr_core::posterior::{Beta, LearnerConfig, Subject, posteriors};
use kalibr_core::reliability::Reliability;
use kalibr_core::replay::{Sample, evaluate};

const RUNS: u64 = 300;
/// Dollars per request, of the real data.
const COST: [f64; 3] = [15.1e-3, 0.51e-3, 0.03e-3];
const QUALITY: [f64; 3] = [0.777, 0.732, 0.453];

/// Requests, each with its class and the success of every path.
struct Requests {
    name: String,
    rows: Vec<(usize, [f64; 3])>,
}

/// What was seen, by class; one policy for both learners.
struct Router {
    shipped: bool,
    floor: f64,
    betas: HashMap<usize, [Beta; 3]>,
    counters: HashMap<usize, Counters>,
    tables: HashMap<usize, (u64, Vec<f64>)>,
    patterns: [(Pattern, u32); 2],
}

fn path(index: usize) -> PathId {
    PathId::from_bytes([index as u8 + 1; 16])
}

fn pattern(value: Value) -> Result<(Pattern, u32), InvalidId> {
    let mut register = Register::default();
    register.take(&Signal {
        id: SignalId::new("s")?,
        source: Source::Explicit,
        value,
        strength: value.default_strength(),
        confidence: Strength::ONE,
        at: Timestamp(0),
        attempt: None,
    });
    Ok((register.pattern(), register.winner().map_or(0, |(_, strength)| strength.units())))
}

impl Router {
    fn new(shipped: bool, floor: f64, patterns: [(Pattern, u32); 2]) -> Self {
        let (betas, counters, tables) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { shipped, floor, betas, counters, tables, patterns }
    }

    /// Rebuilt every 5 decisions of a class.
    fn propensities(&mut self, class: usize) -> Vec<f64> {
        if let Some((age, table)) = self.tables.get_mut(&class).filter(|(age, _)| *age < 5) {
            *age += 1;
            return table.clone();
        }
        let weights = if self.shipped {
            let subjects = [0, 1, 2].map(|index| Subject::unknown(path(index)));
            let counters = self.counters.entry(class).or_default();
            let known = posteriors(counters, &subjects, &Reliability::default(), &LearnerConfig::default());
            let offers: Vec<Offer> = known
                .iter()
                .zip(COST)
                .map(|(known, dollars)| Offer { dollars: Some(dollars), ..Offer::of(known.success) })
                .collect();
            Objective::default().weights(&offers, Pacer::default())
        } else {
            p_best(&*self.betas.entry(class).or_insert([Beta::UNIFORM; 3]))
        };
        let table: Vec<f64> = weights.iter().map(|w| self.floor + (1.0 - 3.0 * self.floor) * w).collect();
        self.tables.insert(class, (1, table.clone()));
        table
    }

    fn learn(&mut self, class: usize, at: usize, chosen: usize, good: bool) {
        if self.shipped {
            let (pattern, score) = self.patterns[usize::from(good)];
            let cell = Cell { epoch: Epoch(at as u32 / Epoch::DECISIONS), path: path(chosen), pattern };
            self.counters.entry(class).or_default().add(cell, Count::one(score));
        } else {
            let seen = &mut self.betas.entry(class).or_insert([Beta::UNIFORM; 3])[chosen];
            if good { seen.alpha += 1.0 } else { seen.beta += 1.0 }
        }
    }
}

/// One replay of one log.
struct Replayed {
    effective: f64,
    /// Of IPS, SNIPS, DR and the value shown.
    errors: [f64; 4],
    covers: bool,
}

fn log(requests: &Requests, mut router: Router, seed: u64) -> Vec<Sample> {
    let mut order: Vec<usize> = (0..requests.rows.len()).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, (uniform(seed ^ 0x5eed, last as u64) * (last + 1) as f64) as usize);
    }
    order
        .into_iter()
        .enumerate()
        .map(|(at, row)| {
            let (class, success) = requests.rows[row];
            let propensities = router.propensities(class);
            let chosen = pick(&propensities, uniform(seed, 2 * at as u64)).unwrap_or(0);
            let good = uniform(seed, 2 * at as u64 + 1) < success[chosen];
            router.learn(class, at, chosen, good);
            Sample { class, propensities, chosen, reward: Some(if good { 1.0 } else { 0.0 }) }
        })
        .collect()
}

fn report(requests: &Requests, shipped: bool, floor: f64, patterns: [(Pattern, u32); 2]) {
    let n = requests.rows.len();
    let mut found: [Vec<Replayed>; 3] = Default::default();
    for run in 0..RUNS {
        let samples = log(requests, Router::new(shipped, floor, patterns), 1_000_003 * (run + 1));
        for (target, found) in found.iter_mut().enumerate() {
            let policy: Vec<f64> =
                (0..3).map(|p| if target == 2 || p == target + 1 { 1.0 } else { 0.0 }).collect();
            let worth_of = |success: &[f64; 3]| {
                policy.iter().zip(success).map(|(pi, q)| pi * q).sum::<f64>() / policy.iter().sum::<f64>()
            };
            let truth = requests.rows.iter().map(|(_, success)| worth_of(success)).sum::<f64>() / n as f64;
            let evaluation = evaluate(&samples, &vec![Some(policy); n]);
            if let Ok(worth) = evaluation.worth {
                let errors = [worth.ips, worth.snips, worth.dr, worth.value.value].map(|value| value - truth);
                let covers = (worth.value.low..=worth.value.high).contains(&truth);
                found.push(Replayed { effective: evaluation.effective, errors, covers });
            }
        }
    }
    for (name, mut found) in ["second", "third", "uniform"].into_iter().zip(found) {
        found.sort_by(|a, b| a.effective.total_cmp(&b.effective));
        let count = found.len().max(1) as f64;
        let mean = |f: &dyn Fn(&Replayed) -> f64| found.iter().map(f).sum::<f64>() / count;
        let rmse: Vec<String> =
            (0..4).map(|i| format!("{:.4}", mean(&|run| run.errors[i].powi(2)).sqrt())).collect();
        say(&format!(
            "{:24} {:9} {:>5.3} {name:8} {} {:>+8.4} {:>7.3} {:>7.0} {:>5}",
            requests.name,
            if shipped { "shipped" } else { "thompson" },
            floor,
            rmse.join("  "),
            mean(&|run| run.errors[3]),
            mean(&|run| f64::from(u8::from(run.covers))),
            found.get(found.len() / 2).map_or(0.0, |run| run.effective),
            RUNS as usize - found.len(),
        ));
    }
}

fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn real(file: &str) -> Result<Vec<Requests>, Box<dyn std::error::Error>> {
    let mut sources: HashMap<String, usize> = HashMap::new();
    let mut rows = Vec::new();
    for line in std::fs::read_to_string(file)?.lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        let next = sources.len();
        let class = *sources.entry(row["source"].to_string()).or_insert(next);
        let success =
            [0, 1, 2].map(|i| if row["scores"][i].as_f64().unwrap_or(0.0) >= 0.9 { 1.0 } else { 0.0 });
        rows.push((class, success));
    }
    let pooled = rows.iter().map(|(_, success)| (0, *success)).collect();
    Ok(vec![
        Requests { name: "real, one class".into(), rows: pooled },
        Requests { name: "real, by source".into(), rows },
    ])
}

fn made(classes: usize, n: usize) -> Requests {
    let moved = |class: usize| 0.2 * (class as f64 / classes as f64) - 0.1 * (1.0 - 1.0 / classes as f64);
    let rows = (0..n).map(|i| (i % classes, QUALITY.map(|q| q + moved(i % classes)))).collect();
    Requests { name: format!("{classes} classes, {n}"), rows }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let patterns = [pattern(Value::UserRejected)?, pattern(Value::UserAccepted)?];
    let mut all = vec![made(1, 3_609), made(1, 1_500), made(2, 1_500), made(4, 3_609)];
    if let Some(file) = std::env::args().nth(1) {
        all = real(&file)?;
    }
    say(
        "log                      router    floor policy   IPS     SNIPS   DR      value       bias  covers     ESS refused",
    );
    for requests in &all {
        for (shipped, floor) in [(false, 0.01), (true, 0.002), (true, 0.01), (true, 0.05)] {
            report(requests, shipped, floor, patterns);
        }
    }
    Ok(())
}
