//! What is read off a text: its length, its words, its normal spelling.

use crate::spec::Span;
use crate::verdict::{Finding, Reason};

/// A name as it is compared: without letter case, quotes, emphasis, back-ticks, brackets around it, and a closing full
/// stop; `-`, `_` and white space are one space.
pub(crate) fn normal(text: &str) -> String {
    let around = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '"' | '\''
                    | '`'
                    | '*'
                    | '_'
                    | '~'
                    | '.'
                    | '。'
                    | '“'
                    | '”'
                    | '‘'
                    | '’'
                    | '«'
                    | '»'
                    | '„'
                    | '「'
                    | '」'
            )
    };
    let mut out = String::with_capacity(text.len().min(256));
    let mut gap = false;
    for c in text.trim_matches(around).chars() {
        if c.is_whitespace() || matches!(c, '-' | '_') {
            gap = true;
            continue;
        }
        if std::mem::take(&mut gap) && !out.is_empty() {
            out.push(' ');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// Whether the text, which may be long, is one of the names.
pub(crate) fn is_one_of(text: &str, names: &[String]) -> Finding {
    let longest = names.iter().map(String::len).max().unwrap_or(0);
    // Lower case and dropped signs make a text shorter or longer by a factor, never by this one.
    if text.trim().len() > 16 * longest + 256 {
        return Finding::Failed(Reason::NotALabel);
    }
    Finding::unless(!names.contains(&normal(text)), Reason::NotALabel)
}

/// Whether so many are in the span.
pub(crate) fn within(count: u64, span: Span) -> Finding {
    if span.min.is_some_and(|min| count < min) {
        Finding::Failed(Reason::TooShort)
    } else {
        Finding::unless(span.max.is_some_and(|max| count > max), Reason::TooLong)
    }
}

/// How many words a text has: runs of letters, digits and what belongs to them, and single characters of scripts that set
/// no space between words.
pub(crate) fn words(text: &str) -> u64 {
    let mut count = 0;
    for_each_word(text, |_| count += 1);
    count
}

/// Calls `each` with every word of `text`, in lower case, in order.
pub(crate) fn for_each_word(text: &str, mut each: impl FnMut(&str)) {
    let mut word = String::new();
    let mut letter = [0; 4];
    for c in text.chars() {
        if is_unspaced(c) {
            if !word.is_empty() {
                each(&word);
                word.clear();
            }
            if c.is_alphanumeric() {
                each(c.encode_utf8(&mut letter));
            }
        } else if c.is_alphanumeric() || matches!(c, '\'' | '’' | '\u{300}'..='\u{36F}') && !word.is_empty()
        {
            word.extend(c.to_lowercase());
        } else if !word.is_empty() {
            each(&word);
            word.clear();
        }
    }
    if !word.is_empty() {
        each(&word);
    }
}

/// A letter of a script that sets no space between words: Thai and its neighbours, kana, Chinese characters.
pub(crate) const fn is_unspaced(c: char) -> bool {
    matches!(c as u32,
        0xE00..=0xEFF | 0x1000..=0x109F | 0x1780..=0x17FF
        | 0x3040..=0x30FF | 0x31F0..=0x31FF | 0xFF66..=0xFF9D
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_however_it_is_dressed() {
        for text in [
            "not_spam",
            "Not spam",
            "**Not Spam.**",
            "\"NOT-SPAM\"",
            " `not  spam`\n",
            "“not spam”",
            "_not_spam_",
        ] {
            assert_eq!(normal(text), "not spam", "{text}");
        }
        assert_eq!(normal("C++"), "c++");
        assert_eq!(normal("-1"), "1", "a label of signs is told by its letters");
        assert_eq!(normal("..."), "");
        assert_eq!(normal("ΟΔΌΣ"), normal("οδόσ"));
    }

    #[test]
    fn a_label_stands_alone() {
        let labels = [normal("spam"), normal("not_spam")];
        for (text, passes) in
            [("spam", true), ("Not spam.", true), ("spam, I think", false), ("spam spam", false), ("", false)]
        {
            assert_eq!(is_one_of(text, &labels) == Finding::Passed, passes, "{text}");
        }
        assert_eq!(is_one_of(&"spam ".repeat(100_000), &labels), Finding::Failed(Reason::NotALabel));
    }

    #[test]
    fn words_are_counted_in_all_scripts() {
        for (text, count) in [
            ("", 0),
            ("Paris", 1),
            ("- one\n- two, three.", 3),
            ("don't stop", 2),
            ("x = 1", 2),
            ("你好,世界", 4),
            ("日本語 and English", 5),
            ("e\u{301}te\u{301} là", 2),
            ("'", 0),
        ] {
            assert_eq!(words(text), count, "{text}");
        }
    }
}
