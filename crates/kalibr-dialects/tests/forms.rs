//! Laws of the form: what a dialect can say of it is there when it is read again, and what was written once is written
//! the same again.

use kalibr_dialects::{
    Content, Effort, File, Format, Function, Image, Json, Message, Part, Request, Role, Sampling, Shape,
    Source, Thought, Tool, ToolCall, ToolChoice, ToolResult, anthropic, openai,
};
use proptest::option::of;
use proptest::prelude::*;
use serde_json::Number;

fn word() -> impl Strategy<Value = String> {
    "[a-z_]{1,8}"
}

fn text() -> impl Strategy<Value = String> {
    "[ -~é漢\n]{1,12}"
}

fn json() -> impl Strategy<Value = Json> {
    let object = prop::collection::btree_map("[a-z]{1,4}", text(), 0..3);
    object.prop_map(|map| Json::parse(serde_json::to_string(&map).unwrap().as_bytes()).unwrap())
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![Just(Number::from(1u8)), Just(Number::from_f64(0.25).unwrap())]
}

fn media() -> impl Strategy<Value = Part> {
    let data = |media_type: &str| Source::Data { media_type: media_type.to_owned(), data: "AAAA".to_owned() };
    prop_oneof![
        Just(Content::Image(Image { source: data("image/png"), detail: None })),
        Just(Content::Image(Image { source: Source::Url("https://a/b.png".to_owned()), detail: None })),
        Just(Content::File(File { source: data("application/pdf"), name: Some("a.pdf".to_owned()) })),
    ]
    .prop_map(Part::new)
}

fn call() -> impl Strategy<Value = Part> {
    (word(), word(), json()).prop_map(|(id, name, arguments)| {
        Part::new(Content::ToolCall(ToolCall { id, name, arguments: arguments.to_string() }))
    })
}

/// A result, as a message of its own or as a part of the user's, in whose dialect it is so.
fn result(role: Role) -> impl Strategy<Value = Message> {
    (word(), text()).prop_map(move |(id, text)| {
        let shape = Shape::Short;
        let result = ToolResult { id, parts: vec![Part::text(text)], shape, is_error: None };
        Message::new(role, vec![Part::new(Content::ToolResult(result))])
    })
}

fn turn(results: Role) -> impl Strategy<Value = Message> {
    let user = prop::collection::vec(prop_oneof![text().prop_map(Part::text), media()], 1..4);
    let said = (of(text()), prop::collection::vec(call(), 0..3)).prop_map(|(text, calls)| {
        let mut parts: Vec<Part> = text.into_iter().map(Part::text).collect();
        parts.extend(calls);
        if parts.is_empty() {
            parts.push(Part::text("."));
        }
        Message::new(Role::Assistant, parts)
    });
    prop_oneof![user.prop_map(|parts| Message::new(Role::User, parts)), said, result(results)]
}

fn tool() -> impl Strategy<Value = Tool> {
    (word(), of(text()), json(), of(any::<bool>())).prop_map(|(name, description, schema, strict)| {
        let schema = Some(schema);
        Tool::Function(Function { name, description, schema, strict, ..Function::default() })
    })
}

/// Requests of what both dialects can say; `results` is how this one has the results of tools.
fn request(results: Role) -> impl Strategy<Value = Request> {
    let choice = prop_oneof![
        Just(ToolChoice::Auto),
        Just(ToolChoice::None),
        Just(ToolChoice::Required),
        word().prop_map(ToolChoice::Named)
    ];
    let format = (word(), json()).prop_map(move |(name, schema)| Format::Schema {
        name: (results == Role::Tool).then_some(name),
        description: None,
        schema: Some(schema),
        strict: (results == Role::Tool).then_some(true),
    });
    (
        (word(), of(text()), prop::collection::vec(turn(results), 1..5)),
        (prop::collection::vec(tool(), 0..3), of(choice), of(any::<bool>())),
        (of(number()), of(number()), 1u64..9999, prop::collection::vec("[a-z]{1,4}", 0..3)),
        (of(format), of(word()), of(any::<bool>())),
    )
        .prop_map(
            |((model, system, messages), (tools, choice, parallel), drawn, (format, user, stream))| {
                let (temperature, top_p, max_tokens, stop) = drawn;
                let said = |text| Message::new(Role::System, vec![Part::text(text)]);
                // Whether calls are parallel is a part of the choice at Anthropic, and of none it is nothing.
                let free =
                    matches!(choice, Some(ToolChoice::Auto | ToolChoice::Required | ToolChoice::Named(_)));
                Request {
                    model,
                    system: system.into_iter().map(said).collect(),
                    messages,
                    tools,
                    parallel_tools: parallel.filter(|_| free),
                    tool_choice: choice,
                    sampling: Sampling { temperature, top_p, ..Sampling::default() },
                    max_tokens: Some(max_tokens),
                    stop,
                    format,
                    user,
                    stream,
                    ..Request::default()
                }
            },
        )
}

/// Without what says how a content was written, which a dialect may have only one way of.
fn unshaped(mut request: Request) -> Request {
    for message in request.system.iter_mut().chain(&mut request.messages) {
        message.shape = Shape::List;
    }
    request
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_written_as_chat_completions_is_read_as_what_it_was(request in request(Role::Tool)) {
        let (written, losses) = openai::write_request(&request);
        prop_assert!(losses.is_empty(), "{:?}", losses);
        let read = openai::read_request(written.to_string().as_bytes()).unwrap();
        prop_assert!(unshaped(read) == unshaped(request), "{}", written);
    }

    #[test]
    fn a_request_written_for_anthropic_is_read_as_what_it_was(request in request(Role::User)) {
        let (written, losses) = anthropic::write_request(&request);
        prop_assert!(losses.is_empty(), "{:?}", losses);
        let read = anthropic::read_request(written.to_string().as_bytes()).unwrap();
        prop_assert!(unshaped(read) == unshaped(request), "{}", written);
    }

    #[test]
    fn what_was_translated_once_is_translated_the_same_again(
        request in request(Role::Tool), other in request(Role::User), sign in text(), effort in 0usize..3
    ) {
        let effort = [Effort::Low, Effort::Medium, Effort::High][effort];
        for mut request in [request, other] {
            let thought = Thought { text: sign.clone(), signature: Some(sign.clone()), sealed: None };
            request.reasoning.effort = Some(effort);
            if let Some(said) = request.messages.iter_mut().find(|message| message.role == Role::Assistant) {
                said.parts.insert(0, Part::new(Content::Thought(thought)));
            }
            let (chat, _) = openai::write_request(&request);
            let (again, losses) = openai::write_request(&openai::read_request(chat.to_string().as_bytes()).unwrap());
            prop_assert!(again == chat && losses.is_empty(), "{chat}\n{again}");
            let (message, _) = anthropic::write_request(&request);
            let read = anthropic::read_request(message.to_string().as_bytes()).unwrap();
            let (again, losses) = anthropic::write_request(&read);
            prop_assert!(again == message && losses.is_empty(), "{message}\n{again}");
        }
    }
}
