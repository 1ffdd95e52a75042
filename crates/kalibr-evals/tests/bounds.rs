//! A check takes a bounded amount of work, whatever the answer. Times are wide: they tell milliseconds from seconds, in an
//! unoptimised build on a busy machine.

use std::time::{Duration, Instant};

use kalibr_evals::{Answer, Check, Contract, Finding, Finish, Skip, Tool, ToolCall};

const MB: usize = 1 << 20;
const MOST: Duration = Duration::from_secs(3);

const EVERYTHING: &str = r#"
no_refusal = true
no_error = true
chars = { max = 10 }
words = { max = 10 }
json = "fenced"
json_schema = { type = "object", properties = { a = { type = "array", uniqueItems = true, items = { pattern = "^(a+)+$" } } } }
rows = {}
fewer_nulls = true
labels = ["spam"]
number = { anywhere = true, min = -2, max = -1 }
regex = ["(a+)+$", "(?i)(x|xx)*y"]
regex_absent = "([a-z]+ )*zzz"
sections = ["Summary"]
language = "en"
max_copy = 0.8
compression = { max = 0.5 }
code = "any"
fences_parse = true
"#;

/// How long it takes: of up to three times the shortest, since others use the machine too.
fn took<T>(work: impl Fn() -> T) -> (T, Duration) {
    let once = || {
        let began = Instant::now();
        let result = work();
        (result, began.elapsed())
    };
    let mut best = once();
    for _ in 0..2 {
        if best.1 >= MOST {
            let again = once();
            best = if again.1 < best.1 { again } else { best };
        }
    }
    best
}

fn repeated(part: &str, bytes: usize) -> String {
    part.repeat(bytes / part.len())
}

#[test]
fn an_answer_of_a_megabyte_takes_no_seconds() {
    let contract = Contract::parse(EVERYTHING).unwrap();
    let list = |item: &str| format!("{{\"a\": [{}{item}]}}", repeated(&format!("{item},"), MB));
    let distinct = (0..MB / 8).map(|n| format!("\"{n:05}\",")).collect::<Vec<_>>().concat();
    for text in [
        repeated("a", MB),
        repeated("I can't help with that. ", MB),
        repeated("x ", MB),
        repeated("1.", MB),
        repeated("1 2/3 of ", MB),
        repeated("```\n", MB),
        repeated("```json\n[1]\n```\n", MB),
        repeated("```python\nprint(1)\n```\n", MB),
        repeated("(", MB),
        repeated("[{", MB),
        repeated("{\"a\":", MB),
        repeated("{}\n", MB),
        repeated("\n", MB),
        repeated("# Sum\n", MB),
        repeated("**a", MB),
        repeated("日本語。", MB),
        repeated("\u{0}\u{7f}\\\"'`", MB),
        list("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\""),
        list("{\"b\": null}"),
        format!("{{\"a\": [{distinct}\"x\"]}}"),
    ] {
        let answer =
            Answer { text: Some(&text), finish: Finish::Stop, input: Some(&text), ..Answer::default() };
        let (verdict, took) = took(|| contract.check(&answer));
        let shown: String = text.chars().take(12).collect();
        assert!(took < MOST, "{shown:?} took {took:?}");
        assert_eq!(verdict.findings().len(), 21);
    }
}

#[test]
#[cfg(feature = "code")]
fn code_that_is_hard_to_parse_is_given_up() {
    let any = Contract::parse("code = \"any\"").unwrap();
    for (language, part) in [
        ("python", "if x:\n if y:\n  ("),
        ("python", "\"\"\"f{{{"),
        ("javascript", "a=>{(`${"),
        ("typescript", "<T,(a:b|c&{"),
        ("tsx", "<a><b>{x<"),
        ("rust", "m!{<a as b<c>>::"),
        ("go", "a:=[]b{c(func(){"),
        ("java", "A<B<C>>(x->{"),
        ("c", "(a)(b)*&-{if("),
        ("sql", "SELECT (SELECT a, b FROM (c WHERE "),
        ("sql", "("),
        ("sql", "SELECT 1 + 1;\n"),
        ("sql", "a, b and c or "),
        ("bash", "$(a `b ${c[<(d "),
        ("bash", "<<EOF\n$(\n"),
    ] {
        let text = format!("```{language}\n{}\n```", repeated(part, 250_000));
        let answer = Answer { text: Some(&text), ..Answer::default() };
        let (finding, took) = took(|| any.check(&answer).finding(Check::Code));
        assert!(took < MOST, "{language} {part:?} took {took:?}: {finding:?}");
    }
}

#[test]
fn what_is_larger_than_the_limits_is_not_judged() {
    let text = repeated("spam ", 5 * MB);
    let contract = Contract::parse("labels = [\"spam\"]\nno_refusal = true").unwrap();
    let verdict = contract.check(&Answer { text: Some(&text), finish: Finish::Stop, ..Answer::default() });
    assert_eq!(verdict.finding(Check::Labels), Some(Finding::NotApplicable(Skip::TooLarge)));
    assert!(verdict.passed() && verdict.is_conclusive());
}

#[test]
fn schemas_of_tools_are_bounded_like_those_of_contracts() {
    let contract = Contract::parse("").unwrap();
    let branches = vec!["{\"properties\": {\"a\": {\"$ref\": \"#\"}}, \"required\": [\"b\"]}"; 200].join(",");
    let schema = format!("{{\"anyOf\": [{branches}]}}");
    let deep = format!("{}{{}}{}", "{\"a\":".repeat(100), "}".repeat(100));
    let calls = [ToolCall { name: "t", arguments: &deep }];
    let tools = [Tool { name: "t", parameters: Some(&schema) }];
    let answer = Answer { tool_calls: &calls, tools: Some(&tools), ..Answer::default() };
    let (finding, took) = took(|| contract.check(&answer).finding(Check::Tools));
    assert_eq!(finding, Some(Finding::NotApplicable(Skip::TooLarge)));
    assert!(took < MOST);
}

/// The most that the estimate lets through, so that the bound is one of time too.
#[test]
fn json_at_the_limit_of_a_schema_takes_no_seconds() {
    let branches = vec!["{\"pattern\": \"^(a+)+b$\"}"; 100].join(",");
    let contract =
        Contract::parse(&format!("{{\"json_schema\": {{\"items\": {{\"anyOf\": [{branches}]}}}}}}")).unwrap();
    let mut judged = 0;
    for items in [10_000, 40_000, 100_000, 180_000, 240_000] {
        let text = format!("[{}\"a\"]", repeated("\"aaaa\",", items * 7));
        let answer = Answer { text: Some(&text), ..Answer::default() };
        let (finding, took) = took(|| contract.check(&answer).finding(Check::JsonSchema));
        assert!(took < MOST, "{items} took {took:?}");
        judged += usize::from(!matches!(finding, Some(Finding::NotApplicable(_))));
    }
    assert!((1..5).contains(&judged), "{judged} of 5 were judged: the test is to meet the limit");
}
