//! Asia, Africa and Oceania.

use super::Proof::{Itself, Word, Written};
use super::{Id, date_at, numbers, value, varied};
use crate::redact::checksum::{luhn, verhoeff, weighted};

pub(super) const IDS: &[Id] = &[
    Id {
        name: "Indian Aadhaar",
        form: &["999999999999"],
        written: &["9999 9999 9999", "9999-9999-9999"],
        proof: Written,
        valid: |c| c[0] != b'0' && c[0] != b'1' && varied(c) && verhoeff(&numbers(c)),
    },
    Id {
        name: "Indian PAN",
        form: &["AAAAA9999A"],
        written: &[],
        proof: Itself,
        valid: |c| b"ABCFGHJLPT".contains(&c[3]),
    },
    Id {
        name: "Chinese resident identity",
        form: &["99999999999999999*"],
        written: &["999999 99999999 999*", "999999-99999999-999*"],
        proof: Itself,
        valid: chinese,
    },
    Id {
        name: "Korean resident registration",
        form: &["9999999999999"],
        written: &["999999-9999999"],
        proof: Written,
        valid: korean,
    },
    Id {
        name: "Japanese individual number",
        form: &["999999999999"],
        written: &[],
        proof: Word,
        valid: japanese,
    },
    Id {
        name: "Singaporean NRIC",
        form: &["S9999999A", "T9999999A", "F9999999A", "G9999999A"],
        written: &[],
        proof: Itself,
        valid: nric,
    },
    Id {
        name: "Hong Kong identity card",
        form: &["A999999*"],
        written: &["A999999(*)", "A 999999(*)", "A999999 (*)"],
        proof: Written,
        valid: hkid,
    },
    Id {
        name: "Taiwanese identity card",
        form: &["A199999999", "A299999999", "A899999999", "A999999999"],
        written: &[],
        proof: Itself,
        valid: taiwanese,
    },
    Id {
        name: "Thai identity number",
        form: &["9999999999999"],
        written: &["9-9999-99999-99-9", "9 9999 99999 99 9"],
        proof: Written,
        valid: |c| {
            let sum = weighted(&numbers(c), &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
            c[0] != b'0' && (11 - sum % 11) % 10 == u32::from(c[12] - b'0')
        },
    },
    Id {
        name: "Indonesian NIK",
        form: &["9999999999999999"],
        written: &[],
        proof: Word,
        valid: |c| date_at(c, 8, 6) || date_at(&shifted(c), 8, 6),
    },
    Id {
        name: "Israeli identity number",
        form: &["999999999"],
        written: &[],
        proof: Word,
        valid: |c| varied(c) && luhn(&numbers(c)),
    },
    Id {
        name: "South African identity number",
        form: &["9999999999999"],
        written: &[],
        proof: Word,
        valid: |c| date_at(c, 2, 4) && luhn(&numbers(c)),
    },
    Id {
        name: "Australian tax file number",
        form: &["999999999"],
        written: &[],
        proof: Word,
        valid: |c| varied(c) && weighted(&numbers(c), &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11),
    },
    Id {
        name: "Australian Medicare number",
        form: &["9999999999", "99999999999"],
        written: &[],
        proof: Word,
        valid: |c| {
            (b'2'..=b'6').contains(&c[0])
                && weighted(&numbers(c), &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == u32::from(c[8] - b'0')
        },
    },
];

/// GB 11643: seventeen digits weighted by powers of two modulo 11, X for ten.
fn chinese(c: &[u8]) -> bool {
    let sum = weighted(&numbers(&c[..17]), &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    matches!(value(&c[6..8]), 18..=20) && date_at(c, 10, 12) && b"10X98765432"[sum as usize % 11] == c[17]
}

/// Numbers given since October 2020 have no check digit, so the date, the digit for sex and century, and the usual dash
/// have to do.
fn korean(c: &[u8]) -> bool {
    date_at(c, 2, 4) && (b'1'..=b'8').contains(&c[6])
}

fn japanese(c: &[u8]) -> bool {
    let rest = weighted(&numbers(c), &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
    varied(c) && (if rest < 2 { 0 } else { 11 - rest }) == u32::from(c[11] - b'0')
}

fn nric(c: &[u8]) -> bool {
    let offset = if matches!(c[0], b'T' | b'G') { 4 } else { 0 };
    let sum = weighted(&numbers(&c[1..8]), &[2, 7, 6, 5, 4, 3, 2]) + offset;
    let letters: &[u8] = if matches!(c[0], b'S' | b'T') { b"JZIHGFEDCBA" } else { b"XWUTRQPNMLK" };
    letters[sum as usize % 11] == c[8]
}

fn hkid(c: &[u8]) -> bool {
    let check = match c[7] {
        b'A' => 10,
        digit @ b'0'..=b'9' => u32::from(digit - b'0'),
        _ => return false,
    };
    let letter = u32::from(c[0] - b'A') + 10;
    (36 * 9 + letter * 8 + weighted(&numbers(&c[1..7]), &[7, 6, 5, 4, 3, 2]) + check).is_multiple_of(11)
}

fn taiwanese(c: &[u8]) -> bool {
    const PLACES: [u32; 26] = [
        10, 11, 12, 13, 14, 15, 16, 17, 34, 18, 19, 20, 21, 22, 35, 23, 24, 25, 26, 27, 28, 29, 32, 30, 31,
        33,
    ];
    let place = PLACES[usize::from(c[0] - b'A')];
    let sum = place / 10 + place % 10 * 9 + weighted(&numbers(&c[1..]), &[8, 7, 6, 5, 4, 3, 2, 1, 1]);
    sum.is_multiple_of(10)
}

/// Women's days are forty more.
fn shifted(c: &[u8]) -> Vec<u8> {
    let mut c = c.to_vec();
    c[6] = c[6].saturating_sub(4).max(b'0');
    c
}
