//! Fingerprints of the texts of a run: found by trace and by session, without weight, gone with their decision.

mod common;

use common::*;
use kalibr_core::ids::Timestamp;
use kalibr_core::outcome::Reply;
use kalibr_store::*;

fn open() -> (tempfile::TempDir, SqliteLedger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    (folder, ledger)
}

fn print(n: u32, of: PrintOf, bytes: &[u8]) -> Fact {
    Fact::Print(PrintFact { trace: trace(n), of, print: bytes.to_vec(), at: Timestamp(5) })
}

fn decided(goal: GoalId, n: u32, at: i64) -> Fact {
    Fact::Decision(Box::new(decision(goal, n, Some(session(0)), at)))
}

#[test]
fn the_prints_of_the_latest_run_at_or_before_a_moment_are_found_by_session_and_by_trace() {
    let (_folder, ledger) = open();
    let goal = goal(&ledger).id;
    ledger
        .commit(&[
            decided(goal, 1, 10),
            decided(goal, 2, 20),
            print(1, PrintOf::Prompt, b"prompt 1"),
            print(1, PrintOf::Answer(0), b"answer 1"),
            print(2, PrintOf::Answer(0), b"first attempt"),
            print(2, PrintOf::Answer(1), b"fallback"),
        ])
        .unwrap();
    let of = |about, at| ledger.prints(about, Timestamp(at)).unwrap();
    let session = About::Session(session(0));
    let first = of(session, 19).unwrap();
    assert_eq!((first.trace, first.at), (trace(1), Timestamp(10)));
    assert_eq!(
        (first.prompt.as_deref(), first.answer.as_deref()),
        (Some(&b"prompt 1"[..]), Some(&b"answer 1"[..]))
    );
    let second = of(session, 20).unwrap();
    assert_eq!((second.trace, second.prompt.as_deref()), (trace(2), None));
    assert_eq!(second.answer.as_deref(), Some(&b"fallback"[..]), "the answer that came out in the end");
    assert_eq!(of(About::Trace(trace(1)), 0), Some(first));
    assert_eq!(of(session, 9), None);
    assert_eq!(of(About::Trace(trace(9)), 99), None);
}

#[test]
fn the_first_print_of_a_text_stays_and_one_may_come_before_its_decision() {
    let (_folder, ledger) = open();
    let goal = goal(&ledger).id;
    let early =
        ledger.commit(&[print(1, PrintOf::Prompt, b"first"), print(1, PrintOf::Prompt, b"second")]).unwrap();
    let told: Vec<_> = early.receipts.iter().map(|receipt| (receipt.duplicate, receipt.joined)).collect();
    assert_eq!(told, [(false, false), (true, false)]);
    ledger.commit(&[decided(goal, 1, 10)]).unwrap();
    let found = ledger.prints(About::Trace(trace(1)), Timestamp(0)).unwrap().unwrap();
    assert_eq!(found.prompt.as_deref(), Some(&b"first"[..]));
}

#[test]
fn prints_move_no_counter_and_doctor_finds_nothing_to_repair() {
    let (_folder, ledger) = open();
    let goal = goal(&ledger).id;
    let facts = [decided(goal, 1, 10), Fact::Attempt(attempt(1, 0, Reply::Answered))];
    let before = ledger.commit(&facts).unwrap().seq;
    let after =
        ledger.commit(&[print(1, PrintOf::Prompt, b"p"), print(1, PrintOf::Answer(0), b"a")]).unwrap().seq;
    assert_eq!(before, after);
    assert_eq!(ledger.recount(false).unwrap().wrong, 0);
}

#[test]
fn prints_go_with_their_decision_and_stay_when_a_routed_one_replaces_an_observed_one() {
    let (folder, ledger) = open();
    let goal = goal(&ledger).id;
    let observed = DecisionFact { kind: DecisionKind::Observed, ..decision(goal, 1, None, 10) };
    ledger
        .commit(&[
            Fact::Decision(Box::new(observed)),
            print(1, PrintOf::Answer(0), b"a"),
            decided(goal, 1, 10),
        ])
        .unwrap();
    let about = About::Trace(trace(1));
    assert!(ledger.prints(about, Timestamp(0)).unwrap().unwrap().answer.is_some());
    let file = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    file.execute("DELETE FROM decisions", []).unwrap();
    let left: i64 = file.query_row("SELECT count(*) FROM prints", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

#[test]
fn prints_whose_decision_never_comes_are_dropped_after_seven_days() {
    let (folder, ledger) = open();
    let goal = goal(&ledger).id;
    ledger
        .commit(&[decided(goal, 1, 5), print(1, PrintOf::Prompt, b"p"), print(2, PrintOf::Prompt, b"p")])
        .unwrap();
    let count = || -> i64 {
        let file = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
        file.query_row("SELECT count(*) FROM prints", [], |row| row.get(0)).unwrap()
    };
    const DAY: i64 = 24 * 3_600_000_000;
    ledger.maintain(Timestamp(6 * DAY)).unwrap();
    assert_eq!(count(), 2);
    ledger.maintain(Timestamp(8 * DAY)).unwrap();
    assert_eq!(count(), 1);
}

#[test]
fn thousands_of_prints_that_wait_in_vain_are_dropped_in_one_go_and_one_whose_decision_came_late_stays() {
    let (folder, ledger) = open();
    let goal = goal(&ledger).id;
    let mut facts: Vec<Fact> = (2..5_002).map(|n| print(n, PrintOf::Prompt, b"p")).collect();
    facts.extend([print(1, PrintOf::Prompt, b"p"), decided(goal, 1, 5)]);
    ledger.commit(&facts).unwrap();
    ledger.maintain(Timestamp(8 * 24 * 3_600_000_000)).unwrap();
    let file = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    let left: i64 = file.query_row("SELECT count(*) FROM prints", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1);
    // Those that are to be dropped are found without a look at the others.
    let plan: String = file
        .query_row(
            "EXPLAIN QUERY PLAN SELECT trace, attempt FROM prints WHERE waiting = 1 AND at < 9 LIMIT 9",
            [],
            |row| row.get(3),
        )
        .unwrap();
    assert!(plan.contains("prints_waiting"), "{plan}");
}

#[test]
fn a_print_shows_itself_to_no_log() {
    let shown = format!("{:?}", print(1, PrintOf::Prompt, &[211, 212, 213]));
    assert!(!shown.contains("211") && !shown.contains("213"), "{shown}");
}
