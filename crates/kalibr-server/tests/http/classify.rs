//! How a message would be read: `POST /v1/classify`.

use serde_json::json;

use crate::client::Client;
use crate::kalibr::{Kalibr, LAB};

async fn classify(client: &Client, body: serde_json::Value) -> serde_json::Value {
    client.post("/v1/classify", body).await.ok(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_read_and_nothing_is_recorded() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let told = classify(&kalibr.client, json!({ "user_message": "This is wrong, try again." })).await;
    assert_eq!((&told["label"], &told["asserted"]), (&json!("rejection"), &json!(true)));
    let probabilities = told["probabilities"].as_object().unwrap();
    let sum: f64 = probabilities.values().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9);
    assert!(told["reasons"][0]["clue"].is_string());

    let request = "Sort this list of words by their length, longest first";
    let alone = classify(&kalibr.client, json!({ "user_message": request })).await;
    let again = classify(
        &kalibr.client,
        json!({ "user_message": request, "prior_user_prompt": request, "prior_output": "Here it is." }),
    )
    .await;
    let rejection = |told: &serde_json::Value| told["probabilities"]["rejection"].as_f64().unwrap();
    assert!(rejection(&again) > rejection(&alone));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_repeats_its_sessions_request_is_read_as_what_it_is() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let request = "Sort this list of words by their length, longest first";
    let turn = async |session: &str| {
        let said = kalibr
            .client
            .post(&format!("/v1/sessions/{session}/turns"), json!({ "user_message": request }))
            .await
            .ok(200);
        said["probabilities"]["rejection"].as_f64().unwrap()
    };
    let alone = turn("s-0").await;
    let run = json!({ "goal": "g", "model": "lab/one", "prompt": request, "output": "apple, fig" });
    kalibr.client.post("/v1/sessions/s-1/runs", run).await.ok(200);
    assert!(turn("s-1").await > alone);
}
