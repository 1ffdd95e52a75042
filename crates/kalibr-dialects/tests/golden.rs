//! What one dialect says in the words of another, file by file; and back in its own words, where nothing may be missing.

use std::fs;
use std::path::{Path, PathBuf};

use kalibr_dialects::{Losses, Object, ReadStream, WriteStream, anthropic, gemini, openai, responses};
use serde_json::{Value, json};

/// The time of answers that do not say theirs.
const NOW: u64 = 1_764_000_001;

fn cases(folder: &str) -> Vec<(PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = files.map(|path| (path.clone(), read(&path))).collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!cases.is_empty(), "no cases in {}", folder.display());
    cases
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn value(object: &Object) -> Value {
    serde_json::from_str(&object.to_string()).unwrap()
}

type Translation = (Object, Losses);

/// Translates each case's `in`, and compares with its `out` and `losses`; written in its own dialect it is itself again.
fn check(folder: &str, translate: impl Fn(&[u8]) -> Translation, back: impl Fn(&[u8]) -> Translation) {
    check_out(folder, translate);
    for (path, case) in cases(folder) {
        let (again, losses) = back(case["in"].to_string().as_bytes());
        assert_eq!(value(&again), case["in"], "{}", path.display());
        assert!(losses.is_empty(), "{}: {losses:?}", path.display());
    }
}

fn check_out(folder: &str, translate: impl Fn(&[u8]) -> Translation) {
    for (path, case) in cases(folder) {
        let body = case["in"].to_string().into_bytes();
        let (out, losses) = translate(&body);
        let mut listed: Vec<String> = losses.listed().iter().map(ToString::to_string).collect();
        for (line, loss) in listed.iter_mut().zip(losses.listed()) {
            line.push_str(if loss.is_grave { " (grave)" } else { "" });
        }
        let actual = json!({"in": case["in"], "out": value(&out), "losses": listed});
        assert_eq!(actual, case, "{}: now it is\n{actual:#}", path.display());
    }
}

#[test]
fn a_chat_request_becomes_an_anthropic_one() {
    let read = |body: &[u8]| openai::read_request(body).unwrap();
    check(
        "requests/openai_to_anthropic",
        |body| anthropic::write_request(&read(body)),
        |body| openai::write_request(&read(body)),
    );
}

#[test]
fn an_anthropic_request_becomes_a_chat_one() {
    let read = |body: &[u8]| anthropic::read_request(body).unwrap();
    check(
        "requests/anthropic_to_openai",
        |body| openai::write_request(&read(body)),
        |body| anthropic::write_request(&read(body)),
    );
}

#[test]
fn a_chat_answer_becomes_an_anthropic_one() {
    let read = |body: &[u8]| openai::read_answer(body).unwrap();
    check(
        "answers/openai_to_anthropic",
        |body| anthropic::write_answer(&read(body)),
        |body| openai::write_answer(&read(body), NOW),
    );
}

#[test]
fn an_anthropic_answer_becomes_a_chat_one() {
    let read = |body: &[u8]| anthropic::read_answer(body).unwrap();
    check(
        "answers/anthropic_to_openai",
        |body| openai::write_answer(&read(body), NOW),
        |body| anthropic::write_answer(&read(body)),
    );
}

/// Translates each case's events; what is written names each event as its data does.
fn check_streams<R: ReadStream + Default, W: WriteStream>(folder: &str, writer: impl Fn() -> W) {
    for (path, case) in cases(folder) {
        let (mut reader, mut writer, mut out) = (R::default(), writer(), String::new());
        let data: Vec<String> = case["in"].as_array().unwrap().iter().map(said).collect();
        for data in &data {
            for event in reader.read(data.as_bytes()).unwrap() {
                writer.write(&event, &mut out);
            }
        }
        for event in reader.end() {
            writer.write(&event, &mut out);
        }
        let listed: Vec<String> = [reader.losses(), writer.losses()]
            .iter()
            .flat_map(|losses| losses.listed().iter().map(ToString::to_string))
            .collect();
        let actual = json!({"in": case["in"], "out": events(&out), "losses": listed});
        assert_eq!(actual, case, "{}: now it is\n{actual:#}", path.display());
    }
}

fn said(data: &Value) -> String {
    data.as_str().map_or_else(|| data.to_string(), str::to_owned)
}

fn events(out: &str) -> Vec<Value> {
    let events = out.split_terminator("\n\n").map(|event| {
        let (name, data) = match event.split_once('\n') {
            Some((name, data)) => (Some(name.strip_prefix("event: ").unwrap()), data),
            None => (None, event),
        };
        let data = data.strip_prefix("data: ").unwrap();
        let data = serde_json::from_str(data).unwrap_or_else(|_| Value::from(data));
        assert!(name.is_none_or(|name| data["type"] == name), "{event}");
        data
    });
    events.collect()
}

