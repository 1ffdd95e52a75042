use serde_json::{Value, json};

use crate::kalibr::{Kalibr, LAB};

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_is_created_read_listed_changed_and_removed() {
    let kalibr = Kalibr::start(LAB).await;
    let client = &kalibr.client;
    assert_eq!(client.get("/v1/goals").await.ok(200)["data"], json!([]));

    let paths =
        json!(["lab/one", { "model": "lab/two", "tools": ["search"], "params": { "temperature": 0 } }]);
    let put = client.put("/v1/goals/r.s:1", json!({ "paths": paths, "floor": 0.02 })).await.ok(200);
    assert_eq!(put["name"], "r.s:1");
    let settings = &put["settings"];
    assert_eq!(settings["half_life"], 800.0);
    assert_eq!((&settings["floor"], &settings["buckets"]), (&json!(0.02), &json!("off")));
    assert_eq!(settings["user_cap"], json!({ "decisions": 50, "window_seconds": 86_400 }));
    assert_eq!(put["paths"][1]["params"], json!({ "temperature": 0 }));
    assert_eq!(put["learned"][0]["paths"][0]["share"], 0.5);
    assert_eq!(client.get("/v1/goals/r.s:1").await.ok(200), put);
    assert_eq!(client.get("/v1/goals").await.ok(200)["data"][0], put);

    let put = client.put("/v1/goals/r.s:1", json!({ "paths": ["lab/two"] })).await.ok(200);
    assert_eq!(put["paths"].as_array().unwrap().len(), 1);

    assert_eq!(client.delete("/v1/goals/r.s:1").await.ok(200), json!({ "deleted": true }));
    client.delete("/v1/goals/r.s:1").await.error(404, "goal_not_found");
    client.get("/v1/goals/r.s:1").await.error(404, "goal_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_that_cannot_be_is_refused_and_changes_nothing() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let before = kalibr.counted().await;
    let many: Vec<Value> = (0..201).map(|i| json!(format!("lab/{i}"))).collect();
    for (body, code, word) in [
        (json!({ "paths": [] }), "invalid_goal", "at least one path"),
        (json!({ "paths": many }), "invalid_goal", "at most 200"),
        (json!({ "paths": ["lab/one"], "floor": 0.9 }), "invalid_goal", "floor"),
        (json!({ "paths": ["lab/one"], "half_life": -1 }), "invalid_goal", "half_life"),
        (json!({ "paths": ["lab/one"], "half_life": "long" }), "invalid_field", "half_life"),
        (json!({ "paths": ["lab/one"], "buckets": "some" }), "invalid_field", "buckets"),
        (json!({}), "invalid_field", "paths"),
        (json!({ "paths": "lab/one" }), "invalid_field", "list"),
        (json!({ "paths": ["lab/one", 3] }), "invalid_field", "paths[1]"),
        (json!({ "paths": [{ "model": "m", "params": { "stream": true } }] }), "invalid_field", "stream"),
        (json!({ "paths": ["lab/one"], "pathz": [] }), "invalid_field", "pathz"),
    ] {
        let message = kalibr.client.put("/v1/goals/g", body).await.error(400, code);
        assert!(message.contains(word), "{word}: {message}");
    }
    kalibr.client.put("/v1/goals/a%2Fb", json!({ "paths": ["lab/one"] })).await.error(400, "invalid_id");
    assert_eq!(kalibr.counted().await, before);
}
