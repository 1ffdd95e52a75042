//! What is kept of people, who is forgotten, and that nobody who learned from them still does.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use common::{PATIENCE, explained, goal, models, put, say};
use futures_util::StreamExt;
use kalibr_engine::core::ids::{SessionId, Timestamp};
use kalibr_engine::upstream::ChatRequest;
use kalibr_engine::*;

const DAY: i64 = 24 * 3_600_000_000;
const PROMPT: &str = "Summarise for kalliope@example.com";

fn open(folder: &Path, privacy: &str) -> Engine {
    open_at(folder, privacy, Clock::system())
}

fn open_at(folder: &Path, privacy: &str, clock: Clock) -> Engine {
    let text = format!(
        "[providers.sim]\nkind = \"simulated\"\nmodels.good = {{ quality = 1.0 }}\n[privacy]\n{privacy}"
    );
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("kalibr.toml"), text).unwrap();
    let home = Home::at(folder);
    let config = Config::load(&home.config(), true).unwrap();
    let config = EngineConfig::new(home, &config, &|_| None).unwrap();
    let engine = Engine::open(EngineConfig { seed: Some(7), clock, ..config }).unwrap();
    put(&engine, &models(&["sim/good"]));
    engine
}

fn session(engine: &Engine, id: &str) -> Whose {
    Whose::Session(engine.session_hash(&SessionId::new(id).unwrap()))
}

fn decide(engine: &Engine, user: &str) -> Decision {
    let session = engine.session_hash(&SessionId::new(&format!("{user}-session")).unwrap());
    let (session, user) = (Some(session), Some(engine.user_hash(user)));
    engine.decide(&DecideRequest { session, user, ..DecideRequest::of(goal()) }).unwrap()
}

async fn ask(engine: &Engine, stream: bool) -> Decision {
    let body = format!(
        r#"{{"model":"goal:g","stream":{stream},"messages":[{{"role":"user","content":"{PROMPT}"}}]}}"#
    );
    let body = ChatRequest::parse(body.as_bytes()).unwrap();
    let request = CompleteRequest { decide: DecideRequest::of(goal()), body, timeout: None };
    if !stream {
        return engine.complete(request).await.unwrap().decision;
    }
    let mut stream = engine.stream(request).await.unwrap();
    while stream.next().await.is_some() {}
    stream.decision.clone()
}

fn files_hold(folder: &Path, text: &str) -> bool {
    let ledger =
        std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    ledger.into_iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

fn exported(engine: &Engine, whose: &Whose) -> Vec<serde_json::Value> {
    let mut lines = Vec::new();
    let mut take = |line: &str| {
        lines.push(serde_json::from_str(line).unwrap());
        Ok(())
    };
    engine.export(whose, &mut take).unwrap();
    lines
}

#[test]
fn another_process_unlearns_what_is_erased_and_so_does_this_one() {
    let (here, alone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, other) = (open(here.path(), ""), open(here.path(), ""));
    let spared = open(alone.path(), "");
    // The same draws on both: what differs is that one user.
    let both = |engine: &Engine| {
        for _ in 0..10 {
            say(engine, Run::Trace(decide(engine, "ben").trace), "user_accepted");
        }
        assert!(engine.flush(PATIENCE));
    };
    both(&one);
    both(&spared);
    for _ in 0..10 {
        say(&one, Run::Trace(decide(&one, "anna").trace), "user_rejected");
    }
    let learned = |engine: &Engine| {
        let mut learned = engine.goal(&goal()).unwrap().learned;
        learned.iter_mut().for_each(|scope| scope.table_version = 0);
        learned
    };
    let whose = Whose::User(one.user_hash("anna"));
    let counted = Held { decisions: 10, attempts: 10, signals: 10, ..Held::default() };
    assert_eq!(one.held(&whose).unwrap(), counted);
    assert_ne!(learned(&one), learned(&spared));
    assert_eq!(one.erase(&whose).unwrap(), Erasure { held: counted, scrubbed: true });
    assert_eq!(learned(&one), learned(&spared));
    let deadline = Instant::now() + PATIENCE;
    while learned(&other) != learned(&spared) {
        assert!(Instant::now() < deadline, "the other process does not follow");
        std::thread::sleep(Duration::from_millis(20));
    }
    for engine in [one, other, spared] {
        assert!(engine.close(PATIENCE));
    }
}

#[test]
fn traffic_goes_on_while_somebody_is_erased_and_the_counters_agree_with_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), "");
    for _ in 0..600 {
        say(&engine, Run::Trace(decide(&engine, "anna").trace), "user_rejected");
    }
    let whose = Whose::User(engine.user_hash("anna"));
    assert_eq!(engine.held(&whose).unwrap().decisions, 600);
    let over = AtomicBool::new(false);
    let told = std::thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let mut told = 0;
            while !over.load(Ordering::Relaxed) {
                say(&engine, Run::Trace(decide(&engine, "ben").trace), "user_accepted");
                told += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            told
        });
        let erased = engine.erase(&whose).unwrap();
        over.store(true, Ordering::Relaxed);
        assert_eq!((erased.held.decisions, erased.held.signals), (600, 600));
        traffic.join().unwrap()
    });
    assert!(told > 0 && engine.flush(PATIENCE));
    assert_eq!(engine.held(&whose).unwrap(), Held::default());
    assert_eq!(engine.held(&Whose::User(engine.user_hash("ben"))).unwrap().signals, told);
    assert!(engine.close(PATIENCE));
    assert_eq!(checkup(&Home::at(folder.path()), false).unwrap().wrong, 0);
}

