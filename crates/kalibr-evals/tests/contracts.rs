//! Contracts as people write them, and whole verdicts.

use kalibr_core::outcome::FailureCategory;
use kalibr_evals::{
    Answer, Check, Contract, ContractSpec, Finding, Finish, Preset, Reason, Skip, Tool, ToolCall, Verdict,
};

fn contract(toml: &str) -> Contract {
    Contract::parse(toml).unwrap_or_else(|error| panic!("{toml}: {error}"))
}

fn said(text: &str) -> Answer<'_> {
    Answer { text: Some(text), finish: Finish::Stop, ..Answer::default() }
}

fn preset(preset: Preset) -> Contract {
    Contract::new(ContractSpec { preset: Some(preset), ..ContractSpec::default() }).unwrap()
}

fn reasons(verdict: &Verdict) -> Vec<Reason> {
    verdict.reasons().collect()
}

#[test]
fn a_contract_is_the_same_in_toml_and_in_json() {
    let toml = r#"
        labels = ["spam", "not_spam"]
        words = { max = 3 }
        language = "en"
        number = { min = 0, max = 1, integer = true }
    "#;
    let json = r#"{"labels": ["spam", "not_spam"], "words": {"max": 3}, "language": ["en"],
                   "number": {"min": 0, "max": 1, "integer": true}}"#;
    let of_toml: ContractSpec = toml::from_str(toml).unwrap();
    let of_json: ContractSpec = serde_json::from_str(json).unwrap();
    assert_eq!(of_toml, of_json);
    let again: ContractSpec = serde_json::from_str(&serde_json::to_string(&of_toml).unwrap()).unwrap();
    assert_eq!(again, of_toml);
    assert!(Contract::parse(toml).is_ok() && Contract::parse(json).is_ok());
}

#[test]
fn a_mistake_is_told_with_its_key_and_what_to_do() {
    for (text, words) in [
        ("lables = [\"a\"]", ["lables", "labels"]),
        ("words = 3", ["struct", "Span"]),
        ("words = { atleast = 3 }", ["atleast", "min"]),
        ("words = { min = 3, max = 2 }", ["words", "greater"]),
        ("number = { min = 3, max = 2 }", ["number", "greater"]),
        ("chars = { min = -1 }", ["-1", "u64"]),
        ("labels = []", ["labels", "at least one"]),
        ("labels = [\"...\"]", ["labels", "letter"]),
        ("regex = \"(\"", ["regex", "1"]),
        ("regex = [\"a\", \"(?=b)\"]", ["regular expression 2", "look-around"]),
        ("regex = \"(a{1000}){1000}\"", ["regex", "large"]),
        ("json = \"loose\"", ["loose", "fenced"]),
        ("json_schema = { type = \"objekt\" }", ["json_schema", "valid"]),
        ("json_schema = { \"$ref\" = \"https://example.com/x\" }", ["json_schema", "#/$defs"]),
        ("language = \"xx\"", ["language", "xx"]),
        ("code = [\"cobol\"]", ["code", "cobol"]),
        ("max_copy = 8", ["max_copy", "0 to 1"]),
        ("rows = { filled = 80 }", ["rows", "0 to 1"]),
        ("compression = { max = -1 }", ["compression", "0 or more"]),
        ("preset = \"poetry\"", ["poetry", "summarization"]),
        ("language = 3", ["text", "list"]),
        ("no equals sign", ["read", "expected"]),
        ("{\"labels\": [", ["read", "line"]),
    ] {
        let error = Contract::parse(text).map(|_| ()).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
    }
}

#[test]
fn what_a_contract_says_counts_before_its_preset() {
    let plain = preset(Preset::OutreachGeneration);
    assert_eq!(reasons(&plain.check(&said("Hi Ada!"))), [Reason::TooShort]);
    let short = contract("preset = \"outreach_generation\"\nchars = { max = 20 }");
    assert!(short.check(&said("Hi Ada!")).passed());
    let refusing = contract("preset = \"outreach_generation\"\nchars = {}\nno_refusal = false");
    assert!(refusing.check(&said("I'm sorry, but I can't help with that.")).passed());
}

