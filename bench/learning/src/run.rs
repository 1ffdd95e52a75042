//! Runs of policies in worlds, and what is measured of each.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::policies::Named;
use crate::policy::{Policy, Shape, World};
use crate::simulator::Heard;

/// Which seeds. The two sets share none, whatever the number of runs, so nothing is tuned on what is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Seeds {
    /// For choosing settings.
    Tuning,
    /// For figures that are shown to anybody.
    Report,
}

impl Seeds {
    /// The seed of a run.
    pub(crate) fn seed(self, run: usize) -> u64 {
        let first: u64 = match self {
            Self::Tuning => 1_000_000,
            Self::Report => 2_000_000,
        };
        first + run as u64 % 1_000_000
    }
}

/// What one policy did in one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// True successes lost against the best path at each decision.
    pub(crate) regret: f64,
    /// Share of decisions in the last quarter that took the best path.
    pub(crate) best_share: f64,
    /// Decisions after recovery until the recovered path was taken more often than all others together among the last
    /// 100; the rest of the run where it never was. `None` in scenarios without a recovery.
    pub(crate) led_again: Option<f64>,
    /// Share of decisions that took path 0, in stretches of [`STRETCH`].
    pub(crate) share: Vec<f64>,
    /// Share of decisions that were truly served well.
    pub(crate) quality: f64,
    /// Mean dollars of a decision.
    pub(crate) dollars: f64,
    /// How often it said that all paths became better or worse together.
    pub(crate) alerts: u32,
    /// Seconds it took, simulator included.
    pub(crate) seconds: f64,
}

/// Decisions over which shares are averaged for curves.
pub(crate) const STRETCH: u32 = 100;
/// Decisions that are looked back on to say which path leads.
const TRAILING: usize = 100;

/// Plays one policy through one world.
///
/// # Errors
/// When the policy fails: only one in another process can.
pub(crate) fn play(world: &dyn World, policy: &mut dyn Policy) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let shape = world.shape();
    let mut meter = Meter::new(&shape);
    let mut queue = Queue::default();
    for decision in 0..shape.decisions {
        while let Some(heard) = queue.due(decision) {
            policy.hear(&heard);
        }
        let request = world.request(decision);
        let path = policy.choose(&request)?.path;
        let (good, dollars) = (world.truth(decision, path), world.cost(decision, path));
        policy.paid(&request, path, dollars);
        policy.told(&request, path, good);
        meter.count(decision, path, &world.rates(decision));
        meter.earned(good, dollars);
        queue.extend(world.heard(decision, path));
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(Outcome { alerts: policy.alerts(), seconds, ..meter.outcome() })
}

/// Signals on their way.
#[derive(Debug, Default)]
pub(crate) struct Queue(BinaryHeap<Reverse<(u32, u32, u8, Ordered)>>);

/// A signal that the order of a queue does not look into.
#[derive(Debug, Clone, Copy)]
struct Ordered(Heard);

impl PartialEq for Ordered {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl Queue {
    /// The next signal that has arrived before this decision is made.
    pub(crate) fn due(&mut self, decision: u32) -> Option<Heard> {
        let Reverse((due, ..)) = self.0.peek()?;
        if *due < decision { self.0.pop().map(|Reverse((.., heard))| heard.0) } else { None }
    }

    /// Puts signals on their way.
    pub(crate) fn extend(&mut self, heard: Vec<Heard>) {
        self.0.extend(heard.into_iter().map(|h| Reverse((h.due, h.decision, h.number, Ordered(h)))));
    }
}

/// Measures a run.
#[derive(Debug)]
pub(crate) struct Meter {
    decisions: u32,
    recovered: Option<u32>,
    outcome: Outcome,
    best: u32,
    trailing: VecDeque<usize>,
    counts: Vec<usize>,
    taken: u32,
}

impl Meter {
    pub(crate) fn new(shape: &Shape) -> Self {
        Self {
            decisions: shape.decisions,
            recovered: shape.recovered,
            outcome: Outcome::default(),
            best: 0,
            trailing: VecDeque::with_capacity(TRAILING + 1),
            counts: vec![0; shape.paths],
            taken: 0,
        }
    }

