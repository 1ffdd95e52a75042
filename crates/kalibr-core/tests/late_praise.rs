//! Users who blame at once and praise later: what is heard of the newest answers is worse than these are.

use kalibr_core::counters::{Cell, Count, Counters, Epoch};
use kalibr_core::evidence::{Register, Signal, Source, Strength, Value};
use kalibr_core::ids::{PathId, SignalId, Timestamp};
use kalibr_core::moved::Moved;
use kalibr_core::posterior::{LearnerConfig, Subject, believe};
use kalibr_core::reliability::Reliability;
use rand::{RngExt, SeedableRng};

/// Epochs of 25 decisions each, of which users speak of 40 %: of bad answers at once, of good ones within 20 epochs.
const EPOCHS: u32 = 120;
const SPOKEN_OF: f64 = 0.4;
const SLOWEST: u32 = 20;

fn path(number: u8) -> PathId {
    PathId::from_bytes([number + 1; 16])
}

/// What is heard by now of two paths, whose answers are good with these probabilities in each epoch.
fn heard(seed: u64, quality: impl Fn(u8, u32) -> f64) -> Counters {
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    let mut counters = Counters::default();
    for epoch in 0..EPOCHS {
        for call in 0..25 {
            let number = u8::from(call % 3 == 0);
            let is_good = rng.random_bool(quality(number, epoch));
            let delay = if is_good { rng.random_range(0..SLOWEST) } else { 0 };
            let speaks = rng.random_bool(SPOKEN_OF) && epoch + delay < EPOCHS;
            let mut register = Register::default();
            if speaks {
                let value = if is_good { Value::UserAccepted } else { Value::UserRejected };
                let (id, strength) = (SignalId::new("s").unwrap(), value.default_strength());
                let (at, attempt) = (Timestamp(0), None);
                register.take(&Signal {
                    id,
                    source: Source::Explicit,
                    value,
                    strength,
                    confidence: Strength::ONE,
                    at,
                    attempt,
                });
            }
            let score = if speaks && is_good { Strength::UNITS } else { 0 };
            let cell = Cell { epoch: Epoch(epoch), path: path(number), pattern: register.pattern() };
            counters.add(cell, Count::one(score));
        }
    }
    counters
}

fn moved(counters: &Counters) -> Vec<Moved> {
    let paths = [0, 1].map(|number| Subject::unknown(path(number)));
    believe(counters, &paths, &Reliability::default(), &LearnerConfig::default()).1
}

#[test]
fn praise_that_is_still_to_come_is_no_fall() {
    let alarms =
        (0..100).filter(|&seed| !moved(&heard(seed, |path, _| [0.8, 0.7][usize::from(path)])).is_empty());
    let alarms = alarms.count();
    assert!(alarms <= 5, "{alarms} of 100 streams in which nothing changes");
}

#[test]
fn a_fall_is_found_all_the_same() {
    let found = (0..100).filter(|&seed| {
        let fallen = |path: u8, epoch| if path == 0 && epoch >= 110 { 0.3 } else { 0.8 };
        moved(&heard(seed, fallen))
            .last()
            .is_some_and(|moved| moved.since_epoch.abs_diff(110) <= 4 && moved.after < moved.before)
    });
    let found = found.count();
    assert!(found >= 90, "{found} of 100 falls ten epochs ago");
}
