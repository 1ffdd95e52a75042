//! Laws of translated streams: joined, they are the translated whole answer, wherever they were cut.
//!
//! The joining is done here as the providers' own clients do it, and not by the code under test.

use kalibr_dialects::{Collector, ReadStream, WriteStream, anthropic, gemini, openai, responses};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

const NOW: u64 = 7;

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What is said of an answer, in both dialects' order: thoughts, text, refusal, calls.
#[derive(Debug, Clone)]
struct Said {
    thoughts: Vec<Thought>,
    text: String,
    refusal: String,
    calls: Vec<(String, String, Value)>,
    finish: usize,
    usage: (u64, u64, u64),
}

#[derive(Debug, Clone)]
enum Thought {
    Signed(String, String),
    Sealed(String),
}

fn text() -> impl Strategy<Value = String> {
    "[a-zé漢\"\\\\{} ]{0,20}"
}

fn said() -> impl Strategy<Value = Said> {
    let thought = prop_oneof![
        ("[a-z漢 ]{1,20}", "[a-z]{1,9}").prop_map(|(text, signature)| Thought::Signed(text, signature)),
        "[a-z]{1,9}".prop_map(Thought::Sealed),
    ];
    let input = prop::collection::btree_map("[a-z\"]{1,4}", text(), 0..3).prop_map(|map| json!(map));
    let call = ("[a-z]{1,8}", "[a-z_]{1,8}", input);
    (
        prop::collection::vec(thought, 0..3),
        text(),
        text(),
        prop::collection::vec(call, 0..4),
        0usize..3,
        (0u64..50, 0u64..50, 0u64..50),
    )
        .prop_map(|(thoughts, text, refusal, mut calls, finish, usage)| {
            for (at, call) in calls.iter_mut().enumerate() {
                call.0.push_str(&at.to_string());
            }
            Said { thoughts, text, refusal, calls, finish, usage }
        })
}

/// Where texts are cut, and in which order the calls go on.
fn cuts() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 64)
}

struct Cuts(std::vec::IntoIter<Index>);

impl Cuts {
    fn index(&mut self, size: usize) -> usize {
        self.0.next().map_or(0, |index| index.index(size))
    }

    fn pieces(&mut self, text: &str) -> Vec<String> {
        let chars: Vec<char> = text.chars().collect();
        let (mut pieces, mut from) = (Vec::new(), 0);
        while from < chars.len() {
            let size = 1 + self.index(chars.len() - from);
            pieces.push(chars[from..from + size].iter().collect());
            from += size;
        }
        pieces
    }
}

const FINISHES: [(&str, &str); 3] =
    [("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use")];

fn chat_usage((input, cached, output): (u64, u64, u64)) -> Value {
    let input = input + cached;
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": cached}})
}

fn chat_whole(said: &Said) -> Value {
    let mut message = json!({"role": "assistant", "content": said.text});
    if said.text.is_empty() {
        message["content"] = Value::Null;
    }
    if !said.refusal.is_empty() {
        message["refusal"] = json!(said.refusal);
    }
    let details: Vec<Value> = said
        .thoughts
        .iter()
        .enumerate()
        .map(|(at, thought)| match thought {
            Thought::Signed(text, signature) => {
                json!({"type": "reasoning.text", "text": text, "signature": signature, "index": at})
            }
            Thought::Sealed(data) => json!({"type": "reasoning.encrypted", "data": data, "index": at}),
        })
        .collect();
    if !details.is_empty() {
        message["reasoning_details"] = json!(details);
    }
    let calls: Vec<Value> = said.calls.iter().map(|(id, name, input)| {
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": input.to_string()}})
    }).collect();
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": FINISHES[said.finish].0}],
        "usage": chat_usage(said.usage)})
}

