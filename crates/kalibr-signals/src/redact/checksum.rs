//! Check digits. All take digits as numbers 0 to 9, or capitals and digits as ASCII where letters count too.

/// Luhn's sum (ISO/IEC 7812-1, annex B) is right.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(*digit);
            if at % 2 == 1 { digit * 2 - if digit > 4 { 9 } else { 0 } } else { digit }
        })
        .sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

/// Digits and letters (A = 10 ... Z = 35) read as one number, modulo 97 (ISO/IEC 7064).
pub(super) fn mod97(characters: impl IntoIterator<Item = u8>) -> u32 {
    characters.into_iter().fold(0, |rest, character| match character {
        b'0'..=b'9' => (rest * 10 + u32::from(character - b'0')) % 97,
        b'A'..=b'Z' => (rest * 100 + u32::from(character - b'A') + 10) % 97,
        _ => rest,
    })
}

/// ISO/IEC 7064, MOD 11,10: German tax ids, Croatian OIB.
pub(super) fn mod11_10(digits: &[u8]) -> bool {
    let Some((check, body)) = digits.split_last() else { return false };
    let product = body.iter().fold(10, |product, digit| {
        let sum = (product + u32::from(*digit)) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == u32::from(*check)
}

/// The sum of digits times weights, as far as both go.
pub(super) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum()
}

/// Verhoeff's check (Aadhaar), from the dihedral group D5.
pub(super) fn verhoeff(digits: &[u8]) -> bool {
    const TIMES: [[u8; 10]; 10] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
        [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
        [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
        [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
        [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
        [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
        [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
        [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
        [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    ];
    const MOVE: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let check = digits.iter().rev().enumerate().fold(0_u8, |check, (at, digit)| {
        let moved = (0..at % 8).fold(*digit, |digit, _| MOVE[usize::from(digit % 10)]);
        TIMES[usize::from(check)][usize::from(moved % 10)]
    });
    !digits.is_empty() && check == 0
}

/// A day that may be in a calendar.
pub(super) fn date(month: u8, day: u8) -> bool {
    let days = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::super::detector::digits;
    use super::*;

    #[test]
    fn luhn_of_published_test_cards() {
        for card in ["4111111111111111", "5555555555554444", "378282246310005", "79927398713"] {
            assert!(luhn(&digits(card)), "{card}");
        }
        assert!(!luhn(&digits("4111111111111112")) && !luhn(&[]));
    }

    #[test]
    fn mod97_of_the_standard_s_iban() {
        assert_eq!(mod97(*b"WEST12345698765432GB82"), 1);
        assert_ne!(mod97(*b"WEST12345698765423GB82"), 1);
    }

    #[test]
    fn mod11_10_of_published_numbers() {
        // The Bundeszentralamt's example, and an OIB.
        for number in ["86095742719", "47036892816", "94577403194"] {
            assert!(mod11_10(&digits(number)), "{number}");
        }
        assert!(!mod11_10(&digits("86095742718")));
    }

    #[test]
    fn verhoeff_of_published_numbers() {
        for number in ["2363", "123451", "142857"] {
            assert_eq!(verhoeff(&digits(number)), number != "142857", "{number}");
        }
        assert!(verhoeff(&digits("999999990019")));
    }

    #[test]
    fn dates_are_of_the_calendar() {
        assert!(
            date(2, 29)
                && date(12, 31)
                && !date(2, 30)
                && !date(4, 31)
                && !date(13, 1)
                && !date(0, 1)
                && !date(1, 0)
        );
    }
}
