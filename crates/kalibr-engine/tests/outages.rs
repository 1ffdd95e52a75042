//! Providers that go down and come back: what one goal finds out spares all the others.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use kalibr_engine::core::ids::{Goal, Timestamp};
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::core::safety::Risk;
use kalibr_engine::upstream::ChatRequest;
use kalibr_engine::*;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(10);
const SECOND: i64 = 1_000_000;

/// A clock that only the test moves.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_800_000_000 * SECOND)))
    }

    fn pass(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::Relaxed);
    }

    fn clock(&self) -> Clock {
        let hands = Arc::clone(&self.0);
        Clock::new(move || Timestamp(hands.load(Ordering::Relaxed)))
    }
}

fn open_with(folder: &Path, hands: &Hands, providers: &serde_json::Value) -> Engine {
    let config: Config = serde_json::from_value(json!({ "providers": providers })).unwrap();
    let mut config = EngineConfig::new(Home::at(folder), &config, &|_| None).unwrap();
    (config.seed, config.clock) = (Some(7), hands.clock());
    Engine::open(config).unwrap()
}

/// One provider that is down, with fifty models, and one that is up.
fn open(folder: &Path, hands: &Hands) -> Engine {
    let dead = json!({ "failure_rate": 1.0 });
    let models: serde_json::Map<_, _> = (0..50).map(|n| (format!("m{n}"), dead.clone())).collect();
    let providers = json!({
        "down": { "kind": "simulated", "models": models },
        "up": { "kind": "simulated", "models": { "m": {} } },
    });
    open_with(folder, hands, &providers)
}

fn name(goal: usize) -> Goal {
    Goal::new(&format!("g{goal}")).unwrap()
}

fn put(engine: &Engine, goal: usize, models: &[&str]) {
    let paths: Vec<_> = models.iter().map(|model| PathSpec::model(model).unwrap()).collect();
    let settings = GoalSettings { calls: each_path_once(), ..GoalSettings::default() };
    engine.put_goal(&name(goal), &settings, &paths, PathUpdate::Replace).unwrap();
}

/// No second call hides what became of the first.
fn each_path_once() -> CallRules {
    CallRules { longest_wait_ms: 0, ..CallRules::default() }
}

fn request(goal: usize) -> CompleteRequest {
    let body = br#"{"model":"goal:g","messages":[{"role":"user","content":"hello"}]}"#;
    let body = ChatRequest::parse(body).unwrap();
    CompleteRequest { decide: DecideRequest::of(name(goal)), body, timeout: None }
}

/// Attempts that failed before the answer came.
async fn failures(engine: &Engine, goal: usize) -> usize {
    usize::from(engine.complete(request(goal)).await.unwrap().attempt)
}

fn heal(engine: &Engine) {
    let handle = engine.upstream().providers().simulated("down").unwrap();
    for n in 0..50 {
        handle.update(&format!("m{n}"), |model| model.failure_rate = 0.0).unwrap();
    }
}

fn standing(engine: &Engine, provider: &str) -> &'static str {
    engine.providers().into_iter().find(|p| p.name == provider).map_or("unknown", |p| p.standing.state)
}

#[tokio::test]
async fn fifty_goals_spend_a_handful_of_calls_on_a_dead_provider_and_then_one_for_each_wait() {
    // Of one model that all goals have, and of fifty models with a goal each.
    for (shared, most) in [(true, 5), (false, 5)] {
        let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
        let engine = open(folder.path(), &hands);
        for goal in 0..50 {
            let model = format!("down/m{}", if shared { 0 } else { goal });
            put(&engine, goal, &[&model, "up/m"]);
        }
        let mut failed = 0;
        for _ in 0..10 {
            for goal in 0..50 {
                failed += failures(&engine, goal).await;
            }
        }
        assert!(failed <= most, "{failed} calls failed before the breaker opened");
        // An hour, a request of every goal in each minute. Waits: 1, 2, 4, ... 64, then 120 s, each a fifth less at most.
        let mut probes = 0;
        for _ in 0..60 {
            for goal in 0..50 {
                hands.pass(60 * SECOND / 50);
                probes += failures(&engine, goal).await;
            }
        }
        assert!((20..=7 + 3_600 / 96).contains(&probes), "{probes} probes in an hour");
        engine.close(PATIENCE);
    }
}

