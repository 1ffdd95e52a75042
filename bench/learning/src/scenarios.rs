//! The scenarios, by name.

use anyhow::Context as _;

use crate::simulator::{Course, Scenario, Signals};

/// All of them.
pub(crate) fn every() -> Vec<Scenario> {
    let mut all = vec![
        stationary(),
        drift(),
        judge("judge-unbiased", None),
        judge("judge-second", Some(1)),
        judge("judge-worst", Some(2)),
        revision(0.22),
    ];
    all.push(Scenario { name: "revision-35".into(), ..revision(0.35) });
    all.extend([silent(), slow()]);
    all
}

/// The scenario of this name.
///
/// # Errors
/// When there is none.
pub(crate) fn named(name: &str) -> anyhow::Result<Scenario> {
    let all = every();
    let names: Vec<String> = all.iter().map(|scenario| scenario.name.clone()).collect();
    all.into_iter()
        .find(|scenario| scenario.name == name)
        .with_context(|| format!("no scenario {name:?}: there are {}", names.join(", ")))
}

/// Three paths, .80, .70 and .60, and the truth at once: nothing happens.
fn stationary() -> Scenario {
    Scenario {
        name: "stationary".into(),
        about: "three paths, .80 .70 .60, truth at once, nothing changes".into(),
        decisions: 6_000,
        goals: 1,
        level: 0.0,
        particular: 0.0,
        paths: [0.8, 0.7, 0.6].map(Course::Still).to_vec(),
        signals: Signals::PERFECT,
        recovered: None,
    }
}

/// The best of three paths falls to half its rate and recovers.
fn drift() -> Scenario {
    Scenario {
        name: "drift".into(),
        about:
            "the best of three paths goes .80, .40 from decision 2,000, .80 again from 4,000; truth at once"
                .into(),
        paths: vec![
            Course::Steps(vec![(0, 0.8), (2_000, 0.4), (4_000, 0.8)]),
            Course::Still(0.7),
            Course::Still(0.6),
        ],
        recovered: Some(4_000),
        ..stationary()
    }
}

/// The best path falls below the second without any outage, and stays there.
fn silent() -> Scenario {
    Scenario {
        name: "drift-silent".into(),
        about:
            "the best of three paths goes from .80 to .62 at decision 2,000 and stays there; truth at once"
                .into(),
        paths: vec![Course::Steps(vec![(0, 0.8), (2_000, 0.62)]), Course::Still(0.7), Course::Still(0.6)],
        ..stationary()
    }
}

/// The best path and the worst change places over 3,000 decisions.
fn slow() -> Scenario {
    Scenario {
        name: "drift-slow".into(),
        about:
            "the best and the worst of three paths change places from decision 1,500 to 4,500; truth at once"
                .into(),
        paths: vec![
            Course::Slope { from: (1_500, 0.8), to: (4_500, 0.6) },
            Course::Still(0.7),
            Course::Slope { from: (1_500, 0.6), to: (4_500, 0.8) },
        ],
        ..stationary()
    }
}

/// Eight goals over the same three models, all signals, actions on 5 %, and a judge that may favour one of them.
///
/// Goals differ in how hard they are (all paths alike by up to .06) and a little in what each path is good at (up to
/// .02), so the second best path is never the best.
fn judge(name: &str, favoured: Option<usize>) -> Scenario {
    let signals = Signals::ALL.covering(0.05);
    Scenario {
        name: name.into(),
        about: format!(
            "8 goals, rates about .80 .75 .65, actions on 5 %, the judge favours {}",
            ["the best", "the second best", "the worst"].get(favoured.unwrap_or(9)).unwrap_or(&"none")
        ),
        decisions: 16_000,
        goals: 8,
        level: 0.06,
        particular: 0.02,
        paths: [0.8, 0.75, 0.65].map(Course::Still).to_vec(),
        signals: favoured.map_or(signals, |path| signals.favouring(path)),
        recovered: None,
    }
}

/// The path that looks best loses a share of its successes within 400 decisions.
fn revision(share: f64) -> Scenario {
    Scenario {
        name: "revision".into(),
        about: format!(
            "looks like .85 .70 .60, but {:.0} % of the first path's successes are revised within 400 decisions",
            100.0 * share
        ),
        decisions: 4_000,
        paths: [0.85 * (1.0 - share), 0.7, 0.6].map(Course::Still).to_vec(),
        signals: Signals::PERFECT.revising(0, share, 400),
        ..stationary()
    }
}
