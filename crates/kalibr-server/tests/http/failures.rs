use std::time::Duration;

use serde_json::{Value, json};

use crate::kalibr::{Kalibr, LAB};
use crate::provider::{Provider, Script};

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_path_falls_back_and_the_decision_shows_two_attempts() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/down", "lab/one"])).await;
    let mut fell_back = 0;
    for _ in 0..20 {
        let reply = kalibr.ask(&[]).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-kalibr-model"), Some("lab/one"));
        if reply.header("x-kalibr-attempt") != Some("1") {
            continue;
        }
        fell_back += 1;
        // The path that answered was not drawn.
        assert_eq!(reply.header("x-kalibr-propensity"), None);
        let decision = kalibr.decision(reply.header("x-kalibr-trace-id").unwrap()).await;
        assert_eq!(decision["chosen"]["model"], "lab/down");
        let attempts = decision["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 2);
        assert_eq!((&attempts[0]["model"], &attempts[0]["answered"]), (&json!("lab/down"), &json!(false)));
        assert_eq!((&attempts[1]["model"], &attempts[1]["served"]), (&json!("lab/one"), &json!(true)));
        assert_eq!(attempts[1]["path_id"], reply.header("x-kalibr-path").unwrap());
    }
    assert!(fell_back > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_path_fails_the_caller_gets_the_providers_own_error() {
    let body = r#"{"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}"#;
    let limited = Script::answer(
        "429 Too Many Requests",
        "retry-after: 17\r\ncontent-type: application/json\r\n",
        body,
    );
    let provider = Provider::start(&[("m", limited.clone()), ("n", limited)]).await;
    let kalibr = Kalibr::with_paths(&provider.config(), json!(["raw/m", "raw/n"])).await;
    for stream in [false, true] {
        let question =
            json!({ "model": "goal:g", "stream": stream, "messages": [{ "role": "user", "content": "?" }] });
        let reply = kalibr.client.post("/v1/chat/completions", question).await;
        assert_eq!(reply.status, 429);
        assert_eq!(reply.text(), body);
        assert_eq!(reply.header("retry-after"), Some("17"));
        let decision = kalibr.decision(reply.header("x-kalibr-trace-id").unwrap()).await;
        let attempts = decision["attempts"].as_array().unwrap();
        assert!(
            attempts.len() == 2 && attempts.iter().all(|attempt| attempt["answered"] == false),
            "{decision}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_without_a_providers_word_gets_a_sentence_of_ours() {
    let silent = Script { pieces: vec![String::new()], pause: Duration::from_secs(5) };
    let provider = Provider::start(&[("silent", silent), ("gone", Script::bytes(""))]).await;
    let config = provider.config() + "timeout_ms = 200\n";
    let kalibr = Kalibr::start(&config).await;
    for (model, status, code) in [("raw/silent", 504, "timeout"), ("raw/gone", 502, "provider_error")] {
        kalibr.client.put("/v1/goals/g", json!({ "paths": [model] })).await.ok(200);
        let reply = kalibr.ask(&[]).await;
        let message = reply.error(status, code);
        assert!(message.contains("provider raw"), "{message}");
        let decision = kalibr.decision(reply.header("x-kalibr-trace-id").unwrap()).await;
        assert_eq!(decision["attempts"][0]["failure_category"], code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_provider_refuses_is_not_tried_elsewhere() {
    let body = r#"{"error": {"message": "bad messages", "param": "messages"}}"#;
    let refused = Script::answer("400 Bad Request", "content-type: application/json\r\n", body);
    let provider = Provider::start(&[("m", refused.clone()), ("n", refused)]).await;
    let kalibr = Kalibr::with_paths(&provider.config(), json!(["raw/m", "raw/n"])).await;
    let reply = kalibr.ask(&[]).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (400, body));
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_dies_midway_ends_with_an_error_event() {
    let first = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let provider = Provider::start(&[("m", Script::stream(&[first]))]).await;
    let kalibr = Kalibr::with_paths(&provider.config(), json!(["raw/m"])).await;
    for model in ["goal:g", "raw/m"] {
        let question =
            json!({ "model": model, "stream": true, "messages": [{ "role": "user", "content": "?" }] });
        let reply = kalibr.client.post("/v1/chat/completions", question).await;
        assert_eq!(reply.status, 200);
        let rest = reply.text().strip_prefix(first).unwrap();
        let event: Value = serde_json::from_str(rest.strip_prefix("data: ").unwrap().trim_end()).unwrap();
        assert_eq!(event["error"]["code"], "provider_error");
        assert!(event["error"]["message"].as_str().unwrap().contains("before the answer was complete"));
        if let Some(trace) = reply.header("x-kalibr-trace-id") {
            assert_eq!(kalibr.decision(trace).await["attempts"][0]["answered"], false);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_leaves_an_attempt_of_which_nothing_is_known() {
    let slow = Script { pieces: vec![String::new()], pause: Duration::from_secs(30) };
    let provider = Provider::start(&[("m", slow)]).await;
    let kalibr = Kalibr::with_paths(&provider.config(), json!(["raw/m"])).await;
    let asked =
        tokio::time::timeout(Duration::from_millis(500), kalibr.ask(&[("x-kalibr-session", "s")])).await;
    assert!(asked.is_err());
    let mut known = false;
    for _ in 0..50 {
        let attempts = kalibr.decision("s").await["attempts"].clone();
        assert_eq!(attempts[0]["answered"], Value::Null, "{attempts}");
        known = attempts[0]["latency_ms"].is_number();
        if known {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(known, "the connection was closed, and the call should have been given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_down_is_left_alone_and_health_says_so_and_stays_well() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/down", "lab/one"])).await;
    let mut failed = 0;
    for _ in 0..60 {
        failed += usize::from(kalibr.ask(&[]).await.header("x-kalibr-attempt") == Some("1"));
    }
    assert!((5..=7).contains(&failed), "{failed} of 60 requests met it");
    let health = kalibr.client.get("/healthz").await.ok(200);
    let lab = &health["providers"][0];
    assert_eq!(
        (&lab["name"], &lab["state"], &lab["availability"]),
        (&json!("lab"), &json!("up"), &json!(1.0))
    );
    let down = lab["models"].as_array().unwrap().iter().find(|model| model["name"] == "down").unwrap();
    assert!(["down", "probing"].contains(&down["state"].as_str().unwrap()), "{health}");
    assert!(down["availability"].as_f64().unwrap() < 0.2, "{health}");
}
