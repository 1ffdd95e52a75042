//! Addresses of people and machines: e-mail, IP, hardware.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::detector::{Detector, How, after, before, cue};
use super::entity::Entity;

pub(super) const DETECTORS: &[Detector] = &[
    Detector { entity: Entity::Email, needs: b"@", how: How::Scan(emails) },
    Detector {
        entity: Entity::Email,
        needs: b"",
        how: How::Pattern(
            r"(?i)\b[a-z0-9][a-z0-9._%+-]{0,63} ?(?:\[at\]|\(at\)|\{at\}|<at>| at ) ?[a-z0-9-]{1,63}(?: ?(?:\.|\[dot\]|\(dot\)|\{dot\}|<dot>| dot ) ?[a-z0-9-]{1,63}){0,3} ?(?:\[dot\]|\(dot\)|\{dot\}|<dot>| dot ) ?[a-z]{2,24}\b",
            super::detector::whole,
        ),
    },
    Detector {
        entity: Entity::Ip,
        needs: b"0.",
        how: How::Pattern(r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b", ipv4),
    },
    Detector {
        entity: Entity::Ip,
        needs: b":",
        how: How::Pattern(r"(?:\b[0-9A-Fa-f]{1,4}|:)(?::[0-9A-Fa-f]{0,4}){2,8}(?:\.[0-9]{1,3}){0,3}", ipv6),
    },
    Detector {
        entity: Entity::Mac,
        needs: b"0",
        how: How::Pattern(
            r"\b[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(?:\.[0-9A-Fa-f]{4}){2})\b",
            mac,
        ),
    },
];

/// A local part has at most so many bytes, a domain so many (RFC 5321, 4.5.3.1).
const LOCAL: usize = 64;
const DOMAIN: usize = 253;

/// What looks like a top-level domain in names of files with a density (`logo@2x.png`).
const FILES: [&str; 9] = ["png", "jpg", "jpeg", "gif", "svg", "webp", "js", "css", "json"];

fn emails(text: &str, out: &mut Vec<Range<usize>>) {
    for (at, _) in text.match_indices('@') {
        out.extend(email(text, at));
    }
}

fn email(text: &str, at: usize) -> Option<Range<usize>> {
    let local = |char: char| char.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(char);
    let from = text.floor_char_boundary(at.saturating_sub(LOCAL));
    let left = &text[from..at];
    let kept = left.trim_end_matches(local).len();
    // Quotes, slashes and the like may be in a local part, but at its beginning they are around it.
    let mut left =
        left[kept..].trim_start_matches(|char: char| !char.is_alphanumeric() && char != '_' && char != '+');
    // "to=ada@example.org", "mailto/ada@example.org": what is before is another word.
    if let Some(cut) = left.rfind(['=', '/', '|', '{', '}', '`', '?', '&']) {
        left = &left[cut + 1..];
    }
    left = left.trim_start_matches('\'');
    let start = at - left.len();
    let to = text.floor_char_boundary((at + 1 + DOMAIN).min(text.len()));
    let right = &text[at + 1..to];
    let end =
        right.find(|char: char| !char.is_alphanumeric() && char != '-' && char != '.').unwrap_or(right.len());
    let mut domain = right[..end].trim_end_matches(['.', '-']);
    while let Some(cut) = domain.find("..") {
        domain = &domain[..cut];
    }
    let (host, top) = domain.rsplit_once('.')?;
    let fits = !left.is_empty()
        && !left.ends_with('.')
        && host.chars().next().is_some_and(char::is_alphanumeric)
        && top.chars().count() >= 2
        && (top.chars().all(char::is_alphabetic) || top.starts_with("xn--"))
        && !FILES.contains(&top);
    // "git@github.com:someone/project.git" is where a repository is, not a person.
    let repository = left == "git" && text[at + 1 + domain.len()..].starts_with([':', '/']);
    // "scheme://user:word@host": a login, which has its own detector.
    let word = &text[from..start];
    let word = &word[word.rfind(char::is_whitespace).unwrap_or(0)..];
    let login =
        word.rsplit_once("://").is_some_and(|(_, rest)| rest.contains(':') && !rest.contains(['/', '@']));
    (fits && !repository && !login).then(|| start..at + 1 + domain.len())
}

/// Words before four numbers with dots that make them a version.
static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    cue(
        "v|ver|version|versions|release|released|build|firmware|driver|sdk|upgrade to|update to|updated to|upgraded to|chrome|chromium|safari|edge|edg|opr|opera|firefox|electron|crios|assemblyversion|fileversion",
    )
});

fn ipv4(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let number = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let longer = after(text, range.end) == b'.' && number(range.end + 1)
        || before(text, range.start) == b'.' && range.start.checked_sub(2).is_some_and(number);
    if longer {
        return None;
    }
    let ip: Ipv4Addr = text[range.clone()].parse().ok()?;
    (is_somebodys(IpAddr::V4(ip)) && !versioned(text, range.start)).then_some(range)
}

