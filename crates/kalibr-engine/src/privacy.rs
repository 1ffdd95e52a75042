//! What is kept of people, and for how long: the `[privacy]` table of the configuration.
//!
//! ```toml
//! [privacy]
//! keep_text = "redacted"
//! keep_text_days = 30
//! keep_days = 365
//! ```

use kalibr_core::ids::Timestamp;
use kalibr_store::{About, Fact, TextFact, TextKind};
use serde::Deserialize;

use crate::engine::Engine;
use crate::report::{Run, SignalMeta};

const DAY: i64 = 24 * 3_600_000_000;

/// Of a longer text the beginning is kept.
const LONGEST: usize = 64 << 10;

/// Whether texts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepText {
    /// None is written anywhere.
    #[default]
    None,
    /// With placeholders for what names or harms people: see [`kalibr_signals::redact`].
    Redacted,
    /// As they came.
    Full,
}

/// What is kept of people. By default no text, and runs for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Privacy {
    /// Whether prompts, answers, users' messages, reasons and edits are kept.
    pub keep_text: KeepText,
    /// For how many days, 1 or more. What was kept before it was changed goes when it was to go then.
    pub keep_text_days: u32,
    /// After how many days runs are forgotten, with all that was said of them and all that was learned from them; never,
    /// unless set.
    pub keep_days: Option<u32>,
}

impl Default for Privacy {
    fn default() -> Self {
        Self { keep_text: KeepText::None, keep_text_days: 30, keep_days: None }
    }
}

impl Privacy {
    /// What is wrong with it, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        (self.keep_text_days == 0 || self.keep_days == Some(0))
            .then_some("[privacy]: keep_text_days and keep_days are 1 or more; leave keep_days out to keep runs for ever")
    }

    /// Before which moment runs are forgotten.
    pub(crate) fn forgotten_before(&self, now: Timestamp) -> Option<Timestamp> {
        self.keep_days.map(|days| Timestamp(now.0.saturating_sub(i64::from(days) * DAY)))
    }

    /// A text as it is kept; `None` where none is.
    fn kept(&self, text: &str) -> Option<String> {
        let mut kept = match self.keep_text {
            KeepText::None => return None,
            // Before it is cut: half a number is not recognised as one.
            KeepText::Redacted => kalibr_signals::redact::redact(text).text,
            KeepText::Full => text.to_owned(),
        };
        kept.truncate(kept.floor_char_boundary(LONGEST));
        Some(kept)
    }
}

impl Engine {
    /// Whether texts are kept.
    pub fn keeps_text(&self) -> bool {
        self.privacy().keep_text != KeepText::None
    }

    /// A text, ready to be sent; `None` where texts are not kept, which is so unless the operator wants it. `said` is the
    /// signal or message that it came with: it is of the run that it was said of then, and withdrawing takes it back too.
    pub fn text(&self, run: Run, kind: TextKind, text: &str, said: SignalMeta) -> Option<Fact> {
        let privacy = self.privacy();
        let text = privacy.kept(text)?;
        let about = match run {
            Run::Trace(trace) => About::Trace(trace),
            Run::Session(session) => About::Session(session),
        };
        let at = self.clock().now();
        let until = Timestamp(at.0.saturating_add(i64::from(privacy.keep_text_days) * DAY));
        let event_at = self.event_time(said.at);
        Some(Fact::Text(Box::new(TextFact { kind, text, about, signal: said.id, event_at, at, until })))
    }

    /// Queues a text, where texts are kept: see [`Engine::text`]. It is in nobody's way: one that the queue cannot take is lost, and counted.
    pub fn keep_text(&self, run: Run, kind: TextKind, text: &str, said: SignalMeta) {
        if let Some(fact) = self.text(run, kind, text, said) {
            let _ = self.append(fact, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_only_where_texts_are_kept() {
        let long = "é".repeat(LONGEST);
        let full = Privacy { keep_text: KeepText::Full, ..Privacy::default() };
        assert_eq!(full.kept(&long).unwrap().len(), LONGEST);
        assert_eq!(full.kept("short").unwrap(), "short");
        assert_eq!(Privacy::default().kept("short"), None);
        let redacted = Privacy { keep_text: KeepText::Redacted, ..Privacy::default() };
        let kept = redacted.kept("write to anna@example.com").unwrap();
        assert!(kept.starts_with("write to") && !kept.contains("anna"), "{kept}");
        assert!(
            redacted.kept(&format!("{}anna@example.com", " ".repeat(LONGEST - 4))).unwrap().len() <= LONGEST
        );
    }

    #[test]
    fn zero_days_are_a_mistake() {
        assert!(Privacy { keep_days: Some(0), ..Privacy::default() }.problem().is_some());
        assert!(Privacy { keep_text_days: 0, ..Privacy::default() }.problem().is_some());
        assert!(Privacy::default().problem().is_none());
    }
}
