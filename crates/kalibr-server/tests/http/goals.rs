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
async fn a_goal_is_frozen_thawed_reset_and_resumed() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one", "lab/two"])).await;
    let client = &kalibr.client;
    let post = async |what: &str| client.post(&format!("/v1/goals/g/{what}"), json!({})).await;
    let rate = async || {
        let trace = kalibr.asked().await;
        let signal = json!({ "type": "user_accepted", "trace_id": trace });
        client.post("/v1/signals", signal).await.ok(200);
        kalibr.counted().await;
        kalibr.decision(&trace).await
    };
    rate().await;
    let before = client.get("/v1/goals/g").await.ok(200);
    let frozen = post("freeze").await.ok(200);
    assert_eq!(frozen["learned"], before["learned"]);
    assert!(frozen["frozen_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(rate().await["not_counted"], "frozen");
    assert_eq!(client.get("/v1/goals/g").await.ok(200), frozen);
    assert!(post("reset").await.error(409, "goal_conflict").contains("thaw"));
    let thawed = post("thaw").await.ok(200);
    assert_eq!((&thawed["frozen_at"], &thawed["rolled_back"]), (&Value::Null, &Value::Null));

    let old = rate().await;
    assert_eq!(old["not_counted"], Value::Null);
    let reset = post("reset").await.ok(200);
    let graded = |goal: &Value| -> i64 {
        let paths = goal["learned"][0]["paths"].as_array().unwrap();
        paths.iter().map(|path| path["graded"].as_i64().unwrap()).sum()
    };
    assert_eq!(graded(&reset), 0);
    assert!(reset["reset_at"].is_string());
    let old = kalibr.decision(old["trace_id"].as_str().unwrap()).await;
    assert_eq!((&old["not_counted"], &old["effect"]), (&json!("before_reset"), &json!([])));
    assert_eq!(graded(&client.delete("/v1/goals/g/reset").await.ok(200)), 2);
    client.delete("/v1/goals/g/reset").await.error(409, "goal_conflict");
    post("resume").await.ok(200);

    for what in ["freeze", "thaw", "reset", "resume"] {
        client.post(&format!("/v1/goals/nobody/{what}"), json!({})).await.error(404, "goal_not_found");
    }
    client.get("/v1/goals/g/freeze").await.error(405, "method_not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_cap_is_a_number_or_says_its_window() {
    let kalibr = Kalibr::start(LAB).await;
    for (said, cap) in [
        (json!(7), json!({ "decisions": 7, "window_seconds": 86_400 })),
        (json!(0), json!({ "decisions": 0, "window_seconds": 86_400 })),
        (json!({ "decisions": 3, "window_seconds": 60 }), json!({ "decisions": 3, "window_seconds": 60 })),
    ] {
        let body = json!({ "paths": ["lab/one"], "user_cap": said });
        assert_eq!(kalibr.client.put("/v1/goals/g", body).await.ok(200)["settings"]["user_cap"], cap);
    }
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
        (json!({ "paths": ["lab/one"], "user_cap": "few" }), "invalid_field", "user_cap"),
        (json!({ "paths": ["lab/one"], "user_cap": -3 }), "invalid_field", "user_cap"),
        (
            json!({ "paths": ["lab/one"], "user_cap": { "decisions": 1, "window_seconds": 0 } }),
            "invalid_goal",
            "window",
        ),
        (json!({ "paths": ["lab/one"], "rollback_error": 1 }), "invalid_goal", "rollback_error"),
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

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_says_how_sure_one_may_be_of_each_path_and_of_all_together() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one", "lab/two"])).await;
    let trace = kalibr.asked().await;
    kalibr.client.post("/v1/signals", json!({ "type": "user_accepted", "trace_id": trace })).await.ok(200);
    kalibr.counted().await;
    let goal = kalibr.client.get("/v1/goals/g").await.ok(200);
    let scope = &goal["learned"][0];
    assert_eq!(scope["verdict"]["kind"], "not_enough_data");
    let sentence = scope["verdict"]["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("not enough data yet: about "), "{sentence}");
    assert!(scope["verdict"]["more"].as_u64().unwrap() > 100);
    for path in scope["paths"].as_array().unwrap() {
        let number = |value: &Value| value.as_f64().unwrap();
        assert!(
            (0.0..=1.0).contains(&number(&path["p_best"])) && number(&path["expected_loss"]) > 0.0,
            "{path}"
        );
        for kind in ["credible", "guaranteed"] {
            assert_eq!((&path[kind]["kind"], &path[kind]["level"]), (&json!(kind), &json!(0.95)));
            let expected = number(&path["expected"]);
            assert!(
                number(&path[kind]["low"]) < expected && expected < number(&path[kind]["high"]),
                "{path}"
            );
        }
    }
    let decision = kalibr.decision(&trace).await;
    assert_eq!(decision["verdict"], scope["verdict"]);
    assert_eq!(decision["effect"][0]["guaranteed"]["kind"], "guaranteed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_may_have_one_path_one_path_twice_or_two_hundred() {
    let kalibr = Kalibr::start(LAB).await;
    let paths = |n: usize| (0..n).map(|i| json!({ "model": "lab/one", "params": { "seed": i } })).collect();
    let twice = json!(["lab/one", "lab/one", { "model": "lab/one", "params": {} }]);
    for (paths, distinct) in [(json!(["lab/one"]), 1), (twice, 1), (Value::Array(paths(200)), 200)] {
        let put = kalibr.client.put("/v1/goals/g", json!({ "paths": paths })).await.ok(200);
        assert_eq!(put["paths"].as_array().unwrap().len(), distinct);
        let reply = kalibr.ask(&[]).await;
        let propensity: f64 = reply.header("x-kalibr-propensity").unwrap().parse().unwrap();
        assert!((propensity * distinct as f64 - 1.0).abs() < 0.1, "{propensity} of {distinct}");
        let trace = reply.header("x-kalibr-trace-id").unwrap();
        kalibr
            .client
            .post("/v1/signals", json!({ "type": "user_rejected", "trace_id": trace }))
            .await
            .ok(200);
    }
    let learned = kalibr.counted().await[0]["learned"][0]["paths"].clone();
    let share: f64 = learned.as_array().unwrap().iter().map(|path| path["share"].as_f64().unwrap()).sum();
    assert!((share - 1.0).abs() < 1e-9, "{share}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_outlives_its_goal() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one", "lab/two"])).await;
    let trace = kalibr.asked().await;
    kalibr.client.delete("/v1/goals/g").await.ok(200);
    let signal = json!({ "type": "user_accepted", "trace_id": trace });
    assert_eq!(kalibr.client.post("/v1/signals", signal).await.ok(200)["joined"], true);
    let decision = kalibr.decision(&trace).await;
    assert_eq!((&decision["goal"], &decision["attempts"][0]["strength"]), (&json!("g"), &json!(1.0)));
    assert_eq!(decision["verdict"], Value::Null);
    kalibr.ask(&[]).await.error(404, "goal_not_found");
}
