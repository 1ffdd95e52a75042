//! What a goal wants beside success: through the in-process API, on a real ledger.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use kalibr_engine::core::ids::{Goal, Timestamp};
use kalibr_engine::core::objective::{Limits, Objective};
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::core::rules::Asked;
use kalibr_engine::core::safety::Risk;
use kalibr_engine::signals::vocabulary::lookup;
use kalibr_engine::upstream::ChatRequest;
use kalibr_engine::*;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);

/// A model at $0.02 a request, one at $0.0002, and one at nothing that users never like.
fn config(folder: &Path) -> EngineConfig {
    let model =
        |quality: f64| json!({ "quality": quality, "prompt_tokens": 1_000, "completion_tokens": 1_000 });
    let config: Config = serde_json::from_value(json!({
        "providers": { "sim": { "kind": "simulated", "models": {
            "dear": model(1.0), "cheap": model(1.0), "poor": model(0.0),
        } } },
        "prices": {
            "sim/dear": { "input": 10, "output": 10 },
            "sim/cheap": { "input": 0.1, "output": 0.1 },
            "sim/poor": { "input": 0, "output": 0 },
        },
    }))
    .unwrap();
    let config = EngineConfig::new(Home::at(folder), &config, &|_| None).unwrap();
    EngineConfig { seed: Some(7), ..config }
}

fn goal() -> Goal {
    Goal::new("g").unwrap()
}

fn put(engine: &Engine, settings: &GoalSettings, models: &[&str]) {
    let paths: Vec<_> = models.iter().map(|model| PathSpec::model(model).unwrap()).collect();
    engine.put_goal(&goal(), settings, &paths, PathUpdate::Replace).unwrap();
}

async fn ask(engine: &Engine, asked: Asked) -> Result<Completion, CompleteError> {
    let body = br#"{"model":"goal:g","messages":[{"role":"user","content":"hello"}]}"#;
    let body = ChatRequest::parse(body).unwrap();
    let decide = DecideRequest { asked, ..DecideRequest::of(goal()) };
    engine.complete(CompleteRequest { decide, body, timeout: None }).await
}

/// Asks, says what a user thinks of the answer, and waits until it is learned.
async fn asked_and_graded(engine: &Engine) -> Completion {
    let done = ask(engine, Asked::default()).await.unwrap();
    let kind = if done.path.model == "sim/poor" { "user_rejected" } else { "user_accepted" };
    let run = Run::Trace(done.decision.trace);
    let signal = engine.signal(run, lookup(kind).unwrap(), None, None, SignalMeta::default()).unwrap();
    engine.send(vec![signal]).unwrap();
    assert!(engine.flush(PATIENCE));
    done
}

fn learned(engine: &Engine, model: &str) -> LearnedPath {
    let goal = engine.goal(&goal()).unwrap();
    let id = PathSpec::model(model).unwrap().id();
    goal.learned[0].paths.iter().find(|path| path.path_id == id).unwrap().clone()
}

#[tokio::test]
async fn cost_breaks_ties_and_never_buys_a_worse_answer() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(folder.path())).unwrap();
    let objective = Objective::CheapestWithin { delta: 0.1, probability: 0.5 };
    let settings = GoalSettings { objective, ..GoalSettings::default() };
    put(&engine, &settings, &["sim/dear", "sim/cheap", "sim/poor"]);
    for _ in 0..80 {
        asked_and_graded(&engine).await;
    }
    let share = |model| learned(&engine, model).share;
    assert!(share("sim/cheap") > 0.8, "{} {}", share("sim/cheap"), share("sim/dear"));
    assert!(share("sim/poor") < 0.03, "free, and of no use: {}", share("sim/poor"));
    assert!((learned(&engine, "sim/dear").cost_usd.unwrap() - 0.02).abs() < 1e-9);
    engine.close(PATIENCE);
}

