//! A goal is frozen, reset, rolled back, deleted and created again: what the ledger then says of it, and what counts.

mod common;

use common::{accepted, counters, decision, goal, last_change};
use kalibr_core::counters::Epoch;
use kalibr_core::ids::{Goal, Timestamp};
use kalibr_core::path::PathSpec;
use kalibr_core::safety::Side;
use kalibr_store::*;

fn open() -> (tempfile::TempDir, SqliteLedger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    assert_eq!(goal(&ledger).id, GoalId(1));
    (folder, ledger)
}

fn name() -> Goal {
    Goal::new("g").unwrap()
}

fn change(ledger: &SqliteLedger, change: &GoalChange, at: i64) -> GoalChanged {
    ledger.change_goal(&name(), change, Timestamp(at)).unwrap()
}

fn record(ledger: &SqliteLedger) -> GoalRecord {
    let record = ledger.goal(GoalId(1)).unwrap().unwrap();
    // Whoever loads everything reads the same.
    let mut loaded = Vec::new();
    ledger.snapshot(&mut |piece| loaded.extend(matches!(&piece, Piece::Goal(_)).then_some(piece))).unwrap();
    assert_eq!(loaded, [Piece::Goal(record.clone())]);
    record
}

fn is_done(ledger: &SqliteLedger, changed: GoalChanged) {
    assert_eq!(changed, GoalChanged::Done(last_change(ledger)));
    let Changes::Rows(_, changes) = ledger.changes(last_change(ledger) - 1).unwrap() else { panic!("kept") };
    assert_eq!(changes, [Change::Goal(GoalId(1))], "other processes hear of it");
}

#[test]
fn a_frozen_goal_keeps_what_was_known_first_until_it_is_thawed() {
    let (_folder, ledger) = open();
    is_done(&ledger, change(&ledger, &GoalChange::Freeze("[1]".into()), 5));
    assert_eq!(change(&ledger, &GoalChange::Freeze("[2]".into()), 6), GoalChanged::Already);
    assert_eq!(record(&ledger).frozen, Some(Freeze { at: Timestamp(5), known: "[1]".into() }));
    is_done(&ledger, change(&ledger, &GoalChange::Thaw, 7));
    assert_eq!(change(&ledger, &GoalChange::Thaw, 8), GoalChanged::Already);
    assert_eq!(record(&ledger).frozen, None);
}

#[test]
fn a_decision_that_was_made_while_its_goal_was_frozen_never_counts_and_is_kept() {
    let (_folder, ledger) = open();
    let frozen = DecisionFact {
        marks: Marks { frozen: true, rolled_back: true, side: Some(Side::HeldOut) },
        ..decision(GoalId(1), 0, None, 1)
    };
    let facts = [Fact::Decision(Box::new(frozen.clone())), accepted("s", 0)];
    assert!(ledger.commit(&facts).unwrap().receipts[1].joined);
    assert_eq!(counters(&ledger), []);
    let record = ledger.decision(frozen.trace).unwrap().unwrap();
    assert_eq!((record.decision, record.signals.len()), (frozen, 1));
    let found = ledger.recount(false).unwrap();
    assert_eq!((found.decisions, found.wrong), (1, 0));
}

#[test]
fn the_side_of_a_decision_is_in_its_pattern_however_it_is_counted() {
    let (_folder, ledger) = open();
    for (n, side) in [None, Some(Side::Router), Some(Side::HeldOut)].into_iter().enumerate() {
        let marks = Marks { side, ..Marks::default() };
        let fact = DecisionFact { marks, ..decision(GoalId(1), 2 * n as u32, None, 1) };
        ledger.commit(&[Fact::Decision(Box::new(fact)), accepted(&format!("s{n}"), 2 * n as u32)]).unwrap();
    }
    let mut sides: Vec<_> = counters(&ledger).iter().map(|row| row.cell.pattern.side()).collect();
    sides.sort_unstable();
    assert_eq!(sides, [None, Some(Side::Router), Some(Side::HeldOut)]);
    assert_eq!(ledger.recount(false).unwrap().wrong, 0);
}

#[test]
fn a_reset_opens_an_epoch_behind_all_others_on_a_boundary_that_no_block_crosses() {
    let (_folder, ledger) = open();
    ledger.commit(&[Fact::Decision(Box::new(decision(GoalId(1), 400, None, 1)))]).unwrap();
    is_done(&ledger, change(&ledger, &GoalChange::Reset(Epoch(0)), 5));
    let reset = Reset { at: Timestamp(5), epoch: Epoch(65_536) };
    assert_eq!((record(&ledger).reset, record(&ledger).opened()), (Some(reset), Epoch(65_536)));
    assert_eq!(counters(&ledger).len(), 1, "what happened stays");
    // A caller may know of a later epoch, of decisions that are still on their way.
    is_done(&ledger, change(&ledger, &GoalChange::Reset(Epoch(131_000)), 6));
    assert_eq!(record(&ledger).learns_from(), Epoch(3 * 65_536));
    for old in (0..3 * 65_536).step_by(977) {
        for newest in [0, 1, 4_096, 100_000] {
            let block = Epoch(old).block(Epoch(3 * 65_536 + newest));
            assert_eq!(block.0 / 65_536, old / 65_536, "{old} {newest}");
        }
    }
    is_done(&ledger, change(&ledger, &GoalChange::UndoReset, 7));
    assert_eq!(record(&ledger).reset, Some(reset), "the one before is in force again");
    is_done(&ledger, change(&ledger, &GoalChange::UndoReset, 8));
    assert_eq!(change(&ledger, &GoalChange::UndoReset, 9), GoalChanged::Already);
    assert_eq!(record(&ledger).opened(), Epoch(0));
    // When there is no epoch left, nothing happens.
    assert_eq!(change(&ledger, &GoalChange::Reset(Epoch(u32::MAX - 9)), 10), GoalChanged::Already);
}

