use serde_json::json;

use crate::kalibr::{Kalibr, LAB};

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_says_what_a_policy_would_have_earned_or_how_much_is_missing() {
    let kalibr = Kalibr::start(LAB).await;
    let goal = json!({ "paths": ["lab/one", "lab/two"], "floor": 0.5 });
    kalibr.client.put("/v1/goals/g", goal).await.ok(200);
    for n in 0..120 {
        let trace = kalibr.asked().await;
        let kind = if n % 4 == 0 { "user_rejected" } else { "user_accepted" };
        kalibr.client.post("/v1/signals", json!({ "type": kind, "trace_id": trace })).await.ok(200);
        if n == 20 {
            let few = kalibr.client.get("/v1/goals/g/replay?policy=always:lab/two").await.ok(200);
            let message = few["refused"]["message"].as_str().unwrap();
            assert!(message.contains("at least 30 are needed"), "{message}");
            assert_eq!((&few["worth"], &few["done"].is_number()), (&json!(null), &true));
        }
    }
    let enough = kalibr.client.get("/v1/goals/g/replay?policy=always:lab/two&since=1d").await.ok(200);
    assert_eq!((&enough["decisions"], &enough["done"]), (&json!(120), &json!(0.75)));
    let value = &enough["worth"]["value"];
    assert!(value["low"].as_f64() < value["value"].as_f64(), "{enough}");
    assert!((30.0..=90.0).contains(&enough["effective"].as_f64().unwrap()), "{enough}");
    assert_eq!(enough["refused"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_cannot_be_says_what_one_is() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let at = |rest: &str| format!("/v1/goals/{rest}");
    for (address, status, code) in [
        ("g/replay", 400, "invalid_field"),
        ("g/replay?policy=magic", 400, "invalid_field"),
        ("g/replay?policy=uniform&since=once", 400, "invalid_field"),
        ("g/replay?policy=uniform&bucket=code", 400, "invalid_query"),
        ("g/replay?policy=always:lab/nine", 404, "path_not_found"),
        ("elsewhere/replay?policy=uniform", 404, "goal_not_found"),
    ] {
        kalibr.client.get(&at(address)).await.error(status, code);
    }
}
