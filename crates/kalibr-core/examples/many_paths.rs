//! How long a refresh and a report take by the number of paths: `cargo run --release -p kalibr-core --example many_paths`.

use std::hint::black_box;
use std::time::Instant;

use kalibr_core::confidence::{Seen, confidence};
use kalibr_core::counters::{Cell, Count, Counters, Epoch};
use kalibr_core::evidence::{Pattern, Source, Strength};
use kalibr_core::ids::PathId;
use kalibr_core::learner::Learner;
use kalibr_core::policy::{PolicyTable, uniform};
use kalibr_core::posterior::{LearnerConfig, Subject};
use kalibr_core::rules::{Asked, ChoiceRules, Known, Standing};

/// Milliseconds of one of many calls.
fn timed<T>(times: u32, mut call: impl FnMut() -> T) -> f64 {
    let begun = Instant::now();
    (0..times).for_each(|_| drop(black_box(call())));
    begun.elapsed().as_secs_f64() * 1e3 / f64::from(times)
}

#[expect(clippy::print_stdout, reason = "a program whose output is a table")]
fn main() {
    println!("| paths | table, ms | choosing, us | confidence, ms |\n|---|---|---|---|");
    for paths in [2u8, 8, 32, 100, 200] {
        let ids: Vec<PathId> = (0..paths).map(|number| PathId::from_bytes([number; 16])).collect();
        // A user said yes or no to 40 decisions of each path, over 50 epochs.
        let pattern = Pattern::from_bits(1 << (4 * Source::Explicit as u32));
        let mut counters = Counters::default();
        for (at, &path) in ids.iter().enumerate() {
            for n in 0..40u32 {
                let good =
                    uniform(1, at as u64 * 40 + u64::from(n)) < 0.3 + 0.5 * at as f64 / f64::from(paths);
                let cell = Cell { epoch: Epoch(n), path, pattern };
                counters.add(cell, Count::one(if good { Strength::UNITS } else { 0 }));
            }
        }
        let config = LearnerConfig::default();
        let times = 2_000 / u32::from(paths);
        let (subjects, rules) = (ids.iter().copied().map(Subject::unknown), ChoiceRules::default());
        let subjects: Vec<Subject> = subjects.collect();
        let built = || {
            let mut learner = Learner::default();
            let posteriors = learner.posteriors(&"goal", &"all", &counters, &subjects, &config);
            let known: Vec<Known> = posteriors.iter().map(|posterior| Known::of(posterior.success)).collect();
            let paths: Vec<_> = ids.iter().copied().zip(posteriors).collect();
            PolicyTable::new(0, &paths, known, &rules, &Standing::default())
        };
        let build = timed(times, built);
        let table = built();
        let choices = || table.rules().choices(&Asked::default(), |_| None);
        let choose = timed(10_000, || choices().map(|choices| choices.draw(0.7)));
        let shares = table.shares();
        let seen: Vec<Seen> = table
            .entries()
            .iter()
            .zip(shares)
            .map(|(entry, share)| Seen {
                path: entry.path,
                success: entry.posterior.success,
                availability: 1.0,
                matured: Count {
                    n: 38,
                    score: (38.0 * entry.posterior.success.mean()) as i64 * i64::from(Strength::UNITS),
                },
                share,
            })
            .collect();
        let sure = timed(times.min(200), || confidence(&seen, 0.02, rules.floor));
        println!("| {paths} | {build:.3} | {:.2} | {sure:.3} |", choose * 1e3);
    }
}
