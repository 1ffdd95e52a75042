//! Edited answers: graded by a ratio, a diff or the edited text, revised and withdrawn, and never kept.

mod common;

use std::path::Path;

use common::*;
use kalibr_engine::core::evidence::Source;
use kalibr_engine::core::ids::{SessionId, SignalId, Timestamp};
use kalibr_engine::signals::edit::similarity;
use kalibr_engine::signals::fingerprint::Fingerprint;
use kalibr_engine::signals::vocabulary::edit_strength;
use kalibr_engine::upstream::ChatRequest;
use kalibr_engine::*;

const CANARY: &str = "Zanzibarquux";

fn open(folder: &Path) -> Engine {
    let engine = open_at(folder, Clock::system());
    put(&engine, &models(&["sim/good"]));
    engine
}

fn request(engine: &Engine, session: &str, prompt: &str, stream: bool) -> CompleteRequest {
    let session = Some(engine.session_hash(&SessionId::new(session).unwrap()));
    let messages =
        serde_json::json!([{ "role": "system", "content": "x" }, { "role": "user", "content": prompt }]);
    let body = serde_json::json!({ "model": "goal:g", "messages": messages, "stream": stream }).to_string();
    CompleteRequest {
        decide: DecideRequest { session, ..DecideRequest::of(goal()) },
        body: ChatRequest::parse(body.as_bytes()).unwrap(),
        timeout: None,
    }
}

/// What a model answered, as its caller reads it.
async fn answer(engine: &Engine, session: &str, prompt: &str) -> (Decision, String) {
    let done = engine.complete(request(engine, session, prompt, false)).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&done.answer.body).unwrap();
    (done.decision, body["choices"][0]["message"]["content"].as_str().unwrap().to_owned())
}

fn session(engine: &Engine, name: &str) -> Run {
    Run::Session(engine.session_hash(&SessionId::new(name).unwrap()))
}

fn named(id: &str, at: Option<Timestamp>) -> SignalMeta {
    SignalMeta { id: Some(SignalId::new(id).unwrap()), at }
}

fn output(text: &str) -> Edit {
    Edit::of(None, None, Some(text)).unwrap().unwrap()
}

async fn edited(engine: &Engine, run: Run, edit: Edit, meta: SignalMeta) -> Result<(), SignalError> {
    let fact = engine.edited(run, "output_edited", edit, meta).await?;
    engine.send(vec![fact])
}

/// How well the answer served, by the action.
fn strength(engine: &Engine, trace: kalibr_engine::core::ids::TraceId) -> f64 {
    let attempt = &explained(engine, trace).attempts[0];
    assert_eq!(attempt.graded_by, Some(Source::Action));
    attempt.strength.unwrap()
}

fn report(alias: &str, engine: &Engine, at: i64, output: &str) -> RunReport {
    RunReport {
        alias: Some(engine.alias_hash(alias)),
        goal: Some(goal()),
        model: Some("sim/good".to_owned()),
        at: Some(Timestamp(at)),
        prompt: Some("What about it?".into()),
        output: Some(output.into()),
        ..RunReport::default()
    }
}

#[tokio::test]
async fn an_edited_answer_is_graded_by_how_much_of_it_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let (decision, text) = answer(&engine, "s", "Tell me of lighthouses").await;
    let half = text[..text.len() / 2].to_owned();
    for after in [text.clone(), format!("{text} and some more"), half, "quite another thing".to_owned()] {
        edited(&engine, session(&engine, "s"), output(&after), SignalMeta::default()).await.unwrap();
        let exact = edit_strength(1.0 - similarity(&text, &after)).unwrap().get();
        let graded = strength(&engine, decision.trace);
        assert!((graded - exact).abs() < 0.15, "{after}: {graded} for {exact}");
    }
    // What happened last counts.
    say(&engine, session(&engine, "s"), "output_discarded");
    assert_eq!(strength(&engine, decision.trace), 0.0);
    engine.close(PATIENCE);
}

#[tokio::test]
async fn a_streamed_answer_is_known_as_well_and_so_is_its_prompt() {
    use futures_util::StreamExt;
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let whole = answer(&engine, "whole", "Tell me of rivers").await.1;
    let mut stream = engine.stream(request(&engine, "s", "Tell me of rivers", true)).await.unwrap();
    while let Some(bytes) = stream.next().await {
        bytes.unwrap();
    }
    let now = Timestamp(i64::MAX);
    let prints = engine.prints(session(&engine, "s"), now).await.unwrap().unwrap();
    assert_eq!(prints.trace, stream.decision.trace);
    let of = |text: &str| Fingerprint::of(&prints.key, text);
    assert_eq!(prints.prompt, Some(of("Tell me of rivers")));
    assert_eq!(prints.answer, Some(of(&whole)));
    let recent = engine.recent_prints(Run::Trace(prints.trace), now).unwrap();
    assert_eq!(recent.answer, prints.answer);
    engine.close(PATIENCE);
}

