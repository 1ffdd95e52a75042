use serde_json::{Value, json};

use crate::kalibr::{Kalibr, LAB};

#[tokio::test(flavor = "multi_thread")]
async fn goals_and_the_models_of_their_paths_are_listed_as_openai_lists_models() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one", "lab/two"])).await;
    kalibr.client.put("/v1/goals/h", json!({ "paths": ["lab/one", "org/some-model"] })).await.ok(200);
    let list = kalibr.client.get("/v1/models").await.ok(200);
    assert_eq!(list["object"], "list");
    let models = list["data"].as_array().unwrap();
    let ids: Vec<&Value> = models.iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["goal:g", "goal:h", "lab/one", "lab/two", "org/some-model"]);
    for model in models {
        assert_eq!(model["object"], "model");
        assert!(model["created"].is_u64() && model["owned_by"].is_string(), "{model}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_found_by_its_id_with_slashes_plain_or_encoded() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    for (address, id, owner) in
        [("goal:g", "goal:g", "kalibr"), ("lab/one", "lab/one", "lab"), ("lab%2Fone", "lab/one", "lab")]
    {
        let model = kalibr.client.get(&format!("/v1/models/{address}")).await.ok(200);
        assert_eq!(model, json!({ "id": id, "object": "model", "created": 0, "owned_by": owner }));
    }
    kalibr.client.get("/v1/models/lab/three").await.error(404, "model_not_found");
}
