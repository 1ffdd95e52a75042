//! The scenarios, by name.
//!
//! A few worlds on which bars stand, and axes: a base case of which one thing is moved at a time.

use anyhow::Context as _;

use crate::simulator::{Actions, Course, Grader, Scenario, Signals, Turns};

/// One thing that is moved, with the worlds in order.
pub(crate) struct Axis {
    /// The name of its picture.
    pub(crate) name: &'static str,
    /// What is moved.
    pub(crate) title: &'static str,
    /// In what it is told.
    pub(crate) unit: &'static str,
    /// The worlds, each with its place on the axis and its label.
    pub(crate) scenarios: Vec<(f64, String, Scenario)>,
}

/// All scenarios that have a name.
pub(crate) fn every() -> Vec<Scenario> {
    let mut all = vec![
        stationary(),
        drift(),
        judge("judge-unbiased", None),
        judge("judge-second", Some(1)),
        judge("judge-worst", Some(2)),
        mixed(),
        revision(0.22),
        slips(),
        together(1.0),
        together(0.2),
        apart(),
        several(),
    ];
    for axis in axes() {
        for (_, _, scenario) in axis.scenarios {
            if all.iter().all(|known| known.name != scenario.name) {
                all.push(scenario);
            }
        }
    }
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

/// The axes.
pub(crate) fn axes() -> Vec<Axis> {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    vec![
        Axis {
            name: "coverage",
            title: "How many decisions an action is heard of",
            unit: "share of decisions",
            scenarios: [0.05, 0.2, 1.0].map(|c| (c, percent(c), coverage(c))).to_vec(),
        },
        Axis {
            name: "drift_coverage",
            title: "A path fails and recovers, actions alone",
            unit: "share of decisions with an action",
            scenarios: [0.05, 0.2, 1.0].map(|c| (c, percent(c), drift_covered(c))).to_vec(),
        },
        Axis {
            name: "wrong",
            title: "Users' signals that are wrong",
            unit: "share of turns and actions",
            scenarios: [0.0, 0.1, 0.2, 0.3].map(|x| (x, percent(x), wrong(x))).to_vec(),
        },
        Axis {
            name: "delay",
            title: "Users' signals that are late",
            unit: "mean delay in decisions",
            scenarios: [0.0, 200.0, 2_000.0].map(|d| (d, format!("{d:.0}"), delay(d))).to_vec(),
        },
        Axis {
            name: "revision",
            title: "The best-looking path's successes are revised",
            unit: "share revised",
            scenarios: [0.0, 0.1, 0.22, 0.35].map(|r| (r, percent(r), revision(r))).to_vec(),
        },
        Axis {
            name: "drift",
            title: "Paths change",
            unit: "how",
            scenarios: vec![
                (0.0, "not".into(), stationary()),
                (1.0, ".80 to .62".into(), silent()),
                (1.5, "a worse one rises to .90".into(), rise()),
                (2.0, ".80 .40 .80".into(), drift()),
                (3.0, "slowly".into(), slow()),
            ],
        },
        Axis {
            name: "judge",
            title: "The judge favours a path (8 goals, actions on 5 %)",
            unit: "whom",
            scenarios: vec![
                (0.0, "none".into(), judge("judge-unbiased", None)),
                (1.0, "second best".into(), judge("judge-second", Some(1))),
                (2.0, "worst".into(), judge("judge-worst", Some(2))),
            ],
        },
        Axis {
            name: "paths",
            title: "Number of paths",
            unit: "paths",
            scenarios: [2u8, 3, 8, 32].map(|k| (f64::from(k), k.to_string(), paths(k))).to_vec(),
        },
    ]
}

/// The base case of the axes: one goal, three paths, all signals, actions on 20 %.
fn base() -> Scenario {
    Scenario {
        name: "base".into(),
        about: "three paths, .80 .75 .65, all signals, actions on 20 %".into(),
        decisions: 4_000,
        goals: 1,
        level: 0.0,
        particular: 0.0,
        paths: [0.8, 0.75, 0.65].map(Course::Still).to_vec(),
        signals: Signals::ALL,
        recovered: None,
    }
}

fn coverage(share: f64) -> Scenario {
    Scenario {
        name: format!("coverage-{:.0}", 100.0 * share),
        about: format!("the base case with actions on {:.0} %", 100.0 * share),
        signals: Signals::ALL.covering(share),
        ..base()
    }
}

/// Turns and actions alike are wrong this often.
fn wrong(share: f64) -> Scenario {
    let signals = Signals {
        turns: Signals::ALL.turns.map(|turns| Turns { accuracy: 1.0 - share, ..turns }),
        actions: Signals::ALL.actions.map(|actions| Actions { accuracy: 1.0 - share, ..actions }),
        ..Signals::ALL
    };
    Scenario {
        name: format!("wrong-{:.0}", 100.0 * share),
        about: format!("the base case with {:.0} % of turns and actions wrong", 100.0 * share),
        signals,
        ..base()
    }
}

/// Turns and actions alike come this late.
fn delay(mean: f64) -> Scenario {
    let signals = Signals {
        turns: Signals::ALL.turns.map(|turns| Turns { delay: mean, ..turns }),
        actions: Signals::ALL.actions.map(|actions| Actions { delay: mean, ..actions }),
        ..Signals::ALL
    };
    Scenario {
        name: format!("delay-{mean:.0}"),
        about: format!("the base case with turns and actions {mean:.0} decisions late in the mean"),
        signals,
        ..base()
    }
}

/// The best is .05 ahead of the second; the others lie between .75 and .55.
fn paths(count: u8) -> Scenario {
    let rate = |path: u8| match path {
        0 => 0.8,
        1 => 0.75,
        2 => 0.65,
        _ => 0.75 - 0.2 * f64::from(path - 2) / f64::from(count - 2),
    };
    Scenario {
        name: format!("paths-{count}"),
        about: format!("the base case with {count} paths, the best .80, the second .75"),
        paths: (0..count).map(|path| Course::Still(rate(path))).collect(),
        ..base()
    }
}

/// Three paths, .80, .70 and .60, and the truth at once: nothing happens.
fn stationary() -> Scenario {
    Scenario {
        name: "stationary".into(),
        about: "three paths, .80 .70 .60, truth at once, nothing changes".into(),
        decisions: 6_000,
        paths: [0.8, 0.7, 0.6].map(Course::Still).to_vec(),
        signals: Signals::PERFECT,
        ..base()
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

/// The same, heard of on a share of decisions.
fn drift_covered(share: f64) -> Scenario {
    Scenario {
        name: format!("drift-coverage-{:.0}", 100.0 * share),
        about: format!("drift, with the truth at once on {:.0} % of decisions", 100.0 * share),
        signals: Signals::PERFECT.covering(share),
        ..drift()
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

/// A path that nobody uses becomes the best: its model was replaced by a better one of the same name.
fn rise() -> Scenario {
    Scenario {
        name: "drift-rise".into(),
        about: "the worst of three paths goes from .60 to .90 at decision 2,000 and stays there, while nobody uses it; truth at once".into(),
        paths: vec![Course::Still(0.8), Course::Still(0.7), Course::Steps(vec![(0, 0.6), (2_000, 0.9)])],
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

/// A rate that is so far away in log-odds.
fn moved(rate: f64, by: f64) -> f64 {
    1.0 / (1.0 + (1.0 / rate - 1.0) * (-by).exp())
}

/// All paths fall by one in log-odds and rise back: the task became harder, or the judge stricter. Which path is best
/// never changes.
fn together(share: f64) -> Scenario {
    let course = |rate| Course::Steps(vec![(0, rate), (2_000, moved(rate, -1.0)), (4_000, rate)]);
    Scenario {
        name: format!("level-{:.0}", 100.0 * share),
        about: format!(
            "all of three paths, .80 .70 .60, fall by 1 in log-odds at decision 2,000 (to .60 .46 .36) and rise back at \
             4,000; truth at once on {:.0} % of decisions",
            100.0 * share
        ),
        paths: [0.8, 0.7, 0.6].map(course).to_vec(),
        signals: Signals::PERFECT.covering(share),
        ..stationary()
    }
}

/// All paths fall, and the best one further, so that it is the best no more.
fn apart() -> Scenario {
    let course = |rate, by| Course::Steps(vec![(0, rate), (2_000, moved(rate, by)), (4_000, rate)]);
    Scenario {
        name: "level-apart".into(),
        about: "as level-100, but the first path falls by 2 in log-odds (to .35)".into(),
        paths: vec![course(0.8, -2.0), course(0.7, -1.0), course(0.6, -1.0)],
        recovered: Some(4_000),
        ..together(1.0)
    }
}

/// Two paths fall alike and the third, little used until then, stays and is the best.
fn several() -> Scenario {
    let fallen = |rate| Course::Steps(vec![(0, rate), (2_000, 0.45)]);
    Scenario {
        name: "level-several".into(),
        about: "three paths, .80 .78 .70; the first two fall to .45 at decision 2,000 and the third stays; truth at once \
                on every decision"
            .into(),
        paths: vec![fallen(0.8), fallen(0.78), Course::Still(0.7)],
        ..together(1.0)
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
        signals: favoured.map_or(signals, |path| signals.favouring(path)),
        ..base()
    }
}

/// Goals that disagree on which path is best: what one teaches another must not be believed too much.
fn mixed() -> Scenario {
    Scenario {
        name: "goals-disagree".into(),
        about: "8 goals whose paths' rates, about .75 .74 .73, differ by up to .12 from goal to goal".into(),
        particular: 0.12,
        paths: [0.75, 0.74, 0.73].map(Course::Still).to_vec(),
        ..judge("goals-disagree", None)
    }
}

/// The path that looks best loses a share of its successes within 400 decisions.
fn revision(share: f64) -> Scenario {
    Scenario {
        name: format!("revision-{:.0}", 100.0 * share),
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

/// Actions that are the wrong way round by mistake, and are taken back.
fn slips() -> Scenario {
    let mut signals = Signals::PERFECT;
    signals.actions = signals.actions.map(|actions| Actions { slips: 0.3, ..actions });
    Scenario {
        name: "slips".into(),
        about: "stationary, but 30 % of actions are wrong by mistake and taken back after 20 decisions"
            .into(),
        signals,
        ..stationary()
    }
}

/// Worlds in which everything is drawn: what a tuner who only looked at the axes would not have seen.
pub(crate) fn random(number: u64) -> Scenario {
    let draw = |what: u64| kalibr_core::policy::uniform(0x006b_616c_6962_7200 + number, what);
    let of = |what: u64, list: &[f64]| list[(draw(what) * list.len() as f64) as usize];
    let count = of(0, &[2.0, 3.0, 3.0, 8.0]) as usize;
    let mut rates: Vec<f64> = (0..count).map(|path| 0.5 + 0.4 * draw(100 + path as u64)).collect();
    rates.sort_by(|a, b| b.total_cmp(a));
    let mut paths: Vec<Course> = rates.iter().copied().map(Course::Still).collect();
    let moved = of(1, &[0.0, 0.0, 1.0, 2.0]);
    if moved == 1.0 {
        paths[0] = Course::Steps(vec![(0, rates[0]), (2_000, rates[0] - 0.3)]);
    } else if moved == 2.0 {
        paths[0] = Course::Steps(vec![(0, rates[0]), (1_500, rates[0] - 0.3), (3_500, rates[0])]);
    }
    let (coverage, accuracy, late) =
        (of(2, &[0.05, 0.2, 1.0]), of(3, &[0.97, 0.97, 0.9, 0.8]), of(4, &[0.0, 100.0, 500.0]));
    let mut signals = Signals {
        judge: (draw(5) < 0.7).then_some(Grader { coverage: 0.5, of_good: 0.85, of_bad: 0.35 }),
        actions: Some(Actions { coverage, accuracy, delay: late, slips: 0.0 }),
        ..Signals::ALL
    };
    let favoured = of(6, &[0.0, 0.0, 1.0, 2.0]) as usize;
    if signals.judge.is_some() && favoured > 0 {
        signals = signals.favouring(favoured.min(count - 1));
    }
    let goals = of(7, &[1.0, 1.0, 4.0]) as u32;
    let judge = match (signals.judge, signals.favoured) {
        (None, _) => "no judge".to_owned(),
        (_, None) => "a judge".to_owned(),
        (_, Some((path, _))) => format!("a judge for path {path}"),
    };
    let rates: Vec<String> = rates.iter().take(3).map(|rate| format!("{rate:.2}")).collect();
    Scenario {
        name: format!("random-{number}"),
        about: format!(
            "everything drawn: {goals} goals, {count} paths, {}{}, actions on {:.0} % right {:.0} % late {late:.0}, {judge}",
            rates.join(" "),
            ["", ", the best falls", ", the best falls and recovers"][moved as usize],
            100.0 * coverage,
            100.0 * accuracy
        ),
        decisions: 6_000,
        goals,
        level: 0.05,
        particular: 0.03,
        paths,
        signals,
        ..base()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_found_by_its_name() {
        for scenario in every() {
            assert_eq!(named(&scenario.name).expect("it has this name"), scenario);
        }
        assert!(named("nowhere").is_err());
    }

    #[test]
    fn the_second_best_path_of_the_judged_goals_is_never_the_best() {
        use crate::policy::World as _;
        use crate::simulator::Simulated;
        for seed in 0..50 {
            let world = Simulated::new(named("judge-second").expect("it is there"), seed);
            for decision in 0..100 {
                let rates = world.rates(decision);
                assert!(rates[0] > rates[1] && rates[1] > rates[2], "{rates:?}");
            }
        }
    }
}
