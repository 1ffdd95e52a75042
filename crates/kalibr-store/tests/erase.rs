//! What is erased is gone, and so is all that it counted: the ledger is one that never saw it.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::{accepted, attempt, counters, decision, erase, goal, last_change, session, signal, trace};
use kalibr_core::evidence::{Source, Value};
use kalibr_core::ids::{Bucket, Goal, KeyedHash, SignalId, Timestamp, TraceId};
use kalibr_core::outcome::Reply;
use kalibr_core::safety::Side;
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

fn user(n: u8) -> KeyedHash {
    KeyedHash::from_bytes([n + 100; 16])
}

fn decided(n: u32, of: Option<u8>, at_session: Option<u8>, second: i64) -> Fact {
    Fact::Decision(Box::new(DecisionFact {
        user: of.map(user),
        ..decision(GoalId(1), n, at_session.map(session), second * SECOND)
    }))
}

fn said(n: u32, what: &str) -> Fact {
    let about = About::Trace(trace(n));
    Fact::Text(Box::new(TextFact {
        kind: TextKind::Reason,
        text: what.to_owned(),
        about,
        signal: None,
        event_at: Timestamp(5),
        at: Timestamp(5),
        until: Timestamp(SECOND),
    }))
}

/// A text of session 0 that came with a signal.
fn came_with(id: &str, what: &str, said: i64, came: i64) -> Fact {
    Fact::Text(Box::new(TextFact {
        kind: TextKind::Reason,
        text: what.to_owned(),
        about: About::Session(session(0)),
        signal: Some(SignalId::new(id).unwrap()),
        event_at: Timestamp(said * SECOND),
        at: Timestamp(came * SECOND),
        until: Timestamp(90 * SECOND),
    }))
}

fn print(n: u32, of: PrintOf, second: i64) -> Fact {
    Fact::Print(PrintFact { trace: trace(n), of, print: vec![n as u8; 3], at: Timestamp(second * SECOND) })
}

fn step(id: &str, of: u8, second: i64) -> Fact {
    let at = Timestamp(second * SECOND);
    let (id, read) = (SignalId::new(id).unwrap(), (second % 3 > 0).then_some((9, second as u8)));
    Fact::Step(StepFact { id, session: session(of), read, at })
}

fn held(ledger: &dyn Ledger, whose: &Whose) -> Held {
    let mut held = Held::default();
    ledger
        .held(whose, &mut |piece| match piece {
            HeldPiece::Run(run) => {
                held.decisions += u64::from(run.decision.is_some());
                held.attempts += run.attempts.len() as u64;
                held.signals += run.signals.len() as u64;
                held.texts += run.texts.len() as u64;
                held.fingerprints += run.fingerprints.len() as u64;
                held.steps += run.steps.len() as u64;
            }
            HeldPiece::Signal(_) => held.signals += 1,
            HeldPiece::Text(_) => held.texts += 1,
            HeldPiece::Step(_) => held.steps += 1,
        })
        .unwrap();
    held
}

/// Every row of every table that facts go into, as text.
fn rows(folder: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(folder.join("ledger.db")).unwrap();
    let mut rows = Vec::new();
    for table in [
        "decisions",
        "attempts",
        "signals",
        "withdrawals",
        "withdrawn_steps",
        "anchors",
        "aliases",
        "texts",
        "prints",
        "turns",
        "counters",
    ] {
        let mut columns =
            connection.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).unwrap();
        let columns: Vec<String> =
            columns.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let all: Vec<String> = columns.iter().map(|name| format!("quote({name})")).collect();
        let sql = format!("SELECT '{table} ' || {} FROM {table}", all.join(" || ' ' || "));
        let mut of_table = connection.prepare(&sql).unwrap();
        rows.extend(of_table.query_map([], |row| row.get(0)).unwrap().map(Result::<String, _>::unwrap));
    }
    rows.sort();
    rows
}

