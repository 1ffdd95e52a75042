use std::path::Path;

use http::Method;
use serde_json::json;

use crate::kalibr::{Kalibr, LAB};

const CANARY: &str = "canary-7f3a-sings-9c1e";

/// The files under a folder that hold the text.
fn holding(folder: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { holding(&path, text) } else { vec![path] })
        .filter(|path| {
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_users_write_and_who_they_are_is_in_no_file() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let client = &kalibr.client;
    let text = format!("Please help, {CANARY}");
    let headers = [("x-kalibr-session", CANARY), ("x-kalibr-user", CANARY)];
    let question =
        json!({ "model": "goal:g", "user": CANARY, "messages": [{ "role": "user", "content": text }] });
    let reply = client.json(Method::POST, "/v1/chat/completions", &headers, question).await;
    assert_eq!(reply.status, 200);
    let trace = reply.header("x-kalibr-trace-id").unwrap().to_owned();

    let session = |what: &str| format!("/v1/sessions/{CANARY}/{what}");
    let run = json!({ "trace_id": trace, "run_id": CANARY, "prompt": text, "output": text });
    client.post(&session("runs"), run).await.ok(200);
    let turn = json!({ "user_message": format!("This is wrong, try again. {CANARY}") });
    assert_eq!(client.post(&session("turns"), turn).await.ok(200)["asserted"], true);
    let diff = format!("@@ -1 +1 @@\n-{text}\n+{CANARY}\n");
    for (field, edit) in [("edit_diff", &diff), ("edited_output", &text)] {
        let action = json!({ "action_type": "output_edited", field: edit });
        client.post(&session("actions"), action).await.ok(200);
    }
    let signal = json!({ "type": "user_rejected", "trace_id": trace, "reason": text, "raw_evidence": text });
    client.post("/v1/signals", signal).await.ok(200);
    kalibr.counted().await;

    assert_eq!(kalibr.decision(CANARY).await["evidence"].as_array().unwrap().len(), 4);
    assert_eq!(holding(kalibr.folder(), CANARY), Vec::<std::path::PathBuf>::new());
    // The search itself works: the goal's path is there.
    assert!(!holding(kalibr.folder(), "lab/one").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_error_repeats_what_a_user_wrote() {
    let kalibr = Kalibr::with_paths(LAB, json!(["lab/one"])).await;
    let client = &kalibr.client;
    for (address, body) in [
        ("/v1/signals", json!({ "type": CANARY, "trace_id": "0123456789abcdef0123456789abcdef" })),
        ("/v1/signals", json!({ "type": "user_accepted", "trace_id": CANARY })),
        ("/v1/signals", json!({ "type": "user_accepted", "session_id": format!("{CANARY}/") })),
        ("/v1/signals", json!({ "type": "user_accepted", "session_id": "s", "strength": CANARY })),
        ("/v1/signals", json!({ "type": "user_accepted", "session_id": "s", CANARY: 1 })),
        ("/v1/signals", json!({ "signals": [CANARY] })),
        ("/v1/sessions/s/turns", json!({ "user_message": [CANARY] })),
        ("/v1/sessions/s/actions", json!({ "action_type": CANARY })),
        ("/v1/sessions/s/actions", json!({ "action_type": "output_edited", "edit_diff": CANARY })),
        ("/v1/sessions/s/actions", json!({ "action_type": "output_edited", "edited_output": [CANARY] })),
        (
            "/v1/signals",
            json!({ "type": "output_edited", "session_id": "s", "edited_output": CANARY, "edit_diff": CANARY }),
        ),
        ("/v1/chat/completions", json!({ "model": CANARY, "messages": CANARY })),
        ("/v1/chat/completions", json!({ "model": "goal:g", "messages": [], "user": CANARY })),
    ] {
        let reply = client.post(address, body).await;
        assert_eq!(reply.status, 400, "{:?}", reply.body);
        assert!(!reply.text().contains(CANARY), "{}", reply.text());
    }
    let broken = client.post_bytes("/v1/signals", format!("{{\"reason\": \"{CANARY}\n")).await;
    assert!(!broken.text().contains(CANARY) && broken.status == 400);
}