#[test]
fn an_export_has_all_that_is_the_persons_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), "");
    let (anna, ben) = (decide(&engine, "anna"), decide(&engine, "ben"));
    for run in [&anna, &ben] {
        say(&engine, Run::Trace(run.trace), "user_accepted");
    }
    for whose in [Whose::User(engine.user_hash("anna")), session(&engine, "anna-session")] {
        let lines = exported(&engine, &whose);
        let records: Vec<&str> = lines.iter().map(|line| line["record"].as_str().unwrap()).collect();
        assert_eq!(records, ["decision", "attempt", "signal"]);
        assert!(lines.iter().all(|line| line["trace_id"] == anna.trace.to_string()), "{lines:?}");
        assert_eq!(lines[2]["value"], "user_accepted");
    }
    assert_eq!(exported(&engine, &Whose::Tenant("default".to_owned())).len(), 6);
    assert!(engine.close(PATIENCE));
}

#[test]
fn another_process_forgets_the_fingerprints_of_whom_it_did_not_erase_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(folder.path(), ""), open(folder.path(), ""));
    let anna = one.session_hash(&SessionId::new("anna-session").unwrap());
    let trace = decide(&other, "anna").trace;
    let report = RunReport {
        trace: Some(trace),
        prompt: Some(PrivateText::from("write a haiku about the sea and the old lighthouse")),
        ..RunReport::default()
    };
    other.send(other.run(Some(anna), &report).unwrap().facts).unwrap();
    assert!(other.flush(PATIENCE));
    // What repeats the request reads otherwise to whoever remembers it.
    let message = "write a haiku about the sea and the old lighthouse";
    let read = || other.verdict(Run::Session(anna), message, None).rejection;
    let remembered = read();
    let whose = Whose::User(one.user_hash("anna"));
    assert!(one.erase(&whose).unwrap().held.fingerprints > 0);
    let deadline = Instant::now() + PATIENCE;
    while (read() - remembered).abs() < 1e-9 {
        assert!(Instant::now() < deadline, "the other process remembers {remembered}");
        std::thread::sleep(Duration::from_millis(20));
    }
    for engine in [one, other] {
        assert!(engine.close(PATIENCE));
    }
}