#[test]
fn a_session_goes_with_its_runs_and_all_that_was_said_of_them_and_nobody_elses() {
    let (folder, ledger) = open();
    let other = [decided(5, Some(2), Some(1), 1), accepted("other", 5), said(5, "fine")];
    ledger.commit(&other).unwrap();
    let before = rows(folder.path());
    let by_session = |id, second| {
        Fact::Signal(signal(id, About::Session(session(0)), Source::Turn, Value::Rejection, second))
    };
    ledger
        .commit(&[
            by_session("early", 0),
            decided(0, Some(1), Some(0), 1),
            Fact::Attempt(attempt(0, 0, Reply::Answered)),
            Fact::Attempt(attempt(0, 1, Reply::Failed)),
            accepted("a", 0),
            by_session("b", 2 * SECOND),
            Fact::Withdrawal(SignalId::new("a").unwrap(), Timestamp(9)),
            said(0, "too short"),
            print(0, PrintOf::Prompt, 1),
            print(0, PrintOf::Answer(1), 1),
            step("early", 0, 0),
            step("end", 0, 3),
            Fact::Anchor(AnchorFact {
                session: session(0),
                trace: trace(9),
                alias: Some(KeyedHash::from_bytes([77; 16])),
                at: Timestamp(4 * SECOND),
            }),
            Fact::Attempt(attempt(9, 0, Reply::Answered)),
        ])
        .unwrap();
    let whose = Whose::Session(session(0));
    let counted = Held { decisions: 1, attempts: 3, signals: 3, texts: 1, fingerprints: 2, steps: 2 };
    assert_eq!(held(&ledger, &whose), counted);
    assert_eq!(erase(&ledger, &whose), counted);
    assert_eq!(rows(folder.path()), before);
    assert_eq!(erase(&ledger, &whose), Held::default());
}

#[test]
fn the_ids_of_withdrawn_messages_go_with_their_session_or_user_and_with_nobody_elses() {
    let withdrawn = |id: &str| Fact::Withdrawal(SignalId::new(id).unwrap(), Timestamp(9));
    for whose in [Whose::Session(session(0)), Whose::User(user(1))] {
        let (folder, ledger) = open();
        ledger
            .commit(&[
                decided(5, Some(2), Some(1), 1),
                step("theirs", 1, 2),
                withdrawn("theirs"),
                withdrawn("never came"),
            ])
            .unwrap();
        let before = rows(folder.path());
        ledger
            .commit(&[
                step("early", 0, 0),
                withdrawn("early"),
                decided(0, Some(1), Some(0), 1),
                step("late", 0, 2),
                withdrawn("late"),
            ])
            .unwrap();
        erase(&ledger, &whose);
        assert_eq!(rows(folder.path()), before, "{whose:?}");
    }
}

#[test]
fn a_user_goes_with_what_was_said_in_sessions_of_nobody_else() {
    let (folder, ledger) = open();
    let in_session = |id, at_session, second| {
        let about = About::Session(session(at_session));
        Fact::Signal(signal(id, about, Source::Turn, Value::Rejection, second * SECOND))
    };
    // Session 1 has a run of another user as well: what it says of no run stays.
    let others = [decided(1, Some(2), Some(1), 5), in_session("whose", 1, 1), in_session("theirs", 1, 6)];
    ledger.commit(&others).unwrap();
    let before = rows(folder.path());
    let frozen = DecisionFact {
        user: Some(user(1)),
        marks: Marks { frozen: true, ..Marks::default() },
        ..decision(GoalId(1), 3, None, 0)
    };
    ledger
        .commit(&[
            decided(0, Some(1), Some(0), 3),
            in_session("lone", 0, 1),
            in_session("of the run", 0, 4),
            decided(2, Some(1), Some(1), 3),
            in_session("of theirs", 1, 4),
            Fact::Decision(Box::new(frozen)),
        ])
        .unwrap();
    let whose = Whose::User(user(1));
    let counted = Held { decisions: 3, attempts: 3, signals: 3, ..Held::default() };
    assert_eq!(held(&ledger, &whose), counted);
    assert_eq!(erase(&ledger, &whose), counted);
    assert_eq!(rows(folder.path()), before);
}