fn chat_stream(said: &Said, cuts: &mut Cuts) -> Vec<String> {
    let mut deltas = vec![json!({"role": "assistant", "content": ""})];
    for (at, thought) in said.thoughts.iter().enumerate() {
        match thought {
            Thought::Signed(text, signature) => {
                for piece in cuts.pieces(text) {
                    let detail = json!({"type": "reasoning.text", "text": piece, "index": at});
                    deltas.push(json!({"reasoning_content": piece, "reasoning_details": [detail]}));
                }
                let detail = json!({"type": "reasoning.text", "signature": signature, "index": at});
                deltas.push(json!({"reasoning_details": [detail]}));
            }
            Thought::Sealed(data) => {
                deltas.push(json!({"reasoning_details": [{"type": "reasoning.encrypted", "data": data, "index": at}]}));
            }
        }
    }
    deltas.extend(cuts.pieces(&said.text).into_iter().map(|piece| json!({"content": piece})));
    deltas.extend(cuts.pieces(&said.refusal).into_iter().map(|piece| json!({"refusal": piece})));
    // Calls begin in their order and go on in any.
    let mut open: Vec<(usize, Vec<String>)> = Vec::new();
    let mut next = 0;
    loop {
        let choices = open.len() + usize::from(next < said.calls.len());
        if choices == 0 {
            break;
        }
        let at = cuts.index(choices);
        if at == open.len() {
            let (id, name, input) = &said.calls[next];
            let function = json!({"name": name, "arguments": ""});
            deltas.push(
                json!({"tool_calls": [{"index": next, "id": id, "type": "function", "function": function}]}),
            );
            let mut pieces = cuts.pieces(&input.to_string());
            pieces.reverse();
            open.push((next, pieces));
            next += 1;
        } else if let Some(piece) = open[at].1.pop() {
            let call = json!({"index": open[at].0, "function": {"arguments": piece}});
            deltas.push(json!({"tool_calls": [call]}));
        } else {
            open.remove(at);
        }
    }
    let chunk = |delta: Value, finish: Value| {
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    };
    let mut chunks: Vec<String> =
        deltas.into_iter().map(|delta| chunk(delta, Value::Null).to_string()).collect();
    chunks.push(chunk(json!({}), json!(FINISHES[said.finish].0)).to_string());
    chunks.push(json!({"choices": [], "usage": chat_usage(said.usage)}).to_string());
    chunks.push("[DONE]".to_owned());
    chunks
}

fn blocks(said: &Said) -> Vec<Value> {
    let mut blocks: Vec<Value> = said
        .thoughts
        .iter()
        .map(|thought| match thought {
            Thought::Signed(text, signature) => {
                json!({"type": "thinking", "thinking": text, "signature": signature})
            }
            Thought::Sealed(data) => json!({"type": "redacted_thinking", "data": data}),
        })
        .collect();
    if !said.text.is_empty() {
        blocks.push(json!({"type": "text", "text": said.text}));
    }
    blocks.extend(
        said.calls
            .iter()
            .map(|(id, name, input)| json!({"type": "tool_use", "id": id, "name": name, "input": input})),
    );
    blocks
}

fn message_whole(said: &Said) -> Value {
    let (input, cached, output) = said.usage;
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": blocks(said),
        "stop_reason": FINISHES[said.finish].1, "stop_sequence": null,
        "usage": {"input_tokens": input, "cache_read_input_tokens": cached, "output_tokens": output}})
}

