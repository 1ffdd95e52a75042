//! Names, births and streets, where a rule can tell them. Nothing here has a checksum or a form of its own: it takes a
//! word beside it ("my name is", "Dear Mr", "born", "Street"), and what has none stays in the text.

use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::detector::{Detector, How, cue, cued, whole};
use super::entity::Entity;

pub(super) const DETECTORS: &[Detector] = &[
    Detector { entity: Entity::Name, needs: b"", how: How::Pattern(INTRODUCED, introduced) },
    Detector { entity: Entity::Name, needs: b"", how: How::Pattern(TITLED, titled) },
    Detector { entity: Entity::Name, needs: b"", how: How::Pattern(SIGNED, signed) },
    Detector { entity: Entity::Name, needs: b"", how: How::Pattern(NAMED_CJK, whole) },
    Detector { entity: Entity::BirthDate, needs: b"0", how: How::Pattern(DATE, birth) },
    Detector { entity: Entity::Address, needs: b"0", how: How::Pattern(STREET_EN, whole) },
    Detector { entity: Entity::Address, needs: b"0", how: How::Pattern(STREET_AFTER, whole) },
    Detector { entity: Entity::Address, needs: b"0", how: How::Pattern(STREET_BEFORE, whole) },
    Detector { entity: Entity::Address, needs: b"0", how: How::Pattern(BOX, whole) },
];

/// What comes before a name that somebody gives, up to the name; the candidate is the place where it begins.
const INTRODUCED: &str = concat!(
    r"(?:\b(?i:my (?:full |first |last |legal |real |sur)?name(?: is|'s|:)|name is|i am called|(?:you can |just |please )?call me|named|known as",
    r"|(?:full |first |last |sur|customer |patient |client |account ?holder |cardholder |contact )name ?(?:is|:|=)|name:|account holder:|patient:|customer:|attn:?|signed,?",
    r"|mein name ist|ich hei(?:ss|\xC3\x9F)e|je m'appelle|mon nom est|me llamo|mi nombre es|mi chiamo|il mio nome (?:e|\xC3\xA8)|(?:o )?meu nome (?:e|\xC3\xA9)|me chamo|mijn naam is|ik heet|nazywam si(?:e|\xC4\x99)|mam na imi(?:e|\xC4\x99)|jag heter|adim|benim ad(?:i|\xC4\xB1)m)",
    r"|\xD0\xBC\xD0\xB5\xD0\xBD\xD1\x8F \xD0\xB7\xD0\xBE\xD0\xB2\xD1\x83\xD1\x82|\b(?:[Tt]his is|[Hh]ere is|I am|I'm|it's|It's|[Ii]ch bin|[Jj]e suis|[Ss]oy|[Ss]ono|[Ss]ou)) (?P<it>[A-Z\xC3-\xDF][^\s,;:!?()\x00])"
);
/// A title or a greeting that a name follows.
const TITLED: &str = r"(?:\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Frau|Madame|Monsieur|Mme|Mlle|Sr|Sra|Srta|Se(?:n|\xC3\xB1)ora?|Don|Do(?:n|\xC3\xB1)a|Signora?|Sig|Dott|Senhora?|Mevrouw|Meneer|Pan|Pani|Sir|Dame|Lord|Lady|Reverend|Rev|Dear|Hi|Hello|Hey|Hallo|Liebe|Lieber|Bonjour|Hola|Estimad[oa]|Querid[oa]|Cher|Ch(?:e|\xC3\xA8)re|Caro|Cara|Gentile|Beste|Geachte)\b[.,]?) (?P<it>[A-Z\xC3-\xDF][^\s,;:!?()\x00])";
/// The line after a farewell.
const SIGNED: &str = r"(?i:\b(?:(?:kind|best|warm|warmest) (?:regards|wishes)|regards|sincerely(?: yours)?|yours (?:sincerely|faithfully|truly)|best|cheers|many thanks|thanks|thank you|mit freundlichen gr(?:u|\xC3\xBC)(?:ss|\xC3\x9F)en|viele gr(?:u|\xC3\xBC)(?:ss|\xC3\x9F)e|lg|mfg|cordialement|saludos|atentamente|cordiali saluti|atenciosamente|groeten|met vriendelijke groet)) ?[,.!]?\s{0,2}\n\s{0,3}[-\xE2\x80\x93]{0,3} ?(?P<it>[A-Z\xC3-\xDF][^\s,;:!?()\x00])";
/// Chinese, Japanese, Korean: the two to four characters after the word for name.
const NAMED_CJK: &str = r"(?:\xE6\x88\x91\xE5\x8F\xAB|\xE6\x88\x91\xE7\x9A\x84\xE5\x90\x8D\xE5\xAD\x97\xE6\x98\xAF|\xE5\xA7\x93\xE5\x90\x8D(?::|\xEF\xBC\x9A)|\xEC\xA0\x9C \xEC\x9D\xB4\xEB\xA6\x84\xEC\x9D\x80 |\xE7\xA7\x81\xE3\x81\xAE\xE5\x90\x8D\xE5\x89\x8D\xE3\x81\xAF) ?(?P<it>(?:[\xE4-\xED][\x80-\xBF][\x80-\xBF]){2,4})";

