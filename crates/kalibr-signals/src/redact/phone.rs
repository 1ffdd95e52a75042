//! Telephone numbers.
//!
//! The `phonenumber` crate checks numbers against all numbering plans, but it cannot find one in a text, it brings 30
//! crates with it and a megabyte of tables, and a number that was mistyped by a digit is as personal as a right one. So
//! the rules here are those a reader uses: a plus and a country's code with as many digits as it has; a way to write that
//! only telephone numbers have; or any plausible run of digits beside a word for telephone.

use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::checksum::date;
use super::detector::{Detector, How, after, before, cue, cued, digits};
use super::entity::Entity;

pub(super) const DETECTORS: &[Detector] = &[Detector {
    entity: Entity::Phone,
    needs: b"0",
    how: How::Pattern(r"(?:tel:)?(?P<it>(?:\(\+|\+\(|\+|\()?[0-9](?:[ ()./-]{0,3}[0-9]){6,18})", phone),
}];

/// Words beside which a run of digits is a telephone number.
static PHONE: LazyLock<Regex> = LazyLock::new(|| {
    cue(concat!(
        "phone|phones|telephone|tel|mobile|mob|cell|cellphone|call|calls|called|calling|ring|dial|text|sms|fax|whatsapp|telegram|signal",
        "|reach|my number|contact number|contact|hotline|landline|callback|voicemail|telefon|telefonnummer|tel\\.?nr|handy|handynummer|mobil|rufnummer",
        "|anruf|anrufen|t(?:é|e)l(?:é|e)phone|portable|appelez|appeler|joindre|num(?:é|e)ro|tel(?:é|e)fono|m(?:ó|o)vil|celular|ll(?:a|á)mame|llamar",
        "|telefone|telem(?:ó|o)vel|ligue|ligar|cellulare|chiama|chiamami|telefoon|telefoonnummer|mobiel|bel|bellen|telefonu|kom(?:ó|o)rka|zadzwo(?:ń|n)|dzwo(?:ń|n)",
        "|numer|telefonnumer|mobilnummer|puhelin|gsm|cep|telefonum|ara|phone no|ph"
    ))
});

/// The same in scripts whose words have no edges in ASCII.
static PHONE_ELSEWHERE: LazyLock<Regex> = LazyLock::new(|| {
    let words = "телефон|звони|номер|тел\\.|电话|電話|手机|手機|携帯|号码|致电|전화|연락처|휴대폰|هاتف|جوال|اتصل|फ़ोन|फोन|मोबाइल|नंबर|τηλ|טלפון|โทร";
    regex::bytes::RegexBuilder::new(words).unicode(false).build().expect("a test compiles all patterns")
});

/// Words beside which it is something else, whatever it looks like.
static OTHER: LazyLock<Regex> = LazyLock::new(|| {
    cue(
        "order|orders|invoice|isbn|issn|ticket|tracking|serial|sku|asin|ean|upc|gtin|reference|ref|case|part|model|id|ids|uuid|commit|doi|patent|version|hash|timestamp|epoch|bestellung|bestellnummer|rechnung|commande|facture|pedido|factura|ordine|fattura|zamówienie|订单|order no|order nr",
    )
});

/// Digits after the code of a country (ITU-T E.164 and the national plans), where not seven to ten.
const COUNTRIES: &str = "1:10-10 7:10-10 20:8-10 27:9-9 30:10-10 31:9-9 32:8-9 33:9-9 34:9-9 36:8-9 39:8-11 40:9-9 41:9-9 \
    43:6-13 44:9-10 45:8-8 46:7-10 47:8-8 48:9-9 49:6-12 51:8-9 52:10-11 53:8-8 54:10-11 55:10-11 56:9-9 57:10-10 \
    58:10-10 60:8-10 61:9-9 62:8-12 63:8-10 64:8-10 65:8-8 66:8-9 81:9-10 82:8-10 84:9-10 86:10-11 90:10-10 91:10-10 \
    92:9-10 93:9-9 94:9-9 95:8-10 98:10-10 358:6-11 353:7-9 351:9-9 420:9-9 421:9-9 380:9-9 852:8-8 886:8-9 971:8-9 \
    972:8-9 966:8-9";

