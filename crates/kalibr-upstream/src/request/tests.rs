use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn request(body: &str) -> ChatRequest {
    ChatRequest::parse(body.as_bytes()).unwrap()
}

fn path(path: Value) -> PathSpec {
    serde_json::from_value(path).unwrap()
}

fn sent(body: &str, spec: Value) -> Value {
    serde_json::from_slice(&request(body).apply(&path(spec), "pm").to_bytes()).unwrap()
}

#[test]
fn what_is_not_a_request_says_what_is_missing_and_repeats_nothing() {
    let messages = r#""messages":[{"content":"SECRET"}]"#;
    for (body, error) in [
        (&b"\xff\xfe"[..], BadRequest::NotUtf8(0)),
        (b"", BadRequest::NotJson { line: 1, column: 0 }),
        (b"{\"SECRET\":", BadRequest::NotJson { line: 1, column: 10 }),
        (br#"{"model":"m"} x"#, BadRequest::NotJson { line: 1, column: 15 }),
        (br#"["SECRET"]"#, BadRequest::NotAnObject),
        (br#""SECRET""#, BadRequest::NotAnObject),
        (b"{}", BadRequest::NoModel),
        (format!(r#"{{"model":3,{messages}}}"#).as_bytes(), BadRequest::NoModel),
        (format!(r#"{{"model":" ",{messages}}}"#).as_bytes(), BadRequest::NoModel),
        (br#"{"model":"SECRET"}"#, BadRequest::NoMessages),
        (br#"{"model":"SECRET","messages":[ ]}"#, BadRequest::NoMessages),
        (br#"{"model":"SECRET","messages":{"a":1}}"#, BadRequest::NoMessages),
        (format!(r#"{{"model":"m","stream":"yes",{messages}}}"#).as_bytes(), BadRequest::BadStream),
        (
            format!("{{{}}}", (0..300).map(|i| format!("\"{i}\":0")).collect::<Vec<_>>().join(","))
                .as_bytes(),
            BadRequest::TooManyFields,
        ),
    ] {
        let found = ChatRequest::parse(body).unwrap_err();
        assert_eq!(found, error);
        assert!(!found.to_string().contains("SECRET"), "{found}");
    }
}

#[test]
fn of_a_duplicate_key_the_last_value_counts() {
    let request = request(r#"{"model":"a","messages":[1],"model":"b","seed":1,"mod\u0065l":"c"}"#);
    assert_eq!(request.model(), "c");
    assert_eq!(request.to_bytes(), r#"{"model":"c","messages":[1],"seed":1}"#);
}

#[test]
fn debug_shows_nothing_of_the_body() {
    assert!(!format!("{:?}", request(r#"{"model":"m","messages":["SECRET"]}"#)).contains("SECRET"));
}

#[test]
fn params_of_the_path_override_the_callers() {
    let body = r#"{"model":"m","messages":[1],"temperature":1,"max_completion_tokens":9,"seed":7}"#;
    let sent = sent(body, json!({"model": "m", "params": {"temperature": 0, "max_tokens": 5}}));
    assert_eq!(sent, json!({"model":"pm","messages":[1],"temperature":0,"max_tokens":5,"seed":7}));
}

#[test]
fn one_request_can_be_applied_to_path_after_path() {
    let original = request(r#"{"model":"m","messages":[1]}"#);
    let before = original.to_bytes();
    let first = original.apply(&path(json!({"model": "a", "params": {"top_p": 0.5}})), "a");
    let second = original.apply(&path(json!("b")), "b\"");
    assert_eq!(first.to_bytes(), r#"{"model":"a","messages":[1],"top_p":0.5}"#);
    assert_eq!(second.to_bytes(), r#"{"model":"b\"","messages":[1]}"#);
    assert_eq!((original.to_bytes(), second.model()), (before, "b\""));
    assert!(first.is_from_path("top_p") && !second.is_from_path("top_p"));
}

#[test]
fn tools_of_the_path_select_from_the_callers_and_add_to_them() {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
    let (a, b, c) = (tool("a"), tool("b"), tool("c"));
    let mut other_a = a.clone();
    other_a["function"]["strict"] = json!(true);
    let force = |name: &str| json!({"type": "function", "function": {"name": name}});
    for (path_tools, choice, expected) in [
        (json!([]), Value::Null, json!([a, b])),
        (json!(["b"]), Value::Null, json!([b])),
        (json!(["b", "label"]), Value::Null, json!([b])),
        (json!(["label"]), Value::Null, json!([a, b])),
        (json!([c]), Value::Null, json!([a, b, c])),
        (json!(["b", c]), Value::Null, json!([b, c])),
        (json!([other_a]), Value::Null, json!([b, other_a])),
        (json!(["b"]), force("a"), json!([a, b])),
    ] {
        let body = json!({"model": "m", "messages": [1], "tools": [a, b], "tool_choice": choice}).to_string();
        let sent = sent(&body, json!({"model": "m", "tools": path_tools}));
        assert_eq!(sent["tools"], expected, "{path_tools} {choice}");
    }
}

#[test]
fn tools_that_only_the_path_has_are_sent_and_labels_alone_are_not() {
    let tool = json!({"type": "function", "function": {"name": "a"}});
    let body = r#"{"model":"m","messages":[1]}"#;
    assert_eq!(sent(body, json!({"model": "m", "tools": [tool]}))["tools"], json!([tool]));
    assert_eq!(sent(body, json!({"model": "m", "tools": ["a"]})).get("tools"), None);
}

#[test]
fn selected_tools_keep_the_text_they_were_written_as() {
    let body = r#"{"model":"m","messages":[1],"tools":[{ "function":{"name":"a"}, "x":1.0 },{"name":"b"}]}"#;
    let sent = request(body).apply(&path(json!({"model": "m", "tools": ["a"]})), "m").to_bytes();
    assert_eq!(sent, r#"{"model":"m","messages":[1],"tools":[{ "function":{"name":"a"}, "x":1.0 }]}"#);
}

#[test]
fn usage_is_asked_for_in_streams_unless_someone_else_decided() {
    let asked = json!({"include_usage": true});
    for (body, params, options, ours) in [
        (r#"{"model":"m","messages":[1],"stream":true}"#, json!({}), Some(asked.clone()), true),
        (r#"{"model":"m","messages":[1],"stream":true,"stream_options":null}"#, json!({}), Some(asked), true),
        (
            r#"{"model":"m","messages":[1],"stream":true,"stream_options":{}}"#,
            json!({}),
            Some(json!({})),
            false,
        ),
        (
            r#"{"model":"m","messages":[1],"stream":true}"#,
            json!({"stream_options": {}}),
            Some(json!({})),
            false,
        ),
        (r#"{"model":"m","messages":[1],"stream":false}"#, json!({"stream_options": {}}), None, false),
        (r#"{"model":"m","messages":[1]}"#, json!({}), None, false),
    ] {
        let applied = request(body).apply(&path(json!({"model": "m", "params": params})), "m");
        let sent: Value = serde_json::from_slice(&applied.to_bytes()).unwrap();
        assert_eq!(sent.get("stream_options"), options.as_ref(), "{body} {params}");
        assert_eq!(applied.usage_is_ours(), ours, "{body} {params}");
        assert!(!(ours && applied.without_our_usage().get("stream_options").is_some()));
    }
}

/// JSON values as callers write them: odd spacing, escapes and numbers included.
fn written() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1.50e+02".to_owned()),
        Just("-0".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        Just(r#""\ud83d\ude00 \u0041 \/ é""#.to_owned()),
        "\"[a-z ]{0,8}\"",
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|v| format!("[ {} ]", v.join(" ,"))),
            proptest::collection::vec(("[a-z]{1,3}", inner), 0..4).prop_map(|v| {
                let fields: Vec<_> = v.iter().map(|(key, value)| format!("\"{key}\" :\t{value}")).collect();
                format!("{{\n{} }}", fields.join(", "))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn every_field_but_the_model_reaches_the_provider_byte_for_byte(
        fields in proptest::collection::btree_map("x[a-z\\\\\"é]{1,6}", written(), 0..8),
        place in 0usize..8,
    ) {
        let mut all: Vec<(String, String)> = fields.into_iter().collect();
        all.insert(place.min(all.len()), ("messages".into(), "[ {\"role\" : \"user\"} ]".into()));
        all.insert(place.min(all.len()), ("model".into(), "\"m\"".into()));
        let body = all.iter().map(|(k, v)| format!(" {} : {v} ", quote(k))).collect::<Vec<_>>().join(",");
        let request = request(&format!("{{{body}}}"));
        let applied = request.apply(&PathSpec::model("m").unwrap(), "pm");
        let sent: std::collections::HashMap<String, Box<RawValue>> =
            serde_json::from_slice(&applied.to_bytes()).unwrap();
        prop_assert_eq!(sent.len(), all.len());
        for (key, value) in &all {
            let expected = if key == "model" { "\"pm\"" } else { value };
            prop_assert_eq!(sent[key].get(), expected);
        }
        let order: Vec<_> = request.fields.iter().map(|(key, _)| key.to_string()).collect();
        prop_assert_eq!(order, all.into_iter().map(|(key, _)| key).collect::<Vec<_>>());
    }
}

/// The messages that a path sends of these.
fn messages_of(path_json: Value, messages: &Value) -> Value {
    let body = json!({ "model": "goal:g", "messages": messages }).to_string();
    let sent = ChatRequest::parse(body.as_bytes()).unwrap().apply(&path(path_json), "m");
    serde_json::from_str(sent.get("messages").unwrap().get()).unwrap()
}

#[test]
fn a_paths_system_prompt_takes_the_place_of_the_callers_or_stands_around_it() {
    let asked = json!([
        { "role": "developer", "content": "Be kind." },
        { "role": "system", "content": [{ "type": "text", "text": "Be true." }] },
        { "role": "user", "content": "Hi", "name": "ann" },
        { "role": "system", "content": "It is late." },
    ]);
    let rest = json!([asked[2], asked[3]]);
    let sent = |system: &str, asked: &Value| messages_of(json!({ "model": "m", "system": system }), asked);
    let with = |prompt: Value| json!([prompt, rest[0], rest[1]]);
    assert_eq!(sent("Be brief.", &asked), with(json!({ "role": "developer", "content": "Be brief." })));
    assert_eq!(
        sent("Be brief. {{system}}", &asked),
        with(json!({ "role": "developer", "content": "Be brief. Be kind.\n\nBe true." }))
    );
    assert_eq!(sent("Be brief.", &rest), with(json!({ "role": "system", "content": "Be brief." })));
    // Nothing is sent where nothing is to be said.
    assert_eq!((sent("", &asked), sent("{{system}}", &rest)), (rest.clone(), rest));
}

#[test]
fn a_paths_template_is_put_around_the_text_of_the_last_user_message() {
    let sent =
        |messages: Value| messages_of(json!({ "model": "m", "template": "Q: {{input}}\nA:" }), &messages);
    let picture = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } });
    let text = |text: &str| json!({ "type": "text", "text": text });
    let user = |content: Value| json!({ "role": "user", "content": content, "name": "ann" });
    let said = json!({ "role": "assistant", "content": "Yes?" });
    assert_eq!(
        sent(json!([user(json!("one")), said, user(json!("two"))])),
        json!([user(json!("one")), said, user(json!("Q: two\nA:"))])
    );
    assert_eq!(
        sent(json!([user(json!([text("a"), picture, text("b")]))])),
        json!([user(json!([text("Q: a"), picture, text("b\nA:")]))])
    );
    assert_eq!(sent(json!([user(json!([picture]))])), json!([user(json!([picture, text("Q: \nA:")]))]));
    // Nobody asked anything.
    assert_eq!(sent(json!([said])), json!([said]));
}

#[test]
fn messages_that_are_none_go_to_the_provider_as_they_are() {
    for odd in [json!([3]), json!([{ "content": "no role" }]), json!([{ "role": "user", "content": 7 }])] {
        let path = json!({ "model": "m", "template": "{{input}}!" });
        assert_eq!(messages_of(path, &odd), odd);
    }
}
