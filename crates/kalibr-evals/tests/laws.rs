//! What holds of every contract and every answer.

use kalibr_evals::{Answer, Contract, Finding, Finish, Reasons, Tool, ToolCall};
use proptest::prelude::*;

/// Texts made of what checks look for, and of anything.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[ -~]{0,8}",
        2 => any::<String>(),
        1 => proptest::sample::select(vec![
            "```", "```json\n", "```python\n", "~~~", "\n", "# Summary", "**Bold**", ": ", "{\"a\": 1}", "[", "]", "{", "}",
            "\"", "I can't help", "I'm sorry, ", "Error: ", "8/10", "-1,234.5e9", "SELECT * FROM t;", "def f(x):\n  return x",
            "fn main() { let x = 1; }", "spam", "日本語", "\u{feff}", "\u{0}", "e\u{301}", "İ", "ß", "null", "<h2>", "$(", "\\u0000",
        ]).prop_map(str::to_owned),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

/// Lines of contracts, right and wrong.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => proptest::sample::select(vec![
            "preset = \"code_generation\"", "preset = \"web_scraping\"", "preset = \"summarization\"", "non_empty = false",
            "complete = false", "tools = \"required\"", "no_refusal = true", "no_error = true", "chars = { min = 1, max = 9 }",
            "words = { max = 3 }", "json = \"fenced\"", "json_schema = { type = \"object\" }", "rows = { filled = 0.5 }",
            "fewer_nulls = true", "labels = [\"spam\", \"İ\"]", "number = { anywhere = true, min = 0 }", "number = { max = 3 }",
            "regex = \"a+b\"", "regex_absent = [\"x\"]", "sections = [\"Summary\"]", "language = [\"en\", \"ja\"]",
            "max_copy = 0.5", "compression = { max = 1 }", "code = \"any\"", "code = [\"sql\", \"bash\"]", "fences_parse = true",
        ]).prop_map(str::to_owned),
        1 => "[a-z_]{1,12} = [ -~]{0,20}",
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_contract_and_no_answer_breaks_it(
        lines in proptest::collection::vec(line(), 0..6),
        (text, input, refusal) in (proptest::option::of(text()), proptest::option::of(text()), proptest::option::of(text())),
        calls in proptest::collection::vec((text(), text()), 0..3),
        tools in proptest::option::of(proptest::collection::vec((text(), proptest::option::of(text())), 0..3)),
        finish in proptest::sample::select(vec![Finish::Stop, Finish::ToolCalls, Finish::Length, Finish::ContentFilter, Finish::Unknown]),
    ) {
        let contract = match Contract::parse(&lines.join("\n")) {
            Ok(contract) => contract,
            Err(error) => {
                prop_assert!(!error.to_string().is_empty());
                return Ok(());
            }
        };
        let calls: Vec<ToolCall<'_>> =
            calls.iter().map(|(name, arguments)| ToolCall { name, arguments }).collect();
        let tools: Option<Vec<Tool<'_>>> = tools.as_ref().map(|tools| {
            tools.iter().map(|(name, schema)| Tool { name, parameters: schema.as_deref() }).collect()
        });
        let answer = Answer {
            text: text.as_deref(),
            finish,
            refusal: refusal.as_deref(),
            tool_calls: &calls,
            tools: tools.as_deref(),
            input: input.as_deref(),
        };
        let verdict = contract.check(&answer);
        prop_assert_eq!(&verdict, &contract.check(&answer), "the same answer gets the same verdict");
        let failed = verdict.findings().iter().filter(|(_, finding)| matches!(finding, Finding::Failed(_))).count();
        prop_assert_eq!(verdict.passed(), failed == 0);
        prop_assert_eq!(verdict.category().is_some(), failed > 0);
        prop_assert_eq!(verdict.score().is_some(), verdict.is_conclusive());
        if let Some(score) = verdict.score() {
            prop_assert!((0.0..=1.0).contains(&score));
            prop_assert_eq!(score == 1.0, failed == 0);
        }
        let reasons: Reasons = verdict.reasons().collect();
        prop_assert_eq!(Reasons::from_bits(reasons.bits()), reasons);
    }

    #[test]
    fn any_text_is_a_contract_or_an_error(text in any::<String>()) {
        let _ = Contract::parse(&text);
    }

    /// Schemas come with requests: none may break, fetch or loop.
    #[test]
    fn any_schema_and_any_json_come_to_an_end(schema in schema(4), json in json(4)) {
        let text = serde_json::json!({ "json_schema": schema }).to_string();
        if let Ok(contract) = Contract::parse(&text) {
            let json = json.to_string();
            contract.check(&Answer { text: Some(&json), ..Answer::default() });
        }
    }
}

fn json(depth: u32) -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        "[a-c]{0,3}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(depth, 64, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map("[a-c]", inner, 0..3)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn schema(depth: u32) -> impl Strategy<Value = serde_json::Value> {
    use serde_json::json;
    let leaf = prop_oneof![
        Just(json!({ "type": "string", "pattern": "^(a|b)*$" })),
        Just(json!({ "type": ["integer", "null"], "maximum": 3 })),
        Just(json!({ "enum": [1, "a", null] })),
        Just(json!({ "$ref": "#" })),
        Just(json!({ "$ref": "#/properties/a" })),
        Just(json!({ "$ref": "https://example.com/" })),
        Just(json!({ "uniqueItems": true, "minItems": 1 })),
        Just(json!(true)),
        json(1),
    ];
    leaf.prop_recursive(depth, 48, 3, |inner| {
        let list = proptest::collection::vec(inner.clone(), 1..3);
        let map = proptest::collection::btree_map("[a-c]", inner.clone(), 0..3)
            .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect()));
        prop_oneof![
            (proptest::sample::select(vec!["anyOf", "allOf", "oneOf", "prefixItems"]), list)
                .prop_map(|(key, list)| json!({ key: list })),
            (proptest::sample::select(vec!["not", "items", "contains", "additionalProperties", "if"]), inner)
                .prop_map(|(key, schema)| json!({ key: schema })),
            (
                proptest::sample::select(vec![
                    "properties",
                    "patternProperties",
                    "dependentSchemas",
                    "$defs"
                ]),
                map
            )
                .prop_map(|(key, map)| json!({ key: map })),
        ]
    })
}
