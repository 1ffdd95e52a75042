//! What is learned across goals, seen from the in-process API.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kalibr_engine::core::ids::{Goal, Timestamp};
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::signals::vocabulary::lookup;
use kalibr_engine::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn open(folder: &Path) -> Engine {
    let mut config = EngineConfig::new(Home::at(folder), &Config::default(), &|_| None).unwrap();
    config.seed = Some(7);
    Engine::open(config).unwrap()
}

fn put(engine: &Engine, goal: &str, models: &[&str]) {
    let paths: Vec<_> = models.iter().map(|model| PathSpec::model(model).unwrap()).collect();
    let goal = Goal::new(goal).unwrap();
    engine.put_goal(&goal, &GoalSettings::default(), &paths, PathUpdate::Replace).unwrap();
}

/// One decision of this model, and what the user did.
fn told(engine: &Engine, goal: &str, model: &str, kinds: &[&str]) {
    let request =
        DecideRequest { force_model: Some(model.to_owned()), ..DecideRequest::of(Goal::new(goal).unwrap()) };
    let run = engine.decide(&request).unwrap().trace;
    let signals = kinds
        .iter()
        .map(|kind| {
            engine.signal(Run::Trace(run), lookup(kind).unwrap(), None, None, SignalMeta::default()).unwrap()
        })
        .collect();
    engine.send(signals).unwrap();
}

fn expected(engine: &Engine, goal: &str, model: &str) -> f64 {
    let goal = engine.goal(&Goal::new(goal).unwrap()).unwrap();
    let id = PathSpec::model(model).unwrap().id();
    goal.learned[0].paths.iter().find(|path| path.path_id == id).unwrap().expected
}

/// Three goals in which the first model is accepted four times out of five, the second two times out of five.
fn three_goals(engine: &Engine) {
    for goal in ["tickets", "mails", "letters"] {
        put(engine, goal, &["good", "poor"]);
        for i in 0..30 {
            told(engine, goal, "good", &[if i % 5 < 4 { "user_accepted" } else { "user_rejected" }]);
            told(engine, goal, "poor", &[if i % 5 < 2 { "user_accepted" } else { "user_rejected" }]);
        }
    }
    assert!(engine.flush(PATIENCE));
}

#[test]
fn a_new_goal_starts_from_what_its_models_did_on_others_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, "first", &["good", "poor", "unheard-of"]);
    assert_eq!(expected(&engine, "first", "good"), 0.5);
    three_goals(&engine);
    put(&engine, "new", &["good", "poor", "unheard-of"]);
    let (good, poor) = (expected(&engine, "new", "good"), expected(&engine, "new", "poor"));
    assert!(good > poor + 0.2, "{good} {poor}");
    assert_eq!(expected(&engine, "new", "unheard-of"), 0.5);
    assert!(engine.close(PATIENCE));

    let again = open(folder.path());
    put(&again, "newer", &["good", "poor"]);
    assert!((expected(&again, "newer", "good") - good).abs() < 0.05);
    for goal in ["tickets", "mails", "letters"] {
        assert!(expected(&again, goal, "good") > expected(&again, goal, "poor") + 0.2);
    }
    again.close(PATIENCE);
}

#[test]
fn a_goal_that_is_deleted_teaches_no_new_goal() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    three_goals(&engine);
    for goal in ["tickets", "mails", "letters"] {
        assert!(engine.remove_goal(&Goal::new(goal).unwrap()).unwrap());
    }
    put(&engine, "new", &["good", "poor"]);
    assert_eq!(expected(&engine, "new", "good"), 0.5);
    engine.close(PATIENCE);
}

#[test]
fn what_users_say_counts_less_once_deeds_have_contradicted_it() {
    let folder = tempfile::tempdir().unwrap();
    let believed = open(folder.path());
    put(&believed, "mails", &["m"]);
    for _ in 0..40 {
        told(&believed, "mails", "m", &["user_accepted"]);
    }
    assert!(believed.flush(PATIENCE));
    let before = expected(&believed, "mails", "m");
    // In another goal, users who accepted threw the answer away.
    put(&believed, "tickets", &["m"]);
    for _ in 0..40 {
        told(&believed, "tickets", "m", &["user_accepted", "output_discarded"]);
        told(&believed, "tickets", "m", &["user_accepted", "output_used_verbatim"]);
    }
    told(&believed, "mails", "m", &["user_accepted"]);
    assert!(believed.flush(PATIENCE));
    let after = expected(&believed, "mails", "m");
    assert!(after < before - 0.1, "{before} {after}");
    believed.close(PATIENCE);
}

/// A clock that breaks whatever the refresher does with it, while it is armed.
fn trap() -> (Clock, Arc<AtomicBool>) {
    let armed = Arc::new(AtomicBool::new(false));
    let is_armed = Arc::clone(&armed);
    let clock = Clock::new(move || {
        let is_refresher = std::thread::current().name() == Some("kalibr-refresher");
        assert!(!(is_refresher && is_armed.load(Ordering::Relaxed)), "this is the panic of the test");
        Timestamp(1_800_000_000_000_000)
    });
    (clock, armed)
}

fn graded(engine: &Engine, goal: &str) -> i64 {
    assert!(engine.flush(PATIENCE));
    let goal = engine.goal(&Goal::new(goal).unwrap()).unwrap();
    goal.learned.iter().flat_map(|scope| &scope.paths).map(|path| path.graded).sum()
}

#[test]
fn a_panic_of_the_refresher_loses_nothing_counts_nothing_twice_and_is_not_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let config = EngineConfig::new(Home::at(folder.path()), &Config::default(), &|_| None).unwrap();
    let (clock, armed) = trap();
    let engine = Engine::open(EngineConfig { seed: Some(7), clock, ..config }).unwrap();
    put(&engine, "g", &["good", "poor"]);
    told(&engine, "g", "good", &["user_accepted"]);
    assert_eq!(graded(&engine, "g"), 1);

    // One goal's tables cannot be built: decisions go on, and the next refresh knows everything.
    armed.store(true, Ordering::Relaxed);
    told(&engine, "g", "good", &["user_accepted"]);
    std::thread::sleep(Duration::from_millis(300));
    armed.store(false, Ordering::Relaxed);
    told(&engine, "g", "poor", &["user_rejected"]);
    assert_eq!(graded(&engine, "g"), 3);

    // The whole pass breaks off in the middle.
    armed.store(true, Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| put(&engine, "h", &["good"]));
        told(&engine, "g", "good", &["user_accepted"]);
        std::thread::sleep(Duration::from_millis(300));
        armed.store(false, Ordering::Relaxed);
    });
    told(&engine, "h", "good", &["user_accepted"]);
    assert_eq!((graded(&engine, "g"), graded(&engine, "h")), (4, 1));
    assert!(engine.health().alive && engine.health().is_well());
    engine.close(PATIENCE);
}
