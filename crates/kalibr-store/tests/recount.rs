//! Counters that no longer agree with the facts are found, and put right for every process.

mod common;

use common::{accepted, attempt, counters, decision, goal, last_change};
use kalibr_core::counters::Count;
use kalibr_core::ids::{SignalId, Timestamp};
use kalibr_core::outcome::Reply;
use kalibr_store::*;

/// A ledger with decisions, answers, signals, a withdrawal and a signal that belongs to no decision.
fn lived() -> (tempfile::TempDir, SqliteLedger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    let goal = goal(&ledger).id;
    for n in 0..40 {
        let mut facts = vec![
            Fact::Decision(Box::new(decision(goal, n, None, 0))),
            Fact::Attempt(attempt(n, 0, Reply::Answered)),
        ];
        if n % 3 == 0 {
            facts.push(accepted(&format!("s{n}"), n));
        }
        ledger.commit(&facts).unwrap();
    }
    let withdrawn = Fact::Withdrawal(SignalId::new("s3").unwrap(), Timestamp(11));
    ledger.commit(&[withdrawn, accepted("lost", 99)]).unwrap();
    (folder, ledger)
}

fn corrupt(folder: &tempfile::TempDir, sql: &str) {
    let file = folder.path().join("ledger.db");
    rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_ledger_that_nobody_touched_agrees_with_its_facts_and_repair_writes_nothing() {
    let (_folder, ledger) = lived();
    let seq = last_change(&ledger);
    let found = ledger.recount(true).unwrap();
    assert_eq!((found.decisions, found.wrong, found.repaired), (40, 0, false));
    assert_eq!(found.counters, counters(&ledger).len() as u64);
    assert_eq!(last_change(&ledger), seq);
}

#[test]
fn a_wrong_a_missing_and_an_invented_counter_are_found_told_and_repaired() {
    let (folder, ledger) = lived();
    let right = counters(&ledger);
    corrupt(
        &folder,
        "UPDATE counters SET n = n + 7 WHERE epoch = 2 AND pattern IN (SELECT min(pattern) FROM counters);
         DELETE FROM counters WHERE epoch = 5;
         INSERT INTO counters VALUES (1, '', 'invented', 3, zeroblob(16), 1, 2, 3);",
    );
    let wrong = counters(&ledger);
    assert_ne!(wrong, right);
    let found = ledger.recount(false).unwrap();
    assert!(found.wrong >= 3 && !found.repaired, "{found:?}");
    assert_eq!(counters(&ledger), wrong, "a look changes nothing");
    let invented = found.examples.iter().find(|row| row.scope.bucket.as_str() == "invented").unwrap();
    assert_eq!(invented.count, Count { n: -2, score: -3 });

    let repaired = ledger.recount(true).unwrap();
    assert_eq!((repaired.wrong, repaired.repaired), (found.wrong, true));
    assert_eq!(counters(&ledger), right);
    assert_eq!(ledger.recount(false).unwrap().wrong, 0);
}

#[test]
fn a_repair_is_a_change_that_other_processes_follow() {
    let (folder, ledger) = lived();
    corrupt(&folder, "UPDATE counters SET score = score + 5 WHERE epoch = 1");
    let seq = last_change(&ledger);
    let found = ledger.recount(true).unwrap();
    let Changes::Rows(_, changes) = ledger.changes(seq).unwrap() else { panic!("nothing was dropped") };
    assert_eq!(changes.len() as u64, found.wrong);
    assert!(changes.iter().all(|change| matches!(change, Change::Count(row) if row.count.score == -5)));
}

#[test]
fn counters_that_were_all_lost_are_computed_anew() {
    let (folder, ledger) = lived();
    let right = counters(&ledger);
    corrupt(&folder, "DELETE FROM counters");
    assert_eq!(ledger.recount(true).unwrap().wrong, right.len() as u64);
    assert_eq!(counters(&ledger), right);
}

#[test]
fn a_look_waits_for_no_writer() {
    let (folder, ledger) = lived();
    let other = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(ledger.recount(true).unwrap().wrong, 0);
}