#[test]
fn of_an_erased_users_flood_the_next_decisions_move_up_under_the_cap() {
    let (_folder, ledger) = open();
    let settings = r#"{"user_cap": {"decisions": 2, "window_seconds": 100}}"#;
    ledger.put_goal(&Goal::new("g").unwrap(), Some(settings), &[], PathUpdate::Add, Timestamp(0)).unwrap();
    for n in 0..6 {
        ledger
            .commit(&[decided(n, Some(1), Some((n / 2) as u8), i64::from(n)), accepted(&format!("s{n}"), n)])
            .unwrap();
    }
    erase(&ledger, &Whose::Session(session(0)));
    let counts: Vec<u32> = (0..6)
        .filter(|n| ledger.decision(trace(*n)).unwrap().is_some_and(|record| !record.beyond_cap))
        .collect();
    assert_eq!(counts, [2, 3]);
    assert_eq!(counters(&ledger).iter().map(|row| row.count.n).sum::<i64>(), 2);
    assert_eq!(ledger.recount(false).unwrap().wrong, 0);
}

#[test]
fn a_tenant_goes_whole_and_its_goals_stay() {
    let (folder, ledger) = open();
    let empty = rows(folder.path());
    ledger
        .commit(&[
            decided(0, Some(1), Some(0), 3),
            accepted("s", 0),
            accepted("orphan", 7),
            Fact::Attempt(attempt(8, 0, Reply::Answered)),
            Fact::Withdrawal(SignalId::new("never came").unwrap(), Timestamp(9)),
        ])
        .unwrap();
    let full = rows(folder.path());
    assert_eq!(erase(&ledger, &Whose::Tenant("another".to_owned())), Held::default());
    assert_eq!(rows(folder.path()), full);
    let whose = Whose::Tenant("default".to_owned());
    let counted = Held { decisions: 1, attempts: 2, signals: 2, ..Held::default() };
    assert_eq!(held(&ledger, &whose), counted);
    assert_eq!(erase(&ledger, &whose), counted);
    assert_eq!(rows(folder.path()), empty);
    assert!(ledger.goal(GoalId(1)).unwrap().unwrap().active);
}

#[test]
fn an_erasure_that_was_cut_off_is_finished_by_asking_again() {
    let (folder, ledger) = open();
    let others: Vec<Fact> = (1_000..1_010).map(|n| decided(n, Some(2), None, 1)).collect();
    ledger.commit(&others).unwrap();
    let before = rows(folder.path());
    for n in 0..700 {
        ledger.commit(&[decided(n, Some(1), Some(3), i64::from(n)), accepted(&format!("s{n}"), n)]).unwrap();
    }
    let whose = Whose::User(user(1));
    let first = ledger.erase(&whose, Timestamp(0)).unwrap();
    assert!(first.more && first.held.decisions > 0 && first.held.decisions < 700);
    assert_eq!(ledger.recount(false).unwrap().wrong, 0);
    drop(ledger);
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    assert_eq!(first.held.decisions + erase(&ledger, &whose).decisions, 700);
    assert_eq!(rows(folder.path()), before);
}

#[test]
fn texts_that_are_too_old_go_and_their_runs_stay() {
    let (_folder, ledger) = open();
    ledger.commit(&[decided(0, Some(1), None, 1), said(0, "old")]).unwrap();
    let young = TextFact {
        kind: TextKind::Answer,
        text: "young".to_owned(),
        about: About::Trace(trace(0)),
        signal: None,
        event_at: Timestamp(0),
        at: Timestamp(0),
        until: Timestamp(9 * SECOND),
    };
    ledger.commit(&[Fact::Text(Box::new(young))]).unwrap();
    assert!(!ledger.erase_texts(Timestamp(SECOND), Timestamp(7)).unwrap());
    assert_eq!(ledger.leftovers().unwrap().unwrap().due, Timestamp(7));
    assert!(ledger.scrub().unwrap() && ledger.leftovers().unwrap().is_none());
    let texts: Vec<String> =
        ledger.decision(trace(0)).unwrap().unwrap().texts.into_iter().map(|text| text.text).collect();
    assert_eq!(texts, ["young"]);
}