/// Dates as people write them.
const DATE: &str = concat!(
    r"(?i)\b(?:[0-9]{1,2}[./ -][0-9]{1,2}[./ -](?:[0-9]{4}|[0-9]{2})|[0-9]{4}[./-][0-9]{1,2}[./-][0-9]{1,2}|[0-9]{4}(?:\xE5\xB9\xB4)[0-9]{1,2}(?:\xE6\x9C\x88)[0-9]{1,2}(?:\xE6\x97\xA5)",
    r"|(?:[0-9]{1,2}(?:st|nd|rd|th|\.|er)? ?(?:of |de |-)?(?:jan|feb|f(?:e|\xC3\xA9)v|mar|m(?:a|\xC3\xA4)r|apr|avr|abr|mai|may|jun|jui|jul|aug|ao(?:u|\xC3\xBB)|ago|sep|set|oct|okt|out|ott|nov|dec|dez|d(?:e|\xC3\xA9)c|dic|gen|ene|mag|giu|lug)[a-z]{0,7}\.?,?(?: de | |-)?[0-9]{2,4}",
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? [0-9]{1,2}(?:st|nd|rd|th)?,? [0-9]{4}))\b"
);

/// Numbers before streets: 221b Baker Street, Flat 3; 1600 Pennsylvania Ave NW, Washington, DC 20500.
const STREET_EN: &str = concat!(
    r"\b(?:(?:Apt|Apartment|Flat|Unit|Suite|Studio|Ste)\.? ?#?[0-9]{1,5}[A-Za-z]?,? )?[0-9]{1,6}[A-Za-z]?(?:-[0-9]{1,4})? (?:(?:N|S|E|W|NE|NW|SE|SW|North|South|East|West)\.? )?(?:[A-Z0-9][A-Za-z0-9'.-]{0,24} ){1,4}",
    r"(?:Street|St|Avenue|Ave|Av|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Ter|Way|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Close|Crescent|Cres|Gardens|Grove|Mews|Row|Alley|Trail|Trl|Walk|Hill|Broadway|Loop|Plaza|Ridge|Point|Path|Pike|Quay)\b\.?",
    r"(?: (?:N|S|E|W|NE|NW|SE|SW)\b\.?)?(?:,? (?:Apt|Apartment|Flat|Unit|Suite|Ste|Floor|Fl|Room|Rm|#)\.? ?#?[0-9A-Za-z-]{1,6})?",
    r"(?:,?[ \n](?:[A-Z][A-Za-z'.-]{1,24}[ ]?){1,3},? (?:[A-Z]{2}|[A-Z][a-z]{3,14}),? [0-9]{5}(?:-[0-9]{4})?|,[ \n](?:[A-Z][A-Za-z'.-]{1,24} ?){1,3},? [A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2})?"
);
/// Names of streets with their kind at the end, number after: Hauptstra\u{df}e 5, 10115 Berlin; Kerkstraat 12.
const STREET_AFTER: &str = concat!(
    r"\b(?:[A-Z\xC3][a-z\x80-\xBF\xC3]{0,24}[ -]){0,3}[A-Z\xC3][A-Za-z\x80-\xBF\xC3-]{1,30}(?:stra(?:ss|\xC3\x9F)e|str\.|weg|platz|allee|gasse|ring|ufer|damm|straat|laan|plein|gracht|kade|gatan|v(?:a|\xC3\xA4)gen|gata|vej|gade|katu|tie|veien|(?: |-)(?:Stra(?:ss|\xC3\x9F)e|Str\.|Weg|Platz|Allee|Ring|Ufer|Damm)) [0-9]{1,4} ?[a-zA-Z]?\b",
    r"(?:(?:, ?|\n)(?:[A-Z]{1,2}-)?[0-9]{4,5}(?: ?[A-Z]{2})? [A-Z\xC3][A-Za-z\x80-\xBF\xC3-]{1,24}(?: [A-Z\xC3][A-Za-z\x80-\xBF\xC3-]{1,24}){0,2})?"
);
/// Kinds of streets that stand before the name.
macro_rules! kinds {
    () => {
        r"[Rr]ue|[Aa]venue|[Bb]oulevard|[Aa]ll(?:e|\xC3\xA9)e|[Ii]mpasse|[Qq]uai|[Cc]hemin|[Cc]alle|[Aa]venida|[Aa]vda\.?|[Aa]v\.|[Pp]aseo|[Pp]laza|Camino|[Rr]ua|[Tt]ravessa|[Pp]ra(?:c|\xC3\xA7)a|[Ee]strada|[Aa]lameda|[Uu]l\.|[Uu]lica|[Aa]l\.|[Oo]s\."
    };
}
/// The name after it, with its particles.
macro_rules! street {
    () => {
        r" ?(?:(?:de|du|des|del|della|dei|da|do|dos|das|la|le|les|los|las|di|san|santa|saint|sainte|st)[ -]|l'|d'){0,3}[A-Z\xC3][A-Za-z\x80-\xBF\xC3'-]{1,24}(?: (?:(?:de|du|des|del|della|da|do|dos|la|y|e) ){0,2}[A-Z\xC3][A-Za-z\x80-\xBF\xC3'-]{1,24}){0,3}"
    };
}
/// Kinds of streets before names: 12 rue de la Paix, 75002 Paris; Calle Mayor 3; Via Roma, 7; ul. Prosta 20.
const STREET_BEFORE: &str = concat!(
    r"(?:\b[0-9]{1,4}(?: ?(?:bis|ter))?,? (?:",
    kinds!(),
    r")",
    street!(),
    r"|\b(?:",
    kinds!(),
    r"|C/|Via|Viale|Piazza|Corso|Largo|Vicolo|Strada|Ronda)",
    street!(),
    r",? (?:n\.? ?(?:o|\xC2\xBA)?\.? ?)?[0-9]{1,4}[a-zA-Z]?(?:/[0-9]{1,4})?\b)",
    r"(?:(?:, ?|\n)(?:[0-9]{2}-[0-9]{3}|[0-9]{4,5}(?:-[0-9]{3})?) [A-Z\xC3][A-Za-z\x80-\xBF\xC3-]{1,24}(?:[ -][A-Z\xC3][A-Za-z\x80-\xBF\xC3-]{1,24}){0,2})?"
);
/// Post boxes and what follows them.
const BOX: &str = r"\b(?i:p\.? ?o\.? ?box|postfach|bo(?:i|\xC3\xAE)te postale|apartado(?: de correos)?|caixa postal|casella postale|postbus|skrytka pocztowa) [0-9]{1,7}\b(?:,? (?:[A-Z][A-Za-z'.-]{1,24},? ?){1,3}(?:[A-Z]{2} )?[0-9]{5}(?:-[0-9]{4})?)?";

