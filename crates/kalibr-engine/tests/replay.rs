//! What another policy would have earned, from a ledger and from a file.

use std::time::Duration;

use kalibr_engine::core::ids::{Bucket, Goal, Timestamp};
use kalibr_engine::core::objective::Price;
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::core::policy::uniform;
use kalibr_engine::signals::vocabulary::lookup;
use kalibr_engine::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn goal() -> Goal {
    Goal::new("g").unwrap()
}

/// A goal that explores a lot, with this many decisions; `poor` serves 40 % of its answers well, `good` 80 %, and in the
/// bucket `code` the other way round. Every third answer is graded.
fn used(folder: &std::path::Path, decisions: u64) -> Engine {
    let mut config = EngineConfig::new(Home::at(folder), &Config::default(), &|_| None).unwrap();
    config.seed = Some(7);
    let now = std::sync::atomic::AtomicI64::new(1_000_000);
    config.clock = Clock::new(move || Timestamp(now.fetch_add(1_000, std::sync::atomic::Ordering::Relaxed)));
    let engine = Engine::open(config).unwrap();
    let paths = ["lab/poor", "lab/good"].map(|model| PathSpec::model(model).unwrap());
    let settings = GoalSettings { floor: 0.15, ..GoalSettings::default() };
    engine.put_goal(&goal(), &settings, &paths, PathUpdate::Replace).unwrap();
    let mut signals = Vec::new();
    for n in 0..decisions {
        let is_code = n % 4 == 0;
        let bucket = if is_code { Bucket::new("code").unwrap() } else { Bucket::default() };
        let forced = (n % 50 == 49).then(|| "lab/good".to_owned());
        let request =
            DecideRequest { bucket: Some(bucket), force_model: forced, ..DecideRequest::of(goal()) };
        let decision = engine.decide(&request).unwrap();
        let quality = if (decision.path.model == "lab/good") == is_code { 0.4 } else { 0.8 };
        if n % 3 == 0 {
            let kind = if uniform(3, n) < quality { "user_accepted" } else { "user_rejected" };
            let run = Run::Trace(decision.trace);
            signals
                .push(engine.signal(run, lookup(kind).unwrap(), None, None, SignalMeta::default()).unwrap());
        }
        if n % 100 == 99 {
            engine.send(std::mem::take(&mut signals)).unwrap();
            assert!(engine.flush(PATIENCE));
        }
    }
    engine
}

#[test]
fn a_log_tells_what_other_policies_would_have_earned() {
    let folder = tempfile::tempdir().unwrap();
    let engine = used(folder.path(), 3_000);
    let replay =
        |policy: &str| engine.replay(&goal(), &policy.parse().unwrap(), &ReplayOptions::default()).unwrap();
    for (policy, truth) in
        [("always:lab/good", 0.7), ("always:lab/poor", 0.5), ("uniform", 0.6), ("best-per-bucket", 0.8)]
    {
        let report = replay(policy);
        assert_eq!((report.decisions, report.not_drawn, report.graded), (2_940, 60, 980), "{policy}");
        let value = report.worth.unwrap().value;
        assert!((value.value - truth).abs() < 0.07, "{policy}: {value:?}");
        assert!(value.low < value.value && value.value < value.high && value.high - value.low < 0.3);
    }
    for policy in ["half-life:200", "delta:0.05", "delta:0"] {
        let value = replay(policy).worth.unwrap().value.value;
        assert!(value > 0.65, "{policy}: {value}");
    }
    assert!(replay("delta:0.05").notes[0].contains("give the prices"), "{:?}", replay("delta:0.05").notes);
    assert!(replay("uniform").notes.is_empty());
    engine.close(PATIENCE);
}

#[test]
fn an_exported_log_gives_the_same_report_as_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let engine = used(folder.path(), 600);
    let price = |input| Price { input, output: 4.0 * input };
    let options = ReplayOptions {
        prices: [("lab/good".to_owned(), price(2.0)), ("lab/poor".to_owned(), price(0.1))].into(),
        ..ReplayOptions::default()
    };
    let mut file = String::new();
    engine
        .export_log(&goal(), &options, &mut |line| {
            file += line;
            Ok(())
        })
        .unwrap();
    assert_eq!(file.lines().count(), 601);
    let middle = ReplayOptions { since: Some(Timestamp(1_300_000)), ..options.clone() };
    for options in [&options, &middle] {
        for policy in ["always:lab/good", "uniform", "best-per-bucket", "delta:0.05", "half-life:400"] {
            let policy = policy.parse().unwrap();
            let from_ledger = engine.replay(&goal(), &policy, options).unwrap();
            let from_file = replay_lines(file.as_bytes(), &policy, options).unwrap();
            assert_eq!(from_file, from_ledger, "{policy}");
            assert!(from_ledger.decisions > 100);
        }
    }
    engine.close(PATIENCE);
}

#[test]
fn what_cannot_be_replayed_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let engine = used(folder.path(), 100);
    let error = |goal: &str, policy: &str| {
        let goal = Goal::new(goal).unwrap();
        engine.replay(&goal, &policy.parse().unwrap(), &ReplayOptions::default()).unwrap_err().to_string()
    };
    assert!(error("elsewhere", "uniform").contains("kalibr goals"));
    assert!(error("g", "always:gpt-9").contains("lab/poor, lab/good"));
    let few = engine.replay(&goal(), &"always:lab/poor".parse().unwrap(), &ReplayOptions::default()).unwrap();
    let refused = few.refused.unwrap();
    assert!(few.worth.is_none() && refused.more.is_some());
    assert!(refused.message.contains("at least 30 are needed"), "{}", refused.message);
    let options = ReplayOptions { most: 40, ..ReplayOptions::default() };
    let cut = engine.replay(&goal(), &"uniform".parse().unwrap(), &options).unwrap();
    assert!(cut.decisions < 40 && cut.notes[0].contains("latest 40"), "{cut:?}");
    let bad_head =
        replay_lines(&b"{\"paths\":[],\"rules\":{\"floor\":3}}\n"[..], &"uniform".parse().unwrap(), &options);
    assert!(bad_head.unwrap_err().to_string().contains("floor is a probability"));
    engine.close(PATIENCE);
}
