//! Cards, bank accounts, addresses of crypto-currencies.

use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::Regex;
use sha2::{Digest, Sha256};

use super::checksum::{luhn, mod97};
use super::detector::{Detector, How, after, alphanumerics, before, cue, cued, digits, whole};
use super::entity::Entity;

pub(super) const DETECTORS: &[Detector] = &[
    Detector {
        entity: Entity::Card,
        needs: b"0",
        how: How::Pattern(r"\b[0-9](?:[ ._-]{0,2}[0-9]){11,18}", card),
    },
    Detector {
        entity: Entity::Iban,
        needs: b"0",
        how: How::Pattern(r"(?i)\b[A-Z]{2} ?[0-9]{2}(?:[ .-]?[A-Z0-9]){11,30}", iban),
    },
    Detector {
        entity: Entity::Crypto,
        needs: b"",
        how: How::Pattern(r"\b[13LMDA9X][1-9A-HJ-NP-Za-km-z]{25,34}\b", base58_address),
    },
    Detector {
        entity: Entity::PrivateKey,
        needs: b"",
        how: How::Pattern(r"\b[5KL][1-9A-HJ-NP-Za-km-z]{50,51}\b", wallet_key),
    },
    Detector {
        entity: Entity::Crypto,
        needs: b"1",
        how: How::Pattern(
            r"\b(?:(?:bc|tb|ltc)1[02-9ac-hj-np-z]{11,87}|(?:BC|TB|LTC)1[02-9AC-HJ-NP-Z]{11,87})\b",
            bech32_address,
        ),
    },
    Detector { entity: Entity::Crypto, needs: b"0x", how: How::Pattern(r"\b0x[0-9a-fA-F]{40}\b", whole) },
];

static CARD: LazyLock<Regex> = LazyLock::new(|| {
    cue(
        "card|cards|visa|mastercard|maestro|amex|american express|discover|diners|jcb|unionpay|credit|debit|karte|kreditkarte|carte|tarjeta|cart(?:a|ã)o|carta|kaart|karta|kart|pan|cc",
    )
});

/// The digits that follow a candidate's beginning, up to the ends of its groups: the longest first. "4111 1111 1111
/// 1111 123" is a card and its security code.
fn prefixes(text: &str, range: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
    let bytes = text.as_bytes();
    let ends =
        move |end: &usize| bytes[end - 1].is_ascii_digit() && !after(text, *end).is_ascii_alphanumeric();
    (range.start + 1..=range.end).rev().filter(ends).map(move |end| range.start..end)
}

fn card(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    // "0.4111..." and "-4111..." in a row of numbers, "1.4111..." are parts of something else.
    if before(text, range.start) == b'.' && range.start > 1 && before(text, range.start - 1).is_ascii_digit()
    {
        return None;
    }
    prefixes(text, range).find(|part| {
        let number = digits(&text[part.clone()]);
        number.len() >= 12
            && luhn(&number)
            && number.iter().any(|digit| *digit != number[0])
            && grouped(&text[part.clone()])
            && match issuer(&number) {
                Issuer::Sure => true,
                Issuer::WithWord => cued(text, part.start, &CARD),
                Issuer::None => false,
            }
    })
}

/// No separators, or the same one between groups of at least two digits.
fn grouped(text: &str) -> bool {
    let mut separators = text.bytes().filter(|byte| !byte.is_ascii_digit());
    let first = separators.next();
    let groups = text.split(|char: char| !char.is_ascii_digit()).filter(|group| !group.is_empty());
    separators.all(|separator| Some(separator) == first || separator == b' ')
        && groups.clone().skip(1).all(|group| group.len() >= 2)
}

enum Issuer {
    Sure,
    WithWord,
    None,
}

/// Prefixes and lengths of issuers (ISO/IEC 7812; the issuers' published ranges). Lengths that hardly a card has, but many
/// an article number, want a word.
fn issuer(number: &[u8]) -> Issuer {
    let prefix = |n: usize| number.iter().take(n).fold(0_u32, |value, digit| value * 10 + u32::from(*digit));
    let (two, three, four) = (prefix(2), prefix(3), prefix(4));
    let network = match number.len() {
        16 => {
            number[0] == 4
                || (51..=55).contains(&two)
                || (2221..=2720).contains(&four)
                || four == 6011
                || (644..=659).contains(&three)
                || (3528..=3589).contains(&four)
                || two == 62
                || (2200..=2204).contains(&four)
        }
        15 => two == 34 || two == 37,
        14 => (300..=305).contains(&three) || matches!(two, 36 | 38 | 39),
        17..=19 => two == 62,
        _ => false,
    };
    let rare = match number.len() {
        13 | 19 => number[0] == 4,
        _ => false,
    } || matches!(two, 50 | 56..=69)
        || four == 1800
        || four == 2131;
    match (network, rare) {
        (true, _) => Issuer::Sure,
        (false, true) => Issuer::WithWord,
        (false, false) => Issuer::None,
    }
}

