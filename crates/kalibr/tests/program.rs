//! The program as its user meets it.

mod common;

use common::{Server, ask, configure, http, kalibr};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn serve_says_one_line_when_it_is_ready_and_leaves_well_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path());
    let server = Server::start(folder.path());
    ask(&server.addr).unwrap();
    assert!(server.terminate());
    // What was decided is in the ledger after a clean stop.
    let goals = kalibr(folder.path()).args(["goals", "--json"]).output().unwrap();
    let goals: serde_json::Value = serde_json::from_slice(&goals.stdout).unwrap();
    let attempts: i64 = goals[0]["learned"][0]["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| path["attempts"].as_i64().unwrap())
        .sum();
    assert_eq!(attempts, 1);
}

#[test]
fn explain_tells_the_same_in_a_terminal_and_over_http_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path());
    let server = Server::start(folder.path());
    let (trace, _) = ask(&server.addr).unwrap();
    let signal = format!(r#"{{"type":"output_edited","trace_id":"{trace}","edit_ratio":0.1}}"#);
    assert_eq!(http(&server.addr, "POST", "/v1/signals", &signal).unwrap().status, 200);

    let mut over_http = http(&server.addr, "GET", &format!("/v1/decisions/{trace}"), "").unwrap().json();
    let output = kalibr(folder.path()).args(["explain", &trace, "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut in_terminal: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(over_http["evidence"][0]["value"], "output_edited");
    // The tables of two processes have versions of their own, and refresh a moment apart.
    for view in [&mut over_http, &mut in_terminal] {
        view["effect"].take();
    }
    assert_eq!(over_http, in_terminal);

    let plain = text(&kalibr(folder.path()).args(["explain", &trace]).output().unwrap().stdout);
    for word in [
        "goal g",
        "chosen: sim/",
        "answered",
        "action: output_edited",
        "what it changed",
        "credible 0.",
        "guaranteed 0.00 to 1.00",
        "not enough data yet: about",
    ] {
        assert!(plain.contains(word), "{word:?} is not in:\n{plain}");
    }
    let goals = text(&kalibr(folder.path()).arg("goals").output().unwrap().stdout);
    for word in ["g\n  not enough data yet: about", "% of requests", "best with", "loss 0.", "1 graded of 1"]
    {
        assert!(goals.contains(word), "{word:?} is not in:\n{goals}");
    }
}

#[test]
fn an_unknown_trace_is_an_error_with_a_remedy_and_a_failing_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let output = kalibr(folder.path()).args(["explain", &"a".repeat(32)]).output().unwrap();
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.starts_with("kalibr: no decision has this id") && said.contains("KALIBR_HOME"), "{said}");
}

#[test]
fn goals_of_an_empty_data_folder_say_how_to_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let output = kalibr(folder.path()).arg("goals").output().unwrap();
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("PUT /v1/goals/NAME"));
    let mistyped = folder.path().join("mistyped");
    assert!(kalibr(&mistyped).arg("goals").output().unwrap().status.success());
    assert!(!mistyped.exists(), "looking must not create a data folder");
}

