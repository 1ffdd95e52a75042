//! Kalibr's own learner, through the public API of kalibr-core and in the way in which the engine drives it.
//!
//! A decision counts in its goal's epoch; a signal moves one decision from one pattern to another; tables are built anew
//! every so many decisions, from the counters and nothing else.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, bail};
use kalibr_core::counters::{Cell, Counters, Epoch};
use kalibr_core::evidence::{Signal, Source, Strength, Value};
use kalibr_core::ids::{PathId, SignalId, Timestamp};
use kalibr_core::learner::Learner;
use kalibr_core::moved::What;
use kalibr_core::objective::{Objective, Offer, Spend, expected_spend};
use kalibr_core::outcome::Reply;
use kalibr_core::policy::uniform;
use kalibr_core::posterior::{LearnerConfig, Subject};
use kalibr_core::rules::{ChoiceRules, Choices, Known, Standing};
use kalibr_core::trace::{Attempt, Share, Trace, moves};

use crate::policy::{Chosen, Policy, Request, Shape};
use crate::simulator::{Heard, Said};

/// How it learns, and how the benchmark drives it. Every field can be set from the command line.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The learner's own.
    pub(crate) learner: LearnerConfig,
    /// Least probability of a path.
    pub(crate) floor: f64,
    /// Decisions of a goal between two refreshes of its table. The engine refreshes on change, at most every 50 ms.
    pub(crate) refresh: u32,
    /// How much greedier than probability matching it chooses.
    pub(crate) sharpness: f64,
    /// Whether it hears of a decision only once its window is over and no word can change any more, instead of learning
    /// how verdicts last.
    pub(crate) waits: bool,
    /// Whether reliabilities are learned; otherwise what is believed of a source beforehand stands.
    pub(crate) reliability: bool,
    /// Whether requests are classed into buckets, where there are words to class them by.
    pub(crate) buckets: bool,
    /// How success is weighed against cost. Without costs it has no say.
    pub(crate) objective: Objective,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            learner: LearnerConfig::default(),
            floor: ChoiceRules::default().floor,
            refresh: 10,
            sharpness: ChoiceRules::default().sharpness,
            waits: false,
            reliability: true,
            // As the product's default.
            buckets: false,
            objective: Objective::default(),
        }
    }
}

/// The keys of [`Settings::set`], each with what it is.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    (
        "half-life",
        "observations after which evidence counts half; off: nothing is forgotten, no change is looked for",
    ),
    ("growth", "how much longer the half-life becomes for each observation that a path stays as it is"),
    ("after-change", "half-life right after a change"),
    ("growth-after-change", "how much longer that becomes for each observation since the change"),
    ("restart", "false-alarm level of the test for a change; off: no test"),
    ("remains", "observations that a path's long-run quality is worth once all else has faded"),
    ("floor", "least probability of a path"),
    ("sharpness", "how much greedier than probability matching it chooses; 1 is matching"),
    ("refresh", "decisions of a goal between two refreshes"),
    ("sharing", "on: a goal starts from what others know of its models; off"),
    ("buckets", "on: prompts are classed, and a class learns for itself; off"),
    ("delta", "success that a lower cost may forgo"),
    ("probability", "how probable it must be that a cheaper path is within delta"),
    (
        "maturity",
        "on: fresh verdicts count less where verdicts are taken back; off; wait: nothing counts before its window is over",
    ),
    ("silence", "on: silence counts where it says something; off"),
    ("level", "on: paths that move together are taken for the level of the goal; off"),
    ("reliability", "on: learned; off: what is believed of a source beforehand"),
];

/// What is taken away for the table of parts: a name, and the settings.
pub(crate) const PARTS: &[(&str, &str)] = &[
    ("learning reliabilities", "reliability=off"),
    ("the test for a change", "restart=off"),
    ("fading", "half-life=1e12,after-change=1e12"),
    ("any forgetting", "half-life=off"),
    ("sharing over goals", "sharing=off"),
    ("maturity", "maturity=off"),
    ("maturity, waiting for the window instead", "maturity=wait"),
    ("silence", "silence=off"),
    ("telling the level from paths", "level=off"),
    ("buckets, added instead", "buckets=on"),
    ("sharpness: probability matching instead", "sharpness=1"),
    ("sharpness and half the forgetting, as before it", "sharpness=1,half-life=1600,growth=0.5"),
    ("a floor", "floor=0"),
    ("the floor, .2 % instead", "floor=0.002"),
    ("the floor, 1 % instead", "floor=0.01"),
    ("the floor, 5 % instead", "floor=0.05"),
];

