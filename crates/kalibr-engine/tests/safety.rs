//! What keeps a goal from harm, seen from the in-process API: a cap on one user's weight, freezing, resetting, and the way
//! back to the baseline; and goals that are gone.

use std::path::Path;
use std::time::Duration;

use kalibr_engine::core::ids::{Goal, TraceId};
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::core::safety::{Side, UserCap};
use kalibr_engine::signals::vocabulary::lookup;
use kalibr_engine::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn open(folder: &Path) -> Engine {
    let mut config = EngineConfig::new(Home::at(folder), &Config::default(), &|_| None).unwrap();
    config.seed = Some(7);
    Engine::open(config).unwrap()
}

fn named(name: &str) -> Goal {
    Goal::new(name).unwrap()
}

fn goal() -> Goal {
    named("g")
}

fn put(engine: &Engine, name: &str, settings: &GoalSettings, models: &[&str]) {
    let paths: Vec<_> = models.iter().map(|model| PathSpec::model(model).unwrap()).collect();
    engine.put_goal(&named(name), settings, &paths, PathUpdate::Replace).unwrap();
}

fn say(engine: &Engine, trace: TraceId, kind: &str) {
    let signal =
        engine.signal(Run::Trace(trace), lookup(kind).unwrap(), None, None, SignalMeta::default()).unwrap();
    engine.send(vec![signal]).unwrap();
}

fn decide(engine: &Engine, name: &str, model: Option<&str>) -> Decision {
    let force_model = model.map(str::to_owned);
    engine.decide(&DecideRequest { force_model, ..DecideRequest::of(named(name)) }).unwrap()
}

/// So many decisions of this model, all accepted or all rejected.
fn told(engine: &Engine, name: &str, model: &str, kind: &str, times: u32) -> Vec<TraceId> {
    let traces: Vec<_> = (0..times).map(|_| decide(engine, name, Some(model)).trace).collect();
    traces.iter().for_each(|trace| say(engine, *trace, kind));
    assert!(engine.flush(PATIENCE));
    traces
}

fn info(engine: &Engine, name: &str) -> GoalInfo {
    engine.goal(&named(name)).unwrap()
}

/// What was learned, without the tables' versions.
fn learned(engine: &Engine, name: &str) -> Vec<LearnedScope> {
    let mut learned = info(engine, name).learned;
    learned.iter_mut().for_each(|scope| scope.table_version = 0);
    learned
}

fn share(engine: &Engine, name: &str, model: &str) -> f64 {
    let id = PathSpec::model(model).unwrap().id();
    info(engine, name).learned[0].paths.iter().find(|path| path.path_id == id).unwrap().share
}

fn explained(engine: &Engine, trace: TraceId) -> Explanation {
    engine.explain(&trace.to_string()).unwrap().unwrap()
}

