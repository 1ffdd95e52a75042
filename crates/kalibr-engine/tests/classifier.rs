//! The classifier model, before a provider that does what a test tells it to.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::*;
use kalibr_engine::core::evidence::{Signal, Source, Strength, Value as Said};
use kalibr_engine::core::ids::{KeyedHash, SessionId, SignalId, Timestamp, TraceId};
use kalibr_engine::*;
use kalibr_store::{About, SignalFact};
use serde_json::{Value, json};

/// A message that the local classifier cannot tell.
const VAGUE: &str = "hm, the zebra-canary part reads a bit odd to me";

/// What the provider does with a request, the first of which is number 0: waits, and sends these bytes.
type Script = dyn Fn(usize, &Value) -> (Duration, String) + Send + Sync;

struct Provider {
    port: u16,
    seen: Arc<Mutex<Vec<(Instant, Value)>>>,
}

impl Provider {
    fn start(script: impl Fn(usize, &Value) -> (Duration, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<(Instant, Value)>>> = Arc::default();
        let (script, noted): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&seen));
        let number = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, noted, number) = (Arc::clone(&script), Arc::clone(&noted), Arc::clone(&number));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let Some(body) = request(&mut stream) else { return };
                    noted.lock().unwrap().push((Instant::now(), body.clone()));
                    let (wait, bytes) = script(number.fetch_add(1, Ordering::SeqCst), &body);
                    std::thread::sleep(wait);
                    _ = stream.write_all(bytes.as_bytes());
                });
            }
        });
        Self { port, seen }
    }

    fn requests(&self) -> Vec<Value> {
        self.seen.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }
}

fn request(stream: &mut TcpStream) -> Option<Value> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length: usize = head.lines().find_map(|l| l.strip_prefix("content-length: "))?.parse().ok()?;
        if body.len() >= length {
            return serde_json::from_str(body).ok();
        }
    }
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

/// An answer with this content.
fn says(content: &str) -> String {
    let usage = json!({ "prompt_tokens": 400, "completion_tokens": 30 });
    let body =
        json!({ "choices": [{ "message": { "role": "assistant", "content": content } }], "usage": usage });
    response("200 OK", "content-type: application/json\r\n", &body.to_string())
}

/// The verdict that the model was asked for, with the key that it was told.
fn verdict(asked: &Value, label: &str) -> String {
    let rules = asked["messages"][0]["content"].as_str().unwrap();
    let key = rules.rsplit("\"key\": \"").next().unwrap().split('"').next().unwrap();
    json!({ "label": label, "confidence": 0.9, "key": key }).to_string()
}

fn at_once(bytes: String) -> (Duration, String) {
    (Duration::ZERO, bytes)
}

struct Set {
    engine: Engine,
    folder: tempfile::TempDir,
    trace: TraceId,
    session: KeyedHash,
}

impl Set {
    /// An engine that asks this provider, with a session of one run.
    fn new(provider: &Provider, classifier: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = json!({ "model": "lab/judge" });
        settings.as_object_mut().unwrap().extend(classifier.as_object().unwrap().clone());
        let config: Config = serde_json::from_value(json!({
            "providers": { "lab": { "base_url": format!("http://127.0.0.1:{}/v1", provider.port) } },
            "classifier": settings,
            "prices": if classifier.get("budget_usd_per_day").is_some() {
                json!({ "lab/judge": { "input": 1.0, "output": 2.0 } })
            } else {
                json!({})
            },
        }))
        .unwrap();
        let config = EngineConfig::new(Home::at(folder.path()), &config, &|_| None).unwrap();
        let engine = Engine::open(EngineConfig { seed: Some(7), ..config }).unwrap();
        put(&engine, &models(&["lab/one"]));
        let session = engine.session_hash(&SessionId::new("s").unwrap());
        let request = DecideRequest { session: Some(session), ..DecideRequest::of(goal()) };
        let trace = engine.decide(&request).unwrap().trace;
        Self { engine, folder, trace, session }
    }

    fn say(&self, message: &str, id: &str) -> ReportedTurn {
        let meta = SignalMeta { id: Some(SignalId::new(id).unwrap()), at: None };
        let turn = self.engine.turn(Run::Session(self.session), message, meta);
        self.engine.send(turn.facts.clone()).unwrap();
        turn
    }

