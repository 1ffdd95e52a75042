//! Numbers that a state gave to a person: which there are, and what it takes to call a number one.
//!
//! A check digit alone says little: one in ten or eleven numbers of the right length passes. So what a number has to
//! show depends on how much its form shows ([`Proof`]), and a plain run of digits with one check digit counts only beside
//! a word that says what it is.

mod americas;
mod asia;
mod europe;

use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::detector::{Detector, How, after, alphanumerics, before, cue, cued};
use super::entity::Entity;

/// What a number needs beside its checksum.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing: form and checks together are hardly met by chance (less than one number of this length in fifty).
    Itself,
    /// One of the ways to write it that have separators, or a word.
    Written,
    /// A word that says that it is an identity, tax or insurance number.
    Word,
}

/// One kind of number.
pub(super) struct Id {
    /// Whose it is, for tests and readers.
    #[cfg_attr(not(test), expect(dead_code, reason = "it tells the rows apart"))]
    pub name: &'static str,
    /// Its letters and digits, without separators: `9` a digit, `A` a letter, `*` either.
    pub form: &'static [&'static str],
    /// The same with the separators that people use. Others are read only beside a word.
    pub written: &'static [&'static str],
    pub proof: Proof,
    /// Right, given its capitals and digits.
    pub valid: fn(&[u8]) -> bool,
}

pub(super) const DETECTORS: &[Detector] = &[
    Detector {
        entity: Entity::Ssn,
        needs: b"0",
        how: How::Pattern(r"\b[0-9]{3}[ .-]?[0-9]{2}[ .-]?[0-9]{4}\b", ssn),
    },
    Detector {
        entity: Entity::NationalId,
        needs: b"0",
        how: How::Pattern(r"\b[A-Za-z]{0,6}[0-9](?:[ ./()+-]{0,2}[A-Za-z0-9]){6,21}", national),
    },
];

const TABLES: [&[Id]; 3] = [europe::IDS, americas::IDS, asia::IDS];

static SSN: LazyLock<Regex> = LazyLock::new(|| cue("ssn|ssns|social|social security|itin|tin|taxpayer"));

/// Words for identity, tax and insurance numbers, in the languages of the states that give them.
static ID: LazyLock<Regex> = LazyLock::new(|| {
    cue(concat!(
        "national id|national identity|identity|identity number|identity card|id card|id number|id no|personal id|personal number|personal code",
        "|citizen|citizen service|citizenship|tax|tax id|taxpayer|tin|tfn|vat|insurance|social|social security|social insurance|ni number|nino|nhs|health|medicare|patient",
        "|ssn|sin|passport|my id|his id|her id|their id|client id|id is|identification",
        "|bsn|burgerservicenummer|sofinummer|steuer|steuer-?id|idnr|steueridentifikationsnummer|steuernummer|identifikationsnummer|sozialversicherung|sozialversicherungsnummer|svnr|rentenversicherung|rentenversicherungsnummer|versicherungsnummer|ahv|ahv-?nr|avs",
        "|dni|nie|nif|nuss|documento|identidad|identificaci(?:o|ó)n|c(?:e|é)dula|curp|rfc|cuit|cuil|rut|run|seguridad social",
        "|codice fiscale|cf|c\\.f|nir|insee|num(?:e|é)ro de s(?:e|é)curit(?:e|é) sociale|s(?:e|é)curit(?:e|é) sociale|s(?:e|é)cu|num(?:e|é)ro fiscal|niss|registre national|registro nacional|rijksregister|rijksregisternummer|nationaal nummer",
        "|pesel|nip|regon|dow(?:o|ó)d|rodn(?:e|é) (?:c|č)(?:i|í)slo|cnp|egn|oib|jmbg|emso|amka|afm|personnummer|samordningsnummer|f(?:o|ø)dselsnummer|fnr|cpr|cpr-?nummer|hetu|henkil(?:o|ö)tunnus|kennitala|isikukood|asmens kodas|personas kods",
        "|cpf|cnpj|contribuinte|n(?:u|ú)mero de contribuinte|cidad(?:a|ã)o|cart(?:a|ã)o de cidad(?:a|ã)o|aadhaar|aadhar|uidai|uid|pan|pan card|permanent account|nric|fin|hkid|mynumber|my number card|individual number|teudat zehut|tc|tckn|t\\.c|tc kimlik|kimlik|kimlik no|nik|ktp",
        "|pps|ppsn|utr|snils|inn|rrn|resident|resident registration|umid|philhealth|thai id"
    ))
});

/// The same in scripts whose words have no edges in ASCII.
static ID_ELSEWHERE: LazyLock<Regex> = LazyLock::new(|| {
    let words = "身份证|身分證|證號|证号|主民登録|주민등록|주민번호|マイナンバー|個人番号|आधार|ИНН|СНИЛС|паспорт|РНОКПП|ІПН|ЕГН|תעודת זהות|ת\\.ז|الهوية|บัตรประชาชน|ΑΦΜ|ΑΜΚΑ|TCKN|T\\.C\\.";
    regex::bytes::RegexBuilder::new(words).unicode(false).build().expect("a test compiles all patterns")
});

/// The Social Security Administration's rules since 2011: no area 000, 666 or above 899, no group 00, no serial 0000.
/// Above 899 it is a taxpayer's number (ITIN), whose groups are limited.
fn ssn(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let it = &text[range.clone()];
    let number = alphanumerics(it);
    let (area, group, serial) = (value(&number[..3]), value(&number[3..5]), value(&number[5..]));
    let itin = area >= 900 && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99);
    let valid = area != 0 && area != 666 && (area < 900 || itin) && group != 0 && serial != 0;
    let separators: Vec<u8> = it.bytes().filter(|byte| !byte.is_ascii_digit()).collect();
    let proven = separators == b"--" || cued(text, range.start, &SSN);
    (valid && !joined(text, &range) && proven).then_some(range)
}

