//! The world that every policy is put in: what is true of each path, and what is heard of it.
//!
//! # Truth
//! A decision belongs to one of a scenario's goals. Each path of the goal would serve it well or not: a coin whose bias
//! is the path's rate at that time, plus what is particular to the goal. *Regret* is the best rate less that of the path
//! that was chosen, summed over decisions: it is in true successes lost, and the coins' luck is not in it.
//!
//! # What is heard
//! Policies never see the truth. They hear signals about the path that they chose, each from a source, each with a
//! delay that is counted in decisions (of all goals: a clock on the wall):
//!
//! | source | speaks on | right | delay |
//! |---|---|---|---|
//! | structural eval | 100 % | praises .97 of good answers and .75 of bad ones | none |
//! | judge | 50 % | praises .85 and .35; for a path that it favours .97 and .75 | none |
//! | follow-up turn | 35 % of bad answers, 15 % of good ones | .85 | geometric, mean 5 |
//! | action | a share c (20 %), good or bad alike | .97 | geometric, mean 100 |
//!
//! Silence is what is left: a decision of which no user was heard. Nobody tells a policy that a signal will not come.
//!
//! *Revision*: a share of one path's successes turns out later to be failures. The first word is praise; some time
//! later, uniform over a window, the same source faults the same answer. The truth of such a decision is the failure,
//! and the path's rate is meant after revision. *Slips*: a share of actions is the wrong way round by mistake and taken
//! back a little later.
//!
//! # Common random numbers
//! All luck is a hash of (seed, decision, path, what the number is for). It depends neither on the policy nor on what
//! was chosen before, so two policies that choose the same path for a decision see the same answer and hear the same
//! signals, and their difference over a seed is the policies' own.

use kalibr_core::evidence::Source;
use kalibr_core::policy::uniform;

use crate::policy::{Request, Shape, World};

/// How the rate of a path moves over the decisions of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Course {
    /// Always the same.
    Still(f64),
    /// From each of these decisions on, this rate. The first is from 0.
    Steps(Vec<(u32, f64)>),
    /// From one rate to another, in a straight line between two decisions.
    Slope {
        /// Rate before, and from which decision it moves.
        from: (u32, f64),
        /// Rate after, and from which decision it stays.
        to: (u32, f64),
    },
}

impl Course {
    /// The rate at a decision.
    pub(crate) fn at(&self, decision: u32) -> f64 {
        match self {
            Self::Still(rate) => *rate,
            Self::Steps(steps) => steps
                .iter()
                .rev()
                .find(|(since, _)| *since <= decision)
                .or(steps.first())
                .map_or(0.5, |step| step.1),
            Self::Slope { from, to } => {
                let length = f64::from(to.0.saturating_sub(from.0).max(1));
                let done = (f64::from(decision.saturating_sub(from.0)) / length).clamp(0.0, 1.0);
                from.1 + done * (to.1 - from.1)
            }
        }
    }
}

/// How often a source speaks and how often it praises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Grader {
    /// Share of decisions on which it speaks.
    pub(crate) coverage: f64,
    /// P(praise | good).
    pub(crate) of_good: f64,
    /// P(praise | bad).
    pub(crate) of_bad: f64,
}

/// Follow-up messages, classified.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Turns {
    /// P(a message | the answer was bad).
    pub(crate) if_bad: f64,
    /// P(a message | the answer was good).
    pub(crate) if_good: f64,
    /// P(the classifier reads it rightly).
    pub(crate) accuracy: f64,
    /// Mean delay in decisions.
    pub(crate) delay: f64,
}

/// What users do with an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Actions {
    /// Share of decisions of which an action is heard.
    pub(crate) coverage: f64,
    /// P(it shows the truth).
    pub(crate) accuracy: f64,
    /// Mean delay in decisions; 0 is at once.
    pub(crate) delay: f64,
    /// Share of actions that are the wrong way round by mistake and taken back.
    pub(crate) slips: f64,
}

