//! How much of an answer is its input over again.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use crate::limits;
use crate::spec::ShareSpan;
use crate::text::{for_each_word, words};
use crate::verdict::{Finding, Reason, Skip};

/// Words in a run: texts on one subject share words, and pairs of them; runs of four they share only when one was copied.
const RUN: usize = 4;
/// Answers and inputs with fewer runs are not compared: a name is a part of the question that it answers.
const FEWEST: usize = 12;
/// Inputs of fewer words can hardly be made shorter.
const LONG_INPUT: u64 = 200;

/// Whether the answer is no more like the input than allowed: by Dice's coefficient of the runs of four words of both.
pub(crate) fn check(text: &str, input: Option<&str>, most: f64) -> Finding {
    let Some(input) = input else { return Finding::NotApplicable(Skip::NotKnown) };
    let (Some(answer), Some(input)) = (runs(text), runs(input)) else {
        return Finding::NotApplicable(Skip::TooLarge);
    };
    if answer.len() < FEWEST || input.len() < FEWEST {
        return Finding::NotApplicable(Skip::TooShort);
    }
    Finding::unless(alike(&answer, &input) > most, Reason::CopiesInput)
}

/// Dice's coefficient of two multisets: twice what they share, divided by all that they have.
fn alike(a: &[u64], b: &[u64]) -> f64 {
    let mut left: HashMap<u64, u32> = HashMap::with_capacity(a.len());
    for run in a {
        *left.entry(*run).or_default() += 1;
    }
    let mut shared = 0_u64;
    for run in b {
        if let Some(count) = left.get_mut(run).filter(|count| **count > 0) {
            *count -= 1;
            shared += 1;
        }
    }
    2.0 * shared as f64 / (a.len() + b.len()) as f64
}

/// A hash of each run of words, in order. `None` for a text of too many.
fn runs(text: &str) -> Option<Vec<u64>> {
    // Hashes live no longer than this call, and always come out alike.
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let mut hashes = Vec::new();
    for_each_word(text, |word| {
        if hashes.len() <= limits::TOKENS {
            hashes.push(hasher.hash_one(word));
        }
    });
    (hashes.len() <= limits::TOKENS).then(|| hashes.windows(RUN).map(|run| hasher.hash_one(run)).collect())
}

/// Whether the answer is as long as it may be for its input.
pub(crate) fn compression(text: &str, input: Option<&str>, span: ShareSpan) -> Finding {
    let Some(input) = input else { return Finding::NotApplicable(Skip::NotKnown) };
    let input = words(input);
    if input < LONG_INPUT {
        return Finding::NotApplicable(Skip::TooShort);
    }
    let share = words(text) as f64 / input as f64;
    if span.min.is_some_and(|min| share < min) {
        return Finding::Failed(Reason::OverCompressed);
    }
    Finding::unless(span.max.is_some_and(|max| share > max), Reason::NotCompressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sentences that differ.
    fn text(from: usize, to: usize) -> String {
        let sentence = |n| format!("In year {n} the river rose by {} feet and took the bridge {n}. ", n * 7);
        (from..to).map(sentence).collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_copy_is_found_and_a_summary_that_quotes_is_none() {
        let input = format!("Summarize: {}", text(0, 40));
        let copied = Finding::Failed(Reason::CopiesInput);
        assert_eq!(check(&text(0, 40), Some(&input), 0.8), copied);
        assert_eq!(check(&text(0, 40).to_uppercase(), Some(&input), 0.8), copied);
        assert_eq!(check(&format!("Here it is: {}", text(1, 40)), Some(&input), 0.8), copied);
        assert_eq!(check(&text(3, 12), Some(&input), 0.8), Finding::Passed, "sentences that were taken out");
        assert_eq!(check(&text(100, 140), Some(&input), 0.8), Finding::Passed);
        assert_eq!(check("Paris", Some(&input), 0.8), Finding::NotApplicable(Skip::TooShort));
        assert_eq!(check(&input, None, 0.8), Finding::NotApplicable(Skip::NotKnown));
    }

    #[test]
    fn an_answer_is_as_short_as_it_should_be() {
        let input = text(0, 40);
        let span = ShareSpan { min: Some(0.02), max: Some(0.6) };
        assert_eq!(compression(&text(0, 10), Some(&input), span), Finding::Passed);
        assert_eq!(compression(&text(0, 30), Some(&input), span), Finding::Failed(Reason::NotCompressed));
        assert_eq!(compression("Floods.", Some(&input), span), Finding::Failed(Reason::OverCompressed));
        assert_eq!(compression("Floods.", Some("rivers"), span), Finding::NotApplicable(Skip::TooShort));
    }
}