#[test]
fn a_contract_that_says_nothing_asks_for_a_complete_answer_and_valid_tool_calls() {
    let plain = contract("");
    assert!(plain.check(&said("Paris")).passed());
    assert_eq!(plain.check(&said("Paris")).score(), Some(1.0));
    let empty = plain.check(&said("  \n"));
    assert_eq!(
        (reasons(&empty), empty.category()),
        (vec![Reason::Empty], Some(FailureCategory::EmptyResponse))
    );
    assert_eq!(empty.score(), Some(0.0));
    let cut = plain.check(&Answer { finish: Finish::Length, ..said("Paris is") });
    assert_eq!(cut.category(), Some(FailureCategory::MalformedOutput));
    let filtered = plain.check(&Answer { finish: Finish::ContentFilter, ..said("Par") });
    assert_eq!(reasons(&filtered), [Reason::ContentFiltered]);
    let unknown = plain.check(&Answer { finish: Finish::Unknown, ..said("Paris") });
    assert_eq!(unknown.finding(Check::Complete), Some(Finding::NotApplicable(Skip::NotKnown)));
    assert!(contract("complete = false\nnon_empty = false").check(&Answer::default()).passed());
}

#[test]
fn a_valid_tool_call_is_an_answer_and_what_is_said_beside_it_is_none() {
    let calls = [ToolCall { name: "weather", arguments: "{\"city\": \"Paris\"}" }];
    let tools = [Tool { name: "weather", parameters: Some("{\"required\": [\"city\"]}") }];
    let answer = Answer {
        text: None,
        finish: Finish::ToolCalls,
        tool_calls: &calls,
        tools: Some(&tools),
        ..Answer::default()
    };
    let strict = contract(
        "labels = [\"spam\"]\nchars = { min = 500 }\njson = \"bare\"\ncode = \"any\"\nno_refusal = true",
    );
    let verdict = strict.check(&answer);
    assert!(verdict.passed() && verdict.score() == Some(1.0), "{verdict:?}");
    assert_eq!(verdict.finding(Check::Labels), Some(Finding::NotApplicable(Skip::ToolCalls)));
    assert_eq!(verdict.finding(Check::Tools), Some(Finding::Passed));
    assert!(strict.check(&Answer { text: Some("Let me look."), ..answer }).passed());

    let bad = [ToolCall { name: "weather", arguments: "{}" }];
    let verdict = strict.check(&Answer { tool_calls: &bad, ..answer });
    assert_eq!(reasons(&verdict), [Reason::ToolArgumentsMismatch]);
    let none = contract("tools = \"required\"").check(&said("It is sunny."));
    assert_eq!(reasons(&none), [Reason::NoToolCall]);
    assert!(contract("tools = \"any\"").check(&Answer { tool_calls: &bad, ..answer }).passed());
}

#[test]
fn a_schema_is_asked_of_json_in_the_form_that_is_allowed() {
    let schema = "json_schema = { type = \"array\", items = { type = \"integer\" } }";
    let fenced = "Sure:\n```json\n[1, 2]\n```";
    let bare = contract(schema);
    assert!(bare.check(&said("[1, 2]")).passed());
    assert_eq!(reasons(&bare.check(&said(fenced))), [Reason::NotJson]);
    assert_eq!(reasons(&bare.check(&said("[1, \"2\"]"))), [Reason::SchemaMismatch]);
    let loose = contract(&format!("{schema}\njson = \"fenced\""));
    assert!(loose.check(&said(fenced)).passed());
    let prose = loose.check(&said("One and two."));
    assert_eq!(reasons(&prose), [Reason::NotJson], "one fault counts once");
    assert_eq!(prose.category(), Some(FailureCategory::MalformedOutput));
    let refused = Answer { text: None, refusal: Some("I can't."), ..said("") };
    let verdict = contract(&format!("{schema}\nno_refusal = true")).check(&refused);
    assert_eq!((verdict.finding(Check::NonEmpty), verdict.score()), (Some(Finding::Passed), Some(0.0)));
}

#[test]
fn regular_expressions_match_or_do_not() {
    let both = contract("regex = [\"(?m)^Total: \\\\d+\", \"\\\\p{Lu}\"]\nregex_absent = \"(?i)todo\"");
    assert!(both.check(&said("Sum\nTotal: 7")).passed());
    assert_eq!(reasons(&both.check(&said("total 7"))), [Reason::PatternMissing]);
    assert_eq!(reasons(&both.check(&said("Total: 7, ToDo"))), [Reason::PatternFound]);
}

#[test]
fn lengths_are_of_characters_and_words_not_bytes() {
    let five = contract("chars = { min = 2, max = 5 }\nwords = { max = 2 }");
    for (text, failed) in [
        ("né", vec![]),
        ("  日本語  ", vec![Reason::TooLong]),
        ("a", vec![Reason::TooShort]),
        ("abcdef", vec![Reason::TooLong]),
        ("a b c", vec![Reason::TooLong]),
    ] {
        assert_eq!(reasons(&five.check(&said(text))), failed, "{text}");
    }
}