/// Successes of one path that turn out to be failures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Revision {
    /// Which path.
    pub(crate) path: usize,
    /// Share of its successes.
    pub(crate) share: f64,
    /// Within how many decisions after the first word, uniformly.
    pub(crate) within: u32,
}

/// Everything that is heard in a scenario.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Signals {
    /// Checks of form.
    pub(crate) structural: Option<Grader>,
    /// A model that grades.
    pub(crate) judge: Option<Grader>,
    /// The path that the judge favours, and how it grades that one.
    pub(crate) favoured: Option<(usize, Grader)>,
    /// Follow-up messages.
    pub(crate) turns: Option<Turns>,
    /// Actions.
    pub(crate) actions: Option<Actions>,
    /// Revised successes.
    pub(crate) revision: Option<Revision>,
}

impl Signals {
    /// Every source, as in the table at the head.
    pub(crate) const ALL: Self = Self {
        structural: Some(Grader { coverage: 1.0, of_good: 0.97, of_bad: 0.75 }),
        judge: Some(Grader { coverage: 0.5, of_good: 0.85, of_bad: 0.35 }),
        favoured: None,
        turns: Some(Turns { if_bad: 0.35, if_good: 0.15, accuracy: 0.85, delay: 5.0 }),
        actions: Some(Actions { coverage: 0.2, accuracy: 0.97, delay: 100.0, slips: 0.0 }),
        revision: None,
    };

    /// The truth about every decision, at once.
    pub(crate) const PERFECT: Self = Self {
        structural: None,
        judge: None,
        favoured: None,
        turns: None,
        actions: Some(Actions { coverage: 1.0, accuracy: 1.0, delay: 0.0, slips: 0.0 }),
        revision: None,
    };

    /// The judge praises .97 of this path's good answers and .75 of its bad ones.
    pub(crate) fn favouring(self, path: usize) -> Self {
        let coverage = self.judge.map_or(0.5, |judge| judge.coverage);
        Self { favoured: Some((path, Grader { coverage, of_good: 0.97, of_bad: 0.75 })), ..self }
    }

    /// Actions on this share of decisions.
    pub(crate) fn covering(self, coverage: f64) -> Self {
        Self { actions: self.actions.map(|actions| Actions { coverage, ..actions }), ..self }
    }

    /// This share of one path's successes is revised within a window.
    pub(crate) fn revising(self, path: usize, share: f64, within: u32) -> Self {
        Self { revision: Some(Revision { path, share, within }), ..self }
    }

    /// How many decisions one must wait until no word about a decision is missing or changes, where that is bounded.
    pub(crate) fn window(&self) -> u32 {
        // A geometric delay has no end: after three means 5 % are still to come.
        let late = |delay: f64| (3.0 * delay).ceil() as u32;
        let first = self.actions.map_or(0, |a| late(a.delay)).max(self.turns.map_or(0, |t| late(t.delay)));
        first + self.revision.map_or(0, |revision| revision.within)
    }
}

/// A world to be put in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scenario {
    /// Its name on the command line.
    pub(crate) name: String,
    /// What it is, in a line.
    pub(crate) about: String,
    /// Decisions of a run, over all goals.
    pub(crate) decisions: u32,
    /// Goals, which take turns at random.
    pub(crate) goals: u32,
    /// How far the level of a goal may lie from the paths' rates, both ways, for all its paths alike.
    pub(crate) level: f64,
    /// How far a path's rate may lie from that on one goal.
    pub(crate) particular: f64,
    /// The rates of the paths, after revision.
    pub(crate) paths: Vec<Course>,
    /// What is heard.
    pub(crate) signals: Signals,
    /// The decision at which path 0 has recovered, where it does.
    pub(crate) recovered: Option<u32>,
}

/// What a source says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// The answer was good.
    Praise,
    /// The answer was bad.
    Fault,
    /// What it said before under this number does not hold: the sender withdrew it.
    TakenBack(u8),
}

