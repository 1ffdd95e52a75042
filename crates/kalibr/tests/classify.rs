//! `kalibr classify`, as its user meets it.

mod common;

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use common::kalibr;
use serde_json::Value;

fn run(home: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = kalibr(home)
        .arg("classify")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_message_is_told_with_its_label_its_probabilities_and_what_decided() {
    let home = tempfile::tempdir().unwrap();
    let said = run(home.path(), &["This is wrong, and far too long"], "");
    assert!(said.status.success(), "{}", text(&said.stderr));
    let said = text(&said.stdout);
    for word in
        ["rejection, and sure enough to be a signal", "it is about length", "continuation ", "decided by"]
    {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
    let json = run(home.path(), &["--json", "This is wrong, try again."], "");
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["label"], &json["asserted"]), (&"rejection".into(), &true.into()));
    assert!(!home.path().join("ledger.sqlite").exists(), "reading a message makes no ledger");
}

#[test]
fn what_came_before_counts() {
    let home = tempfile::tempdir().unwrap();
    let request = "Sort this list of words by their length, longest first";
    let rejection = |arguments: &[&str]| {
        let said = run(home.path(), arguments, "");
        let json: Value = serde_json::from_slice(&said.stdout).unwrap();
        json["probabilities"]["rejection"].as_f64().unwrap()
    };
    let alone = rejection(&["--json", request]);
    let again = rejection(&["--json", request, "--prior-prompt", request, "--prior", "Here it is."]);
    assert!(again > alone, "{again} {alone}");
}

#[test]
fn rows_come_out_in_their_order() {
    let home = tempfile::tempdir().unwrap();
    let rows = concat!(
        r#"{"user_message": "This is wrong.", "prior_output": null, "id": 1}"#,
        "\n",
        r#"{"user_message": "And then?", "prior_output": "It ends.", "prior_user_prompt": "How does it end?"}"#,
        "\n",
        r#"{"user_message": "Perfect, thank you!"}"#,
        "\n"
    );
    let file = home.path().join("rows.jsonl");
    std::fs::write(&file, rows).unwrap();
    for said in [
        run(home.path(), &["--input", file.to_str().unwrap()], ""),
        run(home.path(), &["--input", "-"], rows),
    ] {
        assert!(said.status.success(), "{}", text(&said.stderr));
        let read: Vec<Value> =
            text(&said.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let labels: Vec<&str> = read.iter().map(|row| row["label"].as_str().unwrap()).collect();
        assert_eq!(labels, ["rejection", "continuation", "acceptance"]);
        for row in &read {
            let sum: f64 =
                row["probabilities"].as_object().unwrap().values().map(|p| p.as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 1e-9);
            assert!(row["asserted"].is_boolean());
        }
    }
}

#[test]
fn a_byte_order_mark_and_blank_lines_are_skipped_and_lines_are_still_counted() {
    let home = tempfile::tempdir().unwrap();
    let rows =
        "\u{feff}{\"user_message\": \"This is wrong.\"}\r\n\r\n \t\n{\"user_message\": \"And then?\"}\n\n";
    let said = run(home.path(), &["--input", "-"], rows);
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert_eq!(text(&said.stdout).lines().count(), 2);
    let said = run(home.path(), &["--input", "-"], &format!("\u{feff}\n{rows}no row\n"));
    assert!(
        text(&said.stderr).contains("line 2"),
        "a mark within the file is no mark: {}",
        text(&said.stderr)
    );
    let said = run(home.path(), &["--input", "-"], "\u{feff}\n\n{\"user_message\": \"x\"}\nno row\n");
    assert!(text(&said.stderr).contains("line 4"), "{}", text(&said.stderr));
}

#[test]
fn a_bad_row_is_an_error_that_names_its_line_and_repeats_nothing_of_it() {
    let home = tempfile::tempdir().unwrap();
    let good = r#"{"user_message": "This is wrong."}"#;
    for (bad, says) in [
        ("zyxcanary", "this is no JSON object"),
        (r#"{"user_message": "zyxcanary""#, "this is no JSON object"),
        (r#"{"user_message": ["zyxcanary"]}"#, "user_message must be a text"),
        (r#"{"message": "zyxcanary"}"#, "user_message must be a text"),
        (r#"{"user_message": "x", "prior_output": 3}"#, "user_message must be a text"),
    ] {
        let said = run(home.path(), &["--input", "-"], &format!("{good}\n{bad}\n{good}\n"));
        assert!(!said.status.success());
        assert_eq!(text(&said.stdout).lines().count(), 1, "what came before it was written");
        let error = text(&said.stderr);
        assert!(error.contains("standard input, line 2") && error.contains(says), "{error}");
        assert!(!error.contains("zyxcanary"), "{error}");
    }
    let nowhere = run(home.path(), &["--input", "nowhere.jsonl"], "");
    assert!(text(&nowhere.stderr).contains("cannot read nowhere.jsonl"), "{}", text(&nowhere.stderr));
}

#[test]
fn the_configuration_says_how_sure_one_must_be() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("kalibr.toml"), "[turns]\nprecision = 1.0\n").unwrap();
    let said = run(home.path(), &["This is wrong, try again."], "");
    assert!(text(&said.stdout).contains("rejection, and no signal"), "{}", text(&said.stdout));
    std::fs::write(home.path().join("kalibr.toml"), "[turns]\nprecision = 90\n").unwrap();
    let said = run(home.path(), &["This is wrong."], "");
    assert!(text(&said.stderr).contains("precision is a share from 0 to 1"), "{}", text(&said.stderr));
}