impl Settings {
    /// Sets one field by `key=value`.
    ///
    /// # Errors
    /// When there is no such key, or the value is none of its kind.
    pub(crate) fn set(&mut self, setting: &str) -> anyhow::Result<()> {
        let (key, value) =
            setting.split_once('=').with_context(|| format!("{setting:?} is not key=value"))?;
        let number = || -> anyhow::Result<f64> {
            let number: f64 = value.parse().with_context(|| format!("{key} is a number, not {value:?}"))?;
            if !number.is_finite() || number < 0.0 {
                bail!("{key} is a number of at least 0, not {value}");
            }
            Ok(number)
        };
        let or_off = || if value == "off" { Ok(None) } else { number().map(Some) };
        let switch = || match value {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => bail!("{key} is on or off, not {value:?}"),
        };
        let learner = &mut self.learner;
        match key {
            "half-life" => learner.half_life = or_off()?,
            "growth" => learner.fading.growth = number()?,
            "after-change" => learner.fading.after_change = number()?,
            "growth-after-change" => learner.fading.growth_after_change = number()?,
            "restart" => learner.fading.restart = or_off()?,
            "remains" => learner.fading.remains = number()?,
            "floor" => self.floor = number()?,
            "refresh" => self.refresh = (number()? as u32).max(1),
            "sharing" => learner.sharing = switch()?,
            "buckets" => self.buckets = switch()?,
            "delta" | "probability" => {
                let (mut delta, mut probability) = match self.objective {
                    Objective::CheapestWithin { delta, probability } => (delta, probability),
                    _ => (0.02, 0.9),
                };
                *(if key == "delta" { &mut delta } else { &mut probability }) = number()?;
                self.objective = Objective::CheapestWithin { delta, probability };
            }
            "sharpness" => self.sharpness = number()?.clamp(1.0, 8.0),
            "maturity" => {
                self.waits = value == "wait";
                learner.maturity = !self.waits && switch()?;
            }
            "silence" => learner.silence = switch()?,
            "level" => learner.fading.level = switch()?,
            "reliability" => self.reliability = switch()?,
            _ => bail!(
                "no setting {key:?}: there are {}",
                SETTINGS.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(", ")
            ),
        }
        Ok(())
    }
}

/// The learner of one run.
pub(crate) struct Ours {
    settings: Settings,
    paths: Vec<PathId>,
    learner: Learner<u32, Bucket>,
    /// Decisions of each goal: its epochs close by them.
    decisions: Vec<u32>,
    /// What calls cost, by goal and path over all buckets.
    spend: Vec<Vec<Spend>>,
    /// By path, dollars per request beforehand; empty where nothing costs anything.
    costs: Vec<f64>,
    scopes: BTreeMap<(u32, Bucket), Scope>,
    open: HashMap<u32, Open>,
    /// Decisions after which no word changes.
    window: u32,
    /// What it waits with: the goal's signals, by their decision.
    waiting: BTreeMap<u32, Vec<Heard>>,
    seed: u64,
    /// How often the level was said to have moved.
    alerts: u32,
}

/// The class of a request, `all` where none is known.
type Bucket = &'static str;

/// A goal's bucket.
#[derive(Default)]
struct Scope {
    counters: Counters,
    choices: Option<Choices>,
    /// Decisions of the goal when the choices were computed.
    computed: u32,
    /// By path.
    spend: Vec<Spend>,
    /// The newest epoch when the level was last said to have moved.
    told: Option<u32>,
}

/// A decision that may still be heard of.
struct Open {
    epoch: Epoch,
    bucket: Bucket,
    trace: Trace,
    shares: Vec<Share>,
}

impl Ours {
    pub(crate) fn new(settings: Settings, shape: &Shape, seed: u64) -> Self {
        Self {
            settings,
            paths: (0..shape.paths).map(|path| PathId::from_bytes([path as u8 + 1; 16])).collect(),
            learner: Learner::default(),
            decisions: vec![0; shape.goals],
            spend: vec![vec![Spend::default(); shape.paths]; shape.goals],
            costs: shape.costs.clone(),
            scopes: BTreeMap::new(),
            open: HashMap::new(),
            window: shape.window,
            waiting: BTreeMap::new(),
            seed,
            alerts: 0,
        }
    }

    /// Computes the choices of a scope anew.
    fn refresh(&mut self, goal: u32, bucket: Bucket) {
        if self.settings.reliability {
            self.learner.learn();
        }
        let scope = self.scopes.entry((goal, bucket)).or_default();
        let subjects: Vec<Subject> = self.paths.iter().map(|path| Subject::unknown(*path)).collect();
        let config = &self.settings.learner;
        let (own, moved) = self.learner.own_and_moved(&scope.counters, &subjects, config);
        self.learner.teach(&goal, &bucket, &subjects, &own);
        let posteriors = self.learner.given(&goal, Some(&bucket), &subjects, own, config);
        // As the engine tells: once of each change, however its place shifts as more is heard.
        for level in moved.iter().filter(|moved| moved.what == What::Level) {
            if scope.told.is_none_or(|told| level.since_epoch > told) {
                scope.told = Some(scope.counters.newest().0);
                self.alerts += 1;
            }
        }
        let known: Vec<Known> = posteriors
            .iter()
            .enumerate()
            .map(|(path, posterior)| {
                let own = scope.spend.get(path).copied().unwrap_or_default();
                let dollars = self
                    .costs
                    .get(path)
                    .map(|list| expected_spend(own, self.spend[goal as usize][path]).unwrap_or(*list));
                Known {
                    offer: Offer { dollars, ..Offer::of(posterior.success) },
                    ..Known::of(posterior.success)
                }
            })
            .collect();
        let rules = ChoiceRules {
            objective: self.settings.objective,
            sharpness: self.settings.sharpness,
            floor: self.settings.floor,
            ..ChoiceRules::default()
        };
        // All paths are eligible, so there are choices.
        scope.choices = rules.prepare(&known, &Standing::default()).usual().ok().cloned();
    }

