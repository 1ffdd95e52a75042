//! What the ledger keeps of an answer's checks.

mod common;

use common::{attempt, counters, decision, goal, last_change, path, trace};
use kalibr_core::outcome::Reply;
use kalibr_store::*;

fn open() -> (tempfile::TempDir, SqliteLedger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    (folder, ledger)
}

fn checked(n: u32, index: u16, failed: u64) -> Fact {
    Fact::Checked(CheckedFact { trace: trace(n), index, failed })
}

fn failed_checks(
    ledger: &dyn Ledger,
    goal: GoalId,
    decisions: u32,
) -> Vec<(kalibr_core::ids::PathId, Option<u64>)> {
    let mut found = Vec::new();
    ledger.failed_checks(goal, decisions, &mut |path, bits| found.push((path, bits))).unwrap();
    found.sort();
    found
}

#[test]
fn checks_are_kept_with_their_attempt_and_count_nothing() {
    let (_folder, ledger) = open();
    let goal = goal(&ledger).id;
    let facts = [
        Fact::Decision(Box::new(decision(goal, 0, None, 1))),
        Fact::Attempt(attempt(0, 0, Reply::Failed)),
        Fact::Attempt(attempt(0, 1, Reply::Answered)),
    ];
    ledger.commit(&facts).unwrap();
    let (before, change) = (counters(&ledger), last_change(&ledger));
    let receipts = ledger.commit(&[checked(0, 1, 0b101), checked(7, 0, 1)]).unwrap().receipts;
    assert_eq!((receipts[0].joined, receipts[1].joined), (true, false));
    assert_eq!(ledger.decision(trace(0)).unwrap().unwrap().failed_checks, [(1, 0b101)]);
    assert_eq!((counters(&ledger), last_change(&ledger)), (before, change));
    assert!(ledger.decision(trace(7)).unwrap().is_none(), "nothing is kept of an attempt that is not there");

    let mut held = Vec::new();
    ledger.held(&Whose::Tenant("default".to_owned()), &mut |piece| held.push(piece)).unwrap();
    assert!(
        matches!(&held[..], [HeldPiece::Run(run)] if run.failed_checks == [(1, 0b101)]),
        "a person is told of it"
    );
}

#[test]
fn the_latest_answers_of_a_goal_tell_which_checks_they_failed() {
    let (_folder, ledger) = open();
    let goal = goal(&ledger).id;
    for n in 0..6 {
        let decision = Fact::Decision(Box::new(decision(goal, n, None, i64::from(n))));
        ledger.commit(&[decision, Fact::Attempt(attempt(n, 0, Reply::Answered))]).unwrap();
    }
    ledger.commit(&[checked(0, 0, 1), checked(4, 0, 0), checked(5, 0, 6)]).unwrap();
    let expected = |mut rows: Vec<(kalibr_core::ids::PathId, Option<u64>)>| {
        rows.sort();
        rows
    };
    let (a, b) = (path("a"), path("b"));
    assert_eq!(failed_checks(&ledger, goal, 3), expected(vec![(b, None), (a, Some(0)), (b, Some(6))]));
    assert_eq!(failed_checks(&ledger, goal, 100).len(), 6);
    assert!(failed_checks(&ledger, GoalId(goal.0 + 1), 100).is_empty());
}