/// Lengths by country (SWIFT's IBAN registry, release 99).
const IBAN_LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 \
    DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 \
    JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 \
    PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 \
    XK20 YE30";

fn iban(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let characters = alphanumerics(&text[range.clone()]);
    let country = std::str::from_utf8(&characters[..2]).ok()?;
    let entry = IBAN_LENGTHS.split_ascii_whitespace().find(|entry| entry.starts_with(country))?;
    let length: usize = entry[2..].parse().ok()?;
    let characters = characters.get(..length)?;
    let last = text[range.clone()]
        .bytes()
        .enumerate()
        .filter(|(_, byte)| byte.is_ascii_alphanumeric())
        .nth(length - 1)?
        .0;
    let end = range.start + last + 1;
    let whole = !after(text, end).is_ascii_alphanumeric();
    let right = mod97(characters[4..].iter().chain(&characters[..4]).copied()) == 1;
    (whole && right).then_some(range.start..end)
}

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// The bytes of a base58 text whose last four check the others (Base58Check), without those four.
fn base58check(text: &str) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::with_capacity(40);
    for character in text.bytes() {
        let mut carry = BASE58.iter().position(|one| *one == character)? as u32;
        for byte in &mut bytes {
            carry += u32::from(*byte) * 58;
            *byte = (carry & 0xFF) as u8;
            carry >>= 8;
        }
        while carry > 0 {
            bytes.push((carry & 0xFF) as u8);
            carry >>= 8;
        }
    }
    bytes.extend(text.bytes().take_while(|character| *character == b'1').map(|_| 0));
    bytes.reverse();
    let check = bytes.split_off(bytes.len().checked_sub(4)?);
    let hash = Sha256::digest(Sha256::digest(&bytes));
    (hash[..4] == check[..]).then_some(bytes)
}

fn base58_address(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let bytes = base58check(&text[range.clone()])?;
    (bytes.len() == 21).then_some(range)
}

fn wallet_key(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let bytes = base58check(&text[range.clone()])?;
    (bytes[0] == 0x80 && matches!(bytes.len(), 33 | 34)).then_some(range)
}

/// BIP 173 and BIP 350.
fn bech32_address(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    const CHARACTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let address = text[range.clone()].to_ascii_lowercase();
    let (prefix, data) = address.split_once('1')?;
    let high = prefix.bytes().map(|byte| byte >> 5);
    let low = prefix.bytes().map(|byte| byte & 31);
    let data: Option<Vec<u8>> =
        data.bytes().map(|byte| CHARACTERS.iter().position(|one| *one == byte).map(|at| at as u8)).collect();
    let values = high.chain([0]).chain(low).chain(data?);
    let check = values.fold(1_u32, |check, value| {
        let top = check >> 25;
        let check = ((check & 0x1ff_ffff) << 5) ^ u32::from(value);
        (0..5).filter(|bit| (top >> bit) & 1 == 1).fold(check, |check, bit| check ^ GENERATOR[bit])
    });
    matches!(check, 1 | 0x2bc8_30a3).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{all_of, none_of};
    use super::*;

    #[test]
    fn published_test_cards() {
        all_of(
            Entity::Card,
            &[
                "4111111111111111",
                "5555-5555-5555-4444",
                "3782 822463 10005",
                "6011 1111 1111 1117",
                "2223003122003222",
                "30569309025904",
                "3530111333300000",
                "4012.8888.8888.1881",
            ],
        );
        assert_eq!(super::super::redact("4111 1111 1111 1111 123").text, "[CARD] 123");
        assert_eq!(super::super::redact("item 12 4111 1111 1111 1111").text, "item 12 [CARD]");
        assert_eq!(super::super::redact("my visa card: 4222222222222").text, "my visa card: [CARD]");
    }

    #[test]
    fn other_long_numbers_are_no_cards() {
        none_of(&[
            "4111111111111112",
            "1732492800000",
            "4222222222222",
            "0.4111111111111111",
            "9999999999999995",
        ]);
    }

    #[test]
    fn ibans_of_the_registry() {
        all_of(
            Entity::Iban,
            &[
                "GB82 WEST 1234 5698 7654 32",
                "DE89370400440532013000",
                "fr14 2004 1010 0505 0001 3m02 606",
                "NO93 8601 1117 947",
                "MT84-MALT-0110-0001-2345-MTLC-AST0-01S",
            ],
        );
        assert_eq!(super::super::redact("DE89 3704 0044 0532 0130 00 is mine").text, "[IBAN] is mine");
        none_of(&["GB83 WEST 1234 5698 7654 32", "DE8937040044053201300"]);
    }

    #[test]
    fn addresses_and_keys_of_wallets() {
        all_of(
            Entity::Crypto,
            &[
                "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
                "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
                "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
                "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
                "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
                "0x52908400098527886E0F7030069857D2E4169EE7",
            ],
        );
        all_of(Entity::PrivateKey, &["5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"]);
        none_of(&["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5"]);
    }
}
