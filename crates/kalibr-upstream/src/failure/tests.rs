use kalibr_core::path::PathSpec;

use super::*;

fn request() -> ChatRequest {
    let path: PathSpec =
        serde_json::from_str(r#"{"model": "m", "params": {"top_k": 1, "response_format": {}}}"#).unwrap();
    ChatRequest::parse(br#"{"model":"m","messages":[1],"seed":1}"#).unwrap().apply(&path, "m")
}

fn failure(status: u16, headers: &[(&'static str, &str)], body: &str) -> Failure {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let status = StatusCode::from_u16(status).unwrap();
    Failure::from_answer("acme", status, &map, Some(Bytes::copy_from_slice(body.as_bytes())), &request(), now)
}

#[test]
fn every_error_has_the_category_and_the_blame_it_deserves() {
    use Blame::{Fit, Path, Request};
    use FailureCategory as C;
    for (status, body, category, blame) in [
        (400, r#"{"error":{"message":"no","code":null,"param":"seed"}}"#, C::ValidationFailed, Request),
        (400, r#"{"error":{"message":"no","param":"top_k"}}"#, C::ValidationFailed, Path),
        (400, r#"{"error":{"message":"no","param":"response_format.type"}}"#, C::ValidationFailed, Path),
        (400, r#"{"error":{"code":"context_length_exceeded"}}"#, C::ContextExceeded, Fit),
        (400, r#"{"error":{"code":400,"type":"exceed_context_size_error"}}"#, C::ContextExceeded, Fit),
        (400, r#"{"object":"error","message":"maximum context length is 9"}"#, C::ContextExceeded, Fit),
        (413, r#"{"error":{"message":"Prompt is too long"}}"#, C::ContextExceeded, Fit),
        (
            500,
            r#"{"error":{"message":"the request exceeds the available context size"}}"#,
            C::ContextExceeded,
            Fit,
        ),
        (413, "<html>", C::ValidationFailed, Request),
        (413, r#"{"error":{"code":"rate_limit_exceeded"}}"#, C::RateLimited, Path),
        (422, r#"{"detail":[{"msg":"x"}]}"#, C::ValidationFailed, Request),
        (400, r#"{"error":{"message":"Model Not Exist"}}"#, C::ProviderError, Path),
        (400, r#"{"error":{"message":"API key not valid."}}"#, C::AuthError, Path),
        (401, "", C::AuthError, Path),
        (402, "", C::AuthError, Path),
        (403, "<html>", C::AuthError, Path),
        (404, r#"{"error":{"code":"model_not_found"}}"#, C::ProviderError, Path),
        (404, r#"{"error":"model 'x' not found"}"#, C::ProviderError, Path),
        (408, "", C::Timeout, Path),
        (429, r#"{"error":{"code":"insufficient_quota"}}"#, C::RateLimited, Path),
        (451, "", C::ValidationFailed, Request),
        (301, "", C::ProviderError, Path),
        (500, "<html>oops</html>", C::ProviderError, Path),
        (503, "", C::ProviderError, Path),
        (504, "", C::Timeout, Path),
        (529, "", C::ProviderError, Path),
        (999, "", C::ProviderError, Path),
    ] {
        let found = failure(status, &[], body);
        assert_eq!((found.category, found.blame), (category, blame), "{status} {body}");
        assert_eq!(found.falls_back(), blame != Request);
        assert_eq!(found.status, Some(status));
        assert_eq!(found.body.as_deref(), Some(body.as_bytes()));
    }
}

#[test]
fn the_message_names_the_provider_and_repeats_nothing_that_it_wrote() {
    let found = failure(400, &[("content-type", "application/json")], r#"{"error":{"message":"SECRET"}}"#);
    assert_eq!(
        found.to_string(),
        "provider acme answered HTTP 400: it does not accept the request; see its own error for the reason"
    );
    assert!(!format!("{found:?}").contains("SECRET"));
    assert_eq!(found.content_type.as_deref(), Some("application/json"));
}

#[test]
fn the_wait_is_read_from_seconds_milliseconds_and_dates() {
    let wait = |headers: &[(&'static str, &str)]| failure(429, headers, "").retry_after;
    assert_eq!(wait(&[]), None);
    assert_eq!(wait(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
    assert_eq!(wait(&[("retry-after", "1.5")]), Some(Duration::from_millis(1500)));
    assert_eq!(wait(&[("retry-after", "9"), ("retry-after-ms", "20")]), Some(Duration::from_millis(20)));
    assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]), Some(Duration::from_secs(30)));
    assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]), Some(Duration::ZERO));
    assert_eq!(wait(&[("retry-after", "1e30")]), None);
    assert_eq!(wait(&[("retry-after", "99999999")]), Some(MAX_RETRY_AFTER));
    for odd in ["-1", "soon", "NaN", ""] {
        assert_eq!(wait(&[("retry-after", odd)]), None, "{odd}");
    }
}