#[test]
fn a_chat_stream_becomes_an_anthropic_one() {
    let writer = anthropic::StreamWriter::default;
    check_streams::<openai::StreamReader, _>("streams/openai_to_anthropic", writer);
}

#[test]
fn an_anthropic_stream_becomes_a_chat_one() {
    let writer = || openai::StreamWriter::new(NOW);
    check_streams::<anthropic::StreamReader, _>("streams/anthropic_to_openai", writer);
}

#[test]
fn a_chat_request_becomes_one_for_gemini() {
    check_out("requests/openai_to_gemini", |body| {
        gemini::write_request(&openai::read_request(body).unwrap())
    });
}

#[test]
fn a_gemini_answer_becomes_a_chat_one() {
    check_out("answers/gemini_to_openai", |body| {
        openai::write_answer(&gemini::read_answer(body).unwrap(), NOW)
    });
}

#[test]
fn a_gemini_stream_becomes_a_chat_one() {
    check_streams::<gemini::StreamReader, _>("streams/gemini_to_openai", || openai::StreamWriter::new(NOW));
}

/// The settings that answers and streams repeat.
fn settings() -> responses::Settings {
    let body = br#"{"model": "m", "input": "x", "instructions": "Be brief.", "temperature": 0.5,
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": false}]}"#;
    responses::Settings::of(&responses::read_request(body).unwrap())
}

#[test]
fn a_request_for_a_response_becomes_a_chat_one_or_anthropics() {
    let read = |body: &[u8]| responses::read_request(body).unwrap();
    check_out("requests/responses_to_openai", |body| openai::write_request(&read(body)));
    check_out("requests/responses_to_anthropic", |body| anthropic::write_request(&read(body)));
}

#[test]
fn a_request_that_needs_what_a_provider_keeps_is_refused() {
    for (body, place) in [
        (r#"{"model": "m", "input": "x", "previous_response_id": "resp_1"}"#, "previous_response_id"),
        (r#"{"model": "m", "input": "x", "conversation": {"id": "c"}}"#, "conversation"),
        (r#"{"model": "m", "input": "x", "background": true}"#, "background"),
        (r#"{"model": "m", "input": [{"type": "item_reference", "id": "i"}]}"#, "input[0]"),
        (r#"{"model": "m"}"#, "input"),
        (r#"{"input": "x"}"#, "model"),
    ] {
        let refused = responses::read_request(body.as_bytes()).unwrap_err();
        assert_eq!(refused.place, place, "{refused}");
    }
}

#[test]
fn a_chat_answer_becomes_a_response() {
    let read = |body: &[u8]| openai::read_answer(body).unwrap();
    check_out("answers/openai_to_responses", |body| responses::write_answer(&read(body), &settings(), NOW));
}

#[test]
fn a_chat_stream_becomes_a_responses() {
    let writer = || responses::StreamWriter::new(settings(), NOW);
    check_streams::<openai::StreamReader, _>("streams/openai_to_responses", writer);
}

#[test]
fn an_error_is_said_in_either_dialect() {
    for (path, case) in cases("errors") {
        let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
        let body = case["in"].as_str().map_or(case["in"].to_string(), str::to_owned).into_bytes();
        let error = match case["dialect"].as_str() {
            Some("openai") => openai::read_error(status, &body),
            Some("gemini") => gemini::read_error(status, &body),
            _ => anthropic::read_error(status, &body),
        };
        assert_eq!(error.status, status);
        let mut actual = case.clone();
        actual["openai"] = value(&openai::write_error(&error));
        actual["anthropic"] = value(&anthropic::write_error(&error));
        assert_eq!(actual, case, "{}: now it is\n{actual:#}", path.display());
    }
}

#[test]
fn the_order_of_keys_stays_within_schemas_and_arguments() {
    let schema = r#"{"type":"object","properties":{"zip":{"type":"string"},"city":{"type":"string"}},"a":1}"#;
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"assistant","tool_calls":[{{"id":"c","type":"function",
        "function":{{"name":"f","arguments":"{{\"zip\":1,\"city\":2}}"}}}}]}}],
        "tools":[{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}]}}"#
    );
    let (sent, _) = anthropic::write_request(&openai::read_request(body.as_bytes()).unwrap());
    let sent = sent.to_string();
    assert!(sent.contains(schema), "{sent}");
    assert!(sent.contains(r#""input":{"zip":1,"city":2}"#), "{sent}");
}
