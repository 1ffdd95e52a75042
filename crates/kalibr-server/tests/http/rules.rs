//! Objectives, limits and risk, as clients set and meet them.

use kalibr_engine::core::safety::Risk;
use serde_json::json;

use crate::kalibr::{Kalibr, LAB};

/// Two models that users like equally, one at a hundredth of the other's price.
fn priced() -> String {
    format!(
        "{LAB}\n[prices]\n\"lab/one\" = {{ input = 100, output = 300 }}\n\"lab/two\" = {{ input = 1, output = 3 }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_moves_to_the_cheap_path_once_it_is_known_to_be_as_good() {
    let kalibr = Kalibr::start(&priced()).await;
    let objective = json!({ "mode": "cheapest_within", "delta": 0.1, "probability": 0.5 });
    let goal = json!({ "paths": ["lab/one", "lab/two"], "objective": objective });
    let put = kalibr.client.put("/v1/goals/g", goal).await.ok(200);
    assert_eq!(put["settings"]["objective"], objective);
    for _ in 0..60 {
        let trace = kalibr.asked().await;
        let signal = json!({ "type": "user_accepted", "trace_id": trace });
        kalibr.client.post("/v1/signals", signal).await.ok(200);
    }
    let learned = kalibr.counted().await[0]["learned"][0]["paths"].clone();
    assert!(learned[1]["share"].as_f64().unwrap() > 0.8, "{learned}");
    let cost = |path: usize| learned[path]["cost_usd"].as_f64().unwrap();
    assert!((cost(0) / cost(1) - 100.0).abs() < 1.0, "{learned}");
    assert!(learned[1]["latency_p95_ms"].is_number(), "{learned}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_that_no_path_keeps_is_a_conflict_that_names_each_paths_reason() {
    let kalibr = Kalibr::start(&priced()).await;
    let goal = json!({ "paths": ["lab/one", "lab/two"], "limits": { "max_cost_usd": 0.01 } });
    kalibr.client.put("/v1/goals/g", goal).await.ok(200);
    // A price alone makes a cost known enough to begin with.
    let trace = kalibr.asked().await;
    let decision = kalibr.counted().await[0].clone();
    assert_eq!(decision["learned"][0]["paths"][0]["share"], 0.0);
    let decision = kalibr.decision(&trace).await;
    assert!(decision["attempts"][0]["cost_usd"].as_f64().unwrap() > 0.0, "{decision}");
    let reason = decision["considered"][0]["not_eligible"].as_str().unwrap();
    assert!(reason.contains("max_cost_usd is $0.010000"), "{reason}");

    let refused = kalibr.ask(&[("x-kalibr-max-cost-usd", "0.0000001")]).await.error(409, "no_eligible_path");
    assert!(
        refused.contains("lab/one: expected to cost") && refused.contains("lab/two: expected"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_risky_task_goes_to_no_path_that_is_marked_as_risky() {
    let kalibr = Kalibr::start(LAB).await;
    let goal = json!({ "paths": ["lab/one", "lab/two"], "risk": { "lab/two": Risk::Medium } });
    kalibr.client.put("/v1/goals/g", goal).await.ok(200);
    let (mut low, mut high) = (0, 0);
    for _ in 0..20 {
        let is_risky =
            |reply: crate::client::Reply| usize::from(reply.header("x-kalibr-model") == Some("lab/two"));
        low += is_risky(kalibr.ask(&[]).await);
        high += is_risky(kalibr.ask(&[("x-kalibr-risk", "high")]).await);
    }
    assert!(low > 0 && high == 0, "{low} {high}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_or_a_header_that_cannot_be_is_told_in_a_sentence() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    for (setting, code, word) in [
        (json!({ "objective": "cheap" }), "invalid_field", "cheapest_within"),
        (json!({ "objective": { "mode": "budget" } }), "invalid_field", "dollars_per_request"),
        (json!({ "objective": { "mode": "utility", "price": 9 } }), "invalid_goal", "price is the success"),
        (json!({ "limits": { "max_cost": 1 } }), "invalid_field", "max_cost_usd"),
        (json!({ "limits": { "max_cost_usd": -1 } }), "invalid_goal", "max_cost_usd"),
        (json!({ "exploration_cap": 2 }), "invalid_goal", "exploration_cap"),
        (json!({ "holdout": 0.1 }), "invalid_goal", "needs a baseline"),
        (json!({ "guarantee": { "loss": 0.1 } }), "invalid_goal", "needs a baseline"),
        (json!({ "baseline": "lab/two" }), "invalid_goal", "none of the goal's paths"),
        (json!({ "risk": { "lab/two": "high" } }), "invalid_goal", "none of the goal's paths"),
        (json!({ "risk": { "lab/one": "huge" } }), "invalid_field", "medium"),
    ] {
        let mut goal = json!({ "paths": ["lab/one"] });
        goal.as_object_mut().unwrap().extend(setting.as_object().unwrap().clone());
        let message = kalibr.client.put("/v1/goals/g", goal).await.error(400, code);
        assert!(message.contains(word), "{word}: {message}");
    }
    for (header, value, word) in [
        ("x-kalibr-risk", "huge", "low, medium or high"),
        ("x-kalibr-max-cost-usd", "cheap", "number of dollars"),
        ("x-kalibr-max-cost-usd", "-1", "above 0"),
        ("x-kalibr-max-latency-ms", "0", "above 0"),
        ("x-kalibr-max-latency-ms", "1.5", "whole number"),
    ] {
        let message = kalibr.ask(&[(header, value)]).await.error(400, "invalid_field");
        assert!(message.contains(word), "{word}: {message}");
    }
}
