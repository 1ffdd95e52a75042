//! Which form of "the cheapest within delta" to ship: quality, cost and worst runs of each, on simulated paths.
//!
//! `cargo run --release -p kalibr-core --example objective` prints the tables that `kalibr_core::objective` quotes.
//! Its first lines are what computing the weights of 8 paths takes. In the tables, weights are rebuilt every 10 decisions, every decision is graded, the floor is 0.01.

use kalibr_core::best::p_best;
use kalibr_core::objective::{Objective, Offer, Pacer, cheapest_within, p_within};
use kalibr_core::policy::{pick, uniform};
use kalibr_core::posterior::Beta;

const DECISIONS: u64 = 4_000;
const RUNS: u64 = 60;
const FLOOR: f64 = 0.01;

/// What paths are truly worth, and what they cost.
struct Truth {
    name: &'static str,
    quality: [f64; 3],
    cost: [f64; 3],
}

const COST: [f64; 3] = [15.1e-3, 0.51e-3, 0.03e-3];

const TRUTHS: [Truth; 5] = [
    Truth { name: "real data", quality: [0.777, 0.732, 0.453], cost: COST },
    Truth { name: "equal", quality: [0.777, 0.777, 0.453], cost: COST },
    Truth { name: "within delta", quality: [0.777, 0.767, 0.453], cost: COST },
    Truth { name: "cheap is best", quality: [0.757, 0.777, 0.453], cost: COST },
    Truth { name: "far", quality: [0.8, 0.6, 0.4], cost: COST },
];

const FORMS: [&str; 7] = [
    "P(best)",
    "drawn",
    "drawn, if p >= .5",
    "drawn, if p >= .8",
    "drawn, if p >= .9",
    "sure if p >= .9, else P(best)",
    "sure if p >= .9, else drawn",
];

/// The cheapest path that is within delta with at least this probability, taken for sure.
fn sure(betas: &[Beta], delta: f64, probability: f64) -> Option<Vec<f64>> {
    let within = p_within(betas, delta);
    let cheapest = (0..betas.len())
        .filter(|&a| within[a] >= probability)
        .min_by(|&a, &b| COST[a].total_cmp(&COST[b]))?;
    Some((0..betas.len()).map(|a| if a == cheapest { 1.0 } else { 0.0 }).collect())
}

fn weights(form: usize, betas: &[Beta], delta: f64) -> Vec<f64> {
    let costs = COST.map(Some);
    match form {
        0 => p_best(betas),
        1 => cheapest_within(betas, &costs, delta, 0.0),
        2 => cheapest_within(betas, &costs, delta, 0.5),
        3 => cheapest_within(betas, &costs, delta, 0.8),
        4 => cheapest_within(betas, &costs, delta, 0.9),
        5 => sure(betas, delta, 0.9).unwrap_or_else(|| p_best(betas)),
        _ => sure(betas, delta, 0.9).unwrap_or_else(|| cheapest_within(betas, &costs, delta, 0.0)),
    }
}

/// Mean quality, mean cost, and what was lost below (best − delta), per decision.
fn run(truth: &Truth, form: usize, delta: f64, half_life: Option<f64>, seed: u64) -> [f64; 3] {
    let best = truth.quality.into_iter().fold(0.0, f64::max);
    let decay = half_life.map_or(1.0, |h| (-1.0 / h).exp2());
    let mut seen = [Beta { alpha: 0.0, beta: 0.0 }; 3];
    let mut propensities = vec![1.0 / 3.0; 3];
    let mut sums = [0.0; 3];
    for t in 0..DECISIONS {
        if t % 10 == 0 {
            let betas = seen.map(|b| Beta { alpha: 1.0 + b.alpha, beta: 1.0 + b.beta });
            propensities = weights(form, &betas, delta);
            propensities.iter_mut().for_each(|p| *p = FLOOR + (1.0 - FLOOR * 3.0) * *p);
        }
        let path = pick(&propensities, uniform(seed, 2 * t)).unwrap_or(0);
        seen.iter_mut().for_each(|b| *b = Beta { alpha: b.alpha * decay, beta: b.beta * decay });
        if uniform(seed, 2 * t + 1) < truth.quality[path] {
            seen[path].alpha += 1.0;
        } else {
            seen[path].beta += 1.0;
        }
        sums[0] += truth.quality[path];
        sums[1] += truth.cost[path];
        sums[2] += (best - delta - truth.quality[path]).max(0.0);
    }
    sums.map(|sum| sum / DECISIONS as f64)
}

#[expect(clippy::print_stdout, reason = "the tables are what this program is for")]
fn main() {
    let offers: Vec<Offer> = (1..=8u32)
        .map(|i| Offer {
            dollars: Some(1e-4 * f64::from(i * i)),
            ..Offer::of(Beta { alpha: f64::from(60 + 5 * i), beta: 40.0 })
        })
        .collect();
    let rules = [
        Objective::CheapestWithin { delta: 0.0, probability: 0.9 },
        Objective::default(),
        Objective::Utility { price: 0.1 },
        Objective::Budget { dollars_per_request: 1e-3 },
    ];
    for objective in rules {
        let (rounds, start) = (500, std::time::Instant::now());
        for _ in 0..rounds {
            std::hint::black_box(objective.weights(std::hint::black_box(&offers), Pacer::default()));
        }
        println!("weights of 8 paths: {:?} for {objective:?}", start.elapsed() / rounds);
    }
    for (half_life, delta) in [(Some(800.0), 0.02), (Some(800.0), 0.05), (None, 0.02), (None, 0.05)] {
        println!("\ndelta {delta}, half-life {half_life:?}, {RUNS} runs of {DECISIONS}");
        println!(
            "quality, $ per 1000, quality lost below the best less delta per 1000, worst 5 % of quality"
        );
        for truth in &TRUTHS {
            for (form, name) in FORMS.iter().enumerate() {
                let mut runs: Vec<[f64; 3]> =
                    (0..RUNS).map(|seed| run(truth, form, delta, half_life, seed * 7919 + 1)).collect();
                runs.sort_by(|a, b| a[0].total_cmp(&b[0]));
                let mean = |of: usize| runs.iter().map(|r| r[of]).sum::<f64>() / RUNS as f64;
                println!(
                    "{:14} {name:30} {:.4} {:7.3} {:6.2} {:.4}",
                    truth.name,
                    mean(0),
                    1e3 * mean(1),
                    1e3 * mean(2),
                    runs[RUNS as usize / 20][0]
                );
            }
        }
    }
}
