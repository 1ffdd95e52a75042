//! Sessions that nobody gave a verdict on: what they say is derived from their steps, once, and follows them.

mod common;

use common::*;
use kalibr_core::evidence::{Source, Value};
use kalibr_core::ids::{SignalId, Timestamp};
use kalibr_store::*;

struct Opened {
    file: std::path::PathBuf,
    ledger: SqliteLedger,
    _folder: tempfile::TempDir,
}

/// A session of one run at 0.
fn opened() -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let ledger = SqliteLedger::open(&file).unwrap();
    let goal = goal(&ledger);
    ledger.commit(&[run(goal.id, 0, 0)]).unwrap();
    Opened { file, ledger, _folder: folder }
}

fn run(goal: GoalId, n: u32, at: i64) -> Fact {
    Fact::Decision(Box::new(decision(goal, n, Some(session(0)), at)))
}

fn id(id: &str) -> SignalId {
    SignalId::new(id).unwrap()
}

fn message(name: &str, at: i64, read: (u8, u8)) -> Fact {
    Fact::Step(StepFact { id: id(name), session: session(0), read: Some(read), at: Timestamp(at) })
}

fn found(ledger: &SqliteLedger, now: i64) -> Vec<SessionTrail> {
    ledger.ended_sessions(Some(Timestamp(now - IDLE)), 10).unwrap()
}

fn sweep(ledger: &SqliteLedger, now: i64) {
    for trail in found(ledger, now) {
        ledger.commit(&[ended(trail, now)]).unwrap();
    }
}

/// What the session's first run was graded with.
fn said(ledger: &SqliteLedger, n: u32) -> Vec<Value> {
    let signals = ledger.decision(trace(n)).unwrap().unwrap().signals;
    signals.into_iter().filter(|s| !s.withdrawn).map(|s| s.signal.value).collect()
}

#[test]
fn a_session_is_found_once_nothing_has_happened_in_it_for_long_enough_and_not_again() {
    let Opened { ledger, _folder, .. } = opened();
    ledger.commit(&[message("t", 1, (0, 1))]).unwrap();
    assert_eq!(found(&ledger, IDLE), []);
    let late = found(&ledger, 1 + IDLE);
    assert_eq!(late[0].steps.len(), 2);
    sweep(&ledger, 1 + IDLE);
    assert_eq!(said(&ledger, 0), [Value::MomentumDown]);
    assert_eq!(found(&ledger, 1 << 40), []);
}

#[test]
fn a_session_without_a_message_is_never_found() {
    let Opened { ledger, _folder, .. } = opened();
    assert_eq!(found(&ledger, 1 << 40), []);
}

#[test]
fn a_run_keeps_its_session_open() {
    let Opened { ledger, _folder, .. } = opened();
    ledger.commit(&[message("t", 1, (0, 1)), run(GoalId(1), 1, 5)]).unwrap();
    assert_eq!(found(&ledger, 1 + IDLE), []);
    assert_eq!(found(&ledger, 5 + IDLE).len(), 1);
}

#[test]
fn a_session_that_its_caller_ended_is_found_at_once_also_where_nothing_is_found_by_waiting() {
    let Opened { ledger, _folder, .. } = opened();
    let end = StepFact { id: id("e"), session: session(0), read: None, at: Timestamp(2) };
    ledger.commit(&[message("t", 1, (0, 1)), Fact::Step(end)]).unwrap();
    assert_eq!(ledger.ended_sessions(None, 10).unwrap().len(), 1);
    sweep(&ledger, 2);
    assert_eq!(said(&ledger, 0).len(), 1);
    assert_eq!(ledger.ended_sessions(None, 10).unwrap(), []);
}

#[test]
fn several_processes_that_find_the_same_session_write_the_same_once() {
    let Opened { ledger, file, _folder } = opened();
    ledger.commit(&[message("t", 1, (0, 2))]).unwrap();
    let other = SqliteLedger::open(&file).unwrap();
    let (mine, theirs) = (found(&ledger, 100), found(&other, 103));
    ledger.commit(&[ended(mine[0].clone(), 100)]).unwrap();
    let (after, seq) = (counters(&ledger), last_change(&ledger));
    let again = other.commit(&[ended(theirs[0].clone(), 103)]).unwrap();
    assert!(again.receipts[0].duplicate);
    assert_eq!((counters(&other), last_change(&other)), (after, seq));
    assert_eq!(said(&ledger, 0).len(), 2);
}