#[tokio::test]
async fn a_provider_that_is_back_is_used_by_all_goals_again_within_its_wait() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let engine = open(folder.path(), &hands);
    for goal in 0..50 {
        put(&engine, goal, &["down/m0", "up/m"]);
    }
    let called = async |goal: usize| engine.complete(request(goal)).await.unwrap().path.model.clone();
    // An outage of half an hour.
    for _ in 0..1_800 {
        hands.pass(SECOND);
        called(0).await;
    }
    heal(&engine);
    let mut waited = 0;
    while called(waited % 50).await == "up/m" {
        hands.pass(SECOND);
        waited += 1;
        assert!(waited < 300, "it is not used again");
    }
    assert!(waited <= 144 + 30, "{waited} s");
    // All at once, those too that asked for nothing during the outage. None need to try for themselves.
    let mut back = 0;
    for goal in 0..50 {
        for _ in 0..4 {
            back += usize::from(called(goal).await == "down/m0");
        }
    }
    assert!(back > 40, "{back} of 200");
    assert!(
        engine.providers().iter().all(|provider| provider.models.iter().all(|m| m.standing.state == "up"))
    );
    engine.close(PATIENCE);
}

#[tokio::test]
async fn a_burst_of_requests_sends_one_probe() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let engine = open(folder.path(), &hands);
    put(&engine, 0, &["down/m0", "up/m"]);
    while standing_of_model(&engine) != "down" {
        failures(&engine, 0).await;
    }
    let handle = engine.upstream().providers().simulated("down").unwrap();
    handle.update("m0", |model| model.latency_ms = 100).unwrap();
    hands.pass(2 * SECOND);
    let burst: Vec<_> = (0..100)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { failures(&engine, 0).await })
        })
        .collect();
    let mut probes = 0;
    for one in burst {
        probes += one.await.unwrap();
    }
    assert_eq!(probes, 1);
    engine.close(PATIENCE);
}

fn standing_of_model(engine: &Engine) -> &'static str {
    let all = engine.providers();
    let down = all.iter().find(|provider| provider.name == "down");
    down.and_then(|provider| provider.models.first()).map_or("unknown", |model| model.standing.state)
}

async fn break_it(engine: &Engine) {
    put(engine, 40, &["down/m0", "up/m"]);
    while standing_of_model(engine) != "down" {
        failures(engine, 40).await;
    }
}

#[tokio::test]
async fn a_request_never_fails_because_of_the_breaker_alone() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let engine = open(folder.path(), &hands);
    break_it(&engine).await;
    put(&engine, 0, &["down/m0"]);
    put(&engine, 1, &["down/m0", "down/m1"]);
    // It is tried, and the caller hears what the provider said.
    let failed = engine.complete(request(0)).await.unwrap_err();
    assert!(failed.to_string().contains("HTTP 500"), "{failed}");
    // Where the paths that are up fail, the one that is down is tried in the end.
    let up = engine.upstream().providers().simulated("up").unwrap();
    up.update("m", |model| model.failure_rate = 1.0).unwrap();
    let Err(CompleteError::Failed { attempts, .. }) = engine.complete(request(40)).await else { panic!() };
    assert_eq!(attempts, 2);
    heal(&engine);
    // Nobody has to wait for the next try: it is answered at once.
    assert_eq!(engine.complete(request(40)).await.unwrap().path.model, "down/m0");
    assert_eq!(engine.complete(request(0)).await.unwrap().path.model, "down/m0");
    engine.complete(request(1)).await.unwrap();
    assert_eq!(standing_of_model(&engine), "up");
    engine.close(PATIENCE);
}

#[tokio::test]
async fn a_decision_says_who_is_down_and_until_when_and_its_propensities_are_those_of_the_rest() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let engine = open(folder.path(), &hands);
    break_it(&engine).await;
    put(&engine, 0, &["down/m0", "up/m", "down/m1"]);
    for _ in 0..20 {
        let decision = engine.decide(&DecideRequest::of(name(0))).unwrap();
        assert!(engine.flush(PATIENCE));
        let known = engine.explain(&decision.trace.to_string()).unwrap().unwrap().considered;
        let left = known[0].not_eligible.clone().unwrap();
        assert!(left.starts_with("its model is down, next try in "), "{left}");
        for (path, expected) in known.iter().zip([0.0, 0.5, 0.5]) {
            assert!((path.propensity - expected).abs() < 1e-12, "{known:?}");
        }
        assert!((decision.propensity - 0.5).abs() < 1e-12);
        assert!(decision.fallbacks.iter().all(|(_, path)| path.model != "down/m0"));
    }
    engine.close(PATIENCE);
}

