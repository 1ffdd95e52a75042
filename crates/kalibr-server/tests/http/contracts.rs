//! Contracts: what a goal asks of answers, and what becomes of paths whose answers break it.

use serde_json::{Value, json};

use crate::client::Reply;
use crate::kalibr::Kalibr;
use crate::provider::{Provider, Script};

const JSON: &str = r#"{"choices":[{"message":{"role":"assistant","content":"{\"city\": \"Paris\"}"},"finish_reason":"stop"}]}"#;
const PROSE: &str =
    r#"{"choices":[{"message":{"role":"assistant","content":"The city is Paris."},"finish_reason":"stop"}]}"#;

fn whole(body: &str) -> Script {
    Script::answer("200 OK", "content-type: application/json\r\n", body)
}

fn city() -> Value {
    json!({ "json_schema": {
        "type": "object", "required": ["city"], "properties": { "city": { "type": "string" } },
    } })
}

async fn goal(provider: &Provider, paths: Value, contract: Value) -> Kalibr {
    let kalibr = Kalibr::start(&provider.config()).await;
    kalibr.client.put("/v1/goals/g", json!({ "paths": paths, "contract": contract })).await.ok(200);
    kalibr
}

async fn ask(kalibr: &Kalibr, more: Value) -> Reply {
    let mut question =
        json!({ "model": "goal:g", "messages": [{ "role": "user", "content": "Which city?" }] });
    question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    kalibr.client.post("/v1/chat/completions", question).await
}

