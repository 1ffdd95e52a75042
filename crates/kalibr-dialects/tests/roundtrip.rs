//! Laws of the translations, over bodies that are made up.

use kalibr_dialects::{Object, anthropic, gemini, openai, responses};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn value(object: &Object) -> Value {
    serde_json::from_str(&object.to_string()).unwrap()
}

/// Any JSON, with keys that the dialects know among the others.
fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        "[a-z]{1,4}",
        prop::sample::select(vec![
            "model",
            "messages",
            "role",
            "content",
            "type",
            "text",
            "tools",
            "function",
            "name",
            "arguments",
            "input",
            "tool_calls",
            "tool_use_id",
            "source",
            "thinking",
            "system",
            "choices",
            "message",
            "usage",
            "prompt_tokens",
            "stop",
            "index",
            "delta",
            "finish_reason",
            "stop_reason",
            "error",
            "id",
            "output_config",
            "format",
            "candidates",
            "parts",
            "functionCall",
            "promptFeedback",
            "inlineData",
            "usageMetadata",
            "logprobsResult",
            "reasoning_details",
            "image_url",
            "url",
            "tool_choice",
            "metadata",
            "input_tokens",
            "data",
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        prop::sample::select(vec![
            "user",
            "assistant",
            "system",
            "tool",
            "function",
            "text",
            "image_url",
            "tool_use",
            "tool_result",
            "thinking",
            "data:a;base64,b",
            "auto",
            "message",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    "[ -~éß漢\n]{0,12}"
}

fn extra() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec(("x_[a-z]{1,3}", any_json()), 0..3).prop_map(|fields| fields.into_iter().collect())
}

/// An object of fields that are there or not, and of some that nobody knows.
fn object(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> =
        fields.into_iter().map(|(key, value)| prop::option::of(value).prop_map(move |v| (key, v))).collect();
    (fields, extra())
        .prop_map(|(fields, mut object)| {
            object.extend(fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
            Value::Object(object)
        })
        .boxed()
}

fn with(base: BoxedStrategy<Value>, more: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    (base, more)
        .prop_map(|(mut base, more)| {
            let (Some(fields), Value::Object(more)) = (base.as_object_mut(), more) else { return base };
            fields.extend(more);
            base
        })
        .boxed()
}

fn texts() -> BoxedStrategy<Value> {
    prop::collection::vec(text(), 0..3).prop_map(Value::from).boxed()
}

fn some(text: impl Strategy<Value = String> + 'static) -> BoxedStrategy<Value> {
    text.prop_map(Value::from).boxed()
}

fn either(values: &'static [&'static str]) -> BoxedStrategy<Value> {
    prop::sample::select(values).prop_map(Value::from).boxed()
}

fn list(item: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop::collection::vec(item, 0..4).prop_map(Value::from).boxed()
}

fn number() -> BoxedStrategy<Value> {
    prop_oneof![(0u64..1000).prop_map(Value::from), (0.0..2.0f64).prop_map(Value::from), Just(Value::Null)]
        .boxed()
}

fn flag() -> BoxedStrategy<Value> {
    prop_oneof![any::<bool>().prop_map(Value::from), Just(Value::Null)].boxed()
}

fn schema() -> BoxedStrategy<Value> {
    object(vec![("type", either(&["object"])), ("properties", object(vec![]))])
}

fn openai_content() -> BoxedStrategy<Value> {
    let mark = prop_oneof![
        Just(json!({"cache_control": {"type": "ephemeral"}})),
        Just(json!({"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}})),
        Just(json!({})),
    ]
    .boxed();
    let part = prop_oneof![
        text().prop_map(|text| json!({"type": "text", "text": text})),
        text().prop_map(|text| json!({"type": "refusal", "refusal": text})),
        ("[a-z:;,/]{0,20}", prop::option::of("auto|high")).prop_map(
            |(url, detail)| json!({"type": "image_url", "image_url": {"url": url, "detail": detail}})
        ),
        Just(json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})),
        Just(json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}})),
        Just(json!({"type": "file", "file": {"file_id": "f", "filename": "n"}})),
        Just(json!({"type": "file", "file": {"file_data": "AAAA"}})),
        Just(json!({"type": "odd", "text": 7})),
    ];
    let part = with(with(part.boxed(), mark), object(vec![]));
    prop_oneof![some(text()), list(part), Just(Value::Null)].boxed()
}

