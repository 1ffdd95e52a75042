//! Identities: parsed once at the border, trusted inside.
//!
//! A value of one of these types is well formed by construction, so nothing further in checks again. Every parser
//! reports what was wrong and what to do, and never repeats the text it was given: an id may hold what a user wrote.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not the identity it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}; {remedy}")]
pub struct InvalidId {
    what: &'static str,
    problem: &'static str,
    remedy: &'static str,
}

impl InvalidId {
    const fn new(what: &'static str, problem: &'static str, remedy: &'static str) -> Self {
        Self { what, problem, remedy }
    }
}

/// Names that people choose: shared rules, so that each of them is safe in a URL, a log line and a metric label.
fn check_name(what: &'static str, text: &str, max: usize) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::new(what, "is empty", "give it at least one character"));
    }
    if text.len() > max {
        return Err(InvalidId::new(what, "is too long", "the longest has 200 bytes"));
    }
    if text.chars().any(|c| c.is_control() || c == '/' || c == '\\') {
        return Err(InvalidId::new(
            what,
            "has a slash, a backslash or a control character",
            "use letters, digits, '-', '_', '.' or ':'",
        ));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Parses a name.
            ///
            /// # Errors
            /// [`InvalidId`] when it is empty, longer than 200 bytes, or has a slash or a control character.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                check_name($what, text, 200)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// A task with one success criterion, for example `research_summary`.
    Goal, "the goal's name"
}
name! {
    /// Isolates learning between users of one goal.
    Pipeline, "the pipeline's id"
}
name! {
    /// A coarse, cheap class of the request.
    Bucket, "the bucket's name"
}
name! {
    /// Names a signal, so that sending it again changes nothing. It is kept as it is: put nothing personal into it.
    SignalId, "the signal's id"
}
/// The caller's own name of a conversation. It exists only until it is hashed (see [`KeyedHash`]), and shows itself
/// to no log: people name conversations after users.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// Parses a session's id.
    ///
    /// # Errors
    /// [`InvalidId`] when it is empty, longer than 200 bytes, or has a slash or a control character.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        check_name("the session id", text, 200)?;
        Ok(Self(Arc::from(text)))
    }

    /// The id as text, to be hashed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

impl SignalId {
    /// The id under which an attempt's own provider outcome stands in a register.
    pub(crate) fn provider() -> Self {
        Self(Arc::from("provider"))
    }
}

impl Default for Bucket {
    /// The bucket of a request that nothing is known of.
    fn default() -> Self {
        static ALL: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("all"));
        Self(Arc::clone(&ALL))
    }
}

fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let digits = text.as_bytes();
    if digits.len() != 32 {
        return None;
    }
    let nibble = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0u8; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (nibble(pair[0])? << 4) | nibble(pair[1])?;
    }
    Some(bytes)
}

fn write_hex(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type([u8; 16]);

        impl $type {
            /// The identity with these 16 bytes, as a ledger kept them.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes, big end first.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_id! {
    /// Names a decision: 32 lowercase hex digits, not all zero.
    TraceId
}
hex_id! {
    /// Names a path: a hash of its model, tools, params and prompts (see [`crate::path::PathSpec::id`]).
    PathId
}
hex_id! {
    /// A session, user or caller's run id after hashing with the installation's secret: what the ledger keeps of it.
    KeyedHash
}

impl FromStr for TraceId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match parse_hex(text) {
            Some(bytes) if bytes != [0; 16] => Ok(Self(bytes)),
            _ => Err(InvalidId::new(
                "the trace id",
                "is malformed",
                "it has 32 lowercase hexadecimal digits, not all zero, no dashes",
            )),
        }
    }
}

impl FromStr for PathId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        parse_hex(text).map(Self).ok_or(InvalidId::new(
            "the path id",
            "is malformed",
            "it has 32 lowercase hexadecimal digits",
        ))
    }
}

impl FromStr for KeyedHash {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        parse_hex(text).map(Self).ok_or(InvalidId::new(
            "the hash",
            "is malformed",
            "it has 32 lowercase hexadecimal digits",
        ))
    }
}

/// The installation's secret under which session and user ids are hashed before anything is queued or stored.
///
/// Without it a hash says nothing; with it the same id always gives the same hash, so evidence still joins.
#[derive(Clone)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// A key of these 32 secret bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Hashes `text`; `domain` keeps equal texts of different kinds (a session, a user) apart.
    pub fn hash(&self, domain: &'static str, text: &str) -> KeyedHash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(domain.as_bytes()).update(&[0]).update(text.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        KeyedHash(bytes)
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(secret)")
    }
}

/// A moment: microseconds since 1970-01-01T00:00:00Z.
///
/// Finer than anybody needs to know, so that what one process does in turn has moments in that order: a message that is
/// reported just before the next request is made grades the answer before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Microseconds from `earlier` to `self`; negative if the clock went back.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_32_lowercase_hex_digits_and_not_zero() {
        let good = "0123456789abcdef0123456789abcdef";
        assert_eq!(good.parse::<TraceId>().unwrap().to_string(), good);
        for bad in [
            "",
            "0123456789ABCDEF0123456789abcdef",
            "0123456789abcdef0123456789abcde",
            "01234567-89ab-cdef-0123-456789abcdef",
            "00000000000000000000000000000000",
            "ééééééééééééééééé",
        ] {
            assert!(bad.parse::<TraceId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_with_a_slash_or_a_control_character_is_refused() {
        for bad in ["", "a/b", "a\\b", "a\nb", "../x", &"x".repeat(201)] {
            assert!(SessionId::new(bad).is_err(), "{bad}");
        }
        assert!(SessionId::new("user-session-123").is_ok());
        assert!(SessionId::new("사용자 12").is_ok());
    }

    #[test]
    fn an_error_never_repeats_what_it_was_given() {
        let error = SessionId::new("secret/of-a-user").unwrap_err().to_string();
        let shown = format!("{:?}", SessionId::new("secret-of-a-user").unwrap());
        assert!(!error.contains("secret") && !shown.contains("secret"), "{error} {shown}");
    }

    #[test]
    fn a_hash_depends_on_key_domain_and_text() {
        let (k1, k2) = (HashKey::new([1; 32]), HashKey::new([2; 32]));
        assert_eq!(k1.hash("session", "a"), k1.hash("session", "a"));
        assert_ne!(k1.hash("session", "a"), k2.hash("session", "a"));
        assert_ne!(k1.hash("session", "a"), k1.hash("user", "a"));
        assert!(!format!("{k1:?}").contains('1'));
    }
}
