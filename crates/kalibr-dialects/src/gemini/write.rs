//! A request for Gemini, written.

use std::collections::HashMap;

use super::signature;
use crate::form::{
    Content, Dialect, Effort, Format, Function, Message, Part, Request, Role, Source, Thinking, Tool,
    ToolCall, ToolChoice, ToolResult,
};
use crate::json::{Json, Object};
use crate::loss::Losses;

const GEMINI: Dialect = Dialect::Gemini;

/// Stands for the signature of a call that another model made. Gemini 3 refuses calls without one; this is Google's own
/// word for "there is none" (ai.google.dev/gemini-api/docs/thought-signatures).
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Top-level fields of Gemini's own, which a path or a caller may set in a request of any dialect.
const OWN: [&str; 3] = ["cachedContent", "labels", "safetySettings"];

/// Writes a request, and lists what it could not say. The model, and whether a stream is asked for, belong into the
/// address.
pub fn write_request(request: &Request) -> (Object, Losses) {
    let mut losses = Losses::default();
    let mut body = Object::default();
    let names = call_names(request);
    let mut system = Vec::new();
    for (at, message) in request.system.iter().enumerate() {
        let place = format!("system[{at}]");
        losses.of_kept(&message.kept, GEMINI, &place);
        write_parts(request, message, &place, &names, &mut system, &mut losses);
    }
    if !system.is_empty() {
        body.set("systemInstruction", Object::default().with("parts", system));
    }
    body.set("contents", write_contents(request, &names, &mut losses));
    write_tools(request, &mut body, &mut losses);
    let config = write_config(request, &mut losses);
    if !config.is_empty() {
        body.set("generationConfig", config);
    }
    for (is_set, field) in [
        (request.user.is_some(), "user"),
        (request.metadata.is_some(), "metadata"),
        (request.cache.is_some(), "cache_control"),
    ] {
        if is_set {
            losses.slight(field, "the provider has no such thing");
        }
    }
    let mut kept = request.kept.clone();
    for key in OWN {
        body.set_some(key, kept.fields.take(key));
    }
    losses.of_kept(&kept, GEMINI, "");
    (body, losses)
}

/// The function of each call: a result names the function as well.
fn call_names(request: &Request) -> HashMap<&str, &str> {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    let calls = parts.filter_map(|part| match &part.content {
        Content::ToolCall(call) => Some((call.id.as_str(), call.name.as_str())),
        _ => None,
    });
    calls.collect()
}

fn write_contents(request: &Request, names: &HashMap<&str, &str>, losses: &mut Losses) -> Vec<Json> {
    let mut contents: Vec<(&str, Vec<Json>)> = Vec::new();
    for (at, message) in request.messages.iter().enumerate() {
        let place = format!("messages[{at}]");
        losses.of_kept(&message.kept, GEMINI, &place);
        if matches!(message.role, Role::System | Role::Developer) {
            losses.slight(&*place, "an instruction within the conversation is the user's there");
        }
        let role = if message.role == Role::Assistant { "model" } else { "user" };
        let mut parts = Vec::new();
        write_parts(request, message, &place, names, &mut parts, losses);
        match contents.last_mut() {
            // All results of a turn's calls belong into one turn.
            Some((last, before)) if *last == role => before.extend(parts),
            _ if parts.is_empty() => {}
            _ => contents.push((role, parts)),
        }
    }
    let content =
        |(role, parts)| Json::Object(Object::default().with("role", role).with("parts", Json::List(parts)));
    contents.into_iter().map(|(role, parts): (&str, Vec<Json>)| content((role, parts))).collect()
}

fn write_parts(
    request: &Request,
    message: &Message,
    place: &str,
    names: &HashMap<&str, &str>,
    out: &mut Vec<Json>,
    losses: &mut Losses,
) {
    let mut is_first_call = true;
    for (at, part) in message.parts.iter().enumerate() {
        let place = format!("{place}.content[{at}]");
        let mut written = match &part.content {
            Content::ToolCall(call) => write_call(call, &place, losses),
            Content::ToolResult(result) => {
                losses.of_kept(&part.kept, GEMINI, &place);
                write_result(result, &place, names, out, losses);
                continue;
            }
            _ => match write_part(part, &place, losses) {
                Some(part) => part,
                None => continue,
            },
        };
        if matches!(part.content, Content::ToolCall(_)) {
            let stand_in = (is_first_call && needs_signatures(&request.model)).then_some(NO_SIGNATURE);
            written.set_some("thoughtSignature", signature(part).or(stand_in));
            is_first_call = false;
        }
        if part.cache.is_some() {
            losses.slight(format!("{place}.cache_control"), "the provider caches without marks");
        }
        let mut kept = part.kept.clone();
        kept.fields.take("extra_content");
        losses.of_kept(&kept, GEMINI, &place);
        out.push(Json::Object(written));
    }
}