fn message_stream(said: &Said, cuts: &mut Cuts) -> Vec<String> {
    let (input, cached, output) = said.usage;
    let mut message = message_whole(said);
    message["content"] = json!([]);
    message["stop_reason"] = Value::Null;
    message["usage"] = json!({"input_tokens": input, "cache_read_input_tokens": cached, "output_tokens": 0});
    let mut events = vec![json!({"type": "message_start", "message": message})];
    for (at, block) in blocks(said).iter().enumerate() {
        let mut empty = block.clone();
        let mut deltas = Vec::new();
        let mut cut = |kind: &str, key: &str, text: &str| {
            deltas.extend(cuts.pieces(text).into_iter().map(|piece| json!({"type": kind, key: piece})));
        };
        match block["type"].as_str().unwrap() {
            "text" => {
                empty["text"] = json!("");
                cut("text_delta", "text", block["text"].as_str().unwrap());
            }
            "thinking" => {
                (empty["thinking"], empty["signature"]) = (json!(""), json!(""));
                cut("thinking_delta", "thinking", block["thinking"].as_str().unwrap());
                deltas.push(json!({"type": "signature_delta", "signature": block["signature"]}));
            }
            "tool_use" => {
                empty["input"] = json!({});
                // Nothing at all is what is said of no arguments.
                let input = block["input"].to_string();
                cut("input_json_delta", "partial_json", if input == "{}" { "" } else { &input });
            }
            _ => {}
        }
        events.push(json!({"type": "content_block_start", "index": at, "content_block": empty}));
        events.extend(
            deltas
                .into_iter()
                .map(|delta| json!({"type": "content_block_delta", "index": at, "delta": delta})),
        );
        events.push(json!({"type": "content_block_stop", "index": at}));
    }
    events.push(json!({"type": "message_delta", "usage": {"output_tokens": output},
        "delta": {"stop_reason": FINISHES[said.finish].1, "stop_sequence": null}}));
    events.push(json!({"type": "message_stop"}));
    events.iter().map(ToString::to_string).collect()
}

fn translate(mut reader: impl ReadStream, mut writer: impl WriteStream, data: &[String]) -> Vec<String> {
    let mut out = String::new();
    for data in data {
        for event in reader.read(data.as_bytes()).unwrap() {
            writer.write(&event, &mut out);
        }
    }
    let data = out
        .split_terminator("\n\n")
        .map(|event| event.lines().last().unwrap().strip_prefix("data: ").unwrap());
    data.map(str::to_owned).collect()
}

/// As Anthropic's client joins a stream.
fn join_message(events: &[String]) -> Value {
    let mut message = Value::Null;
    let mut inputs: Vec<String> = Vec::new();
    for event in events {
        let event = value(event);
        let at = event["index"].as_u64().unwrap_or_default() as usize;
        match event["type"].as_str().unwrap() {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(content.len(), at, "blocks begin in their order");
                content.push(event["content_block"].clone());
                inputs.push(String::new());
            }
            "content_block_delta" => {
                let block = &mut message["content"][at];
                let delta = &event["delta"];
                let mut add = |key: &str| {
                    let joined = format!("{}{}", block[key].as_str().unwrap(), delta[key].as_str().unwrap());
                    block[key] = json!(joined);
                };
                match delta["type"].as_str().unwrap() {
                    "text_delta" => add("text"),
                    "thinking_delta" => add("thinking"),
                    "signature_delta" => block["signature"] = delta["signature"].clone(),
                    "input_json_delta" => inputs[at].push_str(delta["partial_json"].as_str().unwrap()),
                    other => panic!("{other}"),
                }
            }
            "content_block_stop" => {
                if !inputs[at].is_empty() {
                    message["content"][at]["input"] = value(&inputs[at]);
                }
            }
            "message_delta" => {
                for key in ["stop_reason", "stop_sequence"] {
                    message[key] = event["delta"][key].clone();
                }
                for (key, count) in event["usage"].as_object().unwrap() {
                    message["usage"][key] = count.clone();
                }
            }
            "message_stop" => return message,
            other => panic!("{other}"),
        }
    }
    panic!("no end")
}

