//! Sessions that nobody graded: what their messages leaned to is taken in once they have ended, once, and silence is not.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use common::*;
use kalibr_engine::core::ids::{KeyedHash, SessionId, SignalId, Timestamp, TraceId};
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::signals::turn::{TurnLabel, Verdict};
use kalibr_engine::*;

const MINUTE: i64 = 60_000_000;

/// An engine whose time is told, and that does nothing by itself.
struct Told {
    engine: Engine,
    hands: Arc<AtomicI64>,
}

impl Told {
    fn open(folder: &Path, hands: &Arc<AtomicI64>) -> Self {
        let config: Config = serde_json::from_value(serde_json::json!({ "providers": { "sim": {
            "kind": "simulated", "models": { "good": { "quality": 1.0 } },
        } } }))
        .unwrap();
        let config = EngineConfig::new(Home::at(folder), &config, &|_| None).unwrap();
        let told = Arc::clone(hands);
        let clock = Clock::new(move || Timestamp(told.load(Ordering::Relaxed)));
        let engine = Engine::open(EngineConfig { clock, refresh: Refresh::AtFlush, ..config }).unwrap();
        put(&engine, &[PathSpec::model("sim/good").unwrap()]);
        Self { engine, hands: Arc::clone(hands) }
    }

    fn session(&self) -> KeyedHash {
        self.engine.session_hash(&SessionId::new("s").unwrap())
    }

    fn pass(&self, micros: i64) {
        self.hands.fetch_add(micros, Ordering::Relaxed);
    }

    /// A run of the session, and a minute.
    fn run(&self) -> TraceId {
        let request = DecideRequest { session: Some(self.session()), ..DecideRequest::of(goal()) };
        let trace = self.engine.decide(&request).unwrap().trace;
        self.pass(MINUTE);
        trace
    }

    /// A message that was read like this, and a minute.
    fn hear(&self, acceptance: f64, rejection: f64) -> SignalId {
        let verdict = Verdict {
            label: TurnLabel::Continuation,
            acceptance,
            rejection,
            continuation: 1.0 - acceptance - rejection,
            asserted: None,
            dimension: None,
            reasons: Vec::new(),
        };
        let turn = self.engine.turned(Run::Session(self.session()), verdict, None, SignalMeta::default());
        self.engine.send(turn.facts).unwrap();
        self.pass(MINUTE);
        turn.id
    }

    /// Takes in what has ended. Returns what was said of each of these runs.
    fn said<const N: usize>(&self, runs: [TraceId; N]) -> [Vec<&'static str>; N] {
        assert!(self.engine.flush(PATIENCE));
        self.engine.take_in_sessions().unwrap();
        assert!(self.engine.flush(PATIENCE));
        runs.map(|run| {
            explained(&self.engine, run).evidence.iter().filter(|e| !e.withdrawn).map(|e| e.value).collect()
        })
    }
}

fn told() -> (tempfile::TempDir, Told) {
    let folder = tempfile::tempdir().unwrap();
    let told = Told::open(folder.path(), &Arc::new(AtomicI64::new(1_760_000_000_000_000)));
    (folder, told)
}

#[test]
fn an_idle_session_without_a_sign_gives_no_evidence_however_long_it_is_idle() {
    let (_folder, told) = told();
    let run = told.run();
    told.hear(0.1, 0.1);
    told.pass(1_000 * 60 * MINUTE);
    assert_eq!(told.said([run]), [Vec::<&str>::new()]);
    assert!(explained(&told.engine, run).attempts.iter().all(|attempt| attempt.graded_by.is_none()));
}

#[test]
fn a_session_that_idles_away_on_a_good_note_grades_the_answer_before_it_and_no_other() {
    let (_folder, told) = told();
    let (first, second) = (told.run(), told.run());
    told.hear(0.6, 0.05);
    let last = told.run();
    assert_eq!(told.said([second]), [Vec::<&str>::new()], "it may go on");
    told.pass(31 * MINUTE);
    assert_eq!(told.said([first, second, last]), [vec![], vec!["ended_well"], vec![]]);
    let attempt = &explained(&told.engine, second).attempts[0];
    assert_eq!(
        (attempt.graded_by, attempt.strength.unwrap() < 0.7),
        (Some(kalibr_engine::core::evidence::Source::SessionEnd), true)
    );
    assert_eq!(told.engine.take_in_sessions().unwrap(), 0, "it is said once");
}

