//! A request of another dialect, with what a path decided.

use std::sync::Arc;

use kalibr_dialects::{Request, Tool};

/// What the caller said, with the fields that routing decided taken from the chat-completions body.
pub(super) fn merged(origin: &Request, chat: Request, from_path: &[Arc<str>]) -> Request {
    let mut form = origin.clone();
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
