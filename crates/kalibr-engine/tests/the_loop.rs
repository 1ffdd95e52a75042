//! The loop through the in-process API: route, answer, hear what the user did, route better.

use std::path::Path;
use std::time::{Duration, Instant};

use kalibr_engine::core::evidence::Source;
use kalibr_engine::core::ids::{Goal, SessionId, SignalId, Timestamp};
use kalibr_engine::core::outcome::FailureCategory;
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::signals::vocabulary::lookup;
use kalibr_engine::upstream::ChatRequest;
use kalibr_engine::upstream::simulated::is_good;
use kalibr_engine::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn open(folder: &Path) -> Engine {
    let config: Config = serde_json::from_value(serde_json::json!({ "providers": { "sim": {
        "kind": "simulated",
        "models": {
            "good": { "quality": 1.0 },
            "poor": { "quality": 0.0 },
            "dead": { "quality": 1.0, "failure_rate": 1.0 },
            "slow": { "quality": 1.0, "latency_ms": 60_000 },
        },
    } } }))
    .unwrap();
    let mut config = EngineConfig::new(Home::at(folder), &config, &|_| None).unwrap();
    config.seed = Some(7);
    Engine::open(config).unwrap()
}

fn goal() -> Goal {
    Goal::new("g").unwrap()
}

fn put(engine: &Engine, models: &[&str]) {
    let paths: Vec<_> = models.iter().map(|model| PathSpec::model(model).unwrap()).collect();
    // No second call of a path hides what became of the first.
    let calls = CallRules { longest_wait_ms: 0, ..CallRules::default() };
    let settings = GoalSettings { calls, ..GoalSettings::default() };
    engine.put_goal(&goal(), &settings, &paths, PathUpdate::Replace).unwrap();
}

async fn ask(engine: &Engine) -> Result<Completion, CompleteError> {
    let body = br#"{"model":"goal:g","messages":[{"role":"user","content":"hello"}]}"#;
    let body = ChatRequest::parse(body).unwrap();
    engine.complete(CompleteRequest { decide: DecideRequest::of(goal()), body, timeout: None }).await
}

fn content(completion: &Completion) -> String {
    let body: serde_json::Value = serde_json::from_slice(&completion.answer.body).unwrap();
    body["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

fn share(engine: &Engine, model: &str) -> f64 {
    let goal = engine.goal(&goal()).unwrap();
    let id = PathSpec::model(model).unwrap().id();
    goal.learned[0].paths.iter().find(|path| path.path_id == id).unwrap().share
}

#[tokio::test]
async fn requests_go_more_often_to_what_users_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, &["sim/poor", "sim/good"]);
    assert_eq!(share(&engine, "sim/good"), 0.5);
    for _ in 0..60 {
        let completion = ask(&engine).await.unwrap();
        let kind = if is_good(&content(&completion)) { "user_accepted" } else { "user_rejected" };
        let run = Run::Trace(completion.decision.trace);
        let signal = engine.signal(run, lookup(kind).unwrap(), None, None, SignalMeta::default()).unwrap();
        engine.send(vec![signal]).unwrap();
        assert!(engine.flush(PATIENCE));
    }
    assert!(share(&engine, "sim/good") > 0.95, "{}", share(&engine, "sim/good"));
    assert!(engine.close(PATIENCE));

    // What was learned is in the ledger, not in the process.
    let again = open(folder.path());
    assert!(share(&again, "sim/good") > 0.95);
    again.close(PATIENCE);
}

