//! The Americas, except the United States' number, which has a placeholder of its own.

use super::Proof::{Itself, Word, Written};
use super::{Id, date_at, numbers, value, varied};
use crate::redact::checksum::{luhn, weighted};

pub(super) const IDS: &[Id] = &[
    Id {
        name: "Brazilian CPF",
        form: &["99999999999"],
        written: &["999.999.999-99", "999999999-99", "999 999 999 99", "999.999.999.99", "999.999.999 99"],
        proof: Itself,
        valid: cpf,
    },
    Id {
        name: "Brazilian CNPJ",
        form: &["99999999999999"],
        written: &["99.999.999/9999-99", "99999999/9999-99"],
        proof: Itself,
        valid: cnpj,
    },
    Id {
        name: "Canadian SIN",
        form: &["999999999"],
        written: &[],
        proof: Word,
        valid: |c| c[0] != b'0' && c[0] != b'8' && luhn(&numbers(c)),
    },
    Id { name: "Mexican CURP", form: &["AAAA999999AAAAAA*9"], written: &[], proof: Itself, valid: curp },
    Id {
        name: "Mexican RFC",
        form: &["AAAA999999***"],
        written: &[],
        proof: Word,
        valid: |c| date_at(c, 6, 8),
    },
    Id {
        name: "Argentine CUIT",
        form: &["99999999999"],
        written: &["99-99999999-9", "99 99999999 9"],
        proof: Written,
        valid: cuit,
    },
    Id {
        name: "Chilean RUT",
        form: &["99999999*", "9999999*"],
        written: &["99.999.999-*", "9.999.999-*", "99999999-*", "9999999-*"],
        proof: Written,
        valid: rut,
    },
    Id {
        name: "Ecuadorian cédula",
        form: &["9999999999"],
        written: &[],
        proof: Word,
        valid: |c| matches!(value(&c[..2]), 1..=24 | 30) && luhn(&numbers(c)),
    },
];

fn check11(digits: &[u8], weights: &[u32]) -> u32 {
    let rest = weighted(digits, weights) % 11;
    if rest < 2 { 0 } else { 11 - rest }
}

fn cpf(c: &[u8]) -> bool {
    let n = numbers(c);
    varied(c)
        && check11(&n[..9], &[10, 9, 8, 7, 6, 5, 4, 3, 2]) == u32::from(n[9])
        && check11(&n[..10], &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) == u32::from(n[10])
}

fn cnpj(c: &[u8]) -> bool {
    let n = numbers(c);
    varied(c)
        && check11(&n[..12], &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == u32::from(n[12])
        && check11(&n[..13], &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == u32::from(n[13])
}

/// Instructivo Normativo for the CURP: places weighted 18 downwards, Ñ between N and O.
fn curp(c: &[u8]) -> bool {
    let place = |byte: u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'N' => u32::from(byte - b'A') + 10,
        _ => u32::from(byte - b'A') + 11,
    };
    let sum: u32 = c[..17].iter().zip((2..=18).rev()).map(|(byte, weight)| place(*byte) * weight).sum();
    date_at(c, 6, 8) && b"HMX".contains(&c[10]) && (10 - sum % 10) % 10 == u32::from(c[17] - b'0')
}

fn cuit(c: &[u8]) -> bool {
    let n = numbers(c);
    let check = 11 - weighted(&n, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
    matches!(value(&c[..2]), 20 | 23 | 24 | 27 | 30 | 33 | 34)
        && (if check == 11 { 0 } else { check }) == u32::from(n[10])
}

fn rut(c: &[u8]) -> bool {
    let Some((check, body)) = c.split_last() else { return false };
    let reversed: Vec<u8> = numbers(body).into_iter().rev().collect();
    let sum = 11 - weighted(&reversed, &[2, 3, 4, 5, 6, 7, 2, 3]) % 11;
    b"00123456789K"[if sum == 11 { 0 } else { sum as usize + 1 }] == *check
}
