//! The log of a goal, as replay reads it.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{accepted, attempt, decision, goal, path, signal, trace};
use kalibr_core::evidence::{Source, Strength, Value};
use kalibr_core::ids::{Goal, SignalId, Timestamp};
use kalibr_core::outcome::Reply;
use kalibr_core::path::PathSpec;
use kalibr_store::*;

fn open() -> (tempfile::TempDir, Arc<SqliteLedger>) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    (folder, Arc::new(ledger))
}

fn read(ledger: &dyn Ledger, goal: GoalId, since: Option<Timestamp>, most: usize) -> Vec<LoggedDecision> {
    let mut log = Vec::new();
    ledger.log(goal, since, most, &mut |decision| log.push(decision)).unwrap();
    log
}

fn numbers(log: &[LoggedDecision]) -> Vec<i64> {
    log.iter().map(|decision| decision.at.0).collect()
}

#[test]
fn a_log_comes_in_the_order_of_decisions_with_what_each_attempt_counts_for() {
    let (_folder, ledger) = open();
    let goal = goal(&*ledger);
    let considered =
        |propensity| Considered { path: path("a"), propensity, expected: 0.5, graded: 0, not_eligible: None };
    let made = |n: u32, at, propensity| {
        Fact::Decision(Box::new(DecisionFact {
            considered: vec![considered(propensity)].into(),
            ..decision(goal.id, n, None, at)
        }))
    };
    // Facts arrive in no order; the second decision's primary failed, and its fallback was accepted.
    let by_judge = signal("j", About::Trace(trace(0)), Source::Judge, Value::Failed, 5);
    ledger
        .commit(&[
            made(1, 200, 0.123_456_789_012_345_68),
            accepted("s1", 1),
            Fact::Attempt(attempt(1, 1, Reply::Answered)),
            Fact::Attempt(AttemptFact { prompt_tokens: Some(7), ..attempt(0, 0, Reply::Answered) }),
            Fact::Attempt(attempt(1, 0, Reply::Failed)),
            made(0, 100, 0.5),
            accepted("s0", 0),
            Fact::Signal(by_judge),
            accepted("gone", 2),
            Fact::Withdrawal(SignalId::new("gone").unwrap(), Timestamp(0)),
            made(2, 300, 0.5),
            Fact::Attempt(attempt(2, 0, Reply::Answered)),
        ])
        .unwrap();
    let log = read(&*ledger, goal.id, None, 100);
    assert_eq!(numbers(&log), [100, 200, 300]);
    assert_eq!((log[0].trace, log[0].attempts[0].prompt_tokens), (trace(0), Some(7)));
    let first = log[0].shares[0];
    assert_eq!((first.pattern.winner(), first.score), (Some(Source::Explicit), Strength::UNITS));
    let paths: Vec<_> = log[1].shares.iter().map(|share| (share.path, share.pattern.winner())).collect();
    assert_eq!(paths, [(path("b"), None), (path("a"), Some(Source::Explicit))]);
    assert_eq!(log[1].considered[0].propensity, 0.123_456_789_012_345_68, "to the last bit");
    assert_eq!(log[2].shares[0].pattern.winner(), None, "its signal was withdrawn");
}

#[test]
fn the_latest_decisions_are_read_of_one_goal_and_from_a_moment_on() {
    let (_folder, ledger) = open();
    let goal = goal(&*ledger);
    let paths = [PathSpec::model("a").unwrap()];
    let name = Goal::new("other").unwrap();
    let (other, _) = ledger.put_goal(&name, Some("{}"), &paths, PathUpdate::Replace, Timestamp(0)).unwrap();
    // More than are read at once, and those of another goal between them.
    let decisions: Vec<Fact> = (0..2_500)
        .map(|n| {
            let goal = if n % 5 == 4 { other.id } else { goal.id };
            Fact::Decision(Box::new(decision(goal, n, None, i64::from(n))))
        })
        .collect();
    ledger.commit(&decisions).unwrap();
    let expected: Vec<i64> = (0..2_500).filter(|n| n % 5 != 4).collect();
    assert_eq!(numbers(&read(&*ledger, goal.id, None, usize::MAX)), expected);
    assert_eq!(numbers(&read(&*ledger, goal.id, None, 3)), [2_496, 2_497, 2_498][..].to_vec());
    assert_eq!(numbers(&read(&*ledger, goal.id, Some(Timestamp(2_495)), 100)), [2_495, 2_496, 2_497, 2_498]);
    assert_eq!(read(&*ledger, GoalId(99), None, 100), []);
}

#[test]
fn whoever_writes_does_not_wait_for_a_slow_reader_of_the_log() {
    let (_folder, ledger) = open();
    let goal = goal(&*ledger);
    let made = |n: u32| Fact::Decision(Box::new(decision(goal.id, n, None, i64::from(n))));
    ledger.commit(&(0..20).map(made).collect::<Vec<_>>()).unwrap();
    let (mut seen, mut next) = (0, 20);
    ledger
        .log(goal.id, None, usize::MAX, &mut |_| {
            seen += 1;
            // A writer, a fork and a question in the middle of it, on the same thread: nothing is held.
            let start = Instant::now();
            ledger.commit(&[made(next)]).unwrap();
            ledger.suspend();
            ledger.resume();
            assert!(start.elapsed() < Duration::from_secs(1));
            next += 1;
        })
        .unwrap();
    assert_eq!(seen, 20);
}
