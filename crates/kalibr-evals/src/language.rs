//! Which language an answer is written in.
//!
//! The detector (trigrams, crate `whatlang`) is sure of long texts and of languages with a script of their own, and
//! guesses at short ones; near relatives are easily taken for each other. So a text passes where it is taken for one of
//! the languages asked for, and fails only where it is long enough, clearly taken for another, and that is no relative.

use whatlang::Lang;

use crate::contract::ContractError;
use crate::limits;
use crate::text::is_unspaced;
use crate::verdict::{Finding, Reason, Skip};

/// Letters from which on a text can be said to be of a language, where it is the right one; a character of a script
/// without spaces counts as four.
const ENOUGH_TO_PASS: usize = 24;
/// Letters from which on it can be said not to be: at 100 the detector is sure of itself and right on whole sentences.
const ENOUGH_TO_FAIL: usize = 100;
/// How sure the detector must be, 0..=1, to fail an answer: [`whatlang::Info::is_reliable`] asks for 0.9.
const SURE: f64 = 0.9;

/// Two-letter codes of the languages that the detector knows.
#[rustfmt::skip]
const TWO_LETTERS: [(&str, &str); 70] = [
    ("eo", "epo"), ("en", "eng"), ("ru", "rus"), ("zh", "cmn"), ("es", "spa"), ("pt", "por"), ("it", "ita"),
    ("bn", "ben"), ("fr", "fra"), ("de", "deu"), ("uk", "ukr"), ("ka", "kat"), ("ar", "ara"), ("hi", "hin"),
    ("ja", "jpn"), ("he", "heb"), ("yi", "yid"), ("pl", "pol"), ("am", "amh"), ("jv", "jav"), ("ko", "kor"),
    ("nb", "nob"), ("no", "nob"), ("da", "dan"), ("sv", "swe"), ("fi", "fin"), ("tr", "tur"), ("nl", "nld"),
    ("hu", "hun"), ("cs", "ces"), ("el", "ell"), ("bg", "bul"), ("be", "bel"), ("mr", "mar"), ("kn", "kan"),
    ("ro", "ron"), ("sl", "slv"), ("hr", "hrv"), ("sr", "srp"), ("mk", "mkd"), ("lt", "lit"), ("lv", "lav"),
    ("et", "est"), ("ta", "tam"), ("vi", "vie"), ("ur", "urd"), ("th", "tha"), ("gu", "guj"), ("uz", "uzb"),
    ("pa", "pan"), ("az", "aze"), ("id", "ind"), ("te", "tel"), ("fa", "pes"), ("ml", "mal"), ("or", "ori"),
    ("my", "mya"), ("ne", "nep"), ("si", "sin"), ("km", "khm"), ("tk", "tuk"), ("ak", "aka"), ("zu", "zul"),
    ("sn", "sna"), ("af", "afr"), ("la", "lat"), ("sk", "slk"), ("ca", "cat"), ("tl", "tgl"), ("hy", "hye"),
];

/// Languages that are easily taken for each other.
const RELATIVES: [&[Lang]; 9] = [
    &[Lang::Nob, Lang::Dan, Lang::Swe],
    &[Lang::Hrv, Lang::Srp, Lang::Slv, Lang::Mkd, Lang::Bul],
    &[Lang::Ces, Lang::Slk],
    &[Lang::Ukr, Lang::Rus, Lang::Bel],
    &[Lang::Hin, Lang::Mar, Lang::Nep],
    &[Lang::Spa, Lang::Por, Lang::Cat, Lang::Ita],
    &[Lang::Nld, Lang::Afr],
    &[Lang::Ind, Lang::Jav],
    &[Lang::Tur, Lang::Aze, Lang::Tuk, Lang::Uzb],
];

/// The languages that an answer may be written in.
#[derive(Debug)]
pub(crate) struct Languages(Vec<Lang>);