#[test]
fn a_text_of_a_session_is_of_the_run_that_it_followed_however_late_that_is_known() {
    let (_folder, ledger) = open();
    let text = TextFact {
        kind: TextKind::UserMessage,
        text: "no".to_owned(),
        about: About::Session(session(0)),
        signal: None,
        event_at: Timestamp(2 * SECOND),
        at: Timestamp(3 * SECOND),
        until: Timestamp(9 * SECOND),
    };
    let facts = [Fact::Text(Box::new(text.clone())), Fact::Text(Box::new(text))];
    ledger.commit(&facts).unwrap();
    ledger.commit(&[decided(0, None, Some(0), 1)]).unwrap();
    assert_eq!(ledger.decision(trace(0)).unwrap().unwrap().texts.len(), 1);
}

#[test]
fn a_text_is_of_the_run_that_it_was_said_of_though_it_comes_in_after_the_next() {
    let (_folder, ledger) = open();
    ledger.commit(&[decided(0, None, Some(0), 1), decided(1, None, Some(0), 5)]).unwrap();
    let late = came_with("s", "too short", 2, 9);
    ledger.commit(std::slice::from_ref(&late)).unwrap();
    let again = ledger.commit(&[came_with("s", "too short", 7, 10)]).unwrap();
    assert!(again.receipts[0].duplicate, "sent again, with the time of that try");
    ledger.commit(&[decided(2, None, Some(0), 8)]).unwrap();
    let texts = |n| ledger.decision(trace(n)).unwrap().unwrap().texts.len();
    assert_eq!([texts(0), texts(1), texts(2)], [1, 0, 0]);
}

#[test]
fn a_text_goes_with_the_signal_that_is_withdrawn_and_is_not_kept_after_that() {
    let (folder, ledger) = open();
    let what = "the words of a user who takes them back";
    ledger.commit(&[decided(0, None, Some(0), 1), accepted("s", 0)]).unwrap();
    ledger.commit(&[came_with("s", what, 2, 2), came_with("other", "stays", 2, 2)]).unwrap();
    let withdrawal = Fact::Withdrawal(SignalId::new("s").unwrap(), Timestamp(3 * SECOND));
    ledger.commit(&[withdrawal]).unwrap();
    ledger.commit(&[came_with("s", what, 2, 4)]).unwrap();
    let texts = ledger.decision(trace(0)).unwrap().unwrap().texts;
    assert_eq!(texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>(), ["stays"]);
    assert!(ledger.leftovers().unwrap().is_some(), "its copies are due");
    assert!(ledger.scrub().unwrap());
    let files = std::fs::read_dir(folder.path()).unwrap();
    let bytes: Vec<u8> = files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(!bytes.windows(what.len()).any(|window| window == what.as_bytes()));
}

#[test]
fn thousands_of_things_that_speak_of_no_run_are_erased_in_steps_and_all_of_them() {
    let (_folder, ledger) = open();
    let steps: Vec<Fact> = (0..4_500).map(|n| step(&format!("t{n}"), 0, 1 + n % 50)).collect();
    ledger.commit(&steps).unwrap();
    let whose = Whose::Before(Timestamp(90 * SECOND));
    let first = ledger.erase(&whose, Timestamp(0)).unwrap();
    assert_eq!((first.held.steps, first.more), (2_000, true));
    assert_eq!(erase(&ledger, &whose).steps, 2_500);
}

#[test]
fn an_erasure_is_a_change_that_others_follow_and_one_that_finds_nothing_is_none() {
    let (_folder, ledger) = open();
    ledger.commit(&[decided(0, Some(1), None, 1), print(0, PrintOf::Prompt, 1)]).unwrap();
    let before = last_change(&ledger);
    erase(&ledger, &Whose::User(user(7)));
    assert_eq!(last_change(&ledger), before);
    erase(&ledger, &Whose::User(user(1)));
    let Changes::Rows(_, changes) = ledger.changes(before).unwrap() else { panic!("dropped") };
    assert!(changes.contains(&Change::Erased), "{changes:?}");
}

// Any history.

