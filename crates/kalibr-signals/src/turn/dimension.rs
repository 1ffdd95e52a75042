//! What a rejection finds fault with, where its words tell.
//!
//! A list of phrases, in the languages that the classifier was taught; the dimension that most of them speak of, and
//! none where two are even.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::Dimension::{self, Completeness, Content, Factuality, Format, Length, Tone};
use super::fold::{Script, script};

/// Phrases as the reader of words writes them: lower case, no accents, no apostrophes.
#[rustfmt::skip]
const PHRASES: [(Dimension, &[&str]); 6] = [
    (Length, &[
        "too long", "too short", "shorter", "longer", "too wordy", "wordy", "verbose", "too brief", "too much text",
        "word limit", "line limit", "words", "sentences", "lines", "concise", "shorten", "tl dr", "all that", "lengthy",
        "zu lang", "zu kurz", "kurzer", "langer", "trop long", "trop court", "raccourcis", "plus court", "demasiado largo",
        "muy largo", "muy corto", "larguisimo", "mas corto", "muito longo", "longo demais", "curto", "comprido", "troppo lungo",
        "troppo corto", "lunghissimo", "accorcia", "te lang", "te kort", "korter", "za dlugie", "za krotkie", "слишком длинно",
        "слишком коротко", "короче", "cok uzun", "cok kisa", "太长", "太短", "長すぎ", "短すぎ", "너무 길", "너무 짧", "طويل جدا",
        "قصير جدا", "बहुत लंबा", "बहुत छोटा",
    ]),
    (Tone, &[
        "formal", "informal", "casual", "rude", "robot", "robotic", "tone", "salesy", "aggressive", "cheesy", "dramatic",
        "sound like me", "sounds like ai", "patronising", "patronizing", "condescending", "polite", "friendly", "formlich",
        "locker", "roboter", "ton", "familier", "formel", "tono", "formale", "confidenziale", "formeel", "informeel", "toon",
        "formalne", "robota", "формально", "робот", "тон", "resmi", "正式", "机器人", "语气", "堅すぎ", "ロボット", "딱딱", "로봇",
        "말투", "رسمي", "روبوت", "औपचारिक", "रोबोट",
    ]),
    (Format, &[
        "table", "json", "bullet", "bullets", "bullet points", "list", "format", "formatting", "formatted", "markdown",
        "only the code", "code only", "no explanations", "indentation", "csv", "in english", "in french", "in german",
        "in spanish", "tabelle", "auf deutsch", "tableau", "en francais", "tabla", "en espanol", "tabela", "em portugues",
        "tabella", "in italiano", "tabel", "in het nederlands", "tabele", "po polsku", "таблицу", "на русском", "tablo",
        "turkce", "表格", "用中文", "表に", "日本語で", "표를", "한국어로", "جدولا", "بالعربيه", "तालिका", "हिंदी में",
    ]),
    (Completeness, &[
        "incomplete", "you forgot", "you missed", "left out", "cut off", "missing", "the rest", "half of it", "only did",
        "stopped in the middle", "full code", "complete code", "you skipped", "didnt include", "did not include",
        "you removed", "you dropped", "dropped it", "fehlt", "vergessen", "unvollstandig", "manque", "oublie", "incomplet",
        "falta", "te olvidaste", "olvidaste", "incompleto", "esqueceu", "faltou", "manca", "dimenticato", "ontbreekt",
        "vergeten", "onvolledig", "brakuje", "zapomniales", "niekompletne", "не хватает", "забыл", "неполный", "eksik",
        "unuttun", "漏了", "少了", "不完整", "足りない", "忘れて", "빠졌", "빼먹", "ناقص", "نسيت", "गायब", "भूल",
    ]),
    (Factuality, &[
        "wrong", "incorrect", "not true", "false", "made up", "made that up", "making things up", "hallucinating",
        "hallucinated", "does not exist", "doesnt exist", "outdated", "inaccurate", "not correct", "not right", "isnt right",
        "lie", "lied", "mistake", "error", "errors", "exception", "doesnt work", "does not work", "didnt work", "not working",
        "still fails", "bug", "broken", "crashes", "doesnt compile", "does not compile", "falsch", "stimmt nicht",
        "stimmen nicht", "ausgedacht", "funktioniert nicht", "fehler", "faux", "invente", "incorrect", "marche pas",
        "fonctionne pas", "falso", "falsos", "incorrecto", "inventaste", "no funciona", "errado", "errados", "incorreto",
        "inventou", "nao funciona", "sbagliato", "sbagliati", "inventato", "non funziona", "fout", "onjuist", "verzonnen",
        "klopt niet", "kloppen niet", "werkt niet", "bledne", "zmysliles", "nie dziala", "неправда", "неправильно", "неверно",
        "неверные", "выдумал", "не работает", "yanlis", "uydurdun", "calismiyor", "错", "不对", "编的", "間違", "嘘", "違い",
        "틀렸", "지어낸", "안 돼", "خطا", "غير صحيح", "غير صحيحه", "اخترعت", "لا يعمل", "गलत", "मनगढ़ंत",
    ]),
    (Content, &[
        "not what i", "isnt what i", "wasnt what i", "didnt ask", "did not ask", "not my question", "my question",
        "off topic", "irrelevant", "missed the point", "missing the point", "misses the point", "nothing to do with",
        "too generic", "too vague", "misunderstood", "i asked about", "different topic", "i said", "ignored", "am thema vorbei",
        "nicht das was ich", "meinte ich nicht", "nicht gemeint", "hors sujet", "rien a voir", "pas ce que", "nada que ver",
        "no es lo que", "al caso", "nada a ver", "nao e isso", "fugiu do assunto", "fuori tema", "non centra", "non e quello",
        "naast de kwestie", "niet wat ik", "nie na temat", "nie o to", "не по теме", "не то", "не об этом", "konuyla",
        "bunu sormadim", "istedigim bu degil", "跑题", "不是我想要", "不是这个", "答非所问", "話がずれ", "頼んだもの", "주제", "물어본 게 아",
        "خارج الموضوع", "ليس هذا ما", "विषय से", "यह नहीं पूछा", "यह नहीं चाहिए",
    ]),
];

