use serde_json::{Value, json};

use crate::kalibr::{Kalibr, LAB};

/// A trace that no decision has.
const UNKNOWN: &str = "0123456789abcdef0123456789abcdef";

async fn kalibr() -> Kalibr {
    Kalibr::with_paths(LAB, json!(["lab/one"])).await
}

/// What explains how the first attempt counts.
async fn graded(kalibr: &Kalibr, trace: &str) -> (Value, Value) {
    let attempt = kalibr.decision(trace).await["attempts"][0].clone();
    (attempt["graded_by"].clone(), attempt["strength"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_is_committed_when_it_is_answered_and_names_its_trace() {
    let kalibr = kalibr().await;
    let trace = kalibr.asked().await;
    let body =
        json!({ "type": "user_accepted", "trace_id": trace, "id": "sig-1", "at": "2026-01-31T12:00:00Z" });
    let said = kalibr.client.post("/v1/signals", body).await.ok(200);
    assert_eq!(said, json!({ "id": "sig-1", "joined": true, "duplicate": false, "trace_id": trace }));
    let evidence = kalibr.decision(&trace).await["evidence"][0].clone();
    assert_eq!(evidence["signal_id"], "sig-1");
    assert_eq!(evidence["value"], "user_accepted");
    assert_eq!(evidence["event_time"], "2026-01-31T12:00:00.000Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_signal_under_a_taken_id_is_refused_and_changes_nothing() {
    let kalibr = kalibr().await;
    let (first, second) = (kalibr.asked().await, kalibr.asked().await);
    let signal = |kind: &str, trace: &str| json!({ "type": kind, "trace_id": trace, "id": "vote-1" });
    kalibr.client.post("/v1/signals", signal("user_accepted", &first)).await.ok(200);
    let before = kalibr.counted().await;
    for other in [signal("user_rejected", &first), signal("user_accepted", &second)] {
        kalibr.client.post("/v1/signals", other.clone()).await.error(409, "signal_id_taken");
        let batch = kalibr.client.post("/v1/signals", json!({ "signals": [other] })).await.ok(200);
        assert_eq!(batch["results"][0]["conflict"], true);
    }
    let again = kalibr.client.post("/v1/signals", signal("user_accepted", &first)).await.ok(200);
    assert_eq!((&again["duplicate"], &again["trace_id"]), (&json!(true), &json!(first)));
    assert_eq!(kalibr.counted().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_level_is_understood_and_the_stronger_wins() {
    let kalibr = kalibr().await;
    let trace = kalibr.asked().await;
    let steps = [
        (json!({ "type": "metric", "success": true, "score": 0.75 }), "metric", 0.75),
        (json!({ "signal_type": "retry" }), "turn", 0.0),
        (json!({ "type": "user_accepted", "strength": 0.5, "confidence": 0.9 }), "explicit", 0.5),
        (json!({ "type": "output_edited", "edit_ratio": 0.0, "strength": null }), "action", 0.9),
    ];
    for (mut body, source, strength) in steps {
        body["trace_id"] = json!(trace);
        kalibr.client.post("/v1/signals", body).await.ok(200);
        let (by, how) = graded(&kalibr, &trace).await;
        assert_eq!(by, source);
        assert!((how.as_f64().unwrap() - strength).abs() < 1e-5, "{source}: {how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_sent_twice_counts_once() {
    let kalibr = kalibr().await;
    let trace = kalibr.asked().await;
    let body = json!({ "type": "user_accepted", "trace_id": trace, "id": "once" });
    kalibr.client.post("/v1/signals", body.clone()).await.ok(200);
    let before = kalibr.counted().await;
    let again = kalibr.client.post("/v1/signals", body).await.ok(200);
    assert_eq!(again["duplicate"], true);
    assert_eq!(kalibr.counted().await, before);
    assert_eq!(kalibr.decision(&trace).await["evidence"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_for_an_unknown_trace_waits_and_counts_nothing_until_the_run_is_known() {
    let kalibr = kalibr().await;
    let before = kalibr.counted().await;
    let body = json!({ "type": "user_accepted", "trace_id": UNKNOWN });
    let said = kalibr.client.post("/v1/signals", body).await.ok(202);
    assert_eq!(said["joined"], false);
    assert!(said["id"].as_str().unwrap().len() == 32, "{said}");
    assert_eq!(kalibr.counted().await, before);
    kalibr.client.get(&format!("/v1/decisions/{UNKNOWN}")).await.error(404, "decision_not_found");

    let run = json!({ "trace_id": UNKNOWN, "goal": "g", "model": "lab/one" });
    let run = kalibr.client.post("/v1/sessions/s/runs", run).await.ok(200);
    assert_eq!(run, json!({ "trace_id": UNKNOWN, "joined": true, "known_path": true }));
    assert_eq!(graded(&kalibr, UNKNOWN).await, (json!("explicit"), json!(1.0)));
    assert_ne!(kalibr.counted().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_for_a_session_without_runs_waits_too() {
    let kalibr = kalibr().await;
    let body = json!({ "type": "user_accepted", "session_id": "nobody" });
    let said = kalibr.client.post("/v1/signals", body).await.ok(202);
    assert_eq!((&said["joined"], &said["trace_id"]), (&json!(false), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_signal_leaves_the_counters_as_if_it_had_never_been() {
    let kalibr = kalibr().await;
    let trace = kalibr.asked().await;
    let shown = |goals: Value| goals[0]["learned"][0]["paths"].clone();
    let before = shown(kalibr.counted().await);
    let body = json!({ "type": "user_rejected", "trace_id": trace, "id": "slip" });
    kalibr.client.post("/v1/signals", body.clone()).await.ok(200);
    assert_ne!(shown(kalibr.counted().await), before);
    let gone = kalibr.client.delete("/v1/signals/slip").await.ok(200);
    assert_eq!(gone, json!({ "id": "slip", "withdrawn": true, "duplicate": false, "trace_id": trace }));
    assert_eq!(shown(kalibr.counted().await), before);
    assert_eq!(kalibr.decision(&trace).await["evidence"][0]["withdrawn"], true);

    // Once more changes nothing, and neither does the signal itself when it comes again.
    assert_eq!(kalibr.client.delete("/v1/signals/slip").await.ok(200)["duplicate"], true);
    kalibr.client.post("/v1/signals", body).await.ok(200);
    assert_eq!(shown(kalibr.counted().await), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_for_each_signal_in_order() {
    let kalibr = kalibr().await;
    let trace = kalibr.asked().await;
    let body = json!({ "signals": [
        { "type": "user_accepted", "trace_id": trace, "id": "a" },
        { "type": "user_accepted", "trace_id": UNKNOWN, "id": "b" },
        { "type": "user_accepted", "trace_id": trace, "id": "a" },
    ]});
    let said = kalibr.client.post("/v1/signals", body).await.ok(200);
    let short =
        |key: &str| said["results"].as_array().unwrap().iter().map(|r| r[key].clone()).collect::<Vec<_>>();
    assert_eq!(short("id"), ["a", "b", "a"]);
    assert_eq!(short("joined"), [true, false, true]);
    assert_eq!(short("duplicate"), [false, false, true]);
    assert_eq!(
        kalibr.client.post("/v1/signals", json!({ "signals": [] })).await.ok(200),
        json!({ "results": [] })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_signal_keeps_its_whole_batch_out() {
    let kalibr = kalibr().await;
    let trace = kalibr.asked().await;
    let before = kalibr.counted().await;
    let good = json!({ "type": "user_accepted", "trace_id": trace });
    let bad = json!({ "type": "user_accepted", "trace_id": trace, "strength": 1.5 });
    let reply = kalibr.client.post("/v1/signals", json!({ "signals": [good, bad] })).await;
    let message = reply.error(400, "out_of_range");
    assert!(message.starts_with("signals[1]: "), "{message}");
    let many: Vec<Value> = (0..1001).map(|_| good.clone()).collect();
    kalibr.client.post("/v1/signals", json!({ "signals": many })).await.error(400, "invalid_field");
    assert_eq!(kalibr.counted().await, before);
    assert_eq!(kalibr.decision(&trace).await["evidence"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_other_kalibr_clients_are_accepted_and_dropped() {
    let kalibr = kalibr().await;
    let trace = kalibr.asked().await;
    let dashed =
        format!("{}-{}-{}-{}-{}", &trace[..8], &trace[8..12], &trace[12..16], &trace[16..20], &trace[20..]);
    let body = json!({
        "trace_id": dashed, "signal_type": "user_rejected", "signal_source": "user_implicit", "strength": 0.0,
        "confidence": 0.9, "goal": "other", "session_id": "s", "momentum": "closing", "dimensions": ["tone"],
        "raw_evidence": "too long", "reason": null,
    });
    let said = kalibr.client.post("/v1/signals", body).await.ok(200);
    assert_eq!(said["trace_id"], trace);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_ledger_is_said_with_the_ids_to_send_again() {
    let kalibr = kalibr().await;
    let trace = kalibr.asked().await;
    let engine = kalibr.engine.clone();
    // Suspending waits for the writer.
    tokio::task::spawn_blocking(move || engine.suspend()).await.unwrap();
    let body = json!({ "type": "user_accepted", "trace_id": trace });
    let reply = kalibr.client.post("/v1/signals", body.clone()).await;
    let message = reply.error(503, "ledger_slow");
    assert!(message.contains("same id"), "{message}");
    assert_eq!(reply.header("retry-after"), Some("1"));
    let id = reply.json()["signal_ids"][0].clone();
    kalibr.engine.resume();
    let mut again = body;
    again["id"] = id;
    assert_eq!(kalibr.client.post("/v1/signals", again).await.ok(200)["duplicate"], true);
    assert_eq!(kalibr.decision(&trace).await["evidence"].as_array().unwrap().len(), 1);
}
