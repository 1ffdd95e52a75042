use super::*;
use crate::counters::Epoch;
use crate::evidence::{Pattern, Register, Signal, Source, Strength, Value};
use crate::ids::{Bucket, PathId, SignalId, TraceId};
use crate::outcome::Reply;
use crate::policy::{PolicyTable, uniform};
use crate::posterior::{Beta, Posterior};
use crate::replay::{Head, LineReader, Logged, NamedPath, PathName};
use crate::trace::Share;
use proptest::prelude::*;

fn path(n: u8) -> PathId {
    PathId::from_bytes([n + 1; 16])
}

fn trace(n: u64) -> TraceId {
    let mut bytes = [1; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    TraceId::from_bytes(bytes)
}

fn share(path: PathId, good: Option<bool>) -> Share {
    let mut register = Register::default();
    register.reply(Reply::Answered);
    if let Some(good) = good {
        let value = if good { Value::UserAccepted } else { Value::UserRejected };
        register.take(&Signal {
            id: SignalId::new("s").unwrap(),
            source: Source::Explicit,
            value,
            strength: value.default_strength(),
            confidence: Strength::ONE,
            at: Timestamp(0),
            attempt: None,
        });
    }
    let score = register.winner().map_or(0, |(_, strength)| strength.units());
    Share { path, pattern: register.pattern(), score }
}

/// A fair coin chose between two paths that serve with these probabilities, in two buckets that like them the other
/// way round.
fn coin(decisions: u64, quality: [f64; 2]) -> Vec<Logged> {
    (0..decisions)
        .map(|n| {
            let (bucket, chosen) = (n % 2, usize::from(uniform(1, n) < 0.5));
            let good = uniform(2, n) < quality[if bucket == 0 { chosen } else { 1 - chosen }];
            Logged {
                trace: trace(n),
                at: Timestamp(n as i64),
                pipeline: None,
                bucket: Bucket::new(if bucket == 0 { "code" } else { "chat" }).unwrap(),
                epoch: None,
                drawn: true,
                path: path(chosen as u8),
                considered: vec![(path(0), 0.5), (path(1), 0.5)],
                attempts: vec![share(path(chosen as u8), Some(good))],
                dollars: Some(if chosen == 0 { 0.01 } else { 0.001 }),
            }
        })
        .collect()
}

fn names() -> Vec<PathName> {
    let name = |path, model: &str, label: &str| PathName { path, model: model.into(), label: label.into() };
    vec![name(path(0), "m", "m temperature=0"), name(path(1), "m", "m temperature=1")]
}

fn value(log: &Log, policy: &Policy) -> f64 {
    log.replay(policy, &Routing::default(), None).unwrap().worth.unwrap().value.value
}

#[test]
fn the_best_path_of_each_bucket_earns_more_than_either_path_in_both() {
    let log = Log::new(names(), coin(2_000, [0.9, 0.3]));
    let one = value(&log, &Policy::Always("m temperature=0".into()));
    assert!((one - 0.6).abs() < 0.05, "{one}");
    let best = value(&log, &Policy::BestPerBucket);
    assert!(best > 0.84 && best < 0.93, "{best}");
    let uniform = value(&log, &Policy::Uniform);
    assert!((uniform - 0.6).abs() < 0.05, "{uniform}");
}

#[test]
fn a_learner_that_is_replayed_finds_the_better_path_from_the_evidence_of_the_log() {
    let log = Log::new(names(), coin(2_000, [0.9, 0.3]));
    for policy in [Policy::HalfLife(400.0), Policy::HalfLife(0.0), Policy::Delta(0.0)] {
        let found = value(&log, &policy);
        assert!(found > 0.82 && found < 0.93, "{policy}: {found}");
    }
}

#[test]
fn a_greater_delta_takes_the_cheaper_path_and_without_costs_changes_nothing() {
    // The dear path serves a little better, in both buckets.
    let mut decisions = coin(3_000, [0.8, 0.8]);
    for decision in &mut decisions {
        let good = uniform(3, decision.at.0 as u64) < if decision.path == path(0) { 0.8 } else { 0.7 };
        decision.attempts = vec![share(decision.path, Some(good))];
    }
    let routing = |delta| Routing {
        rules: ChoiceRules {
            objective: Objective::CheapestWithin { delta, probability: 0.5 },
            ..ChoiceRules::default()
        },
        ..Routing::default()
    };
    let cheap = |decisions: &[Logged], delta| {
        let targets = Log::new(names(), decisions.to_vec()).learned(&routing(delta));
        targets[2_000..].iter().flatten().map(|target| target[1]).sum::<f64>() / 1_000.0
    };
    assert!(cheap(&decisions, 0.0) < 0.2, "{}", cheap(&decisions, 0.0));
    assert!(cheap(&decisions, 0.2) > 0.8, "{}", cheap(&decisions, 0.2));
    decisions.iter_mut().for_each(|decision| decision.dollars = None);
    assert_eq!(cheap(&decisions, 0.0), cheap(&decisions, 0.2));
}

#[test]
fn a_cap_of_the_goal_leaves_no_decision_out_that_the_log_has_no_cost_of() {
    let mut decisions = coin(400, [0.9, 0.3]);
    decisions.iter_mut().for_each(|decision| decision.dollars = None);
    let limits = Limits { max_cost_usd: Some(0.02), max_latency_ms: Some(8_000), ..Limits::default() };
    let capped = Routing { rules: ChoiceRules { limits, ..ChoiceRules::default() }, ..Routing::default() };
    let log = Log::new(names(), decisions);
    for policy in [Policy::HalfLife(400.0), Policy::Delta(0.05)] {
        let found = log.replay(&policy, &capped, None).unwrap();
        assert_eq!(found.decisions, 400);
        assert_eq!(found, log.replay(&policy, &Routing::default(), None).unwrap());
    }
}

#[test]
fn no_policy_looks_at_what_came_later() {
    let whole = coin(600, [0.9, 0.3]);
    let mut changed = whole.clone();
    for decision in &mut changed[300..] {
        decision.attempts = vec![share(decision.path, Some(decision.path == path(1)))];
    }
    let routing = Routing::default();
    let (whole, changed) = (Log::new(names(), whole), Log::new(names(), changed));
    assert_eq!(whole.best_per_class()[..=300], changed.best_per_class()[..=300]);
    assert_eq!(whole.learned(&routing)[..=300], changed.learned(&routing)[..=300]);
    assert_ne!(whole.best_per_class(), changed.best_per_class());
}

#[test]
fn what_was_forced_or_observed_teaches_and_is_not_evaluated() {
    let mut decisions = coin(400, [0.9, 0.3]);
    for decision in &mut decisions[..200] {
        decision.drawn = false;
        decision.considered = vec![(decision.path, 1.0)];
    }
    let log = Log::new(names(), decisions.clone());
    let routing = Routing::default();
    let found = log.replay(&Policy::HalfLife(800.0), &routing, None).unwrap();
    assert_eq!((found.decisions, log.not_drawn(None)), (200, 200));
    let learned = log.learned(&routing);
    let untaught = Log::new(names(), decisions[200..].to_vec()).learned(&routing);
    assert!(learned[200].as_ref().unwrap()[0] > 0.9, "{:?}", learned[200]);
    assert_eq!(untaught[0].as_ref().unwrap()[0], 0.5);
    let since = log.replay(&Policy::Uniform, &routing, Some(Timestamp(300))).unwrap();
    assert_eq!(since.decisions, 100);
}

#[test]
fn a_decision_that_comes_twice_counts_once_and_order_does_not_matter() {
    let decisions = coin(300, [0.9, 0.3]);
    let mut shuffled: Vec<Logged> = decisions.iter().rev().cloned().collect();
    shuffled.extend_from_slice(&decisions[..50]);
    let (log, again) = (Log::new(names(), decisions), Log::new(names(), shuffled));
    assert_eq!((log.duplicates(), again.duplicates()), (0, 50));
    for policy in [Policy::Uniform, Policy::BestPerBucket, Policy::HalfLife(100.0), Policy::Delta(0.1)] {
        let replay = |log: &Log| log.replay(&policy, &Routing::default(), None).unwrap();
        assert_eq!(replay(&log), replay(&again), "{policy}");
    }
}

#[test]
fn a_path_is_found_by_identity_label_or_model_and_by_no_name_that_two_have() {
    let log = Log::new(names(), coin(10, [0.5, 0.5]));
    assert_eq!(log.path("m temperature=1").unwrap(), 1);
    assert_eq!(log.path(&path(0).to_string()).unwrap(), 0);
    let error = log.path("m").unwrap_err().to_string();
    assert!(error.contains("m temperature=0, m temperature=1"), "{error}");
}

#[test]
fn an_attempt_that_failed_is_no_answer_and_is_not_graded() {
    let mut decisions = coin(100, [0.9, 0.3]);
    let mut register = Register::default();
    register.reply(Reply::Failed);
    let failed = |path| Share { path, pattern: register.pattern(), score: 0 };
    for decision in &mut decisions[..40] {
        decision.attempts = vec![failed(decision.path), share(path(1), Some(true))];
    }
    let log = Log::new(names(), decisions);
    let found = log.replay(&Policy::Uniform, &Routing::default(), None).unwrap();
    assert_eq!((found.decisions, found.graded, log.unanswered(None)), (100, 60, 40));
}

#[test]
fn a_line_that_is_no_decision_is_refused_without_a_word_of_what_is_in_it() {
    for line in [r#"{"path":"a","considered":[],"reward":"SECRET"}"#, r#"{"SECRET":1}"#, "SECRET"] {
        let error = read(line).unwrap_err();
        assert!(error.contains("line 1 of the log") && error.contains("column"), "{error}");
        assert!(!error.contains("SECRET"), "{error}");
    }
}

fn read(lines: &str) -> Result<(Head, Log), String> {
    let mut reader = LineReader::default();
    for line in lines.lines() {
        reader.take(line).map_err(|error| error.to_string())?;
    }
    Ok(reader.finish())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_log_that_is_written_and_read_again_is_replayed_to_the_same_numbers(
        propensities in prop::collection::vec((1e-6f64..1.0, any::<u32>(), prop::option::of(0f64..1.0)), 40..120),
    ) {
        let decisions: Vec<Logged> = coin(propensities.len() as u64, [0.9, 0.3])
            .into_iter()
            .zip(&propensities)
            .map(|(decision, &(p, bits, dollars))| Logged {
                considered: vec![(path(1), 1.0 - p), (path(0), p)],
                epoch: Some(Epoch(bits % 7)),
                attempts: vec![Share { pattern: Pattern::from_bits(bits & 0x0222_2222), ..decision.attempts[0] }],
                dollars,
                ..decision
            })
            .collect();
        let head = Head {
            paths: names()
                .into_iter()
                .map(|PathName { path, model, label }| NamedPath { path, model, label })
                .collect(),
            ..Head::default()
        };
        let text = head.line() + &decisions.iter().map(Logged::line).collect::<String>();
        let (read_head, read) = read(&text).unwrap();
        let log = Log::new(names(), decisions);
        prop_assert_eq!(read_head, head);
        for policy in [Policy::Uniform, Policy::BestPerBucket, Policy::HalfLife(100.0), Policy::Delta(0.1)] {
            let routing = Routing::default();
            prop_assert_eq!(log.replay(&policy, &routing, None), read.replay(&policy, &routing, None));
        }
    }
}

#[test]
fn a_line_that_is_no_decision_is_told_with_its_number_and_what_is_wrong() {
    let good = r#"{"path":"a","considered":[{"path":"a","propensity":1}],"reward":1}"#;
    for (bad, word) in [
        ("{}", "path"),
        (r#"{"path":"a","considered":[],"rewards":1}"#, "attempts or reward"),
        (r#"{"path":"a","considered":[{"path":"a","propensity":1}],"reward":2}"#, "0 to 1"),
        (r#"{"path":"a","considered":[],"reward":1,"attempts":[]}"#, "two ways"),
        (r#"{"path":"","considered":[]}"#, "model"),
        ("not json", "object of path, considered"),
    ] {
        let error = read(&format!("{good}\n\n{bad}")).unwrap_err();
        assert!(error.starts_with("line 3 of the log: ") && error.contains(word), "{bad}: {error}");
    }
}

#[test]
fn a_reward_in_a_log_counts_as_it_stands() {
    let line = |reward: &str| {
        format!(r#"{{"path":"a","considered":[{{"path":"a","propensity":1}}]{reward}}}"#) + "\n"
    };
    let text = line(r#","reward":0.25"#).repeat(40) + &line("").repeat(10);
    let found =
        read(&text).unwrap().1.replay(&Policy::Always("a".into()), &Routing::default(), None).unwrap();
    assert_eq!((found.decisions, found.graded, found.done), (50, 40, Some(0.25)));
    assert!((found.worth.unwrap().value.value - 0.25).abs() < 0.005);
}

#[test]
fn a_path_that_did_not_answer_lately_is_chosen_less_by_a_replayed_learner_than_one_that_did() {
    // Both serve alike where they answer; the first stops answering half way.
    let mut register = Register::default();
    register.reply(Reply::Failed);
    let failed = Share { path: path(0), pattern: register.pattern(), score: 0 };
    let mut log = coin(400, [0.7, 0.7]);
    for (n, logged) in log.iter_mut().enumerate() {
        logged.at = Timestamp(n as i64 * 1_000_000);
        if n >= 200 && logged.path == path(0) {
            logged.attempts = vec![failed, share(path(1), Some(true))];
        }
    }
    let targets = Log::new(names(), log).learned(&Routing::default());
    let last = targets.last().unwrap().as_ref().unwrap();
    assert!(last[0] < 0.1, "{last:?}");
}

#[test]
fn rules_of_a_log_from_before_there_was_a_sharpness_match_probabilities() {
    let sharpness = |rules: &str| {
        let head: Head = serde_json::from_str(&format!(r#"{{"paths": [], "rules": {rules}}}"#)).unwrap();
        head.rules.map(|rules| rules.sharpness)
    };
    assert_eq!(sharpness(r#"{"floor": 0.01}"#), Some(1.0));
    assert_eq!(sharpness(r#"{"sharpness": 3}"#), Some(3.0));
    assert_eq!(sharpness("null"), None);
    let written = Head { rules: Some(ChoiceRules::default()), ..Head::default() };
    let text = serde_json::to_string(&written).unwrap();
    assert_eq!(serde_json::from_str::<Head>(&text).unwrap(), written);
    assert!(serde_json::from_str::<Head>(r#"{"paths": [], "rules": {"flor": 1}}"#).is_err());
}

#[test]
fn a_replayed_table_is_as_greedy_as_a_live_one_while_a_provider_fails() {
    let mut register = Register::default();
    register.reply(Reply::Failed);
    let mut decisions = coin(400, [0.7, 0.7]);
    for (n, logged) in decisions.iter_mut().enumerate() {
        logged.at = Timestamp(n as i64 * 1_000_000);
        if n % 4 == 0 {
            logged.attempts = vec![Share { path: logged.path, pattern: register.pattern(), score: 0 }];
        }
    }
    let (log, routing) = (Log::new(names(), decisions), Routing::default());
    let mut replayed = Replayed::new(&log, &routing);
    log.entries.iter().for_each(|entry| replayed.learn(entry));
    let replay = replayed.table(0, Timestamp(400_000_000)).clone();
    let available = |subject: &Subject| subject.available.map_or(1.0, Beta::mean);
    let posteriors = replayed.subjects.iter().zip(replay.offers()).map(|(subject, offer)| {
        let success = offer.success;
        let availability = available(subject);
        let known = Posterior {
            success,
            quality: success,
            own: success,
            available: None,
            availability,
            graded: 0,
            attempts: 0,
        };
        (subject.path, known)
    });
    let posteriors: Vec<_> = posteriors.collect();
    let known = || replay.offers().map(|offer| Known { offer: offer.clone(), ..Known::of(offer.success) });
    let standing = Standing::default();
    let live = PolicyTable::new(0, &posteriors, known(), &routing.rules, &standing);
    assert_eq!(live.rules(), &replay);
    assert_ne!(routing.rules.prepare(&known().collect::<Vec<_>>(), &standing), replay);
}