/// Something that is heard of an earlier decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// After which decision it arrives.
    pub(crate) due: u32,
    /// The decision that it speaks of.
    pub(crate) decision: u32,
    /// The goal of that decision.
    pub(crate) goal: u32,
    /// The path that was chosen.
    pub(crate) path: usize,
    /// Its number among the signals of the decision.
    pub(crate) number: u8,
    /// Who says it.
    pub(crate) source: Source,
    /// What it says.
    pub(crate) said: Said,
}

/// What a random number is for.
#[derive(Debug, Clone, Copy)]
enum Luck {
    Goal = 0,
    Level,
    Particular,
    Truth,
    Structural,
    JudgeSpeaks,
    Judge,
    TurnSpeaks,
    Turn,
    TurnDelay,
    ActionSpeaks,
    Action,
    ActionDelay,
    Revision,
    Slip,
}

/// A scenario with its luck.
#[derive(Debug, Clone)]
pub(crate) struct Simulated {
    scenario: Scenario,
    seed: u64,
    /// Per goal and path, what is added to the path's rate.
    own: Vec<Vec<f64>>,
}

impl Simulated {
    /// The world of a seed.
    pub(crate) fn new(scenario: Scenario, seed: u64) -> Self {
        let mut world = Self { own: Vec::new(), scenario, seed };
        let swing = |luck: Luck, goal: u32, path: usize, most: f64| {
            if most == 0.0 { 0.0 } else { (2.0 * world.luck(luck, goal, path) - 1.0) * most }
        };
        let scenario = &world.scenario;
        let own = (0..scenario.goals)
            .map(|goal| {
                let level = swing(Luck::Level, goal, 0, scenario.level);
                let path = |path| level + swing(Luck::Particular, goal, path, scenario.particular);
                (0..scenario.paths.len()).map(path).collect()
            })
            .collect();
        world.own = own;
        world
    }

    /// The goal that a decision belongs to.
    fn goal(&self, decision: u32) -> u32 {
        (self.luck(Luck::Goal, decision, 0) * f64::from(self.scenario.goals)) as u32
    }

    /// How long after the first word a success of this path turns into a failure, if it does.
    fn revised_after(&self, decision: u32, path: usize) -> Option<u32> {
        let Revision { path: of, share, within } = self.scenario.signals.revision?;
        if path != of || share >= 1.0 {
            return None;
        }
        // The rate is meant after revision: before, that of 1 / (1 - share) times as many looked like successes.
        let (final_rate, truth) = (self.rates(decision)[path], self.luck(Luck::Truth, decision, path));
        let looked = (final_rate / (1.0 - share)).min(1.0);
        let after = 1 + (self.luck(Luck::Revision, decision, path) * f64::from(within)) as u32;
        (final_rate <= truth && truth < looked).then_some(after)
    }

    fn luck(&self, what: Luck, decision: u32, path: usize) -> f64 {
        let key = (u64::from(decision) << 16) | ((path as u64 & 0x7ff) << 5) | what as u64;
        // SplitMix64 twice: seeds that are neighbours must not give streams that are shifts of each other.
        uniform(uniform(self.seed, what as u64).to_bits(), key)
    }
}

impl World for Simulated {
    fn shape(&self) -> Shape {
        Shape {
            decisions: self.scenario.decisions,
            goals: self.scenario.goals as usize,
            paths: self.scenario.paths.len(),
            window: self.scenario.signals.window(),
            recovered: self.scenario.recovered,
            ..Shape::default()
        }
    }

    fn request(&self, decision: u32) -> Request {
        Request { decision, goal: self.goal(decision), prompt: None }
    }

    fn rates(&self, decision: u32) -> Vec<f64> {
        let own = &self.own[self.goal(decision) as usize];
        let rate = |(course, own): (&Course, &f64)| (course.at(decision) + own).clamp(0.0, 1.0);
        self.scenario.paths.iter().zip(own).map(rate).collect()
    }

