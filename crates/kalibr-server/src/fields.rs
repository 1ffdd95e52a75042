//! JSON objects, taken apart field by field.
//!
//! serde's own complaints repeat the text that they stumble over, which may be a user's. So bodies are read into a tree,
//! whose syntax errors name a place and nothing else, and each field is then asked for by name and kind.

use std::str::FromStr;

use kalibr_engine::core::ids::{InvalidId, Timestamp, TraceId};
use serde_json::{Map, Value};

use crate::error::ApiError;

/// What the Kalibr clients send beside what is learned from: texts of users and names that say nothing more. Accepted,
/// so that those clients work, and dropped unread.
const DROPPED: [&str; 17] = [
    "category",
    "comment",
    "dimension",
    "dimensions",
    "failure_reason",
    "goal",
    "meta_prompt_id",
    "metadata",
    "model",
    "momentum",
    "pipeline_step",
    "raw_evidence",
    "reason",
    "session_momentum",
    "signal_source",
    "step_name",
    "tenant_id",
];

/// The latest second of the year 9999; more is a moment in milliseconds, most likely.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// A JSON object whose fields are taken out one by one. `null` is as good as absent.
pub(crate) struct Fields(Map<String, Value>);

/// A body may hold what a user wrote: it shows itself to no log.
impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fields(..)")
    }
}

impl Fields {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Err(ApiError::bad("missing_body", "the body is empty; send a JSON object"));
        }
        let text = std::str::from_utf8(body).map_err(|error| {
            let at = error.valid_up_to();
            ApiError::bad(
                "invalid_utf8",
                format!("the body is not valid UTF-8 from byte {at} on; send UTF-8"),
            )
        })?;
        let value = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let message = format!(
                "the body is not valid JSON: it breaks off or goes wrong at line {line}, column {column}"
            );
            ApiError::bad("invalid_json", message)
        })?;
        Self::of(value)
            .ok_or_else(|| ApiError::bad("invalid_json", "the body is JSON but not an object; send {...}"))
    }

    pub(crate) fn of(value: Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self(map)),
            _ => None,
        }
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, ApiError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ApiError::field(key, format!("{key} is a text; send it in quotes"))),
        }
    }

    pub(crate) fn number(&mut self, key: &str) -> Result<Option<f64>, ApiError> {
        self.take(key)
            .map(|value| {
                value.as_f64().ok_or_else(|| ApiError::field(key, format!("{key} is a number; send one")))
            })
            .transpose()
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, ApiError> {
        self.take(key)
            .map(|value| {
                value.as_bool().ok_or_else(|| ApiError::field(key, format!("{key} is true or false")))
            })
            .transpose()
    }

    pub(crate) fn list(&mut self, key: &str) -> Result<Option<Vec<Value>>, ApiError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(ApiError::field(key, format!("{key} is a list; send it in brackets"))),
        }
    }

    /// A text that is an id.
    pub(crate) fn id<T: FromStr<Err = InvalidId>>(&mut self, key: &str) -> Result<Option<T>, ApiError> {
        self.text(key)?.map(|text| text.parse().map_err(|error| at(key, &error))).transpose()
    }

    /// A trace id; other clients write it as a UUID with dashes, which is the same id.
    pub(crate) fn trace(&mut self, key: &str) -> Result<Option<TraceId>, ApiError> {
        self.text(key)?.map(|text| undashed(text).parse().map_err(|error| at(key, &error))).transpose()
    }

    /// A moment: RFC 3339, or seconds since 1970.
    pub(crate) fn time(&mut self, key: &str) -> Result<Option<Timestamp>, ApiError> {
        let moment = match self.take(key) {
            None => return Ok(None),
            Some(Value::String(text)) => text.parse().ok().map(jiff::Timestamp::as_microsecond),
            Some(value) => value
                .as_f64()
                .filter(|seconds| (0.0..=LAST_SECOND).contains(seconds))
                .map(|seconds| (seconds * 1e6).round() as i64),
        };
        let moment = moment.ok_or_else(|| {
            let form =
                "is a moment: send RFC 3339 such as \"2026-01-31T12:00:00Z\", or the seconds since 1970";
            ApiError::field(key, format!("{key} {form}"))
        })?;
        Ok(Some(Timestamp(moment)))
    }

    /// Nothing may be left but what clients send in vain.
    ///
    /// A misspelt field must not pass in silence: it would be taken for an absent one.
    pub(crate) fn none_left(self) -> Result<(), ApiError> {
        self.none_left_but(&DROPPED)
    }

    /// Nothing may be left but these.
    pub(crate) fn none_left_but(self, dropped: &[&str]) -> Result<(), ApiError> {
        let Some(key) = self.0.into_iter().map(|(key, _)| key).find(|key| !dropped.contains(&key.as_str()))
        else {
            return Ok(());
        };
        // A key that does not look like one may be a text that slipped into its place.
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if (1..=64).contains(&key.len()) && key.bytes().all(plain) {
            return Err(ApiError::field(
                &key,
                format!("{key} is no field of this; leave it out, or check its spelling"),
            ));
        }
        Err(ApiError::bad("invalid_field", "a field is unknown; leave it out, or check its spelling"))
    }
}

/// A field that must be there.
pub(crate) fn required<T>(key: &str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::field(key, format!("{key} is missing; send it")))
}

fn at(key: &str, error: &InvalidId) -> ApiError {
    ApiError::field(key, error.to_string())
}

/// A UUID as other clients write it, as a trace id; anything else as it is.
fn undashed(text: String) -> String {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    if groups == [8, 4, 4, 4, 12] { text.replace('-', "").to_ascii_lowercase() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn a_uuid_with_dashes_is_the_same_trace_id_and_other_dashes_are_not() {
        let trace = |text: &str| fields(&format!(r#"{{"t": "{text}"}}"#)).trace("t");
        let plain = trace("0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(trace("01234567-89AB-cdef-0123-456789abcdef").unwrap(), plain);
        assert!(trace("0123456789AB-cdef-0123-456789abcdef").is_err());
        assert!(trace("0123456789ABCDEF0123456789ABCDEF").is_err());
    }

    #[test]
    fn a_moment_is_rfc_3339_or_seconds() {
        let time = |json: &str| fields(&format!(r#"{{"at": {json}}}"#)).time("at");
        let moment = Some(Timestamp(1_700_000_000_500_000));
        assert_eq!(time("1700000000.5").unwrap(), moment);
        assert_eq!(time(r#""2023-11-14T22:13:20.5Z""#).unwrap(), moment);
        assert_eq!(time(r#""2023-11-15T00:13:20.5+02:00""#).unwrap(), moment);
        assert_eq!(time("null").unwrap(), None);
        for bad in ["1700000000500", "-1", "true", r#""yesterday""#, r#""2023-11-14""#] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unknown_field_is_named_only_where_it_reads_as_a_name() {
        let message = |json: &str| format!("{:?}", fields(json).none_left().unwrap_err());
        assert!(message(r#"{"strenght": 1}"#).contains("strenght"));
        assert!(!message(r#"{"My name is Ann": 1}"#).contains("Ann"));
        assert!(fields(r#"{"reason": "My name is Ann", "dimensions": ["tone"]}"#).none_left().is_ok());
    }
}