impl Languages {
    pub(crate) fn new(codes: &[String]) -> Result<Self, ContractError> {
        let problem = |problem: String| ContractError::key("language", problem);
        if codes.is_empty() || codes.len() > limits::LISTED {
            return Err(problem("name at least one language, such as \"en\"".to_owned()));
        }
        let lang = |code: &String| {
            let code = code.to_ascii_lowercase();
            // The region and the script make no difference here: "pt-BR" is "pt".
            let main = code.split(['-', '_']).next().unwrap_or_default();
            let three = TWO_LETTERS.iter().find(|(two, _)| *two == main).map_or(main, |(_, three)| three);
            let known = || {
                problem(format!(
                    "{main:?} is no language that can be told; use a code such as \"en\", \"de\" or \"zh\""
                ))
            };
            Lang::from_code(three).ok_or_else(known)
        };
        codes.iter().map(lang).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the text is written in one of the languages, as far as it can be told.
    pub(crate) fn check(&self, text: &str) -> Finding {
        let prose = prose(text);
        let letters: usize =
            prose.chars().filter(|c| c.is_alphabetic()).map(|c| if is_unspaced(c) { 4 } else { 1 }).sum();
        let unclear = Finding::NotApplicable(Skip::TooShort);
        if letters < ENOUGH_TO_PASS {
            return unclear;
        }
        let Some(found) = whatlang::detect(&prose) else { return unclear };
        let lang = found.lang();
        if self.0.contains(&lang) {
            return Finding::Passed;
        }
        let is_relative = RELATIVES
            .iter()
            .any(|family| family.contains(&lang) && self.0.iter().any(|one| family.contains(one)));
        if letters < ENOUGH_TO_FAIL || found.confidence() < SURE || is_relative {
            return unclear;
        }
        Finding::Failed(Reason::WrongLanguage)
    }
}

/// The text's beginning, without code, addresses and tags.
fn prose(text: &str) -> String {
    let mut out = String::new();
    let mut in_fence = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
            continue;
        }
        if in_fence {
            continue;
        }
        // What stands between back-ticks is code: every second part.
        for part in line.split('`').step_by(2) {
            for word in part.split_whitespace() {
                if !word.contains("://") && !word.starts_with('<') {
                    out.push_str(word);
                    out.push(' ');
                }
            }
        }
        if out.len() > 4 * limits::LANGUAGE {
            break;
        }
    }
    match out.char_indices().nth(limits::LANGUAGE) {
        Some((end, _)) => out[..end].to_owned(),
        None => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn languages(codes: &[&str]) -> Languages {
        Languages::new(&codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    const ENGLISH: &str = "The quick brown fox jumps over the lazy dog, and then it goes home to have a long sleep in the warm evening sun, because it had a hard day.";
    const GERMAN: &str = "Der schnelle braune Fuchs springt über den faulen Hund, und dann geht er nach Hause, um in der warmen Abendsonne lange zu schlafen, weil der Tag schwer war.";
    const JAPANESE: &str =
        "素早い茶色の狐は怠け者の犬を飛び越えて、それから家に帰って、暖かい夕日の中で長い間眠りました。";

    #[test]
    fn every_code_is_known() {
        for (two, three) in TWO_LETTERS {
            assert_eq!(Lang::from_code(three).map(|lang| lang.code()), Some(three), "{two}");
            assert_eq!(languages(&[two]).0, [Lang::from_code(three).unwrap()]);
        }
        for lang in Lang::all() {
            assert!(
                *lang == Lang::Cym || TWO_LETTERS.iter().any(|(_, three)| *three == lang.code()),
                "{}",
                lang.code()
            );
        }
        assert_eq!(languages(&["pt-BR", "EN"]).0, [Lang::Por, Lang::Eng]);
        let error = Languages::new(&["klingon".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("language") && error.contains("klingon"), "{error}");
    }

    #[test]
    fn a_language_is_asserted_only_of_enough_text() {
        let (english, german) = (languages(&["en"]), languages(&["de"]));
        assert_eq!(english.check(ENGLISH), Finding::Passed);
        assert_eq!(german.check(GERMAN), Finding::Passed);
        assert_eq!(german.check(ENGLISH), Finding::Failed(Reason::WrongLanguage));
        assert_eq!(english.check(JAPANESE), Finding::Failed(Reason::WrongLanguage));
        assert_eq!(languages(&["ja"]).check(JAPANESE), Finding::Passed);
        assert_eq!(languages(&["de", "en"]).check(ENGLISH), Finding::Passed);
        for text in ["Paris", "", "Ja, gerne!", "42", "```\nlet the_words = of(code);\n```", "OK, c'est bon"]
        {
            assert_eq!(english.check(text), Finding::NotApplicable(Skip::TooShort), "{text}");
        }
        let code = format!("{GERMAN}\n```python\n# {}\n```", ENGLISH.repeat(5));
        assert_eq!(german.check(&code), Finding::Passed, "code says nothing of the language");
    }

    #[test]
    fn a_relative_proves_nothing() {
        let danish = "Den hurtige brune ræv springer over den dovne hund, og så går den hjem for at sove længe i den varme aftensol, fordi den har haft en hård dag.";
        assert_ne!(languages(&["nb"]).check(danish), Finding::Failed(Reason::WrongLanguage));
        assert_eq!(languages(&["en"]).check(danish), Finding::Failed(Reason::WrongLanguage));
    }
}
