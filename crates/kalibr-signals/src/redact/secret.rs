//! Secrets that have no form of their own, but stand where a secret stands: after a name, in a header, in a URL.

use std::ops::Range;

use super::detector::{Detector, How, before};
use super::entity::Entity;

/// Names whose value is a secret, as parts of identifiers (`DB_PASSWORD`, `clientSecret`) and in other languages.
macro_rules! names {
    () => {
        concat!(
            r"pass(?:word|wd|phrase|code)|pwd|secret(?:[_ -]?(?:access[_ -]?)?key)?|(?:api|access|auth|account|encryption|signing|private|master|license|subscription)[_ -]?(?:key|token)",
            r"|[a-z_-]{0,24}token|credentials?|passwort|kennwort|geheimnis|schl(?:ue|\xC3\xBC)ssel|mot de passe|contrase(?:n|\xC3\xB1)a|clave|senha|wachtwoord",
            r"|has(?:l|\xC5\x82)o|parola|(?:s|\xC5\x9F)ifre|\xD0\xBF\xD0\xB0\xD1\x80\xD0\xBE\xD0\xBB\xD1\x8C|\xE5\xAF\x86\xE7\xA0\x81|\xE5\xAF\x86\xE9\x92\xA5|\xE3\x83\x91\xE3\x82\xB9\xE3\x83\xAF\xE3\x83\xBC\xE3\x83\x89|\xEB\xB9\x84\xEB\xB0\x80\xEB\xB2\x88\xED\x98\xB8"
        )
    };
}

pub(super) const DETECTORS: &[Detector] = &[
    Detector {
        entity: Entity::Login,
        needs: b":@/",
        how: How::Pattern(
            r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://(?P<it>[^\s/:@\x00<>{}$]{0,100}:[^\s/@\x00<>{}$]{1,200})@",
            login,
        ),
    },
    Detector {
        entity: Entity::Secret,
        needs: b"=",
        how: How::Pattern(
            r"(?i)[?&;#](?:[a-z_-]{0,24}token|(?:api|access|auth|app|client|private|secret|subscription)[_-]?key|key|sig|signature|[a-z_-]{0,24}secret|pass(?:word|wd|phrase)?|pwd|auth|code|session(?:_?id)?|sid|jwt|x-amz-(?:signature|credential|security-token)|x-goog-signature)=(?P<it>[^\s&#\x22'<>\x00]{4,512})",
            parameter,
        ),
    },
    Detector {
        entity: Entity::Secret,
        needs: b"",
        how: How::Pattern(
            r"(?i)(?:\bauthorization[\x22']?\s{0,2}[:=]\s{0,2}[\x22']?(?:[a-z]{3,12} )?|\b(?:bearer|basic) |\bx-api-key[\x22']?\s{0,2}[:=]\s{0,2}[\x22']?)(?P<it>[a-z0-9._~+/=-]{12,2048})",
            header,
        ),
    },
    Detector {
        entity: Entity::Secret,
        needs: b"",
        how: How::Pattern(
            concat!(
                r"(?i)(?:",
                names!(),
                r")[a-z0-9_]{0,12}[\x22'`]{0,2}\]?\s{0,3}(?:=>|:=|==?|:)\s{0,3}",
                r"(?P<it>\x22[^\x22\s\x00]{4,200}\x22|'[^'\s\x00]{4,200}'|`[^`\s\x00]{4,200}`|[^\s\x22'`,;\x00]{4,200})"
            ),
            assigned,
        ),
    },
    Detector {
        entity: Entity::Secret,
        needs: b"",
        how: How::Pattern(
            concat!(
                r"(?i)\b(?:",
                names!(),
                r")(?:(?: is| ist| est| es| \xC3\xA9| \xC3\xA8| to|\xE6\x98\xAF|\xE3\x81\xAF)(?: now)?:? {0,2}| {1,2})",
                r"(?P<it>\x22[^\x22\s\x00]{4,200}\x22|'[^'\s\x00]{4,200}'|`[^`\s\x00]{4,200}`|[^\s\x22'`,;\x00]{4,200})"
            ),
            said,
        ),
    },
];

fn login(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let it = &text[range.clone()];
    let (user, password) = it.split_once(':')?;
    let documented = user == "user" && matches!(password, "pass" | "password");
    (!is_stand_in(password) && !documented).then_some(range)
}

fn parameter(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let end = trim_sentence(&text[range.clone()]) + range.start;
    let it = &text[range.start..end];
    (mixed(it) && !is_stand_in(it) && it.len() >= 6).then_some(range.start..end)
}

fn header(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let end = trim_sentence(&text[range.clone()]) + range.start;
    let it = &text[range.start..end];
    (mixed(it) && !is_stand_in(it)).then_some(range.start..end)
}

/// `password = "..."`: what is quoted is the secret; what is not must look like none of the words of code.
fn assigned(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let it = &text[range.clone()];
    if let Some(inner) = unquoted(it) {
        let open = before(text, range.start);
        // "token: 'string'", "password = 'password'": words that name a thing are not the thing, unless written as in
        // a file of settings.
        let fits = !is_stand_in(inner) && (mixed(inner) || odd(inner)) && open != b'[';
        return fits.then(|| range.start + 1..range.end - 1);
    }
    let end = trim_sentence(before_next_parameter(it)) + range.start;
    let it = &text[range.start..end];
    (looks_chosen(it) && !is_stand_in(it)).then_some(range.start..end)
}