#[tokio::test]
async fn a_path_that_fails_is_followed_by_the_next_and_each_attempt_has_its_own_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, &["sim/dead", "sim/good"]);
    let mut traces = Vec::new();
    for _ in 0..20 {
        let completion = ask(&engine).await.unwrap();
        assert_eq!(completion.path.model, "sim/good");
        traces.push((completion.decision.trace, completion.attempt));
        assert!(engine.flush(PATIENCE));
    }
    let (trace, _) =
        traces.iter().find(|(_, attempt)| *attempt == 1).expect("some were drawn for the dead path");
    let explanation = engine.explain(&trace.to_string()).unwrap().unwrap();
    let outcomes: Vec<_> =
        explanation.attempts.iter().map(|a| (a.answered, a.served, a.path.model.as_str())).collect();
    assert_eq!(outcomes, [(Some(false), false, "sim/dead"), (Some(true), true, "sim/good")]);
    assert!(explanation.attempts[0].failure_category.is_some());
    // A dead path is learned from outcomes alone, and nobody's silence counted as acceptance.
    assert!(share(&engine, "sim/good") > 0.8, "{}", share(&engine, "sim/good"));
    assert_eq!(engine.goal(&goal()).unwrap().learned[0].paths.iter().map(|p| p.graded).sum::<i64>(), 0);
    engine.close(PATIENCE);
}

#[tokio::test]
async fn when_every_path_fails_the_caller_hears_why_and_each_attempt_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, &["sim/dead", "nowhere-provider/x"]);
    let Err(CompleteError::Failed { trace: Some(trace), attempts: 2, failure }) = ask(&engine).await else {
        panic!("both paths fail")
    };
    assert_ne!(failure.category, FailureCategory::Unknown);
    assert!(engine.flush(PATIENCE));
    let explanation = engine.explain(&trace.to_string()).unwrap().unwrap();
    assert!(explanation.attempts.iter().all(|a| a.answered == Some(false)));
    engine.close(PATIENCE);
}

#[tokio::test]
async fn a_path_that_hangs_longer_than_the_request_may_take_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, &["sim/slow", "sim/good"]);
    let mut timeouts = 0;
    for _ in 0..12 {
        let body =
            ChatRequest::parse(br#"{"model":"goal:g","messages":[{"role":"user","content":"hello"}]}"#)
                .unwrap();
        let timeout = Some(Duration::from_millis(30));
        let request = CompleteRequest { decide: DecideRequest::of(goal()), body, timeout };
        if let Err(error) = engine.complete(request).await {
            let CompleteError::Failed { trace: Some(trace), failure, attempts: 1 } = error else {
                panic!("{error}")
            };
            assert_eq!(failure.category, FailureCategory::Timeout);
            assert!(engine.flush(PATIENCE));
            let explanation = engine.explain(&trace.to_string()).unwrap().unwrap();
            assert_eq!(explanation.attempts[0].failure_category, Some(FailureCategory::Timeout));
            timeouts += 1;
        }
    }
    assert!(timeouts >= 1);
    assert!(share(&engine, "sim/good") > 0.6, "{}", share(&engine, "sim/good"));
    engine.close(PATIENCE);
}

#[test]
fn a_turn_reported_just_before_the_next_request_grades_the_answer_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, &["sim/good"]);
    for round in 0..50 {
        let session = engine.session_hash(&SessionId::new(&format!("s{round}")).unwrap());
        let request = DecideRequest { session: Some(session), ..DecideRequest::of(goal()) };
        let before = engine.decide(&request).unwrap().trace;
        let turn = engine.turn(Run::Session(session), "That's wrong, try again.", SignalMeta::default());
        engine.send(turn.facts).unwrap();
        let after = engine.decide(&request).unwrap().trace;
        assert!(engine.flush(PATIENCE));
        let graded = |trace: kalibr_engine::core::ids::TraceId| {
            engine.explain(&trace.to_string()).unwrap().unwrap().evidence.len()
        };
        assert_eq!((graded(before), graded(after)), (1, 0), "round {round}");
    }
    engine.close(PATIENCE);
}

