//! Promise 1, exact: whatever happens to signals on their way, the integers equal those of a clean replay, and everything
//! that is derived from them equals it to the last bit.

use std::collections::{BTreeMap, BTreeSet};

use kalibr_core::counters::{Cell, Count, Counters, Epoch};
use kalibr_core::evidence::{Pattern, Signal, Source, Strength, Value};
use kalibr_core::ids::{PathId, SignalId, Timestamp};
use kalibr_core::outcome::Reply;
use kalibr_core::policy::PolicyTable;
use kalibr_core::posterior::{LearnerConfig, Posterior, Subject, posteriors};
use kalibr_core::reliability::{Pool, Reliability};
use kalibr_core::rules::{ChoiceRules, Known as Offered, Standing};
use kalibr_core::trace::{Attempt, Share, Trace, moves};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::seq::SliceRandom;

const TRACES: usize = 6;
const PATHS: u8 = 3;

#[derive(Debug, Clone)]
enum Fact {
    Called { trace: usize, attempt: Attempt },
    Said { trace: usize, signal: Signal },
    Withdrawn { trace: usize, id: SignalId },
}

impl Fact {
    fn trace(&self) -> usize {
        match self {
            Self::Called { trace, .. } | Self::Said { trace, .. } | Self::Withdrawn { trace, .. } => *trace,
        }
    }
}

/// What happened: the epoch of each decision, and facts in the order of a clean replay.
#[derive(Debug, Clone)]
struct History {
    epochs: Vec<Epoch>,
    facts: Vec<Fact>,
}

fn path(number: u8) -> PathId {
    PathId::from_bytes([number + 1; 16])
}

#[derive(Default)]
struct Known {
    attempts: BTreeMap<u16, Attempt>,
    signals: BTreeMap<SignalId, Signal>,
    withdrawn: BTreeSet<SignalId>,
}

impl Known {
    fn take(&mut self, fact: &Fact) {
        match fact {
            Fact::Called { attempt, .. } => {
                self.attempts.entry(attempt.index).or_insert(*attempt);
            }
            Fact::Said { signal, .. } => {
                self.signals.entry(signal.id.clone()).or_insert_with(|| signal.clone());
            }
            Fact::Withdrawn { id, .. } => {
                self.withdrawn.insert(id.clone());
            }
        }
    }

    fn shares(&self) -> Vec<Share> {
        let signals = self.signals.values().filter(|s| !self.withdrawn.contains(&s.id)).cloned();
        Trace { attempts: self.attempts.values().copied().collect(), signals: signals.collect(), side: None }
            .shares()
    }
}

/// The integers.
#[derive(Debug, Default, PartialEq)]
struct Counted {
    counters: Counters,
    pool: Pool,
}

impl Counted {
    fn add(&mut self, epoch: Epoch, moves: Vec<(PathId, Pattern, Count)>) {
        for (path, pattern, count) in moves {
            self.counters.add(Cell { epoch, path, pattern }, count);
            self.pool.add(path, pattern, count);
        }
    }

    /// All that is derived from the integers, as bits.
    fn table(&self) -> Vec<u64> {
        let config = LearnerConfig::default();
        let reliability = Reliability::learn(&self.pool);
        let subjects: Vec<Subject> = (0..PATHS).map(|number| Subject::unknown(path(number))).collect();
        let known = posteriors(&self.counters, &subjects, &reliability, &config);
        let offers: Vec<Offered> = known.iter().map(|posterior| Offered::of(posterior.success)).collect();
        let paths: Vec<(PathId, Posterior)> = (0..PATHS).map(path).zip(known).collect();
        let table = PolicyTable::new(0, &paths, offers, &ChoiceRules::default(), &Standing::default());
        let mut bits: Vec<u64> = table.shares().into_iter().map(f64::to_bits).collect();
        for entry in table.entries() {
            let known = entry.posterior;
            bits.extend([entry.p_best, known.availability].map(f64::to_bits));
            for beta in [Some(known.success), Some(known.quality), Some(known.own), known.available] {
                bits.extend(beta.map_or([0, 0], |beta| [beta.alpha.to_bits(), beta.beta.to_bits()]));
            }
            bits.extend([known.graded as u64, known.attempts as u64]);
        }
        bits
    }
}

/// Takes facts one by one as a ledger does: fold before, fold after, move the difference.
fn lived(epochs: &[Epoch], facts: &[Fact]) -> Counted {
    let mut traces: Vec<Known> = (0..TRACES).map(|_| Known::default()).collect();
    let mut counted = Counted::default();
    for fact in facts {
        let known = &mut traces[fact.trace()];
        let before = known.shares();
        known.take(fact);
        counted.add(epochs[fact.trace()], moves(&before, &known.shares()));
    }
    counted
}