    /// Takes in what was held back of decisions whose window is over.
    fn stop_waiting(&mut self, now: u32) {
        while let Some(oldest) = self.waiting.first_entry().filter(|of| of.key() + self.window < now) {
            oldest.remove().iter().for_each(|heard| self.take(heard));
        }
    }

    /// Counts a signal.
    fn take(&mut self, heard: &Heard) {
        let Some(open) = self.open.get_mut(&heard.decision) else { return };
        // Every signal has an id of a few digits within its decision.
        let Ok(id) = SignalId::new(&heard.number.to_string()) else { return };
        match heard.said {
            Said::TakenBack(number) => {
                open.trace.signals.retain(|signal| signal.id.as_str() != number.to_string());
            }
            Said::Praise | Said::Fault => {
                let Some(value) = value(heard.source, heard.said == Said::Praise) else { return };
                open.trace.signals.push(Signal {
                    id,
                    source: heard.source,
                    value,
                    strength: value.default_strength(),
                    confidence: Strength::ONE,
                    at: Timestamp(i64::from(heard.due)),
                    attempt: None,
                });
            }
        }
        self.count(heard.decision, heard.goal);
    }

    /// Moves the decision from where it counted to where it counts now.
    fn count(&mut self, decision: u32, goal: u32) {
        let Some(open) = self.open.get_mut(&decision) else { return };
        let shares = open.trace.shares();
        let scope = self.scopes.entry((goal, open.bucket)).or_default();
        for (path, pattern, count) in moves(&open.shares, &shares) {
            scope.counters.add(Cell { epoch: open.epoch, path, pattern }, count);
            self.learner.count(path, pattern, count);
        }
        open.shares = shares;
    }
}

impl Policy for Ours {
    fn alerts(&self) -> u32 {
        self.alerts
    }

    fn choose(&mut self, request: &Request) -> anyhow::Result<Chosen> {
        self.stop_waiting(request.decision);
        let goal = request.goal;
        let bucket = request.prompt.as_ref().filter(|_| self.settings.buckets).map_or("all", |p| p.bucket);
        let decided = self.decisions[goal as usize];
        let scope = self.scopes.entry((goal, bucket)).or_default();
        // By the goal's decisions and not by the bucket's: the engine refreshes on change, so a rare bucket's table is no
        // older than a common one's.
        if scope.choices.is_none() || decided - scope.computed >= self.settings.refresh {
            scope.computed = decided;
            self.refresh(goal, bucket);
        }
        let draw = uniform(self.seed, u64::from(request.decision));
        let choices = self.scopes.get(&(goal, bucket)).and_then(|scope| scope.choices.as_ref());
        let choices = choices.context("no path may be chosen")?;
        let path = choices.draw(draw).index;
        let propensities = choices.propensities.clone();
        let decisions = &mut self.decisions[goal as usize];
        let epoch = Epoch(*decisions / Epoch::DECISIONS);
        *decisions += 1;
        let attempt = Attempt { index: 0, path: self.paths[path], reply: Reply::Answered };
        let trace = Trace { attempts: vec![attempt], signals: Vec::new(), side: None };
        self.open.insert(request.decision, Open { epoch, bucket, trace, shares: Vec::new() });
        self.count(request.decision, goal);
        Ok(Chosen { path, propensities })
    }

    fn paid(&mut self, request: &Request, path: usize, dollars: f64) {
        let Some(open) = self.open.get(&request.decision) else { return };
        let call = Spend { calls: 1, nano_dollars: (dollars * 1e9).round() as i64 };
        let scope = self.scopes.entry((request.goal, open.bucket)).or_default();
        scope.spend.resize(self.paths.len(), Spend::default());
        for spend in [&mut scope.spend[path], &mut self.spend[request.goal as usize][path]] {
            *spend = *spend + call;
        }
    }

    fn hear(&mut self, heard: &Heard) {
        if self.settings.waits {
            self.waiting.entry(heard.decision).or_default().push(*heard);
        } else {
            self.take(heard);
        }
    }
}

/// What a source's praise or fault is called.
fn value(source: Source, praises: bool) -> Option<Value> {
    let (good, bad) = match source {
        Source::Structural | Source::Judge | Source::Metric => (Value::Passed, Value::Failed),
        Source::Turn => (Value::Acceptance, Value::Rejection),
        Source::Explicit => (Value::UserAccepted, Value::UserRejected),
        Source::Action => (Value::OutputUsedVerbatim, Value::OutputDiscarded),
        Source::SessionEnd => (Value::SessionSatisfied, Value::SessionDissatisfied),
        Source::Provider => return None,
    };
    Some(if praises { good } else { bad })
}
