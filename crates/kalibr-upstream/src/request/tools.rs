//! Which tools a path offers the model.

use std::sync::Arc;

use kalibr_core::path::tool_name;
use serde_json::Value;
use serde_json::value::RawValue;

/// The list of tools to send, or `None` if the caller's own list (or none) goes through untouched.
///
/// The caller's tools stay the text they were written as; only whole tools are left out or added.
pub(super) fn select(
    path: &[Value],
    offered: Option<&RawValue>,
    choice: Option<&RawValue>,
) -> Option<Arc<RawValue>> {
    if path.is_empty() {
        return None;
    }
    let offered: Vec<&RawValue> = match offered.filter(|list| list.get() != "null") {
        None => Vec::new(),
        // What is no list is sent as it is: the provider's complaint is better than a guess of ours.
        Some(list) => serde_json::from_str(list.get()).ok()?,
    };
    let offered: Vec<(String, &RawValue)> = offered.into_iter().map(|tool| (name_of(tool), tool)).collect();
    let (names, added): (Vec<&Value>, Vec<&Value>) = path.iter().partition(|tool| tool.is_string());
    let is_selected = |name: &str| names.iter().any(|tool| tool_name(tool) == name);
    let selects = offered.iter().any(|(name, _)| is_selected(name));
    if !selects && added.is_empty() {
        return None;
    }
    let demanded = choice.map(name_of);
    let kept = offered
        .iter()
        .filter(|(name, _)| !selects || is_selected(name) || demanded.as_ref() == Some(name))
        // Providers refuse two tools of one name; the path's own is the one that it was set up with.
        .filter(|(name, _)| !added.iter().any(|tool| tool_name(tool) == name))
        .map(|(_, tool)| tool.get().to_owned());
    let all: Vec<String> = kept.chain(added.iter().map(ToString::to_string)).collect();
    Some(super::raw(format!("[{}]", all.join(","))))
}

/// The name of an offered tool, or of the tool that a `tool_choice` demands; both have the same shape.
fn name_of(tool: &RawValue) -> String {
    serde_json::from_str::<Value>(tool.get())
        .ok()
        .filter(Value::is_object)
        .map_or_else(String::new, |tool| tool_name(&tool).to_owned())
}
