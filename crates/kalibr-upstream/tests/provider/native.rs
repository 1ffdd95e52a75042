//! Providers with a dialect of their own, asked and answering in chat completions.

use serde_json::{Value, json};

use super::*;

fn upstream_of(kind: &str, server: &Server) -> (Upstream, Target) {
    let base_url = server.base_url();
    let text = format!("[providers.acme]\nkind = {kind:?}\nbase_url = {base_url:?}\napi_key = \"k-1\"");
    let config: ProvidersConfig = toml::from_str(&text).unwrap();
    let upstream = Upstream::new(Providers::new(&config, &|_| None).unwrap());
    let target = upstream.resolve("acme/model-1").unwrap();
    (upstream, target)
}

fn asking(more: &str) -> ChatRequest {
    let body = format!(r#"{{"model":"goal:g","messages":[{{"role":"user","content":"SECRET"}}]{more}}}"#);
    let path: PathSpec =
        serde_json::from_str(r#"{"model":"acme/model-1","params":{"temperature":0.5}}"#).unwrap();
    ChatRequest::parse(body.as_bytes()).unwrap().apply(&path, "model-1")
}

async fn ask(kind: &str, server: &Server, more: &str) -> Result<Answer, Failure> {
    let (upstream, target) = upstream_of(kind, server);
    let result = upstream.chat(&target, &asking(more)).await;
    if let Err(failure) = &result {
        assert!(!format!("{failure} {failure:?}").contains("SECRET"), "{failure:?}");
    }
    result
}

async fn ask_stream(kind: &str, server: &Server, more: &str) -> Result<AnswerStream, Failure> {
    let (upstream, target) = upstream_of(kind, server);
    upstream.chat_stream(&target, &asking(&format!(r#","stream":true{more}"#))).await
}

fn json_of(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

/// The chunks of a chat-completions stream, `[DONE]` aside.
fn chunks(text: &str) -> Vec<Value> {
    let data = text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap());
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn content(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"model-1-20260101",
    "content":[{"type":"text","text":"Rhein"},{"type":"tool_use","id":"toolu_1","name":"f","input":{"a":1}}],
    "stop_reason":"tool_use","stop_sequence":null,
    "usage":{"input_tokens":3,"cache_read_input_tokens":7,"output_tokens":4}}"#;

#[tokio::test]
async fn anthropic_is_asked_in_its_words_and_answers_in_the_callers() {
    let server = Server::answering(200, "content-type: application/json\r\n", MESSAGE).await;
    let answer = ask("anthropic", &server, r#","n":2,"max_tokens":9"#).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.usage, Some(Usage { prompt_tokens: 10, completion_tokens: 4 }));
    assert_eq!(answer.losses.summary(), "n");
    assert!(answer.losses.has_grave());
    let body = json_of(&answer.body);
    assert_eq!(body["choices"][0]["message"]["content"], "Rhein");
    assert_eq!(body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], r#"{"a":1}"#);
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(body["usage"]["prompt_tokens_details"]["cached_tokens"], 7);
    assert!(body["created"].as_u64().unwrap() > 1_700_000_000);

    let (head, body) = server.only_request();
    assert!(head.starts_with("post /v1/messages http/1.1\r\n"), "{head}");
    for line in ["x-api-key: k-1", "anthropic-version: 2023-06-01", "content-type: application/json"] {
        assert!(head.contains(line), "{head}");
    }
    assert!(!head.contains("authorization"), "{head}");
    let sent = json!({"model": "model-1", "max_tokens": 9, "temperature": 0.5,
        "messages": [{"role": "user", "content": "SECRET"}]});
    assert_eq!(json_of(&body), sent);
}

#[tokio::test]
async fn gemini_is_asked_in_its_words_and_answers_in_the_callers() {
    let said = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Rhein"}]},"finishReason":"STOP","index":0}],
        "usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":2,"thoughtsTokenCount":9},"responseId":"r1"}"#;
    let server = Server::answering(200, "content-type: application/json; charset=UTF-8\r\n", said).await;
    let answer = ask("gemini", &server, "").await.unwrap();
    assert_eq!(answer.usage, Some(Usage { prompt_tokens: 5, completion_tokens: 11 }));
    assert!(answer.losses.is_empty());
    assert_eq!(json_of(&answer.body)["choices"][0]["message"]["content"], "Rhein");

    let (head, body) = server.only_request();
    assert!(head.starts_with("post /v1/models/model-1:generatecontent http/1.1\r\n"), "{head}");
    assert!(head.contains("x-goog-api-key: k-1"), "{head}");
    let sent = json!({"contents": [{"role": "user", "parts": [{"text": "SECRET"}]}],
        "generationConfig": {"temperature": 0.5}});
    assert_eq!(json_of(&body), sent);
}

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"m\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
const BLOCK: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Rhein\"}}\n\n";
const REST: &str = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
    event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":4}}\n\n\
    event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const OVERLOADED: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"SECRET\"}}\n\n";

#[tokio::test]
async fn an_anthropic_stream_reaches_the_caller_as_a_chat_one_wherever_the_network_cuts_it() {
    let whole = format!("{START}event: ping\ndata: {{\"type\":\"ping\"}}\n\n{BLOCK}{DELTA}{REST}");
    for size in [1, 7, 100, whole.len()] {
        let server = Server::streaming(whole.as_bytes().chunks(size)).await;
        let more = r#","stream_options":{"include_usage":true}"#;
        let stream = ask_stream("anthropic", &server, more).await.unwrap();
        let (text, end) = read(stream).await;
        let chunks = chunks(&text);
        assert_eq!(content(&chunks), "Rhein", "{size}");
        assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 4);
        assert!(text.ends_with("data: [DONE]\n\n"));
        let used = Usage { prompt_tokens: 3, completion_tokens: 4 };
        assert_eq!(end, StreamEnd { ending: Ending::Completed, usage: Some(used) });
        let (head, body) = server.only_request();
        assert!(head.contains("accept: text/event-stream"), "{head}");
        assert_eq!(json_of(&body)["stream"], true);
    }
}

#[tokio::test]
async fn usage_that_the_caller_did_not_ask_for_is_kept_from_it() {
    for more in [
        "",
        r#","stream_options":{"include_usage":false}"#,
        r#","stream_options":{"include_obfuscation":false}"#,
    ] {
        let server = Server::streaming([START, BLOCK, DELTA, REST]).await;
        let (text, end) = read(ask_stream("anthropic", &server, more).await.unwrap()).await;
        assert!(!text.contains("prompt_tokens"), "{more}: {text}");
        assert_eq!(end.usage, Some(Usage { prompt_tokens: 3, completion_tokens: 4 }), "{more}");
    }
}

#[tokio::test]
async fn an_error_before_anything_was_said_is_a_failure_and_after_it_a_death() {
    for pieces in [vec![OVERLOADED], vec![START, OVERLOADED]] {
        let server = Server::streaming(&pieces).await;
        let failure = ask_stream("anthropic", &server, "").await.unwrap_err();
        assert_eq!((failure.category, failure.blame), (FailureCategory::ProviderError, Blame::Path));
        let body = json_of(failure.body.as_deref().unwrap());
        assert_eq!(body["error"]["code"], "overloaded_error");
    }
    let server = Server::streaming([START, BLOCK, DELTA, OVERLOADED]).await;
    let (text, end) = read(ask_stream("anthropic", &server, "").await.unwrap()).await;
    assert!(chunks(&text).last().unwrap()["error"]["message"] == "SECRET", "{text}");
    let Ending::Died(failure) = end.ending else { panic!("{end:?}") };
    assert_eq!(failure.category, FailureCategory::ProviderError);
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_no_complete_answer() {
    for (kind, pieces) in [
        ("anthropic", vec![START, BLOCK, DELTA]),
        ("gemini", vec!["data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Rh\"}]}}]}\r\n\r\n"]),
    ] {
        let server = Server::streaming(&pieces).await;
        let (text, end) = read(ask_stream(kind, &server, "").await.unwrap()).await;
        assert!(!text.contains("[DONE]"), "{kind}: {text}");
        assert!(matches!(end.ending, Ending::Died(_)), "{kind}: {end:?}");
    }
}

#[tokio::test]
async fn a_gemini_stream_reaches_the_caller_as_a_chat_one() {
    let server = Server::streaming([
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Rhe\"}]},\"index\":0}],\"responseId\":\"r1\"}\r\n\r\n",
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"in\"}]},\"finishReason\":\"STOP\",\"index\":0}],\
         \"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":4}}\r\n\r\n",
    ])
    .await;
    let (text, end) = read(ask_stream("gemini", &server, "").await.unwrap()).await;
    assert_eq!(content(&chunks(&text)), "Rhein");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(end, StreamEnd { ending: Ending::Completed, usage: Some(USED) });
    let (head, _) = server.only_request();
    assert!(head.starts_with("post /v1/models/model-1:streamgeneratecontent?alt=sse "), "{head}");
}

#[tokio::test]
async fn error_statuses_keep_their_status_and_meaning_in_the_callers_dialect() {
    use Blame::{Fit, Path, Request};
    use FailureCategory as C;
    let long = "prompt is too long: 9 tokens > 8 maximum";
    let poor = "Your credit balance is too low";
    let large = "The input token count (9) exceeds the maximum number of tokens allowed (8).";
    for (kind, status, name, message, category, blame) in [
        ("anthropic", 529, "overloaded_error", "SECRET", C::ProviderError, Path),
        ("anthropic", 429, "rate_limit_error", "SECRET", C::RateLimited, Path),
        ("anthropic", 401, "authentication_error", "SECRET", C::AuthError, Path),
        ("anthropic", 400, "invalid_request_error", long, C::ContextExceeded, Fit),
        ("anthropic", 400, "invalid_request_error", poor, C::AuthError, Path),
        ("anthropic", 400, "invalid_request_error", "messages.0: SECRET", C::ValidationFailed, Request),
        // The path sets it.
        ("anthropic", 400, "invalid_request_error", "temperature: range: 0..1", C::ValidationFailed, Path),
        ("gemini", 429, "RESOURCE_EXHAUSTED", "SECRET", C::RateLimited, Path),
        ("gemini", 400, "INVALID_ARGUMENT", "API key not valid.", C::AuthError, Path),
        ("gemini", 400, "INVALID_ARGUMENT", large, C::ContextExceeded, Fit),
        ("gemini", 503, "UNAVAILABLE", "SECRET", C::ProviderError, Path),
    ] {
        let error = json!({"type": name, "status": name, "message": message});
        let body = json!({"type": "error", "error": error}).to_string();
        let headers = "content-type: application/json\r\nretry-after: 2\r\n";
        let server = Server::answering(status, headers, &body).await;
        let failures =
            [ask(kind, &server, "").await.unwrap_err(), ask_stream(kind, &server, "").await.unwrap_err()];
        for failure in failures {
            assert_eq!((failure.category, failure.blame), (category, blame), "{body}");
            assert_eq!((failure.status, failure.retry_after), (Some(status), Some(Duration::from_secs(2))));
            let said = json_of(failure.body.as_deref().unwrap());
            assert_eq!((&said["error"]["code"], &said["error"]["message"]), (&json!(name), &json!(message)));
        }
    }
}

#[tokio::test]
async fn gemini_is_left_alone_for_as_long_as_its_error_says() {
    let error = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "SECRET", "details": [
        {"@type": "type.googleapis.com/google.rpc.Help"},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]}});
    let server = Server::answering(429, "", &error.to_string()).await;
    let failure = ask("gemini", &server, "").await.unwrap_err();
    assert_eq!(failure.retry_after, Some(Duration::from_millis(34_500)));
}

