//! How much longer a decision among 8 paths takes while one of their providers is down.
//!
//!     cargo run --release -p kalibr-engine --example outage_time

use std::io::Write as _;
use std::time::{Duration, Instant};

use kalibr_engine::core::ids::Goal;
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::upstream::ChatRequest;
use kalibr_engine::{
    CompleteRequest, Config, DecideRequest, Engine, EngineConfig, GoalSettings, Home, PathUpdate,
};

const PATIENCE: Duration = Duration::from_mins(1);
const ROUNDS: usize = 200;
const CALLS: u32 = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config: Config = toml::from_str(
        "[providers.sim]\nkind = \"simulated\"\n[providers.down]\nkind = \"simulated\"\nmodels.m.failure_rate = 1.0\n",
    )?;
    let folder = std::env::temp_dir().join(format!("kalibr-outage-{}", std::process::id()));
    let engine = Engine::open(EngineConfig::new(Home::at(&folder), &config, &|_| None)?)?;
    let (eight, sick) = (Goal::new("eight")?, Goal::new("sick")?);
    let paths =
        |names: &[&str]| names.iter().map(|name| PathSpec::model(name)).collect::<Result<Vec<_>, _>>();
    let all = ["down/m", "sim/a", "sim/b", "sim/c", "sim/d", "sim/e", "sim/f", "openrouter/meta/llama"];
    engine.put_goal(&eight, &GoalSettings::default(), &paths(&all)?, PathUpdate::Replace)?;
    engine.put_goal(&sick, &GoalSettings::default(), &paths(&["down/m"])?, PathUpdate::Replace)?;
    writeln!(std::io::stdout(), "nothing is down: {} ns a decision (median)", median(&engine, &eight)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for _ in 0..20 {
        let body =
            ChatRequest::parse(br#"{"model":"goal:sick","messages":[{"role":"user","content":"x"}]}"#)?;
        let request = CompleteRequest { decide: DecideRequest::of(sick.clone()), body, timeout: None };
        let _ = runtime.block_on(engine.complete(request));
    }
    let state = engine.providers()[0].models[0].standing.state;
    writeln!(std::io::stdout(), "a model is {state}: {} ns a decision (median)", median(&engine, &eight)?)?;
    engine.close(PATIENCE);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Of rounds between which the writer catches up.
fn median(engine: &Engine, goal: &Goal) -> Result<u128, Box<dyn std::error::Error>> {
    let request = DecideRequest::of(goal.clone());
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..CALLS {
            engine.decide(&request)?;
        }
        times.push(begun.elapsed().as_nanos() / u128::from(CALLS));
        while engine.health().waiting > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    times.sort_unstable();
    Ok(times[ROUNDS / 2])
}