/// How many phrases there are.
const COUNT: usize = {
    let (mut count, mut i) = (0, 0);
    while i < PHRASES.len() {
        count += PHRASES[i].1.len();
        i += 1;
    }
    count
};

/// Finds all phrases in one pass. They are few and short, so it can always be built.
static SEARCH: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::new(PHRASES.iter().flat_map(|(_, phrases)| *phrases)).ok());

/// Which phrases need no space around them.
static RUNNING: LazyLock<Vec<bool>> = LazyLock::new(|| {
    let running = |phrase: &&str| phrase.chars().any(|c| script(c) == Script::Running);
    PHRASES.iter().flat_map(|(_, phrases)| *phrases).map(running).collect()
});

/// More characters of words than these are not searched.
const LOOK: usize = 600;

/// The first words of a message, each between spaces.
pub(super) fn said<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::from(" ");
    for word in words {
        text.push_str(word);
        text.push(' ');
        if text.len() > LOOK {
            break;
        }
    }
    text
}

/// What a rejection in these words finds fault with; `error` says that it came with a pasted error.
pub(super) fn dimension(text: &str, error: bool) -> Option<Dimension> {
    let mut said = [false; COUNT];
    for found in SEARCH.iter().flat_map(|search| search.find_overlapping_iter(text)) {
        let whole = || text[..found.start()].ends_with(' ') && text[found.end()..].starts_with(' ');
        let at = found.pattern().as_usize();
        said[at] |= RUNNING[at] || whole();
    }
    let mut places = said.iter();
    let votes = PHRASES.map(|(dimension, phrases)| {
        let said = places.by_ref().take(phrases.len()).filter(|said| **said).count();
        (said + usize::from(error && dimension == Factuality), dimension)
    });
    let most = votes.iter().map(|vote| vote.0).max().filter(|&most| most > 0)?;
    let mut first = votes.iter().filter(|vote| vote.0 == most);
    // "Wrong" is said of anything: beside a word that says what is wrong it tells nothing.
    let special = votes.iter().filter(|vote| vote.0 > 0 && vote.1 != Factuality).max_by_key(|vote| vote.0);
    match (first.next(), first.next()) {
        (Some(vote), None) if vote.1 != Factuality || special.is_none() || error => Some(vote.1),
        (Some(a), Some(b)) if first.next().is_none() && (a.1 == Factuality || b.1 == Factuality) => {
            Some(if a.1 == Factuality { b.1 } else { a.1 })
        }
        (Some(_), None) => special.map(|vote| vote.1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Dimension> {
        dimension(&said(text.split(' ')), false)
    }

    #[test]
    fn a_complaint_says_what_it_is_about() {
        for (text, about) in [
            ("this is way too long", Some(Length)),
            ("das ist viel zu lang", Some(Length)),
            ("太长了", Some(Length)),
            ("it sounds too formal", Some(Tone)),
            ("i wanted a table", Some(Format)),
            ("wrong format", Some(Format)),
            ("you forgot the second part", Some(Completeness)),
            ("thats not true", Some(Factuality)),
            ("i didnt ask for that", Some(Content)),
            ("bad", None),
        ] {
            assert_eq!(of(text), about, "{text}");
        }
        assert_eq!(dimension(&said(std::iter::empty()), true), Some(Factuality));
    }
}
