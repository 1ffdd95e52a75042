//! Texts that come with what is learned from. They are dropped unread, unless the operator keeps texts.

use kalibr_engine::{Engine, Fact, Run, SignalMeta, TextKind};
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

/// What a text came with: the signal, or the message that is none.
pub(crate) fn came_with(fact: Option<&Fact>) -> SignalMeta {
    match fact {
        Some(Fact::Signal(fact)) => SignalMeta { id: Some(fact.signal.id.clone()), at: Some(fact.signal.at) },
        Some(Fact::Step(fact)) => SignalMeta { id: Some(fact.id.clone()), at: Some(fact.at) },
        _ => SignalMeta::default(),
    }
}

impl Texts {
    /// Keeps them with this run; `said` is what they came with.
    pub(crate) fn keep(self, engine: &Engine, run: Run, said: &SignalMeta) {
        for (kind, text) in self.0 {
            engine.keep_text(run, kind, &text, said.clone());
        }
    }
}