#[tokio::test]
async fn what_calls_took_is_known_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(folder.path())).unwrap();
    put(&engine, &GoalSettings::default(), &["sim/cheap"]);
    let typical = learned(&engine, "sim/cheap").cost_usd.unwrap();
    for _ in 0..5 {
        asked_and_graded(&engine).await;
    }
    let before = learned(&engine, "sim/cheap");
    assert!((before.cost_usd.unwrap() - 0.0002).abs() < 1e-12 && before.cost_usd != Some(typical));
    assert!(before.latency_p95_ms.is_some());
    assert!(engine.close(PATIENCE));
    let again = Engine::open(config(folder.path())).unwrap();
    assert_eq!(learned(&again, "sim/cheap"), before);
    again.close(PATIENCE);
}

#[tokio::test]
async fn a_budget_is_kept_on_average_though_nobody_grades_a_call() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(folder.path())).unwrap();
    let budget = 0.005;
    let objective = Objective::Budget { dollars_per_request: budget };
    put(&engine, &GoalSettings { objective, ..GoalSettings::default() }, &["sim/dear", "sim/cheap"]);
    let (calls, mut spent, mut dear) = (400, 0.0, 0);
    for call in 0..calls {
        let done = ask(&engine, Asked::default()).await.unwrap();
        let is_dear = done.path.model == "sim/dear";
        dear += u32::from(is_dear);
        spent += if is_dear { 0.02 } else { 0.0002 };
        if call % 5 == 0 {
            assert!(engine.flush(PATIENCE));
        }
    }
    let mean = spent / f64::from(calls);
    assert!(mean < 1.15 * budget, "${mean} a request");
    assert!(dear > 40, "the budget is there to be used: {dear}");
    engine.close(PATIENCE);
}

#[tokio::test]
async fn a_request_tightens_the_goals_caps_and_cannot_loosen_them() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(folder.path())).unwrap();
    let limits = Limits { max_cost_usd: Some(0.001), ..Limits::default() };
    put(&engine, &GoalSettings { limits, ..GoalSettings::default() }, &["sim/dear", "sim/cheap", "sim/poor"]);
    let at_most = |dollars| Asked { max_cost_usd: Some(dollars), ..Asked::default() };
    for _ in 0..20 {
        assert_ne!(ask(&engine, at_most(1.0)).await.unwrap().path.model, "sim/dear");
        assert_eq!(ask(&engine, at_most(1e-6)).await.unwrap().path.model, "sim/poor");
    }
    let refused = ask(&engine, Asked { max_cost_usd: Some(f64::NAN), ..Asked::default() }).await;
    assert!(matches!(refused, Err(CompleteError::Decide(DecideError::Asked(_)))));
    put(&engine, &GoalSettings { limits, ..GoalSettings::default() }, &["sim/dear"]);
    let refused = ask(&engine, at_most(1.0)).await.unwrap_err().to_string();
    assert!(
        refused.contains("sim/dear: expected to cost $0.02") && refused.contains("max_cost_usd"),
        "{refused}"
    );
    // Whoever forces a model has said what he wants.
    let forced = DecideRequest { force_model: Some("sim/dear".into()), ..DecideRequest::of(goal()) };
    assert_eq!(engine.decide(&forced).unwrap().propensity, 1.0);
    engine.close(PATIENCE);
}

