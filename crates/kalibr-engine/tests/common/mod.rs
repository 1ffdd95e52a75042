//! An engine on a folder of its own, and users who always agree.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::Path;
use std::time::Duration;

use kalibr_engine::core::ids::{Goal, TraceId};
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::signals::vocabulary::lookup;
use kalibr_engine::*;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn open_at(folder: &Path, clock: Clock) -> Engine {
    let config: Config = serde_json::from_value(serde_json::json!({ "providers": { "sim": {
        "kind": "simulated",
        "models": { "good": { "quality": 1.0 }, "poor": { "quality": 0.0 } },
    } } }))
    .unwrap();
    let config = EngineConfig::new(Home::at(folder), &config, &|_| None).unwrap();
    Engine::open(EngineConfig { seed: Some(7), clock, ..config }).unwrap()
}

pub(crate) fn goal() -> Goal {
    Goal::new("g").unwrap()
}

pub(crate) fn put(engine: &Engine, paths: &[PathSpec]) {
    engine.put_goal(&goal(), &GoalSettings::default(), paths, PathUpdate::Replace).unwrap();
}

pub(crate) fn models(models: &[&str]) -> Vec<PathSpec> {
    models.iter().map(|model| PathSpec::model(model).unwrap()).collect()
}

pub(crate) fn say(engine: &Engine, run: Run, kind: &str) {
    let signal = engine.signal(run, lookup(kind).unwrap(), None, None, SignalMeta::default()).unwrap();
    engine.send(vec![signal]).unwrap();
}

pub(crate) fn explained(engine: &Engine, trace: TraceId) -> Explanation {
    assert!(engine.flush(PATIENCE));
    engine.explain(&trace.to_string()).unwrap().unwrap()
}
