//! Numbers in a text.

use std::sync::LazyLock;

use regex::Regex;

use crate::spec::NumberSpec;
use crate::verdict::{Finding, Reason};

// Patterns are fixed: a test compiles them.
#[expect(clippy::expect_used, reason = "a fixed pattern, compiled by every test below")]
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[-+−]?(?:\d[\d.,'’_\u{a0}\u{202f}]*\d|\.?\d)(?:[eE][-+]?\d{1,3})?").expect("a fixed pattern")
});

/// What stands between a number and the scale that it is on.
#[expect(clippy::expect_used, reason = "a fixed pattern, compiled by every test below")]
static SCALE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(?:/|\bout\s+of|\bof|\bvon|\bsur|\bde|\bsu)\s*\**$").expect("a fixed pattern")
});

/// Whether the text is, or holds, a number as asked for.
pub(crate) fn check(text: &str, spec: &NumberSpec) -> Finding {
    let fits = |number: f64| {
        spec.min.is_none_or(|min| number >= min)
            && spec.max.is_none_or(|max| number <= max)
            && (!spec.integer || number.fract() == 0.0)
    };
    let mut found = false;
    if spec.anywhere {
        for number in anywhere(text) {
            found = true;
            if fits(number) {
                return Finding::Passed;
            }
        }
    } else if let Some(number) = alone(text) {
        found = true;
        if fits(number) {
            return Finding::Passed;
        }
    }
    Finding::Failed(if found { Reason::NumberOutOfRange } else { Reason::NoNumber })
}

/// The number that the text is, in quotes, emphasis or with a per cent or currency sign at most.
fn alone(text: &str) -> Option<f64> {
    let is_dress = |c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '*' | '_' | '%' | '$' | '€' | '£' | '¥')
    };
    let text = text.trim_matches(is_dress);
    let text = text.strip_suffix('.').unwrap_or(text).trim_matches(is_dress);
    let found = NUMBER.find(text)?;
    (found.len() == text.len()).then(|| value(text)).flatten()
}

/// All numbers but those of a scale, and but for digits within words.
fn anywhere(text: &str) -> impl Iterator<Item = f64> {
    NUMBER.find_iter(text).filter_map(|found| {
        let before = &text[..found.start()];
        let in_word = |c: char| c.is_alphabetic() || c == '_';
        if before.ends_with(in_word) || text[found.end()..].starts_with(in_word) {
            return None;
        }
        // "87-90" is a range, no negative number.
        let number = found.as_str();
        let number = if before.ends_with(|c: char| c.is_ascii_digit()) {
            number.trim_start_matches(['-', '+', '−'])
        } else {
            number
        };
        // Only the last few bytes can hold what makes it a scale: a match from the start would be quadratic.
        let from =
            (before.len().saturating_sub(24)..=before.len()).find(|at| before.is_char_boundary(*at))?;
        if SCALE.is_match(&before[from..]) {
            return None;
        }
        value(number)
    })
}

/// The value of a number: of `1,234.5`, `1.234,5`, `3,5`, `1'000` and `1_000` too.
fn value(number: &str) -> Option<f64> {
    let mut digits: String =
        number.chars().filter(|c| !matches!(c, '\'' | '’' | '_' | '\u{a0}' | '\u{202f}' | '+')).collect();
    digits = digits.replace('−', "-");
    // `filter` took the exponent's plus too, which is its default.
    let (dots, commas) = (digits.matches('.').count(), digits.matches(',').count());
    let groups = |sign: char| {
        digits.split(sign).skip(1).all(|group| group.bytes().take_while(u8::is_ascii_digit).count() == 3)
    };
    let plain = match (dots, commas) {
        (_, 0) if dots <= 1 => digits,
        (0, 1) if !groups(',') => digits.replace(',', "."),
        (_, 0) => digits.replace('.', ""),
        (0, _) => digits.replace(',', ""),
        _ if digits.rfind('.') > digits.rfind(',') => digits.replace(',', ""),
        _ => digits.replace('.', "").replace(',', "."),
    };
    plain.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERCENT: NumberSpec =
        NumberSpec { min: Some(0.0), max: Some(100.0), integer: false, anywhere: false };

    #[test]
    fn a_number_alone_may_be_dressed_and_nothing_else_stands_beside_it() {
        for (text, finding) in [
            ("87", Finding::Passed),
            (" **87%**\n", Finding::Passed),
            ("87.", Finding::Passed),
            (".5", Finding::Passed),
            ("0", Finding::Passed),
            ("1e1", Finding::Passed),
            ("3,5", Finding::Passed),
            ("101", Finding::Failed(Reason::NumberOutOfRange)),
            ("-1", Finding::Failed(Reason::NumberOutOfRange)),
            ("−1", Finding::Failed(Reason::NumberOutOfRange)),
            ("1,000", Finding::Failed(Reason::NumberOutOfRange)),
            ("Score: 87", Finding::Failed(Reason::NoNumber)),
            ("87/100", Finding::Failed(Reason::NoNumber)),
            ("", Finding::Failed(Reason::NoNumber)),
            ("eighty", Finding::Failed(Reason::NoNumber)),
            ("NaN", Finding::Failed(Reason::NoNumber)),
            ("inf", Finding::Failed(Reason::NoNumber)),
        ] {
            assert_eq!(check(text, &PERCENT), finding, "{text}");
        }
    }

    #[test]
    fn a_number_among_words_is_found_and_its_scale_is_none() {
        let spec = NumberSpec { anywhere: true, min: Some(0.0), max: Some(10.0), integer: false };
        for (text, finding) in [
            ("8", Finding::Passed),
            ("8/10", Finding::Passed),
            ("I'd say 8 out of 10.", Finding::Passed),
            ("12/10", Finding::Failed(Reason::NumberOutOfRange)),
            ("12 out of 10", Finding::Failed(Reason::NumberOutOfRange)),
            ("{\"score\": 8}", Finding::Passed),
            ("score=-8", Finding::Failed(Reason::NumberOutOfRange)),
            ("gpt4 is H2O", Finding::Failed(Reason::NoNumber)),
            ("I cannot score this lead.", Finding::Failed(Reason::NoNumber)),
        ] {
            assert_eq!(check(text, &spec), finding, "{text}");
        }
    }

    #[test]
    fn whole_numbers_and_spellings_of_many_countries() {
        let whole = NumberSpec { integer: true, ..NumberSpec::default() };
        assert_eq!(check("3", &whole), Finding::Passed);
        assert_eq!(check("3.0", &whole), Finding::Passed);
        assert_eq!(check("3.5", &whole), Finding::Failed(Reason::NumberOutOfRange));
        for (text, number) in [
            ("1,234.5", 1234.5),
            ("1.234,5", 1234.5),
            ("1.234.567", 1_234_567.0),
            ("1,234,567", 1_234_567.0),
            ("1'000", 1000.0),
            ("1\u{a0}000", 1000.0),
            ("2.5e+3", 2500.0),
        ] {
            assert_eq!(value(text), Some(number), "{text}");
        }
        assert_eq!(value("1e999"), None);
    }
}
