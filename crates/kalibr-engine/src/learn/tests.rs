use super::*;
use kalibr_core::ids::{Goal, Timestamp, TraceId};
use kalibr_core::path::PathSpec;
use kalibr_store::{AttemptFact, DecisionFact, DecisionKind, Fact, PathUpdate, Piece, SqliteLedger};
use rand::{RngExt, SeedableRng};

fn outages() -> Arc<Outages> {
    Arc::new(Outages::new(providers(), Clock::system(), 0))
}

fn prices() -> Arc<Prices> {
    Arc::new(Prices::new([].into(), providers()))
}

fn providers() -> kalibr_upstream::Providers {
    kalibr_upstream::Providers::new(&kalibr_upstream::ProvidersConfig::default(), &|_| None).unwrap()
}

/// Counters as a fresh process would build them.
fn in_ledger(ledger: &SqliteLedger) -> HashMap<Scope, Counters> {
    let mut counters: HashMap<Scope, Counters> = HashMap::new();
    let mut take = |piece| {
        if let Piece::Counters(scope, cells) = piece {
            for (cell, count) in cells {
                counters.entry(Scope::clone(&scope)).or_default().add(cell, count);
            }
        }
    };
    ledger.snapshot(&mut take).unwrap();
    counters
}

#[test]
fn counters_in_memory_are_those_of_the_ledger_also_after_falling_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let ledger = SqliteLedger::open(&file).unwrap();
    let paths = ["a", "b"].map(|model| PathSpec::model(model).unwrap());
    let name = Goal::new("g").unwrap();
    let (goal, _) = ledger.put_goal(&name, None, &paths, PathUpdate::Replace, Timestamp(0)).unwrap();
    let clock = Clock::system();
    let learned = Learned::load(&ledger, &clock, outages(), prices(), Refresh::Soon).unwrap();
    let mut rng = rand::rngs::StdRng::seed_from_u64(5);
    for step in 0..300u32 {
        let trace = TraceId::from_bytes((u128::from(step % 90) + 1).to_be_bytes());
        let path = paths[(step % 2) as usize].id();
        let decision = DecisionFact {
            trace,
            goal: goal.id,
            pipeline: (step % 3 == 0).then(|| "p".parse().unwrap()),
            bucket: kalibr_core::ids::Bucket::default(),
            epoch: Epoch(step / 2),
            kind: DecisionKind::Routed,
            path,
            propensity: 0.5,
            table_version: 0,
            considered: Arc::default(),
            model: None,
            session: None,
            user: None,
            marks: kalibr_store::Marks::default(),
            at: Timestamp(i64::from(step)),
        };
        let attempt = AttemptFact {
            trace,
            index: 0,
            path,
            reply: kalibr_core::outcome::Reply::from_code(rng.random_range(0..4)).unwrap(),
            category: None,
            status: None,
            prompt_tokens: None,
            completion_tokens: None,
            latency_ms: None,
            at: Timestamp(i64::from(step)),
        };
        ledger.commit(&[Fact::Decision(Box::new(decision)), Fact::Attempt(attempt)]).unwrap();
        if rng.random_bool(0.05) {
            // What this process has not seen yet is dropped: it must take a snapshot.
            let other = rusqlite::Connection::open(&file).unwrap();
            other.execute("DELETE FROM changes", []).unwrap();
        }
        if rng.random_bool(0.3) {
            assert!(learned.refresh(&ledger, &clock).is_ok());
            assert_eq!(lock(&learned.kept).counters, in_ledger(&ledger));
        }
    }
    learned.refresh(&ledger, &clock).unwrap();
    assert_eq!(lock(&learned.kept).counters, in_ledger(&ledger));
}

#[test]
fn goals_with_the_same_path_hold_it_once_and_one_that_is_spelled_differently_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    let clock = Clock::system();
    let put = |name: &str, path: &str| {
        let path: PathSpec = serde_json::from_str(path).unwrap();
        ledger.put_goal(&Goal::new(name).unwrap(), None, &[path], PathUpdate::Replace, Timestamp(0)).unwrap();
    };
    put("before", r#"{"model": "m", "params": {"temperature": 0}}"#);
    let learned = Learned::load(&ledger, &clock, outages(), prices(), Refresh::Soon).unwrap();
    put("after", r#"{"model": "m", "params": {"temperature": 0}}"#);
    put("spelled", r#"{"model": "m", "params": {"temperature": 0.0}}"#);
    learned.refresh(&ledger, &clock).unwrap();
    let spec = |name: &str| Arc::clone(&learned.goal(name).unwrap().record.paths[0].spec);
    assert!(Arc::ptr_eq(&spec("before"), &spec("after")));
    assert_ne!(spec("spelled"), spec("before"));
}

#[test]
fn a_changed_goal_has_tables_of_its_new_paths_in_every_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    let clock = Clock::system();
    let name = Goal::new("g").unwrap();
    let put = |models: &[&str]| {
        let paths: Vec<PathSpec> = models.iter().map(|model| PathSpec::model(model).unwrap()).collect();
        ledger.put_goal(&name, None, &paths, PathUpdate::Replace, Timestamp(0)).unwrap().0
    };
    let goal = put(&["a", "b"]);
    let learned = Learned::load(&ledger, &clock, outages(), prices(), Refresh::Soon).unwrap();
    let scope = |n: u8| Scope {
        goal: goal.id,
        pipeline: Some(format!("p{n}").parse().unwrap()),
        bucket: kalibr_core::ids::Bucket::default(),
    };
    let pattern = kalibr_core::evidence::Pattern::PENDING;
    let cell = kalibr_core::counters::Cell { epoch: Epoch(1), path: goal.paths[0].id, pattern };
    let count = kalibr_core::counters::Count::one(0);
    let counted = |n| Change::Count(kalibr_store::CounterRow { scope: scope(n), cell, count });
    learned.apply(&ledger, &clock, (0..50).map(counted).collect(), 1).unwrap();
    put(&["c"]);
    learned.apply(&ledger, &clock, vec![Change::Goal(goal.id)], 2).unwrap();
    let tables = learned.goal("g").unwrap().tables();
    assert_eq!(tables.len(), 50);
    let only = PathSpec::model("c").unwrap().id();
    assert!(tables.iter().all(|(_, table)| table.policy.entries().iter().map(|e| e.path).eq([only])));
}
