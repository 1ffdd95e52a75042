//! `kalibr replay`, as its user meets it.

mod common;

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use common::{Server, ask, configure, http, kalibr};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    kalibr(home).arg("replay").args(arguments).output().unwrap()
}

/// Answers of `sim/good` are accepted and those of `sim/poor` rejected, on a goal that goes on trying both.
fn used(home: &Path, decisions: usize) {
    configure(home);
    let file = home.join("kalibr.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config.replace("[goals.g]", "[goals.g]\n        floor = 0.4")).unwrap();
    let server = Server::start(home);
    for _ in 0..decisions {
        let (trace, _) = ask(&server.addr).unwrap();
        let model = http(&server.addr, "GET", &format!("/v1/decisions/{trace}"), "").unwrap().json();
        let good = model["chosen"]["model"] == "sim/good";
        let kind = if good { "user_accepted" } else { "user_rejected" };
        let signal = format!(r#"{{"type":"{kind}","trace_id":"{trace}"}}"#);
        assert_eq!(http(&server.addr, "POST", "/v1/signals", &signal).unwrap().status, 200);
    }
    let over_http = http(&server.addr, "GET", "/v1/goals/g/replay?policy=always:sim/good", "").unwrap();
    assert_eq!(over_http.status, 200, "{}", over_http.body);
    let output = run(home, &["g", "--policy", "always:sim/good", "--json"]);
    let in_terminal: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(over_http.json(), in_terminal);
    assert!(server.terminate());
}

#[test]
fn a_policy_is_replayed_from_the_ledger_and_alike_from_an_exported_log() {
    let folder = tempfile::tempdir().unwrap();
    used(folder.path(), 120);
    let said = text(&run(folder.path(), &["g", "--policy", "always:sim/good"]).stdout);
    for word in [
        "goal g, always:sim/good",
        "120 decisions in which it could have been followed, 120 of them graded (100.0 %)",
        "success of this policy",
        "95 % interval",
        "it would have done better than what was done",
    ] {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }

    let exported = run(folder.path(), &["g", "--export"]);
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let log = text(&exported.stdout);
    assert_eq!(log.lines().count(), 121);
    assert!(!log.contains("hello") && !log.contains("session"), "a log holds nothing that a user wrote");
    let file = folder.path().join("log.jsonl");
    std::fs::write(&file, &log).unwrap();
    for policy in ["always:sim/poor", "best-per-bucket", "uniform", "delta:0.05", "half-life:400"] {
        let policy = ["--policy", policy, "--json"];
        let from_ledger = run(folder.path(), &[&["g"], &policy[..]].concat());
        let from_file = run(folder.path(), &[&["--input", file.to_str().unwrap()], &policy[..]].concat());
        assert!(from_ledger.status.success() && from_file.status.success(), "{}", text(&from_file.stderr));
        assert_eq!(text(&from_file.stdout), text(&from_ledger.stdout), "{policy:?}");
    }

    // The tokens of the first attempts are known, so prices make costs of them.
    let prices = ["--price", "sim/good=10,30", "--price", "sim/poor=0.1,0.3"];
    let delta = [&["g", "--policy", "delta:1"], &prices[..]].concat();
    let said = text(&run(folder.path(), &delta).stdout);
    assert!(!said.contains("cost is not known") && said.contains("worse than what was done"), "{said}");
    let said = text(&run(folder.path(), &["g", "--policy", "delta:1"]).stdout);
    assert!(said.contains("note: what paths cost is not known"), "{said}");
}

#[test]
fn a_log_comes_from_standard_input_too_and_needs_no_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("none");
    let mut log = String::new();
    for i in 0..400 {
        let (path, reward) = if i % 4 == 0 { ("haiku", 0) } else { ("gpt-4o", 1) };
        log += &format!(
            r#"{{"path":"{path}","reward":{reward},"considered":[{{"path":"gpt-4o","propensity":0.75}},{{"path":"haiku","propensity":0.25}}]}}"#
        );
        log.push('\n');
    }
    let mut child = kalibr(&home)
        .args(["replay", "--input", "-", "--policy", "always:haiku"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(log.as_bytes()).unwrap();
    let said = text(&child.wait_with_output().unwrap().stdout);
    assert!(said.contains("success of what was done      0.750"), "{said}");
    assert!(said.contains("effective decisions           100"), "{said}");
    assert!(said.contains("it would have done worse"), "{said}");
    assert!(!home.exists());
}

#[test]
fn what_cannot_be_replayed_is_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl");
    let row = r#"{"path":"a","reward":1,"considered":[{"path":"a","propensity":0.99},{"path":"b","propensity":0.01}]}"#;
    std::fs::write(&log, format!("{row}\n").repeat(1_200)).unwrap();
    let log = log.to_str().unwrap();
    let few = text(&run(folder.path(), &["--input", log, "--policy", "always:b"]).stdout);
    let sentence =
        "not enough: the log supports this policy with an effective 12 decisions, at least 30 are needed";
    assert!(few.contains(sentence), "{few}");
    for (arguments, word) in [
        (&["g", "--policy", "uniform"][..], "KALIBR_HOME"),
        (&["g", "--policy", "always"], "best-per-bucket"),
        (&["g", "--policy", "delta:7"], "from 0 to 1"),
        (&["g"], "--policy"),
        (&["--policy", "uniform"], "GOAL"),
        (&["g", "--policy", "uniform", "--since", "once"], "7d"),
        (&["g", "--policy", "uniform", "--price", "a=1"], "gpt-4o=2.5,10"),
        (&["--input", "/nonexistent", "--policy", "uniform"], "/nonexistent"),
        (&["--input", log, "--policy", "always:c"], "name one of a, b"),
    ] {
        let output = run(folder.path(), arguments);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(word), "{arguments:?}: {said}");
    }
}