/// Words that begin with a capital and are no names: they follow the same words as names do.
const NOT_NAMES: &str = " i the a an and but or so if is in on at to for of my your our their this that these those there here it he she we you they \
    what who when where why how not no yes ok okay all everyone everybody team sir madam there folks guys friend friends customer support service \
    january february march april may june july august september october november december monday tuesday wednesday thursday friday saturday sunday \
    english german french spanish italian american british european chinese japanese indian python rust java javascript typescript google microsoft apple amazon \
    openai claude chatgpt gpt api http https json xml html css sql linux windows mac ios android world claude siri alexa copilot assistant bot ai llm god \
    new good great sorry glad happy sure just very going trying looking using working writing also still now currently from with about dr mr mrs ms \
    sehr geehrte geehrter damen herren zusammen alle todos tous toutes hiring professor president chatbot christian muslim jewish hindu buddhist catholic lord lady ";

/// At most so many words are one name.
const WORDS: usize = 4;

/// The name that begins here: words with capitals, initials, and the particles between them.
fn name(text: &str, start: usize) -> Option<Range<usize>> {
    let mut end = start;
    let mut words = 0;
    let mut at = start;
    while words < WORDS {
        let rest = &text[at..];
        let length = rest
            .find(|char: char| !(char.is_alphabetic() || matches!(char, '\'' | '-')))
            .unwrap_or(rest.len());
        let word = rest[..length].trim_end_matches(['\'', '-']);
        let word = word.strip_suffix("'s").unwrap_or(word);
        let capital = word.chars().next().is_some_and(char::is_uppercase);
        let particle = words > 0
            && matches!(
                word,
                "de" | "van"
                    | "von"
                    | "der"
                    | "den"
                    | "da"
                    | "di"
                    | "la"
                    | "le"
                    | "al"
                    | "bin"
                    | "ibn"
                    | "del"
                    | "dos"
                    | "du"
                    | "y"
            );
        let lower = word.to_lowercase();
        if !capital && !particle || lower.starts_with("i'") || NOT_NAMES.contains(&format!(" {lower} ")) {
            break;
        }
        // SHOUTED words are acronyms unless all is shouted; a single letter is an initial only among others.
        let shouted = word.len() > 4 && words == 0 && word.chars().all(char::is_uppercase) && word.is_ascii();
        if shouted && word.len() > 12 {
            break;
        }
        words += usize::from(capital);
        at += word.len();
        if capital {
            end = at;
        }
        // "J. Smith", "Ada, please": a dot ends a word only if it is an initial or a title.
        if text[at..].starts_with('.')
            && (word.chars().count() == 1 || matches!(word, "Mr" | "Dr" | "St" | "Jr"))
        {
            at += 1;
        }
        let Some(next) = text[at..].strip_prefix(' ') else { break };
        at = text.len() - next.len();
    }
    (text[start..end].chars().count() >= 2).then_some(start..end)
}

