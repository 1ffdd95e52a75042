//! In which language a text is written, as far as letters and a few small words tell.

/// Languages that make a bucket of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// English, and whatever cannot be told.
    English,
    Chinese,
    Japanese,
    Korean,
    Cyrillic,
    Arabic,
    Indic,
    Latin,
    Other,
}

/// How much a character of Chinese, Japanese or Korean counts against one Latin letter: it is about half a word.
const DENSE: u32 = 3;

/// Counts of letters by script, and of small words.
#[derive(Debug, Default)]
pub(super) struct Letters {
    pub(super) latin: u32,
    /// Latin letters with marks (é, ß, ø): English has next to none.
    marked: u32,
    han: u32,
    kana: u32,
    hangul: u32,
    cyrillic: u32,
    arabic: u32,
    indic: u32,
    other: u32,
    /// Small words of English.
    pub(super) english_words: u32,
    /// Small words of other languages in Latin script that English does not have.
    pub(super) foreign_words: u32,
}

impl Letters {
    /// Counts a character beyond ASCII. Signs, emoji, punctuation and the letters of formulas (π, ∑) count nothing.
    pub(super) fn see(&mut self, c: char) {
        let count = match c as u32 {
            0xC0..=0x24F | 0x1E00..=0x1EFF if !matches!(c, '×' | '÷') => &mut self.marked,
            0x400..=0x52F => &mut self.cyrillic,
            0x600..=0x6FF | 0x750..=0x77F | 0xFB50..=0xFDFF | 0xFE70..=0xFEFE => &mut self.arabic,
            0x900..=0xD7F => &mut self.indic,
            0x3040..=0x30FF | 0xFF66..=0xFF9D => &mut self.kana,
            0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0x2_0000..=0x3_FFFF => &mut self.han,
            0x1100..=0x11FF | 0x3130..=0x318F | 0xAC00..=0xD7AF => &mut self.hangul,
            0x370..=0x3FF | 0x530..=0x5FF | 0xD80..=0x10FF | 0x1200..=0x1FFF => &mut self.other,
            _ => return,
        };
        *count += 1;
    }

    /// The language that most of the text is in. A few foreign words in an English sentence are something to talk
    /// about, not the language of the talk.
    pub(super) fn language(&self) -> Language {
        let latin = self.latin + self.marked;
        let scripts = [
            (Language::Chinese, (self.han + self.kana) * DENSE),
            (Language::Korean, self.hangul * DENSE),
            (Language::Cyrillic, self.cyrillic),
            (Language::Arabic, self.arabic),
            (Language::Indic, self.indic),
            (Language::Other, self.other),
        ];
        let (script, most) = scripts
            .into_iter()
            .fold((Language::English, 0), |best, one| if one.1 > best.1 { one } else { best });
        // Latin letters come along in names, code and units; so half as many of the others make the language.
        if most >= 3 && most * 2 > latin {
            // Japanese is written with kana between Han characters, Chinese never is.
            return if script == Language::Chinese && self.kana * 8 > self.han {
                Language::Japanese
            } else {
                script
            };
        }
        let foreign = self.foreign_words * 2 + self.marked.min(self.foreign_words * 2 + 2);
        if foreign >= 4 && foreign > self.english_words * 2 { Language::Latin } else { Language::English }
    }
}
