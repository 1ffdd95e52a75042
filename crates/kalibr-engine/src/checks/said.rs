//! What an answer says, read off its JSON, whole or streamed, for a contract to be held against.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kalibr_evals::{Answer, Finish, Tool, ToolCall, limits};
use kalibr_upstream::ChatRequest;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// The first choice of an answer.
#[derive(Default)]
pub(crate) struct Said {
    text: Option<String>,
    refusal: Option<String>,
    finish: Finish,
    /// Name and arguments, by their place in the stream.
    calls: BTreeMap<u32, (String, String)>,
    /// Bytes of all texts.
    len: usize,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    message: Option<Message<'a>>,
    #[serde(borrow)]
    delta: Option<Message<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize, Default)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Content<'a>,
    #[serde(borrow)]
    refusal: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
    /// What tool calls were before there could be several.
    #[serde(borrow)]
    function_call: Option<Function<'a>>,
}

/// A text, or a list of parts of which some are texts.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Content<'a> {
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Parts(#[serde(borrow)] Vec<Part<'a>>),
    #[allow(dead_code, reason = "anything else is no text")]
    Other(IgnoredAny),
    #[default]
    #[serde(skip)]
    None,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    refusal: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    index: Option<u32>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
    #[serde(borrow)]
    custom: Option<Custom<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: Option<Cow<'a, str>>,
}

/// A tool whose input is no JSON: what it is called with cannot be judged.
#[derive(Deserialize)]
struct Custom<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

impl Said {
    /// A whole answer; `None` for what is none.
    pub(super) fn whole(body: &[u8]) -> Option<Self> {
        let body: Body<'_> = serde_json::from_slice(body).ok()?;
        let choice = body.choices.into_iter().next()?;
        let mut said = Self::default();
        said.take(choice);
        Some(said)
    }

    /// Whole server-sent events, as they are handed on.
    pub(super) fn see(&mut self, events: &[u8]) {
        for line in events.split(|&byte| byte == b'\n') {
            let Some(data) = line.strip_prefix(b"data:").filter(|_| self.len <= limits::TEXT) else {
                continue;
            };
            let Ok(chunk) = serde_json::from_slice::<Body<'_>>(data.trim_ascii()) else { continue };
            chunk.choices.into_iter().filter(|choice| choice.index == 0).for_each(|choice| self.take(choice));
        }
    }

    fn take(&mut self, choice: Choice<'_>) {
        let message = choice.message.or(choice.delta).unwrap_or_default();
        if let Some(reason) = choice.finish_reason {
            self.finish = Finish::from_name(&reason);
        }
        match message.content {
            Content::Text(text) => add(&mut self.text, &mut self.len, &text),
            Content::Parts(parts) => {
                for part in parts {
                    if let Some(text) = part.text {
                        add(&mut self.text, &mut self.len, &text);
                    }
                    if let Some(refusal) = part.refusal {
                        add(&mut self.refusal, &mut self.len, &refusal);
                    }
                }
            }
            Content::Other(_) | Content::None => {}
        }
        if let Some(refusal) = message.refusal {
            add(&mut self.refusal, &mut self.len, &refusal);
        }
        for (place, call) in message.tool_calls.into_iter().flatten().enumerate() {
            let place = call.index.unwrap_or(place as u32);
            if let Some(custom) = call.custom {
                self.call(place, custom.name, None);
            }
            if let Some(function) = call.function {
                self.call(place, function.name, function.arguments);
            }
        }
        if let Some(function) = message.function_call {
            self.call(0, function.name, function.arguments);
        }
    }

    fn call(&mut self, place: u32, name: Option<Cow<'_, str>>, arguments: Option<Cow<'_, str>>) {
        let call = self.calls.entry(place).or_default();
        // A name comes whole, and some providers repeat it with every piece of the arguments.
        if let Some(name) = name.filter(|_| call.0.is_empty()) {
            self.len += name.len();
            call.0.push_str(&name);
        }
        if let Some(arguments) = arguments {
            self.len += arguments.len();
            call.1.push_str(&arguments);
        }
    }

    /// Bytes of what it holds.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Works with the answer; `None` where it was too long to be kept whole.
    pub(super) fn with_answer<T>(
        &self,
        offered: Option<&[Offered<'_>]>,
        input: Option<&str>,
        work: impl FnOnce(&Answer<'_>) -> T,
    ) -> Option<T> {
        if self.len > limits::TEXT {
            return None;
        }
        let calls: Vec<ToolCall<'_>> =
            self.calls.values().map(|(name, arguments)| ToolCall { name, arguments }).collect();
        let tools: Option<Vec<Tool<'_>>> = offered.map(|tools| {
            tools
                .iter()
                .map(|tool| Tool { name: &tool.name, parameters: tool.parameters.map(RawValue::get) })
                .collect()
        });
        Some(work(&Answer {
            text: self.text.as_deref(),
            finish: self.finish,
            refusal: self.refusal.as_deref(),
            tool_calls: &calls,
            tools: tools.as_deref(),
            input,
        }))
    }
}

