//! Praise in the words of a complaint: "not bad", "I was wrong, you were right".
//!
//! The weights see a negation and a bad word and are sure. So a message with one of these asserts no rejection; what it
//! is taken for stays as the weights have it.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::fold::{Script, script};

/// Phrases as the reader of words writes them: lower case, no accents, no apostrophes.
#[rustfmt::skip]
const PHRASES: &[&str] = &[
    "not bad", "not too bad", "not half bad", "not so bad", "isnt bad", "isnt wrong", "not wrong", "nothing wrong with",
    "cant complain", "no complaints", "not only", "i was wrong", "my mistake", "my bad", "you were right", "way better",
    "much better", "far better", "better than expected", "yours does", "yours works", "no cap", "lol i love", "i love it",
    "not disappointed", "wasnt disappointed", "no longer crashes", "doesnt crash anymore", "not a problem", "cant fault",
    "nicht schlecht", "gar nicht schlecht", "nicht verkehrt", "nicht ubel", "nicht falsch", "ich lag falsch", "viel besser",
    "pas mal", "pas mauvais", "javais tort", "bien mieux", "beaucoup mieux", "no esta mal", "nada mal", "me equivoque",
    "mucho mejor", "nao esta mal", "nada mau", "muito melhor", "non male", "niente male", "molto meglio", "niet slecht",
    "niet verkeerd", "veel beter", "nie jest zle", "niezle", "nienajgorzej", "duzo lepiej", "не плохо", "неплохо",
    "не так уж плохо", "гораздо лучше", "fena degil", "hic fena degil", "kotu degil", "cok daha iyi", "不错", "不赖", "还不错",
    "悪くない", "나쁘지 않", "ليس سيئا", "مش بطال", "बुरा नहीं",
];

static SEARCH: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| AhoCorasick::new(PHRASES).ok());

/// Whether one of the phrases is among these words, which stand between spaces.
pub(super) fn is_among(text: &str) -> bool {
    SEARCH.iter().flat_map(|search| search.find_overlapping_iter(text)).any(|found| {
        let runs_on = PHRASES[found.pattern().as_usize()].chars().any(|c| script(c) == Script::Running);
        runs_on || (text[..found.start()].ends_with(' ') && text[found.end()..].starts_with(' '))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::{Before, classify};

    #[test]
    fn phrases_are_found_as_whole_words() {
        assert!(is_among(" das ist nicht schlecht ") && is_among(" それは悪くない "));
        assert!(!is_among(" that is bad ") && !is_among(" knot badly tied "));
    }

    #[test]
    fn praise_in_the_words_of_a_complaint_is_asserted_as_none() {
        for message in [
            "das ist nicht schlecht",
            "nicht verkehrt",
            "No está mal",
            "Non male!",
            "не плохо",
            "nie jest źle",
            "悪くない",
            "pas mal",
            "i'm sorry, i was wrong, you were right",
            "this is not what I expected, it's way better!",
            "that's so wrong lol I love it",
            "no cap this is fire",
            "The old version doesn't work, yours does",
            "it no longer crashes",
            "不错",
            "fena değil",
        ] {
            let verdict = classify(message, &Before::default());
            assert_ne!(verdict.asserted, Some(kalibr_core::evidence::Value::Rejection), "{message}");
        }
        for message in
            ["that's wrong, try again", "das ist schlecht", "no funciona", "this is bad", "не работает"]
        {
            let verdict = classify(message, &Before::default());
            assert_eq!(verdict.asserted, Some(kalibr_core::evidence::Value::Rejection), "{message}");
        }
    }
}
