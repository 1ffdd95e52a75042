//! The whole benchmark: every bar, every axis, every part of ours taken away, into one table, one JSON and pictures.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::bars::{self, AGAIN, DRIFT, JUDGED, REVISED, REVISED_OURS, Row, STILL, UNBIASED};
use crate::markdown;
use crate::ours::{PARTS, Settings};
use crate::peers::{Hosts, Listing};
use crate::policies::Named;
use crate::prompts::Data;
use crate::real::Real;
use crate::replaying;
use crate::run::{self, Played, Runs, Seeds};
use crate::scenarios;
use crate::setup;
use crate::simulator::{Scenario, Simulated};
use crate::stats;

/// What is asked for.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Asked {
    /// A smoke test under five minutes: fewer runs, only the peers of requirements-quick.txt, no axes and no pictures;
    /// ends with a status when a wide band is broken.
    #[arg(long)]
    quick: bool,
    /// Where results go.
    #[arg(long, default_value = "bench/out/learning")]
    out: PathBuf,
    /// Where the Python environment and the prompts are kept between runs.
    #[arg(long, default_value = "target/bench-learning")]
    cache: PathBuf,
    /// A Python that has the other libraries; without, one is made in the cache.
    #[arg(long)]
    python: Option<PathBuf>,
    /// The second set of prompts, where it is at hand.
    #[arg(long)]
    zeroeval: Option<PathBuf>,
    /// All numbers of runs times this: for a first look. What is reported was run at 1.
    #[arg(long, default_value_t = 1.0)]
    runs: f64,
    /// Runs at once.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Numbers of runs at full length.
struct Counts {
    /// Of worlds with one goal.
    short: usize,
    /// Of worlds with eight.
    long: usize,
    /// On axes.
    axis: usize,
    /// On real prompts.
    real: usize,
    /// Of other libraries' policies in simulated worlds.
    peer: usize,
    /// Of those on real prompts.
    peer_real: usize,
    /// Worlds in which everything is drawn, and runs in each.
    random: (u64, usize),
}

/// Other libraries' policies in worlds without words. A linear policy without features is the plain policy of its
/// library, at many times the price, so those are played on real prompts only.
const WITHOUT_WORDS: [&str; 6] =
    ["mabwiser_ts", "mabwiser_epsilon", "mabwiser_ucb1", "vw_squarecb", "vw_epsilon", "paretobandit"];
/// Those of requirements-quick.txt.
const QUICK: [&str; 2] = ["vw_squarecb", "vw_epsilon"];
/// Those on axes.
const ON_AXES: [&str; 3] = ["mabwiser_ts", "vw_squarecb", "paretobandit"];

/// A run of the whole benchmark.
struct Whole {
    asked: Asked,
    counts: Counts,
    started: Instant,
    hosts: Option<Arc<Hosts>>,
    listing: Listing,
}

/// Runs everything; true when no band is broken.
///
/// # Errors
/// When a file cannot be written. A library or a data set that is missing is named in the results instead.
pub(crate) fn run(asked: Asked) -> anyhow::Result<bool> {
    let scaled = |count: f64| ((count * asked.runs).round() as usize).max(2);
    let counts = if asked.quick {
        Counts {
            short: scaled(24.0),
            long: scaled(4.0),
            axis: 0,
            real: scaled(6.0),
            peer: 2,
            peer_real: 2,
            random: (0, 0),
        }
    } else {
        Counts {
            short: scaled(200.0),
            long: scaled(40.0),
            axis: scaled(40.0),
            real: scaled(50.0),
            peer: scaled(20.0),
            peer_real: scaled(20.0),
            random: (20, scaled(10.0)),
        }
    };
    let whole = Whole { asked, counts, started: Instant::now(), hosts: None, listing: Listing::default() };
    whole.everything()
}