    fn info(&self) -> ClassifierInfo {
        self.engine.classifier().unwrap()
    }

    /// Waits until the model was asked about so many messages, whatever came of it.
    fn settled(&self, messages: u64) -> ClassifierInfo {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let i = self.info();
            let settled = i.acceptances + i.rejections + i.continuations + i.not_sure + i.malformed;
            if settled + i.failed + i.over_budget + i.dropped >= messages {
                return i;
            }
            assert!(Instant::now() < deadline, "{i:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn evidence(&self) -> Vec<EvidenceView> {
        explained(&self.engine, self.trace).evidence
    }
}

fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[test]
fn what_the_local_classifier_cannot_tell_is_told_by_the_model_as_a_signal_under_the_messages_own_id_and_moment()
 {
    let provider = Provider::start(|_, asked| at_once(says(&verdict(asked, "rejection"))));
    let set = Set::new(&provider, &json!({}));
    let turn = set.say(VAGUE, "turn-1");
    assert!(turn.asked && turn.verdict.asserted.is_none() && turn.id.as_str() == "turn-1");
    assert_eq!(set.settled(1).rejections, 1);
    let evidence = &set.evidence()[0];
    assert_eq!(
        (evidence.signal_id.as_str(), evidence.source, evidence.value),
        ("turn-1", Source::Turn, "rejection_by_model")
    );
    assert_eq!((evidence.strength, evidence.addressed_by, evidence.withdrawn), (0.0, "session", false));
    assert!((evidence.confidence - 0.9).abs() < 1e-5);
    assert!(evidence.event_time < evidence.received_at);
    assert_eq!(explained(&set.engine, set.trace).attempts[0].graded_by, Some(Source::Turn));

    // A message that is reported again under its id is one message, and one that is taken back counts nothing.
    set.say(VAGUE, "turn-1");
    set.settled(2);
    assert_eq!(set.evidence().len(), 1);
    set.engine.send(vec![set.engine.withdrawal(turn.id)]).unwrap();
    assert!(set.evidence()[0].withdrawn);
    assert!(set.engine.close(PATIENCE));
    assert!(!holds(set.folder.path(), "zebra"), "no text is kept");
}

#[test]
fn what_the_local_classifier_can_tell_is_not_asked_about() {
    let provider = Provider::start(|_, asked| at_once(says(&verdict(asked, "acceptance"))));
    let set = Set::new(&provider, &json!({ "ask_below": 0.5 }));
    assert!(!set.say("This is wrong, try again.", "a").asked, "it asserts a rejection");
    assert!(!set.say("And what about Portugal?", "b").asked, "it is sure that this only goes on");
    assert_eq!((set.info().queued, provider.requests().len()), (0, 0));
}

#[test]
fn without_a_configured_model_nothing_is_asked_and_nothing_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open_at(folder.path(), Clock::system());
    let session = engine.session_hash(&SessionId::new("s").unwrap());
    assert!(!engine.turn(Run::Session(session), VAGUE, SignalMeta::default()).asked);
    assert!(engine.classifier().is_none() && !engine.has_classifier());
}

#[test]
fn a_model_that_hangs_delays_no_report_and_what_the_queue_cannot_hold_is_dropped_and_counted() {
    let provider = Provider::start(|_, _| (Duration::from_mins(1), String::new()));
    let set = Set::new(&provider, &json!({ "queue": 3, "concurrency": 1 }));
    let begun = Instant::now();
    let asked = (0..200).filter(|n| set.say(VAGUE, &format!("t{n}")).asked).count();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "200 reports took {took:?}");
    let info = set.info();
    assert_eq!((info.queued, info.dropped), (asked as u64, 200 - asked as u64));
    assert!((1..=5).contains(&asked), "{asked}");
    let begun = Instant::now();
    assert!(set.engine.close(PATIENCE));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(set.info().dropped, 200, "what was under way is counted");
}

#[test]
fn what_is_queued_when_the_engine_closes_is_still_answered_if_that_is_quick() {
    let provider =
        Provider::start(|_, asked| (Duration::from_millis(20), says(&verdict(asked, "acceptance"))));
    let set = Set::new(&provider, &json!({ "concurrency": 2 }));
    (0..6).for_each(|n| _ = set.say(VAGUE, &format!("t{n}")));
    assert!(set.engine.close(PATIENCE));
    let info = set.info();
    assert_eq!((info.acceptances, info.dropped), (6, 0));
}

