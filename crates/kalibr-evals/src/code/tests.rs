use super::*;

fn wanted(names: &[&str]) -> Wanted {
    Wanted::new(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

fn fenced(language: &str, code: &str) -> String {
    format!("Here you are:\n\n```{language}\n{code}\n```\nAsk if anything is unclear.")
}

/// A language, code that is fine, and code that is not.
#[cfg(feature = "code")]
const SAMPLES: [(&str, &str, &str); 11] = [
    (
        "python",
        "import os\n\ndef greet(name: str) -> str:\n    return f\"Hello {name!r}\"\n\nasync def main():\n    match x:\n        case [1, *rest]:\n            print(rest)\n",
        "def greet(name\n    return name\n",
    ),
    (
        "javascript",
        "export const f = async (a, ...b) => ({ ...a, b: b?.[0] ?? 1 });\nclass A { #x = 1; }",
        "const f = (a => {",
    ),
    ("jsx", "const A = () => <div className=\"x\">{y}</div>;", "const A = () => <div>;"),
    (
        "typescript",
        "interface A<T extends string> { readonly x: T | null }\nconst a = { x: 'y' } satisfies A<'y'>;",
        "interface A { x: }",
    ),
    ("tsx", "const A = (p: Props): JSX.Element => <p>{p.x as string}</p>;", "const A = (p: Props => <p>"),
    (
        "rust",
        "pub fn f<'a>(x: &'a str) -> Option<&'a str> { let Some(y) = x.get(1..) else { return None }; Some(y) }",
        "fn f( { }",
    ),
    (
        "go",
        "package main\n\nfunc Map[T any](x []T) (out []T, err error) {\n\tfor i := range x {\n\t\tout = append(out, x[i])\n\t}\n\treturn\n}",
        "func Map( {",
    ),
    (
        "java",
        "public record P(int x) { public static void main(String[] a) { var y = switch (1) { case 1 -> 2; default -> 3; }; } }",
        "public class A { void f( }",
    ),
    (
        "c",
        "#include <stdio.h>\nint main(void) { for (int i = 0; i < 3; i++) printf(\"%d\\n\", i); return 0; }",
        "int main( { return 0;",
    ),
    (
        "sql",
        "WITH t AS (SELECT id, count(*) AS n FROM orders WHERE day >= '2026-01-01' GROUP BY id)\nSELECT * FROM t JOIN users u ON u.id = t.id ORDER BY n DESC LIMIT 10;",
        "SELECT FROM WHERE GROUP orders BY;",
    ),
    (
        "bash",
        "set -euo pipefail\nfor f in *.txt; do\n  echo \"${f%.txt}\" | sed 's/a/b/'\ndone",
        "if true; then echo",
    ),
];

#[test]
#[cfg(feature = "code")]
fn code_in_every_language_parses_or_is_broken() {
    for (language, good, bad) in SAMPLES {
        for name in ["any", language] {
            let wanted = wanted(&[name]);
            assert_eq!(check(&fenced(language, good), &wanted), Finding::Passed, "{language} as {name}");
            assert_eq!(
                check(&fenced(language, bad), &wanted),
                Finding::Failed(Reason::CodeBroken),
                "{language} as {name}"
            );
        }
        assert_eq!(check_fences(&fenced(language, good)), Finding::Passed, "{language}");
        assert_eq!(check_fences(&fenced(language, bad)), Finding::Failed(Reason::CodeBroken), "{language}");
    }
}

#[test]
#[cfg(feature = "code")]
fn whole_answers_are_code_without_a_fence() {
    for (language, good, _) in SAMPLES.iter().filter(|(language, ..)| *language != "bash") {
        assert_eq!(check(good, &wanted(&["any"])), Finding::Passed, "{language}");
        assert_eq!(check(good, &wanted(&[language])), Finding::Passed, "{language}");
    }
}

#[test]
#[cfg(feature = "code")]
fn prose_and_refusals_are_no_code() {
    for text in [
        "Paris",
        "",
        "Sorry, let me know what you need.",
        "I'm sorry, but I can't help with that.",
        "Use a hash map; it is faster.",
        "Yes: a list.",
        "Paris, France",
        "Call me (maybe).",
        "call me(maybe)",
        "not bad",
        "- first, make a list;\n- then sort it (twice);\n- done = good",
        "Of course! Here is how to do it:\n\n1. Open the file.\n2. Read it (line by line).",
        "```text\njust text\n```",
        "```\n```",
    ] {
        assert_eq!(check(text, &wanted(&["any"])), Finding::Failed(Reason::NoCode), "{text}");
    }
}

#[test]
#[cfg(feature = "code")]
fn blocks_that_nobody_asked_for_are_left_alone() {
    let python = "```python\nprint(1)\n```\n";
    let only = wanted(&["python"]);
    for (rest, finding) in [
        ("```javascript\nconst = ;\n```", Finding::Passed),
        ("```\nTraceback: 1 +\n```", Finding::Passed),
        ("```output\n1 1 1 (\n```", Finding::Passed),
        ("```haskell\nmain = \n```", Finding::Passed),
        ("```python\n>>> print(1\n```", Finding::Passed),
        ("```python\nprint(1\n```", Finding::Failed(Reason::CodeBroken)),
    ] {
        assert_eq!(check(&format!("{python}{rest}"), &only), finding, "{rest}");
    }
    let other = "```javascript\nf();\n```";
    assert_eq!(check(other, &only), Finding::Failed(Reason::NoCode), "code in another language");
    assert_eq!(
        check("```haskell\nmain = print 1\n```", &wanted(&["any"])),
        Finding::Passed,
        "it cannot be judged, and is code"
    );
    assert_eq!(check("```\nprint(1)\n```", &only), Finding::Passed);
    assert_eq!(check("```\nprint(1\n```", &only), Finding::Failed(Reason::CodeBroken));
    assert_eq!(check("```\nmain = do { (\n```", &wanted(&["any"])), Finding::NotApplicable(Skip::NotKnown));
    assert_eq!(
        check("```ts\nlet x: A = 1;\n```\n```tsx\nlet y = <a/>;\n```", &wanted(&["typescript"])),
        Finding::Passed
    );
    let macros = "```c\n#define LOOP for (;;)\nint f(void) { LOOP { } }\n```";
    assert_eq!(
        check_fences(macros),
        Finding::NotApplicable(Skip::NotKnown),
        "a preprocessor makes code of it"
    );
    assert_eq!(check_fences("no code at all"), Finding::NotApplicable(Skip::Nothing));
    assert_eq!(check_fences("```haskell\nx\n```"), Finding::NotApplicable(Skip::Nothing));
}

#[test]
fn json_is_code_of_its_own() {
    let json = wanted(&["json"]);
    for (text, finding) in [
        ("```json\n{\"a\": 1}\n```", Finding::Passed),
        ("```jsonl\n{\"a\": 1}\n{\"a\": 2}\n```", Finding::Passed),
        ("{\"a\": [1]}", Finding::Passed),
        ("```json\n{\"a\": 1,}\n```", Finding::Failed(Reason::CodeBroken)),
        ("87", Finding::Failed(Reason::NoCode)),
    ] {
        assert_eq!(check(text, &json), finding, "{text}");
    }
}

#[test]
fn too_much_code_is_not_judged() {
    let long = fenced("json", &format!("[{}1]", "1,\n".repeat(limits::CODE)));
    assert_eq!(check(&long, &wanted(&["json"])), Finding::NotApplicable(Skip::TooLarge));
    let many = "```json\n1\n```\n".repeat(limits::CODE_BLOCKS + 1);
    assert_eq!(check_fences(&many), Finding::NotApplicable(Skip::TooLarge));
}

#[test]
fn a_language_that_cannot_be_parsed_cannot_be_asked_for() {
    let error = Wanted::new(&["cobol".to_owned()]).unwrap_err().to_string();
    assert!(error.contains("cobol") && error.contains("python"), "{error}");
}