fn openai_assistant() -> BoxedStrategy<Value> {
    let call = (text(), text(), text(), "function|custom").prop_map(|(id, name, arguments, kind)| {
        json!({"id": id, "type": kind, "function": {"name": name, "arguments": arguments}})
    });
    let detail = prop_oneof![
        (text(), text()).prop_map(
            |(text, sign)| json!({"type": "reasoning.text", "text": text, "signature": sign, "index": 0})
        ),
        text().prop_map(|text| json!({"type": "reasoning.text", "text": text})),
        text().prop_map(|data| json!({"type": "reasoning.encrypted", "data": data})),
        text().prop_map(|text| json!({"type": "reasoning.summary", "summary": text})),
        Just(json!({"type": "reasoning.new"})),
    ];
    let reply = object(vec![
        ("content", openai_content()),
        ("refusal", prop_oneof![some(text()), Just(Value::Null)].boxed()),
        ("tool_calls", list(with(call.boxed(), object(vec![])))),
        ("reasoning_content", some(text())),
        ("reasoning", some(text())),
        ("reasoning_details", list(with(detail.boxed(), object(vec![])))),
        ("annotations", list(any_json().boxed())),
    ]);
    with(Just(json!({"role": "assistant"})).boxed(), reply)
}

fn openai_request() -> BoxedStrategy<Value> {
    let other = with(
        prop_oneof![Just("user"), Just("system"), Just("developer")]
            .prop_map(|role| json!({"role": role}))
            .boxed(),
        object(vec![("content", openai_content()), ("name", some(text()))]),
    );
    let tool = with(
        text().prop_map(|id| json!({"role": "tool", "tool_call_id": id})).boxed(),
        object(vec![("content", openai_content())]),
    );
    let function = text().prop_map(|text| json!({"role": "function", "name": "f", "content": text})).boxed();
    let messages = list(prop_oneof![openai_assistant(), other, tool, function].boxed());
    let function = object(vec![
        ("name", some(text())),
        ("description", some(text())),
        ("parameters", schema()),
        ("strict", flag()),
    ]);
    let tool = with(
        function.prop_map(|function| json!({"type": "function", "function": function})).boxed(),
        object(vec![("cache_control", Just(json!({"type": "ephemeral"})).boxed())]),
    );
    let choice = prop_oneof![
        either(&["auto", "none", "required", "odd"]),
        Just(json!({"type": "function", "function": {"name": "f"}})),
        Just(json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
            {"type": "function", "function": {"name": "f"}}]}})),
    ];
    let format = prop_oneof![
        Just(json!({"type": "text"})),
        Just(json!({"type": "json_object", "x": 1})),
        (schema(), flag()).prop_map(|(schema, strict)| {
            json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": strict, "x": 1}})
        }),
    ];
    let rest = object(vec![
        ("tools", list(tool)),
        ("tool_choice", choice.boxed()),
        ("parallel_tool_calls", flag()),
        ("temperature", number()),
        ("top_p", number()),
        ("top_k", number()),
        ("seed", number()),
        ("frequency_penalty", number()),
        ("max_tokens", number()),
        ("max_completion_tokens", number()),
        ("stop", prop_oneof![some(text()), texts(), Just(Value::Null)].boxed()),
        ("response_format", format.boxed()),
        ("reasoning_effort", either(&["none", "minimal", "high", "max", "odd"])),
        (
            "thinking",
            prop_oneof![
                Just(json!({"type": "disabled"})),
                Just(json!({"type": "enabled", "budget_tokens": 5000, "display": "omitted"})),
                Just(json!({"type": "odd"})),
            ]
            .boxed(),
        ),
        ("n", number()),
        ("logprobs", flag()),
        ("top_logprobs", number()),
        ("user", some(text())),
        ("metadata", object(vec![])),
        ("stream", flag()),
        ("stream_options", Just(json!({"include_usage": true})).boxed()),
        ("cache_control", Just(json!({"type": "ephemeral"})).boxed()),
    ]);
    with(
        (messages, text())
            .prop_map(|(messages, model)| json!({"model": model, "messages": messages}))
            .boxed(),
        rest,
    )
}

fn cached(block: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let mark = prop_oneof![
        Just(json!({"type": "ephemeral", "ttl": "1h"})),
        Just(json!({"type": "ephemeral"})),
        Just(json!({"type": "odd"})),
        Just(Value::Null),
    ];
    with(block, object(vec![("cache_control", mark.boxed())]))
}