fn add(to: &mut Option<String>, len: &mut usize, text: &str) {
    *len += text.len();
    to.get_or_insert_default().push_str(text);
}

/// A tool that a request offers.
#[derive(Deserialize)]
pub(super) struct Offered<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

/// The tools that a request offers; `None` where they are written in a way that is not known.
pub(super) fn offered(asked: &ChatRequest) -> Option<Vec<Offered<'_>>> {
    #[derive(Deserialize)]
    struct Listed<'a> {
        #[serde(borrow)]
        function: Option<Offered<'a>>,
        #[serde(borrow)]
        custom: Option<Offered<'a>>,
    }
    let listed = |tools: &RawValue| tools.get().trim() != "null";
    if let Some(tools) = asked.get("tools").filter(|tools| listed(tools)) {
        let tools: Vec<Listed<'_>> = serde_json::from_str(tools.get()).ok()?;
        return tools.into_iter().map(|tool| tool.function.or(tool.custom)).collect();
    }
    match asked.get("functions").filter(|functions| listed(functions)) {
        Some(functions) => serde_json::from_str(functions.get()).ok(),
        None => Some(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer in short.
    type Shown<'a> = (Option<&'a str>, Option<&'a str>, Finish, Vec<(&'a str, &'a str)>);

    fn shown(said: &Said) -> Shown<'_> {
        let calls =
            said.calls.values().map(|(name, arguments)| (name.as_str(), arguments.as_str())).collect();
        (said.text.as_deref(), said.refusal.as_deref(), said.finish, calls)
    }

    #[test]
    fn a_whole_answer_is_its_first_choice() {
        for (body, expected) in [
            (
                r#"{"choices":[{"finish_reason":"stop","message":{"content":"Par\u0069s","refusal":null}},{"message":{"content":"x"}}]}"#,
                (Some("Paris"), None, Finish::Stop, vec![]),
            ),
            (
                r#"{"choices":[{"finish_reason":"length","message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}]}"#,
                (Some("ab"), None, Finish::Length, vec![]),
            ),
            (
                r#"{"choices":[{"finish_reason":"tool_calls","message":{"content":null,"tool_calls":[
                    {"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},
                    {"id":"2","type":"function","function":{"name":"g","arguments":""}}]}}]}"#,
                (None, None, Finish::ToolCalls, vec![("f", "{\"a\":1}"), ("g", "")]),
            ),
            (
                r#"{"choices":[{"message":{"refusal":"I can't.","function_call":{"name":"f","arguments":"{}"}}}]}"#,
                (None, Some("I can't."), Finish::Unknown, vec![("f", "{}")]),
            ),
        ] {
            assert_eq!(shown(&Said::whole(body.as_bytes()).unwrap()), expected, "{body}");
        }
        for body in ["<html>", "{}", r#"{"choices":[]}"#, r#"{"choices":[7]}"#] {
            assert!(Said::whole(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn a_streamed_answer_is_put_together_from_its_pieces() {
        let mut said = Said::default();
        for events in [
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\r\n\r\ndata:{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"lo\",\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\"\"}}]}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\":1}\"}}]}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n",
        ] {
            said.see(events.as_bytes());
        }
        let calls = vec![("f", "{\"a\":1}"), ("g", "")];
        assert_eq!(shown(&said), (Some("Hello"), None, Finish::ToolCalls, calls));
    }

    #[test]
    fn an_answer_that_is_too_long_is_not_kept_and_not_judged() {
        let mut said = Said::default();
        let chunk =
            format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "a ".repeat(1 << 19));
        (0..12).for_each(|_| said.see(chunk.as_bytes()));
        assert!(said.len() < limits::TEXT + chunk.len());
        assert!(said.with_answer(None, None, |_| ()).is_none());
    }

    #[test]
    fn tools_are_those_that_the_request_offers() {
        let names = |fields: &str| {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"a"}}]{fields}}}"#);
            let asked = ChatRequest::parse(body.as_bytes()).unwrap();
            let offered = offered(&asked)?;
            Some(
                offered
                    .iter()
                    .map(|tool| (tool.name.to_string(), tool.parameters.is_some()))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(names(""), Some(vec![]));
        assert_eq!(names(r#","tools":null"#), Some(vec![]));
        assert_eq!(
            names(
                r#","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}},{"type":"custom","custom":{"name":"c"}}]"#
            ),
            Some(vec![("f".to_owned(), true), ("c".to_owned(), false)])
        );
        assert_eq!(names(r#","functions":[{"name":"f"}]"#), Some(vec![("f".to_owned(), false)]));
        assert_eq!(
            names(r#","tools":[{"type":"web_search"}]"#),
            None,
            "a provider's own tool has no name here"
        );
    }
}
