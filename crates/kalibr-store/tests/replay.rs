//! Promise 1 in the real ledger: arrival order, duplicates, revisions, withdrawals and late anchors leave no trace in
//! the integers, and the counters that others build from `changes` are the same.

mod common;

use std::collections::BTreeMap;

use common::*;
use kalibr_core::counters::Epoch;
use kalibr_core::evidence::{Source, Value};
use kalibr_core::ids::{SignalId, Timestamp};
use kalibr_core::outcome::Reply;
use kalibr_store::*;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::seq::SliceRandom;

const TRACES: u32 = 5;

fn reply() -> impl Strategy<Value = Reply> {
    prop::sample::select(vec![Reply::Unknown, Reply::Answered, Reply::Failed, Reply::Refused])
}

/// What happened: decisions, some of them in one of two sessions, and what users then did, addressed either way.
fn facts() -> impl Strategy<Value = Vec<(u8, Fact)>> {
    // Some runs are also reported by someone who observed them, at another moment and in another epoch; some were not
    // routed at all.
    let kind = prop::sample::select(vec!["routed", "observed", "both"]);
    let decisions = prop::collection::vec((prop::option::of(0u8..2), 0i64..20, kind), TRACES as usize);
    let attempts = prop::collection::vec((0..TRACES, 0u16..2, reply()), 0..8);
    let anchors = prop::collection::vec((0u8..2, 0..TRACES, 0i64..20), 0..6);
    let kind = prop::sample::select(vec![
        (Source::Metric, Value::Failed),
        (Source::SessionEnd, Value::SessionSatisfied),
        (Source::Turn, Value::Rejection),
        (Source::Turn, Value::AcceptanceByModel),
        (Source::Explicit, Value::UserAccepted),
        (Source::Explicit, Value::UserRejected),
        (Source::Action, Value::OutputEdited),
    ]);
    let about = prop_oneof![
        (0..TRACES).prop_map(|n| About::Trace(trace(n))),
        (0u8..2).prop_map(|n| About::Session(session(n)))
    ];
    let signals = prop::collection::vec((about, kind, 0i64..25, prop::bool::weighted(0.2)), 0..14);
    let read = prop::option::weighted(0.8, (any::<u8>(), any::<u8>()));
    let steps = prop::collection::vec((0u8..2, read, 0i64..25, prop::bool::weighted(0.2)), 0..8);
    (decisions, attempts, anchors, signals, steps).prop_map(
        |(decisions, attempts, anchors, signals, steps)| {
            let mut facts = Vec::new();
            for (n, (at_session, at, kind)) in decisions.into_iter().enumerate() {
                let routed = decision(GoalId(1), n as u32, at_session.map(session), at);
                let observed = DecisionFact {
                    kind: DecisionKind::Observed,
                    epoch: Epoch(9),
                    at: Timestamp(at + 3),
                    ..routed.clone()
                };
                if kind != "routed" {
                    facts.push((0, Fact::Decision(Box::new(observed))));
                }
                if kind != "observed" {
                    facts.push((1, Fact::Decision(Box::new(routed))));
                }
            }
            let mut seen = std::collections::BTreeSet::new();
            for (n, index, reply) in attempts {
                if seen.insert((n, index)) {
                    facts.push((2, Fact::Attempt(attempt(n, index, reply))));
                }
            }
            for (s, n, at) in anchors {
                let anchor =
                    AnchorFact { session: session(s), trace: trace(n), alias: None, at: Timestamp(at) };
                facts.push((3, Fact::Anchor(anchor)));
            }
            for (number, (about, (source, value), at, withdrawn)) in signals.into_iter().enumerate() {
                let id = format!("s{number}");
                facts.push((4, Fact::Signal(signal(&id, about, source, value, at))));
                if withdrawn {
                    facts.push((5, Fact::Withdrawal(SignalId::new(&id).unwrap(), Timestamp(at))));
                }
            }
            for (number, (s, read, at, withdrawn)) in steps.into_iter().enumerate() {
                let id = SignalId::new(&format!("t{number}")).unwrap();
                let step = StepFact { id: id.clone(), session: session(s), read, at: Timestamp(at) };
                facts.push((4, Fact::Step(step)));
                if withdrawn {
                    facts.push((5, Fact::Withdrawal(id, Timestamp(at))));
                }
            }
            facts
        },
    )
}

/// Takes in all sessions that have ended.
fn sweep(ledger: &SqliteLedger, now: i64) {
    for trail in ledger.ended_sessions(Some(Timestamp(now - IDLE)), 100).unwrap() {
        ledger.commit(&[ended(trail, now)]).unwrap();
    }
}

fn ledger(batches: &[Vec<Fact>]) -> (tempfile::TempDir, SqliteLedger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    assert_eq!(goal(&ledger).id, GoalId(1));
    for batch in batches {
        ledger.commit(batch).unwrap();
    }
    (folder, ledger)
}

/// The counters that a process builds which only ever tailed the changes.
fn tailed(ledger: &SqliteLedger) -> Vec<CounterRow> {
    let Changes::Rows(_, changes) = ledger.changes(0).unwrap() else { panic!("nothing was dropped") };
    let mut sums = BTreeMap::new();
    for change in changes {
        if let Change::Count(row) = change {
            *sums.entry((row.scope, row.cell)).or_insert_with(kalibr_core::counters::Count::default) +=
                row.count;
        }
    }
    sums.into_iter()
        .filter(|(_, count)| !count.is_zero())
        .map(|((scope, cell), count)| CounterRow { scope, cell, count })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn any_order_and_any_duplication_of_facts_leaves_the_counters_of_a_clean_replay(
        facts in facts(),
        duplicates in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        batch in 1usize..8,
        seed in any::<u64>(),
    ) {
        let mut clean = facts.clone();
        clean.sort_by_key(|(rank, _)| *rank);
        let clean: Vec<Fact> = clean.into_iter().map(|(_, fact)| fact).collect();
        let (_a, replayed) = ledger(&[clean]);
        sweep(&replayed, 1_000);

        let mut arrived: Vec<Fact> = facts.iter().map(|(_, fact)| fact.clone()).collect();
        arrived.extend(duplicates.iter().map(|index| index.get(&facts).1.clone()));
        arrived.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
        let (_b, lived) = ledger(&[]);
        for (number, facts) in arrived.chunks(batch).enumerate() {
            lived.commit(facts).unwrap();
            // Sessions are looked at in between, too, when some of what they consist of is yet to come.
            sweep(&lived, 10 * number as i64);
        }
        sweep(&lived, 1_000);
        prop_assert_eq!(lived.ended_sessions(Some(Timestamp(1_000)), 100).unwrap(), vec![]);

        prop_assert_eq!(counters(&lived), counters(&replayed));
        prop_assert_eq!(tailed(&lived), counters(&replayed));
        prop_assert_eq!(lived.recount(false).unwrap().wrong, 0);
    }
}
