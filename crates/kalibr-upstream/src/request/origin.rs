//! A request of another dialect, with what a path decided.

use std::sync::Arc;

use kalibr_core::path::INPUT;
use kalibr_dialects::{Content, Message, Part, Request, Role, Tool};

use super::Prompts;

/// What the caller said, with the fields that routing decided taken from the chat-completions body.
pub(super) fn merged(origin: &Request, chat: Request, from_path: &[Arc<str>], prompts: &Prompts) -> Request {
    let mut form = origin.clone();
    if prompts.system {
        form.system = chat.system;
    }
    if let Some((before, after)) = prompts.template.as_deref().and_then(|template| template.split_once(INPUT))
    {
        put_around(&mut form.messages, before, after);
    }
    for field in from_path {
        let (of, by) = (&mut form.sampling, &chat.sampling);
        match &**field {
            "temperature" => of.temperature.clone_from(&by.temperature),
            "top_p" => of.top_p.clone_from(&by.top_p),
            "top_k" => of.top_k.clone_from(&by.top_k),
            "seed" => of.seed.clone_from(&by.seed),
            "frequency_penalty" => of.frequency_penalty.clone_from(&by.frequency_penalty),
            "presence_penalty" => of.presence_penalty.clone_from(&by.presence_penalty),
            "max_tokens" | "max_completion_tokens" => form.max_tokens = chat.max_tokens,
            "stop" => form.stop.clone_from(&chat.stop),
            "response_format" => form.format.clone_from(&chat.format),
            "reasoning_effort" => form.reasoning.effort = chat.reasoning.effort,
            "thinking" => form.reasoning.thinking = chat.reasoning.thinking,
            "tool_choice" => form.tool_choice.clone_from(&chat.tool_choice),
            "parallel_tool_calls" => form.parallel_tools = chat.parallel_tools,
            "n" => form.n = chat.n,
            "logprobs" => form.logprobs = chat.logprobs,
            "top_logprobs" => form.top_logprobs = chat.top_logprobs,
            // A field of the provider's own.
            other => form.kept.fields.set_some(other, chat.kept.fields.get(other).cloned()),
        }
    }
    form.tools = tools(origin, chat.tools);
    // These may have been taken out on the way.
    (form.user, form.metadata) = (chat.user, chat.metadata);
    (form.model, form.stream) = (chat.model, chat.stream);
    form
}

/// Puts a path's template around the text of the last user message, which keeps its marks, as
/// [`super::prompt`] does in chat completions.
fn put_around(messages: &mut [Message], before: &str, after: &str) {
    let is_asked = |message: &&mut Message| {
        let is_result = |part: &Part| matches!(part.content, Content::ToolResult(..));
        message.role == Role::User && !message.parts.iter().all(is_result)
    };
    let Some(last) = messages.iter_mut().rev().find(is_asked) else { return };
    let mut texts = last.parts.iter_mut().filter_map(|part| match &mut part.content {
        Content::Text(text) => Some(text),
        _ => None,
    });
    let Some(first) = texts.next() else {
        last.parts.push(Part::text(format!("{before}{after}")));
        return;
    };
    first.insert_str(0, before);
    texts.last().unwrap_or(first).push_str(after);
}

/// The tools that the path leaves and adds, as the caller wrote them where it did. Those that chat completions cannot
/// say were none of the path's business.
fn tools(origin: &Request, chat: Vec<Tool>) -> Vec<Tool> {
    let known = |tool: Tool| match &tool {
        Tool::Function(function) => {
            let same = |known: &&Tool| matches!(known, Tool::Function(known) if known.name == function.name);
            origin.tools.iter().find(same).cloned().unwrap_or(tool)
        }
        Tool::Other(..) => tool,
    };
    let others = origin.tools.iter().filter(|tool| matches!(tool, Tool::Other(..))).cloned();
    chat.into_iter().map(known).chain(others).collect()
}