/// A part of something longer: of a UUID, a path, a decimal, a name in code.
fn joined(text: &str, range: &Range<usize>) -> bool {
    matches!(before(text, range.start), b'-' | b'.' | b'+' | b'_' | b'/' | b'#' | b'$')
        || matches!(after(text, range.end), b'-' | b'_' | b'/' | b'+')
        || matches!(after(text, range.end), b'.' | b':') && after(text, range.end + 1).is_ascii_alphanumeric()
}

/// The longest beginning of a candidate, up to the end of a group, that is a number of the tables.
fn national(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let word = LazyLock::new(|| cued(text, range.start, &ID) || cued(text, range.start, &ID_ELSEWHERE));
    let ends = (range.start + 8..=range.end).rev().filter(|end| {
        let last = bytes[end - 1];
        let next = after(text, *end);
        last.is_ascii_alphanumeric() && !next.is_ascii_alphanumeric()
    });
    for end in ends {
        // "A123456(3)": the bracket is part of it.
        let bracket = after(text, end) == b')' && text[range.start..end].contains('(');
        let part = range.start..end + usize::from(bracket);
        if joined(text, &part) {
            continue;
        }
        let it = &text[part.clone()];
        let characters = alphanumerics(it);
        let plain = it.len() == characters.len();
        let proven = |id: &Id| {
            let written = id.written.iter().any(|form| has_form(form, it.as_bytes()));
            match id.proof {
                Proof::Itself => plain || written,
                Proof::Written => written,
                Proof::Word => false,
            }
        };
        let proven = |id: &Id| proven(id) || tidy(it) && *word;
        let fits = |id: &Id| id.form.iter().any(|form| has_form(form, &characters));
        let is = |id: &Id| fits(id) && (id.valid)(&characters) && proven(id);
        if TABLES.into_iter().flatten().any(is) {
            return Some(part);
        }
    }
    None
}

fn has_form(form: &str, text: &[u8]) -> bool {
    form.len() == text.len()
        && form.bytes().zip(text).all(|(wanted, is)| match wanted {
            b'9' => is.is_ascii_digit(),
            b'A' => is.is_ascii_alphabetic(),
            b'*' => is.is_ascii_alphanumeric(),
            other => other == is.to_ascii_uppercase(),
        })
}

/// Written as one thing: not a list of single digits, at most one kind of separator beside spaces and a slash.
fn tidy(text: &str) -> bool {
    let groups: Vec<&str> =
        text.split(|char: char| !char.is_ascii_alphanumeric()).filter(|group| !group.is_empty()).collect();
    let single = groups.iter().filter(|group| group.len() == 1).count();
    let all = groups.iter().all(|group| *group == groups[0]);
    groups.len() <= 8 && single <= 3 && (groups.len() == 1 || !all)
}

/// The number that digits in ASCII say; letters count nothing.
fn value(digits: &[u8]) -> u32 {
    digits
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .fold(0, |value, digit| value.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')))
}

/// The digits of a number as numbers.
fn numbers(characters: &[u8]) -> Vec<u8> {
    characters.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0').collect()
}

/// Two digits of a month and two of a day, somewhere in a number.
fn date_at(characters: &[u8], month: usize, day: usize) -> bool {
    let two = |at: usize| value(&characters[at..at + 2]) as u8;
    super::checksum::date(two(month), two(day))
}

/// Not one digit all over.
fn varied(characters: &[u8]) -> bool {
    characters.iter().any(|character| *character != characters[0])
}

#[cfg(test)]
mod tests {
    use super::super::redact;
    use super::super::tests::{all_of, none_of};
    use super::*;

    #[test]
    fn social_security_numbers() {
        all_of(Entity::Ssn, &["219-09-9999", "078-05-1120", "912-70-1234"]);
        assert_eq!(redact("SSN: 219099999").text, "SSN: [SSN]");
        assert_eq!(redact("social security number 219 09 9999").text, "social security number [SSN]");
        none_of(&["000-12-3456", "666-12-3456", "123-00-4567", "123-45-0000", "219099999", "1-219-09-9999"]);
    }

    #[test]
    fn numbers_that_prove_themselves_need_no_word() {
        all_of(
            Entity::NationalId,
            &[
                "12345678Z",
                "X1234567L",
                "RSSMRA85T10A562S",
                "1 51 02 46 102 043 25",
                "131052-308T",
                "11010519491231002X",
                "S1234567D",
                "A123456(3)",
                "123.456.789-09",
                "11.222.333/0001-81",
                "756.9217.0769.85",
            ],
        );
    }

    #[test]
    fn weak_numbers_need_a_word() {
        for (word, number) in [
            ("BSN", "111222333"),
            ("Steuer-ID", "86095742719"),
            ("NHS number", "9434765919"),
            ("Aadhaar", "999999990019"),
        ] {
            assert_eq!(redact(&format!("{word}: {number}")).text, format!("{word}: [NATIONAL_ID]"));
            none_of(&[number]);
        }
    }

    #[test]
    fn no_name_comes_twice_and_every_form_has_a_digit() {
        let names: std::collections::BTreeSet<_> = TABLES.into_iter().flatten().map(|id| id.name).collect();
        assert_eq!(names.len(), TABLES.iter().map(|table| table.len()).sum::<usize>());
        assert!(
            TABLES
                .into_iter()
                .flatten()
                .flat_map(|id| id.form)
                .all(|form| form.contains('9') || form.contains('*'))
        );
    }
}