/// Waits until another process's changes were followed.
fn until(what: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !what() {
        assert!(std::time::Instant::now() < deadline, "not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn one_loud_user_does_not_decide_what_all_others_get() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let cap = UserCap { decisions: 5, ..UserCap::default() };
    put(&engine, "g", &GoalSettings { user_cap: cap, ..GoalSettings::default() }, &["a", "b"]);
    let user = Some(engine.user_hash("loud"));
    let request = DecideRequest { user, force_model: Some("a".to_owned()), ..DecideRequest::of(goal()) };
    let traces: Vec<_> = (0..40).map(|_| engine.decide(&request).unwrap().trace).collect();
    traces.iter().for_each(|trace| say(&engine, *trace, "user_rejected"));
    assert!(engine.flush(PATIENCE));
    assert_eq!(info(&engine, "g").learned[0].paths[0].graded, 5);
    assert_eq!(explained(&engine, traces[4]).not_counted, None);
    let beyond = explained(&engine, traces[5]);
    assert_eq!((beyond.not_counted, beyond.evidence.len()), (Some(NotCounted::UserCap), 1));
    assert_eq!(beyond.effect, []);

    // Set afterwards, it takes out what came before; switched off, it brings all back.
    put(&engine, "g", &GoalSettings { user_cap: UserCap::OFF, ..GoalSettings::default() }, &["a", "b"]);
    assert_eq!(info(&engine, "g").learned[0].paths[0].graded, 40);
    put(&engine, "g", &GoalSettings::default(), &["a", "b"]);
    assert_eq!(info(&engine, "g").learned[0].paths[0].graded, 40, "fifty a day");
    engine.close(PATIENCE);
}

#[test]
fn a_frozen_goal_routes_by_the_table_as_it_was_in_every_process_and_after_a_restart_until_it_is_thawed() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    for name in ["g", "other"] {
        put(&engine, name, &GoalSettings::default(), &["a", "b"]);
    }
    told(&engine, "g", "a", "user_accepted", 3);
    told(&engine, "g", "b", "user_rejected", 2);
    let before_freeze = decide(&engine, "g", Some("a")).trace;
    engine.freeze_goal(&goal()).unwrap();
    engine.freeze_goal(&goal()).unwrap();
    let frozen = info(&engine, "g");
    assert!(frozen.frozen_at.is_some());

    // Neither what happens here, nor late signals, nor other goals, nor a restart move the table.
    let during = told(&engine, "g", "a", "user_rejected", 30);
    say(&engine, before_freeze, "output_discarded");
    told(&engine, "other", "a", "user_rejected", 60);
    assert_eq!(info(&engine, "g"), frozen);
    let second = open(folder.path());
    assert_eq!(info(&second, "g"), frozen);
    second.close(PATIENCE);
    assert!(engine.close(PATIENCE));
    let engine = open(folder.path());
    assert_eq!(info(&engine, "g"), frozen);
    assert_ne!(learned(&engine, "other")[0].paths[0].expected, 0.5);

    let kept = explained(&engine, during[0]);
    assert_eq!((kept.not_counted, kept.evidence.len()), (Some(NotCounted::Frozen), 1));
    // Thawed, it knows of the late signal, and never of what was decided while it was frozen.
    engine.thaw_goal(&goal()).unwrap();
    engine.thaw_goal(&goal()).unwrap();
    let thawed = info(&engine, "g");
    assert_eq!((thawed.frozen_at, thawed.learned[0].paths[0].graded), (None, 4));
    assert_eq!(thawed.learned[0].paths[0].attempts, 4);
    let after = told(&engine, "g", "a", "user_accepted", 1);
    assert_eq!(info(&engine, "g").learned[0].paths[0].graded, 5);
    assert_eq!(explained(&engine, after[0]).not_counted, None);
    engine.close(PATIENCE);
}

#[test]
fn settings_paths_and_buckets_of_a_frozen_goal_may_change_and_what_was_known_of_the_others_stays() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, "g", &GoalSettings::default(), &["a", "b"]);
    told(&engine, "g", "a", "user_accepted", 8);
    engine.freeze_goal(&goal()).unwrap();
    let known = info(&engine, "g").learned[0].paths[0].clone();
    let floor = GoalSettings { floor: 0.2, ..GoalSettings::default() };
    put(&engine, "g", &floor, &["c", "a"]);
    for _ in 0..2 {
        let changed = info(&engine, "g").learned[0].clone();
        assert_eq!(changed.paths[1].expected, known.expected);
        assert_eq!((changed.paths[0].graded, changed.paths[0].expected), (0, 0.5));
        assert!(changed.paths.iter().all(|path| path.share >= 0.2));
        told(&engine, "g", "c", "user_accepted", 4);
    }
    let strange = DecideRequest { bucket: Some("strange".parse().unwrap()), ..DecideRequest::of(goal()) };
    let propensity = engine.decide(&strange).unwrap().propensity;
    assert!((propensity - 0.5).abs() < 1e-9, "nothing was known there: {propensity}");
    assert!(engine.close(PATIENCE));
    engine.close(PATIENCE);
}

#[test]
fn a_goal_whose_frozen_table_was_damaged_still_routes_does_not_learn_and_can_be_thawed() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, "g", &GoalSettings::default(), &["a", "b"]);
    told(&engine, "g", "a", "user_accepted", 5);
    let known = learned(&engine, "g");
    engine.freeze_goal(&goal()).unwrap();
    let late = told(&engine, "g", "a", "user_rejected", 1)[0];
    engine.close(PATIENCE);
    let ledger = rusqlite::Connection::open(Home::at(folder.path()).ledger()).unwrap();
    ledger.execute("UPDATE goals SET frozen_known = 'no JSON'", []).unwrap();
    let engine = open(folder.path());
    assert_eq!(learned(&engine, "g"), known);
    told(&engine, "g", "a", "user_rejected", 9);
    say(&engine, late, "user_accepted");
    assert!(engine.flush(PATIENCE));
    assert_eq!(learned(&engine, "g"), known);
    engine.thaw_goal(&goal()).unwrap();
    assert_eq!(told(&engine, "g", "b", "user_accepted", 1).len(), 1);
    assert_eq!(learned(&engine, "g")[0].paths[1].graded, 1);
    engine.close(PATIENCE);
}