/// What a ledger is told: decisions of two users in three sessions, observed ones among them, frozen or held out; signals of
/// traces and of sessions, withdrawn or not; runs that move into other sessions, late or never decided; texts.
fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let someone = prop::option::weighted(0.8, 0u8..2);
    let flags = (prop::bool::weighted(0.3), prop::bool::weighted(0.1), 0u8..3, prop::option::of(0u8..3));
    let decisions = prop::collection::vec((someone, 0i64..40, 0u8..2, flags), 3..12);
    let signals = prop::collection::vec(
        (0u32..14, prop::bool::ANY, prop::bool::ANY, 0i64..50, prop::bool::weighted(0.2)),
        0..16,
    );
    let attempts = prop::collection::vec((0u32..14, prop::bool::ANY), 0..6);
    let anchors = prop::collection::vec((0u8..3, 0u32..14, 0i64..50), 0..8);
    let texts = prop::collection::vec((0u32..14, prop::bool::ANY, 0i64..50), 0..6);
    let prints = prop::collection::btree_set((0u32..14, 0u16..2), 0..6);
    let steps = prop::collection::vec((0u8..3, 0i64..50), 0..8);
    (decisions, signals, attempts, anchors, texts, prints, steps).prop_map(
        |(decisions, signals, attempts, anchors, texts, prints, steps)| {
            let mut facts = Vec::new();
            for (n, (of, second, bucket, (observed, frozen, side, at_session))) in
                decisions.into_iter().enumerate()
            {
                let routed = DecisionFact {
                    user: of.map(user),
                    bucket: Bucket::new(if bucket == 0 { "all" } else { "code" }).unwrap(),
                    session: at_session.map(session),
                    marks: Marks { frozen, side: Side::from_code(side), ..Marks::default() },
                    ..decision(GoalId(1), n as u32, None, second * SECOND)
                };
                if observed {
                    facts.push(Fact::Decision(Box::new(DecisionFact {
                        kind: DecisionKind::Observed,
                        at: Timestamp(routed.at.0 + 7 * SECOND),
                        user: None,
                        marks: Marks::default(),
                        ..routed.clone()
                    })));
                }
                facts.push(Fact::Decision(Box::new(routed)));
            }
            let mut seen = BTreeSet::new();
            for (n, answered) in attempts.into_iter().filter(|(n, _)| seen.insert(*n)) {
                let reply = if answered { Reply::Answered } else { Reply::Failed };
                facts.push(Fact::Attempt(AttemptFact { at: Timestamp(30 * SECOND), ..attempt(n, 0, reply) }));
            }
            for (of, n, second) in anchors {
                facts.push(Fact::Anchor(AnchorFact {
                    session: session(of),
                    trace: trace(n),
                    alias: Some(KeyedHash::from_bytes([n as u8 + 200; 16])),
                    at: Timestamp(second * SECOND),
                }));
            }
            for (number, (n, good, by_session, second, withdrawn)) in signals.into_iter().enumerate() {
                let id = format!("s{number}");
                let about =
                    if by_session { About::Session(session((n % 3) as u8)) } else { About::Trace(trace(n)) };
                let value = if good { Value::UserAccepted } else { Value::UserRejected };
                facts.push(Fact::Signal(signal(&id, about, Source::Explicit, value, second * SECOND)));
                if withdrawn {
                    facts.push(Fact::Withdrawal(SignalId::new(&id).unwrap(), Timestamp(60 * SECOND)));
                }
            }
            for (n, of) in prints {
                let of = of.checked_sub(1).map_or(PrintOf::Prompt, PrintOf::Answer);
                facts.push(print(n, of, 30));
            }
            for (number, (of, second)) in steps.into_iter().enumerate() {
                facts.push(step(&format!("t{number}"), of, second));
            }
            for (number, (n, by_session, second)) in texts.into_iter().enumerate() {
                let about =
                    if by_session { About::Session(session((n % 3) as u8)) } else { About::Trace(trace(n)) };
                let (text, at) = (format!("t{number}"), Timestamp(second * SECOND));
                facts.push(Fact::Text(Box::new(TextFact {
                    kind: TextKind::Reason,
                    text,
                    about,
                    signal: None,
                    event_at: at,
                    at,
                    until: at,
                })));
            }
            facts
        },
    )
}

