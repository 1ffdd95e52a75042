//! JSON Schemas, bounded.
//!
//! A schema of a few lines can take for ever: definitions that each refer twice to the next double with every one, a
//! schema that refers to itself in two branches doubles with every level of the JSON, and one that refers to itself
//! without going deeper never ends. Schemas come from contracts and, for tools, from callers. So before one is used it is
//! walked once as a validator would, with every reference followed: how many schemas apply to one place, and how often it
//! comes back to itself from one place. From that an upper bound of the work follows for JSON of any size.
//!
//! References leave neither the schema nor its root resource, so nothing is ever fetched; patterns run on a linear engine.

use std::collections::HashMap;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::limits;

/// Bytes of JSON text that count as one value: patterns and lengths read all of a text.
const TEXT_STEP: u64 = 64;

/// Keywords whose value is one schema for the same place.
const HERE: [&str; 4] = ["not", "if", "then", "else"];
/// Keywords whose value is a list of schemas for the same place.
const HERE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Keywords whose value is a map of schemas for the same place.
const HERE_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords whose value is one schema, or a list of them, for what is within.
const WITHIN: [&str; 9] = [
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "contentSchema",
];

/// Why a schema is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSchema {
    #[error("it is not a valid JSON Schema; a pattern may have no look-around and no back-reference")]
    Invalid,
    #[error("it is longer than {} kB; make it shorter", limits::SCHEMA >> 10)]
    TooLong,
    #[error("it nests deeper than {} levels, references included; make it flatter", limits::SCHEMA_DEPTH)]
    TooDeep,
    #[error(
        "with every reference followed it has more than {} schemas; let fewer definitions refer to each other",
        limits::SCHEMAS
    )]
    TooMany,
    #[error("a definition refers to itself without going deeper into the JSON, which would never end")]
    Endless,
    #[error("a reference leads nowhere; write those within the schema, such as \"#/$defs/name\"")]
    Reference,
    #[error(
        "it has an $id or $anchor below its root, or a $dynamicRef or $recursiveRef; refer with $ref to \"#/$defs/name\""
    )]
    Scope,
}

/// A schema that can be used.
pub(crate) struct Schema {
    validator: Validator,
    work: Work,
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schema").field("work", &self.work).finish_non_exhaustive()
    }
}

/// What a schema makes a validator do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Work {
    /// Most schemas that apply to one place.
    width: u64,
    /// How many times as many apply with every level, in a schema that refers to itself.
    branching: u64,
}

impl Schema {
    pub(crate) fn new(schema: &Value) -> Result<Self, BadSchema> {
        // A number of bytes that is about right: nothing here is worth writing it out for.
        if size(schema) > limits::SCHEMA {
            return Err(BadSchema::TooLong);
        }
        let work = Walk::over(schema)?;
        let validator = jsonschema::options()
            .offline()
            .should_validate_formats(true)
            .should_ignore_unknown_formats(true)
            .with_pattern_options(
                PatternOptions::regex().size_limit(limits::REGEX).dfa_size_limit(limits::REGEX),
            )
            .build(schema)
            .map_err(|_| BadSchema::Invalid)?;
        Ok(Self { validator, work })
    }

    /// Whether the JSON fits; `None` where it could take too long to find out.
    pub(crate) fn fits(&self, json: &Value) -> Option<bool> {
        let (values, depth) = measure(json);
        let branches = self.work.branching.checked_pow(depth)?;
        let steps = values.checked_mul(self.work.width)?.checked_mul(branches)?;
        (steps <= limits::SCHEMA_STEPS).then(|| self.validator.is_valid(json))
    }
}

/// How many values JSON has, long texts as several, and how deep it is.
fn measure(json: &Value) -> (u64, u32) {
    let within = |values: &mut dyn Iterator<Item = &Value>| {
        values
            .map(measure)
            .fold((1, 0), |(sum, deepest), (values, depth)| (sum + values, deepest.max(depth + 1)))
    };
    match json {
        Value::String(text) => (1 + text.len() as u64 / TEXT_STEP, 0),
        Value::Array(items) => within(&mut items.iter()),
        Value::Object(fields) => within(&mut fields.values()),
        _ => (1, 0),
    }
}

fn size(json: &Value) -> usize {
    match json {
        Value::String(text) => text.len() + 3,
        Value::Array(items) => items.iter().map(size).sum::<usize>() + 2,
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>() + 2
        }
        _ => 5,
    }
}

/// A step into JSON, as a schema sees it: to a field by its name, or to anything else.
type Place = Vec<u32>;