#[test]
fn a_goal_that_is_reset_learns_from_scratch_in_every_process_and_what_was_known_can_be_had_back() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, other) = (open(folder.path()), open(folder.path()));
    put(&engine, "g", &GoalSettings::default(), &["a", "b"]);
    let blank = learned(&engine, "g")[0].paths.clone();
    let old = told(&engine, "g", "a", "user_accepted", 40);
    let known = learned(&engine, "g");
    until(|| other.goal(&goal()).is_some() && learned(&other, "g") == known);

    engine.reset_goal(&goal()).unwrap();
    assert_eq!(learned(&engine, "g")[0].paths, blank);
    assert!(info(&engine, "g").reset_at.is_some());
    until(|| learned(&other, "g")[0].paths == blank);
    // Late signals of decisions from before are kept, and move nothing.
    say(&other, old[0], "output_discarded");
    assert!(other.flush(PATIENCE) && engine.flush(PATIENCE));
    assert_eq!(learned(&engine, "g")[0].paths, blank);
    let before = explained(&engine, old[0]);
    assert_eq!((before.not_counted, before.evidence.len()), (Some(NotCounted::BeforeReset), 2));
    // New ones count, from any process, also after a restart.
    told(&other, "g", "b", "user_accepted", 3);
    told(&engine, "g", "b", "user_accepted", 2);
    until(|| learned(&other, "g")[0].paths[1].graded == 5);
    assert_eq!(learned(&engine, "g")[0].paths[0].graded, 0);
    let since = learned(&engine, "g");
    let third = open(folder.path());
    assert_eq!(learned(&third, "g"), since);
    told(&third, "g", "b", "user_accepted", 1);
    assert_eq!(learned(&third, "g")[0].paths[1].graded, 6);
    third.close(PATIENCE);

    engine.undo_reset(&goal()).unwrap();
    let all = learned(&engine, "g");
    assert_eq!((all[0].paths[0].graded, all[0].paths[1].graded), (40, 6));
    until(|| learned(&other, "g") == all);
    assert_eq!(info(&engine, "g").reset_at, None);
    assert_eq!(explained(&engine, old[0]).not_counted, None);
    assert!(matches!(engine.undo_reset(&goal()), Err(GoalError::NotReset(_))));
    engine.close(PATIENCE);
    other.close(PATIENCE);
    assert_eq!(checkup(&Home::at(folder.path()), false).unwrap().wrong, 0);
}

#[test]
fn a_frozen_goal_is_not_reset_and_a_goal_that_is_not_there_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, "g", &GoalSettings::default(), &["a", "b"]);
    engine.freeze_goal(&goal()).unwrap();
    let refused = engine.reset_goal(&goal()).unwrap_err();
    assert!(matches!(refused, GoalError::Frozen(_)) && refused.to_string().contains("thaw"), "{refused}");
    for work in
        [Engine::freeze_goal, Engine::thaw_goal, Engine::reset_goal, Engine::undo_reset, Engine::resume_goal]
    {
        assert!(matches!(work(&engine, &named("nobody")), Err(GoalError::Unknown(_))));
    }
    engine.close(PATIENCE);
}

fn held_out() -> GoalSettings {
    GoalSettings { baseline: Some("a".to_owned()), holdout: 0.3, ..GoalSettings::default() }
}

/// Decisions that users like where they were held out, and dislike where the router made them.
fn a_bad_router(engine: &Engine, name: &str, decisions: u32) -> Vec<Decision> {
    let decisions: Vec<Decision> = (0..decisions).map(|_| decide(engine, name, None)).collect();
    for decision in &decisions {
        say(engine, decision.trace, if decision.held_out { "user_accepted" } else { "user_rejected" });
    }
    assert!(engine.flush(PATIENCE));
    decisions
}

