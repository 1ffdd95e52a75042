use super::*;
use proptest::prelude::*;

use super::phrases::PHRASES;

fn classify(message: &str) -> Verdict {
    super::classify(message, &Before::default())
}

fn at(message: &str, threshold: f64) -> Verdict {
    let thresholds = Thresholds { acceptance: threshold, rejection: threshold };
    classify_with(message, &Before::default(), &thresholds)
}

fn asserted(message: &str) -> Option<Value> {
    classify(message).asserted
}

#[test]
fn a_clear_complaint_is_a_rejection() {
    for message in [
        "This is wrong.",
        "this is useless",
        "redo",
        "rewrite it",
        "Try again please",
        "could you try again?",
        "start over",
        "too short",
        "It's way too long for me",
        "no, that's not right",
        "That is not correct",
        "Not great, not nice at all",
        "That's not what I asked for",
        "this isn't helpful",
        "it still doesn't work",
        "I don\u{2019}t like it",
        "No that is wrong",
        "Thanks, but you forgot the second table",
        "It is good, but far too long",
        "you didn't answer my question",
        "not a very good answer",
        "nice, but not good enough",
        "This isn't what I asked for",
        "I am not happy with this",
        "👎",
    ] {
        assert_eq!(asserted(message), Some(Value::Rejection), "{message}: {:?}", classify(message));
    }
}

#[test]
fn clear_praise_is_an_acceptance() {
    for message in [
        "perfect, thanks!",
        "Thank you",
        "Looks good to me",
        "This is exactly what I needed",
        "Great work",
        "I love it!",
        "it works now",
        "that's correct",
        "Fixed costs look good, nothing to change",
        "There is nothing wrong, no need to change anything",
        "what a great answer",
        "👍",
    ] {
        assert_eq!(asserted(message), Some(Value::Acceptance), "{message}: {:?}", classify(message));
    }
}

#[test]
fn whoever_goes_on_or_cannot_be_read_asserts_nothing() {
    for message in [
        "",
        "I know the exchange rate now, please continue",
        "Now another question: what is a prefix code?",
        "Now change the title to Q3 results",
        "thanks, now do the conclusion",
        "Thanks. Can you also translate it?",
        "Thanks in advance",
        "Great, another error",
        "Oh great.",
        "Thanks a lot, you deleted all of it",
        "no problem",
        "no",
        "not bad",
        "not wrong",
        "Is this wrong?",
        "What is wrong with my engine",
        "it would be great to have a table",
        "let me know if it looks good",
        "Recommend a good restaurant",
        "He took a wrong turn in chapter two",
        "Rewrite it as a sonnet about the sea and its tides",
        "fix the tests in `wrong.py`",
        "she said \"this is useless\" and left",
        "Please add an error message to the form",
        "the knowledge of great authors",
        "Das war leider nichts",
        "I still have a question about chapter two",
        "I still don't understand recursion",
        "Good answer. Now write a poem",
        "this is great now add a table",
        "Do you think you missed anything?",
        "yesterday it worked",
        "Are you sure?",
    ] {
        assert_eq!(asserted(message), None, "{message}: {:?}", classify(message));
    }
}

#[test]
fn bitter_thanks_are_never_an_acceptance() {
    for message in ["Thanks for nothing, great job breaking it", "wow thanks, great job ruining my file"] {
        assert_ne!(asserted(message), Some(Value::Acceptance), "{message}");
    }
}

#[test]
fn a_message_without_a_verdict_is_a_continuation() {
    assert_eq!(classify("And the second chapter?").label, TurnLabel::Continuation);
    assert!(classify("And the second chapter?").confidence() > 0.8);
}

#[test]
fn the_threshold_decides_what_is_asserted_and_nothing_else() {
    let message = "this is wrong";
    for threshold in [2.0, f64::NAN, f64::INFINITY] {
        assert_eq!(at(message, threshold).asserted, None);
    }
    let (low, high) = (at(message, 0.0), at(message, 0.99));
    assert_eq!((low.label, low.rejection), (high.label, high.rejection));
    assert_eq!(at("tell me more", 0.0).asserted, None);
}

#[test]
fn a_verdict_behind_the_part_that_is_read_does_not_count() {
    let long = format!("{}. this is wrong", "x ".repeat(MAX_CHARS));
    assert_eq!(asserted(&long), None);
}

#[test]
fn every_phrase_is_spelt_as_the_tokeniser_spells_it() {
    for phrase in PHRASES.values().flatten() {
        let text = phrase.words.join(" ");
        let clauses = words::clauses(&text, MAX_CHARS);
        assert_eq!(clauses.len(), 1, "{text}");
        assert_eq!(clauses[0].words, phrase.words, "{text}");
    }
}

#[test]
fn no_phrase_is_listed_twice() {
    for phrases in PHRASES.values() {
        for (i, phrase) in phrases.iter().enumerate() {
            assert!(phrases[i + 1..].iter().all(|other| other.words != phrase.words), "{:?}", phrase.words);
        }
    }
}

fn check(message: &str) {
    let read = classify(message);
    let parts = [read.acceptance, read.rejection, read.continuation];
    assert!(parts.iter().all(|p| (0.0..=1.0).contains(p)));
    assert!((parts.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(parts.iter().all(|&p| p <= read.confidence()));
    match read.asserted {
        None => {}
        Some(Value::Acceptance) => assert_eq!(read.label, TurnLabel::Acceptance),
        Some(Value::Rejection) => assert_eq!(read.label, TurnLabel::Rejection),
        Some(other) => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn any_text_gives_probabilities_that_sum_to_one(message in any::<String>()) {
        check(&message);
    }

    #[test]
    fn any_mix_of_phrases_and_marks_gives_probabilities_that_sum_to_one(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "not", "no", "wrong", "great", "thanks", "but", ",", ".", "?", "`", "\"", "\n>", "```", "redo", "it", "👍",
                "is", "this", "-", "too short", "\u{201c}", "\u{201d}", "'",
            ]),
            0..40,
        ),
        separator in prop::sample::select(vec!["", " "]),
    ) {
        check(&parts.join(separator));
    }
}
