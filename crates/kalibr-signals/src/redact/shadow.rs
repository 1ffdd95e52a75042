//! A text rewritten for the detectors, with the way back.
//!
//! A card number does not stop being one because its digits are full-width, its spaces do not break, or something
//! invisible stands between them. Rather than teach that to each pattern, the text is read through a shadow in which such
//! characters are plain ASCII. Placeholders become [`BARRIER`], so that nothing is found in them or across them.

use std::borrow::Cow;
use std::ops::Range;

use super::entity::Entity;

/// Stands for a placeholder. No pattern matches it; a text's own are left out like other control characters.
pub(super) const BARRIER: char = '\0';

/// Where scripts' digits begin, ten in a row each (Unicode 16, category Nd), in order.
const ZEROS: [u32; 38] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6,
    0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0,
    0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x1FBF0,
];

/// A text as the detectors read it.
pub(super) struct Shadow<'a> {
    /// The rewritten text.
    pub text: Cow<'a, str>,
    /// For each byte of it, and for its end, where its character begins in the original; `None` if they are the same.
    origin: Option<Vec<usize>>,
}

impl<'a> Shadow<'a> {
    pub(super) fn of(original: &'a str) -> Self {
        let plain = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'Z' | b'\\'..=b'~');
        if original.bytes().all(plain) {
            return Self { text: Cow::Borrowed(original), origin: None };
        }
        let mut text = String::with_capacity(original.len());
        let mut origin = Vec::with_capacity(original.len() + 1);
        let mut at = 0;
        while let Some(char) = original[at..].chars().next() {
            let placeholder = if char == '[' { placeholder(&original[at..]) } else { None };
            if let Some(read) = placeholder.map_or_else(|| reads_as(char), |_| Some(BARRIER)) {
                text.push(read);
                origin.resize(text.len(), at);
            }
            at += placeholder.unwrap_or(char.len_utf8());
        }
        origin.push(original.len());
        Self { text: Cow::Owned(text), origin: Some(origin) }
    }

    /// The range of the original that a range of the shadow came from, widened to whole characters.
    pub(super) fn original(&self, range: &Range<usize>) -> Range<usize> {
        let Some(origin) = &self.origin else { return range.clone() };
        origin[range.start]..origin[self.text.ceil_char_boundary(range.end)]
    }
}

fn placeholder(text: &str) -> Option<usize> {
    Entity::ALL.into_iter().map(Entity::placeholder).find(|name| text.starts_with(name)).map(str::len)
}

fn reads_as(char: char) -> Option<char> {
    if char.is_ascii() {
        return (!char.is_ascii_control() || matches!(char, '\t' | '\n' | '\r')).then_some(char);
    }
    match char {
        // Invisible: soft hyphen, combining marks, joiners, directions, variation selectors, keycap, byte order, tags.
        '\u{80}'..='\u{84}'
        | '\u{86}'..='\u{9F}'
        | '\u{AD}'
        | '\u{300}'..='\u{36F}'
        | '\u{61C}'
        | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{20DD}'..='\u{20F0}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}'
        | '\u{E0000}'..='\u{E0FFF}' => None,
        '\u{85}' | '\u{2028}' | '\u{2029}' => Some('\n'),
        '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' => Some('-'),
        '\u{2018}' | '\u{2019}' | '\u{201B}' => Some('\''),
        '\u{201C}'..='\u{201F}' => Some('"'),
        '\u{2024}' | '\u{FE52}' => Some('.'),
        '\u{2044}' | '\u{2215}' => Some('/'),
        '\u{FE6B}' => Some('@'),
        '\u{FE62}' => Some('+'),
        '\u{FE55}' => Some(':'),
        // Mathematical digits: five styles of ten.
        '\u{1D7CE}'..='\u{1D7FF}' => digit((char as u32 - 0x1D7CE) % 10),
        _ if char.is_whitespace() => Some(' '),
        _ => {
            let code = char as u32;
            let below = ZEROS.partition_point(|zero| *zero <= code);
            match below.checked_sub(1).map(|at| code - ZEROS[at]) {
                Some(value @ 0..=9) => digit(value),
                // Full-width forms of ASCII.
                _ if (0xFF01..=0xFF5E).contains(&code) => char::from_u32(code - 0xFEE0),
                _ => Some(char),
            }
        }
    }
}

fn digit(value: u32) -> Option<char> {
    char::from_digit(value, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        Shadow::of(text).text.into_owned()
    }

    #[test]
    fn digits_of_all_scripts_read_as_ascii() {
        assert_eq!(read("４１１１ ٤١١١ ۴۱۱۱ ४१११ 𝟒𝟙𝟷𝟣"), "4111 4111 4111 4111 4111");
        assert_eq!(read("４1\u{200B}1\u{FE0F}\u{20E3}1"), "4111");
        assert!(ZEROS.is_sorted());
    }

    #[test]
    fn odd_spaces_dashes_and_signs_read_as_plain_ones() {
        assert_eq!(read("a\u{A0}b\u{2009}c\u{3000}d\u{2011}e\u{2013}f＠g．h"), "a b c d-e-f@g.h");
    }

    #[test]
    fn a_placeholder_is_a_barrier_and_a_barrier_of_the_text_is_not() {
        assert_eq!(read("a [EMAIL] b\0c [OTHER]"), "a \0 bc [OTHER]");
    }

    #[test]
    fn ranges_lead_back_to_whole_characters() {
        let text = "é １２\u{200B}３ [IP] x";
        let shadow = Shadow::of(text);
        let at = shadow.text.find("123").unwrap_or_default();
        assert_eq!(&text[shadow.original(&(at..at + 3))], "１２\u{200B}３");
        let end = shadow.text.len();
        assert_eq!(&text[shadow.original(&(end - 1..end))], "x");
        assert_eq!(&text[shadow.original(&(0..1))], "é");
    }
}
