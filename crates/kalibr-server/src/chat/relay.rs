//! Streams on their way to the caller.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use kalibr_engine::upstream::{AnswerStream, Ending, Failure};
use serde_json::json;

use super::door::Door;
use super::failed::status;
use crate::error::error_object;

/// A body of the stream's events, in the caller's dialect. If the stream dies, a last event says so in the shape of that dialect: the status
/// was sent long ago, and a stream that just ends looks like an answer that is complete.
pub(super) fn body(
    events: impl Stream<Item = Result<Bytes, Failure>> + Send + Unpin + 'static,
    door: &Door,
) -> Body {
    if let Some(translation) = door.stream() {
        let state = Some((events, translation));
        return Body::from_stream(stream::unfold(state, |state| async move {
            let (mut events, mut translation) = state?;
            loop {
                let (bytes, is_over) = match events.next().await {
                    Some(Ok(bytes)) => translation.push(&bytes),
                    Some(Err(failure)) => (translation.fail(&failure), true),
                    None => (translation.end(), true),
                };
                // Nothing is no chunk: the next event will be.
                if is_over {
                    return Some((Ok::<_, Infallible>(bytes), None));
                }
                if !bytes.is_empty() {
                    return Some((Ok(bytes), Some((events, translation))));
                }
            }
        }));
    }
    let state = Relay { events, between_events: true, over: false };
    Body::from_stream(stream::unfold(state, |mut relay| async move {
        let bytes = relay.next().await?;
        Some((Ok::<_, Infallible>(bytes), relay))
    }))
}

/// The events of a stream that was not routed, with its death at the end if it died.
pub(super) fn events(answer: AnswerStream) -> impl Stream<Item = Result<Bytes, Failure>> + Send + Unpin {
    Box::pin(stream::unfold(Some(answer), |answer| async move {
        let mut answer = answer?;
        if let Some(bytes) = answer.next().await {
            return Some((Ok(bytes), Some(answer)));
        }
        match answer.finish().ending {
            Ending::Died(failure) => Some((Err(failure), None)),
            Ending::Completed | Ending::Abandoned => None,
        }
    }))
}

struct Relay<S> {
    events: S,
    /// Whether the last event was ended by its empty line.
    between_events: bool,
    over: bool,
}

impl<S: Stream<Item = Result<Bytes, Failure>> + Unpin> Relay<S> {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        match self.events.next().await? {
            Ok(bytes) => {
                self.between_events =
                    [&b"\n\n"[..], b"\r\n\r\n", b"\r\r"].iter().any(|end| bytes.ends_with(end));
                Some(bytes)
            }
            Err(failure) => {
                self.over = true;
                // The provider has said it itself, in an event that was handed on.
                if failure.body.is_some() {
                    return None;
                }
                let error = error_object(status(&failure), failure.category.as_str(), &failure.message, None);
                let end = if self.between_events { "" } else { "\n\n" };
                Some(Bytes::from(format!("{end}data: {}\n\n", json!({ "error": error }))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use kalibr_engine::core::outcome::FailureCategory;
    use kalibr_engine::upstream::Blame;

    use super::*;

    async fn relayed(items: Vec<Result<&'static str, Failure>>) -> String {
        let items = items.into_iter().map(|item| item.map(|text| Bytes::from_static(text.as_bytes())));
        let bytes =
            body(stream::iter(items.collect::<Vec<_>>()), &Door::Chat).collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn death() -> Failure {
        Failure::new(FailureCategory::Timeout, Blame::Path, "provider x was silent")
    }

    #[tokio::test]
    async fn a_stream_that_dies_ends_with_an_error_event() {
        let text = relayed(vec![Ok("data: 1\n\n"), Err(death()), Ok("data: 2\n\n")]).await;
        let error = text.strip_prefix("data: 1\n\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
        let error: serde_json::Value = serde_json::from_str(error).unwrap();
        assert_eq!(error["error"]["code"], "timeout");
    }

    #[tokio::test]
    async fn half_an_event_is_ended_before_the_error_event() {
        let text = relayed(vec![Ok("data: {\"cho"), Err(death())]).await;
        assert!(text.starts_with("data: {\"cho\n\ndata: {\"error\""), "{text}");
    }

    #[tokio::test]
    async fn the_providers_own_error_event_is_not_said_twice() {
        let said = Failure { body: Some(Bytes::from_static(b"{}")), ..death() };
        assert_eq!(
            relayed(vec![Ok("data: {\"error\":{}}\n\n"), Err(said)]).await,
            "data: {\"error\":{}}\n\n"
        );
    }
}