#[test]
fn a_provider_that_asks_for_a_pause_gets_it_and_is_asked_again() {
    let provider = Provider::start(|number, asked| {
        at_once(match number {
            0 => response("429 Too Many Requests", "retry-after: 1\r\n", "{}"),
            _ => says(&verdict(asked, "acceptance")),
        })
    });
    let set = Set::new(&provider, &json!({ "concurrency": 1 }));
    set.say(VAGUE, "a");
    set.say(VAGUE, "b");
    assert_eq!(set.settled(2).acceptances, 2);
    let seen: Vec<Instant> = provider.seen.lock().unwrap().iter().map(|(at, _)| *at).collect();
    assert_eq!(seen.len(), 3);
    assert!(seen[1] - seen[0] >= Duration::from_millis(990), "{:?}", seen[1] - seen[0]);
}

#[test]
fn a_provider_that_asks_for_a_long_pause_is_given_up_on() {
    let provider =
        Provider::start(|_, _| at_once(response("429 Too Many Requests", "retry-after: 7200\r\n", "{}")));
    let set = Set::new(&provider, &json!({}));
    set.say(VAGUE, "a");
    assert_eq!(set.settled(1).failed, 1);
    assert_eq!(provider.requests().len(), 1);
}

#[test]
fn a_provider_that_fails_is_tried_three_times_and_one_that_refuses_the_key_once() {
    for (status, calls) in [("500 Oops", 3), ("401 No", 1)] {
        let provider =
            Provider::start(move |_, _| at_once(response(status, "", "{\"error\": {\"message\": \"x\"}}")));
        let set = Set::new(&provider, &json!({}));
        set.say(VAGUE, "a");
        assert_eq!(set.settled(1).failed, 1, "{status}");
        assert_eq!(provider.requests().len(), calls, "{status}");
        assert_eq!(set.evidence(), []);
    }
}

#[test]
fn a_call_that_takes_too_long_is_given_up() {
    let provider = Provider::start(|_, _| (Duration::from_secs(30), String::new()));
    let set = Set::new(&provider, &json!({ "timeout_ms": 100 }));
    set.say(VAGUE, "a");
    assert_eq!(set.settled(1).failed, 1);
    assert_eq!(provider.requests().len(), 3);
}