#[tokio::test]
async fn a_stream_is_recorded_when_it_ends_and_when_its_reader_goes_away() {
    use futures_util::StreamExt;
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, &["sim/good"]);
    let start = async || {
        let body = br#"{"model":"goal:g","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;
        let body = ChatRequest::parse(body).unwrap();
        engine
            .stream(CompleteRequest { decide: DecideRequest::of(goal()), body, timeout: None })
            .await
            .unwrap()
    };
    let mut whole = start().await;
    let trace = whole.decision.trace;
    let mut bytes = Vec::new();
    while let Some(chunk) = whole.next().await {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    assert!(String::from_utf8(bytes).unwrap().contains("[DONE]"));
    let abandoned = start().await;
    let gone = abandoned.decision.trace;
    drop(abandoned);
    // Clients close at [DONE], before the stream itself has ended.
    let mut punctual = start().await;
    let left_at_done = punctual.decision.trace;
    while let Some(chunk) = punctual.next().await {
        if String::from_utf8_lossy(&chunk.unwrap()).contains("[DONE]") {
            break;
        }
    }
    drop(punctual);
    assert!(engine.flush(PATIENCE));
    let answered = |trace: kalibr_engine::core::ids::TraceId| {
        engine.explain(&trace.to_string()).unwrap().unwrap().attempts[0].answered
    };
    assert_eq!(answered(trace), Some(true));
    assert_eq!(answered(left_at_done), Some(true));
    assert_eq!(answered(gone), None, "who went away says nothing of the path");
    engine.close(PATIENCE);
}

#[test]
fn a_session_signal_grades_its_latest_run_and_an_action_overrides_a_turn() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, &["sim/good", "sim/poor"]);
    let session = engine.session_hash(&SessionId::new("user-session-123").unwrap());
    let decision =
        engine.decide(&DecideRequest { session: Some(session), ..DecideRequest::of(goal()) }).unwrap();
    let turn = engine.turn(Run::Session(session), "That's wrong, try again.", SignalMeta::default());
    assert!(turn.verdict.rejection > 0.5);
    let action =
        engine.action(Run::Session(session), "output_used_verbatim", None, SignalMeta::default()).unwrap();
    engine.send(turn.facts.into_iter().chain([action]).collect()).unwrap();
    assert!(engine.flush(PATIENCE));

    let explanation = engine.explain(&decision.trace.to_string()).unwrap().unwrap();
    assert_eq!(explanation.attempts[0].graded_by, Some(Source::Action));
    assert_eq!(explanation.attempts[0].strength, Some(1.0));
    assert_eq!(explanation.evidence.len(), 2);
    assert!(explanation.evidence.iter().all(|e| e.addressed_by == "session"));
    let effect = &explanation.effect[0];
    assert!(effect.expected_with > effect.expected_without);
    // The session's own name finds its latest run.
    assert_eq!(engine.explain("user-session-123").unwrap().unwrap().trace_id, decision.trace);
    engine.close(PATIENCE);
}

#[test]
fn a_follow_up_that_says_nothing_of_the_answer_is_no_signal() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let session = engine.session_hash(&SessionId::new("s").unwrap());
    let turn = engine.turn(
        Run::Session(session),
        "Now another question: what is a prefix code?",
        SignalMeta::default(),
    );
    assert!(!turn.facts.iter().any(|fact| matches!(fact, Fact::Signal(_))) && !turn.asked);
    engine.close(PATIENCE);
}

#[tokio::test]
async fn a_follow_up_is_read_after_what_is_kept_of_the_run_before_it_also_by_a_later_process() {
    let folder = tempfile::tempdir().unwrap();
    let request = "Sort this list of words by their length, longest first";
    let engine = open(folder.path());
    put(&engine, &["sim/good"]);
    let session = engine.session_hash(&SessionId::new("s").unwrap());
    let stranger = engine.session_hash(&SessionId::new("t").unwrap());
    let report = RunReport {
        goal: Some(goal()),
        model: Some("sim/good".to_owned()),
        prompt: Some(request.into()),
        output: Some("fig, apple".into()),
        ..RunReport::default()
    };
    engine.send(engine.run(Some(session), &report).unwrap().facts).unwrap();
    assert!(engine.flush(PATIENCE));
    let alone = engine.verdict(Run::Session(stranger), request, None).rejection;
    let again = engine.verdict(Run::Session(session), request, None).rejection;
    assert!(again > alone, "{again} {alone}");
    assert_eq!(engine.verdict_after(Run::Session(session), request.into(), None).await.rejection, again);
    engine.close(PATIENCE);

    // What is in no memory is in the ledger.
    let engine = open(folder.path());
    assert_eq!(engine.verdict(Run::Session(session), request, None).rejection, alone);
    assert_eq!(engine.verdict_after(Run::Session(session), request.into(), None).await.rejection, again);
    engine.close(PATIENCE);
}