#[tokio::test]
async fn the_callers_word_counts_more_than_a_breaker() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let engine = open(folder.path(), &hands);
    break_it(&engine).await;
    let forced = DecideRequest { force_model: Some("down/m0".to_owned()), ..DecideRequest::of(name(40)) };
    let decision = engine.decide(&forced).unwrap();
    assert_eq!((decision.path.model.as_str(), decision.propensity), ("down/m0", 1.0));
    let only = PathSpec::model("down/m0").unwrap().id();
    let named = DecideRequest { candidates: Some(vec![only]), ..DecideRequest::of(name(40)) };
    let decision = engine.decide(&named).unwrap();
    assert_eq!((decision.path_id, decision.propensity, decision.reason), (only, 1.0, Reason::OnlyPath));
    // Candidates of which none is there stay an error.
    let none = DecideRequest { candidates: Some(vec![]), ..DecideRequest::of(name(40)) };
    assert!(matches!(engine.decide(&none), Err(DecideError::NoEligiblePath(..))));
    engine.close(PATIENCE);
}

#[tokio::test]
async fn a_probe_that_its_caller_gives_up_is_free_for_the_next_and_one_that_never_tells_lapses() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let engine = open(folder.path(), &hands);
    break_it(&engine).await;
    let handle = engine.upstream().providers().simulated("down").unwrap();
    handle.update("m0", |model| model.latency_ms = 60_000).unwrap();
    hands.pass(2 * SECOND);
    let probe = async || {
        // Until the draw falls on it.
        loop {
            let asked = tokio::time::timeout(Duration::from_millis(20), engine.complete(request(40))).await;
            if asked.is_err() {
                break;
            }
        }
    };
    probe().await;
    probe().await;
    // Who only decides makes the call itself, and holds the permit for a minute.
    let drawn = || engine.decide(&DecideRequest::of(name(40))).unwrap().path.model == "down/m0";
    while !drawn() {}
    assert!((0..200).all(|_| !drawn()));
    hands.pass(60 * SECOND);
    assert!((0..200).any(|_| drawn()));
    engine.close(PATIENCE);
}

#[tokio::test]
async fn an_outage_is_known_after_a_restart() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let engine = open(folder.path(), &hands);
    break_it(&engine).await;
    let before = engine.providers();
    assert!(engine.close(PATIENCE));
    let again = open(folder.path(), &hands);
    assert_eq!(again.providers(), before);
    assert_eq!(failures(&again, 40).await, 0);
    assert!(again.close(PATIENCE));
    // A day later nothing of it counts.
    hands.pass(86_400 * SECOND);
    let later = open(folder.path(), &hands);
    assert_eq!(later.providers(), []);
    later.close(PATIENCE);
}

#[tokio::test]
async fn all_goals_expect_less_of_a_provider_that_fails_and_as_much_as_before_of_what_it_answers() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let engine = open(folder.path(), &hands);
    put(&engine, 0, &["down/m0", "up/m"]);
    break_it(&engine).await;
    // A request of this goal never met the outage; the next refresh of its table knows of it.
    engine.complete(request(0)).await.unwrap();
    assert!(engine.flush(PATIENCE));
    let learned = engine.goal(&name(0)).unwrap().learned[0].paths.clone();
    assert!(learned[0].availability < 0.2 && learned[0].expected < 0.1, "{learned:?}");
    assert_eq!((learned[1].availability, learned[1].expected), (1.0, 0.5));
    engine.close(PATIENCE);
}

