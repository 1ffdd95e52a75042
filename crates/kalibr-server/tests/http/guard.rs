use http::Method;
use serde_json::json;

use crate::kalibr::{Kalibr, LAB};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_another_host_is_refused() {
    let kalibr = Kalibr::start(LAB).await;
    for head in [
        "GET /v1/goals HTTP/1.1\r\nHost: evil.example:8600\r\n",
        "GET /v1/goals HTTP/1.1\r\nHost: evil.example\r\nHost: 127.0.0.1\r\n",
        "GET http://evil.example/v1/goals HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        "GET /v1/goals HTTP/1.0\r\n",
    ] {
        let answer = kalibr.client.raw(&format!("{head}Connection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 421") || answer.starts_with("HTTP/1.0 421"), "{head}: {answer}");
        assert!(answer.contains("\"wrong_host\"") && answer.contains("localhost"), "{answer}");
    }
    let local = "GET /v1/goals HTTP/1.1\r\nHost: LocalHost:1\r\nConnection: close\r\n\r\n";
    assert!(kalibr.client.raw(local).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_is_refused_and_a_local_one_is_not() {
    let kalibr = Kalibr::start(LAB).await;
    let body = json!({ "paths": ["lab/one"] });
    for origin in ["https://evil.example", "null", "http://127.0.0.1.evil.example"] {
        let headers = [("origin", origin)];
        let reply = kalibr.client.json(Method::PUT, "/v1/goals/g", &headers, body.clone()).await;
        reply.error(403, "cross_site");
    }
    kalibr.client.get("/v1/goals/g").await.error(404, "goal_not_found");
    let headers = [("origin", "http://localhost:3000")];
    kalibr.client.json(Method::PUT, "/v1/goals/g", &headers, body).await.ok(200);
}