/// What the published Kalibr's checks get wrong, and what they get right.
#[test]
fn presets_judge_answers_by_what_they_are() {
    let input = format!(
        "Summarize: {}",
        (0..60).map(|n| format!("In {n} the river rose {} feet. ", n * 3)).collect::<Vec<_>>().concat()
    );
    let bullets = "- The river rose every year.\n- It rose three feet more each time.";
    let refusal = "I'm sorry, but I can't help with that.";
    for (preset_, text, failed) in [
        (Preset::General, "Paris", vec![]),
        (Preset::General, refusal, vec![]),
        (Preset::CodeGeneration, "```go\nfunc main() {\n\tx := 1\n\t_ = x\n}\n```", vec![]),
        (Preset::CodeGeneration, "```rust\nfn main() {}\n```", vec![]),
        (Preset::CodeGeneration, "```sql\nSELECT 1;\n```", vec![]),
        (Preset::CodeGeneration, "Sorry, let me know what you need.", vec![Reason::NoCode]),
        (Preset::CodeGeneration, refusal, vec![Reason::Refused, Reason::NoCode]),
        (Preset::CodeGeneration, "```python\ndef f(:\n```", vec![Reason::CodeBroken]),
        (Preset::Summarization, bullets, vec![]),
        (Preset::Summarization, "Floods.", vec![]),
        (Preset::Summarization, refusal, vec![Reason::Refused]),
        (Preset::Summarization, &input, vec![Reason::CopiesInput, Reason::NotCompressed]),
        (
            Preset::OutreachGeneration,
            "Hi Ada,\n\nI read your notes on the engine and would love to talk. Friday?\n\nCharles",
            vec![],
        ),
        (Preset::OutreachGeneration, "Hi", vec![Reason::TooShort]),
        (Preset::Classification, "spam", vec![]),
        (Preset::Classification, refusal, vec![Reason::Refused]),
        (Preset::LeadScoring, "87", vec![]),
        (Preset::LeadScoring, "Score: **87/100**, since they have budget.", vec![]),
        (Preset::LeadScoring, "870", vec![Reason::NumberOutOfRange]),
        (Preset::LeadScoring, "A hot lead.", vec![Reason::NoNumber]),
        (Preset::Research, "error: could not fetch", vec![Reason::ErrorText, Reason::TooShort]),
        (Preset::WebScraping, "[{\"name\": \"Ada\", \"born\": 1815}]", vec![]),
        (Preset::WebScraping, "| name | born |\n|---|---|\n| Ada | 1815 |", vec![]),
        (Preset::WebScraping, "[]", vec![Reason::TooFewRows]),
        (Preset::WebScraping, "[{\"name\": null, \"born\": null}]", vec![Reason::RowsNotFilled]),
        (Preset::DataPipeline, "{\"rows_out\": 0}", vec![Reason::TooFewRows]),
        (Preset::DataPipeline, "{\"rows_out\": 12}", vec![]),
        (Preset::CodeReview, "Looks good to me.", vec![]),
        (Preset::SystemDesign, "Use Postgres.", vec![Reason::TooShort]),
        (Preset::AgentOrchestration, "Traceback (most recent call last):", vec![Reason::ErrorText]),
        (Preset::AgentOrchestration, "All three are done.", vec![]),
    ] {
        let answer = Answer { input: Some(&input), ..said(text) };
        assert_eq!(
            reasons(&preset(preset_).check(&answer)),
            failed,
            "{preset_:?}: {}",
            &text[..text.len().min(60)]
        );
    }
    let gaps = "Fill the gaps: [{\"name\": \"Ada\", \"born\": null}]";
    let enrich = preset(Preset::DataEnrichment);
    for (text, failed) in [
        ("```json\n[{\"name\": \"Ada\", \"born\": 1815}]\n```", vec![]),
        ("[{\"name\": \"Ada\", \"born\": null}]", vec![Reason::NoFewerNulls]),
        ("She was born in 1815.", vec![]),
    ] {
        assert_eq!(reasons(&enrich.check(&Answer { input: Some(gaps), ..said(text) })), failed, "{text}");
    }
}

#[test]
fn every_preset_is_a_contract() {
    for one in Preset::ALL {
        let name = serde_json::to_value(one).unwrap();
        assert!(Contract::parse(&format!("preset = {name}")).is_ok(), "{name}");
    }
}