    fn truth(&self, decision: u32, path: usize) -> bool {
        self.luck(Luck::Truth, decision, path) < self.rates(decision)[path]
    }

    fn heard(&self, decision: u32, path: usize) -> Vec<Heard> {
        let signals = &self.scenario.signals;
        let good = self.truth(decision, path);
        let luck = |what: Luck| self.luck(what, decision, path);
        let mut all = Vec::new();
        let mut say = |source: Source, said: Said, delay: u32| {
            let number = all.len() as u8;
            let (due, goal) = (decision.saturating_add(delay), self.goal(decision));
            all.push(Heard { due, decision, goal, path, number, source, said });
            number
        };
        let graded =
            |grader: &Grader, luck: f64| verdict(luck < if good { grader.of_good } else { grader.of_bad });
        if let Some(structural) = &signals.structural {
            say(Source::Structural, graded(structural, luck(Luck::Structural)), 0);
        }
        if let Some(usual) = &signals.judge {
            let judge = signals.favoured.filter(|(favoured, _)| *favoured == path).map_or(*usual, |f| f.1);
            if luck(Luck::JudgeSpeaks) < judge.coverage {
                say(Source::Judge, graded(&judge, luck(Luck::Judge)), 0);
            }
        }
        if let Some(turns) = &signals.turns
            && luck(Luck::TurnSpeaks) < if good { turns.if_good } else { turns.if_bad }
        {
            let right = luck(Luck::Turn) < turns.accuracy;
            say(Source::Turn, verdict(good == right), geometric(turns.delay, luck(Luck::TurnDelay)));
        }
        if let Some(actions) = &signals.actions
            && luck(Luck::ActionSpeaks) < actions.coverage
        {
            let right = luck(Luck::Action) < actions.accuracy;
            let delay = geometric(actions.delay, luck(Luck::ActionDelay));
            if luck(Luck::Slip) < actions.slips {
                let slip = say(Source::Action, verdict(good != right), delay);
                say(Source::Action, Said::TakenBack(slip), delay.saturating_add(20));
            } else if let Some(after) = self.revised_after(decision, path) {
                say(Source::Action, Said::Praise, delay);
                say(Source::Action, verdict(good == right), delay.saturating_add(after));
            } else {
                say(Source::Action, verdict(good == right), delay);
            }
        }
        all
    }
}

fn verdict(praises: bool) -> Said {
    if praises { Said::Praise } else { Said::Fault }
}