#[test]
fn a_frozen_goal_is_not_reset() {
    let (_folder, ledger) = open();
    change(&ledger, &GoalChange::Freeze("[]".into()), 5);
    assert_eq!(change(&ledger, &GoalChange::Reset(Epoch(0)), 6), GoalChanged::Frozen);
    assert_eq!(change(&ledger, &GoalChange::UndoReset, 6), GoalChanged::Frozen);
    assert_eq!(record(&ledger).reset, None);
}

#[test]
fn a_rollback_holds_until_somebody_resumes_and_then_the_comparison_begins_anew() {
    let (_folder, ledger) = open();
    let roll_back = |watched_from| GoalChange::RollBack { lower: 0.25, watched_from };
    is_done(&ledger, change(&ledger, &roll_back(Epoch(0)), 5));
    assert_eq!(change(&ledger, &roll_back(Epoch(0)), 6), GoalChanged::Already);
    assert_eq!(record(&ledger).rolled_back, Some(RolledBack { at: Timestamp(5), lower: 0.25 }));
    is_done(&ledger, change(&ledger, &GoalChange::Resume(Epoch(7)), 8));
    let resumed = record(&ledger);
    assert_eq!((resumed.rolled_back, resumed.watched_from), (None, Epoch(65_536)));
    assert_eq!(resumed.learns_from(), Epoch(0), "what was learned stays");
    assert_eq!(change(&ledger, &GoalChange::Resume(Epoch(7)), 9), GoalChanged::Already);
    // A process that has not heard of it yet may still hold the old comparison against the goal.
    assert_eq!(change(&ledger, &roll_back(Epoch(0)), 10), GoalChanged::Already);
    is_done(&ledger, change(&ledger, &roll_back(Epoch(65_536)), 11));
}

#[test]
fn a_goal_that_is_deleted_and_created_again_works_and_still_knows_what_it_had_learned() {
    let (_folder, ledger) = open();
    ledger.commit(&[Fact::Decision(Box::new(decision(GoalId(1), 0, None, 1)))]).unwrap();
    change(&ledger, &GoalChange::Reset(Epoch(0)), 2);
    change(&ledger, &GoalChange::Freeze("[]".into()), 3);
    change(&ledger, &GoalChange::RollBack { lower: 0.25, watched_from: Epoch(0) }, 4);
    let before = counters(&ledger);
    ledger.remove_goal(&name(), Timestamp(5)).unwrap().unwrap();
    for what in [GoalChange::Freeze("[]".into()), GoalChange::Thaw, GoalChange::Reset(Epoch(0))] {
        assert_eq!(change(&ledger, &what, 6), GoalChanged::Unknown);
    }
    // What was on its way when it was deleted is taken in.
    ledger.commit(&[Fact::Decision(Box::new(decision(GoalId(1), 2, None, 1))), accepted("s", 2)]).unwrap();
    assert_ne!(counters(&ledger), before);
    assert_eq!(ledger.recount(false).unwrap().wrong, 0);

    let again = goal(&ledger);
    assert_eq!((again.id, &again.frozen, again.rolled_back), (GoalId(1), &None, None));
    assert_eq!(again.watched_from, Epoch(2 * 65_536), "else it would be rolled back at once");
    assert_eq!(again.learns_from(), Epoch(65_536), "a reset is no state that a new start ends");
    let paths: Vec<_> = again.paths.iter().filter(|path| path.enabled).map(|path| path.id).collect();
    assert_eq!(paths, ["a", "b"].map(|model| PathSpec::model(model).unwrap().id()));
}

#[test]
fn a_goal_that_never_was_is_told_so() {
    let (_folder, ledger) = open();
    let nobody = Goal::new("nobody").unwrap();
    let seq = last_change(&ledger);
    for what in [
        GoalChange::Freeze("[]".into()),
        GoalChange::Thaw,
        GoalChange::Reset(Epoch(0)),
        GoalChange::UndoReset,
        GoalChange::RollBack { lower: 0.5, watched_from: Epoch(0) },
        GoalChange::Resume(Epoch(0)),
    ] {
        assert_eq!(ledger.change_goal(&nobody, &what, Timestamp(1)).unwrap(), GoalChanged::Unknown);
    }
    assert_eq!(last_change(&ledger), seq);
}