/// The generations before the third have no signatures, or do not insist.
fn needs_signatures(model: &str) -> bool {
    !["gemini-1", "gemini-2"].iter().any(|old| model.contains(old))
}

fn write_part(part: &Part, place: &str, losses: &mut Losses) -> Option<Object> {
    match &part.content {
        // Empty texts are refused, and say nothing.
        Content::Text(text) | Content::Refusal(text) => {
            (!text.is_empty()).then(|| Object::default().with("text", text.as_str()))
        }
        Content::Thought(_) => {
            losses.slight(place, "thoughts are for the provider that had them");
            None
        }
        Content::Image(image) => {
            if image.detail.as_deref().is_some_and(|detail| detail != "auto") {
                losses.slight(format!("{place}.detail"), "how closely it looks is the model's own choice");
            }
            write_source(&image.source, place, losses)
        }
        Content::Audio(source) => write_source(source, place, losses),
        Content::File(file) => match &file.source {
            Source::Text(text) => {
                losses.slight(place, "a document that is a text stands there as a plain text");
                let text =
                    file.name.as_ref().map_or_else(|| text.clone(), |name| format!("{name}\n\n{text}"));
                Some(Object::default().with("text", text))
            }
            source => write_source(source, place, losses),
        },
        Content::Other(GEMINI, object) => Some(object.clone()),
        _ => {
            losses.grave(place, "the provider's dialect has no such part here");
            None
        }
    }
}

fn write_source(source: &Source, place: &str, losses: &mut Losses) -> Option<Object> {
    match source {
        Source::Data { media_type, data } => {
            let media_type = match media_type.as_str() {
                "" => "application/pdf",
                // What many write for it.
                "image/jpg" => "image/jpeg",
                media_type => media_type,
            };
            let data = Object::default().with("mimeType", media_type).with("data", data.as_str());
            Some(Object::default().with("inlineData", data))
        }
        Source::Url(url) => {
            let mut data = Object::default();
            data.set_some("mimeType", media_type_of(url));
            Some(Object::default().with("fileData", data.with("fileUri", url.as_str())))
        }
        Source::Id(..) | Source::Text(_) => {
            losses.grave(place, "what is stored at another provider cannot be named there");
            None
        }
    }
}

fn media_type_of(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let ending = path.rsplit_once('.')?.1.to_ascii_lowercase();
    Some(match ending.as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "pdf" => "application/pdf",
        _ => return None,
    })
}

fn write_call(call: &ToolCall, place: &str, losses: &mut Losses) -> Object {
    let mut function = Object::default();
    if !call.id.is_empty() {
        function.set("id", call.id.as_str());
    }
    function.set("name", call.name.as_str());
    function.set("args", crate::anthropic::arguments(&call.arguments, place, losses));
    Object::default().with("functionCall", function)
}

/// A result as an object, as Gemini has it: one that is an object already stays what it is.
fn write_result(
    result: &ToolResult,
    place: &str,
    names: &HashMap<&str, &str>,
    out: &mut Vec<Json>,
    losses: &mut Losses,
) {
    let mut text = String::new();
    let mut beside = Vec::new();
    for (at, part) in result.parts.iter().enumerate() {
        if let Content::Text(more) = &part.content {
            text.push_str(more);
        } else {
            let place = format!("{place}.content[{at}]");
            if let Some(part) = write_part(part, &place, losses) {
                losses.slight(place, "it stands beside the tool's result there");
                beside.push(Json::Object(part));
            }
        }
    }
    let is_error = result.is_error == Some(true);
    let response = match Json::parse(text.as_bytes()) {
        Ok(Json::Object(object)) if !is_error => object,
        _ => Object::default().with(if is_error { "error" } else { "output" }, text),
    };
    let mut function = Object::default();
    if !result.id.is_empty() {
        function.set("id", result.id.as_str());
    }
    function.set("name", names.get(result.id.as_str()).copied().unwrap_or("unknown"));
    function.set("response", response);
    out.push(Json::Object(Object::default().with("functionResponse", function)));
    out.extend(beside);
}