/// A walk over a schema as a validator makes it.
struct Walk<'a> {
    root: &'a Value,
    names: HashMap<&'a str, u32>,
    /// Schemas at each place.
    at: HashMap<Place, u64>,
    /// References at each place back to what is being walked.
    back: HashMap<Place, u64>,
    /// References being followed, and where they were met.
    open: Vec<(&'a str, Place)>,
    place: Place,
    schemas: usize,
    is_old: bool,
}

impl<'a> Walk<'a> {
    fn over(root: &'a Value) -> Result<Work, BadSchema> {
        let draft = root.get("$schema").and_then(Value::as_str).unwrap_or_default();
        let mut walk = Self {
            root,
            names: HashMap::new(),
            at: HashMap::new(),
            back: HashMap::new(),
            open: vec![("#", Place::new())],
            place: Place::new(),
            schemas: 0,
            is_old: ["draft-03", "draft-04"].iter().any(|old| draft.contains(old)),
        };
        walk.schema(root, 0)?;
        let most = |counts: &HashMap<Place, u64>| counts.values().copied().max().unwrap_or(1).max(1);
        Ok(Work { width: most(&walk.at), branching: most(&walk.back) })
    }

    fn schema(&mut self, schema: &'a Value, depth: usize) -> Result<(), BadSchema> {
        self.schemas += 1;
        if self.schemas > limits::SCHEMAS {
            return Err(BadSchema::TooMany);
        }
        if depth > limits::SCHEMA_DEPTH {
            return Err(BadSchema::TooDeep);
        }
        *self.at.entry(self.place.clone()).or_default() += 1;
        let Value::Object(keys) = schema else { return Ok(()) };
        for (key, value) in keys {
            match key.as_str() {
                "$ref" => self.follow(value, depth)?,
                "$dynamicRef" | "$recursiveRef" => return Err(BadSchema::Scope),
                "$id" | "$anchor" | "$dynamicAnchor" if self.schemas > 1 => return Err(BadSchema::Scope),
                // In drafts 3 and 4 that is what `$id` is now; later it says nothing.
                "id" if self.schemas > 1 && self.is_old && value.is_string() => return Err(BadSchema::Scope),
                key if HERE.contains(&key) => self.schema(value, depth + 1)?,
                key if HERE_LISTS.contains(&key) => {
                    self.all(value.as_array().into_iter().flatten(), depth)?;
                }
                key if HERE_MAPS.contains(&key) => {
                    self.all(value.as_object().into_iter().flat_map(|map| map.values()), depth)?;
                }
                key if WITHIN.contains(&key) => {
                    self.enter(0);
                    match value {
                        Value::Array(schemas) => self.all(schemas.iter(), depth)?,
                        value => self.schema(value, depth + 1)?,
                    }
                    self.place.pop();
                }
                "patternProperties" => {
                    self.enter(0);
                    self.all(value.as_object().into_iter().flat_map(|map| map.values()), depth)?;
                    self.place.pop();
                }
                "properties" => {
                    for (name, schema) in value.as_object().into_iter().flatten() {
                        let next = self.names.len() as u32 + 1;
                        let number = *self.names.entry(name).or_insert(next);
                        self.enter(number);
                        self.schema(schema, depth + 1)?;
                        self.place.pop();
                    }
                }
                // Lists of values are looked through one by one.
                "enum" => {
                    let values = value.as_array().map_or(0, Vec::len) as u64;
                    *self.at.entry(self.place.clone()).or_default() += values / 8;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn enter(&mut self, step: u32) {
        self.place.push(step);
    }

    fn all(&mut self, schemas: impl Iterator<Item = &'a Value>, depth: usize) -> Result<(), BadSchema> {
        for schema in schemas {
            self.schema(schema, depth + 1)?;
        }
        Ok(())
    }

    fn follow(&mut self, reference: &'a Value, depth: usize) -> Result<(), BadSchema> {
        let name = reference.as_str().ok_or(BadSchema::Reference)?;
        if let Some((_, met)) = self.open.iter().rev().find(|(open, _)| *open == name) {
            if *met == self.place {
                return Err(BadSchema::Endless);
            }
            *self.back.entry(self.place.clone()).or_default() += 1;
            return Ok(());
        }
        let pointer = name.strip_prefix('#').ok_or(BadSchema::Reference)?;
        let target = self.root.pointer(&unescaped(pointer)?).ok_or(BadSchema::Reference)?;
        self.open.push((name, self.place.clone()));
        self.schema(target, depth + 1)?;
        self.open.pop();
        Ok(())
    }
}

/// A pointer without the escapes of a URI.
fn unescaped(pointer: &str) -> Result<String, BadSchema> {
    let mut bytes = Vec::with_capacity(pointer.len());
    let mut rest = pointer.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits =
            [rest.next(), rest.next()].map(|digit| digit.and_then(|digit| char::from(digit).to_digit(16)));
        let [Some(high), Some(low)] = digits else { return Err(BadSchema::Reference) };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| BadSchema::Reference)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bad(schema: &Value) -> BadSchema {
        Schema::new(schema).map(|_| ()).unwrap_err()
    }

    #[test]
    fn json_is_held_against_a_schema() {
        let schema = Schema::new(&json!({
            "type": "object",
            "required": ["city"],
            "properties": {
                "city": {"type": "string", "minLength": 1},
                "day": {"type": "string", "format": "date"},
                "place": {"$ref": "#/$defs/place"},
            },
            "additionalProperties": false,
            "$defs": {"place": {"type": "string", "pattern": "^[A-Z]{2}$"}},
        }))
        .unwrap();
        for (json, fits) in [
            (json!({"city": "Paris"}), true),
            (json!({"city": "Paris", "day": "2026-02-28", "place": "FR"}), true),
            (json!({"city": "Paris", "day": "2026-02-30"}), false),
            (json!({"city": "Paris", "place": "France"}), false),
            (json!({"city": ""}), false),
            (json!({"town": "Paris"}), false),
            (json!("Paris"), false),
        ] {
            assert_eq!(schema.fits(&json), Some(fits), "{json}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_and_nothing_is_fetched() {
        assert_eq!(bad(&json!({"type": "objekt"})), BadSchema::Invalid);
        assert_eq!(bad(&json!([])), BadSchema::Invalid);
        assert_eq!(bad(&json!({"pattern": "(?=x)"})), BadSchema::Invalid);
        assert_eq!(bad(&json!({"$ref": "http://127.0.0.1:9/schema.json"})), BadSchema::Reference);
        assert_eq!(bad(&json!({"$ref": "#/$defs/nothing"})), BadSchema::Reference);
        assert_eq!(bad(&json!({"$schema": "http://127.0.0.1:9/draft"})), BadSchema::Invalid);
        assert_eq!(bad(&json!({"properties": {"a": {"$id": "http://x/y"}}})), BadSchema::Scope);
        assert_eq!(bad(&json!({"description": "x".repeat(limits::SCHEMA)})), BadSchema::TooLong);
        let escaped =
            Schema::new(&json!({"$ref": "#/$defs/a%20b~1c", "$defs": {"a b/c": {"type": "null"}}})).unwrap();
        assert_eq!((escaped.fits(&json!(null)), escaped.fits(&json!(1))), (Some(true), Some(false)));
    }

    #[test]
    fn schemas_that_take_for_ever_are_refused() {
        for endless in [
            json!({"$ref": "#"}),
            json!({"anyOf": [{"type": "null"}, {"$ref": "#"}]}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
        ] {
            assert_eq!(bad(&endless), BadSchema::Endless);
        }
        let mut defs = serde_json::Map::new();
        for n in 0..40 {
            let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
            defs.insert(format!("d{n}"), json!({"anyOf": [next, next]}));
        }
        defs.insert("d40".into(), json!({"type": "null"}));
        assert_eq!(bad(&json!({"$ref": "#/$defs/d0", "$defs": defs})), BadSchema::TooMany);

        let deep = (0..200).fold(json!({"type": "null"}), |schema, _| json!({"items": schema}));
        assert_eq!(bad(&deep), BadSchema::TooDeep);
    }

    #[test]
    fn a_schema_that_refers_to_itself_is_fine_as_deep_as_it_can_be_afforded() {
        let tree = Schema::new(&json!({
            "$defs": {"node": {
                "type": "object",
                "properties": {"left": {"$ref": "#/$defs/node"}, "right": {"$ref": "#/$defs/node"}},
                "additionalProperties": false,
            }},
            "$ref": "#/$defs/node",
        }))
        .unwrap();
        assert_eq!(tree.work.branching, 1);
        let deep = (0..60).fold(json!({}), |node, _| json!({"left": node}));
        assert_eq!(tree.fits(&deep), Some(true));

        let twice = Schema::new(&json!({
            "anyOf": [
                {"properties": {"a": {"$ref": "#"}, "no": false}, "required": ["no"]},
                {"properties": {"a": {"$ref": "#"}}},
            ],
        }))
        .unwrap();
        assert_eq!(twice.work.branching, 2);
        let of_depth = |depth| (0..depth).fold(json!({}), |node, _| json!({"a": node}));
        assert_eq!(twice.fits(&of_depth(8)), Some(true));
        assert_eq!(twice.fits(&of_depth(60)), None, "2^60 steps");
    }
}
