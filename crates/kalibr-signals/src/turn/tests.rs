use super::*;
use proptest::prelude::*;

use super::phrases::PHRASES;

fn classify(message: &str) -> Verdict {
    super::classify(message, &Before::default())
}

fn at(message: &str, threshold: f64) -> Verdict {
    classify_with(message, &Before::default(), &Thresholds::all(threshold))
}

fn asserted(message: &str) -> Option<Value> {
    classify(message).asserted
}

/// Messages of these that assert something else.
fn misread(messages: &[&str], asserted: Option<Value>) -> Vec<String> {
    let probabilities =
        |read: &Verdict| format!("{:.2} / {:.2} / {:.2}", read.acceptance, read.rejection, read.continuation);
    messages
        .iter()
        .map(|message| (message, classify(message)))
        .filter(|(_, read)| read.asserted != asserted)
        .map(|(message, read)| format!("{message}: {:?}, {}", read.asserted, probabilities(&read)))
        .collect()
}

#[test]
fn a_clear_complaint_is_a_rejection() {
    let misread = misread(
        &[
            "This is wrong.",
            "Das war leider nichts",
            "this is useless",
            "redo",
            "rewrite it",
            "Try again please",
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
        ],
        Some(Value::Rejection),
    );
    assert!(misread.is_empty(), "{misread:#?}");
}

#[test]
fn clear_praise_is_an_acceptance() {
    let misread = misread(
        &[
            "perfect, thanks!",
            "This is exactly what I needed",
            "that's correct",
            "👍",
            "Thank you",
            "Looks good to me",
            "Great work",
            "it works now",
        ],
        Some(Value::Acceptance),
    );
    assert!(misread.is_empty(), "{misread:#?}");
}

#[test]
fn whoever_goes_on_or_cannot_be_read_asserts_nothing() {
    let misread = misread(
        &[
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
            "I still have a question about chapter two",
            "I still don't understand recursion",
            "Good answer. Now write a poem",
            "this is great now add a table",
            "Do you think you missed anything?",
            "yesterday it worked",
            "Are you sure?",
        ],
        None,
    );
    assert!(misread.is_empty(), "{misread:#?}");
}

#[test]
fn what_is_too_unsure_to_assert_still_has_the_right_label() {
    for (message, label) in [
        ("nah that is not it", TurnLabel::Rejection),
        ("Took a while, but it is right now", TurnLabel::Acceptance),
        ("start over", TurnLabel::Rejection),
        ("what a great answer", TurnLabel::Acceptance),
    ] {
        assert_eq!(classify(message).label, label, "{message}: {:?}", classify(message));
    }
}

#[test]
fn praise_and_complaint_are_understood_in_many_languages() {
    let complaints = [
        "Das ist falsch",
        "C'est complètement faux",
        "Eso está mal",
        "Isso está errado",
        "È sbagliato",
        "Dat is fout",
        "To jest źle",
        "Это неправильно",
        "Bu yanlış",
        "这是错的",
        "間違っています",
        "틀렸어요",
        "هذا خطأ",
        "यह गलत है",
    ];
    let praise = [
        "Perfekt, danke",
        "Parfait, merci",
        "Perfecto, gracias",
        "Perfeito, obrigado",
        "Perfetto, grazie",
        "Perfect, dank je",
        "Idealnie, dziękuję",
        "Отлично, спасибо",
        "Mükemmel, teşekkürler",
        "完美，谢谢",
        "完璧です、ありがとう",
        "완벽합니다, 감사합니다",
        "ممتاز، شكرا",
        "बढ़िया, धन्यवाद",
    ];
    for (messages, label) in [(complaints, TurnLabel::Rejection), (praise, TurnLabel::Acceptance)] {
        for message in messages {
            assert_eq!(classify(message).label, label, "{message}: {:?}", classify(message));
        }
    }
}

#[test]
fn silence_asserts_nothing() {
    for message in ["", " ", "\n\n\t", "...", "\u{200b}", "?", "!!!", "---"] {
        assert_eq!(asserted(message), None, "{message:?}");
        assert_eq!(classify(message).label, TurnLabel::Continuation, "{message:?}");
    }
}

#[test]
fn a_bare_no_or_yes_asserts_nothing_whatever_came_before() {
    for message in ["no", "No.", "nope", "yes", "ok", "nein", "нет", "不是", "いいえ", "لا", "नहीं"]
    {
        assert_eq!(asserted(message), None, "{message}");
        let prior = Prior::of(Some("Plan a trip"), Some("Shall I book the train?"));
        assert_eq!(super::classify(message, &prior.before()).asserted, None, "{message}");
    }
}

#[test]
fn the_same_request_over_again_speaks_against_the_answer() {
    let prompt = "Write a function in Python that sorts a list of words by their length";
    let prior = Prior::of(Some(prompt), Some("def f(words): return words"));
    let (again, first) = (super::classify(prompt, &prior.before()), classify(prompt));
    assert!(again.rejection > first.rejection, "{} {}", again.rejection, first.rejection);
}

#[test]
fn reasons_are_names_from_a_closed_list_and_hold_no_word_of_the_message() {
    let read = classify("This is wrong, zyxcanary, try again");
    assert!(!read.reasons.is_empty());
    let shown = format!("{read:?} {}", serde_json::to_string(&Told::from(read.clone())).unwrap());
    assert!(!shown.contains("zyxcanary") && !shown.contains("wrong"));
    let names: std::collections::HashSet<_> =
        read.reasons.iter().map(|reason| reason.clue.as_str()).collect();
    assert_eq!(names.len(), read.reasons.len());
}

#[test]
fn ten_megabytes_are_read_in_no_time() {
    for piece in ["this is wrong ", "错", "x", "`", "\"", "a\n", "Error: ", "\u{301}"] {
        let long = piece.repeat(10_000_000 / piece.len());
        let began = std::time::Instant::now();
        let read = classify(&long);
        assert!(began.elapsed() < std::time::Duration::from_secs(2), "{piece:?}: {:?}", began.elapsed());
        assert!((read.acceptance + read.rejection + read.continuation - 1.0).abs() < 1e-9);
    }
}

#[test]
fn a_verdict_after_a_long_paste_counts() {
    let pasted = "let x = f(1);\n".repeat(2_000);
    let alone = classify(&pasted);
    let judged = classify(&format!("{pasted}\nthat is wrong, it does not work"));
    assert!(judged.rejection > alone.rejection);
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
fn a_verdict_between_the_parts_that_are_read_does_not_count() {
    let filler = "x ".repeat(HEAD);
    let middle = format!("{filler}. this is wrong. {filler}");
    assert_eq!(classify(&middle), classify(&format!("{filler}. this is right. {filler}")));
}

#[test]
fn every_phrase_is_spelt_as_the_tokeniser_spells_it() {
    for phrase in PHRASES.values().flatten() {
        let text = phrase.words.join(" ");
        let clauses = words::clauses(&text, HEAD);
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