#[test]
fn an_address_that_others_can_reach_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    for listen in ["0.0.0.0:0", "[::]:0", "nonsense"] {
        let output = kalibr(folder.path()).args(["serve", "--listen", listen]).output().unwrap();
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains("127.0.0.1"), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_mistake_in_the_configuration_is_told_with_the_file_and_the_place() {
    let folder = tempfile::tempdir().unwrap();
    for (config, word) in [
        ("[goals.g]\npaths = []", "at least one path"),
        ("[goals.g]\npaths = [\"m\"]\nfloor = 2", "floor"),
        ("[goals.g]\npaths = [\"m\"]\nhalflife = 2", "halflife"),
        ("[providers.x]\nkind = \"magic\"", "magic"),
        ("goals = 3", "line 1"),
        ("[server]\nport = 3", "port"),
        ("not toml at all", "kalibr.toml"),
    ] {
        std::fs::write(folder.path().join("kalibr.toml"), config).unwrap();
        let output = kalibr(folder.path()).arg("serve").args(["--listen", "127.0.0.1:0"]).output().unwrap();
        assert!(!output.status.success(), "{config}");
        assert!(text(&output.stderr).contains(word), "{config}: {}", text(&output.stderr));
    }
    let missing = kalibr(folder.path()).args(["serve", "--config", "/nonexistent/k.toml"]).output().unwrap();
    assert!(text(&missing.stderr).contains("/nonexistent/k.toml"));
}

#[test]
fn doctor_finds_a_wrong_counter_fails_and_repairs_it_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path());
    let server = Server::start(folder.path());
    let (trace, _) = ask(&server.addr).unwrap();
    let signal = format!(r#"{{"type":"user_accepted","trace_id":"{trace}"}}"#);
    assert_eq!(http(&server.addr, "POST", "/v1/signals", &signal).unwrap().status, 200);
    let doctor = |arguments: &[&str]| {
        let output = kalibr(folder.path()).arg("doctor").args(arguments).output().unwrap();
        (output.status.success(), text(&output.stdout))
    };
    let (well, said) = doctor(&[]);
    assert!(well && said.starts_with("counters agree with the facts"), "{said}");

    let ledger = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    ledger.execute("UPDATE counters SET n = n + 41", []).unwrap();
    let (well, said) = doctor(&[]);
    assert!(!well, "{said}");
    for word in ["1 counter does not agree", "g, bucket all", "41 attempts too many", "--repair"] {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
    let (well, said) = doctor(&["--repair", "--json"]);
    assert!(well && said.contains(r#""repaired": true"#), "{said}");
    let (well, said) = doctor(&[]);
    assert!(well, "{said}");
    assert!(server.terminate());
}

#[test]
fn doctor_makes_no_ledger_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let output = kalibr(folder.path()).arg("doctor").output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("KALIBR_HOME"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_goal_is_frozen_thawed_and_reset_from_a_terminal_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path());
    let server = Server::start(folder.path());
    let run = |arguments: &[&str]| {
        let output = kalibr(folder.path()).args(arguments).output().unwrap();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    let goal = || http(&server.addr, "GET", "/v1/goals/g", "").unwrap().json();
    let until = |what: &dyn Fn() -> bool| {
        let begun = std::time::Instant::now();
        while !what() {
            assert!(begun.elapsed() < std::time::Duration::from_secs(10), "the server did not follow");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    let (well, said) = run(&["freeze", "g"]);
    assert!(well && said.contains("goal g is frozen"), "{said}");
    until(&|| goal()["frozen_at"].is_string());
    let (trace, _) = ask(&server.addr).unwrap();
    let (_, said) = run(&["goals"]);
    assert!(said.contains("frozen since") && said.contains("kalibr thaw g"), "{said}");
    let explained = || run(&["explain", &trace]).1;
    until(&|| explained().contains("counts nothing: the goal was frozen"));
    let (well, said) = run(&["reset", "g"]);
    assert!(!well && said.contains("thaw it first"), "{said}");
    assert!(run(&["thaw", "g"]).0);
    until(&|| goal()["frozen_at"].is_null());
    assert!(run(&["reset", "g"]).0);
    until(&|| goal()["reset_at"].is_string());
    assert!(run(&["reset", "g", "--undo"]).0);
    until(&|| goal()["reset_at"].is_null());
    let (well, said) = run(&["reset", "g", "--undo"]);
    assert!(!well && said.contains("nothing to undo"), "{said}");
    assert!(run(&["resume", "g"]).0);
    let (well, said) = run(&["freeze", "nobody"]);
    assert!(!well && said.contains("no goal named nobody"), "{said}");
    assert!(server.terminate());
}

#[test]
fn what_is_done_to_a_goal_makes_no_ledger_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let output = kalibr(folder.path()).args(["freeze", "g"]).output().unwrap();
    assert!(!output.status.success() && text(&output.stderr).contains("KALIBR_HOME"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
