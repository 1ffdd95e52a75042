use serde_json::json;

use crate::kalibr::{Kalibr, LAB};

#[tokio::test(flavor = "multi_thread")]
async fn the_next_requests_go_more_often_to_what_worked() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one", "lab/two"])).await;
    // Signals of all three levels, that like one path and not the other.
    for round in 0..60 {
        let session = format!("s-{round}");
        let reply = kalibr.ask(&[("x-kalibr-session", &session)]).await;
        let good = reply.header("x-kalibr-model") == Some("lab/two");
        let trace = reply.header("x-kalibr-trace-id").unwrap();
        let (address, body) = match (round % 3, good) {
            (0, true) => ("/v1/signals".to_owned(), json!({ "type": "user_accepted", "trace_id": trace })),
            (0, false) => ("/v1/signals".to_owned(), json!({ "type": "user_rejected", "trace_id": trace })),
            (1, true) => {
                (format!("/v1/sessions/{session}/turns"), json!({ "user_message": "Perfect, thanks!" }))
            }
            (1, false) => {
                (format!("/v1/sessions/{session}/turns"), json!({ "user_message": "This is wrong." }))
            }
            (_, true) => {
                (format!("/v1/sessions/{session}/actions"), json!({ "action_type": "output_used_verbatim" }))
            }
            (_, false) => {
                (format!("/v1/sessions/{session}/actions"), json!({ "action_type": "output_discarded" }))
            }
        };
        assert_eq!(kalibr.client.post(&address, body).await.ok(200)["joined"], true);
    }
    let learned = kalibr.counted().await[0]["learned"][0]["paths"].clone();
    assert!(learned[1]["share"].as_f64().unwrap() > 0.9, "{learned}");
    let mut liked = 0;
    for _ in 0..50 {
        liked += usize::from(kalibr.ask(&[]).await.header("x-kalibr-model") == Some("lab/two"));
    }
    assert!(liked > 40, "{liked} of 50");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_that_nothing_is_lost() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    kalibr.asked().await;
    kalibr.counted().await;
    let health = kalibr.client.get("/healthz").await.ok(200);
    for (field, value) in [
        ("status", json!("ok")),
        ("waiting", json!(0)),
        ("dropped", json!(0)),
        ("lost", json!(0)),
        ("stalled_ms", json!(0)),
    ] {
        assert_eq!(health[field], value, "{field}");
    }
}
