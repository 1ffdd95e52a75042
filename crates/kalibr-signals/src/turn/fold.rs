//! Letters as people type them: without case, accents, or the several code points that one letter may have.
//!
//! Who writes "genial" for "génial" or "cok iyi" for "çok iyi" says the same, so both are read as one word. The table is
//! by hand: a normaliser of all of Unicode is a hundred times as large, and more than reading a verdict needs.

/// How the words of a script are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    /// Words stand between spaces.
    Spaced,
    /// Words run on (Chinese, Japanese, Thai), or carry endings that say half of it (Korean): read by characters.
    Running,
}

/// The script of a letter.
pub(super) fn script(c: char) -> Script {
    match c {
        '\u{0e00}'..='\u{0eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Burmese
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3040}'..='\u{30ff}' // kana
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' // Chinese characters
        | '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{ac00}'..='\u{d7af}' // Hangul
        => Script::Running,
        _ => Script::Spaced,
    }
}

/// Whether a character belongs to a word. Unlike Unicode's letters this holds the marks that Indic and Thai words are
/// written with.
pub(super) fn in_word(c: char) -> bool {
    c.is_alphanumeric() || is_mark(c)
}

fn is_mark(c: char) -> bool {
    matches!(
        c,
        '\u{0300}'..='\u{036f}' | '\u{064b}'..='\u{0652}' | '\u{0640}' | '\u{0670}' | '\u{0900}'..='\u{0963}'
        | '\u{0e31}'..='\u{0e4e}' | '\u{3099}' | '\u{309a}' | '\u{200c}' | '\u{200d}' | '\u{fe0f}'
    )
}

/// Writes a letter of a word as it is read.
pub(super) fn push(word: &mut String, c: char) {
    if c.is_ascii() {
        word.push(c.to_ascii_lowercase());
        return;
    }
    match c {
        // Accents that stand alone, Arabic vowel signs and stretching, joiners.
        '\u{0300}'..='\u{036f}'
        | '\u{064b}'..='\u{0652}'
        | '\u{0640}'
        | '\u{0670}'
        | '\u{200c}'
        | '\u{200d}'
        | '\u{fe0f}' => {}
        'ß' | 'ẞ' => word.push_str("ss"),
        'æ' | 'Æ' => word.push_str("ae"),
        'œ' | 'Œ' => word.push_str("oe"),
        'İ' => word.push('i'),
        // Letters and digits in full width.
        '\u{ff01}'..='\u{ff5e}' => {
            let plain = char::from_u32(c as u32 - 0xfee0).unwrap_or(c);
            word.push(plain.to_ascii_lowercase());
        }
        'أ' | 'إ' | 'آ' | 'ٱ' => word.push('ا'),
        'ى' | 'ئ' | 'ی' => word.push('ي'),
        'ة' => word.push('ه'),
        'ؤ' => word.push('و'),
        'ک' => word.push('ك'),
        _ => c.to_lowercase().for_each(|c| word.push(bare(c))),
    }
}

/// A Latin or Cyrillic lower-case letter without its accent.
fn bare(c: char) -> char {
    match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' | 'ả' | 'ạ' => 'a',
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => 'c',
        'ď' | 'đ' | 'ð' => 'd',
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => 'e',
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => 'g',
        'ì' | 'í' | 'î' | 'ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => 'i',
        'ĺ' | 'ļ' | 'ľ' | 'ł' => 'l',
        'ñ' | 'ń' | 'ņ' | 'ň' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => 'o',
        'ŕ' | 'ŗ' | 'ř' => 'r',
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => 's',
        'ţ' | 'ť' | 'ŧ' | 'ț' => 't',
        'ù' | 'ú' | 'û' | 'ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => 'u',
        'ý' | 'ÿ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        'ё' => 'е',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        let mut word = String::new();
        text.chars().for_each(|c| push(&mut word, c));
        word
    }

    #[test]
    fn a_word_reads_the_same_with_and_without_its_accents() {
        for (typed, read) in [
            ("GÉNIAL", "genial"),
            ("Größe", "grosse"),
            ("çok", "cok"),
            ("İyi", "iyi"),
            ("źle", "zle"),
            ("Ещё", "еще"),
            ("não", "nao"),
            ("e\u{301}te\u{301}", "ete"),
            ("ＯＫ", "ok"),
            ("مُمْتَاز", "ممتاز"),
            ("إجابة", "اجابه"),
        ] {
            assert_eq!(folded(typed), read);
        }
    }

    #[test]
    fn an_indic_word_keeps_its_marks_and_is_one_word() {
        assert!("धन्यवाद".chars().all(in_word));
        assert_eq!(folded("धन्यवाद"), "धन्यवाद");
        assert!("ขอบคุณค่ะ".chars().all(in_word));
    }
}
