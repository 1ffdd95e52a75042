//! The evidence for praise and for complaint in the phrases of a message.
//!
//! A phrase counts only where it reads as a verdict on the answer ("this is wrong"), not on a thing in it ("the wrong
//! turn"); a negation turns it round ("not great"); questions, wishes and quotations do not count; thanks count only
//! where no new request follows; and praise beside words of trouble, which may be irony, weighs little.

use super::phrases::{self, PHRASES, Phrase, Place, Side};
use super::words::{self, Clause};

/// "not wrong" is far from praise: alone it must not assert.
const NEGATED_COMPLAINT: f64 = 0.65;
/// What is left of evidence that something else speaks against: too little to assert.
const DOUBTFUL: f64 = 0.3;
/// Praise in doubt weighs at most this, however often it is repeated.
const HARDLY_PRAISE: f64 = 2.0;
/// Words between a negator and what it negates: "not a very good answer".
const NEGATION_REACH: usize = 3;
/// Behind this many words phrases are rather part of pasted text than a verdict.
const EARLY_WORDS: usize = 30;
/// Who praises an answer does it briefly; a longer message talks of something.
const PRAISE_WORDS: usize = 14;
/// A demand to do it again is short; a longer one is a task with a text to work on.
const DEMAND_WORDS: usize = 20;
/// Thanks in a longer message are manners, also after a poor answer.
const THANKS_WORDS: usize = 5;

/// A phrase that was found and counts.
struct Finding {
    side: Side,
    weight: f64,
    sentence: usize,
}

/// What the phrases of a message say.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weighed {
    /// Evidence of praise, in nats.
    pub(super) praise: f64,
    /// Evidence of complaint, in nats.
    pub(super) complaint: f64,
    /// Praise that is as often meant as the opposite.
    pub(super) ironic: bool,
    /// Something new is asked for.
    pub(super) requested: bool,
}

/// Weighs the phrases of a message.
pub(super) fn weigh(clauses: &[Clause]) -> Weighed {
    let length: usize = clauses.iter().map(|clause| clause.words.len()).sum();
    let any_word_of =
        |list: &[&str]| clauses.iter().flat_map(|c| &c.words).any(|w| list.contains(&w.as_str()));
    let requested = clauses.iter().any(is_request);

    let mut findings: Vec<Finding> = Vec::new();
    let mut read = 0;
    for clause in clauses {
        if words::CONTRASTS.contains(&clause.words[0].as_str()) {
            // "good, but too short": what comes after the turn is what is meant.
            for earlier in findings.iter_mut().filter(|finding| finding.sentence == clause.sentence) {
                earlier.weight *= DOUBTFUL;
            }
        }
        find(clause, length, requested, |side, weight| {
            findings.push(Finding { side, weight, sentence: clause.sentence });
        });
        read += clause.words.len();
        if read > EARLY_WORDS {
            break;
        }
    }

    let sum = |side| findings.iter().filter(|f| f.side == side).map(|f| f.weight).sum::<f64>();
    let (mut praise, complaint) = (sum(Side::Acceptance), sum(Side::Rejection));
    let ironic = findings.iter().any(|finding| finding.side == Side::Irony);
    if requested || ironic || length > PRAISE_WORDS || (complaint == 0.0 && any_word_of(phrases::TROUBLE)) {
        praise = (praise * DOUBTFUL).min(HARDLY_PRAISE);
    }
    Weighed { praise, complaint, ironic, requested }
}

/// Whether a clause asks for something new. What "redo" and its like ask for is not new.
fn is_request(clause: &Clause) -> bool {
    let words: Vec<&str> = clause.words.iter().map(String::as_str).collect();
    let start =
        words.iter().position(|w| !["ok", "okay", "and", "then", "so", "but"].contains(w)).unwrap_or(0);
    match words[start..] {
        ["what", "a", ..] | ["how", "nice", ..] => false,
        ["i" | "im", ref rest @ ..] => {
            rest.iter().take(2).any(|w| ["want", "need", "would", "have", "wonder", "looking"].contains(w))
        }
        [first, second, ..] => {
            clause.question || phrases::REQUESTS.contains(&first) || is_question(first, second)
        }
        _ => clause.question,
    }
}

fn is_question(first: &str, second: &str) -> bool {
    phrases::QUESTIONS.contains(&first) && second != "a"
}

/// Reads one clause from left to right, taking the longest phrase at each place, and reports those that count.
fn find(clause: &Clause, length: usize, requested: bool, mut report: impl FnMut(Side, f64)) {
    let words: Vec<&str> = clause.words.iter().take(EARLY_WORDS).map(String::as_str).collect();
    let asks = clause.question || matches!(words[..], [first, second, ..] if is_question(first, second));
    let mut at = 0;
    // Where the last phrase ended: its own "not" does not negate the next one too.
    let mut behind = 0;
    // Whether all so far only leads up to a verdict.
    let mut leads_up = true;
    while at < words.len() {
        let Some(phrase) = phrase_at(&words[at..]) else {
            leads_up &= phrases::BEFORE.contains(&words[at]) || phrases::NEGATORS.contains(&words[at]);
            at += 1;
            continue;
        };
        let end = at + phrase.words.len();
        let (before, after) = (&words[..at], &words[end..]);
        let supposed = before.iter().any(|w| phrases::HYPOTHETICAL.contains(w));
        let counts = match phrase.place {
            Place::Anywhere => !supposed && !asks,
            Place::Verdict => {
                leads_up
                    && !asks
                    && after.first().is_none_or(|w| phrases::AFTER.contains(w) || phrase_at(after).is_some())
            }
            Place::Whole => {
                length <= DEMAND_WORDS
                    && before.iter().all(|w| phrases::BEFORE_DEMAND.contains(w))
                    && after.iter().all(|w| phrases::AFTER_DEMAND.contains(w))
            }
            Place::Thanks => length <= THANKS_WORDS && !requested && !supposed,
        };
        if counts
            && let Some((side, weight)) = negate(phrase, negations(&words[behind..at]))
            && !(side == Side::Acceptance && phrase.side == side && misses_answer(before, after))
        {
            report(side, weight);
        }
        at = end;
        behind = end;
    }
}

/// Whether praise between these words is of something else than the answer: what was, or what asks for more.
fn misses_answer(before: &[&str], after: &[&str]) -> bool {
    // "It was great" is said of films and journeys, "I'm good" in greetings; of an answer people say that it is.
    before.iter().any(|w| ["was", "were", "one", "both", "also", "im", "i"].contains(w))
        || (after.len() > 1 && phrases::REQUESTS.contains(&after[0]))
}

fn phrase_at(words: &[&str]) -> Option<&'static Phrase> {
    PHRASES.get(*words.first()?)?.iter().find(|phrase| words.starts_with(&phrase.words))
}

/// How many negators reach past the end of `before`.
fn negations(before: &[&str]) -> usize {
    let near = before.iter().rev().take(NEGATION_REACH + 1).enumerate();
    near.filter(|&(distance, w)| phrases::NEGATORS.contains(w) && (*w != "no" || distance == 0)).count()
}

/// What a phrase says under that many negators; nothing where that cannot be told.
fn negate(phrase: &Phrase, negations: usize) -> Option<(Side, f64)> {
    let verdict = phrase.place == Place::Verdict;
    match (negations, phrase.side) {
        (0, side) => Some((side, phrase.weight)),
        (1, Side::Acceptance) if verdict => Some((Side::Rejection, phrase.weight)),
        (1, Side::Rejection) if verdict => Some((Side::Acceptance, phrase.weight * NEGATED_COMPLAINT)),
        _ => None,
    }
}