/// Up to the next word that begins with a capital: "My name is Ada". After "I am" and the like only two words, or one that a
/// comma or the end follows, are a name; "I am Dutch" and "This is Rust" are not.
fn introduced(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let found = name(text, range.start)?;
    let lead = text[..range.start].trim_end();
    let weak = [
        "This is", "this is", "Here is", "here is", "I am", "I'm", "it's", "It's", "ich bin", "Ich bin",
        "je suis", "Je suis", "soy", "Soy", "sono", "Sono", "sou", "Sou",
    ]
    .iter()
    .any(|words| lead.ends_with(words) && !lead.ends_with("name is"));
    if !weak {
        return Some(found);
    }
    let words = text[found.clone()].split_whitespace().count();
    let after = &text[found.end..];
    let and = [" and ", " from ", " here", " calling", " speaking", " und ", " y "]
        .iter()
        .any(|word| after.starts_with(word));
    (words == 2 || words == 3 || and || after.starts_with(',') && words == 1).then_some(found)
}

fn titled(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let found = name(text, range.start)?;
    let lead = text[..range.start].trim_end().trim_end_matches([',', '.']);
    let greeting = [
        "Hi", "Hello", "Hey", "Hallo", "Dear", "Don", "Pan", "Cara", "Caro", "Beste", "Lord", "Lady", "Hola",
    ]
    .iter()
    .any(|word| lead.ends_with(word));
    // "Hello World Program", "Dear Customer Service": a greeting is to a name that something ends.
    let ends = text[found.end..]
        .chars()
        .next()
        .is_none_or(|char| matches!(char, ',' | '!' | '.' | '\n' | '-' | ':' | '\0'));
    let words = text[found.clone()].split_whitespace().count();
    (!greeting || ends && words <= 3).then_some(found)
}

