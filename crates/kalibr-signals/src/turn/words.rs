//! From prose to clauses of plain words.

use super::fold;

/// A stretch of words that no punctuation divides.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Clause {
    /// Lower-case words without apostrophes: people type "dont" as often as "don't".
    pub(super) words: Vec<String>,
    /// Which sentence of the message it belongs to.
    pub(super) sentence: usize,
    /// It ends in a question mark.
    pub(super) question: bool,
    /// A colon of the same sentence stands ahead of it.
    pub(super) after_colon: bool,
    /// A quotation or code stands right before or after it.
    pub(super) beside_quotation: bool,
}

/// Two quotation marks further apart than this are rather two lone ones. It also bounds the search for the second.
const MAX_QUOTATION: usize = 300;

/// Words that turn against what was said before them.
pub(super) const CONTRASTS: [&str; 8] =
    ["but", "however", "though", "although", "except", "yet", "unfortunately", "sadly"];

/// The clauses of the first `max_chars` characters of `message`.
///
/// Code between backticks, text between quotation marks and quoted lines are left out: they are not the user's verdict,
/// and `fix` in a commit message is no complaint.
pub(super) fn clauses(message: &str, max_chars: usize) -> Vec<Clause> {
    let mut reader = Reader::default();
    let mut chars = message.chars().take(max_chars).peekable();
    let mut line_start = true;
    let mut last = ' ';
    while let Some(c) = chars.next() {
        let before = std::mem::replace(&mut last, c);
        if line_start && c == '>' {
            while chars.next_if(|&c| c != '\n').is_some() {}
            continue;
        }
        line_start = c == '\n' || (line_start && c.is_whitespace());
        match c {
            '\'' | '\u{2018}' if !before.is_alphanumeric() => {
                let mut ahead = chars.clone();
                if skip_single(&mut ahead) {
                    reader.quotation();
                    chars = ahead;
                }
            }
            '\'' | '\u{2019}' | '\u{2018}' => {}
            '👍' | '👎' => {
                reader.end_word();
                reader.word.push(c);
                reader.end_word();
            }
            _ if fold::in_word(c) => fold::push(&mut reader.word, c),
            '`' | '"' | '\u{201c}' | '«' | '„' | '「' | '『' => {
                reader.end_clause(false);
                let close = match c {
                    '\u{201c}' => '\u{201d}',
                    '«' => '»',
                    '„' => '\u{201c}',
                    '「' => '」',
                    '『' => '』',
                    _ => c,
                };
                // A mark that is never closed opens nothing: reading on costs less than losing the whole message.
                let mut ahead = chars.clone();
                let mut width = 1;
                if c == '`' {
                    while ahead.next_if_eq(&'`').is_some() {
                        width += 1;
                    }
                }
                let reach = if width > 1 { max_chars } else { MAX_QUOTATION };
                if skip_past(ahead.by_ref().take(reach), close, width) {
                    reader.quotation();
                    chars = ahead;
                } else if width > 1 {
                    // A block of code that goes on to the end.
                    break;
                }
            }
            // A dot within a name or a number ("main.py", "3.5") ends nothing.
            '.' if chars.peek().is_some_and(|next| next.is_alphanumeric()) => reader.end_word(),
            '.' | '!' | '\n' | '…' | '。' | '！' | '।' | '॥' => reader.end_sentence(false),
            '?' | '？' | '؟' => reader.end_sentence(true),
            ':' | '：' => {
                reader.end_clause(false);
                reader.colon = true;
            }
            ',' | ';' | '(' | ')' | '—' | '–' | '，' | '、' | '；' | '،' | '؛' => {
                reader.end_clause(false);
            }
            '-' if chars.peek().is_none_or(|next| next.is_whitespace()) => reader.end_clause(false),
            _ => reader.end_word(),
        }
    }
    reader.end_sentence(false);
    reader.clauses
}

/// Moves past `width` marks in a row; false when there are none.
///
/// Double quotes must close on their own line: a lone inch mark or a typing slip would otherwise swallow a message.
fn skip_past(chars: impl Iterator<Item = char>, mark: char, width: usize) -> bool {
    let mut run = 0;
    for c in chars {
        run = if c == mark { run + 1 } else { 0 };
        if run == width {
            return true;
        }
        if c == '\n' && width < 3 {
            return false;
        }
    }
    false
}

