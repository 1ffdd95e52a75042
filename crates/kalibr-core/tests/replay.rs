//! Promise 1, exact: whatever happens to signals on their way, the integers equal those of a clean replay.

use std::collections::{BTreeMap, BTreeSet};

use kalibr_core::counters::{Cell, Counters, Epoch};
use kalibr_core::evidence::{Signal, Source, Strength, Value};
use kalibr_core::ids::{PathId, SignalId, Timestamp};
use kalibr_core::outcome::Reply;
use kalibr_core::trace::{Attempt, Share, Trace, moves};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::seq::SliceRandom;

const TRACES: usize = 6;

#[derive(Debug, Clone)]
enum Event {
    Answered { trace: usize, attempt: u16, answered: bool },
    Said { trace: usize, signal: Signal },
    Withdrawn { trace: usize, id: SignalId },
}

/// Decision `trace` was made in this epoch; every decision has the same two paths to fall through.
fn epoch(trace: usize) -> Epoch {
    Epoch(trace as u32 * 40)
}

#[derive(Default)]
struct Known {
    answered: BTreeMap<u16, bool>,
    signals: BTreeMap<SignalId, Signal>,
    withdrawn: BTreeSet<SignalId>,
}

impl Known {
    fn shares(&self) -> Vec<Share> {
        let attempts = self.answered.iter().map(|(&index, &answered)| Attempt {
            index,
            path: PathId::from_bytes([index as u8; 16]),
            reply: if answered { Reply::Answered } else { Reply::Failed },
        });
        let signals = self.signals.values().filter(|s| !self.withdrawn.contains(&s.id)).cloned();
        Trace { attempts: attempts.collect(), signals: signals.collect(), side: None }.shares()
    }
}

/// Takes events one by one as a ledger does: fold before, fold after, move the difference.
fn ledger(events: &[Event]) -> Counters {
    let mut traces: Vec<Known> = (0..TRACES).map(|_| Known::default()).collect();
    let mut counters = Counters::default();
    for event in events {
        let trace = match event {
            Event::Answered { trace, .. } | Event::Said { trace, .. } | Event::Withdrawn { trace, .. } => {
                *trace
            }
        };
        let known = &mut traces[trace];
        let before = known.shares();
        match event {
            Event::Answered { attempt, answered, .. } => {
                known.answered.entry(*attempt).or_insert(*answered);
            }
            Event::Said { signal, .. } => {
                known.signals.entry(signal.id.clone()).or_insert_with(|| signal.clone());
            }
            Event::Withdrawn { id, .. } => {
                known.withdrawn.insert(id.clone());
            }
        }
        for (path, pattern, count) in moves(&before, &known.shares()) {
            counters.add(Cell { epoch: epoch(trace), path, pattern }, count);
        }
    }
    counters
}

/// Counts each decision once, from its final facts.
fn clean_replay(events: &[Event]) -> Counters {
    let mut counters = Counters::default();
    for trace in 0..TRACES {
        let mut known = Known::default();
        for event in events {
            match event {
                Event::Answered { trace: t, attempt, answered } if *t == trace => {
                    known.answered.insert(*attempt, *answered);
                }
                Event::Said { trace: t, signal } if *t == trace => {
                    known.signals.insert(signal.id.clone(), signal.clone());
                }
                Event::Withdrawn { trace: t, id } if *t == trace => {
                    known.withdrawn.insert(id.clone());
                }
                _ => {}
            }
        }
        for (path, pattern, count) in moves(&[], &known.shares()) {
            counters.add(Cell { epoch: epoch(trace), path, pattern }, count);
        }
    }
    counters
}

fn signal() -> impl Strategy<Value = (Source, Value)> {
    prop::sample::select(vec![
        (Source::Structural, Value::Passed),
        (Source::Metric, Value::Passed),
        (Source::Metric, Value::Failed),
        (Source::SessionEnd, Value::SessionSatisfied),
        (Source::Turn, Value::Acceptance),
        (Source::Turn, Value::Rejection),
        (Source::Explicit, Value::UserAccepted),
        (Source::Explicit, Value::UserRejected),
        (Source::Action, Value::OutputEdited),
        (Source::Action, Value::OutputDiscarded),
    ])
}

fn facts() -> impl Strategy<Value = Vec<Event>> {
    let said = (0..TRACES, signal(), 0i64..4, 0u32..=4, any::<Option<bool>>());
    let attempts = prop::collection::vec((any::<bool>(), any::<Option<bool>>()), TRACES);
    (attempts, prop::collection::vec((said, prop::bool::weighted(0.2)), 0..40)).prop_map(
        |(attempts, said)| {
            let mut events = Vec::new();
            for (trace, (first, second)) in attempts.into_iter().enumerate() {
                events.push(Event::Answered { trace, attempt: 0, answered: first });
                if let Some(answered) = second {
                    events.push(Event::Answered { trace, attempt: 1, answered });
                }
            }
            for (number, ((trace, (source, value), at, strength, second), withdrawn)) in
                said.into_iter().enumerate()
            {
                let id = SignalId::new(&format!("signal-{number}")).unwrap();
                let signal = Signal {
                    id: id.clone(),
                    source,
                    value,
                    strength: Strength::new(f64::from(strength) / 4.0).unwrap(),
                    confidence: Strength::ONE,
                    at: Timestamp(at),
                    attempt: second.map(u16::from),
                };
                events.push(Event::Said { trace, signal });
                if withdrawn {
                    events.push(Event::Withdrawn { trace, id });
                }
            }
            events
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn permuted_duplicated_revised_and_withdrawn_signals_count_as_a_clean_replay(
        facts in facts(),
        duplicates in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        seed in any::<u64>(),
    ) {
        let mut arrived = facts.clone();
        arrived.extend(duplicates.iter().map(|index| index.get(&facts).clone()));
        arrived.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
        prop_assert_eq!(ledger(&arrived), clean_replay(&facts));
    }
}
