//! Europe, from Ireland to Turkey.

use super::Proof::{Itself, Word, Written};
use super::{Id, date_at, numbers, value, varied};
use crate::redact::checksum::{luhn, mod11_10, mod97, weighted};

pub(super) const IDS: &[Id] = &[
    Id {
        name: "Spanish DNI",
        form: &["99999999A"],
        written: &["99999999-A", "99.999.999-A", "99.999.999A", "99.999.999 A", "99999999 A"],
        proof: Itself,
        valid: |c| spanish_letter(value(&c[..8]), c[8]),
    },
    Id {
        name: "Spanish NIE",
        form: &["X9999999A", "Y9999999A", "Z9999999A"],
        written: &["A-9999999-A", "A9999999-A", "A-9999999A", "A 9999999 A"],
        proof: Itself,
        valid: |c| spanish_letter(u32::from(c[0] - b'X') * 10_000_000 + value(&c[1..8]), c[8]),
    },
    Id {
        name: "Italian codice fiscale",
        form: &["AAAAAA**A**A***A"],
        written: &["AAA AAA **A** A***A", "AAAAAA **A** A***A"],
        proof: Itself,
        valid: codice_fiscale,
    },
    Id {
        name: "French NIR",
        form: &["9999999999999**", "99999*99999999*", "99999A999999999"],
        written: &[
            "9 99 99 9* 999 999 99",
            "9999999999999 99",
            "9 99 99 9* 999 999/99",
            "9-99-99-9*-999-999-99",
            "99999 9* 999 999 99",
        ],
        proof: Itself,
        valid: nir,
    },
    Id {
        name: "German tax id",
        form: &["99999999999"],
        written: &["99 999 999 999"],
        proof: Written,
        valid: steuer_id,
    },
    Id {
        name: "German pension number",
        form: &["99999999A999"],
        written: &["99 999999 A 999", "99-999999-A-999", "99 99 99 99 A 999"],
        proof: Itself,
        valid: rentenversicherung,
    },
    Id {
        name: "Austrian insurance number",
        form: &["9999999999"],
        written: &[],
        proof: Word,
        valid: austrian,
    },
    Id {
        name: "Swiss AHV",
        form: &["7569999999999"],
        written: &["999.9999.9999.99", "999 9999 9999 99"],
        proof: Itself,
        valid: |c| ean(&numbers(c)),
    },
    Id {
        name: "Dutch BSN",
        form: &["999999999", "99999999"],
        written: &[],
        proof: Word,
        valid: |c| {
            let n = [&[0; 1][..9 - c.len()], &numbers(c)].concat();
            varied(c) && (weighted(&n, &[9, 8, 7, 6, 5, 4, 3, 2]) + 10 * u32::from(n[8])).is_multiple_of(11)
        },
    },
    Id {
        name: "Belgian national number",
        form: &["99999999999"],
        written: &[
            "99.99.99-999.99",
            "99.99.99-999-99",
            "99.99.99 999.99",
            "99 99 99 999 99",
            "999999-999-99",
            "999999-999.99",
            "999999 999 99",
        ],
        proof: Itself,
        valid: belgian,
    },
    Id {
        name: "British NINO",
        form: &["AA999999A"],
        written: &["AA 99 99 99 A", "AA 999999 A", "AA999999 A", "AA-99-99-99-A"],
        proof: Itself,
        valid: |c| {
            let prefix = &c[..2];
            let never = [b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].iter().any(|one| *one == prefix);
            let first = !b"DFIQUV".contains(&c[0]) && !b"DFIQUVO".contains(&c[1]);
            first && !never && (b'A'..=b'D').contains(&c[8])
        },
    },
    Id {
        name: "British NHS number",
        form: &["9999999999"],
        written: &[],
        proof: Word,
        valid: |c| {
            let check = 11 - weighted(&numbers(c), &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
            varied(c) && check % 11 == u32::from(c[9] - b'0')
        },
    },
    Id {
        name: "British taxpayer reference",
        form: &["9999999999"],
        written: &[],
        proof: Word,
        valid: |c| {
            b"21987654321"[weighted(&numbers(&c[1..]), &[6, 7, 8, 9, 10, 5, 4, 3, 2]) as usize % 11] == c[0]
        },
    },
    Id {
        name: "Irish PPS",
        form: &["9999999A", "9999999AA"],
        written: &["9999999 A", "9999999 AA"],
        proof: Itself,
        valid: irish,
    },
    Id {
        name: "Polish PESEL",
        form: &["99999999999"],
        written: &[],
        proof: Word,
        valid: |c| {
            let month = value(&c[2..4]) % 20;
            let day = value(&c[4..6]);
            let sum = weighted(&numbers(c), &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
            crate::redact::checksum::date(month as u8, day as u8) && sum.is_multiple_of(10)
        },
    },
    Id {
        name: "Polish NIP",
        form: &["9999999999"],
        written: &[],
        proof: Word,
        valid: |c| weighted(&numbers(c), &[6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 == u32::from(c[9] - b'0'),
    },
    Id {
        name: "Swedish personnummer",
        form: &["9999999999"],
        written: &["999999-9999", "999999+9999"],
        proof: Written,
        valid: swedish,
    },
    Id {
        name: "Swedish personnummer with century",
        form: &["199999999999", "209999999999"],
        written: &["99999999-9999"],
        proof: Written,
        valid: |c| swedish(&c[2..]),
    },
    Id {
        name: "Finnish HETU",
        form: &["999999999*", "999999A999*"],
        written: &["999999-999*", "999999+999*", "999999A999*"],
        proof: Written,
        valid: hetu,
    },
    Id {
        name: "Norwegian fødselsnummer",
        form: &["99999999999"],
        written: &["999999 99999", "99 99 99 99999", "999999-99999"],
        proof: Itself,
        valid: |c| {
            let n = numbers(c);
            let day = value(&c[..2]) % 40;
            let month = value(&c[2..4]) % 40;
            crate::redact::checksum::date(month as u8, day as u8)
                && weighted(&n, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]).is_multiple_of(11)
                && weighted(&n, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
        },
    },
    Id { name: "Danish CPR", form: &["9999999999"], written: &[], proof: Word, valid: |c| date_at(c, 2, 0) },
    Id {
        name: "Portuguese NIF",
        form: &["999999999"],
        written: &[],
        proof: Word,
        valid: |c| {
            let rest = weighted(&numbers(c), &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
            varied(c) && (if rest < 2 { 0 } else { 11 - rest }) == u32::from(c[8] - b'0')
        },
    },
    Id {
        name: "Czech and Slovak birth number",
        form: &["9999999999"],
        written: &["999999/9999"],
        proof: Written,
        valid: |c| {
            let number = numbers(c).iter().fold(0_u64, |value, digit| value * 10 + u64::from(*digit));
            let month = value(&c[2..4]) % 50;
            crate::redact::checksum::date((month % 20) as u8, value(&c[4..6]) as u8)
                && number.is_multiple_of(11)
        },
    },
    Id {
        name: "Romanian CNP",
        form: &["9999999999999"],
        written: &["9 999999 999999", "9 99 99 99 99 999 9"],
        proof: Itself,
        valid: |c| {
            let rest = weighted(&numbers(c), &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
            c[0] != b'0'
                && date_at(c, 3, 5)
                && value(&c[7..9]) <= 52
                && rest % 10 + rest / 10 == u32::from(c[12] - b'0')
        },
    },
    Id {
        name: "Bulgarian EGN",
        form: &["9999999999"],
        written: &[],
        proof: Word,
        valid: |c| weighted(&numbers(c), &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10 == u32::from(c[9] - b'0'),
    },
    Id {
        name: "Croatian OIB",
        form: &["99999999999"],
        written: &[],
        proof: Word,
        valid: |c| mod11_10(&numbers(c)),
    },
    Id {
        name: "Greek AMKA",
        form: &["99999999999"],
        written: &[],
        proof: Word,
        valid: |c| date_at(c, 2, 0) && luhn(&numbers(c)),
    },
    Id {
        name: "Greek AFM",
        form: &["999999999"],
        written: &[],
        proof: Word,
        valid: |c| {
            varied(c)
                && weighted(&numbers(c), &[256, 128, 64, 32, 16, 8, 4, 2]) % 11 % 10 == u32::from(c[8] - b'0')
        },
    },
    Id {
        name: "Estonian and Lithuanian personal code",
        form: &["99999999999"],
        written: &[],
        proof: Word,
        valid: baltic,
    },
    Id { name: "Turkish identity number", form: &["99999999999"], written: &[], proof: Word, valid: turkish },
    Id {
        name: "Russian INN",
        form: &["999999999999"],
        written: &[],
        proof: Word,
        valid: |c| {
            let n = numbers(c);
            weighted(&n, &[7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11 % 10 == u32::from(n[10])
                && weighted(&n, &[3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11 % 10 == u32::from(n[11])
        },
    },
    Id {
        name: "Russian SNILS",
        form: &["99999999999"],
        written: &["999-999-999 99", "999-999-999-99"],
        proof: Written,
        valid: |c| weighted(&numbers(c), &[9, 8, 7, 6, 5, 4, 3, 2, 1]) % 101 % 100 == value(&c[9..]),
    },
];

fn spanish_letter(number: u32, letter: u8) -> bool {
    b"TRWAGMYFPDXBNJZSQVHLCKE"[number as usize % 23] == letter
}

/// Decree of 23 December 1976: odd places have values of their own; letters may stand for digits where two people would
/// have the same.
fn codice_fiscale(c: &[u8]) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let place = |byte: u8| usize::from(if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' });
    let sum: u32 = c[..15]
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            let at_place = place(*byte);
            if at % 2 == 0 { ODD[at_place] } else { at_place as u32 }
        })
        .sum();
    let digit = |byte: &u8| byte.is_ascii_digit() || b"LMNPQRSTUV".contains(byte);
    b"ABCDEHLMPRST".contains(&c[8])
        && [6, 7, 9, 10, 12, 13, 14].iter().all(|at| digit(&c[*at]))
        && sum % 26 == u32::from(c[15] - b'A')
}

/// 97 less the first thirteen places modulo 97; Corsica's 2A counts as 19, 2B as 18.
fn nir(c: &[u8]) -> bool {
    let mut c = c.to_vec();
    match &c[5..7] {
        b"2A" => c[5..7].copy_from_slice(b"19"),
        b"2B" => c[5..7].copy_from_slice(b"18"),
        _ => {}
    }
    if !c.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let month = value(&c[3..5]);
    let key = 97 - mod97(c[..13].iter().copied());
    matches!(c[0], b'1'..=b'4' | b'7' | b'8')
        && (matches!(month, 1..=12 | 20..=42) || month >= 50)
        && key == value(&c[13..])
}

/// One digit comes twice or three times among the first ten, the others at most once.
fn steuer_id(c: &[u8]) -> bool {
    let n = numbers(c);
    let mut times = [0; 10];
    n[..10].iter().for_each(|digit| times[usize::from(*digit)] += 1);
    n[0] != 0
        && times.iter().filter(|times| **times > 1).count() == 1
        && times.iter().all(|times| *times <= 3)
        && mod11_10(&n)
}

fn rentenversicherung(c: &[u8]) -> bool {
    let letter = u32::from(c[8] - b'A') + 1;
    let n = [&numbers(&c[..8])[..], &[(letter / 10) as u8, (letter % 10) as u8], &numbers(&c[9..])].concat();
    let sum: u32 = n[..12]
        .iter()
        .zip([2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1])
        .map(|(digit, weight)| {
            let product = u32::from(*digit) * weight;
            product / 10 + product % 10
        })
        .sum();
    let day = value(&c[2..4]) % 50;
    crate::redact::checksum::date(value(&c[4..6]) as u8, day as u8) && sum % 10 == u32::from(n[12])
}

fn austrian(c: &[u8]) -> bool {
    let n = numbers(c);
    let check = weighted(&n, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11;
    c[0] != b'0' && date_at(c, 6, 4) && check == u32::from(n[3])
}

/// The check of article numbers (EAN-13).
fn ean(digits: &[u8]) -> bool {
    weighted(digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
}

/// 97 less the first nine digits modulo 97, with a 2 before them for births since 2000.
fn belgian(c: &[u8]) -> bool {
    let key = value(&c[9..]);
    let born = |century: &[u8]| 97 - mod97(century.iter().chain(&c[..9]).copied()) == key;
    date_at(c, 2, 4) && (born(b"") || born(b"2"))
}

fn irish(c: &[u8]) -> bool {
    let second = c.get(8).map_or(0, |letter| u32::from(letter - b'A' + 1) % 23);
    let sum = weighted(&numbers(&c[..7]), &[8, 7, 6, 5, 4, 3, 2]) + 9 * second;
    b"WABCDEFGHIJKLMNOPQRSTUV"[sum as usize % 23] == c[7]
        && c.get(8).is_none_or(|letter| b"ABHTWX".contains(letter))
}

fn swedish(c: &[u8]) -> bool {
    let day = value(&c[4..6]) % 60;
    crate::redact::checksum::date(value(&c[2..4]) as u8, day as u8) && luhn(&numbers(c))
}

/// The date, a sign or letter for the century (signs are separators here and not among the characters), three digits, a
/// check character.
fn hetu(c: &[u8]) -> bool {
    let century = usize::from(c[6].is_ascii_uppercase());
    let Some(serial) = c.get(6 + century..9 + century) else { return false };
    let (Some(check), true) = (c.get(9 + century), c.len() == 10 + century) else { return false };
    let number = value(&c[..6]) as usize * 1_000 + value(serial) as usize;
    let fits = (century == 0 || b"ABCDEFUVWXY".contains(&c[6])) && serial.iter().all(u8::is_ascii_digit);
    fits && date_at(c, 2, 0) && b"0123456789ABCDEFHJKLMNPRSTUVWXY"[number % 31] == *check
}

fn baltic(c: &[u8]) -> bool {
    let n = numbers(c);
    let first = weighted(&n, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11;
    let second = weighted(&n, &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10;
    (1..=8).contains(&n[0])
        && date_at(c, 3, 5)
        && (if first < 10 { first } else { second }) == u32::from(n[10])
}

fn turkish(c: &[u8]) -> bool {
    let n: Vec<i32> = numbers(c).into_iter().map(i32::from).collect();
    let odd: i32 = n[..9].iter().step_by(2).sum();
    let even: i32 = n[1..8].iter().step_by(2).sum();
    n[0] != 0 && (odd * 7 - even).rem_euclid(10) == n[9] && n[..10].iter().sum::<i32>() % 10 == n[10]
}