fn whose() -> impl Strategy<Value = Whose> {
    prop_oneof![
        (0u8..3).prop_map(|n| Whose::Session(session(n))),
        (0u8..2).prop_map(|n| Whose::User(user(n))),
        (0i64..50).prop_map(|second| Whose::Before(Timestamp(second * SECOND))),
        Just(Whose::Tenant("default".to_owned())),
    ]
}

/// What somebody's is, told from the facts alone.
struct Mine<'f> {
    whose: &'f Whose,
    traces: BTreeSet<TraceId>,
    anchors: BTreeMap<KeyedHash, BTreeMap<TraceId, Timestamp>>,
    alone: BTreeSet<KeyedHash>,
}

impl<'f> Mine<'f> {
    fn of(facts: &[Fact], whose: &'f Whose) -> Self {
        let mut decisions: BTreeMap<TraceId, &DecisionFact> = BTreeMap::new();
        let mut anchors: BTreeMap<KeyedHash, BTreeMap<TraceId, Timestamp>> = BTreeMap::new();
        for fact in facts {
            if let Fact::Decision(decision) = fact {
                let last = decisions.entry(decision.trace).or_insert(decision);
                if last.kind == DecisionKind::Observed {
                    *last = decision;
                }
            }
        }
        let mut anchor = |session: KeyedHash, trace: TraceId, at: Timestamp| {
            let place = anchors.entry(session).or_default().entry(trace).or_insert(at);
            *place = decisions.get(&trace).map_or((*place).min(at), |decision| decision.at);
        };
        for fact in facts {
            match fact {
                Fact::Decision(decision) => {
                    decision
                        .session
                        .into_iter()
                        .for_each(|session| anchor(session, decision.trace, decision.at));
                }
                Fact::Anchor(fact) => anchor(fact.session, fact.trace, fact.at),
                _ => {}
            }
        }
        let of = |test: &dyn Fn(&DecisionFact) -> bool| -> BTreeSet<TraceId> {
            decisions.values().filter(|decision| test(decision)).map(|decision| decision.trace).collect()
        };
        let mut mine = Self { whose, traces: BTreeSet::new(), anchors, alone: BTreeSet::new() };
        mine.traces = match whose {
            Whose::Session(session) => {
                mine.anchors.get(session).into_iter().flatten().map(|(trace, _)| *trace).collect()
            }
            Whose::User(user) => of(&|decision| decision.user == Some(*user)),
            Whose::Before(moment) => of(&|decision| decision.at < *moment),
            Whose::Tenant(_) => of(&|_| true),
        };
        let moment = mine.moment();
        let orphans: Vec<TraceId> = facts
            .iter()
            .filter_map(|fact| match fact {
                Fact::Attempt(attempt) => Some((attempt.trace, attempt.at)),
                Fact::Signal(signal) => Some((mine.run(signal.about, signal.signal.at)?, signal.received_at)),
                Fact::Text(text) => Some((mine.run(text.about, text.at)?, text.at)),
                Fact::Print(print) => Some((print.trace, print.at)),
                _ => None,
            })
            .chain(mine.anchors.values().flatten().map(|(trace, at)| (*trace, *at)))
            .filter(|(trace, at)| *at < moment && !decisions.contains_key(trace))
            .map(|(trace, _)| trace)
            .collect();
        mine.traces.extend(orphans);
        if let Whose::User(_) = whose {
            let all_mine =
                |runs: &BTreeMap<TraceId, Timestamp>| runs.keys().all(|run| mine.traces.contains(run));
            mine.alone =
                mine.anchors.iter().filter(|(_, runs)| all_mine(runs)).map(|(session, _)| *session).collect();
        }
        mine
    }

    /// Before which what found no run is meant as well.
    fn moment(&self) -> Timestamp {
        match self.whose {
            Whose::Session(_) | Whose::User(_) => Timestamp(i64::MIN),
            Whose::Before(moment) => *moment,
            Whose::Tenant(_) => Timestamp(i64::MAX),
        }
    }

    fn run(&self, about: About, at: Timestamp) -> Option<TraceId> {
        match about {
            About::Trace(trace) => Some(trace),
            About::Session(session) => {
                let runs = self.anchors.get(&session)?.iter().filter(|(_, run)| **run <= at);
                runs.max_by_key(|(trace, run)| (**run, **trace)).map(|(trace, _)| *trace)
            }
        }
    }

