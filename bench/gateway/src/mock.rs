//! The provider: one fixed answer, whole or in events, as fast as hyper can.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::{Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::net::TcpListener;

/// What every answer says, word by word: a reply is only right with all of it.
pub(crate) const WORD: &str = "forty-two ";
/// Words of an answer, and events with content of a stream.
pub(crate) const WORDS: usize = 32;
/// The model whose stream is long: it is read slowly, and a gateway must not read ahead of its reader.
pub(crate) const LONG: &str = "bench-long";
/// Bytes of an event of the long stream, and how many there are: some 32 MiB.
const LONG_EVENT: usize = 4_096;
const LONG_EVENTS: usize = 8_192;

type Body = UnsyncBoxBody<Bytes, Infallible>;

fn whole() -> String {
    let text = WORD.repeat(WORDS);
    format!(
        r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1764000000,"model":"bench","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":21,"completion_tokens":64,"total_tokens":85}}}}"#
    )
}

fn event(delta: &str, finish: &str) -> Bytes {
    Bytes::from(format!(
        "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1764000000,\"model\":\"bench\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    ))
}

fn events() -> Vec<Bytes> {
    let words = (0..WORDS).map(|_| event(&format!("{{\"content\":\"{WORD}\"}}"), "null"));
    let usage = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1764000000,\"model\":\"bench\",\"choices\":[],\"usage\":{\"prompt_tokens\":21,\"completion_tokens\":64,\"total_tokens\":85}}\n\n";
    std::iter::once(event("{\"role\":\"assistant\",\"content\":\"\"}", "null"))
        .chain(words)
        .chain([event("{}", "\"stop\""), Bytes::from(usage), Bytes::from("data: [DONE]\n\n")])
        .collect()
}

fn long_events() -> Vec<Bytes> {
    let one = event(&format!("{{\"content\":\"{}\"}}", "x".repeat(LONG_EVENT)), "null");
    std::iter::repeat_n(one, LONG_EVENTS)
        .chain([event("{}", "\"stop\""), Bytes::from("data: [DONE]\n\n")])
        .collect()
}

/// Whether a body asks for a stream, in the spelling of any JSON writer.
fn is_stream(body: &[u8]) -> bool {
    memmem::find(body, b"\"stream\"").is_some_and(|at| {
        let rest = body[at + 8..].trim_ascii_start();
        rest.strip_prefix(b":").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"true"))
    })
}

/// Each event is a write of its own, as a provider's tokens are.
fn streamed(events: &'static [Bytes]) -> Body {
    let body = unfold(0, move |at| async move {
        if at > 0 {
            tokio::task::yield_now().await;
        }
        Some((Ok(Frame::data(events.get(at)?.clone())), at + 1))
    });
    BodyExt::boxed_unsync(StreamBody::new(body))
}

struct Replies {
    whole: Bytes,
    events: &'static [Bytes],
    long: &'static [Bytes],
}

async fn reply(request: Request<Incoming>, replies: &Replies) -> Result<Response<Body>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let mut response = if is_stream(&body) {
        let long = memmem::find(&body, LONG.as_bytes()).is_some();
        let mut response = Response::new(streamed(if long { replies.long } else { replies.events }));
        let kind = http::HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    } else {
        Response::new(Full::new(replies.whole.clone()).boxed_unsync())
    };
    response
        .headers_mut()
        .entry(header::CONTENT_TYPE)
        .or_insert(http::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Serves until the process is ended.
pub(crate) async fn serve(port: u16) -> anyhow::Result<()> {
    let replies: &'static Replies = Box::leak(Box::new(Replies {
        whole: Bytes::from(whole()),
        events: Box::leak(events().into_boxed_slice()),
        long: Box::leak(long_events().into_boxed_slice()),
    }));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let serve = service_fn(move |request| reply(request, replies));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_asked_for_in_any_spelling() {
        assert!(is_stream(br#"{"stream":true}"#));
        assert!(is_stream(br#"{ "stream" : true }"#));
        assert!(!is_stream(br#"{"stream":false}"#));
        assert!(!is_stream(br#"{"stream_options":{"x":true}}"#));
    }

    #[test]
    fn an_answer_and_a_stream_hold_every_word() {
        assert_eq!(memmem::find_iter(whole().as_bytes(), WORD).count(), WORDS);
        assert!(serde_json::from_str::<serde_json::Value>(&whole()).is_ok());
        assert_eq!(memmem::find_iter(&events().concat(), WORD).count(), WORDS);
    }
}
