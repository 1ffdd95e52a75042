//! A cap on one user's weight is exact: which decisions count follows from when they were made and from the goal's cap,
//! never from when they, their signals or the cap arrived.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{accepted, attempt, counters, decision, goal, session, signal, trace};
use kalibr_core::evidence::{Source, Value};
use kalibr_core::ids::{Bucket, Goal, KeyedHash, SignalId, Timestamp, TraceId};
use kalibr_core::outcome::Reply;
use kalibr_core::safety::{Side, UserCap, counted};
use kalibr_store::*;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::seq::SliceRandom;

const SECOND: i64 = 1_000_000;

fn open() -> (tempfile::TempDir, SqliteLedger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    assert_eq!(goal(&ledger).id, GoalId(1));
    (folder, ledger)
}

/// Sets the cap: windows of ten seconds.
fn cap(ledger: &dyn Ledger, decisions: u32) {
    let settings = format!(r#"{{"user_cap": {{"decisions": {decisions}, "window_seconds": 10}}}}"#);
    let name = Goal::new("g").unwrap();
    ledger.put_goal(&name, Some(&settings), &[], PathUpdate::Add, Timestamp(0)).unwrap();
}

fn of_user(n: u32, user: u8, second: i64) -> DecisionFact {
    DecisionFact {
        user: Some(KeyedHash::from_bytes([user; 16])),
        ..decision(GoalId(1), n, None, second * SECOND)
    }
}

fn decided(fact: DecisionFact) -> Fact {
    Fact::Decision(Box::new(fact))
}

/// The decisions that are counted, by what the ledger says of each and by its counters.
fn counting(ledger: &SqliteLedger, of: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let counts = |n: &u32| ledger.decision(trace(*n)).unwrap().is_some_and(|record| !record.beyond_cap);
    let counting: Vec<u32> = of.into_iter().filter(counts).collect();
    assert_eq!(counters(ledger).iter().map(|row| row.count.n).sum::<i64>(), counting.len() as i64);
    assert_eq!(ledger.recount(false).unwrap().wrong, 0);
    counting
}

#[test]
fn a_late_decision_takes_the_place_of_a_later_one_and_what_that_was_graded_with_goes_with_it() {
    let (_folder, ledger) = open();
    cap(&ledger, 2);
    for n in [1, 2, 3] {
        ledger.commit(&[decided(of_user(n, 7, i64::from(n))), accepted(&format!("s{n}"), n)]).unwrap();
    }
    assert_eq!(counting(&ledger, 0..4), [1, 2]);
    ledger.commit(&[accepted("late", 0)]).unwrap();
    ledger.commit(&[decided(of_user(0, 7, 0))]).unwrap();
    assert_eq!(counting(&ledger, 0..4), [0, 1]);
    // A signal of one that does not count moves nothing, and is kept.
    let before = counters(&ledger);
    ledger.commit(&[Fact::Withdrawal(SignalId::new("s2").unwrap(), Timestamp(9))]).unwrap();
    assert_eq!(counters(&ledger), before);
    assert_eq!(ledger.decision(trace(2)).unwrap().unwrap().signals.len(), 1);
}

#[test]
fn users_windows_buckets_and_decisions_without_a_user_have_nothing_to_do_with_each_other() {
    let (_folder, ledger) = open();
    cap(&ledger, 1);
    let elsewhere = DecisionFact { bucket: Bucket::new("code").unwrap(), ..of_user(3, 7, 3) };
    let nobody = |n| decided(decision(GoalId(1), n, None, 4 * SECOND));
    let frozen = DecisionFact { marks: Marks { frozen: true, ..Marks::default() }, ..of_user(6, 9, 0) };
    let facts = [
        decided(of_user(0, 7, 1)),
        decided(of_user(1, 8, 2)),
        decided(of_user(2, 7, 11)),
        decided(elsewhere),
        nobody(4),
        nobody(5),
        decided(of_user(7, 9, 1)),
        decided(of_user(8, 7, 5)),
    ];
    ledger.commit(&facts).unwrap();
    assert_eq!(counting(&ledger, 0..9), [0, 1, 2, 3, 4, 5, 7]);
    // One that was made while the goal was frozen takes nobody's place.
    ledger.commit(&[decided(frozen)]).unwrap();
    assert!(!ledger.decision(trace(7)).unwrap().unwrap().beyond_cap);
}

#[test]
fn fifty_decisions_a_day_count_unless_the_goal_says_otherwise() {
    let (_folder, ledger) = open();
    ledger.commit(&(0..60).map(|n| decided(of_user(n, 7, 1))).collect::<Vec<_>>()).unwrap();
    assert_eq!(counting(&ledger, 0..60).len(), 50);
    let name = Goal::new("g").unwrap();
    let put = |settings: &str| {
        ledger.put_goal(&name, Some(settings), &[], PathUpdate::Add, Timestamp(0)).unwrap();
    };
    put(r#"{"user_cap": 10}"#);
    assert_eq!(counting(&ledger, 0..60), (0..10).collect::<Vec<_>>());
    put(r#"{"user_cap": 0}"#);
    assert_eq!(counting(&ledger, 0..60).len(), 60);
    // What a newer version may have written there does not stop the ledger from counting.
    put(r#"{"user_cap": "much"}"#);
    assert_eq!(counting(&ledger, 0..60).len(), 50);
}

#[test]
fn a_run_that_is_observed_first_gives_its_place_back_when_its_decision_arrives() {
    let (_folder, ledger) = open();
    cap(&ledger, 1);
    let observed = DecisionFact { kind: DecisionKind::Observed, ..of_user(0, 7, 1) };
    ledger.commit(&[decided(observed), decided(of_user(1, 7, 2))]).unwrap();
    assert_eq!(counting(&ledger, 0..2), [0]);
    ledger.commit(&[decided(of_user(0, 8, 3))]).unwrap();
    assert_eq!(counting(&ledger, 0..2), [0, 1]);
}

#[test]
fn a_ledger_of_the_version_before_is_counted_again_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let old = rusqlite::Connection::open(&file).unwrap();
    old.execute_batch(include_str!("../src/sqlite/schema.sql")).unwrap();
    old.execute_batch(
        "PRAGMA user_version = 1;
         INSERT INTO goals VALUES (1, 'default', 'g', '{}', 1, 0, 0);
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 60)
         INSERT INTO decisions (trace, goal, pipeline, bucket, epoch, kind, path, propensity, table_version, considered,
         user, decided_at) SELECT randomblob(16), 1, '', 'all', 0, 0, zeroblob(16), 1.0, 0, '[]', zeroblob(16), n FROM n;
         INSERT INTO attempts (trace, idx, path, known, reply, at) SELECT trace, 0, path, 0, 0, 0 FROM decisions;
         INSERT INTO counters VALUES (1, '', 'all', 0, zeroblob(16), 0, 60, 0);",
    )
    .unwrap();
    drop(old);
    let ledger = SqliteLedger::open(&file).unwrap();
    assert_eq!(counters(&ledger).iter().map(|row| row.count.n).collect::<Vec<_>>(), [50]);
    assert_eq!(ledger.recount(true).unwrap().wrong, 0);
    let changes = ledger.changes(0).unwrap();
    assert!(matches!(changes, Changes::Rows(1, _)), "{changes:?}");
    // Once.
    drop(ledger);
    assert!(matches!(SqliteLedger::open(&file).unwrap().changes(0).unwrap(), Changes::Rows(1, _)));
}

#[derive(Debug, Clone)]
enum Step {
    Fact(Fact),
    Cap(u32),
}

/// Decisions of a few users within a few windows, some of them observed as well, frozen or held out, and what users did.
fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let user = prop::option::weighted(0.8, 0u8..2);
    let flags = (prop::bool::weighted(0.3), prop::bool::weighted(0.1), 0u8..3, prop::option::of(0u8..2));
    let decisions = prop::collection::vec((user, 0i64..40, 0u8..2, flags), 4..14);
    let signals = prop::collection::vec(
        (0u32..14, prop::bool::ANY, prop::bool::ANY, 0i64..50, prop::bool::weighted(0.2)),
        0..14,
    );
    let attempts = prop::collection::vec((0u32..14, prop::bool::ANY), 0..6);
    (decisions, signals, attempts).prop_map(|(decisions, signals, attempts)| {
        let mut facts = Vec::new();
        for (n, (user, second, bucket, (observed, frozen, side, at_session))) in
            decisions.into_iter().enumerate()
        {
            let routed = DecisionFact {
                user: user.map(|user| KeyedHash::from_bytes([user; 16])),
                bucket: Bucket::new(if bucket == 0 { "all" } else { "code" }).unwrap(),
                session: at_session.map(session),
                marks: Marks { frozen, side: Side::from_code(side), ..Marks::default() },
                ..decision(GoalId(1), n as u32, None, second * SECOND)
            };
            if observed {
                let observed = DecisionFact {
                    kind: DecisionKind::Observed,
                    at: Timestamp(routed.at.0 + 7 * SECOND),
                    marks: Marks::default(),
                    ..routed.clone()
                };
                facts.push(decided(observed));
            }
            facts.push(decided(routed));
        }
        let mut seen = BTreeSet::new();
        for (n, answered) in attempts {
            if seen.insert(n) {
                facts.push(Fact::Attempt(attempt(
                    n,
                    0,
                    if answered { Reply::Answered } else { Reply::Failed },
                )));
            }
        }
        for (number, (n, good, by_session, second, withdrawn)) in signals.into_iter().enumerate() {
            let id = format!("s{number}");
            let about =
                if by_session { About::Session(session((n % 2) as u8)) } else { About::Trace(trace(n)) };
            let value = if good { Value::UserAccepted } else { Value::UserRejected };
            facts.push(Fact::Signal(signal(&id, about, Source::Explicit, value, second * SECOND)));
            if withdrawn {
                facts.push(Fact::Withdrawal(SignalId::new(&id).unwrap(), Timestamp(0)));
            }
        }
        facts
    })
}

type Whose = (Bucket, Option<KeyedHash>);

/// How many decisions count, by the rule alone.
fn by_the_rule(facts: &[Fact], cap: UserCap) -> i64 {
    let mut last: BTreeMap<TraceId, &DecisionFact> = BTreeMap::new();
    for fact in facts {
        if let Fact::Decision(decision) = fact {
            // Observed ones are listed before the routed ones that replace them.
            last.insert(decision.trace, decision);
        }
    }
    let mut crowds: BTreeMap<Whose, Vec<(Timestamp, TraceId)>> = BTreeMap::new();
    for decision in last.values().filter(|decision| !decision.marks.frozen) {
        let crowd = crowds.entry((decision.bucket.clone(), decision.user)).or_default();
        crowd.push((decision.at, decision.trace));
    }
    let count = |(_, user): &Whose, crowd: &[(Timestamp, TraceId)]| {
        let counted = counted(crowd, if user.is_some() { cap } else { UserCap::OFF });
        counted.iter().filter(|is| **is).count() as i64
    };
    crowds.iter().map(|(whose, crowd)| count(whose, crowd)).sum()
}

fn run(ledger: &SqliteLedger, steps: &[Step], batch: usize) {
    let mut waiting = Vec::new();
    for step in steps {
        match step {
            Step::Fact(fact) => waiting.push(fact.clone()),
            Step::Cap(decisions) => {
                ledger.commit(&std::mem::take(&mut waiting)).unwrap();
                cap(ledger, *decisions);
            }
        }
        if waiting.len() == batch {
            ledger.commit(&std::mem::take(&mut waiting)).unwrap();
        }
    }
    ledger.commit(&waiting).unwrap();
}

/// The counters that a process builds which only ever tailed the changes.
fn tailed(
    ledger: &SqliteLedger,
) -> BTreeMap<(Scope, kalibr_core::counters::Cell), kalibr_core::counters::Count> {
    let Changes::Rows(_, changes) = ledger.changes(0).unwrap() else { panic!("nothing was dropped") };
    let mut sums = BTreeMap::new();
    for change in changes {
        if let Change::Count(row) = change {
            *sums.entry((row.scope, row.cell)).or_insert_with(kalibr_core::counters::Count::default) +=
                row.count;
        }
    }
    sums.retain(|_, count| !count.is_zero());
    sums
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_order_of_decisions_signals_withdrawals_and_caps_leaves_the_counters_of_a_clean_replay(
        facts in facts(),
        other_caps in prop::collection::vec(0u32..4, 0..3),
        last_cap in 0u32..4,
        duplicates in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        batch in 1usize..8,
        seed in any::<u64>(),
    ) {
        let (_a, replayed) = open();
        let clean: Vec<Step> = std::iter::once(Step::Cap(last_cap)).chain(facts.iter().cloned().map(Step::Fact)).collect();
        run(&replayed, &clean, usize::MAX);

        let mut arrived: Vec<Step> = facts.iter().cloned().map(Step::Fact).collect();
        arrived.extend(duplicates.iter().map(|index| Step::Fact(index.get(&facts).clone())));
        arrived.extend(other_caps.into_iter().map(Step::Cap));
        arrived.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
        let last = arrived.iter().rposition(|step| matches!(step, Step::Cap(_))).unwrap_or(0);
        arrived.insert(last + 1, Step::Cap(last_cap));
        let (_b, lived) = open();
        run(&lived, &arrived, batch);

        prop_assert_eq!(counters(&lived), counters(&replayed));
        let rows = counters(&lived).into_iter().map(|row| ((row.scope, row.cell), row.count));
        prop_assert_eq!(tailed(&lived), rows.collect());
        prop_assert_eq!(lived.recount(false).unwrap().wrong, 0);
        let first_attempts = counters(&lived).iter().map(|row| row.count.n).sum::<i64>();
        prop_assert_eq!(first_attempts, by_the_rule(&facts, UserCap { decisions: last_cap, window_seconds: 10 }));
    }
}