#[test]
fn a_withdrawn_signal_leaves_no_trace_in_what_was_learned() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, &["sim/good", "sim/poor"]);
    let decision = engine.decide(&DecideRequest::of(goal())).unwrap();
    assert!(engine.flush(PATIENCE));
    let before = engine.goal(&goal()).unwrap().learned[0].paths.clone();
    let id = SignalId::new("mine").unwrap();
    let meta = SignalMeta { id: Some(id.clone()), at: None };
    let signal = engine
        .signal(Run::Trace(decision.trace), lookup("user_rejected").unwrap(), None, None, meta)
        .unwrap();
    engine.send(vec![signal]).unwrap();
    assert!(engine.flush(PATIENCE));
    assert_ne!(engine.goal(&goal()).unwrap().learned[0].paths, before);
    engine.send(vec![engine.withdrawal(id)]).unwrap();
    assert!(engine.flush(PATIENCE));
    assert_eq!(engine.goal(&goal()).unwrap().learned[0].paths, before);
    engine.close(PATIENCE);
}

#[test]
fn a_run_that_kalibr_did_not_route_still_teaches_about_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, &["sim/good", "sim/poor"]);
    let session = engine.session_hash(&SessionId::new("s").unwrap());
    let alias = engine.alias_hash("my-own-run-17");
    let report = RunReport {
        goal: Some(goal()),
        model: Some("sim/poor".to_owned()),
        alias: Some(alias),
        ..RunReport::default()
    };
    let run = engine.run(Some(session), &report).unwrap();
    assert!(run.known_path);
    let trace = run.trace;
    engine.send(run.facts).unwrap();
    // Reported again, as after a lost answer, it is the same run.
    let again = engine.run(Some(session), &report).unwrap();
    engine.send(again.facts).unwrap();
    assert_eq!(again.trace, trace);
    engine
        .send(vec![
            engine.action(Run::Session(session), "output_discarded", None, SignalMeta::default()).unwrap(),
        ])
        .unwrap();
    assert!(engine.flush(PATIENCE));
    assert!(share(&engine, "sim/poor") < 0.5);
    assert_eq!(engine.explain("my-own-run-17").unwrap().unwrap().trace_id, trace);
    assert_eq!(engine.goal(&goal()).unwrap().learned[0].paths.iter().map(|p| p.attempts).sum::<i64>(), 1);
    engine.close(PATIENCE);
}

#[test]
fn a_reported_model_is_known_by_its_own_name_its_providers_prefix_or_its_date() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, &["openai/gpt-4o", "sim/good"]);
    let run = |model: &str| {
        let report = RunReport { goal: Some(goal()), model: Some(model.to_owned()), ..RunReport::default() };
        engine.run(None, &report).unwrap()
    };
    for model in ["openai/gpt-4o", "gpt-4o", "gpt-4o-2024-08-06", "sim/good", "good"] {
        assert!(run(model).known_path, "{model}");
    }
    // Of two providers with a model of one name, the bare name is the one that it resolves to.
    put(&engine, &["openrouter/openai/gpt-4o", "openai/gpt-4o", "sim/good"]);
    let bare = run("gpt-4o");
    let bare_trace = bare.trace.to_string();
    engine.send(bare.facts).unwrap();
    assert!(engine.flush(PATIENCE));
    assert_eq!(engine.explain(&bare_trace).unwrap().unwrap().chosen.model, "openai/gpt-4o");
    let stranger = run("gpt-4o-mini");
    assert!(!stranger.known_path);
    let trace = stranger.trace.to_string();
    engine.send(stranger.facts).unwrap();
    assert!(engine.flush(PATIENCE));
    let explanation = engine.explain(&trace).unwrap().unwrap();
    assert_eq!((explanation.chosen.model.as_str(), explanation.effect.len()), ("gpt-4o-mini", 0));
    engine.close(PATIENCE);
}