#[test]
fn a_router_that_the_holdout_shows_to_be_worse_is_rolled_back_until_somebody_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, "g", &held_out(), &["a", "b"]);
    let decisions = a_bad_router(&engine, "g", 200);
    until(|| info(&engine, "g").rolled_back.is_some());
    let rollback = info(&engine, "g").rolled_back.unwrap();
    assert!(rollback.baseline_better_by > 0.3, "{rollback:?}");
    for decision in decisions.iter().take(30) {
        let side = if decision.held_out { Side::HeldOut } else { Side::Router };
        let said = explained(&engine, decision.trace);
        assert_eq!((said.side, said.rolled_back), (Some(side), false));
    }

    // Everything takes the baseline, whatever is heard, and after a restart.
    for _ in 0..30 {
        let decision = decide(&engine, "g", None);
        assert_eq!((decision.path.model.as_str(), decision.propensity), ("a", 1.0));
        say(&engine, decision.trace, "user_rejected");
    }
    let last = decide(&engine, "g", None).trace;
    assert!(engine.flush(PATIENCE));
    assert!(explained(&engine, last).rolled_back);
    assert!(engine.close(PATIENCE));
    let engine = open(folder.path());
    assert_eq!(info(&engine, "g").rolled_back, Some(rollback));
    assert_eq!(share(&engine, "g", "a"), 1.0);

    engine.resume_goal(&goal()).unwrap();
    assert_eq!(info(&engine, "g").rolled_back, None);
    assert!(share(&engine, "g", "b") > 0.0);
    // The same evidence does not roll it back again; new evidence does.
    say(&engine, last, "user_rejected");
    told(&engine, "g", "b", "user_rejected", 1);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(info(&engine, "g").rolled_back, None);
    a_bad_router(&engine, "g", 200);
    until(|| info(&engine, "g").rolled_back.is_some());
    // Who names another baseline has decided what to do.
    put(&engine, "g", &GoalSettings { baseline: Some("b".to_owned()), ..held_out() }, &["a", "b"]);
    assert_eq!(info(&engine, "g").rolled_back, None);
    engine.close(PATIENCE);
    assert_eq!(checkup(&Home::at(folder.path()), false).unwrap().wrong, 0);
}

#[test]
fn nothing_is_rolled_back_that_is_not_compared() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, "off", &GoalSettings { rollback_error: 0.0, ..held_out() }, &["a", "b"]);
    put(&engine, "well", &held_out(), &["a", "b"]);
    put(&engine, "frozen", &held_out(), &["a", "b"]);
    put(&engine, "forced", &held_out(), &["a", "b"]);
    engine.freeze_goal(&named("frozen")).unwrap();
    a_bad_router(&engine, "off", 200);
    a_bad_router(&engine, "frozen", 200);
    for _ in 0..200 {
        say(&engine, decide(&engine, "well", None).trace, "user_accepted");
    }
    // Decisions that a caller forced are not the router's.
    let forced = told(&engine, "forced", "b", "user_rejected", 200);
    assert_eq!(explained(&engine, forced[0]).side, None);
    for _ in 0..200 {
        let decision = decide(&engine, "forced", None);
        say(&engine, decision.trace, "user_accepted");
    }
    assert!(engine.flush(PATIENCE));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(
        engine.goals().iter().map(|goal| goal.rolled_back.clone()).collect::<Vec<_>>(),
        [None, None, None, None]
    );
    engine.close(PATIENCE);
}

#[test]
fn what_comes_for_a_goal_that_was_deleted_meanwhile_is_taken_in_and_there_when_it_is_created_again() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, "g", &held_out(), &["a", "b"]);
    told(&engine, "g", "a", "user_accepted", 3);
    engine.freeze_goal(&goal()).unwrap();
    engine.thaw_goal(&goal()).unwrap();
    let underway = decide(&engine, "g", Some("a")).trace;
    assert!(engine.remove_goal(&goal()).unwrap());
    assert!(!engine.remove_goal(&goal()).unwrap());
    assert!(matches!(engine.decide(&DecideRequest::of(goal())), Err(DecideError::UnknownGoal(_))));
    say(&engine, underway, "user_accepted");
    assert!(engine.flush(PATIENCE));
    let kept = explained(&engine, underway);
    assert_eq!((kept.goal.as_str(), kept.chosen.label.as_str(), kept.evidence.len()), ("g", "a", 1));
    for work in [Engine::freeze_goal, Engine::reset_goal, Engine::resume_goal] {
        assert!(matches!(work(&engine, &goal()), Err(GoalError::Unknown(_))));
    }
    put(&engine, "g", &GoalSettings::default(), &["a", "b"]);
    assert_eq!(info(&engine, "g").learned[0].paths[0].graded, 4);
    told(&engine, "g", "a", "user_accepted", 1);
    assert_eq!(info(&engine, "g").learned[0].paths[0].graded, 5);
    engine.close(PATIENCE);
    assert_eq!(checkup(&Home::at(folder.path()), false).unwrap().wrong, 0);
}

#[test]
fn a_goal_that_is_deleted_while_frozen_or_rolled_back_works_when_it_is_created_again() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    put(&engine, "g", &held_out(), &["a", "b"]);
    a_bad_router(&engine, "g", 200);
    until(|| info(&engine, "g").rolled_back.is_some());
    engine.freeze_goal(&goal()).unwrap();
    engine.remove_goal(&goal()).unwrap();
    put(&engine, "g", &held_out(), &["a", "b"]);
    let again = info(&engine, "g");
    assert_eq!((again.frozen_at, again.rolled_back), (None, None));
    told(&engine, "g", "a", "user_accepted", 1);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(info(&engine, "g").rolled_back, None);
    engine.close(PATIENCE);
}