/// As OpenAI's client joins a stream, OpenRouter's additions included.
fn join_chat(chunks: &[String]) -> Value {
    let (last, chunks) = chunks.split_last().unwrap();
    assert_eq!(last, "[DONE]");
    let mut whole = value(&chunks[0]);
    let mut message = json!({});
    for chunk in chunks {
        let chunk = value(chunk);
        if !chunk["usage"].is_null() {
            whole["usage"] = chunk["usage"].clone();
        }
        let Some(choice) = chunk["choices"].get(0) else { continue };
        if !choice["finish_reason"].is_null() {
            whole["choices"][0]["finish_reason"] = choice["finish_reason"].clone();
        }
        for (key, more) in choice["delta"].as_object().unwrap() {
            match more {
                Value::String(more) if key != "role" => {
                    let before = message[key].as_str().unwrap_or_default().to_owned();
                    message[key] = json!(before + more);
                }
                Value::Array(items) => {
                    if message[key].is_null() {
                        message[key] = json!([]);
                    }
                    for item in items {
                        join_item(message[key].as_array_mut().unwrap(), item);
                    }
                }
                _ => message[key] = more.clone(),
            }
        }
    }
    if message["content"] == "" {
        message["content"] = Value::Null;
    }
    for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        call.as_object_mut().unwrap().remove("index");
    }
    whole["object"] = json!("chat.completion");
    whole["choices"][0].as_object_mut().unwrap().remove("delta");
    whole["choices"][0]["message"] = message;
    whole
}

