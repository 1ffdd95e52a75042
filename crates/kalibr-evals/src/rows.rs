//! Rows of data in JSON.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::json::{Found, parse};
use crate::spec::RowsSpec;
use crate::verdict::{Finding, Reason, Skip};

type Row = Map<String, Value>;

/// Most fields of all rows together, to be counted over.
const FIELDS: usize = 10_000;

/// The rows of a text: its JSON if it is some, or its lines if each is a JSON object.
pub(crate) enum Rows {
    These(Vec<Row>),
    /// Only how many there are.
    Counted(u64),
}

impl Rows {
    /// `None` where there is nothing of the kind.
    pub(crate) fn of(text: &str, json: &Found) -> Option<Self> {
        match json {
            Found::Json(json) => Self::in_json(json),
            Found::NotJson => Self::in_lines(text),
            Found::TooLarge => None,
        }
    }

    fn in_json(json: &Value) -> Option<Self> {
        match json {
            Value::Array(items) => Some(Self::in_list(items)),
            Value::Object(fields) => {
                if let Some(count) = fields.get("rows_out").and_then(Value::as_u64) {
                    return Some(Self::Counted(count));
                }
                let mut lists = fields.values().filter_map(Value::as_array);
                match (lists.next(), lists.next()) {
                    // {"data": [...], "total": 2}
                    (Some(list), None) if list.is_empty() || list.iter().any(Value::is_object) => {
                        Some(Self::in_list(list))
                    }
                    _ => Some(Self::These(vec![fields.clone()])),
                }
            }
            _ => None,
        }
    }

    fn in_list(items: &[Value]) -> Self {
        let rows: Vec<Row> = items.iter().filter_map(Value::as_object).cloned().collect();
        // Rows of cells have no names: they are counted, and each is taken to be filled.
        if rows.len() == items.len() { Self::These(rows) } else { Self::Counted(items.len() as u64) }
    }

    fn in_lines(text: &str) -> Option<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let row = |line| match parse(line) {
            Found::Json(Value::Object(row)) => Some(row),
            _ => None,
        };
        let rows: Vec<Row> = lines.map(row).collect::<Option<_>>()?;
        (!rows.is_empty()).then_some(Self::These(rows))
    }

    fn count(&self) -> u64 {
        match self {
            Self::These(rows) => rows.len() as u64,
            Self::Counted(count) => *count,
        }
    }

    /// The share of fields that are filled, over all fields that any row has; `None` where there are none to be seen.
    fn filled(&self) -> Option<f64> {
        let Self::These(rows) = self else { return None };
        let names: BTreeSet<&String> = rows.iter().flat_map(Row::keys).take(FIELDS).collect();
        let all = names.len() * rows.len();
        let filled = rows.iter().flat_map(Row::values).filter(|value| is_filled(value)).count();
        (all > 0).then(|| (filled as f64 / all as f64).min(1.0))
    }
}

fn is_filled(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        _ => true,
    }
}

pub(crate) fn check(rows: Option<&Rows>, spec: &RowsSpec) -> Finding {
    let Some(rows) = rows else { return Finding::NotApplicable(Skip::Nothing) };
    if rows.count() < spec.min {
        return Finding::Failed(Reason::TooFewRows);
    }
    Finding::unless(rows.filled().is_some_and(|filled| filled < spec.filled), Reason::RowsNotFilled)
}

/// Whether the answer's rows have a smaller share of nulls than the input's; where the input has none, whether they have
/// none either.
pub(crate) fn fewer_nulls(rows: Option<&Rows>, input: Option<&Rows>) -> Finding {
    let filled = rows.and_then(Rows::filled).zip(input.and_then(Rows::filled));
    let Some((after, before)) = filled else { return Finding::NotApplicable(Skip::Nothing) };
    let is_better = after > before || (after == 1.0 && before == 1.0);
    Finding::unless(!is_better, Reason::NoFewerNulls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Option<Rows> {
        Rows::of(text, &parse(text))
    }

    #[test]
    fn rows_are_found_counted_and_their_fields_weighed() {
        let spec = RowsSpec { min: 1, filled: 0.8 };
        for (text, finding) in [
            (r#"[{"a": 1, "b": "x"}]"#, Finding::Passed),
            (r#"{"data": [{"a": 1}], "total": 1}"#, Finding::Passed),
            (r#"{"name": "Ada", "born": 1815}"#, Finding::Passed),
            ("{\"a\": 1}\n{\"a\": 2}\n", Finding::Passed),
            (r#"[["a", 1], ["b", 2]]"#, Finding::Passed),
            (r#"{"rows_out": 3}"#, Finding::Passed),
            (r#"{"rows_out": 0}"#, Finding::Failed(Reason::TooFewRows)),
            ("[]", Finding::Failed(Reason::TooFewRows)),
            (r#"{"data": []}"#, Finding::Failed(Reason::TooFewRows)),
            (r#"[{"a": null, "b": "", "c": 1}]"#, Finding::Failed(Reason::RowsNotFilled)),
            (r#"[{"a": 1, "b": 2}, {"a": 1}]"#, Finding::Failed(Reason::RowsNotFilled)),
            ("The page lists three firms.", Finding::NotApplicable(Skip::Nothing)),
            ("7", Finding::NotApplicable(Skip::Nothing)),
        ] {
            assert_eq!(check(rows(text).as_ref(), &spec), finding, "{text}");
        }
    }

    #[test]
    fn nulls_must_become_fewer() {
        let before = rows(r#"[{"a": 1, "b": null}]"#);
        for (after, finding) in [
            (r#"[{"a": 1, "b": 2}]"#, Finding::Passed),
            (r#"[{"a": 1, "b": null}]"#, Finding::Failed(Reason::NoFewerNulls)),
            ("done", Finding::NotApplicable(Skip::Nothing)),
        ] {
            assert_eq!(fewer_nulls(rows(after).as_ref(), before.as_ref()), finding, "{after}");
        }
        let full = rows(r#"[{"a": 1}]"#);
        assert_eq!(fewer_nulls(full.as_ref(), full.as_ref()), Finding::Passed);
        assert_eq!(fewer_nulls(full.as_ref(), None), Finding::NotApplicable(Skip::Nothing));
    }
}