fn write_tools(request: &Request, body: &mut Object, losses: &mut Losses) {
    let only = match &request.tool_choice {
        Some(ToolChoice::Allowed { names, required: false }) => Some(names),
        _ => None,
    };
    let (mut functions, mut tools) = (Vec::new(), Vec::new());
    for (at, tool) in request.tools.iter().enumerate() {
        match tool {
            Tool::Function(function) if only.is_some_and(|names| !names.contains(&function.name)) => {}
            Tool::Function(function) => functions.push(write_function(function, at, losses)),
            Tool::Other(GEMINI, object) => tools.push(Json::Object(object.clone())),
            Tool::Other(..) => {
                losses
                    .grave(format!("tools[{at}]"), "a tool that another provider runs or that has no schema");
            }
        }
    }
    if !functions.is_empty() {
        tools.insert(0, Json::Object(Object::default().with("functionDeclarations", functions)));
    }
    if tools.is_empty() {
        return;
    }
    body.set("tools", tools);
    if request.parallel_tools == Some(false) {
        losses.slight("parallel_tool_calls", "whether it calls several at once is the model's own choice");
    }
    let (mode, names) = match &request.tool_choice {
        None => return,
        Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => ("AUTO", None),
        Some(ToolChoice::None) => ("NONE", None),
        Some(ToolChoice::Required) => ("ANY", None),
        Some(ToolChoice::Named(name)) => ("ANY", Some(vec![name.clone()])),
        Some(ToolChoice::Allowed { names, required: true }) => ("ANY", Some(names.clone())),
    };
    let mut calling = Object::default().with("mode", mode);
    calling.set_some("allowedFunctionNames", names.as_deref());
    body.set("toolConfig", Object::default().with("functionCallingConfig", calling));
}

fn write_function(function: &Function, at: usize, losses: &mut Losses) -> Json {
    let Function { name, description, schema, strict, cache, kept } = function;
    let mut declared = Object::default().with("name", name.as_str());
    declared.set_some("description", description.as_deref());
    declared.set_some("parametersJsonSchema", schema.clone());
    let place = format!("tools[{at}]");
    if *strict == Some(true) {
        losses.slight(format!("{place}.strict"), "arguments are not made to fit the schema there");
    }
    if cache.is_some() {
        losses.slight(format!("{place}.cache_control"), "the provider caches without marks");
    }
    losses.of_kept(kept, GEMINI, &place);
    Json::Object(declared)
}

fn write_config(request: &Request, losses: &mut Losses) -> Object {
    let mut config = Object::default();
    let sampling = &request.sampling;
    for (key, number) in [
        ("temperature", &sampling.temperature),
        ("topP", &sampling.top_p),
        ("topK", &sampling.top_k),
        ("frequencyPenalty", &sampling.frequency_penalty),
        ("presencePenalty", &sampling.presence_penalty),
        ("seed", &sampling.seed),
    ] {
        config.set_some(key, number.clone());
    }
    config.set_some("candidateCount", request.n.filter(|n| *n != 1));
    config.set_some("maxOutputTokens", request.max_tokens);
    if !request.stop.is_empty() {
        config.set("stopSequences", &request.stop[..]);
    }
    if request.logprobs == Some(true) {
        config.set("responseLogprobs", true);
        config.set_some("logprobs", request.top_logprobs.filter(|n| *n > 0));
    }
    match &request.format {
        None | Some(Format::Text) => {}
        Some(Format::Json) => config.set("responseMimeType", "application/json"),
        Some(Format::Schema { schema, .. }) => {
            config.set("responseMimeType", "application/json");
            config.set_some("responseJsonSchema", schema.clone());
        }
    }
    if let Some(thinking) = write_thinking(request, losses) {
        config.set("thinkingConfig", thinking);
    }
    config
}

/// Gemini 2.5 is given a budget, those after it a level. The budgets of the words are those of Google's own layer for
/// OpenAI's clients.
fn write_thinking(request: &Request, losses: &mut Losses) -> Option<Object> {
    let has_levels = needs_signatures(&request.model);
    let effort = request.reasoning.effort;
    let shown = || Object::default().with("includeThoughts", true);
    let budget = |tokens: u64| Object::default().with("thinkingBudget", tokens);
    match (request.reasoning.thinking, effort) {
        (Some(Thinking::Off), _) | (None, Some(Effort::None)) if has_levels => {
            losses.slight(
                "reasoning_effort",
                "a model that always thinks was told to think as little as it can",
            );
            Some(Object::default().with("thinkingLevel", "MINIMAL"))
        }
        (Some(Thinking::Off), _) | (None, Some(Effort::None)) => Some(budget(0)),
        (Some(Thinking::Budget(tokens)), _) => {
            let mut thinking = shown();
            thinking.fill(&budget(tokens));
            Some(thinking)
        }
        (Some(Thinking::Adaptive), None) => Some(shown()),
        (_, None) => None,
        (_, Some(effort)) if has_levels => {
            let level = match effort {
                Effort::None | Effort::Minimal => "MINIMAL",
                Effort::Low => "LOW",
                Effort::Medium => "MEDIUM",
                Effort::High | Effort::XHigh | Effort::Max => "HIGH",
            };
            if effort > Effort::High {
                losses.slight("reasoning_effort", "high is the highest there");
            }
            Some(shown().with("thinkingLevel", level))
        }
        (_, Some(effort)) => {
            let tokens = match effort {
                Effort::None | Effort::Minimal | Effort::Low => 1024,
                Effort::Medium => 8192,
                Effort::High | Effort::XHigh | Effort::Max => 24_576,
            };
            Some(shown().with("thinkingBudget", tokens))
        }
    }
}