/// A line with one to three words that are a name.
fn signed(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let found = name(text, range.start)?;
    let ends = matches!(text[found.end..].chars().next(), None | Some('\n' | '\r' | ',' | '.' | '\0'));
    ends.then_some(found)
}

static BIRTH: LazyLock<Regex> = LazyLock::new(|| {
    cue(concat!(
        "born|date of birth|birth date|birthdate|birthday|dob|d\\.o\\.b|birth",
        "|geboren|geburtsdatum|geburtstag|geb\\.?|n(?:e|é)(?:e|é)?e? le|date de naissance|naissance|nac(?:i|í)|nacid[oa]|fecha de nacimiento|nacimiento",
        "|nat[oa]|data di nascita|nascita|nascid[oa]|data de nascimento|nascimento|geboortedatum|urodzon[ya]|data urodzenia|f(?:o|ö)dd|fødselsdato|syntym(?:a|ä)aika|do(?:g|ğ)um"
    ))
});

static BIRTH_ELSEWHERE: LazyLock<Regex> = LazyLock::new(|| {
    let words = "生日|出生|生年月日|생년월일|родил|рожд|जन्म|ميلاد";
    regex::bytes::RegexBuilder::new(words).unicode(false).build().expect("a test compiles all patterns")
});

fn birth(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    (cued(text, range.start, &BIRTH) || cued(text, range.start, &BIRTH_ELSEWHERE)).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::super::redact;
    use super::super::tests::none_of;

    fn becomes(pairs: &[(&str, &str)]) {
        for (text, expected) in pairs {
            assert_eq!(redact(text).text, *expected);
        }
    }

    #[test]
    fn names_beside_words_that_tell() {
        becomes(&[
            ("My name is Ada Lovelace and I write.", "My name is [NAME] and I write."),
            ("my name is José García-López", "my name is [NAME]"),
            ("Dear Mr. Babbage,\nthanks", "Dear Mr. [NAME],\nthanks"),
            ("Dear Ada,", "Dear [NAME],"),
            ("Hi, I'm Ada Lovelace, a writer", "Hi, I'm [NAME], a writer"),
            ("Best regards,\nAda Lovelace", "Best regards,\n[NAME]"),
            ("Ich heiße Jürgen Müller", "Ich heiße [NAME]"),
            ("please ask Dr. J. van der Berg", "please ask Dr. [NAME]"),
            ("меня зовут Иван Петров", "меня зовут [NAME]"),
            ("我叫王小明，", "我叫[NAME]，"),
        ]);
    }

    #[test]
    fn what_follows_such_words_and_is_no_name_stays() {
        none_of(&[
            "I am Dutch.",
            "I'm using Python",
            "This is Rust code",
            "Hello World program",
            "Dear Customer Service,",
            "Dear Sir or Madam,",
            "Thanks\n\nBut it fails",
            "my name is not important",
        ]);
    }

    #[test]
    fn births_need_their_word() {
        becomes(&[
            ("born on 12 March 1984 in Rome", "born on [BIRTH_DATE] in Rome"),
            ("DOB: 03/12/1984", "DOB: [BIRTH_DATE]"),
            ("geboren am 3.12.1984", "geboren am [BIRTH_DATE]"),
            ("fecha de nacimiento: 1984-12-03", "fecha de nacimiento: [BIRTH_DATE]"),
            ("the release of 12 March 1984", "the release of 12 March 1984"),
        ]);
    }

    #[test]
    fn streets_with_their_number() {
        becomes(&[
            ("I live at 221b Baker Street, London.", "I live at [ADDRESS], London."),
            ("1600 Pennsylvania Ave NW, Washington, DC 20500", "[ADDRESS]"),
            ("Unter den Linden, Hauptstraße 5, 10115 Berlin!", "Unter den Linden, [ADDRESS]!"),
            ("au 12 rue de la Paix, 75002 Paris", "au [ADDRESS]"),
            ("Calle Mayor 3", "[ADDRESS]"),
            ("PO Box 123", "[ADDRESS]"),
        ]);
        none_of(&["3 Easy Steps To Do", "via Python 3", "the ring 5"]);
    }
}