#[test]
fn each_decision_logs_exact_propensities_and_why_a_path_was_not_eligible() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(config(folder.path())).unwrap();
    let settings = GoalSettings {
        baseline: Some("sim/dear".into()),
        holdout: 0.2,
        risk: [("sim/poor".into(), Risk::High)].into(),
        ..GoalSettings::default()
    };
    put(&engine, &settings, &["sim/dear", "sim/cheap", "sim/poor"]);
    let (mut held_out, calls) = (0, 300);
    let asked = Asked { risk: Risk::Medium, ..Asked::default() };
    for _ in 0..calls {
        let decision = engine.decide(&DecideRequest { asked, ..DecideRequest::of(goal()) }).unwrap();
        let is_held_out = decision.reason == Reason::Holdout;
        assert!(!is_held_out || decision.path.model == "sim/dear");
        held_out += u32::from(is_held_out);
        let expected = if decision.path.model == "sim/dear" { 0.2 + 0.8 * 0.5 } else { 0.8 * 0.5 };
        assert!((decision.propensity - expected).abs() < 1e-9, "{}", decision.propensity);
        let fallbacks: Vec<_> = decision.fallbacks.iter().map(|(_, path)| path.model.clone()).collect();
        assert_eq!(fallbacks.len(), 1, "{fallbacks:?}");
    }
    assert!((30..90).contains(&held_out), "{held_out} of {calls}");
    let last = engine.decide(&DecideRequest { asked, ..DecideRequest::of(goal()) }).unwrap();
    assert!(engine.flush(PATIENCE));
    let told = engine.explain(&last.trace.to_string()).unwrap().unwrap().considered;
    assert!((told.iter().map(|path| path.propensity).sum::<f64>() - 1.0).abs() < 1e-9);
    assert_eq!(told[2].propensity, 0.0);
    assert_eq!(told[2].not_eligible.as_deref(), Some("marked as too risky for a task of this risk"));
    assert!(told[..2].iter().all(|path| path.not_eligible.is_none()));
    engine.close(PATIENCE);
}

/// Every path, propensity and expected success of a stream of 300 requests, three of four graded some time later.
async fn stream(folder: &Path) -> Vec<(String, u64, Vec<u64>)> {
    // 2026-01-01, and 20 seconds later with each request.
    let time = Arc::new(AtomicI64::new(1_767_225_600_000_000));
    let told = Arc::clone(&time);
    let clock = Clock::new(move || Timestamp(told.load(Ordering::Relaxed)));
    let engine = Engine::open(EngineConfig { clock, refresh: Refresh::AtFlush, ..config(folder) }).unwrap();
    let settings = GoalSettings {
        objective: Objective::Budget { dollars_per_request: 0.01 },
        baseline: Some("sim/dear".into()),
        holdout: 0.1,
        ..GoalSettings::default()
    };
    put(&engine, &settings, &["sim/dear", "sim/cheap", "sim/poor"]);
    let mut seen = Vec::new();
    let mut ungraded = Vec::new();
    for call in 0..300 {
        time.fetch_add(20_000_000, Ordering::Relaxed);
        let risk = if call % 7 == 0 { Risk::Medium } else { Risk::Low };
        let done = ask(&engine, Asked { risk, ..Asked::default() }).await.unwrap();
        seen.push((done.path.model.clone(), done.decision.propensity.to_bits()));
        ungraded.push(done);
        if call % 10 == 9 {
            for (n, done) in ungraded.drain(..).enumerate().filter(|(n, _)| n % 4 != 0) {
                let kind = match (done.path.model.as_str(), n % 3) {
                    ("sim/poor", _) | ("sim/cheap", 0) => "user_rejected",
                    _ => "user_accepted",
                };
                let run = Run::Trace(done.decision.trace);
                let kind = lookup(kind).unwrap();
                let signal = engine.signal(run, kind, None, None, SignalMeta::default()).unwrap();
                engine.send(vec![signal]).unwrap();
            }
            assert!(engine.flush(PATIENCE));
        }
    }
    let believed =
        engine.goal(&goal()).unwrap().learned[0].paths.iter().map(|p| p.expected.to_bits()).collect();
    engine.close(PATIENCE);
    let mut all: Vec<_> =
        seen.into_iter().map(|(model, propensity)| (model, propensity, Vec::new())).collect();
    all.push((String::new(), 0, believed));
    all
}

#[tokio::test]
async fn a_whole_stream_replays_to_identical_decisions_with_the_same_seed_and_clock() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (stream(one.path()).await, stream(other.path()).await);
    assert_eq!(first, second);
    let propensities: std::collections::BTreeSet<u64> = first.iter().map(|(_, p, _)| *p).collect();
    assert!(propensities.len() > 30, "tables must have changed on the way: {}", propensities.len());
}