fn anthropic_blocks() -> BoxedStrategy<Value> {
    let source = prop_oneof![
        Just(json!({"type": "base64", "media_type": "image/png", "data": "AAAA"})),
        Just(json!({"type": "base64", "media_type": "application/pdf", "data": "AAAA"})),
        Just(json!({"type": "url", "url": "https://a/b", "x": 1})),
        Just(json!({"type": "file", "file_id": "f"})),
        Just(json!({"type": "text", "media_type": "text/plain", "data": "t"})),
        Just(json!({"type": "content", "content": "t"})),
    ];
    let simple = prop_oneof![
        text().prop_map(|text| json!({"type": "text", "text": text})),
        source.clone().prop_map(|source| json!({"type": "image", "source": source})),
        (source, prop::option::of(text()))
            .prop_map(|(source, title)| json!({"type": "document", "source": source, "title": title})),
        (text(), text()).prop_map(
            |(thinking, signature)| json!({"type": "thinking", "thinking": thinking, "signature": signature})
        ),
        text().prop_map(|thinking| json!({"type": "thinking", "thinking": thinking})),
        text().prop_map(|data| json!({"type": "redacted_thinking", "data": data})),
        (text(), text(), object(vec![])).prop_map(
            |(id, name, input)| json!({"type": "tool_use", "id": id, "name": name, "input": input})
        ),
        Just(json!({"type": "server_tool_use", "id": "s", "name": "n", "input": {}})),
    ];
    let simple = cached(simple.boxed());
    let result = with(
        text().prop_map(|id| json!({"type": "tool_result", "tool_use_id": id})).boxed(),
        object(vec![
            ("content", prop_oneof![some(text()), list(simple.clone())].boxed()),
            ("is_error", flag()),
        ]),
    );
    list(prop_oneof![4 => simple, 1 => cached(result)].boxed())
}

fn anthropic_request() -> BoxedStrategy<Value> {
    let content = prop_oneof![some(text()), anthropic_blocks()].boxed();
    let message = (either(&["user", "assistant", "system"]), content)
        .prop_map(|(role, content)| json!({"role": role, "content": content}))
        .boxed();
    let tool = object(vec![
        ("name", some(text())),
        ("type", prop_oneof![either(&["custom", "web_search_20250305"]), Just(Value::Null)].boxed()),
        ("description", some(text())),
        ("input_schema", schema()),
        ("strict", flag()),
    ]);
    let choice = with(
        prop_oneof![
            Just(json!({"type": "auto"})),
            Just(json!({"type": "any"})),
            Just(json!({"type": "none"})),
            Just(json!({"type": "tool", "name": "f"})),
            Just(json!({"type": "odd"})),
        ]
        .boxed(),
        object(vec![("disable_parallel_tool_use", flag())]),
    );
    let output = object(vec![
        ("effort", either(&["low", "max", "none", "odd"])),
        ("format", schema().prop_map(|schema| json!({"type": "json_schema", "schema": schema})).boxed()),
    ]);
    let thinking = prop_oneof![
        Just(json!({"type": "adaptive", "display": "omitted"})),
        Just(json!({"type": "enabled", "budget_tokens": 2000})),
        Just(json!({"type": "between_tools"})),
    ];
    let rest = object(vec![
        ("system", prop_oneof![some(text()), anthropic_blocks()].boxed()),
        ("tools", list(cached(tool))),
        ("tool_choice", choice),
        ("max_tokens", number()),
        ("temperature", number()),
        ("top_k", number()),
        ("stop_sequences", texts()),
        ("thinking", thinking.boxed()),
        ("output_config", output),
        ("metadata", object(vec![("user_id", some(text()))])),
        ("stream", flag()),
        ("cache_control", Just(json!({"type": "ephemeral"})).boxed()),
    ]);
    let base =
        (list(message), text()).prop_map(|(messages, model)| json!({"model": model, "messages": messages}));
    with(base.boxed(), rest)
}

fn openai_answer() -> BoxedStrategy<Value> {
    let choice = (openai_assistant(), 0u64..3)
        .prop_map(|(message, index)| json!({"message": message, "index": index}));
    let choice = with(
        choice.boxed(),
        object(vec![
            ("native_finish_reason", either(&["pause_turn", "odd"])),
            ("stop_reason", prop_oneof![some(text()), number()].boxed()),
            (
                "finish_reason",
                prop_oneof![either(&["stop", "length", "tool_calls", "odd"]), Just(Value::Null)].boxed(),
            ),
            ("logprobs", prop_oneof![object(vec![]), Just(Value::Null)].boxed()),
        ]),
    );
    let details = object(vec![("cached_tokens", number()), ("reasoning_tokens", number())]);
    let usage =
        object(vec![("prompt_tokens_details", details.clone()), ("completion_tokens_details", details)]);
    let usage = with(
        (0u64..100, 0u64..100).prop_map(|(a, b)| json!({"prompt_tokens": a, "completion_tokens": b})).boxed(),
        usage,
    );
    let base = prop::collection::vec(choice, 1..3).prop_map(|choices| json!({"choices": choices}));
    with(
        base.boxed(),
        object(vec![
            ("id", some(text())),
            ("model", some(text())),
            ("created", number()),
            ("object", either(&["chat.completion"])),
            ("usage", prop_oneof![usage, Just(Value::Null)].boxed()),
        ]),
    )
}