/// A provider that refuses the requests of one model, finds those of another too long, and fails on all others.
fn refusing_provider() -> String {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(&connection);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let body = String::from_utf8(body).unwrap();
            let (status, error) = match () {
                () if body.contains("refuses") => {
                    ("400 Bad Request", r#"{"error":{"type":"invalid_request_error"}}"#)
                }
                () if body.contains("too-small") => {
                    ("400 Bad Request", r#"{"error":{"code":"context_length_exceeded"}}"#)
                }
                () => ("500 Internal Server Error", r#"{"error":{}}"#),
            };
            let length = error.len();
            let head = "content-type: application/json\r\nconnection: close";
            write!(&connection, "HTTP/1.1 {status}\r\n{head}\r\ncontent-length: {length}\r\n\r\n{error}")
                .unwrap();
        }
    });
    base_url
}

#[tokio::test]
async fn where_no_answer_came_nobody_is_graded_whatever_the_user_says() {
    let folder = tempfile::tempdir().unwrap();
    let providers = serde_json::json!({ "providers": { "fake": { "base_url": refusing_provider() } } });
    let config: Config = serde_json::from_value(providers).unwrap();
    let engine =
        Engine::open(EngineConfig::new(Home::at(folder.path()), &config, &|_| None).unwrap()).unwrap();
    for (models, replies) in [
        // The request itself is at fault: nobody is to blame, and the next path is not asked.
        (vec!["fake/refuses"], vec![None]),
        (vec!["fake/down"], vec![Some(false)]),
        // The first path cannot read so much, the second is down.
        (vec!["fake/too-small", "fake/down"], vec![None, Some(false)]),
    ] {
        put(&engine, &models);
        let body =
            ChatRequest::parse(br#"{"model":"goal:g","messages":[{"role":"user","content":"hello"}]}"#)
                .unwrap();
        let request = CompleteRequest { decide: DecideRequest::of(goal()), body, timeout: None };
        let failed = engine.complete(request).await;
        let Err(CompleteError::Failed { trace: Some(trace), .. }) = failed else { panic!("no path answers") };
        let kind = lookup("user_rejected").unwrap();
        let signal = engine.signal(Run::Trace(trace), kind, None, None, SignalMeta::default()).unwrap();
        engine.send(vec![signal]).unwrap();
        assert!(engine.flush(PATIENCE));
        let explanation = engine.explain(&trace.to_string()).unwrap().unwrap();
        assert_eq!(explanation.evidence.len(), 1);
        assert!(explanation.attempts.iter().all(|a| !a.served && a.graded_by.is_none()), "{models:?}");
        let mut answered: Vec<_> = explanation.attempts.iter().map(|a| a.answered).collect();
        answered.sort_unstable();
        assert_eq!(answered, replies, "{models:?}");
        assert!(engine.goal(&goal()).unwrap().learned[0].paths.iter().all(|path| path.graded == 0));
    }
    engine.close(PATIENCE);
}

#[test]
fn a_decision_names_the_change_of_the_ledger_that_its_table_was_built_from() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, &["sim/good", "sim/poor"]);
    let mut versions = Vec::new();
    for _ in 0..3 {
        let decision = engine.decide(&DecideRequest::of(goal())).unwrap();
        assert!(engine.flush(PATIENCE));
        versions.push(engine.explain(&decision.trace.to_string()).unwrap().unwrap().table_version);
    }
    assert!(versions.is_sorted() && versions[0] < versions[2], "{versions:?}");
    put(&engine, &["sim/good", "sim/poor", "sim/dead"]);
    let decision = engine.decide(&DecideRequest::of(goal())).unwrap();
    assert!(engine.flush(PATIENCE));
    assert!(engine.explain(&decision.trace.to_string()).unwrap().unwrap().table_version > versions[2]);
    engine.close(PATIENCE);
}