#[test]
fn a_finding_from_steps_that_are_no_longer_all_changes_nothing_and_the_session_is_found_again() {
    let Opened { ledger, _folder, .. } = opened();
    ledger.commit(&[message("t", 3, (0, 1))]).unwrap();
    let stale = found(&ledger, 100);
    ledger.commit(&[message("earlier", 1, (1, 1))]).unwrap();
    ledger.commit(&[ended(stale[0].clone(), 100)]).unwrap();
    assert_eq!(said(&ledger, 0), []);
    assert_eq!(found(&ledger, 100)[0].steps.len(), 3);
}

#[test]
fn what_a_session_said_is_revised_when_one_of_its_messages_comes_late_or_is_taken_back() {
    let Opened { ledger, _folder, .. } = opened();
    ledger.commit(&[message("t", 3, (0, 1))]).unwrap();
    sweep(&ledger, 100);
    let alone = counters(&ledger);
    ledger.commit(&[message("later", 9, (1, 1)), run(GoalId(1), 1, 2)]).unwrap();
    sweep(&ledger, 100);
    assert_eq!(said(&ledger, 0), [], "the message is about the run that came to light");
    assert_eq!(said(&ledger, 1), [Value::MomentumUp, Value::MomentumDown]);
    for name in ["later", "t"] {
        ledger.commit(&[Fact::Withdrawal(id(name), Timestamp(200))]).unwrap();
    }
    assert_eq!((said(&ledger, 0), said(&ledger, 1)), (vec![], vec![]));
    assert_ne!(counters(&ledger), alone);
    assert_eq!(ledger.recount(false).unwrap().wrong, 0);
    ledger.commit(&[message("t", 3, (0, 1))]).unwrap();
    assert_eq!(found(&ledger, 1_000), [], "it was taken back");
}

#[test]
fn a_message_that_was_taken_back_before_it_came_is_no_step() {
    let Opened { ledger, _folder, .. } = opened();
    ledger.commit(&[Fact::Withdrawal(id("t"), Timestamp(0)), message("t", 1, (0, 1))]).unwrap();
    assert_eq!(found(&ledger, 100), []);
}

#[test]
fn what_a_caller_knows_of_an_end_stays_when_the_signs_are_derived_anew() {
    let Opened { ledger, _folder, .. } = opened();
    let known = signal("known", About::Session(session(0)), Source::SessionEnd, Value::SessionSatisfied, 2);
    ledger.commit(&[message("t", 1, (0, 1)), Fact::Signal(known)]).unwrap();
    sweep(&ledger, 100);
    ledger.commit(&[message("u", 3, (0, 1))]).unwrap();
    sweep(&ledger, 100);
    assert_eq!(said(&ledger, 0).iter().filter(|value| **value == Value::SessionSatisfied).count(), 1);
}

#[test]
fn a_session_of_thousands_of_steps_is_read_to_a_bound_and_what_it_said_before_that_stays() {
    let Opened { ledger, _folder, .. } = opened();
    let all = |names: std::ops::Range<i64>| -> Vec<Fact> {
        names.map(|n| message(&format!("t{n}"), n, (n as u8, 1))).collect()
    };
    ledger.commit(&all(1..900)).unwrap();
    sweep(&ledger, 2_000);
    let before = said(&ledger, 0).len();
    ledger.commit(&all(3_000..3_900)).unwrap();
    let trail = found(&ledger, 9_000).remove(0);
    assert_eq!(trail.steps.len(), 1_000);
    sweep(&ledger, 9_000);
    assert_eq!(said(&ledger, 0).len(), before + 900);
    assert_eq!(ledger.recount(false).unwrap().wrong, 0);
}

