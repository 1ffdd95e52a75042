//! Texts that come with what is learned from. They are dropped unread, unless the operator keeps texts.

use kalibr_engine::{Engine, Run, TextKind};
use serde_json::Value;

use crate::fields::Fields;

/// What may come with a signal.
pub(crate) const SIGNAL_TEXTS: [(&str, TextKind); 5] = [
    ("reason", TextKind::Reason),
    ("comment", TextKind::Reason),
    ("failure_reason", TextKind::Reason),
    ("edit_diff", TextKind::Edit),
    ("edited_output", TextKind::Edit),
];

/// Texts of one body, which are kept once the rest of it was taken.
pub(crate) struct Texts(Vec<(TextKind, String)>);

/// Takes these fields out, where texts are kept. What is no text is left where it is, and so is an edit, which is measured
/// as well.
pub(crate) fn texts(engine: &Engine, body: &mut Fields, fields: &[(&str, TextKind)]) -> Texts {
    if !engine.keeps_text() {
        return Texts(Vec::new());
    }
    let text = |(name, kind): &(&str, TextKind)| {
        let value = if *kind == TextKind::Edit { body.get(name).cloned()? } else { body.take(name)? };
        match value {
            Value::String(text) if !text.is_empty() => Some((*kind, text)),
            _ => None,
        }
    };
    Texts(fields.iter().filter_map(text).collect())
}

impl Texts {
    /// Keeps them with this run.
    pub(crate) fn keep(self, engine: &Engine, run: Run) {
        for (kind, text) in self.0 {
            engine.keep_text(run, kind, &text);
        }
    }
}