impl Whole {
    fn everything(mut self) -> anyhow::Result<bool> {
        fs::create_dir_all(&self.asked.out)
            .with_context(|| format!("{} cannot be made", self.asked.out.display()))?;
        let mut absent = Vec::new();
        let sets = self.prepare(&mut absent);
        let mut rows = Vec::new();
        let mut worlds = Vec::new();
        self.on_bars(&mut rows, &mut worlds)?;
        let mut frontier = Vec::new();
        for (index, folder) in sets.iter().enumerate() {
            self.say(&format!("real prompts: {}", folder.display()))?;
            let real = self.real(folder)?;
            if index == 0 {
                rows.extend([real.quality(), real.cost()]);
                let runs = self.runs(self.counts.real);
                rows.push(replaying::second_model(&real.data, runs)?);
                frontier = real.frontier();
            }
            let title = format!("Real prompts: {}", real.data.name);
            let mut played = real.ours;
            played.extend(real.others);
            worlds.push((title, played));
        }
        if sets.is_empty() {
            let why = "the prompts could not be prepared".to_owned();
            rows.extend(
                [bars::QUALITY, bars::COST, bars::REPLAY].map(|bar| Row::unmeasured(bar, why.clone())),
            );
        }
        let (mut axes, mut parts, mut drawn) = (Vec::new(), Vec::new(), Vec::new());
        if !self.asked.quick {
            axes = self.axes()?;
            parts = self.parts()?;
            drawn = self.drawn()?;
        }
        let curve = curve(&worlds);
        let results = json!({
            "bars": rows, "axes": axes.iter().map(markdown::axis_json).collect::<Vec<_>>(),
            "curves": curve.into_iter().collect::<Vec<_>>(), "frontier": frontier,
            "missing": absent,
            "highlight": ["beta-ts", "average", "truth-ts", "kalibr-like", "track-and-stop", "mabwiser_ts", "vw_squarecb"],
        });
        let file = self.asked.out.join("results.json");
        fs::write(&file, serde_json::to_string_pretty(&results)?)?;
        let mut text = markdown::head(&self.asked_line(), &rows);
        text += &markdown::absent(&self.listing, &absent);
        text += &markdown::limits();
        text += &worlds.iter().map(|(title, played)| markdown::world(title, played)).collect::<String>();
        text += &axes.iter().map(markdown::axis).collect::<String>();
        text += &markdown::parts(&parts);
        text += &markdown::drawn(&drawn);
        fs::write(self.asked.out.join("results.md"), &text)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", markdown::head(&self.asked_line(), &rows))?;
        if !self.asked.quick
            && let Some(python) = self.python()
            && let Err(error) = setup::pictures(&python, &file, &self.asked.out)
        {
            writeln!(out, "no pictures: {error:#}")?;
        }
        writeln!(out, "{} in {:.0} s", self.asked.out.join("results.md").display(), self.seconds())?;
        let broken: Vec<&Row> = rows.iter().filter(|row| row.breaks_band()).collect();
        for row in &broken {
            writeln!(out, "outside its band of {}: {} ({})", row.bar.band, row.bar.what, row.note)?;
        }
        Ok(broken.is_empty() || !self.asked.quick)
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn say(&self, what: &str) -> anyhow::Result<()> {
        Ok(writeln!(std::io::stderr(), "{:6.0} s  {what}", self.seconds())?)
    }

    fn asked_line(&self) -> String {
        let Counts { short, long, axis, real, peer, peer_real, .. } = self.counts;
        format!(
            "Reported seeds; {short} runs of one goal, {long} of eight, {axis} on axes, {real} on real prompts; other \
             libraries {peer} and {peer_real} on real prompts. Intervals are 95 %, by bootstrap over paired seeds."
        )
    }

    fn python(&self) -> Option<PathBuf> {
        let made = self.asked.cache.join("python/bin/python");
        self.asked.python.clone().or_else(|| made.exists().then_some(made))
    }

    /// Sets up Python and the prompts; what fails is noted in `absent` and goes on without.
    fn prepare(&mut self, absent: &mut Vec<String>) -> Vec<PathBuf> {
        let requirements = if self.asked.quick { "requirements-quick.txt" } else { "requirements.txt" };
        let python = match &self.asked.python {
            Some(python) => Ok(python.clone()),
            None => setup::python(&self.asked.cache.join("python"), requirements),
        };
        let python = match python {
            Ok(python) => python,
            Err(error) => {
                absent.push(format!("all other libraries and all real prompts: {error:#}"));
                return Vec::new();
            }
        };
        let hosts = Hosts::new(python.clone(), setup::folder().join("peers.py"));
        match hosts.list() {
            Ok(listing) => {
                absent.extend(
                    listing.missing.iter().map(|missing| format!("{}: {}", missing.name, missing.why)),
                );
                (self.listing, self.hosts) = (listing, Some(hosts));
            }
            Err(error) => absent.push(format!("all other libraries: {error:#}")),
        }
        let zeroeval = self.asked.zeroeval.as_deref();
        setup::data(&python, &self.asked.cache.join("data"), zeroeval).unwrap_or_else(|error| {
            absent.push(format!("real prompts: {error:#}"));
            Vec::new()
        })
    }

    fn runs(&self, count: usize) -> Runs {
        Runs { seeds: Seeds::Report, count, threads: self.asked.threads }
    }

    /// Other libraries' policies that there are here.
    fn peers(&self, wanted: Option<&[&str]>, most: usize) -> Vec<Named> {
        let Some(hosts) = &self.hosts else { return Vec::new() };
        let there = self.listing.algorithms.iter().map(|algorithm| algorithm.name.as_str());
        there
            .filter(|name| *name != "uniform" && wanted.is_none_or(|wanted| wanted.contains(name)))
            .map(|name| Named::peer(name, hosts, Some(most)))
            .collect()
    }

    fn play(
        &self,
        name: &str,
        names: &[&str],
        peers: &[Named],
        count: usize,
    ) -> anyhow::Result<(Scenario, Vec<Played>)> {
        self.say(name)?;
        let scenario = scenarios::named(name)?;
        let mut policies = own(names)?;
        policies.extend(peers.iter().cloned());
        let world = |seed| Simulated::new(scenario.clone(), seed);
        let played = run::all(world, &policies, self.runs(count));
        Ok((scenario, played))
    }

    fn on_bars(&self, rows: &mut Vec<Row>, worlds: &mut Vec<(String, Vec<Played>)>) -> anyhow::Result<()> {
        let wanted = if self.asked.quick { QUICK.as_slice() } else { WITHOUT_WORDS.as_slice() };
        let peers = self.peers(Some(wanted), self.counts.peer);
        let names = [
            "kalibr",
            "beta-ts",
            "average",
            "waiting",
            "first-word",
            "kalibr-like",
            "track-and-stop",
            "uniform",
            "always-0",
            "always-1",
            "always-2",
            "truth-ts",
        ];
        let bars = [
            ("drift", self.counts.short),
            ("stationary", self.counts.short),
            ("judge-second", self.counts.long),
            ("judge-unbiased", self.counts.long),
            ("revision-22", self.counts.short),
            ("goals-disagree", self.counts.long),
            ("slips", self.counts.long),
        ];
        for (name, count) in bars {
            if self.asked.quick && matches!(name, "goals-disagree" | "slips") {
                continue;
            }
            // Waiting is the same as not waiting where no word ever changes.
            let waits = (name == "revision-22").then_some("kalibr:maturity=wait");
            let names: Vec<&str> = names.into_iter().chain(waits).collect();
            let (scenario, played) = self.play(name, &names, &peers, count)?;
            let against = |rival: &str| {
                let of = |name: &str| {
                    played
                        .iter()
                        .find(|p| p.name == name)
                        .map(|p| p.each(|outcome| outcome.regret))
                        .unwrap_or_default()
                };
                let (ours, its) = (of("kalibr"), of(rival));
                let note =
                    format!("regret {:.1} against {:.1} of {rival}", stats::mean(&ours), stats::mean(&its));
                (stats::ratio(&ours, &its), note)
            };
            let row = |bar, rival| {
                let (found, note) = against(rival);
                Row::of(bar, found, note)
            };
            match name {
                "drift" => {
                    rows.push(row(DRIFT, "beta-ts"));
                    let again: Vec<f64> =
                        played[0].outcomes.iter().filter_map(|outcome| outcome.led_again).collect();
                    let never = again.iter().filter(|after| **after >= 2_000.0).count();
                    let note = format!(
                        "more than half of the last 100; never within 2,000 in {never} of {} runs",
                        again.len()
                    );
                    rows.push(Row::of(AGAIN, stats::median_of(&again), note));
                }
                "stationary" => rows.push(row(STILL, "beta-ts")),
                "judge-second" => rows.push(row(JUDGED, "average")),
                "judge-unbiased" => rows.push(row(UNBIASED, "average")),
                "revision-22" => {
                    rows.push(row(REVISED, "waiting"));
                    rows.push(row(REVISED_OURS, "kalibr:maturity=wait"));
                }
                _ => {}
            }
            worlds.push((format!("{name}: {}", scenario.about), played));
        }
        Ok(())
    }

    fn real(&self, folder: &Path) -> anyhow::Result<Real> {
        let data = Arc::new(Data::load(folder)?);
        let mut others = own(&["beta-ts", "kalibr-like", "track-and-stop", "uniform"])?;
        others.extend(
            (0..data.models.len())
                .map(|path| Named::parse(&format!("always-{path}"), &Settings::default()))
                .collect::<anyhow::Result<Vec<_>>>()?,
        );
        let plain = Named::parse("kalibr:delta=0,buckets=off", &Settings::default())?;
        others.push(plain.called("kalibr, no buckets"));
        let wanted = self.asked.quick.then_some(QUICK.as_slice());
        others.extend(self.peers(wanted, self.counts.peer_real));
        Real::play(data, &others, self.runs(self.counts.real))
    }

    fn axes(&self) -> anyhow::Result<Vec<markdown::Axis>> {
        let peers = self.peers(Some(&ON_AXES), self.counts.peer.div_ceil(4));
        let names = [
            "kalibr",
            "beta-ts",
            "average",
            "waiting",
            "kalibr-like",
            "track-and-stop",
            "uniform",
            "truth-ts",
        ];
        let mut axes = Vec::new();
        for axis in scenarios::axes() {
            let mut points = Vec::new();
            for (x, label, scenario) in &axis.scenarios {
                let count = if scenario.goals > 1 {
                    self.counts.axis.min(self.counts.long / 2)
                } else {
                    self.counts.axis
                };
                let (_, played) = self.play(&scenario.name, &names, &peers, count)?;
                points.push((*x, label.clone(), played));
            }
            axes.push(markdown::Axis { name: axis.name, title: axis.title, unit: axis.unit, points });
        }
        Ok(axes)
    }

    /// Ours with each part taken away, on the worlds of the bars: regret as a multiple of the whole's.
    fn parts(&self) -> anyhow::Result<Vec<(String, Vec<Played>)>> {
        let names: Vec<String> = std::iter::once("kalibr".to_owned())
            .chain(PARTS.iter().map(|(_, settings)| format!("kalibr:{settings}")))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let on = ["drift", "stationary", "judge-second", "judge-unbiased", "revision-22"];
        on.into_iter()
            .map(|name| {
                let count =
                    if name.starts_with("judge") { self.counts.long / 2 } else { self.counts.short / 2 };
                Ok((name.to_owned(), self.play(name, &names, &[], count.max(2))?.1))
            })
            .collect()
    }

    fn drawn(&self) -> anyhow::Result<Vec<Vec<Played>>> {
        let (worlds, runs) = self.counts.random;
        self.say("worlds in which everything is drawn")?;
        let policies = own(&[
            "kalibr",
            "beta-ts",
            "average",
            "waiting",
            "kalibr-like",
            "track-and-stop",
            "uniform",
            "truth-ts",
        ])?;
        Ok((0..worlds)
            .map(|number| {
                let scenario = scenarios::random(number);
                run::all(|seed| Simulated::new(scenario.clone(), seed), &policies, self.runs(runs))
            })
            .collect())
    }
}

fn own(names: &[&str]) -> anyhow::Result<Vec<Named>> {
    names.iter().map(|name| Named::parse(name, &Settings::default())).collect()
}

/// The share of the path that fails and recovers, over decisions.
fn curve(worlds: &[(String, Vec<Played>)]) -> Option<Value> {
    let (_, played) = worlds.iter().find(|(title, _)| title.starts_with("drift:"))?;
    let shown =
        ["kalibr", "beta-ts", "kalibr-like", "track-and-stop", "mabwiser_ts", "vw_squarecb", "paretobandit"];
    let points = played.first()?.outcomes.first()?.share.len();
    let series: Vec<Value> = played
        .iter()
        .filter(|policy| shown.contains(&policy.name.as_str()) && !policy.outcomes.is_empty())
        .map(|policy| {
            let at: Vec<_> = (0..points)
                .map(|point| stats::mean_of(&policy.each(|outcome| outcome.share[point])))
                .collect();
            json!({
                "name": policy.name,
                "mean": at.iter().map(|e| e.mean).collect::<Vec<_>>(),
                "low": at.iter().map(|e| e.low).collect::<Vec<_>>(),
                "high": at.iter().map(|e| e.high).collect::<Vec<_>>(),
            })
        })
        .collect();
    let x: Vec<u32> = (1..=points as u32).map(|point| point * run::STRETCH).collect();
    Some(json!({
        "name": "drift", "title": "A path fails at 2,000 and recovers at 4,000", "x": x, "series": series,
        "unit": "share of decisions on that path",
    }))
}
