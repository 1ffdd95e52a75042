//! How hard a request is tried: calls again, waits, hedges and timeouts.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Reply;
use crate::kalibr::Kalibr;
use crate::provider::{Provider, Script};

const ANSWER: &str =
    r#"{"choices":[{"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}]}"#;
const EVENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"yes\"},\"finish_reason\":\"stop\"}]}\n\n";

fn answer() -> Script {
    Script::answer("200 OK", "content-type: application/json\r\n", ANSWER)
}

fn error(status: &str, headers: &str) -> Script {
    let body = r#"{"error": {"message": "not now"}}"#;
    Script::answer(status, &format!("content-type: application/json\r\n{headers}"), body)
}

fn silent() -> Script {
    Script { pieces: vec![String::new()], pause: Duration::from_secs(30) }
}

/// Goal `g` with these paths, tried as `calls` say.
async fn tried(provider: &Provider, paths: Value, calls: Value) -> Kalibr {
    let kalibr = Kalibr::start(&provider.config()).await;
    kalibr.client.put("/v1/goals/g", json!({ "paths": paths, "calls": calls })).await.ok(200);
    kalibr
}

async fn attempts(kalibr: &Kalibr, reply: &Reply) -> Vec<Value> {
    let decision = kalibr.decision(reply.header("x-kalibr-trace-id").unwrap()).await;
    decision["attempts"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_path_is_called_again_when_its_failure_may_pass() {
    for failed in
        [error("503 Service Unavailable", ""), error("429 Too Many Requests", ""), Script::bytes("")]
    {
        let provider = Provider::start(&[("m", failed.clone()), ("m", failed), ("m", answer())]).await;
        let kalibr = tried(&provider, json!(["raw/m"]), json!({ "backoff_ms": 20 })).await;
        let reply = kalibr.ask(&[]).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, ANSWER));
        assert_eq!(reply.header("x-kalibr-attempt"), Some("2"));
        let attempts = attempts(&kalibr, &reply).await;
        let answered: Vec<_> = attempts.iter().map(|attempt| attempt["answered"].clone()).collect();
        assert_eq!(answered, [json!(false), json!(false), json!(true)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_has_not_begun_is_called_again_too() {
    let provider =
        Provider::start(&[("m", error("502 Bad Gateway", "")), ("m", Script::stream(&[EVENT]))]).await;
    let kalibr = tried(&provider, json!(["raw/m"]), json!({ "backoff_ms": 20 })).await;
    let question =
        json!({ "model": "goal:g", "stream": true, "messages": [{ "role": "user", "content": "?" }] });
    let reply = kalibr.client.post("/v1/chat/completions", question).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, EVENT));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_path_is_asked_before_anybody_waits() {
    let provider = Provider::start(&[("m", error("503 Service Unavailable", "")), ("n", answer())]).await;
    let calls = json!({ "backoff_ms": 5000 });
    let kalibr = tried(&provider, json!(["raw/m", "raw/n"]), calls).await;
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(kalibr.ask(&[]).await.status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(provider.seen().iter().any(|body| body["model"] == "m"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_the_provider_asks_for_is_kept() {
    let limited = error("429 Too Many Requests", "retry-after-ms: 700\r\n");
    let provider = Provider::start(&[("m", limited), ("m", answer())]).await;
    let kalibr = tried(&provider, json!(["raw/m"]), json!({ "backoff_ms": 1 })).await;
    let begun = Instant::now();
    assert_eq!(kalibr.ask(&[]).await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(700));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_pass_is_not_called_again() {
    for failed in [
        error("401 Unauthorized", ""),
        error("404 Not Found", ""),
        error("400 Bad Request", ""),
        error("429 Too Many Requests", "retry-after: 60\r\n"),
    ] {
        let provider = Provider::start(&[("m", failed), ("m", answer())]).await;
        let kalibr = tried(&provider, json!(["raw/m"]), json!({ "backoff_ms": 1 })).await;
        assert!(kalibr.ask(&[]).await.status.is_client_error());
        assert_eq!(provider.seen().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_calls_are_made_than_the_goal_allows() {
    let failed = error("500 Internal Server Error", "");
    let provider = Provider::start(&[("m", failed.clone()), ("n", failed)]).await;
    for (attempts, paths) in
        [(1, json!(["raw/m", "raw/n"])), (3, json!(["raw/m", "raw/n"])), (2, json!(["raw/m"]))]
    {
        let before = provider.seen().len();
        let kalibr = tried(&provider, paths, json!({ "attempts": attempts, "backoff_ms": 1 })).await;
        assert_eq!(kalibr.ask(&[]).await.status, 500);
        assert_eq!(provider.seen().len() - before, attempts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_attempt_gives_way_to_the_next_path() {
    let provider = Provider::start(&[("m", silent()), ("n", answer())]).await;
    let kalibr = tried(&provider, json!(["raw/m", "raw/n"]), json!({ "attempt_timeout_ms": 200 })).await;
    let mut gave_way = false;
    for _ in 0..10 {
        let reply = kalibr.ask(&[]).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-kalibr-model")), (200, Some("raw/n")));
        if reply.header("x-kalibr-attempt") == Some("1") {
            gave_way = true;
            assert_eq!(attempts(&kalibr, &reply).await[0]["failure_category"], "timeout");
        }
    }
    assert!(gave_way);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_attempts_together_take_no_longer_than_the_goal_or_the_caller_says() {
    let provider = Provider::start(&[("m", silent()), ("n", silent())]).await;
    for (calls, headers) in
        [(json!({ "timeout_ms": 300 }), vec![]), (json!({}), vec![("x-kalibr-timeout-ms", "300")])]
    {
        let kalibr = tried(&provider, json!(["raw/m", "raw/n"]), calls).await;
        let begun = Instant::now();
        let message = kalibr.ask(&headers).await.error(504, "timeout");
        assert!(message.contains("300 ms"), "{message}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hedged_request_is_answered_by_whoever_is_first() {
    let slow =
        Script { pieces: vec![String::new(), answer().pieces.concat()], pause: Duration::from_millis(400) };
    let provider = Provider::start(&[("m", slow), ("n", silent())]).await;
    let kalibr = tried(&provider, json!(["raw/m", "raw/n"]), json!({ "hedge_after_ms": 100 })).await;
    let mut chosen = [false; 2];
    for _ in 0..12 {
        let reply = kalibr.ask(&[]).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-kalibr-model")), (200, Some("raw/m")));
        let attempts = attempts(&kalibr, &reply).await;
        assert_eq!(attempts.len(), 2);
        // Whichever was first asked, the one that answered is the one that signals speak of.
        for attempt in &attempts {
            let is_slow = attempt["model"] == "raw/m";
            assert_eq!(attempt["served"], is_slow, "{attempts:?}");
            assert_eq!(attempt["answered"], if is_slow { json!(true) } else { Value::Null });
        }
        chosen[usize::from(attempts[0]["model"] == "raw/n")] = true;
    }
    assert_eq!(chosen, [true; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quick_answer_is_not_hedged() {
    let provider = Provider::start(&[("m", answer()), ("n", answer())]).await;
    let kalibr = tried(&provider, json!(["raw/m", "raw/n"]), json!({ "hedge_after_ms": 2000 })).await;
    for _ in 0..5 {
        assert_eq!(kalibr.ask(&[]).await.status, 200);
    }
    assert_eq!(provider.seen().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_cannot_be_are_refused_by_name() {
    let kalibr = Kalibr::start("").await;
    for calls in [json!({ "attempts": 0 }), json!({ "timeout_ms": 0 }), json!({ "retries": 3 }), json!(3)] {
        let reply = kalibr.client.put("/v1/goals/g", json!({ "paths": ["m"], "calls": calls })).await;
        assert_eq!(reply.status, 400, "{calls}");
        assert!(reply.text().contains("calls"), "{}", reply.text());
    }
    let headers = [("x-kalibr-timeout-ms", "0")];
    kalibr.client.put("/v1/goals/g", json!({ "paths": ["m"] })).await.ok(200);
    assert!(kalibr.ask(&headers).await.error(400, "invalid_field").contains("x-kalibr-timeout-ms"));
}
