use bytes::Bytes;
use http::Method;
use kalibr_server::ServerConfig;
use serde_json::{Map, Value, json};

use crate::kalibr::{Kalibr, LAB};

/// What is wrong with a signal that is fine otherwise | the error's code | a word of its message.
const SIGNALS: &str = r#"
{"type": "thumbs_up"} | unknown_signal_type | user_accepted
{"type": null} | invalid_field | type
{"type": 3} | invalid_field | type
{"strength": 7.5} | out_of_range | 0 to 1
{"strength": -0.1} | out_of_range | 0 to 1
{"strength": "high"} | invalid_field | strength
{"confidence": -3} | out_of_range | 0 to 1
{"type": "output_edited", "edit_ratio": 2} | out_of_range | 0 to 1
{"type": "output_edited", "edit_diff": "I made it shorter"} | invalid_field | unified diff
{"type": "output_edited", "edit_diff": "@@ -1 +1 @@\n-a\nb"} | invalid_field | line 3
{"type": "output_edited", "edit_diff": 7} | invalid_field | edit_diff
{"type": "output_edited", "edited_output": ["a"]} | invalid_field | edited_output
{"type": "output_edited", "edit_ratio": 0.5, "edited_output": "a"} | invalid_field | one way
{"type": "output_copied", "edit_ratio": 0.5} | invalid_field | output_edited
{"type": "user_accepted", "edited_output": "a"} | invalid_field | leave them out
{"trace_id": "short"} | invalid_field | 32 lowercase
{"trace_id": "0123456789ABCDEF0123456789ABCDEF"} | invalid_field | 32 lowercase
{"trace_id": "00000000000000000000000000000000"} | invalid_field | not all zero
{"trace_id": 5} | invalid_field | trace_id
{"trace_id": null} | missing_field | session_id
{"session_id": "a/b"} | invalid_field | slash
{"id": ""} | invalid_field | empty
{"at": "yesterday"} | invalid_field | RFC 3339
{"at": 1700000000000} | invalid_field | seconds
{"strenght": 1} | invalid_field | strenght
{"success": true} | invalid_field | success
{"type": "metric"} | invalid_field | success
{"type": "metric", "success": "yes"} | invalid_field | success
{"type": "metric", "success": true, "score": 1.1} | out_of_range | 0 to 1
{"signals": {}} | invalid_field | list
{"signals": []} | invalid_field | no field
"#;

/// Address | body | the error's code | a word of its message.
const OTHERS: &str = r#"
/v1/signals | {"signals": [1]} | invalid_field | signals[0]
/v1/sessions/s/actions | {"action_type": "output_eaten"} | unknown_signal_type | output_copied
/v1/sessions/s/actions | {"action_type": "user_accepted"} | unknown_signal_type | output_copied
/v1/sessions/s/actions | {} | invalid_field | action_type
/v1/sessions/s/actions | {"action_type": "output_edited", "edit_diff": "-a +b"} | invalid_field | unified diff
/v1/sessions/s/actions | {"action_type": "output_edited", "edit_ratio": -1} | out_of_range | 0 to 1
/v1/sessions/s/actions | {"action_type": "output_used_verbatim", "edit_ratio": 0.2} | invalid_field | output_edited
/v1/sessions/s/actions | {"action_type": "output_discarded", "edited_output": "a"} | invalid_field | output_edited
/v1/sessions/s/turns | {} | invalid_field | user_message
/v1/sessions/s/turns | {"user_message": null} | invalid_field | user_message
/v1/sessions/s/turns | {"user_message": "This is wrong.", "id": "a/b"} | invalid_field | slash
/v1/classify | {} | invalid_field | user_message
/v1/classify | {"user_message": "x", "prior": "y"} | invalid_field | prior
/v1/classify | {"user_message": 1} | invalid_field | text
/v1/sessions/s/end | {"satisfied": 1} | invalid_field | satisfied
/v1/sessions/s/runs | {} | missing_field | trace_id
/v1/sessions/s/runs | {"goal": "g"} | missing_field | model
/v1/sessions/s/runs | {"trace_id": "zz"} | invalid_field | 32 lowercase
/v1/sessions/s/runs | {"goal": "g", "model": ""} | invalid_field | model
/v1/sessions/s/runs | {"goal": "g", "model": "m", "run_id": ""} | invalid_field | run_id
/v1/sessions/a%2Fb/turns | {"user_message": "This is wrong."} | invalid_id | slash
/v1/sessions/a%0Ab/turns | {"user_message": "This is wrong."} | invalid_id | control
/v1/sessions/%FF/turns | {"user_message": "This is wrong."} | invalid_id | UTF-8
/v1/chat/completions | {"model": "goal:g"} | invalid_request | messages
/v1/chat/completions | {"model": "goal:g", "messages": []} | invalid_request | messages
/v1/chat/completions | {"messages": [{"role": "user", "content": "?"}]} | invalid_request | model
"#;

fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    let rows = table.trim().lines();
    rows.map(|row| row.split(" | ").collect::<Vec<_>>().try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_signal_is_refused_with_the_remedy_and_changes_nothing() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let trace = kalibr.asked().await;
    let before = kalibr.counted().await;
    for [wrong, code, word] in rows(SIGNALS) {
        let mut body = json!({ "type": "user_accepted", "trace_id": trace });
        let wrong: Map<String, Value> = serde_json::from_str(wrong).unwrap();
        body.as_object_mut().unwrap().extend(wrong);
        let message = kalibr.client.post("/v1/signals", body.clone()).await.error(400, code);
        assert!(message.contains(word), "{body}: {message}");
    }
    assert_eq!(kalibr.counted().await, before);
    assert_eq!(kalibr.decision(&trace).await["evidence"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_bad_body_or_id_is_refused_with_the_remedy_and_changes_nothing() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let client = &kalibr.client;
    let before = kalibr.counted().await;
    for [address, body, code, word] in rows(OTHERS) {
        let message = client.post_bytes(address, body).await.error(400, code);
        assert!(message.contains(word), "{body}: {message}");
    }
    let run = json!({ "goal": "unknown", "model": "m" });
    client.post("/v1/sessions/s/runs", run).await.error(404, "goal_not_found");
    assert_eq!(kalibr.counted().await, before);
    client.get("/v1/decisions/s").await.error(404, "decision_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_json_is_refused_on_every_route_that_takes_a_body() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let before = kalibr.counted().await;
    let routes = [
        "/v1/chat/completions",
        "/v1/signals",
        "/v1/sessions/s/runs",
        "/v1/sessions/s/turns",
        "/v1/sessions/s/actions",
        "/v1/sessions/s/end",
    ];
    let deep = "[".repeat(100_000);
    for route in routes {
        for body in ["{\"type\": ", "nonsense", "[]", "3", "", &deep] {
            let reply = kalibr.client.post_bytes(route, body.to_owned()).await;
            assert_eq!(reply.status, 400, "{route} {body:.20}: {:?}", reply.body);
            let code = reply.json()["error"]["code"].as_str().unwrap().to_owned();
            let message = reply.error(400, &code);
            assert!(message.contains("JSON") || message.contains("empty"), "{route}: {message}");
        }
        let reply = kalibr.client.post_bytes(route, &b"{\"type\": \"\xff\"}"[..]).await;
        assert!(reply.text().contains("UTF-8"), "{route}: {}", reply.text());
        assert_eq!(reply.status, 400);

        let huge = Bytes::from(vec![b' '; 10 << 20]);
        let message = kalibr.client.post_bytes(route, huge).await.error(413, "body_too_large");
        assert!(message.contains("8388608 bytes"), "{message}");

        for kind in
            [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonp")]
        {
            let headers: Vec<_> = kind.into_iter().map(|kind| ("content-type", kind)).collect();
            let body = Bytes::from_static(b"{}");
            let reply = kalibr.client.call(Method::POST, route, &headers, body).await;
            let message = reply.error(415, "unsupported_media_type");
            assert!(message.contains("application/json"), "{message}");
        }
    }
    assert_eq!(kalibr.counted().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_before_it_sends_too_much_is_told_at_once() {
    let kalibr = Kalibr::start(LAB).await;
    let head = "POST /v1/signals HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let answer =
        kalibr.client.raw(&format!("{head}Content-Length: 10485760\r\nExpect: 100-continue\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_body_is_configured_and_exact() {
    let config = ServerConfig { max_body_bytes: 100, ..ServerConfig::default() };
    let kalibr = Kalibr::start_with(LAB, config).await;
    let body = |length: usize| format!("{:length$}", "{\"satisfied\": true}");
    assert_eq!(kalibr.client.post_bytes("/v1/sessions/s/end", body(100)).await.status, 202);
    kalibr.client.post_bytes("/v1/sessions/s/end", body(101)).await.error(413, "body_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charset_beside_the_media_type_is_fine() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let headers = [("content-type", "Application/JSON; charset=utf-8")];
    let body = Bytes::from_static(b"{\"satisfied\": true}");
    let reply = kalibr.client.call(Method::POST, "/v1/sessions/s/end", &headers, body).await;
    assert_eq!(reply.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_address_and_a_wrong_method_say_what_there_is() {
    let kalibr = Kalibr::start(LAB).await;
    for address in ["/", "/v1", "/v1/chat", "/v1/goals/a/b", "/v2/models"] {
        kalibr.client.get(address).await.error(404, "not_found");
    }
    let message = kalibr.client.post("/v1/sessions/a/b/turns", json!({})).await.error(404, "not_found");
    assert!(message.contains("session id cannot hold a '/'"), "{message}");

    for (method, address, allowed) in [
        (Method::GET, "/v1/signals", "POST"),
        (Method::DELETE, "/v1/chat/completions", "POST"),
        (Method::POST, "/v1/goals", "GET,HEAD"),
        (Method::POST, "/v1/goals/g", "GET,HEAD,PUT,DELETE"),
        (Method::PUT, "/healthz", "GET,HEAD"),
    ] {
        let reply = kalibr.client.call(method, address, &[], Bytes::new()).await;
        reply.error(405, "method_not_allowed");
        assert_eq!(reply.header("allow"), Some(allowed), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_none_or_has_no_end_is_refused_and_changes_nothing() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let trace = kalibr.asked().await;
    let before = kalibr.counted().await;
    for number in ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"] {
        for (address, fields) in [
            ("/v1/signals", format!(r#""type": "metric", "success": true, "trace_id": "{trace}", "score""#)),
            ("/v1/signals", format!(r#""type": "user_accepted", "trace_id": "{trace}", "strength""#)),
            ("/v1/signals", format!(r#""type": "user_accepted", "trace_id": "{trace}", "confidence""#)),
            ("/v1/sessions/s/actions", r#""action_type": "output_edited", "edit_ratio""#.to_owned()),
        ] {
            let reply = kalibr.client.post_bytes(address, format!("{{{fields}: {number}}}")).await;
            let message = reply.error(400, "invalid_json");
            assert!(message.contains("line 1, column"), "{message}");
        }
        let put = format!(r#"{{"paths": ["lab/one"], "half_life": {number}}}"#);
        let headers = [("content-type", "application/json")];
        let reply = kalibr.client.call(Method::PUT, "/v1/goals/g", &headers, Bytes::from(put)).await;
        reply.error(400, "invalid_json");
    }
    assert_eq!(kalibr.counted().await, before);
    assert_eq!(kalibr.decision(&trace).await["evidence"], json!([]));
}