#[test]
fn an_answer_in_a_fence_is_understood_and_anything_else_is_an_abstention_and_counted() {
    let provider = Provider::start(|number, asked| {
        let good = verdict(asked, "rejection");
        at_once(match number {
            0 => says(&format!("```json\n{good}\n```")),
            1 => says("The user seems to reject the answer."),
            2 => says(&good.replace("rejection", "user_rejected")),
            3 => response("200 OK", "content-type: text/html\r\n", "<html>login</html>"),
            4 => says(&"x".repeat(2 << 20)),
            5 => says(r#"{"label": "rejection", "confidence": 0.99, "key": "dictated"}"#),
            6 => says(&verdict(asked, "continuation")),
            _ => says(&good.replace("0.9", "0.4")),
        })
    });
    let set = Set::new(&provider, &json!({ "concurrency": 1 }));
    (0..8).for_each(|n| _ = set.say(VAGUE, &format!("t{n}")));
    let info = set.settled(8);
    assert_eq!(
        (info.rejections, info.malformed, info.continuations, info.not_sure),
        (1, 5, 1, 1),
        "{info:?}"
    );
    assert_eq!(set.evidence().len(), 1);
}

#[test]
fn a_provider_that_refuses_a_parameter_is_asked_without_it_from_then_on() {
    let provider = Provider::start(|_, asked| {
        at_once(match asked["response_format"]["type"].as_str() {
            Some(_) => {
                response("400 Bad", "", "{\"error\": {\"message\": \"response_format is not supported\"}}")
            }
            None => says(&verdict(asked, "acceptance")),
        })
    });
    let set = Set::new(&provider, &json!({ "concurrency": 1 }));
    set.say(VAGUE, "a");
    set.settled(1);
    set.say(VAGUE, "b");
    assert_eq!(set.settled(2).acceptances, 2);
    let formats: Vec<Value> =
        provider.requests().iter().map(|r| r["response_format"]["type"].clone()).collect();
    assert_eq!(formats, [json!("json_schema"), json!("json_object"), Value::Null, Value::Null]);
}

#[test]
fn the_days_budget_is_never_exceeded_and_what_it_does_not_allow_for_is_not_asked() {
    let provider = Provider::start(|_, asked| at_once(says(&verdict(asked, "acceptance"))));
    // A call costs 400 tokens at 1 $ and 30 at 2 $ a million: 0.00046 $; before it is made, its bytes are taken for tokens.
    let set = Set::new(&provider, &json!({ "budget_usd_per_day": 0.004, "concurrency": 4 }));
    (0..30).for_each(|n| _ = set.say(VAGUE, &format!("t{n}")));
    let info = set.settled(30);
    assert!(info.spent_usd <= 0.004 && info.over_budget > 0 && info.acceptances >= 2, "{info:?}");
    assert_eq!(info.acceptances as usize, provider.requests().len());
    assert!((info.spent_usd - 0.00046 * info.acceptances as f64).abs() < 1e-9, "{info:?}");
}

#[test]
fn calls_that_nobody_knows_the_price_of_stop_at_their_number() {
    let provider = Provider::start(|_, asked| at_once(says(&verdict(asked, "acceptance"))));
    let set = Set::new(&provider, &json!({ "unpriced_calls_per_day": 2, "concurrency": 1 }));
    (0..5).for_each(|n| _ = set.say(VAGUE, &format!("t{n}")));
    let info = set.settled(5);
    assert_eq!((info.acceptances, info.over_budget, info.unpriced_calls, info.spent_usd), (2, 3, 2, 0.0));
}

#[test]
fn a_verdict_on_somebody_who_was_erased_meanwhile_is_not_taken_in() {
    let provider =
        Provider::start(|_, asked| (Duration::from_millis(400), says(&verdict(asked, "rejection"))));
    let set = Set::new(&provider, &json!({ "ask_below": 1.0 }));
    let session = set.engine.session_hash(&"s".parse().unwrap());
    assert!(set.engine.turn(Run::Session(session), "hm, so what now", SignalMeta::default()).asked);
    let whose = kalibr_engine::Whose::Session(session);
    set.engine.erase(&whose).unwrap();
    std::thread::sleep(Duration::from_millis(900));
    assert_eq!(set.engine.held(&whose).unwrap(), kalibr_engine::Held::default());
    assert_eq!(set.engine.classifier().unwrap().dropped, 1);
    assert!(set.engine.close(PATIENCE));
}

#[test]
fn what_is_personal_never_reaches_the_model_and_what_came_before_does_where_it_is_passed_along() {
    let provider = Provider::start(|_, asked| at_once(says(&verdict(asked, "continuation"))));
    let set = Set::new(&provider, &json!({ "ask_below": 1.0 }));
    let text = TurnText {
        message: "hm, is that really what ada@example.org said",
        prompt: Some("Ask +44 20 7946 0958 for the zebra-prompt"),
        answer: Some("the zebra-answer"),
    };
    assert!(set.engine.turn(Run::Trace(set.trace), text, SignalMeta::default()).asked);
    set.settled(1);
    let sent = provider.requests()[0].to_string();
    assert!(
        sent.contains("zebra-prompt") && sent.contains("zebra-answer") && sent.contains("[EMAIL]"),
        "{sent}"
    );
    assert!(!sent.contains("ada@") && !sent.contains("7946"), "{sent}");
    assert!(set.engine.close(PATIENCE));
    assert!(!holds(set.folder.path(), "zebra"));
}

#[test]
fn a_model_that_disagrees_with_what_users_do_is_switched_off_asked_now_and_then_and_switched_on_when_it_agrees()
 {
    let provider = Provider::start(|_, asked| at_once(says(&verdict(asked, "acceptance"))));
    let set = Set::new(&provider, &json!({ "unpriced_calls_per_day": 1_000 }));
    assert_eq!(set.info().state, "on");
    let graded = |said: Said, deed: Said, n: usize| {
        for _ in 0..n {
            let trace = set.engine.decide(&DecideRequest::of(goal())).unwrap().trace;
            let signal = |source, value: Said| {
                let signal = Signal {
                    id: fresh_signal_id(),
                    source,
                    value,
                    strength: value.default_strength(),
                    confidence: Strength::ONE,
                    at: Timestamp(1),
                    attempt: None,
                };
                Fact::Signal(SignalFact { signal, about: About::Trace(trace), received_at: Timestamp(1) })
            };
            set.engine.send(vec![signal(Source::Turn, said), signal(Source::Action, deed)]).unwrap();
        }
        assert!(set.engine.flush(PATIENCE));
    };
    graded(Said::AcceptanceByModel, Said::OutputDiscarded, 40);
    graded(Said::RejectionByModel, Said::OutputUsedVerbatim, 40);
    let info = set.info();
    assert_eq!(info.state, "off");
    assert!(info.graded >= 80.0 && info.praises_bad > info.praises_good, "{info:?}");
    let asked = (0..60).filter(|n| set.say(VAGUE, &format!("t{n}")).asked).count();
    assert_eq!((asked, set.info().while_off), (3, 60));
    graded(Said::RejectionByModel, Said::OutputDiscarded, 60);
    graded(Said::AcceptanceByModel, Said::OutputUsedVerbatim, 60);
    assert_eq!(set.info().state, "on");
    assert!(set.say(VAGUE, "again").asked);
}

#[test]
fn a_configuration_that_cannot_work_is_told_at_the_start() {
    let open = |toml: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kalibr.toml");
        std::fs::write(&file, toml).unwrap();
        let config = Config::load(&file, true)?;
        EngineConfig::new(Home::at(folder.path()), &config, &|_| None).map(drop)
    };
    assert!(open("[classifier]\nmodel = \"ollama/llama3.2\"\n").is_ok());
    for (toml, said) in [
        ("[classifier]\nmodel = \"azure/gpt-4o\"\n", "azure"),
        ("[classifier]\nmodel = \"\"\n", "model is"),
        ("[classifier]\nmodel = \"ollama/m\"\nbudget_usd_per_day = -1.0\n", "budget_usd_per_day"),
        ("[classifier]\nmodel = \"ollama/m\"\nconcurrency = 0\n", "concurrency"),
        ("[classifier]\nmodel = \"ollama/m\"\nbudget = 1\n", "budget_usd_per_day"),
        ("[classifier]\nask_below = 0.5\n", "model"),
        ("[sessions]\nidle = 5\n", "idle_seconds"),
    ] {
        let error = open(toml).unwrap_err().to_string();
        assert!(error.contains(said), "{toml}: {error}");
    }
}

