use serde_json::{Value, json};

use crate::kalibr::Kalibr;
use crate::provider::{Provider, Script};

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\
    \"model\":\"up\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
const TEXT: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\
    \"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_delta\ndata: \
    {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Rhein\"}}\n\n";
const END: &str = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
    event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\
    \"stop_sequence\":null},\"usage\":{\"output_tokens\":4}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const OVERLOADED: &str = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;

fn question(stream: bool) -> Value {
    json!({ "model": "goal:g", "stream": stream, "messages": [{ "role": "user", "content": "Name a river." }] })
}

async fn kalibr(provider: &Provider, paths: Value) -> Kalibr {
    Kalibr::with_paths(&format!("{}kind = \"anthropic\"\n", provider.config()), paths).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_at_anthropic_answers_in_chat_completions() {
    let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [{ "type": "text", "text": "Rhein" }], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": { "input_tokens": 3, "output_tokens": 4 } });
    let answer = Script::answer("200 OK", "content-type: application/json\r\n", &message.to_string());
    let provider = Provider::start(&[("m", answer)]).await;
    let kalibr = kalibr(&provider, json!([{ "model": "raw/m", "params": { "max_tokens": 50 } }])).await;
    let reply = kalibr.client.post("/v1/chat/completions", question(false)).await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "Rhein");
    assert_eq!(reply.json()["usage"]["total_tokens"], 7);
    assert_eq!(provider.seen()[0]["max_tokens"], 50);
    let decision = kalibr.decision(reply.header("x-kalibr-trace-id").unwrap()).await;
    assert_eq!(decision["attempts"][0]["answered"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_anthropic_falls_back_before_the_first_token_and_its_error_reaches_the_caller() {
    let error = format!("event: error\ndata: {OVERLOADED}\n\n");
    let down = Script::answer("529 Overloaded", "content-type: application/json\r\n", OVERLOADED);
    let scripts = [
        ("late", Script::stream(&[START, &error])),
        ("down", down),
        ("up", Script::stream(&[START, TEXT, END])),
    ];
    let provider = Provider::start(&scripts).await;
    let both = kalibr(&provider, json!(["raw/late", "raw/up"])).await;
    let mut fell_back = 0;
    for _ in 0..20 {
        let reply = both.client.post("/v1/chat/completions", question(true)).await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        assert_eq!(reply.header("x-kalibr-model"), Some("raw/up"));
        assert!(
            reply.text().contains("Rhein") && reply.text().ends_with("data: [DONE]\n\n"),
            "{:?}",
            reply.body
        );
        fell_back += usize::from(reply.header("x-kalibr-attempt") == Some("1"));
    }
    assert!(fell_back > 0);

    let none = kalibr(&provider, json!(["raw/down"])).await;
    let reply = none.client.post("/v1/chat/completions", question(true)).await;
    assert_eq!(reply.status, 529);
    assert_eq!(reply.json()["error"]["code"], "overloaded_error");
}