fn phone(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let start = range.start;
    let previous = before(text, start);
    let joined = previous.is_ascii_alphanumeric() && !text[..start].ends_with("tel:")
        || matches!(previous, b'_' | b'$' | b'#' | b'*' | b'^' | b'+')
        || matches!(previous, b'.' | b'-' | b'/' | b',')
            && start > 1
            && before(text, start - 1).is_ascii_alphanumeric();
    if joined {
        return None;
    }
    let cue = cued(text, start, &PHONE) || cued(text, start, &PHONE_ELSEWHERE);
    let other = cued(text, start, &OTHER) && !cue;
    let bytes = text.as_bytes();
    let ends = (start + 7..=range.end).rev().filter(|end| {
        let next = after(text, *end);
        let beyond = after(text, *end + 1);
        bytes[end - 1].is_ascii_digit()
            && (!next.is_ascii_alphanumeric() || extension(text, *end) > 0)
            && next != b'_'
            && next != b'%'
            && !(matches!(next, b'-' | b'.' | b',' | b'/' | b':')
                && beyond.is_ascii_alphanumeric()
                && next != b',')
    });
    for end in ends {
        let part = &text[start..end];
        let open = part.bytes().filter(|byte| *byte == b'(').count();
        let close = part.bytes().filter(|byte| *byte == b')').count();
        if open < close {
            continue;
        }
        // A bracket that is opened before and closed after the number is not its own.
        let part = if open > close { part.trim_start_matches('(') } else { part };
        if open > close && part.contains('(') {
            continue;
        }
        if is_phone(part, cue, other) {
            return Some(end - part.len()..end + extension(text, end));
        }
    }
    None
}

/// How long the extension is that follows: " ext. 12", "x345".
fn extension(text: &str, end: usize) -> usize {
    static EXTENSION: LazyLock<Regex> = LazyLock::new(|| {
        regex::bytes::RegexBuilder::new(
            r"(?i)^ {0,2},? ?(?:x|ext\.?|extension|durchwahl|poste|int\.) {0,2}[0-9]{1,6}\b",
        )
        .unicode(false)
        .build()
        .expect("a test compiles all patterns")
    });
    let to = text.len().min(end + 24);
    EXTENSION.find(&text.as_bytes()[end..to]).map_or(0, |found| found.len())
}

fn is_phone(part: &str, cue: bool, other: bool) -> bool {
    let number = digits(part);
    let groups: Vec<&str> =
        part.split(|char: char| !char.is_ascii_digit()).filter(|group| !group.is_empty()).collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let same = number.iter().all(|digit| *digit == number[0]);
    if same || lengths.iter().skip(1).filter(|length| **length < 2).count() > 1 {
        return false;
    }
    if part.trim_start_matches('(').starts_with('+') {
        return international(&number, part);
    }
    if part.starts_with("00") && (cue || lengths.len() > 1) && international(&number[2..], part) {
        return true;
    }
    if is_date(&lengths, &groups) && !cue || is_dotted(part, &lengths) {
        return false;
    }
    if cue {
        return (7..=13).contains(&number.len());
    }
    if other {
        return false;
    }
    north_american(part, &number, &lengths)
        || trunk(part, &number, &lengths)
        || bracketed(part, &number)
        || by_groups(&number, &lengths, part)
}

/// A country's code, and as many digits as numbers there have; a trunk zero in brackets may stand between.
fn international(number: &[u8], part: &str) -> bool {
    let number: Vec<u8> = match part.find("(0)") {
        Some(at) => {
            let before = digits(&part[..at]).len() - usize::from(part.starts_with("00")) * 2;
            number.iter().enumerate().filter(|(place, _)| *place != before).map(|(_, digit)| *digit).collect()
        }
        None => number.to_vec(),
    };
    if number.first().is_none_or(|digit| *digit == 0) {
        return false;
    }
    for code in [1, 2, 3] {
        let Some((head, rest)) = number.split_at_checked(code) else { return false };
        let head: String = head.iter().map(|digit| char::from(b'0' + digit)).collect();
        let entry = COUNTRIES
            .split_ascii_whitespace()
            .find_map(|entry| entry.strip_prefix(&*head)?.strip_prefix(':'));
        if let Some((least, most)) = entry.and_then(|lengths| lengths.split_once('-')) {
            let bound = |text: &str| text.parse::<usize>().unwrap_or(0);
            // A zero of the national way of writing is often left in.
            let zero = usize::from(rest.first() == Some(&0));
            return (bound(least)..=bound(most) + zero).contains(&rest.len());
        }
        if code == 3 {
            return (6..=11).contains(&rest.len());
        }
    }
    false
}

fn is_date(lengths: &[usize], groups: &[&str]) -> bool {
    let value = |at: usize| groups[at].parse::<u8>().unwrap_or(0);
    match lengths {
        [4, 2, 2, ..] => date(value(1), value(2)),
        [2, 2, 4, ..] => date(value(1), value(0)) || date(value(0), value(1)),
        [8, ..] => groups[0].starts_with("19") || groups[0].starts_with("20"),
        _ => false,
    }
}

