//! Calls over real sockets against a provider that misbehaves on command.

mod native;
mod server;

use std::time::{Duration, Instant};

use kalibr_core::outcome::FailureCategory;
use kalibr_core::path::PathSpec;
use kalibr_upstream::{
    Answer, AnswerStream, Blame, ChatRequest, Ending, Failure, Providers, ProvidersConfig, StreamEnd, Target,
    Upstream, Usage,
};
use server::{Server, Step, response, stream_steps};

const BODY: &str = r#" {"choices": [ {"message":{"content":"\u00e9"}} ], "usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}, "odd": 1.0}
"#;
const FIRST: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"héllo\"},\"finish_reason\":null}]}\n\n";
const LAST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const USED: Usage = Usage { prompt_tokens: 3, completion_tokens: 4 };

fn upstream(base_url: &str, more: &str) -> (Upstream, Target) {
    let text = format!("[providers.acme]\nbase_url = {base_url:?}\napi_key = \"sk-1\"\n{more}");
    let config: ProvidersConfig = toml::from_str(&text).unwrap();
    let upstream = Upstream::new(Providers::new(&config, &|_| None).unwrap());
    let target = upstream.resolve("acme/some/model").unwrap();
    (upstream, target)
}

fn request(more: &str) -> ChatRequest {
    let body = format!(r#"{{"model":"goal:g","messages":[{{"role" : "user","content":"SECRET"}}]{more}}}"#);
    ChatRequest::parse(body.as_bytes())
        .unwrap()
        .apply(&PathSpec::model("acme/some/model").unwrap(), "some/model")
}

async fn chat_with(base_url: &str, more: &str) -> Result<Answer, Failure> {
    let (upstream, target) = upstream(base_url, more);
    let result = upstream.chat(&target, &request("")).await;
    if let Err(failure) = &result {
        assert!(failure.message.contains("provider acme"), "{failure}");
        assert!(!format!("{failure} {failure:?}").contains("SECRET"), "{failure:?}");
    }
    result
}

async fn failure_of(status: u16, headers: &str, body: &str) -> Failure {
    let server = Server::answering(status, headers, body).await;
    chat_with(&server.base_url(), "").await.unwrap_err()
}

async fn open(base_url: &str, config: &str, more: &str) -> Result<AnswerStream, Failure> {
    let (upstream, target) = upstream(base_url, config);
    upstream.chat_stream(&target, &request(&format!(",\"stream\":true{more}"))).await
}

async fn read(mut stream: AnswerStream) -> (String, StreamEnd) {
    let mut bytes = Vec::new();
    while let Some(more) = stream.next().await {
        bytes.extend_from_slice(&more);
    }
    (String::from_utf8(bytes).unwrap(), stream.finish())
}

async fn stream_of(pieces: &[&str]) -> (String, StreamEnd) {
    let server = Server::streaming(pieces).await;
    read(open(&server.base_url(), "", "").await.unwrap()).await
}

#[tokio::test]
async fn request_and_answer_pass_through_and_the_key_is_sent() {
    let server = Server::answering(200, "content-type: application/json; x=y\r\n", BODY).await;
    let answer = chat_with(&server.base_url(), "headers.x-org = \"o\"").await.unwrap();
    assert_eq!(answer.body, BODY);
    assert_eq!((answer.status, answer.usage), (200, Some(USED)));
    assert_eq!(answer.content_type.as_deref(), Some("application/json; x=y"));

    let (head, body) = server.only_request();
    assert!(head.starts_with("post /v1/chat/completions http/1.1\r\n"), "{head}");
    for line in
        ["authorization: bearer sk-1", "content-type: application/json", "x-org: o", "host: 127.0.0.1:"]
    {
        assert!(head.contains(line), "{head}");
    }
    assert!(!head.contains("accept-encoding"), "{head}");
    assert_eq!(body, br#"{"model":"some/model","messages":[{"role" : "user","content":"SECRET"}]}"#);
}

#[tokio::test]
async fn error_statuses_keep_the_providers_own_error_for_the_caller() {
    let error = r#"{"error":{"message":"SECRET","code":null}}"#;
    let long = r#"{"error":{"message":"SECRET","code":"context_length_exceeded"}}"#;
    for (status, body, category, blame) in [
        (400, error, FailureCategory::ValidationFailed, Blame::Request),
        (400, long, FailureCategory::ContextExceeded, Blame::Fit),
        (401, error, FailureCategory::AuthError, Blame::Path),
        (404, error, FailureCategory::ProviderError, Blame::Path),
        (413, error, FailureCategory::ValidationFailed, Blame::Request),
        (429, error, FailureCategory::RateLimited, Blame::Path),
        (500, error, FailureCategory::ProviderError, Blame::Path),
        (502, "<html>SECRET</html>", FailureCategory::ProviderError, Blame::Path),
    ] {
        let failure = failure_of(status, "content-type: x/y\r\nretry-after: 2\r\n", body).await;
        assert_eq!((failure.category, failure.blame), (category, blame), "{status}");
        assert_eq!((failure.status, failure.body.as_deref()), (Some(status), Some(body.as_bytes())));
        assert_eq!(failure.content_type.as_deref(), Some("x/y"));
        assert_eq!(failure.retry_after, Some(Duration::from_secs(2)));
    }
}

#[tokio::test]
async fn a_success_without_an_answer_in_it_is_malformed() {
    for body in ["<html>SECRET</html>", "{}", r#"{"choices":[]}"#, r#"{"choices":[{"a":"SECRET"#, "[1]"] {
        let failure = failure_of(200, "", body).await;
        assert_eq!(
            (failure.category, failure.blame),
            (FailureCategory::MalformedOutput, Blame::Path),
            "{body}"
        );
        assert_eq!(failure.body.as_deref(), Some(body.as_bytes()));
    }
    assert_eq!(failure_of(200, "", "").await.category, FailureCategory::EmptyResponse);
}

#[tokio::test]
async fn an_error_within_a_success_means_what_its_code_says() {
    let failure = failure_of(200, "", r#"  {"error":{"code":429,"message":"SECRET"}}"#).await;
    assert_eq!((failure.category, failure.status), (FailureCategory::RateLimited, Some(429)));
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_a_provider_error() {
    let cut = response(200, "", BODY);
    for bytes in [&cut[..cut.len() - 5], b"HTTP/1.1 200 OK\r\ntransfer-", b"", b"garbage, not HTTP\r\n\r\n"] {
        let server = Server::start(vec![Step::Send(bytes.to_vec())]).await;
        let failure = chat_with(&server.base_url(), "").await.unwrap_err();
        assert_eq!((failure.category, failure.blame), (FailureCategory::ProviderError, Blame::Path));
    }
}

#[tokio::test]
async fn a_refused_connection_is_a_provider_error_that_says_so() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let failure = chat_with(&base_url, "").await.unwrap_err();
    assert_eq!(failure.category, FailureCategory::ProviderError);
    assert_eq!(
        failure.message,
        "provider acme cannot be connected to; check that it is up and that its base_url is right"
    );
}

#[tokio::test]
async fn a_slow_answer_is_a_timeout_wherever_it_stalls() {
    let half = response(200, "", BODY)[..60].to_vec();
    for steps in [vec![Step::Wait(5000)], vec![Step::Send(half), Step::Wait(5000)]] {
        let server = Server::start(steps).await;
        let began = Instant::now();
        let failure = chat_with(&server.base_url(), "timeout_ms = 100").await.unwrap_err();
        assert_eq!((failure.category, failure.blame), (FailureCategory::Timeout, Blame::Path));
        assert!(began.elapsed() < Duration::from_secs(3));
    }
}

#[tokio::test]
async fn a_server_that_keeps_silent_in_the_tls_handshake_is_a_connect_timeout() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let base_url = format!("https://{}/v1", listener.local_addr().unwrap());
    let failure = chat_with(&base_url, "connect_timeout_ms = 100").await.unwrap_err();
    assert_eq!(failure.category, FailureCategory::Timeout);
    assert!(failure.message.contains("connect_timeout_ms"), "{failure}");
}

#[tokio::test]
async fn https_at_a_plain_server_is_told_as_a_tls_problem() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let base_url = format!("https://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut connection, b"HTTP/1.1 400 Bad\r\n\r\n").await.unwrap();
    });
    let failure = chat_with(&base_url, "").await.unwrap_err();
    assert_eq!(failure.category, FailureCategory::ProviderError);
    assert!(failure.message.contains("TLS"), "{failure}");
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_refused() {
    let server = Server::answering(200, "", BODY).await;
    let failure = chat_with(&server.base_url(), "max_answer_bytes = 50").await.unwrap_err();
    assert_eq!(failure.category, FailureCategory::MalformedOutput);
    assert!(failure.message.contains("max_answer_bytes"), "{failure}");
}

#[tokio::test]
async fn an_error_whose_body_never_ends_is_still_told_by_its_status() {
    let head = b"HTTP/1.1 429 X\r\nretry-after: 1\r\ncontent-length: 2000000\r\n\r\n".to_vec();
    let server = Server::start(vec![Step::Send(head), Step::Send(vec![b'x'; 2_000_000])]).await;
    let failure = chat_with(&server.base_url(), "").await.unwrap_err();
    assert_eq!((failure.category, failure.body.is_none()), (FailureCategory::RateLimited, true));
}

#[tokio::test]
async fn a_missing_key_is_an_auth_error_that_names_the_variable() {
    let upstream = Upstream::new(Providers::new(&ProvidersConfig::default(), &|_| None).unwrap());
    let target = upstream.resolve("deepseek/deepseek-chat").unwrap();
    let failure = upstream.chat(&target, &request("")).await.unwrap_err();
    assert_eq!((failure.category, failure.blame), (FailureCategory::AuthError, Blame::Path));
    assert!(failure.message.contains("DEEPSEEK_API_KEY"), "{failure}");
}

#[tokio::test]
async fn a_stream_passes_through_without_the_usage_that_only_we_asked_for() {
    let (text, end) = stream_of(&[": hi\n\n", FIRST, LAST, USAGE, DONE]).await;
    assert_eq!(text, [": hi\n\n", FIRST, LAST, DONE].concat());
    assert_eq!(end, StreamEnd { ending: Ending::Completed, usage: Some(USED) });
}

#[tokio::test]
async fn a_caller_who_asked_for_usage_sees_it() {
    let server = Server::streaming([FIRST, LAST, USAGE, DONE]).await;
    let asked = ",\"stream_options\":{\"include_usage\":true}";
    let (text, end) = read(open(&server.base_url(), "", asked).await.unwrap()).await;
    assert_eq!(text, [FIRST, LAST, USAGE, DONE].concat());
    assert_eq!(end.usage, Some(USED));
}

#[tokio::test]
async fn a_stream_asks_for_events_and_for_usage_where_the_provider_knows_how() {
    for (config, asks) in [("", true), ("stream_options = false", false)] {
        let server = Server::streaming([FIRST, LAST, DONE]).await;
        let stream = open(&server.base_url(), config, "").await.unwrap();
        assert_eq!((stream.status(), stream.content_type()), (200, Some("text/event-stream")));
        let (head, body) = server.only_request();
        assert!(head.contains("accept: text/event-stream"), "{head}");
        assert_eq!(String::from_utf8(body).unwrap().contains("include_usage"), asks);
    }
}

#[tokio::test]
async fn a_stream_that_is_split_at_every_byte_is_the_same_stream() {
    let text = [FIRST, LAST, USAGE, DONE].concat().replace('\n', "\r\n");
    let server = Server::streaming(text.as_bytes().chunks(1)).await;
    let (read, end) = read(open(&server.base_url(), "", "").await.unwrap()).await;
    assert_eq!(read, [FIRST, LAST, DONE].concat().replace('\n', "\r\n"));
    assert_eq!(end, StreamEnd { ending: Ending::Completed, usage: Some(USED) });
}

#[tokio::test]
async fn a_stream_is_complete_without_done_and_without_a_last_empty_line() {
    assert_eq!(stream_of(&[FIRST, LAST]).await.1.ending, Ending::Completed);
    let (text, end) = stream_of(&[FIRST, "data: [DONE]"]).await;
    assert_eq!((text, end.ending), ([FIRST, "data: [DONE]"].concat(), Ending::Completed));
}

#[tokio::test]
async fn a_stream_that_dies_midway_hands_on_what_it_had_and_says_how_it_died() {
    let error = "data: {\"error\":{\"code\":429,\"message\":\"SECRET\"}}\n\n";
    let cut = Server::start(stream_steps([FIRST])).await;
    let early = Server::streaming([FIRST]).await;
    let failed = Server::streaming([FIRST, error, DONE]).await;
    let mut steps = stream_steps([FIRST]);
    steps.push(Step::Wait(5000));
    let silent = Server::start(steps).await;
    for (server, text, category) in [
        (cut, FIRST.to_owned(), FailureCategory::ProviderError),
        (early, FIRST.to_owned(), FailureCategory::ProviderError),
        (failed, [FIRST, error].concat(), FailureCategory::RateLimited),
        (silent, FIRST.to_owned(), FailureCategory::Timeout),
    ] {
        let stream = open(&server.base_url(), "idle_timeout_ms = 200", "").await.unwrap();
        let (read, end) = read(stream).await;
        assert_eq!(read, text);
        let Ending::Died(failure) = end.ending else { panic!("{:?}", end.ending) };
        assert_eq!((failure.category, failure.blame), (category, Blame::Path), "{failure}");
        assert!(!format!("{failure:?}").contains("SECRET"));
    }
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_choice_is_a_failure() {
    let filter = "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n";
    let error = "data: {\"error\":{\"message\":\"SECRET\",\"code\":\"context_length_exceeded\"}}\n\n";
    for (pieces, category) in [
        (vec![filter, error], FailureCategory::ContextExceeded),
        (vec![": wait\n\n", "data: nonsense\n\n"], FailureCategory::MalformedOutput),
        (vec!["<html>SECRET</html>"], FailureCategory::MalformedOutput),
        (vec![filter, DONE], FailureCategory::EmptyResponse),
        (vec![], FailureCategory::EmptyResponse),
    ] {
        let server = Server::streaming(&pieces).await;
        let failure = open(&server.base_url(), "", "").await.unwrap_err();
        assert_eq!(failure.category, category, "{pieces:?}: {failure}");
    }
    let (text, _) = stream_of(&[filter, FIRST, DONE]).await;
    assert_eq!(text, [filter, FIRST, DONE].concat());
}

#[tokio::test]
async fn a_stream_without_a_first_choice_in_time_is_a_timeout() {
    let mut steps = stream_steps(std::iter::repeat_n(": wait\n\n", 3));
    steps.push(Step::Wait(5000));
    let server = Server::start(steps).await;
    let failure = open(&server.base_url(), "timeout_ms = 100", "").await.unwrap_err();
    assert_eq!(failure.category, FailureCategory::Timeout);
}

#[tokio::test]
async fn json_where_a_stream_was_asked_for_is_a_failure_that_keeps_the_error() {
    let json = "content-type: application/json\r\n";
    let server = Server::answering(200, json, r#"{"error":{"code":401}}"#).await;
    let failure = open(&server.base_url(), "", "").await.unwrap_err();
    assert_eq!(failure.category, FailureCategory::AuthError);
    let server = Server::answering(200, json, BODY).await;
    let failure = open(&server.base_url(), "", "").await.unwrap_err();
    assert_eq!(failure.category, FailureCategory::MalformedOutput);
}

#[tokio::test]
async fn an_endless_stream_ends_at_the_limit() {
    let server = Server::streaming(std::iter::repeat_n(FIRST, 50)).await;
    let stream = open(&server.base_url(), "max_answer_bytes = 1000", "").await.unwrap();
    let (text, end) = read(stream).await;
    assert!(text.len() < 1200);
    assert!(matches!(end.ending, Ending::Died(failure) if failure.message.contains("max_answer_bytes")));
}

#[tokio::test]
async fn a_stream_that_nobody_reads_to_its_end_is_abandoned() {
    let server = Server::streaming([FIRST, LAST, DONE]).await;
    let mut stream = open(&server.base_url(), "", "").await.unwrap();
    stream.next().await.unwrap();
    assert_eq!(stream.finish(), StreamEnd { ending: Ending::Abandoned, usage: None });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_can_call_at_once() {
    let whole = Server::answering(200, "", BODY).await;
    let streamed = Server::streaming([FIRST, LAST, USAGE, DONE]).await;
    let (chat, chat_target) = upstream(&whole.base_url(), "");
    let (stream, stream_target) = upstream(&streamed.base_url(), "");
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (chat, chat_target) = (chat.clone(), chat_target.clone());
            let (stream, stream_target) = (stream.clone(), stream_target.clone());
            tokio::spawn(async move {
                let answer = chat.chat(&chat_target, &request("")).await.unwrap();
                let request = request(",\"stream\":true");
                let (_, end) = read(stream.chat_stream(&stream_target, &request).await.unwrap()).await;
                (answer.usage, end.usage)
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), (Some(USED), Some(USED)));
    }
}