/// "version 1.2.3.4", "Chrome/120.0.0.0", "package==1.2.3.4", "package-1.2.3.4".
fn versioned(text: &str, at: usize) -> bool {
    let from = text.floor_char_boundary(at.saturating_sub(16));
    let near = text[from..at].trim_end_matches([' ', ':', '=', '/', '"', '\'', '(']);
    let near = &near[near.rfind([' ', '\n', ',', ';']).map_or(0, |cut| cut + 1)..];
    let pinned =
        ["==", ">=", "<=", "~=", "~>", "^"].iter().any(|pin| text[from..at].trim_end().ends_with(pin));
    let named = matches!(before(text, at), b'-' | b'_') && near.len() > 1;
    pinned || named || VERSION.is_match(near.as_bytes())
}

fn is_somebodys(ip: IpAddr) -> bool {
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    !ip.is_loopback() && !ip.is_unspecified() && !broadcast
}

fn ipv6(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    if before(text, range.start).is_ascii_alphanumeric() || matches!(before(text, range.start), b':' | b'_') {
        return None;
    }
    // A colon after an address ends a clause; a port, a prefix or a zone may follow too.
    let mut end = range.end;
    if after(text, end).is_ascii_alphanumeric() || matches!(after(text, end), b'_') {
        return None;
    }
    if text[..end].ends_with(':') && !text[..end].ends_with("::") {
        end -= 1;
    }
    let candidate = &text[range.start..end];
    let ip: Ipv6Addr = candidate.parse().ok()?;
    let first = candidate.split(':').next().unwrap_or_default();
    // "a::b" and "1::2" are code; an address has a full first group or many groups.
    let groups = candidate.bytes().filter(|byte| *byte == b':').count();
    let written = candidate.bytes().any(|byte| byte.is_ascii_digit()) && (first.len() >= 3 || groups >= 4)
        || candidate.starts_with("::ffff:");
    (written && is_somebodys(IpAddr::V6(ip))).then_some(range.start..end)
}

fn mac(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let it = &text[range.clone()];
    let separator = it.bytes().find(|byte| !byte.is_ascii_hexdigit())?;
    // Fingerprints of keys are such pairs too, but more of them.
    let longer = before(text, range.start) == separator
        || after(text, range.end) == separator && after(text, range.end + 1).is_ascii_hexdigit();
    let nobody = it.bytes().all(|byte| matches!(byte, b'0' | b':' | b'-' | b'.'))
        || it.bytes().all(|byte| matches!(byte.to_ascii_lowercase(), b'f' | b':' | b'-' | b'.'));
    // "1234.5678.9012" is a number with dots unless a letter says that it is hexadecimal.
    let decimal = separator == b'.' && !it.bytes().any(|byte| byte.is_ascii_alphabetic());
    (!longer && !nobody && !decimal).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{all_of, none_of};
    use super::*;

    #[test]
    fn emails_as_people_write_them() {
        all_of(
            Entity::Email,
            &[
                "ada@example.org",
                "ada.lovelace+kalibr@mail.example.co.uk",
                "o'neill@example.ie",
                "müller@beispiel.de",
                "用户@例子.公司",
                "_x_@a-b.io",
                "ada [at] example [dot] org",
                "ada(at)example(dot)org",
                "ada at example dot org",
            ],
        );
        let text = "<mailto:ada@example.org>, to=bob@example.org.";
        let found = super::super::redact(text).text;
        assert_eq!(found, "<mailto:[EMAIL]>, to=[EMAIL].");
    }

    #[test]
    fn what_only_has_an_at_sign_is_no_email() {
        none_of(&[
            "@decorator.name",
            "user@localhost",
            "logo@2x.png",
            "react@18.2.0",
            "git@github.com:a/b.git",
            "a @ b.c",
        ]);
    }

    #[test]
    fn addresses_of_machines() {
        all_of(
            Entity::Ip,
            &[
                "8.8.4.4",
                "192.168.17.4",
                "2001:db8::8a2e:370:7334",
                "fe80::1",
                "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
                "::ffff:192.0.2.128",
            ],
        );
        all_of(Entity::Mac, &["00:1A:2b:3C:4d:5E", "00-1A-2B-3C-4D-5E", "001a.2b3c.4d5e"]);
    }

    #[test]
    fn versions_times_and_paths_are_no_addresses() {
        none_of(&[
            "version 1.2.3.4",
            "Chrome/120.0.0.0",
            "numpy==1.2.3.4",
            "1.2.3.4.5",
            "256.1.1.1",
            "127.0.0.1",
            "::1",
            "12:30:45",
            "std::fs::read",
            "a::b",
            "x[1::2]",
            "0.0.0.0",
        ]);
    }
}