/// A geometric number of this mean, from 0.
fn geometric(mean: f64, luck: f64) -> u32 {
    if mean <= 0.0 {
        return 0;
    }
    let stays = mean / (mean + 1.0);
    ((1.0 - luck).ln() / stays.ln()).min(1e8) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(signals: Signals) -> Scenario {
        Scenario {
            name: "test".into(),
            about: String::new(),
            decisions: 20_000,
            goals: 1,
            level: 0.0,
            particular: 0.0,
            paths: vec![Course::Still(0.8), Course::Still(0.6)],
            signals,
            recovered: None,
        }
    }

    fn share(of: impl Iterator<Item = bool>) -> f64 {
        let (n, yes) = of.fold((0, 0), |(n, yes), is| (n + 1, yes + i32::from(is)));
        f64::from(yes) / f64::from(n)
    }

    #[test]
    fn sources_speak_as_often_and_as_rightly_as_the_table_says() {
        let world = Simulated::new(scenario(Signals::ALL.favouring(1)), 7);
        // More than four standard errors at the fewest observations that any of these shares is of.
        let near = |what: &str, measured: f64, stated: f64| {
            assert!((measured - stated).abs() < 0.05, "{what}: {measured} instead of {stated}");
        };
        let heard = |decision, path, source| {
            world.heard(decision, path).into_iter().find(|heard| heard.source == source)
        };
        for path in [0, 1] {
            for good in [true, false] {
                let of: Vec<u32> =
                    (0..20_000).filter(|&decision| world.truth(decision, path) == good).collect();
                let praise = |source| {
                    let said = of.iter().filter_map(|&decision| heard(decision, path, source));
                    share(said.map(|heard| heard.said == Said::Praise))
                };
                let speaks =
                    |source| share(of.iter().map(|&decision| heard(decision, path, source).is_some()));
                near("structural", praise(Source::Structural), if good { 0.97 } else { 0.75 });
                near("judge speaks", speaks(Source::Judge), 0.5);
                let judge = [[0.35, 0.85], [0.75, 0.97]][path][usize::from(good)];
                near("judge", praise(Source::Judge), judge);
                near("turn speaks", speaks(Source::Turn), if good { 0.15 } else { 0.35 });
                near("action speaks", speaks(Source::Action), 0.2);
                near("action", praise(Source::Action), if good { 0.97 } else { 0.03 });
            }
        }
        let actions = (0..20_000).filter_map(|decision| heard(decision, 0, Source::Action));
        let (n, sum) = actions.fold((0.0, 0.0), |(n, sum), a| (n + 1.0, sum + f64::from(a.due - a.decision)));
        assert!((sum / n - 100.0f64).abs() < 6.0, "mean delay {}", sum / n);
    }

    #[test]
    fn revised_successes_are_faulted_later_and_the_rate_is_meant_after_that() {
        let world = Simulated::new(scenario(Signals::PERFECT.revising(0, 0.2, 50)), 3);
        let first = |d: u32| world.heard(d, 0)[0].said == Said::Praise;
        let last = |d: u32| world.heard(d, 0).last().is_some_and(|heard| heard.said == Said::Praise);
        assert!((share((0..20_000).map(first)) - 1.0).abs() < 1e-9);
        assert!((share((0..20_000).map(last)) - 0.8).abs() < 0.01);
        for decision in 0..2_000 {
            assert_eq!(last(decision), world.truth(decision, 0));
            assert!(world.heard(decision, 0).iter().all(|heard| heard.due - heard.decision <= 50));
            assert_eq!(world.heard(decision, 1).len(), 1);
        }
    }

    #[test]
    fn luck_depends_on_nothing_but_seed_decision_and_path() {
        let (a, b) = (Simulated::new(scenario(Signals::ALL), 5), Simulated::new(scenario(Signals::ALL), 6));
        let same = share((0..5_000).map(|d| a.truth(d, 0) == b.truth(d, 0)));
        assert!((same - (0.8 * 0.8 + 0.2 * 0.2)).abs() < 0.03, "{same}");
        let same = share((0..5_000).map(|d| a.truth(d, 0) == a.truth(d, 1)));
        assert!((same - (0.8 * 0.6 + 0.2 * 0.4)).abs() < 0.03, "{same}");
        assert_eq!(a.heard(17, 1), Simulated::new(scenario(Signals::ALL), 5).heard(17, 1));
    }

    #[test]
    fn a_slip_is_taken_back() {
        let mut signals = Signals::PERFECT;
        signals.actions = signals.actions.map(|actions| Actions { slips: 1.0, ..actions });
        let world = Simulated::new(scenario(signals), 1);
        let heard = world.heard(4, 0);
        assert_eq!(heard[1].said, Said::TakenBack(heard[0].number));
        assert_ne!(heard[0].said == Said::Praise, world.truth(4, 0));
    }

    #[test]
    fn a_course_is_at_its_rate_at_every_moment() {
        let steps = Course::Steps(vec![(0, 0.8), (10, 0.4)]);
        assert_eq!((steps.at(0), steps.at(9), steps.at(10)), (0.8, 0.8, 0.4));
        let slope = Course::Slope { from: (10, 0.8), to: (20, 0.4) };
        assert_eq!((slope.at(0), slope.at(30)), (0.8, 0.4));
        assert!((slope.at(15) - 0.6).abs() < 1e-12);
    }
}