#[test]
fn while_the_ledger_is_behind_nothing_is_erased_or_exported_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), "");
    decide(&engine, "anna");
    assert!(engine.flush(PATIENCE));
    let whose = Whose::User(engine.user_hash("anna"));
    let other = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    decide(&engine, "anna");
    let (erased, held, exported) = std::thread::scope(|scope| {
        let erased = scope.spawn(|| engine.erase(&whose).unwrap_err());
        let held = scope.spawn(|| engine.held(&whose).unwrap_err());
        let exported = scope.spawn(|| engine.export(&whose, &mut |_| Ok(())).unwrap_err());
        (erased.join().unwrap(), held.join().unwrap(), exported.join().unwrap())
    });
    assert!(matches!((&erased, &held), (StoreError::Behind, StoreError::Behind)), "{erased} {held}");
    assert!(exported.to_string().contains("try again"), "{exported}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(engine.erase(&whose).unwrap().held.decisions, 2);
    assert!(engine.close(PATIENCE));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_is_kept_unless_the_operator_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), "");
    let asked = ask(&engine, false).await;
    ask(&engine, true).await;
    engine.keep_text(Run::Trace(asked.trace), TextKind::Reason, PROMPT, SignalMeta::default());
    assert!(explained(&engine, asked.trace).texts.is_empty() && engine.close(PATIENCE));
    assert!(!files_hold(folder.path(), "Summarise") && !files_hold(folder.path(), "kalliope"));
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_kept_as_they_came_or_without_what_names_people() {
    for (privacy, named) in [("keep_text = \"full\"", true), ("keep_text = \"redacted\"", false)] {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(folder.path(), privacy);
        for stream in [false, true] {
            let asked = ask(&engine, stream).await;
            engine.keep_text(Run::Trace(asked.trace), TextKind::Reason, "too short", SignalMeta::default());
            let texts = explained(&engine, asked.trace).texts;
            let kinds: Vec<TextKind> = texts.iter().map(|text| text.kind).collect();
            assert_eq!(kinds, [TextKind::Prompt, TextKind::Answer, TextKind::Reason], "{stream}");
            assert!(texts[0].text.contains("Summarise") && !texts[1].text.is_empty(), "{texts:?}");
            assert_eq!(texts[0].text.contains("kalliope@example.com"), named, "{texts:?}");
        }
        assert!(engine.close(PATIENCE));
        assert_eq!(files_hold(folder.path(), "kalliope"), named);

        // Who does not keep texts does not show those that are there.
        let engine = open(folder.path(), "");
        let held = engine.held(&Whose::Tenant("default".to_owned())).unwrap();
        assert_eq!((held.decisions, held.texts), (2, 6));
        let asked = ask(&engine, false).await;
        assert!(explained(&engine, asked.trace).texts.is_empty());
        engine.erase(&Whose::Tenant("default".to_owned())).unwrap();
        assert!(!files_hold(folder.path(), "Summarise"));
        assert!(engine.close(PATIENCE));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_and_runs_are_forgotten_when_their_days_are_over_and_no_file_holds_them_a_day_later() {
    let folder = tempfile::tempdir().unwrap();
    let hands = Arc::new(AtomicI64::new(1_000 * DAY));
    let clock = {
        let hands = Arc::clone(&hands);
        Clock::new(move || Timestamp(hands.load(Ordering::Relaxed)))
    };
    let privacy = "keep_text = \"full\"\nkeep_text_days = 2\nkeep_days = 5";
    let engine = open_at(folder.path(), privacy, clock);
    let asked = ask(&engine, false).await;
    say(&engine, Run::Trace(asked.trace), "user_rejected");
    assert_eq!(explained(&engine, asked.trace).texts.len(), 2);
    assert!(files_hold(folder.path(), "Summarise"));
    let later = |days: i64| hands.store((1_000 + days) * DAY + 1, Ordering::Relaxed);

    later(1);
    assert!(engine.forget_expired().unwrap());
    assert_eq!(explained(&engine, asked.trace).texts.len(), 2);
    later(2);
    assert!(engine.forget_expired().unwrap());
    assert!(explained(&engine, asked.trace).texts.is_empty());
    later(3);
    assert!(engine.forget_expired().unwrap());
    assert!(!files_hold(folder.path(), "Summarise"));

    let attempts = |engine: &Engine| engine.goal(&goal()).unwrap().learned[0].paths[0].clone();
    let before = attempts(&engine);
    later(5);
    assert!(engine.forget_expired().unwrap() && engine.flush(PATIENCE));
    assert!(engine.explain(&asked.trace.to_string()).unwrap().is_none());
    assert_ne!(attempts(&engine), before);
    later(6);
    assert!(engine.forget_expired().unwrap());
    let bytes = *asked.trace.as_bytes();
    let raw: Vec<u8> = std::fs::read(folder.path().join("ledger.db")).unwrap();
    assert!(!raw.windows(16).any(|window| window == bytes));
    assert!(engine.close(PATIENCE));
}

#[test]
fn what_the_configuration_says_of_privacy_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path());
    for (wrong, told) in [
        ("keep_text = \"some\"", "none"),
        ("keep_text_days = 0", "1 or more"),
        ("keep_days = 0", "1 or more"),
        ("keep_texts = \"full\"", "keep_text"),
    ] {
        std::fs::write(home.config(), format!("[privacy]\n{wrong}\n")).unwrap();
        let error = Config::load(&home.config(), true).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}
