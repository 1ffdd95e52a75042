//! What a text is compared by: its tokens.
//!
//! A token is a word (letters, digits and `_`, in lower case), a single sign, or, in scripts that set no space between
//! words (Chinese, Japanese, Thai and their neighbours), a single character. White space is none: reflowed text and
//! re-indented code are unchanged.

/// Calls `each` with every token of `text`, in order.
///
/// ```
/// let mut tokens = Vec::new();
/// kalibr_signals::tokens::for_each("Don't: x_1 += 你好", |token| tokens.push(token.to_owned()));
/// assert_eq!(tokens, ["don", "'", "t", ":", "x_1", "+", "=", "你", "好"]);
/// ```
pub fn for_each(text: &str, mut each: impl FnMut(&str)) {
    let mut word = String::new();
    let mut sign = [0; 4];
    for c in text.chars() {
        if is_part_of_word(c) {
            if c.is_ascii() {
                word.push(c.to_ascii_lowercase());
            } else {
                word.extend(c.to_lowercase());
            }
            continue;
        }
        if !word.is_empty() {
            each(&word);
            word.clear();
        }
        if !c.is_whitespace() && !c.is_control() {
            each(c.encode_utf8(&mut sign));
        }
    }
    if !word.is_empty() {
        each(&word);
    }
}

fn is_part_of_word(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    !is_unspaced(c) && (c.is_alphanumeric() || is_mark(c))
}

/// A letter of a script that sets no space between words.
fn is_unspaced(c: char) -> bool {
    matches!(c as u32,
        0xE00..=0xEFF | 0x1000..=0x109F | 0x1780..=0x17FF // Thai, Lao, Burmese, Khmer
        | 0x3040..=0x30FF | 0x31F0..=0x31FF | 0xFF66..=0xFF9D // kana
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF) // Chinese characters
}

/// A sign that belongs to the letter before it, and that Unicode counts as no letter itself.
fn is_mark(c: char) -> bool {
    match c as u32 {
        0x964 | 0x965 => false,
        code => matches!(code,
            0x300..=0x36F | 0x483..=0x487 | 0x591..=0x5C7 | 0x610..=0x61A | 0x64B..=0x65F | 0x900..=0xDFF
            | 0x200C | 0x200D | 0xFE00..=0xFE0F),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        for_each(text, |token| tokens.push(token.to_owned()));
        tokens
    }

    #[test]
    fn words_keep_their_marks_and_lose_their_case() {
        assert_eq!(tokens("Écrire ÇA"), ["écrire", "ça"]);
        assert_eq!(tokens("e\u{301}te\u{301}"), ["e\u{301}te\u{301}"]);
        assert_eq!(tokens("नमस्ते दुनिया।"), ["नमस्ते", "दुनिया", "।"]);
        assert_eq!(tokens("안녕하세요 세계"), ["안녕하세요", "세계"]);
    }

    #[test]
    fn scripts_without_spaces_go_by_the_character() {
        assert_eq!(tokens("我爱GPT模型。"), ["我", "爱", "gpt", "模", "型", "。"]);
        assert_eq!(tokens("カタ かな"), ["カ", "タ", "か", "な"]);
        assert_eq!(tokens("ดี").len(), 2);
    }

    #[test]
    fn white_space_is_no_token_and_every_other_sign_is_one() {
        assert_eq!(tokens(" \t\r\n\u{3000}\u{0}"), Vec::<String>::new());
        assert_eq!(tokens("a->b();\n"), ["a", "-", ">", "b", "(", ")", ";"]);
        assert_eq!(tokens("👍!"), ["👍", "!"]);
    }
}
