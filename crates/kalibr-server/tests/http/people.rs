use http::Method;
use serde_json::{Value, json};

use crate::kalibr::{Kalibr, LAB};

async fn asked(kalibr: &Kalibr, session: &str, user: &str) -> String {
    let reply = kalibr.ask(&[("x-kalibr-session", session), ("x-kalibr-user", user)]).await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    let trace = reply.header("x-kalibr-trace-id").unwrap().to_owned();
    let signal = json!({ "type": "user_rejected", "trace_id": trace, "reason": "too short" });
    kalibr.client.post("/v1/signals", signal).await.ok(200);
    trace
}

async fn exported(kalibr: &Kalibr, address: &str) -> Vec<Value> {
    let reply = kalibr.client.get(address).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some("application/x-ndjson")));
    reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn erased(decisions: u64, texts: u64) -> Value {
    let counts = json!({
        "decisions": decisions, "attempts": decisions, "signals": decisions, "texts": texts,
        "fingerprints": 2 * decisions, "steps": 0
    });
    json!({ "found": decisions > 0, "erased": counts, "scrubbed": true })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_what_is_held_has_it_erased_and_nobody_else_is_touched() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let ours = asked(&kalibr, "s-1", "ann@example.com").await;
    let theirs = asked(&kalibr, "s-2", "ben").await;
    let address = "/v1/users/ann%40example.com";

    let lines = exported(&kalibr, &format!("{address}/export")).await;
    let records: Vec<&str> = lines.iter().map(|line| line["record"].as_str().unwrap()).collect();
    assert_eq!(records, ["decision", "attempt", "signal", "fingerprint", "fingerprint"]);
    assert!(lines.iter().all(|line| line["trace_id"] == ours));
    assert_eq!(exported(&kalibr, "/v1/sessions/s-1/export").await, lines);

    assert_eq!(kalibr.client.delete(address).await.ok(200), erased(1, 0));
    kalibr.client.get(&format!("/v1/decisions/{ours}")).await.error(404, "decision_not_found");
    assert!(exported(&kalibr, &format!("{address}/export")).await.is_empty());
    assert_eq!(kalibr.decision(&theirs).await["evidence"].as_array().unwrap().len(), 1);
    assert_eq!(kalibr.client.delete(address).await.ok(200), erased(0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_erased_session_taught_is_unlearned_at_once() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one", "lab/two"])).await;
    let shares = |goals: &Value| {
        let paths = goals[0]["learned"][0]["paths"].as_array().unwrap();
        paths.iter().map(|path| (path["share"].clone(), path["expected"].clone())).collect::<Vec<_>>()
    };
    asked(&kalibr, "s-2", "ben").await;
    let before = shares(&kalibr.counted().await);
    for _ in 0..8 {
        asked(&kalibr, "s-1", "ann").await;
    }
    assert_ne!(shares(&kalibr.counted().await), before);
    assert_eq!(kalibr.client.delete("/v1/sessions/s-1").await.ok(200), erased(8, 0));
    assert_eq!(shares(&kalibr.client.get("/v1/goals").await.ok(200)["data"]), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_kept_shown_exported_and_erased_where_the_operator_keeps_them() {
    let config = format!("{LAB}\n[privacy]\nkeep_text = \"redacted\"\n");
    let kalibr = Kalibr::with_paths(&config, json!(["lab/one"])).await;
    let trace = asked(&kalibr, "s-1", "ann").await;
    let turn = json!({ "user_message": "This is wrong, write to ann@example.com." });
    kalibr.client.post("/v1/sessions/s-1/turns", turn).await.ok(200);
    kalibr.counted().await;
    let texts = kalibr.decision(&trace).await["texts"].clone();
    let kinds: Vec<&str> =
        texts.as_array().unwrap().iter().map(|text| text["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["prompt", "answer", "reason", "user_message"]);
    assert_eq!(texts[2]["text"], "too short");
    let message = texts[3]["text"].as_str().unwrap();
    assert!(message.starts_with("This is wrong, write to") && !message.contains("ann@"), "{message}");

    let lines = exported(&kalibr, "/v1/users/ann/export").await;
    assert_eq!(lines.iter().filter(|line| line["record"] == "text").count(), 4);
    let told = kalibr.client.delete("/v1/users/ann").await.ok(200);
    assert_eq!((&told["erased"]["texts"], &told["erased"]["signals"]), (&json!(4), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_of_the_run_that_it_was_said_of_and_goes_when_its_signal_or_message_is_withdrawn() {
    let config = format!("{LAB}\n[privacy]\nkeep_text = \"full\"\n");
    let kalibr = Kalibr::with_paths(&config, json!(["lab/one"])).await;
    let first = asked(&kalibr, "s-1", "ann").await;
    let between = jiff::Timestamp::now().to_string();
    let second = asked(&kalibr, "s-1", "ann").await;
    let said = json!({ "type": "user_rejected", "session_id": "s-1", "id": "late", "at": between, "reason": "too long" });
    kalibr.client.post("/v1/signals", said.clone()).await.ok(200);
    kalibr.client.post("/v1/signals", said).await.ok(200);
    let turn = json!({ "user_message": "This is wrong.", "id": "turn", "at": between });
    kalibr.client.post("/v1/sessions/s-1/turns", turn).await.ok(200);
    kalibr.counted().await;
    let texts = async |trace: &str| -> Vec<String> {
        let texts = kalibr.decision(trace).await["texts"].clone();
        texts.as_array().unwrap().iter().map(|text| text["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&first).await[2..], ["too short", "too long", "This is wrong."]);
    assert_eq!(texts(&second).await[2..], ["too short"]);
    for id in ["late", "turn"] {
        kalibr.client.delete(&format!("/v1/signals/{id}")).await.ok(200);
    }
    assert_eq!(texts(&first).await[2..], ["too short"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_cannot_be_one_is_refused() {
    let kalibr = Kalibr::start(LAB).await;
    let long = "u".repeat(201);
    for (method, end) in [(Method::DELETE, ""), (Method::GET, "/export")] {
        for address in [format!("/v1/users/{long}{end}"), format!("/v1/sessions/a%2Fb{end}")] {
            let reply = kalibr.client.call(method.clone(), &address, &[], bytes::Bytes::new()).await;
            reply.error(400, "invalid_id");
        }
    }
}