#[test]
fn how_messages_read_is_forgotten_after_a_month_and_what_followed_from_it_stays() {
    const DAY: i64 = 24 * 3_600_000_000;
    let Opened { ledger, file, _folder } = opened();
    ledger.commit(&[message("t", 1, (0, 1))]).unwrap();
    sweep(&ledger, 100);
    let rows = || -> i64 {
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection.query_row("SELECT count(*) FROM turns", [], |row| row.get(0)).unwrap()
    };
    ledger.maintain(Timestamp(29 * DAY)).unwrap();
    assert_eq!(rows(), 1);
    ledger.maintain(Timestamp(31 * DAY)).unwrap();
    assert_eq!(rows(), 0);
    assert_eq!(said(&ledger, 0), [Value::MomentumDown]);
}

#[test]
fn a_message_whose_id_is_taken_by_another_is_a_conflict_and_changes_nothing() {
    let Opened { ledger, _folder, .. } = opened();
    let commit = |fact: Fact| ledger.commit(&[fact]).unwrap().receipts[0];
    let elsewhere = StepFact { id: id("t"), session: session(1), read: Some((1, 200)), at: Timestamp(1) };
    let ended = StepFact { id: id("t"), session: session(0), read: None, at: Timestamp(1) };

    let first = commit(message("t", 1, (1, 200)));
    assert!(!first.duplicate && !first.conflict && first.joined);
    let again = commit(message("t", 2, (1, 200)));
    assert!(again.duplicate && !again.conflict, "sent again, with the time of that try");
    for other in [message("t", 1, (200, 1)), Fact::Step(elsewhere), Fact::Step(ended)] {
        let receipt = commit(other);
        assert!(receipt.conflict && !receipt.duplicate && !receipt.joined && receipt.trace.is_none());
    }
    let steps = found(&ledger, 10 + IDLE).remove(0).steps;
    let kept = SessionStep::Message { acceptance: 1, rejection: 200 };
    assert_eq!(steps, [(Timestamp(0), SessionStep::Run), (Timestamp(1), kept)]);
}

#[test]
fn an_end_with_more_runs_after_it_than_are_looked_at_is_not_found_for_ever() {
    let Opened { ledger, _folder, .. } = opened();
    let end = StepFact { id: id("end"), session: session(0), read: None, at: Timestamp(2) };
    ledger.commit(&[message("t", 1, (0, 1)), Fact::Step(end)]).unwrap();
    let runs: Vec<Fact> = (1..1_200).map(|n| run(GoalId(1), n, 10 + i64::from(n))).collect();
    ledger.commit(&runs).unwrap();
    let trail = ledger.ended_sessions(None, 10).unwrap().remove(0);
    assert!(trail.steps.iter().all(|(_, step)| *step == SessionStep::Run));
    let through = Timestamp(trail.from.0 - 1);
    let taken = EndedFact { trail, through, signs: Vec::new(), received_at: Timestamp(5_000) };
    ledger.commit(&[Fact::Ended(Box::new(taken))]).unwrap();
    assert_eq!(ledger.ended_sessions(None, 10).unwrap(), []);
}

#[test]
fn a_message_that_asserts_something_under_a_taken_id_is_not_taken_by_halves() {
    let Opened { ledger, _folder, .. } = opened();
    ledger.commit(&[message("t", 1, (1, 2))]).unwrap();
    let asserts = |name: &str, at: i64| {
        let about = About::Session(session(0));
        let signal = signal(name, about, Source::Turn, Value::Rejection, at);
        [Fact::Signal(signal), message(name, at, (1, 250))]
    };
    let receipts = ledger.commit(&asserts("t", 2)).unwrap().receipts;
    assert!(receipts.iter().all(|receipt| receipt.conflict), "{receipts:?}");
    assert_eq!(said(&ledger, 0), []);
    // The other way round: the id is that of a signal.
    ledger.commit(&[accepted("u", 0)]).unwrap();
    let receipts = ledger.commit(&asserts("u", 3)).unwrap().receipts;
    assert!(receipts.iter().all(|receipt| receipt.conflict), "{receipts:?}");
    let fresh = ledger.commit(&asserts("v", 4)).unwrap().receipts;
    let again = ledger.commit(&asserts("v", 5)).unwrap().receipts;
    assert!(fresh.iter().all(|receipt| !receipt.conflict && receipt.joined));
    assert!(again.iter().all(|receipt| receipt.duplicate));
}