fn anthropic_answer() -> BoxedStrategy<Value> {
    let usage = with(
        (0u64..100, 0u64..100).prop_map(|(a, b)| json!({"input_tokens": a, "output_tokens": b})).boxed(),
        object(vec![
            ("cache_read_input_tokens", number()),
            ("cache_creation_input_tokens", number()),
            ("output_tokens_details", object(vec![("thinking_tokens", number())])),
        ]),
    );
    let details = object(vec![("explanation", some(text()))]);
    with(
        anthropic_blocks().prop_map(|content| json!({"content": content})).boxed(),
        object(vec![
            ("id", some(text())),
            ("type", either(&["message"])),
            ("model", some(text())),
            ("stop_reason", prop_oneof![either(&["end_turn", "refusal", "odd"]), Just(Value::Null)].boxed()),
            ("stop_sequence", prop_oneof![some(text()), Just(Value::Null)].boxed()),
            ("stop_details", details),
            ("usage", usage),
        ]),
    )
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_json_makes_a_reader_or_a_writer_panic(body in any_json(), now in any::<u64>()) {
        let mut bodies = vec![body.clone()];
        // Past the first hurdles.
        bodies.push(json!({"model": "m", "messages": body, "content": body, "input": body, "choices": [{"message": body}], "usage": body,
            "candidates": [{"content": {"parts": [body, {"functionCall": body}]}, "logprobsResult": body}]}));
        bodies.push(json!({"model": "m", "messages": [{"role": "assistant", "content": [body], "tool_calls": [body]}],
            "tools": [body], "system": body, "content": [body], "input": [body, {"role": "user", "content": [body]}], "choices": [{"message": {"content": [body]}}]}));
        for body in bodies {
            let body = bytes(&body);
            for request in [openai::read_request(&body), anthropic::read_request(&body), responses::read_request(&body)].into_iter().flatten() {
                let (_, _) = (openai::write_request(&request), anthropic::write_request(&request));
                let _ = (gemini::write_request(&request), responses::Settings::of(&request));
            }
            for answer in [openai::read_answer(&body), anthropic::read_answer(&body), gemini::read_answer(&body)].into_iter().flatten() {
                let (_, _) = (openai::write_answer(&answer, now), anthropic::write_answer(&answer));
                let _ = responses::write_answer(&answer, &responses::Settings::default(), now);
            }
            for error in [openai::read_error(500, &body), anthropic::read_error(500, &body), gemini::read_error(500, &body)] {
                let (_, _) = (openai::write_error(&error), anthropic::write_error(&error));
            }
        }
    }

    #[test]
    fn bytes_that_are_no_json_are_refused(body in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assume!(serde_json::from_slice::<Value>(&body).is_err());
        prop_assert!(openai::read_request(&body).is_err() && anthropic::read_request(&body).is_err());
        prop_assert!(openai::read_answer(&body).is_err() && anthropic::read_answer(&body).is_err());
    }

    #[test]
    fn a_chat_request_is_itself_again(body in openai_request()) {
        let (again, losses) = openai::write_request(&openai::read_request(&bytes(&body)).unwrap());
        prop_assert_eq!(value(&again), body);
        prop_assert!(losses.is_empty(), "{:?}", losses);
    }

    #[test]
    fn an_anthropic_request_is_itself_again(body in anthropic_request()) {
        let (again, losses) = anthropic::write_request(&anthropic::read_request(&bytes(&body)).unwrap());
        prop_assert_eq!(value(&again), body);
        prop_assert!(losses.is_empty(), "{:?}", losses);
    }

    #[test]
    fn a_chat_answer_is_itself_again(body in openai_answer()) {
        let (again, losses) = openai::write_answer(&openai::read_answer(&bytes(&body)).unwrap(), 0);
        prop_assert_eq!(value(&again), body);
        prop_assert!(losses.is_empty(), "{:?}", losses);
    }

    #[test]
    fn an_anthropic_answer_is_itself_again(body in anthropic_answer()) {
        let (again, losses) = anthropic::write_answer(&anthropic::read_answer(&bytes(&body)).unwrap());
        prop_assert_eq!(value(&again), body);
        prop_assert!(losses.is_empty(), "{:?}", losses);
    }
}