    fn is_said(&self, about: About, at: Timestamp, received: Timestamp) -> bool {
        match (self.run(about, at), about) {
            (Some(trace), _) => self.traces.contains(&trace),
            (None, About::Session(session)) => {
                received < self.moment()
                    || self.alone.contains(&session)
                    || *self.whose == Whose::Session(session)
            }
            (None, About::Trace(_)) => unreachable!("a trace is its own run"),
        }
    }

    fn is(&self, fact: &Fact, all: &[Fact]) -> bool {
        match fact {
            Fact::Decision(decision) => self.traces.contains(&decision.trace),
            Fact::Attempt(attempt) => self.traces.contains(&attempt.trace),
            Fact::Checked(checked) => self.traces.contains(&checked.trace),
            Fact::Anchor(anchor) => self.traces.contains(&anchor.trace),
            Fact::Signal(signal) => self.is_said(signal.about, signal.signal.at, signal.received_at),
            Fact::Text(text) => self.is_said(text.about, text.at, text.at),
            Fact::Print(print) => self.traces.contains(&print.trace),
            Fact::Step(step) => self.is_said(About::Session(step.session), step.at, step.at),
            Fact::Ended(_) => unreachable!("what sessions say is derived"),
            Fact::Withdrawal(id, at) => {
                let signal =
                    all.iter().find(|fact| matches!(fact, Fact::Signal(signal) if signal.signal.id == *id));
                signal.map_or(*at < self.moment(), |signal| self.is(signal, all))
            }
        }
    }
}

fn cap(ledger: &dyn Ledger, decisions: u32) {
    let settings = format!(r#"{{"user_cap": {{"decisions": {decisions}, "window_seconds": 10}}}}"#);
    ledger.put_goal(&Goal::new("g").unwrap(), Some(&settings), &[], PathUpdate::Add, Timestamp(0)).unwrap();
}

/// The counters of a process that only ever tailed the changes.
fn tailed(ledger: &SqliteLedger) -> Vec<CounterRow> {
    let Changes::Rows(_, changes) = ledger.changes(0).unwrap() else { panic!("nothing was dropped") };
    let mut sums = BTreeMap::new();
    for change in changes {
        if let Change::Count(row) = change {
            *sums.entry((row.scope, row.cell)).or_insert_with(kalibr_core::counters::Count::default) +=
                row.count;
        }
    }
    sums.retain(|_, count| !count.is_zero());
    sums.into_iter().map(|((scope, cell), count)| CounterRow { scope, cell, count }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn after_an_erasure_the_ledger_is_one_that_never_saw_what_is_gone(
        facts in facts(),
        whose in whose(),
        last_cap in 0u32..4,
        cut in any::<prop::sample::Index>(),
        batch in 1usize..8,
        seed in any::<u64>(),
    ) {
        let mut arrived = facts;
        arrived.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
        // What comes after an erasure is new to it.
        let late = arrived.split_off(cut.index(arrived.len() + 1));

        let (lived_in, lived) = open();
        cap(&lived, last_cap);
        for facts in arrived.chunks(batch) {
            lived.commit(facts).unwrap();
        }
        let counted = held(&lived, &whose);
        prop_assert_eq!(erase(&lived, &whose), counted);
        prop_assert_eq!(held(&lived, &whose), Held::default());
        prop_assert_eq!(lived.recount(false).unwrap().wrong, 0);

        let mine = Mine::of(&arrived, &whose);
        let others: Vec<Fact> = arrived.iter().filter(|fact| !mine.is(fact, &arrived)).cloned().collect();
        let (spared_in, spared) = open();
        cap(&spared, last_cap);
        spared.commit(&others).unwrap();
        prop_assert_eq!(rows(lived_in.path()), rows(spared_in.path()));

        for facts in late.chunks(batch) {
            lived.commit(facts).unwrap();
        }
        spared.commit(&late).unwrap();
        prop_assert_eq!(rows(lived_in.path()), rows(spared_in.path()));
        prop_assert_eq!(counters(&lived), counters(&spared));
        prop_assert_eq!(tailed(&lived), counters(&lived));
    }
}