/// Counts each decision once, from its final facts; the oldest first, as it was decided.
fn clean_replay(history: &History) -> Counted {
    let mut counted = Counted::default();
    let mut order: Vec<usize> = (0..TRACES).collect();
    order.sort_by_key(|trace| history.epochs[*trace]);
    for trace in order {
        let mut known = Known::default();
        history.facts.iter().filter(|fact| fact.trace() == trace).for_each(|fact| known.take(fact));
        counted.add(history.epochs[trace], moves(&[], &known.shares()));
    }
    counted
}

fn said() -> impl Strategy<Value = (Source, Value)> {
    prop::sample::select(vec![
        (Source::Structural, Value::Passed),
        (Source::Structural, Value::Failed),
        (Source::Judge, Value::Passed),
        (Source::Judge, Value::Middling),
        (Source::Metric, Value::Passed),
        (Source::Metric, Value::Failed),
        (Source::SessionEnd, Value::SessionSatisfied),
        (Source::SessionEnd, Value::EndedBadly),
        (Source::SessionEnd, Value::MomentumUp),
        (Source::Turn, Value::Acceptance),
        (Source::Turn, Value::Rejection),
        (Source::Turn, Value::AcceptanceByModel),
        (Source::Turn, Value::RejectionByModel),
        (Source::Explicit, Value::UserAccepted),
        (Source::Explicit, Value::UserRejected),
        (Source::Action, Value::OutputUsedVerbatim),
        (Source::Action, Value::OutputEdited),
        (Source::Action, Value::OutputDiscarded),
    ])
}

/// Some decisions lie so far apart that old epochs merge, in several steps, while others still wait for their facts.
fn epochs() -> impl Strategy<Value = Vec<Epoch>> {
    let epoch = prop_oneof![0u32..4, 0u32..60, 0u32..2_000];
    prop::collection::vec(epoch.prop_map(Epoch), TRACES)
}

fn attempts(trace: usize) -> impl Strategy<Value = Vec<Fact>> {
    let reply = prop::sample::select(vec![
        Reply::Answered,
        Reply::Answered,
        Reply::Failed,
        Reply::Refused,
        Reply::Unknown,
    ]);
    (0..PATHS, prop::collection::vec(reply, 1..4)).prop_map(move |(first, replies)| {
        let call = |(index, reply): (usize, Reply)| Fact::Called {
            trace,
            attempt: Attempt { index: index as u16, path: path((first + index as u8) % PATHS), reply },
        };
        replies.into_iter().enumerate().map(call).collect()
    })
}

fn history() -> impl Strategy<Value = History> {
    let strength = prop_oneof![Just(None), (0..=Strength::UNITS).prop_map(|u| Some(Strength::from_units(u)))];
    let said = (0..TRACES, said(), 0i64..4, strength, prop::option::of(0u16..3), prop::bool::weighted(0.2));
    let calls: Vec<_> = (0..TRACES).map(attempts).collect();
    (epochs(), calls, prop::collection::vec(said, 0..30)).prop_map(|(epochs, calls, said)| {
        let mut facts: Vec<Fact> = calls.into_iter().flatten().collect();
        for (number, (trace, (source, value), at, strength, attempt, withdrawn)) in
            said.into_iter().enumerate()
        {
            let id = SignalId::new(&format!("signal-{number}")).unwrap();
            let signal = Signal {
                id: id.clone(),
                source,
                value,
                strength: strength.unwrap_or_else(|| value.default_strength()),
                confidence: Strength::ONE,
                at: Timestamp(at),
                attempt,
            };
            facts.push(Fact::Said { trace, signal });
            if withdrawn {
                facts.push(Fact::Withdrawn { trace, id });
            }
        }
        History { epochs, facts }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn permuted_duplicated_revised_and_withdrawn_signals_count_as_a_clean_replay(
        history in history(),
        duplicates in prop::collection::vec(any::<prop::sample::Index>(), 0..15),
        seed in any::<u64>(),
    ) {
        let mut arrived = history.facts.clone();
        arrived.extend(duplicates.iter().map(|index| index.get(&history.facts).clone()));
        arrived.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
        let (lived, clean) = (lived(&history.epochs, &arrived), clean_replay(&history));
        prop_assert_eq!(&lived, &clean);
        // A process that starts now reads the same cells, and all that it derives is the same to the last bit.
        prop_assert_eq!(&clean.counters, &lived.counters.iter().collect::<Counters>());
        prop_assert_eq!(lived.table(), clean.table());
    }
}