/// What was found of the only attempt of a request, once it was checked: why it breaks the contract, and the evidence.
async fn found(kalibr: &Kalibr, reply: &Reply) -> (Value, Vec<Value>) {
    kalibr.counted().await;
    let decision = kalibr.decision(reply.header("x-kalibr-trace-id").unwrap()).await;
    let evidence = decision["evidence"].as_array().unwrap();
    let evidence = evidence.iter().map(|signal| json!([signal["source"], signal["value"]])).collect();
    (decision["attempts"][0]["failed_checks"].clone(), evidence)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_that_asks_for_json_learns_to_avoid_a_path_that_answers_prose() {
    let provider = Provider::start(&[("talks", whole(PROSE)), ("obeys", whole(JSON))]).await;
    let kalibr = goal(&provider, json!(["raw/talks", "raw/obeys"]), city()).await;
    for _ in 0..60 {
        assert_eq!(ask(&kalibr, json!({})).await.status, 200);
        kalibr.counted().await;
    }
    let goal = kalibr.client.get("/v1/goals/g").await.ok(200);
    let label = |at: usize| goal["paths"][at]["label"].as_str().unwrap().to_owned();
    assert_eq!((label(0), label(1)), ("raw/talks".to_owned(), "raw/obeys".to_owned()));
    let share = |at: usize| goal["learned"][0]["paths"][at]["share"].as_f64().unwrap();
    assert!(share(1) > 0.9, "{} of requests go to the path that keeps the contract", share(1));

    let of = |label: &str| {
        goal["checks"].as_array().unwrap().iter().find(|checks| checks["label"] == *label).unwrap().clone()
    };
    let (talks, obeys) = (of("raw/talks"), of("raw/obeys"));
    assert_eq!((&talks["failed"], &obeys["failed"]), (&talks["checked"], &json!(0)));
    assert_eq!(talks["reasons"], json!([{ "reason": "not_json", "count": talks["failed"] }]));
    let checked = talks["checked"].as_u64().unwrap() + obeys["checked"].as_u64().unwrap();
    assert_eq!(checked, 60);
    assert_eq!(goal["settings"]["contract"], city());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_contract_nothing_is_said_of_an_answer() {
    let provider = Provider::start(&[("m", whole(PROSE))]).await;
    let kalibr = goal(&provider, json!(["raw/m"]), Value::Null).await;
    let reply = ask(&kalibr, json!({})).await;
    assert_eq!(found(&kalibr, &reply).await, (Value::Null, vec![]));
    assert_eq!(kalibr.client.get("/v1/goals/g").await.ok(200).get("checks"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_answer_is_checked_at_its_end() {
    let piece = |text: &str, finish: Value| {
        let choice = json!({ "index": 0, "delta": { "content": text }, "finish_reason": finish });
        format!("data: {}\n\n", json!({ "choices": [choice] }))
    };
    let (begun, cut) = (piece("{\"city\":", Value::Null), piece(" \"Par", json!("length")));
    let ended = piece(" \"Paris\"}", json!("stop"));
    let done = "data: [DONE]\n\n";
    for (events, reasons, value) in [
        ([begun.as_str(), &ended, done], json!([]), "passed"),
        ([&begun, &cut, done], json!(["truncated", "not_json"]), "failed"),
    ] {
        let provider = Provider::start(&[("m", Script::stream(&events))]).await;
        let kalibr = goal(&provider, json!(["raw/m"]), city()).await;
        let reply = ask(&kalibr, json!({ "stream": true })).await;
        assert_eq!(reply.text(), events.concat());
        assert_eq!(found(&kalibr, &reply).await, (reasons, vec![json!(["structural", value])]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_call_is_held_against_the_tools_that_were_offered() {
    let call = |arguments: &str| {
        let function = json!({ "name": "weather", "arguments": arguments });
        let message = json!({ "role": "assistant", "content": null, "tool_calls": [
            { "id": "c", "type": "function", "function": function },
        ] });
        whole(&json!({ "choices": [{ "message": message, "finish_reason": "tool_calls" }] }).to_string())
    };
    let tools = |name: &str| {
        json!({ "tools": [{ "type": "function", "function": { "name": name, "parameters": {
            "type": "object", "required": ["city"], "properties": { "city": { "type": "string" } },
        } } }] })
    };
    for (arguments, offered, reasons, value) in [
        ("{\"city\": \"Paris\"}", "weather", json!([]), "passed"),
        ("{\"city\": 3}", "weather", json!(["tool_arguments_mismatch"]), "failed"),
        ("{\"city\": \"Par", "weather", json!(["tool_arguments_not_json"]), "failed"),
        ("{\"city\": \"Paris\"}", "time", json!(["unknown_tool"]), "failed"),
    ] {
        let provider = Provider::start(&[("m", call(arguments))]).await;
        // Labels are not asked of a call.
        let kalibr = goal(&provider, json!(["raw/m"]), json!({ "labels": ["sunny", "rainy"] })).await;
        let reply = ask(&kalibr, tools(offered)).await;
        let expected = (reasons, vec![json!(["structural", value])]);
        assert_eq!(found(&kalibr, &reply).await, expected, "{arguments} {offered}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_says_counts_more_than_a_contract() {
    let provider = Provider::start(&[("m", whole(PROSE))]).await;
    let kalibr = goal(&provider, json!(["raw/m"]), city()).await;
    let reply = ask(&kalibr, json!({})).await;
    let trace = reply.header("x-kalibr-trace-id").unwrap();
    let signal = json!({ "trace_id": trace, "signal_type": "user_accepted" });
    kalibr.client.post("/v1/signals", signal).await.ok(200);
    kalibr.counted().await;
    let decision = kalibr.decision(trace).await;
    assert_eq!(decision["attempts"][0]["graded_by"], "explicit");
    assert_eq!(decision["attempts"][0]["failed_checks"], json!(["not_json"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_cannot_be_is_refused_with_its_key_and_nothing_that_was_sent() {
    let provider = Provider::start(&[("m", whole(PROSE))]).await;
    let kalibr = Kalibr::start(&provider.config()).await;
    for (contract, word) in [
        (json!({ "lables": ["a"] }), "lables"),
        (json!({ "words": { "min": 3, "max": 2 } }), "words"),
        (json!({ "regex": "(canary" }), "regex"),
        (json!({ "json_schema": { "type": "canary" } }), "json_schema"),
        (json!({ "json_schema": { "$ref": "http://canary.example/" } }), "#/$defs"),
        (json!({ "words": "canary" }), "contract"),
        (json!("canary"), "contract"),
        (json!({ "json": "canary canary" }), "fenced"),
        (json!({ "Canary Canary": 1 }), "labels"),
    ] {
        let reply =
            kalibr.client.put("/v1/goals/g", json!({ "paths": ["raw/m"], "contract": contract })).await;
        assert_eq!(reply.status, 400, "{contract}: {}", reply.text());
        assert!(reply.text().contains(word), "{contract}: {}", reply.text());
        assert!(!reply.text().to_lowercase().contains("canary"), "{contract}: {}", reply.text());
    }
}