/// "0.5 1.25", "3.1415 9.26", "1.234.567": decimals and thousands.
fn is_dotted(part: &str, lengths: &[usize]) -> bool {
    lengths[0] == 1 && part.as_bytes()[1..].first() == Some(&b'.') && !part.starts_with("1.")
        || lengths.len() == 2 && part.contains('.')
}

/// 415-555-2671, (415) 555-2671, 1.415.555.2671 (NANP: neither area nor exchange begins with 0 or 1).
fn north_american(part: &str, number: &[u8], lengths: &[usize]) -> bool {
    let number = match (lengths, number) {
        ([3, 3, 4], _) => number,
        ([1, 3, 3, 4], [1, rest @ ..]) => rest,
        ([3, 7], _) if part.starts_with('(') => number,
        _ => return false,
    };
    number.len() == 10 && number[0] >= 2 && number[3] >= 2
}

/// National numbers with their zero: 030 123456, 06 12 34 56 78, 020 7946 0958, 090-1234-5678, 0171/1234567.
fn trunk(part: &str, number: &[u8], lengths: &[usize]) -> bool {
    let begins = part.trim_start_matches('(').starts_with('0') && number[1] != 0;
    begins
        && lengths.len() >= 2
        && lengths.len() <= 6
        && lengths[0] >= 2
        && (9..=12).contains(&number.len())
        && lengths.iter().skip(1).all(|length| (2..=8).contains(length))
}

/// (11) 91234-5678, 8 (495) 123-45-67.
fn bracketed(part: &str, number: &[u8]) -> bool {
    let Some((head, rest)) = part.split_once('(') else { return false };
    let Some((area, rest)) = rest.split_once(')') else { return false };
    let head = head.trim();
    let plain = area.bytes().all(|byte| byte.is_ascii_digit()) && rest.contains(['-', ' ', '.']);
    plain
        && (head.is_empty() || head == "8" || head == "1")
        && (2..=5).contains(&area.len())
        && (9..=12).contains(&number.len())
}

/// Groups that hardly anything else has.
fn by_groups(number: &[u8], lengths: &[usize], part: &str) -> bool {
    match lengths {
        // Chinese mobile numbers.
        [3, 4, 4] => number[0] == 1 && number[1] >= 3,
        // Russian: 8 912 345-67-89, 8-912-345-67-89.
        [1, 3, 3, 2, 2] => number[0] == 8,
        // Brazilian without brackets: 11 91234-5678.
        [2, 5, 4] => number[2] == 9 && part.contains('-'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::redact;
    use super::super::tests::{all_of, none_of};
    use super::*;

    #[test]
    fn numbers_with_a_country() {
        all_of(
            Entity::Phone,
            &[
                "+14155552671",
                "+1 (415) 555-2671",
                "+44 (0)20 7946 0958",
                "+49 30 901820",
                "+33 6 12 34 56 78",
                "+91 98765 43210",
                "+86 138 1234 5678",
                "0049 171 1234567",
                "+55 (11) 91234-5678",
                "＋４４ ２０ ７９４６ ０９５８",
                "+1-415-555-2671 x123",
            ],
        );
    }

    #[test]
    fn numbers_as_written_at_home() {
        all_of(
            Entity::Phone,
            &[
                "(415) 555-2671",
                "415.555.2671",
                "1-415-555-2671",
                "020 7946 0958",
                "06 12 34 56 78",
                "0171/1234567",
                "090-1234-5678",
                "8 (495) 123-45-67",
                "(11) 91234-5678",
                "138 1234 5678",
            ],
        );
    }

    #[test]
    fn a_word_makes_plain_digits_a_number() {
        for text in
            ["call me on 4155552671", "Telefon: 600 123 456", "手机号是13812345678", "my number is 555-0199"]
        {
            assert!(redact(text).text.contains("[PHONE]"), "{text}");
        }
    }

    #[test]
    fn other_numbers_stay() {
        none_of(&[
            "1732492800",
            "1732492800000",
            "2024-01-15 10:30:00",
            "15-01-2024 12",
            "order 415-555-2671",
            "550e8400-e29b-41d4-a716-446655440000",
            "3.14159265358979",
            "1,234,567,890",
            "0.5 1.25 3.75 2.5",
            "1 2 3 4 5 6 7 8 9",
            "600 000 000 people",
            "+1.5 -2.25",
        ]);
    }
}