/// A provider that answers by the model's name, over HTTP.
fn scripted() -> String {
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
            let (status, more) = match () {
                () if body.contains("refuses") => ("400 Bad Request", ""),
                () if body.contains("unknown") => ("404 Not Found", ""),
                () if body.contains("busy") => ("429 Too Many Requests", "retry-after: 20\r\n"),
                () if body.contains("odd-wait") => ("503 Unavailable", "retry-after: 99999999999999\r\n"),
                () => ("500 Internal Server Error", ""),
            };
            let head = "content-type: application/json\r\nconnection: close\r\ncontent-length: 12";
            let said = r#"{"error":{}}"#;
            write!(&connection, "HTTP/1.1 {status}\r\n{more}{head}\r\n\r\n{said}").unwrap();
        }
    });
    base_url
}

#[tokio::test]
async fn what_providers_say_over_http_is_counted_where_it_belongs() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let engine = open_with(folder.path(), &hands, &json!({ "fake": { "base_url": scripted() } }));
    let ask = async |model: &str, times: usize| {
        put(&engine, 0, &[model]);
        for _ in 0..times {
            engine.complete(request(0)).await.unwrap_err();
        }
    };
    let state = |model: &str| {
        let all = engine.providers();
        let fake = all.into_iter().find(|provider| provider.name == "fake");
        let models = fake.map(|fake| {
            assert_eq!(fake.standing.state, "up");
            fake.models
        });
        models.into_iter().flatten().find(|m| m.name == model).map(|model| model.standing)
    };
    // The request itself is at fault.
    ask("fake/refuses", 20).await;
    assert_eq!(state("refuses"), None);
    ask("fake/unknown", 5).await;
    assert_eq!(state("unknown").unwrap().state, "down");
    ask("fake/busy", 1).await;
    let busy = state("busy").unwrap();
    assert_eq!((busy.state, busy.availability, busy.next_try_s), ("resting", 1.0, Some(20.0)));
    ask("fake/odd-wait", 1).await;
    assert_eq!(state("odd-wait").unwrap().next_try_s, Some(3_600.0));
    engine.close(PATIENCE);
}

#[tokio::test]
async fn a_goal_with_a_deadline_that_nobody_can_keep_does_not_take_the_provider_from_others() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let providers = json!({ "sim": { "kind": "simulated", "models": { "slow": { "latency_ms": 60_000 } } } });
    let engine = open_with(folder.path(), &hands, &providers);
    put(&engine, 0, &["sim/slow"]);
    put(&engine, 1, &["sim/slow"]);
    for _ in 0..6 {
        let hasty = CompleteRequest { timeout: Some(Duration::from_millis(5)), ..request(0) };
        engine.complete(hasty).await.unwrap_err();
    }
    assert_eq!(standing(&engine, "sim"), "unknown");
    let why = |goal: usize| {
        let decision = engine.decide(&DecideRequest::of(name(goal))).unwrap();
        assert!(engine.flush(PATIENCE));
        let learned = engine.goal(&name(goal)).unwrap().learned[0].paths[0].availability;
        (decision.propensity, learned < 1.0)
    };
    assert_eq!(why(0), (1.0, true));
    assert_eq!(why(1), (1.0, false));
    engine.close(PATIENCE);
}

#[tokio::test]
async fn a_clock_that_is_set_back_by_years_neither_locks_a_provider_nor_fails_a_request() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let engine = open(folder.path(), &hands);
    break_it(&engine).await;
    // While the process runs, its time stands almost still until the other has caught up.
    hands.pass(-100_000_000 * SECOND);
    for _ in 0..20 {
        assert_eq!(engine.complete(request(40)).await.unwrap().path.model, "up/m");
    }
    hands.pass(100_000_000 * SECOND);
    hands.pass(2 * SECOND);
    heal(&engine);
    let served = async |engine: &Engine| {
        let mut asked = 0;
        while engine.complete(request(40)).await.unwrap().path.model != "down/m0" {
            asked += 1;
            assert!(asked < 1_000, "it is not tried again");
        }
    };
    served(&engine).await;
    assert_eq!(standing_of_model(&engine), "up");
    assert!(engine.close(PATIENCE));
    // One that starts before what the ledger tells knows nothing of it.
    hands.pass(-100_000_000 * SECOND);
    let early = open(folder.path(), &hands);
    assert_eq!(early.providers(), []);
    heal(&early);
    served(&early).await;
    early.close(PATIENCE);
}