#[test]
fn pipelines_and_buckets_learn_apart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, &["sim/good", "sim/poor"]);
    let mine = DecideRequest {
        pipeline: Some("mine".parse().unwrap()),
        bucket: Some("code".parse().unwrap()),
        ..DecideRequest::of(goal())
    };
    for _ in 0..20 {
        let decision = engine.decide(&mine).unwrap();
        let kind = if decision.path.model == "sim/poor" { "user_accepted" } else { "user_rejected" };
        let run = Run::Trace(decision.trace);
        engine
            .send(vec![engine.signal(run, lookup(kind).unwrap(), None, None, SignalMeta::default()).unwrap()])
            .unwrap();
        assert!(engine.flush(PATIENCE));
    }
    let learned = engine.goal(&goal()).unwrap().learned;
    assert_eq!(learned.len(), 1);
    assert_eq!(learned[0].pipeline, mine.pipeline);
    assert!(learned[0].paths[1].share > 0.9);
    // Others still know nothing.
    let fresh = engine.decide(&DecideRequest::of(goal())).unwrap();
    assert_eq!(fresh.propensity, 0.5);
    engine.close(PATIENCE);
}

#[test]
fn two_engines_on_one_data_folder_see_each_others_learning_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()), open(folder.path()));
    put(&one, &["sim/good", "sim/poor"]);
    let begun = Instant::now();
    while two.goal(&goal()).is_none() {
        assert!(begun.elapsed() < Duration::from_secs(1), "the goal was not seen");
        std::thread::sleep(Duration::from_millis(5));
    }
    let decision = one.decide(&DecideRequest::of(goal())).unwrap();
    // The signal reaches the other process, before anything of the decision is in its memory.
    let run = Run::Trace(decision.trace);
    assert!(one.flush(PATIENCE));
    two.send(vec![
        two.signal(run, lookup("user_rejected").unwrap(), None, None, SignalMeta::default()).unwrap(),
    ])
    .unwrap();
    assert!(two.flush(PATIENCE));
    let begun = Instant::now();
    while (share(&one, &decision.path.model) - share(&two, &decision.path.model)).abs() > 1e-12
        || share(&one, &decision.path.model) > 0.4
    {
        assert!(begun.elapsed() < Duration::from_secs(1), "the learning was not seen");
        std::thread::sleep(Duration::from_millis(5));
    }
    one.close(PATIENCE);
    two.close(PATIENCE);
}

#[test]
fn a_decision_that_cannot_be_made_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let unknown = engine.decide(&DecideRequest::of(goal())).unwrap_err();
    assert!(
        matches!(unknown, DecideError::UnknownGoal(_)) && unknown.to_string().contains("PUT /v1/goals/g")
    );
    put(&engine, &["sim/good", "sim/poor"]);
    let none = DecideRequest { candidates: Some(vec![]), ..DecideRequest::of(goal()) };
    assert!(matches!(engine.decide(&none), Err(DecideError::NoEligiblePath(..))));
    let strange = DecideRequest { force_model: Some("gpt-9".into()), ..DecideRequest::of(goal()) };
    assert!(matches!(engine.decide(&strange), Err(DecideError::UnknownModel(_))));
    let forced = DecideRequest { force_model: Some("sim/poor".into()), ..DecideRequest::of(goal()) };
    let forced = engine.decide(&forced).unwrap();
    assert_eq!(
        (forced.path.model.as_str(), forced.propensity, forced.reason),
        ("sim/poor", 1.0, Reason::Forced)
    );
    assert!(engine.remove_goal(&goal()).unwrap());
    assert!(matches!(engine.decide(&DecideRequest::of(goal())), Err(DecideError::UnknownGoal(_))));
    engine.close(PATIENCE);
}

