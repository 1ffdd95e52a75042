//! What the embedded ledger promises, one behaviour each.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use common::{accepted, attempt, counters, decision, goal, last_change, path, session, signal, trace};
use kalibr_core::evidence::{Source, Value};
use kalibr_core::ids::{Goal, KeyedHash, Timestamp};
use kalibr_core::outcome::Reply;
use kalibr_core::path::PathSpec;
use kalibr_store::*;

fn open() -> (tempfile::TempDir, Arc<SqliteLedger>) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("home").join("ledger.db")).unwrap();
    (folder, Arc::new(ledger))
}

fn start(ledger: &Arc<SqliteLedger>, config: WriterConfig) -> Writer {
    let ledger: Arc<dyn Ledger> = Arc::clone(ledger) as _;
    Writer::start(ledger, config, || Timestamp(0), |_| ()).unwrap()
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_files_even_where_the_ledger_was_copied_there() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, ledger) = open();
    drop(ledger);
    let file = folder.path().join("home").join("ledger.db");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ledger = SqliteLedger::open(&file).unwrap();
    goal(&ledger);
    let mut seen = 0;
    for file in std::fs::read_dir(folder.path().join("home")).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        seen += 1;
    }
    assert!(seen >= 2, "the ledger and its write-ahead log");
    assert_eq!(std::fs::metadata(folder.path().join("home")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_ledger_of_a_newer_kalibr_is_refused_and_left_alone() {
    let (folder, ledger) = open();
    drop(ledger);
    let file = folder.path().join("home").join("ledger.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = SqliteLedger::open(&file).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}

#[test]
fn a_file_of_another_program_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "these are my notes, and they are long enough to be no database header at all")
        .unwrap();
    assert!(matches!(SqliteLedger::open(&text).unwrap_err(), StoreError::Damaged { .. }));
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("these are my notes"));

    let other = folder.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    assert!(matches!(SqliteLedger::open(&other).unwrap_err(), StoreError::Damaged { .. }));
}

#[test]
fn a_signal_before_its_decision_counts_nothing_until_the_decision_arrives() {
    let (_folder, ledger) = open();
    let goal = goal(&*ledger);
    let first = ledger.commit(&[accepted("s", 0)]).unwrap();
    assert_eq!(first.receipts[0], Receipt { trace: Some(trace(0)), ..Receipt::default() });
    assert!(counters(&*ledger).is_empty());

    ledger.commit(&[Fact::Decision(Box::new(decision(goal.id, 0, None, 5)))]).unwrap();
    let rows = counters(&*ledger);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].cell.pattern.winner(), Some(Source::Explicit));
}

#[test]
fn the_same_signal_sent_twice_counts_once_and_says_so() {
    let (_folder, ledger) = open();
    let goal = goal(&*ledger);
    ledger.commit(&[Fact::Decision(Box::new(decision(goal.id, 0, None, 5))), accepted("s", 0)]).unwrap();
    let before = counters(&*ledger);
    let again =
        ledger.commit(&[accepted("s", 0), Fact::Decision(Box::new(decision(goal.id, 0, None, 5)))]).unwrap();
    assert!(again.receipts.iter().all(|receipt| receipt.duplicate));
    assert_eq!(counters(&*ledger), before);
}

#[test]
fn another_signal_under_a_taken_id_is_a_conflict_and_changes_nothing() {
    let (_folder, ledger) = open();
    let goal = goal(&*ledger);
    let decided = |n| Fact::Decision(Box::new(decision(goal.id, n, Some(session(0)), 5)));
    ledger.commit(&[decided(0), decided(1), accepted("s", 0)]).unwrap();
    let before = counters(&*ledger);
    let other_run = accepted("s", 1);
    let other_word =
        Fact::Signal(signal("s", About::Trace(trace(0)), Source::Explicit, Value::UserRejected, 10));
    let other_address =
        Fact::Signal(signal("s", About::Session(session(0)), Source::Explicit, Value::UserAccepted, 10));
    let again = ledger.commit(&[other_run, other_word, other_address]).unwrap();
    for receipt in again.receipts {
        assert_eq!(receipt, Receipt { conflict: true, ..Receipt::default() });
    }
    assert_eq!(counters(&*ledger), before);
}