#[tokio::test]
async fn after_a_restart_answers_are_known_from_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let (decision, text) = answer(&engine, "s", "Tell me of bridges").await;
    assert!(engine.close(PATIENCE));
    drop(engine);
    let engine = open(folder.path());
    assert!(engine.recent_prints(Run::Trace(decision.trace), Timestamp(i64::MAX)).is_none());
    for run in [Run::Trace(decision.trace), session(&engine, "s")] {
        edited(&engine, run, output(&text), SignalMeta::default()).await.unwrap();
        assert!((strength(&engine, decision.trace) - 0.9).abs() < 1e-5);
        edited(&engine, run, output(""), SignalMeta::default()).await.unwrap();
        assert!(strength(&engine, decision.trace) < 1e-5);
    }
    engine.close(PATIENCE);
}

#[tokio::test]
async fn an_edit_is_compared_with_the_run_that_was_the_latest_when_it_happened() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let session_hash = engine.session_hash(&SessionId::new("s").unwrap());
    let (first, second) = ("one two three four", "five six seven eight");
    let mut traces = Vec::new();
    for (alias, at, output) in [("a", 10, first), ("b", 20, second)] {
        let run = engine.run(Some(session_hash), &report(alias, &engine, at, output)).unwrap();
        traces.push(run.trace);
        engine.send(run.facts).unwrap();
    }
    let meta = |at| SignalMeta { at: Some(Timestamp(at)), ..SignalMeta::default() };
    let run = Run::Session(session_hash);
    edited(&engine, run, output(first), meta(15)).await.unwrap();
    edited(&engine, run, output(second), meta(25)).await.unwrap();
    for trace in traces {
        assert!((strength(&engine, trace) - 0.9).abs() < 1e-5);
    }
    let error = edited(&engine, run, output(first), meta(5)).await.unwrap_err();
    assert!(matches!(error, SignalError::NoAnswer), "{error}");
    engine.close(PATIENCE);
}

#[tokio::test]
async fn a_diff_and_a_ratio_grade_like_the_text_they_stand_for() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let session_hash = engine.session_hash(&SessionId::new("s").unwrap());
    let lines: Vec<String> = (0..40).map(|n| format!("line {n} has a few words")).collect();
    let before = lines.join("\n");
    let after = before.replace("line 20 has a few words", "line 20 was written anew");
    let run = engine.run(Some(session_hash), &report("a", &engine, 1, &before)).unwrap();
    let trace = run.trace;
    engine.send(run.facts).unwrap();
    let exact = similarity(&before, &after);
    let diff = "@@ -21 +21 @@\n-line 20 has a few words\n+line 20 was written anew\n";
    for edit in [
        Edit::of(Some(1.0 - exact), None, None),
        Edit::of(None, Some(diff), None),
        Edit::of(None, None, Some(&after)),
    ] {
        edited(&engine, Run::Session(session_hash), edit.unwrap().unwrap(), SignalMeta::default())
            .await
            .unwrap();
        let expected = edit_strength(1.0 - exact).unwrap().get();
        let graded = strength(&engine, trace);
        assert!((graded - expected).abs() < 0.02, "{graded} for {expected}");
    }
    engine.close(PATIENCE);
}

#[tokio::test]
async fn what_cannot_be_graded_is_an_error_that_repeats_nothing_and_records_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let (decision, _) = answer(&engine, "s", CANARY).await;
    for (edit, says) in [
        (Edit::of(Some(1.5), None, None), "0 to 1"),
        (Edit::of(Some(f64::NAN), None, None), "0 to 1"),
        (Edit::of(None, Some(CANARY), None), "unified diff"),
        (Edit::of(Some(0.5), Some("@@ -1 +1 @@\n-a\n+b\n"), None), "one way"),
        (Edit::of(None, Some("@@ -1 +1 @@\n-a\n+b\n"), Some(CANARY)), "one way"),
    ] {
        let error = edit.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(says) && !text.contains(CANARY), "{text}");
    }
    let unknown = Run::Trace("0123456789abcdef0123456789abcdef".parse().unwrap());
    let error = edited(&engine, unknown, output(CANARY), SignalMeta::default()).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("edit_ratio") && !text.contains(CANARY), "{text}");
    let error = engine.edited(unknown, "edited", output(CANARY), SignalMeta::default()).await.unwrap_err();
    assert!(error.to_string().contains("output_edited"), "{error}");
    for action in ["output_used_verbatim", "output_copied", "output_discarded"] {
        for edit in [Edit::Ratio(0.2), output(CANARY)] {
            let error =
                engine.edited(unknown, action, edit, SignalMeta::default()).await.unwrap_err().to_string();
            assert!(error.contains("output_edited") && !error.contains(CANARY), "{error}");
        }
        let error = engine.action(unknown, action, Some(0.2), SignalMeta::default()).unwrap_err().to_string();
        assert!(error.contains("leave them out"), "{error}");
    }
    assert!(explained(&engine, decision.trace).evidence.is_empty());
    assert!(!format!("{:?}", output(CANARY)).contains(CANARY));
    engine.close(PATIENCE);
}