/// "the password is ...".
fn said(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let it = &text[range.clone()];
    if let Some(inner) = unquoted(it) {
        let fits = !is_stand_in(inner) && (mixed(inner) || odd(inner));
        return fits.then(|| range.start + 1..range.end - 1);
    }
    let end = trim_sentence(it) + range.start;
    let it = &text[range.start..end];
    let versioned = it.len() < 6;
    (looks_chosen(it) && mixed(it) && !versioned && !is_stand_in(it)).then_some(range.start..end)
}

fn unquoted(text: &str) -> Option<&str> {
    let first = text.bytes().next().filter(|byte| matches!(byte, b'"' | b'\'' | b'`'))?;
    (text.len() > 2 && text.as_bytes()[text.len() - 1] == first).then(|| &text[1..text.len() - 1])
}

/// "abc&page=1" is a value and the next parameter.
fn before_next_parameter(text: &str) -> &str {
    let named = |at: &usize| {
        let rest = &text[at + 1..];
        rest.find('=').is_some_and(|to| {
            to > 0 && rest[..to].bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
    };
    let cut = text.match_indices('&').map(|(at, _)| at).find(named);
    &text[..cut.unwrap_or(text.len())]
}

/// The length without what ends a sentence or a bracket that was opened before.
fn trim_sentence(text: &str) -> usize {
    let text = text.trim_end_matches(['.', ',', ';', ':', '!', '?']);
    let open = text.contains(['(', '[', '{']);
    if open { text.len() } else { text.trim_end_matches([')', ']', '}', '>', '.']).len() }
}

/// Letters and digits together.
fn mixed(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits > 0 && text.chars().any(char::is_alphabetic) || digits >= 4 && digits == text.len()
}

/// Signs that a word does not have.
fn odd(text: &str) -> bool {
    text.bytes()
        .any(|byte| matches!(byte, b'!' | b'@' | b'#' | b'$' | b'%' | b'^' | b'&' | b'*' | b'+' | b'?'))
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// A value that somebody chose or a machine drew, not an expression: digits or odd signs, no calls, paths, members.
fn looks_chosen(text: &str) -> bool {
    let expression = text.contains(['(', '[', '{', '<', '\\', '|'])
        || text.starts_with(['$', '&', '*', '@', '-', '/', '.', '%', '='])
        || text.contains("::")
        || text.contains("->")
        || text.contains("//");
    // "self.token2", "config.v1.key": members of something.
    let member = text.contains('.')
        && text
            .split('.')
            .all(|part| part.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_'));
    // "token_2", "tokens1", "int64", "0x1f": names and numbers of code.
    let bytes = text.as_bytes();
    let lower = bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_');
    let digits_at_end = bytes.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let name = lower && digits == digits_at_end && digits < 3 && bytes.contains(&b'_');
    let number = bytes[0].is_ascii_digit()
        && bytes.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b',' | b'k' | b'K'));
    !expression && !member && !name && !number && (mixed(text) || odd(text))
}

/// Words that stand for a secret in examples and templates.
fn is_stand_in(text: &str) -> bool {
    let lower = text.to_lowercase();
    let template = lower.starts_with(['<', '{', '$', '%', '['])
        || lower.contains("${")
        || lower.contains("{{")
        || lower.contains("%(")
        || lower.contains("{}");
    let says = [
        "your",
        "example",
        "placeholder",
        "changeme",
        "change_me",
        "redacted",
        "dummy",
        "<",
        "...",
        "xxxx",
        "****",
    ];
    template || says.iter().any(|word| lower.contains(word))
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
    fn logins_and_parameters_of_urls() {
        becomes(&[
            ("postgres://ada:s3cret@db.example.org/x", "postgres://[LOGIN]@db.example.org/x"),
            ("https://a.example/x?id=7&token=abc123def&y=1", "https://a.example/x?id=7&token=[SECRET]&y=1"),
            ("redis://:hunter2hunter2@cache:6379", "redis://[LOGIN]@cache:6379"),
        ]);
    }

    #[test]
    fn values_of_named_secrets() {
        becomes(&[
            ("password = 'hunter2!'", "password = '[SECRET]'"),
            ("DB_PASSWORD=correct7horse", "DB_PASSWORD=[SECRET]"),
            ("{\"client_secret\": \"a1b2c3d4\"}", "{\"client_secret\": \"[SECRET]\"}"),
            ("my password is Tr0ub4dor&3.", "my password is [SECRET]."),
            ("Authorization: Bearer abc123def456ghi789", "Authorization: Bearer [SECRET]"),
            ("contraseña: perro123", "contraseña: [SECRET]"),
            ("密码：abc12345", "密码：[SECRET]"),
        ]);
    }

    #[test]
    fn code_that_only_speaks_of_secrets_stays() {
        none_of(&[
            "password = get_password()",
            "token: str",
            "token = tokens[i + 1]",
            "max_tokens=4096",
            "secret: String,",
            "password=\"your-password-1\"",
            "api_key=os.environ['KEY']",
            "password: ${DB_PASSWORD}",
            "the token is invalid because it expired",
            "password must be 8 characters",
        ]);
    }
}
