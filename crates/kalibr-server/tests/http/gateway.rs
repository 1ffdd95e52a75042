use http::Method;
use serde_json::{Value, json};

use crate::kalibr::{Kalibr, LAB};
use crate::provider::{Provider, Script};

fn question(model: &str, more: &Value) -> Value {
    let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_is_routed_and_the_headers_say_how() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one", "lab/two"])).await;
    let reply = kalibr.ask(&[]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-kalibr-attempt"), Some("0"));
    assert_eq!(reply.header("x-kalibr-propensity"), Some("0.5"));
    assert!(reply.json()["choices"][0]["message"]["content"].is_string());

    let decision = kalibr.decision(reply.header("x-kalibr-trace-id").unwrap()).await;
    assert_eq!(decision["chosen"]["path_id"], reply.header("x-kalibr-path").unwrap());
    assert_eq!(decision["chosen"]["model"], reply.header("x-kalibr-model").unwrap());
    assert_eq!(decision["propensity"], 0.5);
    assert_eq!(decision["attempts"][0]["answered"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_bytes_reach_the_caller_untouched_and_the_path_decides_model_and_params() {
    let odd = "{ \"choices\" : [ {\"message\":{\"content\":\"\\u00e9\"}} ],\n  \"odd\": 1.50 }";
    let script = Script::answer("200 OK", "content-type: application/json; charset=utf-8\r\n", odd);
    let provider = Provider::start(&[("m", script)]).await;
    let paths = json!([{ "model": "raw/m", "params": { "temperature": 0 } }]);
    let kalibr = Kalibr::with_paths(&provider.config(), paths).await;

    let body = question("goal:g", &json!({ "temperature": 1, "seed": 7, "user": "u" }));
    let reply = kalibr.client.post("/v1/chat/completions", body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.text(), odd);
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(reply.header("x-kalibr-model"), Some("raw/m"));
    assert_eq!(reply.header("x-kalibr-propensity"), Some("1"));
    let sent = question("m", &json!({ "temperature": 0, "seed": 7, "user": "u" }));
    assert_eq!(provider.seen(), [sent]);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_model_passes_through_and_nothing_is_recorded() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let before = kalibr.counted().await;
    for stream in [false, true] {
        let body = question("lab/two", &json!({ "stream": stream }));
        let reply = kalibr.client.post("/v1/chat/completions", body).await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        assert!(
            reply.headers.keys().all(|name| !name.as_str().starts_with("x-kalibr")),
            "{:?}",
            reply.headers
        );
        assert_eq!(reply.text().ends_with("data: [DONE]\n\n"), stream);
    }
    assert_eq!(kalibr.counted().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_the_same_headers_and_its_events_are_untouched() {
    let events = [
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
        ": still here\n\n",
        "data:  {\"choices\": [{\"finish_reason\":\"stop\"}], \"odd\": 1.50}\r\n\r\n",
        "data: [DONE]\n\n",
    ];
    let provider = Provider::start(&[("m", Script::stream(&events))]).await;
    let kalibr = Kalibr::with_paths(&provider.config(), json!(["raw/m"])).await;
    let reply =
        kalibr.client.post("/v1/chat/completions", question("goal:g", &json!({ "stream": true }))).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.text(), events.concat());
    for name in
        ["x-kalibr-trace-id", "x-kalibr-path", "x-kalibr-model", "x-kalibr-propensity", "x-kalibr-attempt"]
    {
        assert!(reply.header(name).is_some(), "{name}");
    }
    let decision = kalibr.decision(reply.header("x-kalibr-trace-id").unwrap()).await;
    assert_eq!(decision["attempts"][0]["answered"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_headers_say_session_user_pipeline_and_bucket() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let headers = [
        ("x-kalibr-session", "s-1"),
        ("x-kalibr-user", "ann"),
        ("x-kalibr-pipeline", "p"),
        ("x-kalibr-bucket", "short"),
    ];
    let reply = kalibr.ask(&headers).await;
    let trace = reply.header("x-kalibr-trace-id").unwrap();
    let decision = kalibr.decision(trace).await;
    assert_eq!(decision["pipeline"], "p");
    assert_eq!(decision["bucket"], "short");
    assert_eq!(reply.header("x-kalibr-bucket"), Some("short"));
    assert_eq!(decision["has_session"], true);
    // The session's next turn finds the run without its trace id.
    let turn = kalibr
        .client
        .post("/v1/sessions/s-1/turns", json!({ "user_message": "Perfect, thanks!" }))
        .await
        .ok(200);
    assert_eq!(turn["joined"], true);
    assert_eq!(kalibr.decision(trace).await["evidence"][0]["source"], "turn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_header_or_goal_is_refused_before_anything_is_decided() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let before = kalibr.counted().await;
    kalibr.ask(&[("x-kalibr-session", "a/b")]).await.error(400, "invalid_field");
    kalibr.ask(&[("x-kalibr-bucket", "a/b")]).await.error(400, "invalid_field");
    kalibr.ask(&[("x-kalibr-user", &"u".repeat(201))]).await.error(400, "invalid_field");
    let ask = async |model: &str| {
        kalibr.client.json(Method::POST, "/v1/chat/completions", &[], question(model, &json!({}))).await
    };
    ask("goal:a/b").await.error(400, "invalid_field");
    ask("goal:").await.error(400, "invalid_field");
    let message = ask("goal:unknown").await.error(404, "goal_not_found");
    assert!(message.contains("PUT /v1/goals/unknown"), "{message}");
    ask("anthropic/claude").await.error(404, "model_not_found");
    assert_eq!(kalibr.counted().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_that_wants_it_classes_requests_and_the_answer_says_how() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let code = json!({ "model": "goal:g", "messages": [
        { "role": "user", "content": "Write a Python function that merges two dicts." },
    ] });
    for (buckets, bucket) in [("auto", "code"), ("off", "all")] {
        let goal = json!({ "paths": ["lab/one"], "buckets": buckets });
        let put = kalibr.client.put("/v1/goals/g", goal).await.ok(200);
        assert_eq!(put["settings"]["buckets"], buckets);
        for stream in [false, true] {
            let mut body = code.clone();
            body["stream"] = json!(stream);
            let reply = kalibr.client.post("/v1/chat/completions", body).await;
            assert_eq!(reply.header("x-kalibr-bucket"), Some(bucket));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_prompts_of_one_model_are_two_paths_and_each_sends_its_own() {
    let answer = Script::answer("200 OK", "content-type: application/json\r\n", r#"{"choices":[{}]}"#);
    let provider = Provider::start(&[("m", answer)]).await;
    let paths = json!([
        { "model": "raw/m", "system": "{{system}} Be brief.", "template": "Q: {{input}}" },
        { "model": "raw/m", "system": "Think first." },
    ]);
    let kalibr = Kalibr::with_paths(&provider.config(), paths).await;
    let messages =
        json!([{ "role": "system", "content": "Be kind." }, { "role": "user", "content": "Hello" }]);
    let mut sent = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let question = json!({ "model": "goal:g", "messages": messages });
        let reply = kalibr.client.post("/v1/chat/completions", question).await;
        let body = provider.seen().pop().unwrap();
        let texts: Vec<_> =
            body["messages"].as_array().unwrap().iter().map(|m| m["content"].clone()).collect();
        sent.insert((reply.header("x-kalibr-path").unwrap().to_owned(), json!(texts).to_string()));
    }
    let mut texts: Vec<_> = sent.iter().map(|(_, texts)| texts.as_str()).collect();
    texts.sort_unstable();
    assert_eq!(texts, [r#"["Be kind. Be brief.","Q: Hello"]"#, r#"["Think first.","Hello"]"#]);
}