fn join_item(list: &mut Vec<Value>, item: &Value) {
    let Some(known) = list.iter_mut().find(|known| known["index"] == item["index"]) else {
        list.push(item.clone());
        return;
    };
    for (key, more) in item.as_object().unwrap() {
        match (key.as_str(), more) {
            ("text", Value::String(more)) => {
                known[key] = json!(known[key].as_str().unwrap_or_default().to_owned() + more);
            }
            ("function", function) => {
                let before = known["function"]["arguments"].as_str().unwrap().to_owned();
                known["function"]["arguments"] = json!(before + function["arguments"].as_str().unwrap());
            }
            _ => known[key] = more.clone(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_chat_stream_joined_is_the_whole_answer_in_anthropics_words(said in said(), cuts in cuts()) {
        let stream = chat_stream(&said, &mut Cuts(cuts.into_iter()));
        let stream = translate(openai::StreamReader::default(), anthropic::StreamWriter::default(), &stream);
        let whole = openai::read_answer(chat_whole(&said).to_string().as_bytes()).unwrap();
        let (whole, _) = anthropic::write_answer(&whole);
        prop_assert_eq!(join_message(&stream), value(&whole.to_string()));
    }

    #[test]
    fn an_anthropic_stream_joined_is_the_whole_answer_in_openais_words(said in said(), cuts in cuts()) {
        let stream = message_stream(&said, &mut Cuts(cuts.into_iter()));
        let stream = translate(anthropic::StreamReader::default(), openai::StreamWriter::new(NOW), &stream);
        let whole = anthropic::read_answer(message_whole(&said).to_string().as_bytes()).unwrap();
        let (whole, _) = openai::write_answer(&whole, NOW);
        prop_assert_eq!(join_chat(&stream), value(&whole.to_string()));
    }

    #[test]
    fn a_chat_stream_that_went_through_anthropics_dialect_is_what_it_was(said in said(), cuts in cuts()) {
        let stream = chat_stream(&said, &mut Cuts(cuts.into_iter()));
        let there = translate(openai::StreamReader::default(), anthropic::StreamWriter::default(), &stream);
        let back = translate(anthropic::StreamReader::default(), openai::StreamWriter::new(5), &there);
        let (joined, mut whole) = (join_chat(&back), chat_whole(&said));
        let (joined, whole) = (&joined["choices"][0]["message"], &mut whole["choices"][0]["message"]);
        prop_assert_eq!(&joined["tool_calls"], &whole["tool_calls"]);
        prop_assert_eq!(&joined["reasoning_details"], &whole["reasoning_details"]);
        // A refusal is a text there.
        let text = |message: &Value, key: &str| message[key].as_str().unwrap_or_default().to_owned();
        prop_assert_eq!(text(joined, "content"), text(whole, "content") + &text(whole, "refusal"));
    }

    #[test]
    fn a_chat_stream_joined_is_the_whole_response(said in said(), cuts in cuts()) {
        let stream = chat_stream(&said, &mut Cuts(cuts.into_iter()));
        let settings = responses::Settings::default();
        let writer = responses::StreamWriter::new(settings.clone(), NOW);
        let stream = translate(openai::StreamReader::default(), writer, &stream);
        let whole = openai::read_answer(chat_whole(&said).to_string().as_bytes()).unwrap();
        let (whole, _) = responses::write_answer(&whole, &settings, NOW);
        let whole = value(&whole.to_string());
        let events: Vec<Value> = stream.iter().map(|event| value(event)).collect();
        prop_assert_eq!(&events.last().unwrap()["response"], &whole);
        for (at, event) in events.iter().enumerate() {
            prop_assert_eq!(&event["sequence_number"], at);
        }
        // What came piece by piece is what the end says.
        let items = whole["output"].as_array().unwrap();
        for (at, item) in items.iter().enumerate() {
            let of_item = events.iter().filter(|event| event["output_index"] == at);
            let joined: String = of_item.filter_map(|event| event["delta"].as_str()).collect();
            let content = &item["content"][0];
            let text = [&content["text"], &content["refusal"], &item["summary"][0]["text"], &item["arguments"]];
            prop_assert_eq!(joined, text.iter().find_map(|text| text.as_str()).unwrap_or_default());
        }
    }

    #[test]
    fn an_anthropic_stream_that_went_through_chat_completions_is_what_it_was(said in said(), cuts in cuts(), end in 0usize..4) {
        let stream = message_stream(&said, &mut Cuts(cuts.into_iter()));
        let (reason, text) = [("end_turn", None), ("stop_sequence", Some("END")), ("pause_turn", None),
            ("model_context_window_exceeded", None)][end];
        let mut stream: Vec<Value> = stream.iter().map(|event| value(event)).collect();
        let at = stream.len() - 2;
        stream[at]["delta"] = json!({"stop_reason": reason, "stop_sequence": text});
        let stream: Vec<String> = stream.iter().map(ToString::to_string).collect();
        let there = translate(anthropic::StreamReader::default(), openai::StreamWriter::new(5), &stream);
        let back = translate(openai::StreamReader::default(), anthropic::StreamWriter::default(), &there);
        let (joined, mut whole) = (join_message(&back), join_message(&stream));
        // That calls were made says why it ended.
        if !said.calls.is_empty() && text.is_none() && reason == "end_turn" {
            whole["stop_reason"] = json!("tool_use");
        }
        if !said.calls.is_empty() && text.is_some() {
            prop_assert_eq!(&joined["content"], &whole["content"]);
        } else {
            prop_assert_eq!(joined, whole);
        }
    }

    #[test]
    fn the_events_of_a_stream_collected_are_the_answer(said in said(), cuts in cuts()) {
        let mut cuts = Cuts(cuts.into_iter());
        let (chat, message) = (chat_stream(&said, &mut cuts), message_stream(&said, &mut cuts));
        let collect = |reader: &mut dyn ReadStream, data: &[String]| {
            let mut collector = Collector::default();
            data.iter().flat_map(|data| reader.read(data.as_bytes()).unwrap()).for_each(|e| collector.push(e));
            collector.finish().unwrap()
        };
        let (chat, message) = (
            collect(&mut openai::StreamReader::default(), &chat),
            collect(&mut anthropic::StreamReader::default(), &message),
        );
        let read = openai::read_answer(chat_whole(&said).to_string().as_bytes()).unwrap();
        prop_assert_eq!(anthropic::write_answer(&chat).0, anthropic::write_answer(&read).0);
        let read = anthropic::read_answer(message_whole(&said).to_string().as_bytes()).unwrap();
        prop_assert_eq!(openai::write_answer(&message, NOW).0, openai::write_answer(&read, NOW).0);
    }

    #[test]
    fn no_data_makes_a_stream_panic(
        pieces in prop::collection::vec((0usize..12, "\\PC{0,8}", 0u64..3, any::<u64>()), 0..12)
    ) {
        for mut writer in [Box::new(openai::StreamWriter::new(0)) as Box<dyn WriteStream>,
                Box::new(anthropic::StreamWriter::default()),
                Box::new(responses::StreamWriter::new(responses::Settings::default(), 0))] {
            let readers: [Box<dyn ReadStream>; 3] =
                [Box::new(openai::StreamReader::default()), Box::new(anthropic::StreamReader::default()),
                    Box::<gemini::StreamReader>::default()];
            for mut reader in readers {
                for (kind, text, small, large) in &pieces {
                    let data = odd(*kind, text, *small, *large);
                    let mut out = String::new();
                    for event in reader.read(data.as_bytes()).unwrap_or_default() {
                        writer.write(&event, &mut out);
                    }
                }
                let mut out = String::new();
                reader.end().iter().for_each(|event| writer.write(event, &mut out));
            }
        }
    }
}

#[test]
fn more_choices_or_calls_than_any_provider_gives_are_refused_instead_of_held() {
    let read = |chunk: &dyn Fn(u64) -> Value| {
        let mut reader = openai::StreamReader::default();
        (0..1_000).map(|n| reader.read(chunk(n).to_string().as_bytes())).position(|read| read.is_err())
    };
    assert_eq!(read(&|n| json!({"choices": [{"index": n, "delta": {"content": "x"}}]})), Some(128));
    let call = |n| json!({"index": n, "id": format!("c{n}"), "function": {"name": "f", "arguments": ""}});
    assert_eq!(read(&|n| json!({"choices": [{"index": 0, "delta": {"tool_calls": [call(n)]}}]})), Some(128));
    assert_eq!(read(&|n| json!({"choices": [{"index": 0, "delta": {"content": n.to_string()}}]})), None);
}

/// Events that are out of place, with numbers that are none.
fn odd(kind: usize, text: &str, small: u64, large: u64) -> String {
    match kind {
        0 => text.to_owned(),
        1 => json!({"choices": [{"index": large, "delta": {"content": text}}]}).to_string(),
        2 => json!({"choices": [{"index": small, "delta": {"tool_calls": [{"index": large, "id": text,
            "function": {"arguments": text}}, text, {}]}}]}).to_string(),
        3 => json!({"choices": [{"delta": {"reasoning_details": [{"type": "reasoning.text", "text": text,
            "index": large}, {"type": text}], "refusal": text}, "finish_reason": text}]}).to_string(),
        4 => json!({"type": "content_block_start", "index": large, "content_block": {"type": "text", "text": text}}).to_string(),
        5 => json!({"type": "content_block_delta", "index": small, "delta": {"type": "text_delta", "text": text}}).to_string(),
        6 => json!({"type": "content_block_stop", "index": large}).to_string(),
        7 => json!({"type": "message_start", "message": text}).to_string(),
        8 => json!({"type": "message_delta", "delta": {"stop_reason": text, "stop_details": {"explanation": text}},
            "usage": {"input_tokens": large, "cache_read_input_tokens": large, "output_tokens": large}}).to_string(),
        9 => json!({"type": "content_block_start", "index": small, "content_block": {"type": "tool_use", "id": text,
            "name": text, "input": {}}}).to_string(),
        10 if small == 0 => json!({"candidates": [{"index": large, "content": {"parts": [{"text": text},
            {"functionCall": {"name": text}}, {text: large}]}, "finishReason": text}],
            "promptFeedback": {"blockReason": text}}).to_string(),
        10 => json!({"error": {"code": large}, "usage": {"prompt_tokens": large, "completion_tokens": large}}).to_string(),
        _ => json!({"type": "message_stop"}).to_string(),
    }
}