/// All counters of the ledger in this folder.
fn counters(folder: &Path) -> Vec<(i64, i64, Vec<u8>, i64, i64, i64)> {
    let file = rusqlite::Connection::open(folder.join("ledger.db")).unwrap();
    let mut rows = file
        .prepare("SELECT goal, epoch, path, pattern, n, score FROM counters ORDER BY 1, 2, 3, 4")
        .unwrap();
    rows.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
    })
    .unwrap()
    .collect::<Result<_, _>>()
    .unwrap()
}

#[tokio::test]
async fn actions_revised_and_withdrawn_leave_the_counters_of_a_clean_replay() {
    const LONG_AGO: i64 = 1_000_000;
    let text = "one two three four five six seven eight nine ten";
    let (lived, clean) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (folder, all) in [(&lived, true), (&clean, false)] {
        let engine = open(folder.path());
        let session_hash = engine.session_hash(&SessionId::new("s").unwrap());
        for (n, alias) in ["a", "b", "c"].into_iter().enumerate() {
            let at = LONG_AGO * (n as i64 + 1);
            let run = engine.run(Some(session_hash), &report(alias, &engine, at, text)).unwrap();
            engine.send(run.facts).unwrap();
        }
        let run = Run::Session(session_hash);
        let at = |n: i64| Some(Timestamp(LONG_AGO * n + 5));
        let send = async |id: &str, when, after: &str| {
            edited(&engine, run, output(after), named(id, when)).await.unwrap();
        };
        say_turn(&engine, run, at(1));
        if all {
            // Said, revised by what happened later, and of two tellings in the wrong order the later event counts.
            send("first", at(1), "nothing of it").await;
            send("old news", Some(Timestamp(LONG_AGO + 1)), "one two").await;
            // Withdrawn, months after it was said.
            send("mistake", at(2), "seven eight").await;
            engine.send(vec![engine.withdrawal(SignalId::new("mistake").unwrap())]).unwrap();
            // Withdrawn before it came.
            engine.send(vec![engine.withdrawal(SignalId::new("early").unwrap())]).unwrap();
            send("early", at(3), "ten").await;
        }
        send("last", Some(Timestamp(LONG_AGO + 9)), "one two three four five six seven eight nine").await;
        assert!(engine.flush(PATIENCE));
        if all {
            engine
                .send(vec![
                    engine.withdrawal(SignalId::new("first").unwrap()),
                    engine.withdrawal(SignalId::new("old news").unwrap()),
                ])
                .unwrap();
        }
        assert!(engine.close(PATIENCE));
        assert_eq!(checkup(folder.path()), 0);
    }
    assert_eq!(counters(lived.path()), counters(clean.path()));
    assert!(counters(lived.path()).iter().any(|row| row.5 > 0));
}

fn say_turn(engine: &Engine, run: Run, at: Option<Timestamp>) {
    let meta = SignalMeta { at, ..SignalMeta::default() };
    let turn = engine.turn(run, "That's wrong, try again.", meta);
    engine.send(turn.facts).unwrap();
}

/// Counters that differ from a recount of the facts.
fn checkup(folder: &Path) -> u64 {
    kalibr_engine::checkup(&Home::at(folder), false).unwrap().wrong
}

#[tokio::test]
async fn neither_prompt_nor_answer_nor_edit_is_in_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let session_hash = engine.session_hash(&SessionId::new("s").unwrap());
    let (decision, _) = answer(&engine, "s", CANARY).await;
    let run = engine.run(Some(session_hash), &report("a", &engine, 1, CANARY)).unwrap();
    assert!(!format!("{:?}", run.facts).contains(CANARY));
    engine.send(run.facts).unwrap();
    let diff = format!("@@ -1 +1 @@\n-{CANARY}\n+{CANARY} not\n");
    for edit in [output(CANARY), Edit::of(None, Some(&diff), None).unwrap().unwrap()] {
        edited(&engine, session(&engine, "s"), edit, SignalMeta::default()).await.unwrap();
    }
    assert!(!explained(&engine, decision.trace).evidence.is_empty());
    assert!(engine.close(PATIENCE));
    let mut files = 0;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(CANARY.len()).any(|part| part.eq_ignore_ascii_case(CANARY.as_bytes())));
        files += 1;
    }
    assert!(files >= 2);
}
