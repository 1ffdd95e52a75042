//! What came before a message.

use crate::fingerprint::{Fingerprint, Key, Relation};

/// How many numbers say how a message relates to what came before it.
const NUMBERS: usize = 8;
/// Tokens from which on a message is compared: of fewer some are found in any other text by chance, as fingerprints have
/// few symbols, and a "Perfect, thanks!" would read otherwise after every tenth run.
const ENOUGH: u32 = 8;
/// Of a message of fewer tokens it is still told that it is the earlier one over again, if it has as many as these.
const FEWEST: u32 = 3;
/// From this resemblance on a message is the earlier one over again.
const SAME: f64 = 0.85;

/// What came before a message, as far as it is known: by default, nothing is.
///
/// A prompt or an answer is never kept as text, so what is known of one is its keyed fingerprint. What is unknown counts
/// as unlike the message.
///
/// ```
/// use kalibr_signals::fingerprint::{Fingerprint, Key};
/// use kalibr_signals::turn::{Before, classify};
///
/// let key = Key::new([7; 16]);
/// let prompt = Fingerprint::of(&key, "Sort this list of words by their length");
/// let again = "sort this list of words by their length";
/// let known = classify(again, &Before::of(&key, Some(&prompt), None));
/// assert!(known.rejection > classify(again, &Before::default()).rejection);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Before<'a> {
    key: Option<&'a Key>,
    prompt: Option<&'a Fingerprint>,
    answer: Option<&'a Fingerprint>,
    asked: bool,
}

impl<'a> Before<'a> {
    /// What is known of the prompt and of the answer before the message; both were made under `key`.
    pub fn of(key: &'a Key, prompt: Option<&'a Fingerprint>, answer: Option<&'a Fingerprint>) -> Self {
        Self { key: Some(key), prompt, answer, asked: false }
    }

    /// The same, of an answer that ended in a question: "no" may be no more than the answer to that.
    pub fn asked(self) -> Self {
        Self { asked: true, ..self }
    }

    /// Whether an answer ends in a question.
    pub fn ends_in_question(answer: &str) -> bool {
        let end = answer
            .trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '*' | '_' | ')' | '”' | '」'));
        end.ends_with(['?', '？', '؟'])
    }

    /// How the message relates to the prompt: how much of it the prompt has, how much of the prompt it has, how alike
    /// they are, whether they are one; then the same of the answer, but whether that ended in a question for the last.
    pub(super) fn numbers(&self, message: &str) -> [f32; NUMBERS] {
        let mut numbers = [0.0; NUMBERS];
        numbers[7] = f32::from(u8::from(self.asked));
        let (Some(key), true) = (self.key, self.prompt.is_some() || self.answer.is_some()) else {
            return numbers;
        };
        let message = Fingerprint::of(key, message);
        if message.tokens() == 0 {
            return numbers;
        }
        let relation = |earlier: &Fingerprint| {
            let relation = message.relation(earlier);
            let same = relation.resemblance >= SAME && message.tokens() == earlier.tokens();
            (message.tokens() >= ENOUGH || (same && message.tokens() >= FEWEST)).then_some(relation)
        };
        if let Some(Relation { contained, contains, resemblance }) = self.prompt.and_then(relation) {
            numbers[..3].copy_from_slice(&[contained as f32, contains as f32, resemblance as f32]);
            numbers[3] = f32::from(u8::from(resemblance >= SAME));
        }
        if let Some(Relation { contained, contains, resemblance }) = self.answer.and_then(relation) {
            numbers[4..7].copy_from_slice(&[contained as f32, contains as f32, resemblance as f32]);
        }
        numbers
    }
}

/// What came before a message, from texts that are at hand: they pass through the same fingerprints as what is kept of
/// texts, so that what is said of a message here is what would be said of it in production.
///
/// ```
/// use kalibr_signals::turn::{Prior, classify};
///
/// let prior = Prior::of(Some("Write a haiku"), Some("An old silent pond ..."));
/// assert!(classify("no, a limerick", &prior.before()).rejection > 0.0);
/// ```
#[derive(Debug)]
pub struct Prior {
    prompt: Option<Fingerprint>,
    answer: Option<Fingerprint>,
    asked: bool,
}

/// These fingerprints live as long as a call and are compared with each other alone.
const CALL: Key = Key::new(*b"for one call now");

impl Prior {
    /// What came before, as far as it is known.
    pub fn of(prompt: Option<&str>, answer: Option<&str>) -> Self {
        let print = |text| Fingerprint::of(&CALL, text);
        Self {
            prompt: prompt.map(print),
            answer: answer.map(print),
            asked: answer.is_some_and(Before::ends_in_question),
        }
    }

    /// The same as a classifier takes it.
    pub fn before(&self) -> Before<'_> {
        let before = Before::of(&CALL, self.prompt.as_ref(), self.answer.as_ref());
        if self.asked { before.asked() } else { before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::classify;

    #[test]
    fn a_short_message_reads_alike_whatever_key_its_run_had() {
        let (prompt, answer) = ("How tall is the Eiffel Tower?", "It is 330 m tall, with the antenna.");
        for message in ["Perfect, thanks!", "That's wrong, try again.", "no", "and Big Ben?"] {
            let plain = classify(message, &Before::default());
            for seed in 0..200u8 {
                let key = Key::new([seed; 16]);
                let (prompt, answer) = (Fingerprint::of(&key, prompt), Fingerprint::of(&key, answer));
                let after = classify(message, &Before::of(&key, Some(&prompt), Some(&answer)));
                assert_eq!(after.asserted, plain.asserted, "{message} {seed}");
            }
        }
    }
}