#[test]
fn a_session_signal_that_is_sent_again_tells_the_run_that_it_grades() {
    let (_folder, ledger) = open();
    let goal = goal(&*ledger);
    let about = About::Session(session(0));
    let said = Fact::Signal(signal("s", about, Source::Turn, Value::Rejection, 10));
    ledger
        .commit(&[Fact::Decision(Box::new(decision(goal.id, 0, Some(session(0)), 5))), said.clone()])
        .unwrap();
    ledger.commit(&[Fact::Decision(Box::new(decision(goal.id, 1, Some(session(0)), 15)))]).unwrap();
    let later = Fact::Signal(signal("s", about, Source::Turn, Value::Rejection, 20));
    for again in [said, later] {
        let receipt = ledger.commit(&[again]).unwrap().receipts[0];
        assert_eq!((receipt.duplicate, receipt.joined, receipt.trace), (true, true, Some(trace(0))));
    }
}

#[test]
fn linking_an_older_run_to_its_session_afterwards_does_not_make_it_the_latest() {
    let (_folder, ledger) = open();
    let goal = goal(&*ledger);
    let anchor = |n, at| {
        Fact::Anchor(AnchorFact { session: session(0), trace: trace(n), alias: None, at: Timestamp(at) })
    };
    ledger
        .commit(&[
            Fact::Decision(Box::new(decision(goal.id, 0, None, 10))),
            Fact::Decision(Box::new(decision(goal.id, 1, Some(session(0)), 20))),
            // The user spoke before the run was linked.
            Fact::Signal(signal("early", About::Session(session(0)), Source::Turn, Value::Rejection, 12)),
            anchor(0, 30),
            anchor(0, 40),
            Fact::Signal(signal("late", About::Session(session(0)), Source::Turn, Value::Rejection, 50)),
        ])
        .unwrap();
    let ids = |n| {
        let record = ledger.decision(trace(n)).unwrap().unwrap();
        record.signals.iter().map(|s| s.signal.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((ids(0), ids(1)), (vec!["early".to_owned()], vec!["late".to_owned()]));
}

#[test]
fn a_session_signal_grades_the_latest_run_at_or_before_it() {
    let (_folder, ledger) = open();
    let goal = goal(&*ledger);
    let about = About::Session(session(0));
    ledger
        .commit(&[
            Fact::Decision(Box::new(decision(goal.id, 0, Some(session(0)), 10))),
            Fact::Decision(Box::new(decision(goal.id, 1, Some(session(0)), 20))),
            Fact::Signal(signal("early", about, Source::Turn, Value::Rejection, 5)),
            Fact::Signal(signal("between", about, Source::Turn, Value::Rejection, 19)),
            Fact::Signal(signal("at", about, Source::Action, Value::OutputCopied, 20)),
        ])
        .unwrap();
    let ids = |n| {
        let record = ledger.decision(trace(n)).unwrap().unwrap();
        record.signals.iter().map(|s| s.signal.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((ids(0), ids(1)), (vec!["between".to_owned()], vec!["at".to_owned()]));
}

#[test]
fn what_a_router_decided_replaces_what_was_only_observed() {
    let (_folder, ledger) = open();
    let goal = goal(&*ledger);
    let observed = DecisionFact { kind: DecisionKind::Observed, ..decision(goal.id, 0, None, 9) };
    let mut routed = decision(goal.id, 0, None, 5);
    routed.epoch = kalibr_core::counters::Epoch(7);
    ledger.commit(&[Fact::Decision(Box::new(observed.clone())), accepted("s", 0)]).unwrap();
    ledger.commit(&[Fact::Decision(Box::new(routed)), Fact::Decision(Box::new(observed))]).unwrap();
    let rows = counters(&*ledger);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].cell.epoch.0, 7);
    assert_eq!(ledger.decision(trace(0)).unwrap().unwrap().decision.kind, DecisionKind::Routed);
}

#[test]
fn a_signal_that_joins_nothing_within_seven_days_is_dropped_and_others_stay() {
    let (_folder, ledger) = open();
    let goal = goal(&*ledger);
    let day = 24 * 3_600_000_000;
    ledger
        .commit(&[
            Fact::Decision(Box::new(decision(goal.id, 0, None, 5))),
            accepted("s", 0),
            accepted("t", 1),
        ])
        .unwrap();
    ledger.maintain(Timestamp(6 * day)).unwrap();
    ledger.maintain(Timestamp(8 * day)).unwrap();
    ledger.commit(&[Fact::Decision(Box::new(decision(goal.id, 1, None, 5)))]).unwrap();
    assert_eq!(ledger.decision(trace(0)).unwrap().unwrap().signals.len(), 1);
    assert_eq!(ledger.decision(trace(1)).unwrap().unwrap().signals.len(), 0);
}

#[test]
fn two_ledgers_on_one_file_see_each_other() {
    let (folder, one) = open();
    let two = SqliteLedger::open(&folder.path().join("home").join("ledger.db")).unwrap();
    let goal = goal(&*one);
    let mut seen = Vec::new();
    let seq = two.snapshot(&mut |piece| seen.push(piece)).unwrap();
    assert_eq!(seen, [Piece::Goal(goal.clone())]);
    one.commit(&[Fact::Decision(Box::new(decision(goal.id, 0, None, 5))), accepted("s", 0)]).unwrap();
    let Changes::Rows(seq, changes) = two.changes(seq).unwrap() else { panic!("nothing was dropped") };
    assert_eq!(changes.len(), 1);
    assert!(matches!(two.changes(seq).unwrap(), Changes::Rows(s, none) if s == seq && none.is_empty()));
}

#[test]
fn who_has_fallen_too_far_behind_is_told_to_take_a_snapshot() {
    let (folder, ledger) = open();
    goal(&*ledger);
    ledger.commit(&[accepted("s", 0)]).unwrap();
    let seq = last_change(&*ledger);
    let connection = rusqlite::Connection::open(folder.path().join("home").join("ledger.db")).unwrap();
    connection.execute("DELETE FROM changes", []).unwrap();
    assert!(matches!(ledger.changes(0).unwrap(), Changes::Dropped));
    assert!(matches!(ledger.changes(seq).unwrap(), Changes::Rows(..)));
    assert!(matches!(ledger.changes(seq + 1).unwrap(), Changes::Dropped));
}

#[test]
fn writing_a_goal_again_changes_nothing_and_a_replaced_path_keeps_its_history() {
    let (_folder, ledger) = open();
    let first = goal(&*ledger);
    let seq = last_change(&*ledger);
    assert_eq!(goal(&*ledger), first);
    assert_eq!(last_change(&*ledger), seq);

    let name = Goal::new("g").unwrap();
    let only_b = [PathSpec::model("b").unwrap()];
    let (changed, _) =
        ledger.put_goal(&name, Some("{}"), &only_b, PathUpdate::Replace, Timestamp(1)).unwrap();
    let enabled: Vec<_> = changed.paths.iter().map(|p| (p.spec.model.as_str(), p.enabled)).collect();
    assert_eq!(enabled, [("b", true), ("a", false)]);
    assert!(ledger.remove_goal(&name, Timestamp(2)).unwrap().is_some());
    assert!(ledger.remove_goal(&name, Timestamp(3)).unwrap().is_none());
    let removed = ledger.goal(first.id).unwrap().unwrap();
    assert!(!removed.active);
    // Who adds a path to a goal that was removed does not bring its old paths back, nor change its settings.
    let c = [PathSpec::model("c").unwrap()];
    let (again, _) = ledger.put_goal(&name, None, &c, PathUpdate::Add, Timestamp(4)).unwrap();
    let enabled: Vec<_> = again.paths.iter().filter(|p| p.enabled).map(|p| p.spec.model.as_str()).collect();
    assert_eq!((again.active, again.settings.as_str(), enabled), (true, "{}", vec!["c"]));
}

#[test]
fn a_run_is_found_by_its_alias_first_and_then_by_its_session() {
    let (_folder, ledger) = open();
    let (alias, other) = (session(8), session(9));
    for (n, alias, at) in [(0, Some(alias), 1), (1, None, 2)] {
        let anchor = AnchorFact { session: session(0), trace: trace(n), alias, at: Timestamp(at) };
        ledger.commit(&[Fact::Anchor(anchor)]).unwrap();
    }
    assert_eq!(ledger.anchored(alias, session(0)).unwrap(), Some(trace(0)));
    assert_eq!(ledger.anchored(other, session(0)).unwrap(), Some(trace(1)));
    assert_eq!(ledger.anchored(other, KeyedHash::from_bytes([0; 16])).unwrap(), None);
}

#[test]
fn an_acknowledged_fact_is_in_the_file_and_order_is_kept() {
    let (folder, ledger) = open();
    let goal = goal(&*ledger);
    let writer = start(&ledger, WriterConfig::default());
    let (sent, received) = mpsc::channel();
    for n in 0..500 {
        writer.append(Fact::Decision(Box::new(decision(goal.id, n, None, 5))), None).unwrap();
        let sent = sent.clone();
        let ack: Ack = Box::new(move |result| sent.send(result.unwrap().0).unwrap());
        writer.append(accepted(&format!("s{n}"), n), Some(ack)).unwrap();
    }
    for _ in 0..500 {
        assert!(received.recv().unwrap().joined);
    }
    let other = SqliteLedger::open(&folder.path().join("home").join("ledger.db")).unwrap();
    assert_eq!(counters(&other).iter().map(|row| row.count.n).sum::<i64>(), 500);
    assert!(writer.close(Duration::from_secs(5)));
}

#[test]
fn while_another_process_holds_the_ledger_facts_wait_and_then_all_arrive() {
    let (folder, ledger) = open();
    let goal = goal(&*ledger);
    let writer = start(&ledger, WriterConfig { log_limit: 10, ..WriterConfig::default() });
    let holder = rusqlite::Connection::open(folder.path().join("home").join("ledger.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    for n in 0..100 {
        let done = Arc::clone(&done);
        let ack: Ack = Box::new(move |result| {
            result.unwrap();
            done.fetch_add(1, Ordering::SeqCst);
        });
        writer.append(accepted(&format!("s{n}"), 0), Some(ack)).unwrap();
    }
    // Decisions that nobody waits for are dropped beyond the bound, and counted; evidence is not.
    let taken = (0..50)
        .filter(|&n| writer.append(Fact::Decision(Box::new(decision(goal.id, n, None, 5))), None).is_ok())
        .count();
    assert_eq!((taken as u64) + writer.dropped(), 50);
    assert!(writer.dropped() > 0);
    assert_eq!(done.load(Ordering::SeqCst), 0);
    holder.execute_batch("COMMIT").unwrap();
    assert!(writer.close(Duration::from_secs(20)));
    assert_eq!(done.load(Ordering::SeqCst), 100);
}

#[test]
fn one_fact_that_the_ledger_cannot_take_does_not_hold_up_the_others_and_is_not_passed_over() {
    let (_folder, ledger) = open();
    let goal = goal(&*ledger);
    let writer = start(&ledger, WriterConfig::default());
    let (sent, received) = mpsc::channel();
    let send = |name: &'static str, fact: Fact| {
        let sent = sent.clone();
        writer
            .append(fact, Some(Box::new(move |result| sent.send((name, result.is_ok())).unwrap())))
            .unwrap();
    };
    // Queued together while the gate is shut, so that they are one batch.
    ledger.suspend();
    send("good", Fact::Decision(Box::new(decision(goal.id, 0, None, 5))));
    send("poison", Fact::Decision(Box::new(decision(GoalId(99), 1, None, 5))));
    send("signal", accepted("s", 0));
    ledger.resume();
    let mut heard: Vec<_> = (0..3).map(|_| received.recv_timeout(Duration::from_secs(10)).unwrap()).collect();
    heard.sort_unstable();
    assert_eq!(heard, [("good", true), ("poison", false), ("signal", true)]);
    assert_eq!((writer.lost(), writer.waiting()), (1, 0));

    // Who asks whether all is written hears of the loss, once.
    for expected in [false, true] {
        let sent = sent.clone();
        writer.barrier(Box::new(move |result| sent.send(("barrier", result.is_ok())).unwrap()));
        assert_eq!(received.recv_timeout(Duration::from_secs(10)).unwrap(), ("barrier", expected));
    }
    assert!(writer.close(Duration::from_secs(5)));
}

#[test]
fn a_closing_writer_gives_up_after_its_patience_and_says_so() {
    let (folder, ledger) = open();
    goal(&*ledger);
    let writer = start(&ledger, WriterConfig { batch: 10, ..WriterConfig::default() });
    let holder = rusqlite::Connection::open(folder.path().join("home").join("ledger.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let heard: Arc<Mutex<Vec<bool>>> = Arc::default();
    for n in 0..200 {
        let heard = Arc::clone(&heard);
        let ack: Ack = Box::new(move |result| heard.lock().unwrap().push(result.is_ok()));
        writer.append(accepted(&format!("s{n}"), 0), Some(ack)).unwrap();
    }
    let begun = Instant::now();
    assert!(!writer.close(Duration::from_millis(100)));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(*heard.lock().unwrap(), vec![false; 200]);
    assert_eq!(writer.lost(), 200);
}

#[test]
fn a_suspended_ledger_holds_no_file_open_and_goes_on_when_resumed() {
    let (folder, ledger) = open();
    let goal = goal(&*ledger);
    ledger.suspend();
    let waiting = Arc::clone(&ledger);
    let thread =
        std::thread::spawn(move || waiting.commit(&[Fact::Attempt(attempt(0, 0, Reply::Answered))]).unwrap());
    std::thread::sleep(Duration::from_millis(50));
    assert!(!thread.is_finished());
    #[cfg(target_os = "linux")]
    {
        let ours = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
            .filter(|target| target.starts_with(folder.path()))
            .count();
        assert_eq!(ours, 0);
    }
    ledger.resume();
    thread.join().unwrap();
    ledger.commit(&[Fact::Decision(Box::new(decision(goal.id, 0, None, 5)))]).unwrap();
    assert_eq!(counters(&*ledger).len(), 1);
}

#[test]
fn a_fact_that_nobody_waits_for_is_written_soon_whether_the_writer_sleeps_or_not() {
    let (_folder, ledger) = open();
    let goal = goal(&*ledger);
    let writer = start(&ledger, WriterConfig::default());
    for n in 0..6 {
        if n % 2 == 0 {
            // Long enough for it to fall asleep.
            std::thread::sleep(Duration::from_millis(250));
        }
        writer.append(Fact::Decision(Box::new(decision(goal.id, n, None, 5))), None).unwrap();
        let begun = Instant::now();
        while ledger.decision(trace(n)).unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(5), "decision {n}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    assert!(writer.close(Duration::from_secs(5)));
}

#[test]
fn what_calls_took_is_read_of_the_latest_decisions_oldest_first() {
    let (_folder, ledger) = open();
    let goal = goal(&*ledger);
    let call = |n: u32, reply, tokens: Option<u32>| AttemptFact {
        prompt_tokens: tokens,
        completion_tokens: tokens,
        latency_ms: Some(100 + n),
        ..attempt(n, 0, reply)
    };
    let mut facts: Vec<Fact> =
        (0..5).map(|n| Fact::Decision(Box::new(decision(goal.id, n, None, 5)))).collect();
    facts.push(Fact::Attempt(call(0, Reply::Answered, Some(1))));
    facts.push(Fact::Attempt(call(1, Reply::Answered, Some(2))));
    // A path that fails at once is not fast, one that times out is slow, and nothing is known of the last.
    facts.push(Fact::Attempt(call(2, Reply::Failed, None)));
    let category = Some(kalibr_core::outcome::FailureCategory::Timeout);
    facts.push(Fact::Attempt(AttemptFact { category, ..call(3, Reply::Failed, None) }));
    ledger.commit(&facts).unwrap();
    let calls = |most| {
        let mut calls = Vec::new();
        ledger.calls(most, &mut |call| calls.push((call.path, call.tokens, call.latency_ms))).unwrap();
        calls
    };
    let all = [
        (path("a"), Some((1, 1)), Some(100)),
        (path("b"), Some((2, 2)), Some(101)),
        (path("b"), None, Some(103)),
    ];
    assert_eq!(calls(100), all);
    assert_eq!(calls(4), all[1..]);
}

#[test]
fn recent_attempts_come_by_when_they_ended_and_those_that_say_nothing_do_not() {
    use kalibr_core::outcome::FailureCategory;
    let (_folder, ledger) = open();
    let goal = goal(&*ledger).id;
    let facts: Vec<Fact> = [
        (0, 500, Reply::Answered),
        (1, 300, Reply::Failed),
        (2, 400, Reply::Unknown),
        (3, 400, Reply::Refused),
        (4, 99, Reply::Answered),
        (5, 100, Reply::Answered),
    ]
    .into_iter()
    .flat_map(|(n, at, reply)| {
        let failed = reply == Reply::Failed;
        let category = failed.then_some(FailureCategory::Timeout);
        let status = (!failed).then_some(200);
        let attempt = AttemptFact { at: Timestamp(at), category, status, ..attempt(n, 0, reply) };
        [Fact::Decision(Box::new(decision(goal, n, None, 0))), Fact::Attempt(attempt)]
    })
    .collect();
    ledger.commit(&facts).unwrap();
    let mut seen = Vec::new();
    ledger.attempts_since(Timestamp(100), &mut |attempt| seen.push(attempt)).unwrap();
    let at: Vec<i64> = seen.iter().map(|attempt| attempt.at.0).collect();
    assert_eq!(at, [100, 300, 500]);
    assert_eq!((seen[1].category, seen[1].status), (Some(FailureCategory::Timeout), None));
    assert_eq!((seen[1].model.as_str(), seen[2].model.as_str()), ("b", "a"));
    assert_eq!(seen[0].goal.as_str(), "g");
}