#[test]
fn a_goal_that_cannot_be_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let path = |model: &str| PathSpec::model(model).unwrap();
    let put = |settings: GoalSettings, paths: &[PathSpec]| {
        engine.put_goal(&goal(), &settings, paths, PathUpdate::Replace)
    };
    assert!(matches!(put(GoalSettings::default(), &[]), Err(GoalError::NoPaths)));
    let many: Vec<_> = (0..201).map(|i| path(&format!("m{i}"))).collect();
    assert!(matches!(put(GoalSettings::default(), &many), Err(GoalError::TooManyPaths)));
    for (half_life, floor) in [(-1.0, 0.01), (f64::NAN, 0.01), (800.0, 0.6), (800.0, f64::NAN)] {
        assert!(matches!(
            put(GoalSettings { half_life, floor, ..GoalSettings::default() }, &[path("m")]),
            Err(GoalError::Settings(_))
        ));
    }
    assert!(engine.goals().is_empty());
    put(GoalSettings::default(), &[path("m"), path("m"), path("n")]).unwrap();
    assert_eq!(engine.goal(&goal()).unwrap().paths.len(), 2, "a path that is listed twice is one path");
    put(GoalSettings::default(), &many[..200]).unwrap();
    assert_eq!(engine.goal(&goal()).unwrap().paths.len(), 200);
    engine.close(PATIENCE);
}

#[test]
fn an_event_time_far_ahead_of_the_clock_does_not_win_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, &["sim/good"]);
    let decision = engine.decide(&DecideRequest::of(goal())).unwrap();
    let run = Run::Trace(decision.trace);
    let ahead = SignalMeta { id: None, at: Some(Timestamp(i64::MAX)) };
    engine
        .send(vec![engine.signal(run, lookup("user_accepted").unwrap(), None, None, ahead).unwrap()])
        .unwrap();
    std::thread::sleep(Duration::from_millis(2));
    engine
        .send(vec![
            engine.signal(run, lookup("user_rejected").unwrap(), None, None, SignalMeta::default()).unwrap(),
        ])
        .unwrap();
    assert!(engine.flush(PATIENCE));
    let explanation = engine.explain(&decision.trace.to_string()).unwrap().unwrap();
    assert_eq!(explanation.attempts[0].strength, Some(0.0));
    engine.close(PATIENCE);
}

#[test]
fn a_log_that_overflows_is_counted_and_never_stops_a_decision() {
    let folder = tempfile::tempdir().unwrap();
    let config: Config = Config::default();
    let mut config = EngineConfig::new(Home::at(folder.path()), &config, &|_| None).unwrap();
    config.writer = WriterConfig { log_limit: 5, ..WriterConfig::default() };
    let engine = Engine::open(config).unwrap();
    put(&engine, &["sim/good"]);
    engine.suspend();
    for _ in 0..2_000 {
        engine.decide(&DecideRequest::of(goal())).unwrap();
    }
    assert!(engine.health().dropped > 1_000, "{:?}", engine.health());
    engine.resume();
    assert!(engine.close(PATIENCE));
}

#[tokio::test]
async fn requests_are_classed_where_the_goal_says_so_and_the_callers_word_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let body =
        br#"{"model":"goal:g","messages":[{"role":"user","content":"Write a Python function that adds."}]}"#;
    let body = ChatRequest::parse(body).unwrap();
    for (buckets, named, expected) in [
        (Buckets::Auto, None, "code"),
        (Buckets::Auto, Some("mine"), "mine"),
        (Buckets::Off, None, "all"),
        (Buckets::Off, Some("mine"), "mine"),
    ] {
        let settings = GoalSettings { buckets, ..GoalSettings::default() };
        let paths = [PathSpec::model("sim/good").unwrap()];
        engine.put_goal(&goal(), &settings, &paths, PathUpdate::Replace).unwrap();
        let decide =
            || DecideRequest { bucket: named.map(|name| name.parse().unwrap()), ..DecideRequest::of(goal()) };
        let request = || CompleteRequest { decide: decide(), body: body.clone(), timeout: None };
        let completion = engine.complete(request()).await.unwrap();
        assert_eq!(completion.decision.bucket.as_str(), expected);
        let stream = engine.stream(request()).await.unwrap();
        assert_eq!(stream.decision.bucket.as_str(), expected);
        // Without a body there is nothing to class.
        assert_eq!(engine.decide(&decide()).unwrap().bucket.as_str(), named.unwrap_or("all"));
        assert!(engine.flush(PATIENCE));
        let trace = completion.decision.trace.to_string();
        assert_eq!(engine.explain(&trace).unwrap().unwrap().bucket.as_str(), expected);
    }
    engine.close(PATIENCE);
}
