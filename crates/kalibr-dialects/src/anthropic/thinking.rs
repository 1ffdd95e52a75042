//! How much the model thinks: Anthropic's two ways of saying it, and which of its models understands which.
//!
//! Up to Opus 4.5, a model is given a budget of tokens. Those after it find the measure themselves (`adaptive`) and are
//! told an effort in words; the budget was deprecated with the first of them and later refused.

use crate::form::{Content, Dialect, Effort, Message, Reasoning, Request, Role, Thinking, ToolChoice};
use crate::json::{Json, Object};
use crate::loss::Losses;

/// The least budget that is accepted.
const LEAST_BUDGET: u64 = 1024;

/// Takes `thinking` out of a body, as far as it is understood.
pub(crate) fn read_thinking(body: &mut Object) -> Option<Thinking> {
    let mut thinking = body.take_object("thinking")?;
    let read = match thinking.text("type") {
        Some("disabled") => Some(Thinking::Off),
        Some("adaptive") => Some(Thinking::Adaptive),
        Some("enabled") => thinking.take_u64("budget_tokens").map(Thinking::Budget),
        _ => None,
    };
    if read.is_some() {
        thinking.take("type");
        body.give_back("thinking", thinking);
    } else {
        body.set("thinking", thinking);
    }
    read
}

pub(crate) fn write_thinking(thinking: Thinking) -> Json {
    let kind = |kind: &str| Object::default().with("type", kind);
    Json::Object(match thinking {
        Thinking::Off => kind("disabled"),
        Thinking::Adaptive => kind("adaptive"),
        Thinking::Budget(tokens) => kind("enabled").with("budget_tokens", tokens),
    })
}

/// What a request of another dialect asks for, in this model's words. `max_tokens` is the answer's limit, if one was
/// set: a budget has to stay below it.
pub(super) fn translate(request: &Request, max_tokens: Option<u64>, losses: &mut Losses) -> Reasoning {
    let asked = request.reasoning;
    let effort = match asked.effort {
        None | Some(Effort::None) => None,
        Some(Effort::Minimal) => {
            losses.slight("reasoning_effort", "minimal became low");
            Some(Effort::Low)
        }
        effort => effort,
    };
    if !thinks(&request.model)
        && (effort.is_some() || asked.thinking.is_some_and(|asked| asked != Thinking::Off))
    {
        losses.slight("reasoning_effort", "the model answers without thinking first");
        return Reasoning::default();
    }
    let thinking = match (asked.thinking, asked.effort) {
        (Some(thinking), _) => Some(thinking),
        (None, Some(Effort::None)) => Some(Thinking::Off),
        (None, None) => None,
        (None, Some(_)) if takes_budgets(&request.model) => {
            effort.map(|effort| Thinking::Budget(budget(effort)))
        }
        (None, Some(_)) => Some(Thinking::Adaptive),
    };
    let thinking = match thinking {
        None | Some(Thinking::Off) => thinking,
        Some(_) if is_forced(request) => {
            losses.slight("reasoning_effort", "the model does not think where it has to call a tool");
            None
        }
        Some(Thinking::Budget(_)) if !history_is_signed(&request.messages) => {
            let why = "the model cannot think on after a tool that it called without its own signed thoughts";
            losses.slight("reasoning_effort", why);
            None
        }
        Some(Thinking::Budget(tokens)) => match max_tokens {
            Some(max) if max <= LEAST_BUDGET => {
                losses.slight("reasoning_effort", "max_tokens leaves no room to think");
                None
            }
            Some(max) if tokens >= max => Some(Thinking::Budget((max / 2).max(LEAST_BUDGET))),
            _ => Some(Thinking::Budget(tokens)),
        },
        adaptive => adaptive,
    };
    // Those with budgets know no effort, but for Opus 4.5, which does without.
    let effort = effort.filter(|_| !takes_budgets(&request.model));
    Reasoning { effort, thinking }
}

/// The budgets that LiteLLM gives for OpenAI's words up to `medium`, doubled on from there.
fn budget(effort: Effort) -> u64 {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => LEAST_BUDGET,
        Effort::Medium => 2048,
        Effort::High => 4096,
        Effort::XHigh => 8192,
        Effort::Max => 16_384,
    }
}

/// Whether a model can think: all can since Claude 3.7.
fn thinks(model: &str) -> bool {
    let is_older = ["claude-3-", "claude-2", "claude-instant"].iter().any(|name| model.contains(name));
    !is_older || model.contains("claude-3-7")
}

/// Whether a model is one of those up to Opus 4.5, by its name: they do not become more.
fn takes_budgets(model: &str) -> bool {
    const OLD: [&str; 9] = [
        "claude-3-7",
        "claude-sonnet-4-0",
        "claude-opus-4-0",
        "claude-sonnet-4-2025",
        "claude-opus-4-2025",
        "claude-opus-4-1",
        "claude-sonnet-4-5",
        "claude-haiku-4-5",
        "claude-opus-4-5",
    ];
    OLD.iter().any(|name| model.contains(name))
}

fn is_forced(request: &Request) -> bool {
    matches!(
        request.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { required: true, .. })
    )
}

/// Whether the last turn of the model, where tools were called in it, begins with a thought that has its signature.
fn history_is_signed(messages: &[Message]) -> bool {
    let Some(last) = messages.iter().rev().find(|message| message.role == Role::Assistant) else {
        return true;
    };
    let calls = last.parts.iter().any(|part| matches!(part.content, Content::ToolCall(_)));
    !calls || last.parts.first().is_some_and(|part| is_signed(&part.content))
}

/// Whether Anthropic takes a thought back.
pub(super) fn is_signed(content: &Content) -> bool {
    let Content::Thought(thought) = content else { return false };
    // An empty one stands where there is none, for clients that demand one.
    thought.signature.as_ref().is_some_and(|signature| !signature.is_empty()) || thought.sealed.is_some()
}

/// Whether the model thinks, which rules out some ways of drawing.
pub(super) fn is_on(reasoning: Reasoning) -> bool {
    matches!(reasoning.thinking, Some(Thinking::Adaptive | Thinking::Budget(_)))
}

/// The limit of an answer for which none was set: every model since Claude 3.5 writes as much, and a budget has to fit.
pub(super) fn default_max_tokens(reasoning: Reasoning) -> u64 {
    const ANSWER: u64 = 8192;
    match reasoning.thinking {
        Some(Thinking::Budget(tokens)) => tokens.saturating_add(ANSWER),
        _ => ANSWER,
    }
}

/// The dialect that this module is of.
pub(super) const ANTHROPIC: Dialect = Dialect::Anthropic;
