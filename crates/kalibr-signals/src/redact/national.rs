//! Numbers that a state gave to a person.

use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::detector::{Detector, How, after, before, cue, cued, digits};
use super::entity::Entity;

pub(super) const DETECTORS: &[Detector] = &[Detector {
    entity: Entity::Ssn,
    needs: b"0",
    how: How::Pattern(r"\b[0-9]{3}(?:[ .-]?[0-9]{2})[ .-]?[0-9]{4}\b", ssn),
}];

static SSN: LazyLock<Regex> = LazyLock::new(|| cue("ssn|ssns|social|social security|itin|tin|taxpayer"));

/// The Social Security Administration's rules since 2011: no area 000, 666 or above 899, no group 00, no serial 0000.
/// Above 899 it is a taxpayer's number (ITIN), whose groups are limited.
fn ssn(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let it = &text[range.clone()];
    let joined = matches!(before(text, range.start), b'-' | b'.' | b'+' | b'_' | b'/')
        || matches!(after(text, range.end), b'-' | b'_' | b'/')
        || after(text, range.end) == b'.' && after(text, range.end + 1).is_ascii_digit();
    let number = digits(it);
    let value = |part: &[u8]| part.iter().fold(0_u32, |value, digit| value * 10 + u32::from(*digit));
    let (area, group, serial) = (value(&number[..3]), value(&number[3..5]), value(&number[5..]));
    let itin = area >= 900 && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99);
    let valid = area != 0 && area != 666 && (area < 900 || itin) && group != 0 && serial != 0;
    let separators: Vec<u8> = it.bytes().filter(|byte| !byte.is_ascii_digit()).collect();
    let written = separators == b"--";
    (valid && !joined && (written || cued(text, range.start, &SSN))).then_some(range)
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
}