/// Moves past a single quotation mark that closes on the same line, behind a letter or a point and before no letter;
/// false when there is none. An apostrophe within a word closes nothing.
fn skip_single(chars: &mut std::iter::Peekable<impl Iterator<Item = char>>) -> bool {
    let mut last = ' ';
    for _ in 0..MAX_QUOTATION {
        let Some(c) = chars.next() else { return false };
        let closes = matches!(c, '\'' | '\u{2019}')
            && !last.is_whitespace()
            && chars.peek().is_none_or(|next| !next.is_alphanumeric());
        if closes || c == '\n' {
            return closes;
        }
        last = c;
    }
    false
}

#[derive(Default)]
struct Reader {
    clauses: Vec<Clause>,
    clause: Clause,
    word: String,
    sentence: usize,
    colon: bool,
    quoted: bool,
}

impl Reader {
    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.word);
        if CONTRASTS.contains(&word.as_str()) {
            self.end_clause(false);
        }
        self.clause.words.push(word);
    }

    fn end_clause(&mut self, question: bool) {
        self.end_word();
        if self.clause.words.is_empty() {
            return;
        }
        let words = std::mem::take(&mut self.clause.words);
        let beside_quotation = std::mem::take(&mut self.quoted);
        self.clauses.push(Clause {
            words,
            sentence: self.sentence,
            question,
            after_colon: self.colon,
            beside_quotation,
        });
    }

    fn quotation(&mut self) {
        self.end_clause(false);
        if let Some(last) = self.clauses.last_mut() {
            last.beside_quotation = true;
        }
        self.quoted = true;
    }

    fn end_sentence(&mut self, question: bool) {
        self.end_clause(question);
        self.sentence += 1;
        self.colon = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &str) -> Vec<String> {
        clauses(message, 4_000).iter().map(|clause| clause.words.join(" ")).collect()
    }

    #[test]
    fn words_are_lower_case_and_lose_their_apostrophes() {
        assert_eq!(read("It DOESN'T work, don\u{2019}t ask"), ["it doesnt work", "dont ask"]);
        assert_eq!(read("ÉTÉ ÜBER"), ["ete uber"]);
    }

    #[test]
    fn punctuation_and_contrast_end_a_clause_but_a_dot_in_a_name_does_not() {
        assert_eq!(read("good but slow. see main.py 3.5!"), ["good", "but slow", "see main py 3 5"]);
        assert_eq!(read("well-known - yes"), ["well known", "yes"]);
        let sentences: Vec<_> = clauses("a, b. c", 9).iter().map(|clause| clause.sentence).collect();
        assert_eq!(sentences, [0, 0, 1]);
    }

    #[test]
    fn only_the_clause_before_a_question_mark_is_a_question() {
        let questions: Vec<_> = clauses("so, is it? yes", 99).iter().map(|clause| clause.question).collect();
        assert_eq!(questions, [false, true, false]);
    }

    #[test]
    fn code_and_quotations_are_not_read() {
        assert_eq!(read("run `fix wrong` now"), ["run", "now"]);
        assert_eq!(read("see ```\nwrong\n``` here"), ["see", "here"]);
        assert_eq!(read("he said \"this is wrong\" loudly"), ["he said", "loudly"]);
        assert_eq!(read("> this is wrong\nwhy"), ["why"]);
        assert_eq!(read("he said 'this is wrong' loudly"), ["he said", "loudly"]);
        assert_eq!(read("il dit « c'est faux » ici"), ["il dit", "ici"]);
        assert_eq!(read("it isn't 'em, don't"), ["it isnt em", "dont"]);
        assert_eq!(read("look: ```\nwrong"), ["look"]);
        assert_eq!(read("a 5\" disk"), ["a 5", "disk"]);
    }

    #[test]
    fn no_more_is_read_than_was_allowed() {
        assert_eq!(clauses(&"a ".repeat(100_000), 10)[0].words.len(), 5);
    }
}