#[tokio::test]
async fn what_is_no_answer_in_the_providers_dialect_is_malformed() {
    for kind in ["anthropic", "gemini"] {
        for body in ["<html>SECRET</html>", "{}", "[1]", r#"{"choices":[]}"#] {
            let server = Server::answering(200, "", body).await;
            let failure = ask(kind, &server, "").await.unwrap_err();
            let expected = (FailureCategory::MalformedOutput, Blame::Path);
            assert_eq!((failure.category, failure.blame), expected, "{kind} {body}");
        }
        let server = Server::streaming(["data: SECRET\n\n"]).await;
        let failure = ask_stream(kind, &server, "").await.unwrap_err();
        assert_eq!(failure.category, FailureCategory::MalformedOutput, "{kind}");
    }
}

/// A request of an Anthropic client, with what only its dialect says.
fn of_anthropic(more: &str) -> ChatRequest {
    let body = format!(
        r#"{{"model":"goal:g","max_tokens":50,"top_k":3,"temperature":1,"metadata":{{"user_id":"u"}},
        "system":[{{"type":"text","text":"Be brief.","cache_control":{{"type":"ephemeral"}}}}],
        "tools":[{{"name":"f","input_schema":{{"type":"object"}},"cache_control":{{"type":"ephemeral"}}}},
            {{"type":"web_search_20250305","name":"web_search"}}],
        "messages":[{{"role":"user","content":"Go"}},{{"role":"assistant","content":[
            {{"type":"thinking","thinking":"Hm","signature":"c2ln"}},
            {{"type":"tool_use","id":"t1","name":"f","input":{{}}}}]}},
            {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":"no"}}]}}]{more}}}"#
    );
    let request = ChatRequest::translated(kalibr_dialects::anthropic::read_request(body.as_bytes()).unwrap());
    let path: PathSpec =
        serde_json::from_str(r#"{"model":"acme/model-1","params":{"temperature":0.5,"speed":"fast"}}"#)
            .unwrap();
    request.unwrap().apply(&path, "model-1")
}

#[tokio::test]
async fn an_anthropic_client_before_anthropic_loses_nothing() {
    let server = Server::answering(200, "", MESSAGE).await;
    let (upstream, target) = upstream_of("anthropic", &server);
    let request = of_anthropic(r#","container":"c1""#);
    let answer = upstream.chat(&target, &request).await.unwrap();
    assert!(answer.losses.is_empty(), "{:?}", answer.losses);
    assert_eq!(answer.original, Some((kalibr_dialects::Dialect::Anthropic, MESSAGE.into())));
    let sent = json_of(&server.only_request().1);
    let expected = json!({"model": "model-1", "max_tokens": 50, "top_k": 3, "temperature": 0.5, "speed": "fast",
        "metadata": {"user_id": "u"}, "container": "c1",
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}},
            {"type": "web_search_20250305", "name": "web_search"}],
        "messages": [{"role": "user", "content": "Go"}, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": "no"}]}]});
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn an_anthropic_client_before_another_provider_is_told_what_was_lost() {
    let chat = Server::answering(200, "", BODY).await;
    let (upstream, target) = upstream_of("openai", &chat);
    let answer = upstream.chat(&target, &of_anthropic("")).await.unwrap();
    assert!(answer.losses.has_grave() && answer.losses.summary().contains("tools[1]"), "{:?}", answer.losses);
    assert_eq!(answer.original, None);
    let sent = json_of(&chat.only_request().1);
    assert_eq!((&sent["temperature"], &sent["max_tokens"]), (&json!(0.5), &json!(50)));
    assert_eq!(sent["messages"][3], json!({"role": "tool", "tool_call_id": "t1", "content": "no"}));

    let said = r#"{"candidates":[{"content":{"parts":[{"text":"Rhein"}]},"finishReason":"STOP"}]}"#;
    let gemini = Server::answering(200, "", said).await;
    let (upstream, target) = upstream_of("gemini", &gemini);
    let answer = upstream.chat(&target, &of_anthropic("")).await.unwrap();
    assert!(answer.losses.summary().contains("tools[1]"), "{:?}", answer.losses);
    let sent = json_of(&gemini.only_request().1);
    // Straight from the caller's words: chat completions have no word for a tool's failure.
    assert_eq!(sent["contents"][2]["parts"][0]["functionResponse"]["response"], json!({"error": "no"}));
}

#[tokio::test]
async fn a_request_that_cannot_be_translated_is_the_callers_mistake_and_is_not_sent() {
    let body = br#"{"model":"m","messages":[{"role":"SECRET","content":"x"}]}"#;
    let server = Server::answering(200, "", MESSAGE).await;
    let (upstream, target) = upstream_of("anthropic", &server);
    let request =
        ChatRequest::parse(body).unwrap().apply(&PathSpec::model("acme/model-1").unwrap(), "model-1");
    let failure = upstream.chat(&target, &request).await.unwrap_err();
    assert_eq!((failure.category, failure.blame), (FailureCategory::ValidationFailed, Blame::Request));
    let said = json_of(failure.body.as_deref().unwrap());
    assert_eq!((failure.status, &said["error"]["param"]), (Some(400), &json!("messages[0].role")));
    assert!(!failure.to_string().contains("SECRET"), "{failure}");
}
