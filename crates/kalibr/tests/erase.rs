//! `kalibr erase` and `kalibr export`, as an operator runs them.

mod common;

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use common::{configure, kalibr};
use kalibr_engine::core::ids::{Goal, SessionId};
use kalibr_engine::signals::vocabulary::lookup;
use kalibr_engine::{Config, DecideRequest, Engine, EngineConfig, Home, Run, SignalMeta};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_mins(1);

fn open(home: &Path) -> Engine {
    let home = Home::at(home);
    let config = Config::load(&home.config(), true).unwrap();
    let engine = Engine::open(EngineConfig::new(home, &config, &|_| None).unwrap()).unwrap();
    let goal = config.goals.get("g").unwrap();
    engine.register(&Goal::new("g").unwrap(), &goal.paths).unwrap();
    engine
}

/// So many accepted runs of a user, each in a session of its own.
fn runs(engine: &Engine, user: &str, count: u32) {
    for n in 0..count {
        let session = engine.session_hash(&SessionId::new(&format!("{user}-{n}")).unwrap());
        let (session, user) = (Some(session), Some(engine.user_hash(user)));
        let request = DecideRequest { session, user, ..DecideRequest::of(Goal::new("g").unwrap()) };
        let run = Run::Trace(engine.decide(&request).unwrap().trace);
        let kind = lookup("user_accepted").unwrap();
        engine.send(vec![engine.signal(run, kind, None, None, SignalMeta::default()).unwrap()]).unwrap();
    }
    assert!(engine.flush(PATIENCE));
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    kalibr(home).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

#[test]
fn erasing_counts_first_and_does_nothing_unasked() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path());
    let engine = open(folder.path());
    runs(&engine, "ann", 3);
    runs(&engine, "ben", 2);
    assert!(engine.close(PATIENCE));
    let home = folder.path();

    let dry = run(home, &["erase", "--user", "ann", "--dry-run", "--json"]);
    assert_eq!(json(&dry)["decisions"], 3);
    let unasked = run(home, &["erase", "--user", "ann"]);
    assert!(!unasked.status.success() && said(&unasked).contains("--yes"), "{}", said(&unasked));
    assert!(said(&unasked).contains("3 decisions"), "{}", said(&unasked));
    assert!(!said(&run(home, &["erase"])).contains("panicked"));
    assert_eq!(json(&run(home, &["erase", "--user", "ann", "--dry-run", "--json"]))["signals"], 3);

    let exported = run(home, &["export", "--user", "ann"]);
    assert_eq!(String::from_utf8_lossy(&exported.stdout).lines().count(), 9);
    let file = home.join("ann.jsonl");
    assert!(run(home, &["export", "--user", "ann", "--output", file.to_str().unwrap()]).status.success());
    assert_eq!(std::fs::read(&file).unwrap(), exported.stdout);
    let again = run(home, &["export", "--user", "ann", "--output", file.to_str().unwrap()]);
    assert!(!again.status.success(), "a file that exists is not overwritten");

    let erased = run(home, &["erase", "--session", "ann-0", "--yes", "--json"]);
    assert_eq!(
        (json(&erased)["decisions"].as_u64(), json(&erased)["scrubbed"].as_bool()),
        (Some(1), Some(true))
    );
    let erased = run(home, &["erase", "--user", "ann", "--yes"]);
    assert!(erased.status.success() && said(&erased).contains("2 decisions"), "{}", said(&erased));
    let unknown = [
        &["export", "--user", "ann"][..],
        &["erase", "--user", "ann"],
        &["erase", "--user", "ann", "--yes"],
        &["erase", "--session", "mistyped", "--dry-run"],
    ];
    for arguments in unknown {
        let told = run(home, arguments);
        assert_eq!(told.status.code(), Some(3), "{arguments:?}: {}", said(&told));
        assert!(said(&told).contains("nothing is stored of this"), "{}", said(&told));
    }
    assert!(run(home, &["export", "--user", "ann"]).stdout.is_empty());
    assert_eq!(json(&run(home, &["erase", "--tenant", "default", "--dry-run", "--json"]))["decisions"], 2);
    assert_eq!(json(&run(home, &["erase", "--before", "1d", "--yes", "--json"]))["decisions"], 0);
    let future = run(home, &["erase", "--before", "2999-01-01T00:00:00Z", "--yes"]);
    assert!(!future.status.success() && said(&future).contains("still to come"), "{}", said(&future));
    assert_eq!(json(&run(home, &["erase", "--before", "0h", "--yes", "--json"]))["decisions"], 2);
    assert!(run(home, &["doctor"]).status.success());
}

#[test]
fn a_folder_without_a_ledger_is_told_and_gets_none() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["erase", "--user", "ann", "--yes"][..], &["export", "--user", "ann"]] {
        let told = run(folder.path(), arguments);
        assert!(!told.status.success() && said(&told).contains("KALIBR_HOME"), "{}", said(&told));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn an_erasure_that_is_killed_at_any_moment_leaves_a_ledger_from_which_another_finishes_it() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path());
    let engine = open(folder.path());
    for _ in 0..4 {
        runs(&engine, "ann", 700);
        runs(&engine, "ben", 20);
    }
    let ann = *engine.user_hash("ann").as_bytes();
    assert!(engine.close(PATIENCE));
    let home = folder.path();
    let holds_ann = || {
        let files =
            std::fs::read_dir(home).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        files.into_iter().any(|bytes| bytes.windows(16).any(|window| window == ann))
    };
    assert!(holds_ann());
    let left = || {
        json(&run(home, &["erase", "--user", "ann", "--dry-run", "--json"]))["decisions"].as_u64().unwrap()
    };

    // Killed while it erases, and while it copies the file anew: a little later each time.
    let (mut seen, mut wait) = (vec![left()], Duration::from_millis(20));
    loop {
        let mut erasing =
            kalibr(home).args(["erase", "--user", "ann", "--yes"]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(wait);
        let finished = erasing.try_wait().unwrap();
        if let Some(status) = finished {
            // 3 says that the one before had come to the end of what there was, and only copies were left.
            assert!(status.success() || status.code() == Some(3), "{status}");
            break;
        }
        erasing.kill().unwrap();
        erasing.wait().unwrap();
        assert!(run(home, &["doctor"]).status.success(), "the counters agree with what is left");
        seen.push(left());
        wait += wait / 3;
    }
    assert!(seen.iter().any(|left| (1..2_800).contains(left)), "none was killed in the middle: {seen:?}");
    assert_eq!(left(), 0);
    assert!(!holds_ann());
    assert!(run(home, &["doctor"]).status.success());
    assert_eq!(json(&run(home, &["erase", "--user", "ben", "--dry-run", "--json"]))["decisions"], 80);
}