    /// Notes a choice.
    pub(crate) fn count(&mut self, decision: u32, path: usize, rates: &[f64]) {
        let best = rates.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        self.outcome.regret += best - rates[path];
        if decision >= self.last_quarter() && rates[path] >= best {
            self.best += 1;
        }
        self.trailing.push_back(path);
        self.counts[path] += 1;
        if self.trailing.len() > TRAILING
            && let Some(old) = self.trailing.pop_front()
        {
            self.counts[old] -= 1;
        }
        if let Some(recovered) = self.recovered
            && decision >= recovered
            && self.outcome.led_again.is_none()
            && 2 * self.counts[0] > TRAILING
        {
            self.outcome.led_again = Some(f64::from(decision - recovered));
        }
        self.taken += u32::from(path == 0);
        if (decision + 1).is_multiple_of(STRETCH) {
            self.outcome.share.push(f64::from(std::mem::take(&mut self.taken)) / f64::from(STRETCH));
        }
    }

    /// Notes what a choice was worth and what it cost.
    pub(crate) fn earned(&mut self, good: bool, dollars: f64) {
        self.outcome.quality += if good { 1.0 } else { 0.0 };
        self.outcome.dollars += dollars;
    }

    fn last_quarter(&self) -> u32 {
        self.decisions - self.decisions / 4
    }

    /// What came of it.
    pub(crate) fn outcome(self) -> Outcome {
        let best_share = f64::from(self.best) / f64::from((self.decisions - self.last_quarter()).max(1));
        let never = self.recovered.map(|recovered| f64::from(self.decisions - recovered));
        let decisions = f64::from(self.decisions.max(1));
        let (quality, dollars) = (self.outcome.quality / decisions, self.outcome.dollars / decisions);
        let led_again = self.outcome.led_again.or(never);
        Outcome { best_share, led_again, quality, dollars, ..self.outcome }
    }
}

/// What a policy did in all its runs.
#[derive(Debug, Clone)]
pub(crate) struct Played {
    /// The policy's name.
    pub(crate) name: String,
    /// By run; fewer than others where the policy is slow, none where it failed.
    pub(crate) outcomes: Vec<Outcome>,
    /// Why there is nothing to show.
    pub(crate) failed: Option<String>,
}

impl Played {
    /// One number of every run.
    pub(crate) fn each(&self, number: impl Fn(&Outcome) -> f64) -> Vec<f64> {
        self.outcomes.iter().map(number).collect()
    }
}

/// Which runs, and how many at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runs {
    /// From which set of seeds.
    pub(crate) seeds: Seeds,
    /// How many.
    pub(crate) count: usize,
    /// How many at once.
    pub(crate) threads: usize,
}

/// Does something for each run, by its number and its seed.
fn on_threads(runs: Runs, one: impl Fn(usize, u64) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..runs.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let run = next.fetch_add(1, Ordering::Relaxed);
                    if run >= runs.count {
                        break;
                    }
                    one(run, runs.seeds.seed(run));
                }
            });
        }
    });
}

