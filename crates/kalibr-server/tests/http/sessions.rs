use serde_json::{Value, json};

use crate::kalibr::{Kalibr, LAB};
use crate::provider::{Provider, Script};

async fn kalibr() -> Kalibr {
    Kalibr::with_paths(LAB, json!(["lab/one", "lab/two"])).await
}

async fn run(kalibr: &Kalibr, body: Value) -> Value {
    kalibr.client.post("/v1/sessions/s-1/runs", body).await.ok(200)
}

async fn turn(kalibr: &Kalibr, message: &str) -> Value {
    kalibr.client.post("/v1/sessions/s-1/turns", json!({ "user_message": message })).await.ok(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_links_a_session_to_a_routed_answer_under_any_of_its_ids() {
    let kalibr = kalibr().await;
    let trace = kalibr.asked().await;
    let dashed =
        format!("{}-{}-{}-{}-{}", &trace[..8], &trace[8..12], &trace[12..16], &trace[16..20], &trace[20..]);
    let linked =
        run(&kalibr, json!({ "trace_id": dashed, "run_id": "my run/7", "prompt": "x", "output": "y" })).await;
    assert_eq!(linked, json!({ "trace_id": trace, "joined": true, "known_path": true }));
    for id in [trace.as_str(), &dashed, "my%20run%2F7", "s-1"] {
        assert_eq!(kalibr.decision(id).await["trace_id"], trace, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_kalibr_did_not_route_becomes_a_decision_of_its_own() {
    let kalibr = kalibr().await;
    let told = run(&kalibr, json!({ "goal": "g", "model": "lab/two", "at": 1_760_000_000 })).await;
    assert_eq!(told["joined"], true);
    let decision = kalibr.decision(told["trace_id"].as_str().unwrap()).await;
    assert_eq!(decision["kind"], "observed");
    assert_eq!(decision["chosen"]["model"], "lab/two");
    assert_eq!(decision["decided_at"], "2025-10-09T08:53:20.000Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_classified_and_asserts_only_what_is_clear() {
    let kalibr = kalibr().await;
    run(&kalibr, json!({ "goal": "g", "model": "lab/one" })).await;

    let vague = turn(&kalibr, "And what about Portugal?").await;
    assert_eq!(vague["label"], "continuation");
    assert_eq!((&vague["asserted"], &vague["signal_id"]), (&json!(false), &Value::Null));
    assert_eq!(kalibr.decision("s-1").await["evidence"], json!([]));

    let clear = turn(&kalibr, "This is wrong, try again.").await;
    assert_eq!(
        (&clear["label"], &clear["asserted"], &clear["joined"]),
        (&json!("rejection"), &json!(true), &json!(true))
    );
    let sum: f64 = clear["probabilities"].as_object().unwrap().values().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9);
    let evidence = kalibr.decision("s-1").await["evidence"][0].clone();
    assert_eq!(evidence["signal_id"], clear["signal_id"]);
    assert_eq!(evidence["addressed_by"], "session");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_sent_twice_under_its_id_is_one_signal() {
    let kalibr = kalibr().await;
    run(&kalibr, json!({ "goal": "g", "model": "lab/one" })).await;
    let body = json!({ "user_message": "Perfect, thanks!", "id": "turn-1" });
    for _ in 0..2 {
        let said = kalibr.client.post("/v1/sessions/s-1/turns", body.clone()).await.ok(200);
        assert_eq!(said["signal_id"], "turn-1");
    }
    assert_eq!(kalibr.decision("s-1").await["evidence"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_overrules_what_the_user_said() {
    let kalibr = kalibr().await;
    run(&kalibr, json!({ "goal": "g", "model": "lab/one" })).await;
    turn(&kalibr, "This is wrong, try again.").await;
    let body = json!({ "action_type": "output_used_verbatim" });
    let said = kalibr.client.post("/v1/sessions/s-1/actions", body).await.ok(200);
    assert_eq!(said["joined"], true);
    let attempt = kalibr.decision("s-1").await["attempts"][0].clone();
    assert_eq!((&attempt["graded_by"], &attempt["strength"]), (&json!("action"), &json!(1.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_an_edit_is_graded() {
    let kalibr = kalibr().await;
    run(&kalibr, json!({ "goal": "g", "model": "lab/one" })).await;
    let mut last = 1.0;
    for ratio in [0.05, 0.3, 0.9] {
        let body = json!({ "action_type": "output_edited", "edit_ratio": ratio });
        kalibr.client.post("/v1/sessions/s-1/actions", body).await.ok(200);
        let strength = kalibr.decision("s-1").await["attempts"][0]["strength"].as_f64().unwrap();
        assert!(strength < last, "{ratio}: {strength}");
        last = strength;
    }
}

/// How well the session's latest answer served, by its action.
async fn strength(kalibr: &Kalibr) -> f64 {
    let attempt = kalibr.decision("s-1").await["attempts"][0].clone();
    assert_eq!(attempt["graded_by"], "action");
    attempt["strength"].as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_graded_by_a_diff_or_by_the_edited_text_of_a_reported_answer() {
    let kalibr = kalibr().await;
    let answer = "one two three four five six seven eight\nnine ten eleven twelve\n";
    run(
        &kalibr,
        json!({ "goal": "g", "model": "lab/one", "prompt": [{ "role": "user" }], "output": answer }),
    )
    .await;
    let third_less = "one two three four five six seven eight\n";
    let diff = "--- a\n+++ b\n@@ -2 +1,0 @@\n-nine ten eleven twelve\n";
    for (address, mut body) in [
        ("/v1/sessions/s-1/actions", json!({ "action_type": "output_edited", "edited_output": third_less })),
        ("/v1/sessions/s-1/actions", json!({ "action_type": "output_edited", "edit_diff": diff })),
        ("/v1/signals", json!({ "type": "output_edited", "edited_output": third_less })),
        ("/v1/signals", json!({ "type": "output_edited", "edit_diff": diff })),
    ] {
        if address == "/v1/signals" {
            body["session_id"] = json!("s-1");
        }
        kalibr.client.post(address, body).await.ok(200);
        // 8 of 12 words are left: a similarity of 0.8.
        let graded = strength(&kalibr).await;
        assert!((graded - 0.9 * 0.64).abs() < 1e-4, "{address}: {graded}");
        let all = json!({ "action_type": "output_edited", "edited_output": answer });
        kalibr.client.post("/v1/sessions/s-1/actions", all).await.ok(200);
        assert!((strength(&kalibr).await - 0.9).abs() < 1e-4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_gateway_is_known_when_its_edit_comes() {
    let kalibr = kalibr().await;
    let reply = kalibr.ask(&[("x-kalibr-session", "s-1")]).await;
    let answer = reply.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    for (text, graded) in [(answer, 0.9), (String::new(), 0.0)] {
        let body = json!({ "action_type": "output_edited", "edited_output": text });
        kalibr.client.post("/v1/sessions/s-1/actions", body).await.ok(200);
        assert!((strength(&kalibr).await - graded).abs() < 1e-4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_an_answer_that_nobody_saw_is_refused_and_says_what_to_send_instead() {
    let kalibr = kalibr().await;
    run(&kalibr, json!({ "goal": "g", "model": "lab/one" })).await;
    for session in ["s-1", "stranger"] {
        let body = json!({ "action_type": "output_edited", "edited_output": "private words" });
        let reply = kalibr.client.post(&format!("/v1/sessions/{session}/actions"), body).await;
        assert!(reply.text().contains("edit_ratio") && !reply.text().contains("private"));
        reply.error(422, "unknown_answer");
    }
    assert_eq!(kalibr.decision("s-1").await["evidence"].as_array().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_are_revised_by_later_ones_and_withdrawn_as_if_they_had_never_come() {
    let kalibr = kalibr().await;
    let told =
        json!({ "goal": "g", "model": "lab/one", "output": "a b c d e", "at": "2026-01-02T00:00:00Z" });
    run(&kalibr, told).await;
    turn(&kalibr, "This is wrong, try again.").await;
    let learned = async || kalibr.counted().await[0]["learned"][0]["paths"].clone();
    let before = learned().await;
    let act = async |id: &str, at: &str, text: &str| {
        let body = json!({ "action_type": "output_edited", "edited_output": text, "id": id, "at": at });
        kalibr.client.post("/v1/sessions/s-1/actions", body).await.ok(200);
        strength(&kalibr).await
    };
    let all = act("late", "2026-03-01T00:00:00Z", "a b c d e").await;
    assert!((all - 0.9).abs() < 1e-4);
    // What happened earlier and is told of later changes nothing.
    assert_eq!(act("early", "2026-02-01T00:00:00Z", "").await, all);
    assert!(act("latest", "2026-04-01T00:00:00Z", "").await < 1e-4);
    for (id, left) in [("latest", Some(all)), ("late", Some(0.0)), ("early", None)] {
        let address = format!("/v1/signals/{id}");
        kalibr.client.json(http::Method::DELETE, &address, &[], serde_json::Value::Null).await.ok(200);
        match left {
            Some(left) => assert!((strength(&kalibr).await - left).abs() < 1e-4, "{id}"),
            None => assert_eq!(kalibr.decision("s-1").await["attempts"][0]["graded_by"], "turn"),
        }
    }
    assert_eq!(learned().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_grades_its_last_run() {
    let kalibr = kalibr().await;
    let end = json!({ "satisfied": false });
    assert_eq!(kalibr.client.post("/v1/sessions/s-1/end", end.clone()).await.ok(202)["joined"], false);
    run(&kalibr, json!({ "goal": "g", "model": "lab/one" })).await;
    kalibr.client.post("/v1/sessions/s-1/end", end).await.ok(200);
    assert_eq!(kalibr.decision("s-1").await["attempts"][0]["graded_by"], "session_end");
}

/// Waits until the classifier model has been asked about so many messages. Returns how it stands.
async fn classified(kalibr: &Kalibr, messages: u64) -> Value {
    for _ in 0..500 {
        let classifier = kalibr.client.get("/healthz").await.ok(200)["classifier"].clone();
        let count = |name: &str| classifier[name].as_u64().unwrap();
        if ["rejections", "acceptances", "malformed", "failed"].into_iter().map(count).sum::<u64>()
            >= messages
        {
            return classifier;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the classifier model was not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_told_is_put_to_the_configured_model_and_the_answer_does_not_wait_for_it() {
    let prose = json!({ "choices": [{ "message": { "content": "I think the user is unhappy." } }] });
    let slow = Script {
        pieces: vec![String::new(), Script::answer("200 OK", "", &prose.to_string()).pieces.concat()],
        pause: std::time::Duration::from_millis(300),
    };
    let provider = Provider::start(&[("judge", slow)]).await;
    let config =
        format!("{LAB}\n{}\n[classifier]\nmodel = \"raw/judge\"\nask_below = 1.0\n", provider.config());
    let kalibr = Kalibr::with_paths(&config, json!(["lab/one"])).await;
    run(&kalibr, json!({ "goal": "g", "model": "lab/one" })).await;

    let body = json!({
        "user_message": "hm, the canary-part reads odd to me, write to ada@example.org",
        "prior_user_prompt": "canary-prompt",
        "prior_output": "canary-output",
    });
    let vague = kalibr.client.post("/v1/sessions/s-1/turns", body).await.ok(200);
    assert_eq!((&vague["asserted"], &vague["pending"]), (&json!(false), &json!(true)));
    assert!(vague["signal_id"].is_string());
    assert_eq!(kalibr.client.get("/healthz").await.ok(200)["classifier"]["malformed"], 0);
    let clear = turn(&kalibr, "This is wrong, try again.").await;
    assert_eq!((&clear["asserted"], &clear["pending"]), (&json!(true), &json!(false)));

    let classifier = classified(&kalibr, 1).await;
    assert_eq!((&classifier["model"], &classifier["state"]), (&json!("raw/judge"), &json!("on")));
    assert_eq!((&classifier["queued"], &classifier["malformed"]), (&json!(1), &json!(1)));
    let sent = provider.seen()[0].to_string();
    assert!(sent.contains("canary-part") && sent.contains("canary-prompt") && sent.contains("canary-output"));
    assert!(!sent.contains("ada@"), "{sent}");
    assert_eq!(kalibr.decision("s-1").await["evidence"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_of_which_nobody_knows_how_it_was_is_no_evidence_by_itself() {
    let kalibr = kalibr().await;
    run(&kalibr, json!({ "goal": "g", "model": "lab/one" })).await;
    let vague = turn(&kalibr, "And what about Portugal?").await;
    assert_eq!(vague["pending"], false, "no model is configured");
    let ended = kalibr.client.post("/v1/sessions/s-1/end", json!({ "id": "end-1" })).await.ok(200);
    assert_eq!(ended, json!({ "ended": true, "joined": true, "duplicate": false }));
    let again = kalibr.client.post("/v1/sessions/s-1/end", json!({ "id": "end-1" })).await.ok(200);
    assert_eq!(again["duplicate"], true);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(kalibr.decision("s-1").await["evidence"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_or_an_end_whose_id_another_message_has_is_a_conflict() {
    let kalibr = kalibr().await;
    let first = json!({ "user_message": "And what about Lisbon?", "id": "m-1" });
    kalibr.client.post("/v1/sessions/s-1/turns", first.clone()).await.ok(200);
    kalibr.client.post("/v1/sessions/s-1/turns", first.clone()).await.ok(200);
    kalibr.client.post("/v1/sessions/s-2/turns", first).await.error(409, "signal_id_taken");
    kalibr.client.post("/v1/sessions/s-1/end", json!({ "id": "m-1" })).await.error(409, "signal_id_taken");
    let asserts = json!({ "user_message": "No, that is wrong. It does not work at all.", "id": "m-1" });
    kalibr.client.post("/v1/sessions/s-1/turns", asserts).await.error(409, "signal_id_taken");
    let lines = kalibr.client.get("/v1/sessions/s-1/export").await.text().to_owned();
    assert!(lines.contains("m-1") && !lines.contains("\"record\":\"signal\""), "{lines}");
}