/// As `put`, with how little some models are trusted.
fn put_with_risk(engine: &Engine, goal: usize, models: &[&str], risk: &[(&str, Risk)]) {
    let paths: Vec<_> = models.iter().map(|model| PathSpec::model(model).unwrap()).collect();
    let risk = risk.iter().map(|(model, risk)| ((*model).to_owned(), *risk)).collect();
    let settings = GoalSettings { risk, calls: each_path_once(), ..GoalSettings::default() };
    engine.put_goal(&name(goal), &settings, &paths, PathUpdate::Replace).unwrap();
}

fn with_risk(goal: usize, risk: Risk) -> CompleteRequest {
    let mut request = request(goal);
    request.decide.asked.risk = risk;
    request
}

#[tokio::test]
async fn where_a_limit_leaves_only_a_path_that_is_down_it_is_tried_all_the_same() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let engine = open(folder.path(), &hands);
    break_it(&engine).await;
    put_with_risk(
        &engine,
        0,
        &["up/m", "down/m1", "down/m0"],
        &[("up/m", Risk::High), ("down/m1", Risk::High)],
    );
    heal(&engine);
    let answer = engine.complete(with_risk(0, Risk::Medium)).await.unwrap();
    assert_eq!((answer.path.model.as_str(), answer.decision.propensity), ("down/m0", 1.0));
    assert_eq!(answer.decision.reason, Reason::OnlyPath);
    assert_eq!(standing_of_model(&engine), "up");
    engine.close(PATIENCE);
}

#[tokio::test]
async fn a_limit_holds_for_the_last_resort_too() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let engine = open(folder.path(), &hands);
    break_it(&engine).await;
    put_with_risk(&engine, 0, &["down/m0", "up/m"], &[("down/m0", Risk::High)]);
    heal(&engine);
    let up = engine.upstream().providers().simulated("up").unwrap();
    up.update("m", |model| model.failure_rate = 1.0).unwrap();
    let failed = engine.complete(with_risk(0, Risk::Medium)).await;
    let Err(CompleteError::Failed { attempts, trace, .. }) = failed else { panic!("{failed:?}") };
    assert_eq!(attempts, 1);
    // What holds for longer is said first.
    assert!(engine.flush(PATIENCE));
    let known = engine.explain(&trace.unwrap().to_string()).unwrap().unwrap().considered;
    assert!(known[0].not_eligible.clone().unwrap().contains("risk"), "{known:?}");
    // A request that asks for nothing may go there in the end.
    assert_eq!(engine.complete(request(0)).await.unwrap().path.model, "down/m0");
    // Where limits rule out all paths, nothing is called, whoever is down.
    put_with_risk(&engine, 1, &["down/m0", "up/m"], &[("down/m0", Risk::High), ("up/m", Risk::High)]);
    let none = engine.complete(with_risk(1, Risk::Medium)).await;
    assert!(matches!(none, Err(CompleteError::Decide(DecideError::NoEligiblePath(..)))), "{none:?}");
    engine.close(PATIENCE);
}

#[tokio::test]
async fn a_baseline_that_is_down_takes_neither_its_holdout_nor_marks_for_the_comparison() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let engine = open(folder.path(), &hands);
    break_it(&engine).await;
    let paths = ["down/m0", "up/m"].map(|model| PathSpec::model(model).unwrap());
    let settings = GoalSettings { baseline: Some("down/m0".into()), holdout: 0.5, ..GoalSettings::default() };
    engine.put_goal(&name(0), &settings, &paths, PathUpdate::Replace).unwrap();
    for _ in 0..50 {
        let decision = engine.decide(&DecideRequest::of(name(0))).unwrap();
        assert_eq!((decision.path.model.as_str(), decision.propensity), ("up/m", 1.0));
        assert!(!decision.held_out);
    }
    engine.close(PATIENCE);
}

#[tokio::test]
async fn a_frozen_goal_goes_around_an_outage_too() {
    let (folder, hands) = (tempfile::tempdir().unwrap(), Hands::new());
    let engine = open(folder.path(), &hands);
    put(&engine, 0, &["down/m0", "up/m"]);
    engine.freeze_goal(&name(0)).unwrap();
    break_it(&engine).await;
    for _ in 0..50 {
        assert_eq!(engine.complete(request(0)).await.unwrap().path.model, "up/m");
    }
    engine.close(PATIENCE);
}