/// Keeps all that is logged.
#[derive(Default)]
struct Log(Mutex<String>);

static LOG: std::sync::LazyLock<Log> = std::sync::LazyLock::new(Log::default);

struct ToLog;

impl tracing::Subscriber for ToLog {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Fields<'a>(&'a mut String);
        impl tracing::field::Visit for Fields<'_> {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                *self.0 += &format!("{field}={value:?}\n");
            }
        }
        event.record(&mut Fields(&mut LOG.0.lock().unwrap()));
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn no_log_repeats_a_word_of_a_user_or_of_the_model_whatever_goes_wrong() {
    _ = tracing::subscriber::set_global_default(ToLog);
    // Each repeats what it was asked, as providers do in their errors.
    let provider = Provider::start(|number, asked| {
        let said = asked["messages"].to_string();
        let error = json!({ "error": { "message": said } }).to_string();
        at_once(match number % 4 {
            0 => response("401 No", "", &error),
            1 => response("422 No", "", &error),
            2 => response("200 OK", "content-type: text/html\r\n", &said),
            _ => says(&said),
        })
    });
    let set = Set::new(&provider, &json!({ "concurrency": 1 }));
    (0..6).for_each(|n| _ = set.say(VAGUE, &format!("t{n}")));
    let info = set.settled(6);
    assert_eq!(info.failed + info.malformed, 6, "{info:?}");
    assert!(set.engine.close(PATIENCE));
    let log = LOG.0.lock().unwrap().clone();
    assert!(
        log.contains("the classifier model could not be asked") && log.contains("did not answer"),
        "{log}"
    );
    assert!(!log.contains("zebra"), "{log}");
}
