//! Whether the tools that a model calls were offered, with arguments that fit.

use std::collections::HashMap;

use serde_json::Value;

use crate::answer::Answer;
use crate::json::{Found, parse};
use crate::limits;
use crate::schema::Schema;
use crate::spec::ToolUse;
use crate::verdict::{Finding, Reason, Skip};

/// What the tool calls of an answer are worth. The first call that fails speaks for all; where none fails, one that could
/// not be judged does.
pub(crate) fn check(answer: &Answer<'_>, asked: ToolUse) -> Finding {
    let calls = answer.tool_calls;
    if calls.is_empty() {
        return if asked == ToolUse::Required {
            Finding::Failed(Reason::NoToolCall)
        } else {
            Finding::NotApplicable(Skip::Nothing)
        };
    }
    let tools = answer.tools.unwrap_or_default();
    if calls.len() > limits::TOOLS || tools.len() > limits::TOOLS {
        return Finding::NotApplicable(Skip::TooLarge);
    }
    let mut schemas: HashMap<&str, Result<Schema, Skip>> = HashMap::new();
    let mut skipped = None;
    for call in calls {
        let tool = tools.iter().find(|tool| tool.name == call.name);
        if answer.tools.is_some() && tool.is_none() {
            return Finding::Failed(Reason::UnknownTool);
        }
        let arguments = match arguments(call.arguments) {
            Ok(arguments) => arguments,
            Err(Finding::NotApplicable(skip)) => {
                skipped = Some(skip);
                continue;
            }
            Err(failed) => return failed,
        };
        let Some(tool) = tool else {
            skipped = Some(Skip::NotKnown);
            continue;
        };
        let Some(parameters) = tool.parameters else { continue };
        match schemas.entry(tool.name).or_insert_with(|| schema(parameters)) {
            Ok(schema) => match schema.fits(&arguments) {
                Some(true) => {}
                Some(false) => return Finding::Failed(Reason::ToolArgumentsMismatch),
                None => skipped = Some(Skip::TooLarge),
            },
            Err(skip) => skipped = Some(*skip),
        }
    }
    skipped.map_or(Finding::Passed, Finding::NotApplicable)
}

/// A call's arguments. Providers leave them empty where a tool has none.
fn arguments(text: &str) -> Result<Value, Finding> {
    if text.trim().is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    match parse(text) {
        Found::Json(arguments @ Value::Object(_)) => Ok(arguments),
        Found::TooLarge => Err(Finding::NotApplicable(Skip::TooLarge)),
        Found::Json(_) | Found::NotJson => Err(Finding::Failed(Reason::ToolArgumentsNotJson)),
    }
}

/// What is wrong with a schema that came with a request is the caller's, not the model's.
fn schema(parameters: &str) -> Result<Schema, Skip> {
    match parse(parameters) {
        Found::Json(schema) => Schema::new(&schema).map_err(|_| Skip::BadSchema),
        _ => Err(Skip::BadSchema),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Tool, ToolCall};

    const WEATHER: Tool<'_> = Tool {
        name: "weather",
        parameters: Some(
            r#"{"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}, "additionalProperties": false}"#,
        ),
    };
    const TIME: Tool<'_> = Tool { name: "time", parameters: None };
    const ODD: Tool<'_> = Tool { name: "odd", parameters: Some(r##"{"$ref": "#"}"##) };

    #[test]
    fn calls_are_of_offered_tools_with_arguments_that_fit() {
        let unless = |name, arguments| {
            let calls = [ToolCall { name: "time", arguments: "" }, ToolCall { name, arguments }];
            let answer =
                Answer { tool_calls: &calls, tools: Some(&[WEATHER, TIME, ODD]), ..Answer::default() };
            check(&answer, ToolUse::Valid)
        };
        for (name, arguments, finding) in [
            ("weather", r#"{"city": "Paris"}"#, Finding::Passed),
            ("time", "{}", Finding::Passed),
            ("time", "", Finding::Passed),
            ("weather", r#"{"town": "Paris"}"#, Finding::Failed(Reason::ToolArgumentsMismatch)),
            ("weather", r#"{"city": 3}"#, Finding::Failed(Reason::ToolArgumentsMismatch)),
            ("weather", "", Finding::Failed(Reason::ToolArgumentsMismatch)),
            ("weather", r#"{"city": "Par"#, Finding::Failed(Reason::ToolArgumentsNotJson)),
            ("weather", r#""Paris""#, Finding::Failed(Reason::ToolArgumentsNotJson)),
            ("search", "{}", Finding::Failed(Reason::UnknownTool)),
            ("Weather", "{}", Finding::Failed(Reason::UnknownTool)),
            ("odd", "{}", Finding::NotApplicable(Skip::BadSchema)),
        ] {
            assert_eq!(unless(name, arguments), finding, "{name} {arguments}");
        }
    }

    #[test]
    fn without_calls_or_tools_only_what_is_known_is_judged() {
        assert_eq!(check(&Answer::default(), ToolUse::Valid), Finding::NotApplicable(Skip::Nothing));
        assert_eq!(check(&Answer::default(), ToolUse::Required), Finding::Failed(Reason::NoToolCall));
        let calls = [ToolCall { name: "weather", arguments: "{}" }];
        let answer = Answer { tool_calls: &calls, ..Answer::default() };
        assert_eq!(check(&answer, ToolUse::Valid), Finding::NotApplicable(Skip::NotKnown));
        let none_offered = Answer { tools: Some(&[]), ..answer };
        assert_eq!(check(&none_offered, ToolUse::Valid), Finding::Failed(Reason::UnknownTool));
    }
}