/// What comes of each seed, in order.
pub(crate) fn each<T: Send>(runs: Runs, one: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let done: Mutex<Vec<(usize, T)>> = Mutex::default();
    on_threads(runs, |run, seed| {
        let found = one(seed);
        if let Ok(mut done) = done.lock() {
            done.push((run, found));
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(run, _)| *run);
    done.into_iter().map(|(_, found)| found).collect()
}

/// Outcomes by run, as far as they are there; or why the policy failed.
type Done = Result<Vec<Option<Outcome>>, String>;

/// Plays every policy through the same worlds, one for each seed.
pub(crate) fn all<W: World>(world: impl Fn(u64) -> W + Sync, policies: &[Named], runs: Runs) -> Vec<Played> {
    let done: Vec<Mutex<Done>> = policies
        .iter()
        .map(|named| Mutex::new(Ok(vec![None; named.most_runs.unwrap_or(runs.count).min(runs.count)])))
        .collect();
    let one = |run: usize, seed: u64| {
        let world = world(seed);
        let shape = world.shape();
        for (named, done) in policies.iter().zip(&done) {
            // A thread that panicked ends the whole benchmark: there is no half-written state to guard.
            let wanted = done.lock().is_ok_and(|done| done.as_ref().is_ok_and(|done| run < done.len()));
            if !wanted {
                continue;
            }
            let outcome = named.make(&shape, seed).and_then(|mut policy| play(&world, policy.as_mut()));
            if let Ok(mut done) = done.lock() {
                match (outcome, done.as_mut()) {
                    (Ok(outcome), Ok(done)) => done[run] = Some(outcome),
                    (Err(error), _) => *done = Err(format!("{error:#}")),
                    _ => {}
                }
            }
        }
    };
    on_threads(runs, one);
    let played = |(named, done): (&Named, Mutex<Done>)| {
        let done = done.into_inner().unwrap_or_else(|_| Err("a run of it panicked".into()));
        let (outcomes, failed) = match done {
            Ok(outcomes) => (outcomes.into_iter().flatten().collect(), None),
            Err(why) => (Vec::new(), Some(why)),
        };
        Played { name: named.name.clone(), outcomes, failed }
    };
    policies.iter().zip(done).map(played).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios;
    use crate::simulator::Simulated;

    #[test]
    fn no_seed_is_both_for_tuning_and_for_reports() {
        let last = Seeds::Tuning.seed(999_999);
        assert!(last < Seeds::Report.seed(0));
        assert_eq!(Seeds::Tuning.seed(1_000_000), Seeds::Tuning.seed(0));
    }

    #[test]
    fn a_path_leads_again_once_it_has_more_than_half_of_the_last_hundred_decisions() {
        let shape = Shape { decisions: 1_000, goals: 1, paths: 3, recovered: Some(200), ..Shape::default() };
        let mut meter = Meter::new(&shape);
        for decision in 0..1_000 {
            meter.count(decision, usize::from(decision < 500), &[0.8, 0.7, 0.6]);
        }
        let outcome = meter.outcome();
        // From 500 on path 0 is taken; at 550 the last hundred hold 51 of it.
        assert_eq!(outcome.led_again, Some(350.0));
        assert!((outcome.regret - 50.0).abs() < 1e-9);
        assert_eq!(outcome.best_share, 1.0);
        assert_eq!((outcome.share[4], outcome.share[5]), (0.0, 1.0));
    }

    #[test]
    fn a_signal_with_no_delay_is_heard_before_the_next_decision_and_not_before_its_own() {
        let world = Simulated::new(scenarios::named("stationary").expect("it is there"), 1);
        let mut queue = Queue::default();
        queue.extend(world.heard(7, 0));
        assert!(queue.due(7).is_none());
        assert_eq!(queue.due(8).map(|heard| heard.decision), Some(7));
        assert!(queue.due(9).is_none());
    }

    #[test]
    fn a_run_repeats_itself() {
        let scenario = scenarios::named("judge-second").expect("it is there");
        let policies = [Named::parse("kalibr", &crate::ours::Settings::default()).expect("it is one")];
        let regret = |threads| {
            let mut short = scenario.clone();
            short.decisions = 400;
            let world = |seed| Simulated::new(short.clone(), seed);
            let runs = Runs { seeds: Seeds::Tuning, count: 3, threads };
            all(world, &policies, runs)[0].each(|outcome| outcome.regret)
        };
        assert_eq!(regret(1), regret(2));
    }
}