#[test]
fn a_session_that_its_caller_ended_is_taken_in_at_once_and_what_a_caller_knows_wins_over_what_is_inferred() {
    let (_folder, told) = told();
    let run = told.run();
    told.hear(0.05, 0.6);
    told.engine.send(vec![told.engine.session_over(told.session(), SignalMeta::default())]).unwrap();
    assert_eq!(told.said([run]), [vec!["ended_badly"]]);
    told.engine.send(vec![told.engine.session_end(told.session(), true, SignalMeta::default())]).unwrap();
    told.said([run]);
    assert_eq!(explained(&told.engine, run).attempts[0].strength, Some(1.0));
}

#[test]
fn messages_that_sound_worse_and_worse_speak_against_the_answer_before_the_latest() {
    let (_folder, told) = told();
    let runs = [0.1, 0.2, 0.35, 0.55].map(|rejects| {
        let run = told.run();
        told.hear(0.0, rejects);
        run
    });
    let _answer = told.run();
    told.pass(31 * MINUTE);
    assert_eq!(told.said(runs), [vec![], vec![], vec![], vec!["momentum_down"]]);
}

#[test]
fn a_restart_and_several_processes_change_nothing_of_what_a_session_says() {
    let (folder, told) = told();
    let first = told.run();
    told.hear(0.0, 0.1);
    let second = told.run();
    told.hear(0.0, 0.3);
    assert!(told.engine.close(PATIENCE));
    let (one, two) = (Told::open(folder.path(), &told.hands), Told::open(folder.path(), &told.hands));
    let third = one.run();
    two.hear(0.0, 0.6);
    assert!(one.engine.flush(PATIENCE) && two.engine.flush(PATIENCE));
    one.pass(31 * MINUTE);
    std::thread::scope(|scope| {
        for told in [&one, &two] {
            scope.spawn(|| told.engine.take_in_sessions().unwrap());
        }
    });
    for told in [&one, &two] {
        let nothing: Vec<&str> = Vec::new();
        let said = told.said([first, second, third]);
        assert_eq!(said, [nothing.clone(), nothing, vec!["momentum_down", "ended_badly"]]);
    }
}

#[test]
fn taking_a_message_back_takes_back_what_the_session_said_by_it() {
    let (_folder, told) = told();
    let run = told.run();
    let id = told.hear(0.6, 0.0);
    told.pass(31 * MINUTE);
    assert_eq!(told.said([run]), [vec!["ended_well"]]);
    told.engine.send(vec![told.engine.withdrawal(id)]).unwrap();
    assert_eq!(told.said([run]), [Vec::<&str>::new()]);
}

#[test]
fn where_the_wait_is_turned_off_only_a_call_ends_a_session() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { sessions: SessionsConfig { idle_seconds: 0 }, ..Config::default() };
    let config = EngineConfig::new(Home::at(folder.path()), &config, &|_| None).unwrap();
    let hands = Arc::new(AtomicI64::new(1_760_000_000_000_000));
    let clock = {
        let hands = Arc::clone(&hands);
        Clock::new(move || Timestamp(hands.load(Ordering::Relaxed)))
    };
    let engine = Engine::open(EngineConfig { clock, refresh: Refresh::AtFlush, ..config }).unwrap();
    put(&engine, &models(&["m"]));
    let told = Told { engine, hands };
    let run = told.run();
    told.hear(0.6, 0.0);
    told.pass(1_000 * MINUTE);
    assert_eq!(told.said([run]), [Vec::<&str>::new()]);
    told.engine.send(vec![told.engine.session_over(told.session(), SignalMeta::default())]).unwrap();
    assert_eq!(told.said([run]), [vec!["ended_well"]]);
}

#[test]
fn a_running_engine_takes_in_an_ended_session_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open_at(folder.path(), Clock::system());
    put(&engine, &models(&["sim/good"]));
    let session = engine.session_hash(&SessionId::new("s").unwrap());
    let request = DecideRequest { session: Some(session), ..DecideRequest::of(goal()) };
    let trace = engine.decide(&request).unwrap().trace;
    let verdict = Verdict {
        label: TurnLabel::Acceptance,
        acceptance: 0.6,
        rejection: 0.1,
        continuation: 0.3,
        asserted: None,
        dimension: None,
        reasons: Vec::new(),
    };
    let turn = engine.turned(Run::Session(session), verdict, None, SignalMeta::default());
    engine.send(turn.facts).unwrap();
    engine.send(vec![engine.session_over(session, SignalMeta::default())]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while explained(&engine, trace).evidence.is_empty() {
        assert!(Instant::now() < deadline, "nobody looked");
        std::thread::sleep(Duration::from_millis(20));
    }
    let begun = Instant::now();
    assert!(engine.close(PATIENCE) && begun.elapsed() < Duration::from_secs(3));
}
