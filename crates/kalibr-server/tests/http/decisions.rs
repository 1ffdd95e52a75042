use serde_json::json;

use crate::kalibr::{Kalibr, LAB};

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_says_what_was_known_what_was_chosen_and_what_it_changed() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one", "lab/two"])).await;
    let trace = kalibr.asked().await;
    kalibr.client.post("/v1/signals", json!({ "type": "user_rejected", "trace_id": trace })).await.ok(200);
    let decision = kalibr.decision(&trace).await;
    assert_eq!(decision["trace_id"], trace);
    assert_eq!(decision["goal"], "g");
    assert_eq!(decision["considered"].as_array().unwrap().len(), 2);
    assert_eq!(decision["evidence"][0]["source"], "explicit");
    let effect = &decision["effect"][0];
    assert_eq!(effect["path_id"], decision["chosen"]["path_id"]);
    assert!(effect["expected_with"].as_f64() < effect["expected_without"].as_f64(), "{effect}");
    assert!(effect["share_with"].as_f64() < effect["share_without"].as_f64(), "{effect}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_decision_is_said_to_be_unknown() {
    let kalibr = Kalibr::start(LAB).await;
    for id in ["0123456789abcdef0123456789abcdef", "no-such-session", "%E2%82%AC", "a%2Fb"] {
        let message =
            kalibr.client.get(&format!("/v1/decisions/{id}")).await.error(404, "decision_not_found");
        assert!(message.contains("x-kalibr-trace-id"), "{message}");
    }
}
