//! The policies that are compared, by name.

mod averaging;
mod bounds;
mod kalibr_like;
mod thompson;
mod track_and_stop;
mod waiting;

use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::ours::{Ours, Settings};
use crate::peers::{Hosts, Peer};
use crate::policy::{Policy, Shape};

use averaging::Averaging;
pub(crate) use averaging::Weigh;
use bounds::{Always, Uniform};
use kalibr_like::KalibrLike;
use thompson::Told;
use track_and_stop::TrackAndStop;
use waiting::{FirstWord, Waiting};

/// A policy to be made once for every run.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// As tables and pictures show it.
    pub(crate) name: String,
    /// Runs that are enough of it, where it is slow.
    pub(crate) most_runs: Option<usize>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Ours(Box<Settings>),
    Uniform,
    Always(usize),
    Truth,
    Averaging(Weigh),
    Waiting(Option<u32>),
    FirstWord,
    KalibrLike,
    TrackAndStop,
    Peer(String, Arc<Hosts>),
}

/// What can be asked for, each with a line of explanation.
pub(crate) const NAMES: [(&str, &str); 10] = [
    ("kalibr", "ours; kalibr:key=value,... with other settings, see --settings"),
    ("uniform", "each path equally often"),
    ("always-N", "path N, from 0; the best of them is the best path in hindsight"),
    ("truth-ts", "Beta Thompson told the truth at once of whatever it chose: a bound, no rival"),
    ("beta-ts", "Beta Thompson, every signal counts one"),
    ("average", "Beta Thompson, every signal counts by its source's confidence"),
    (
        "waiting",
        "Beta Thompson on decisions whose window is over, by their last word; waiting-N waits N decisions",
    ),
    ("first-word", "Beta Thompson that never changes its mind about a decision"),
    (
        "kalibr-like",
        "Beta Thompson, 10 % random, 20 forced samples, keyword signals; not the hosted brain, which is closed",
    ),
    ("track-and-stop", "TensorZero's: optimal proportions for naming the best, then stops"),
];

impl Named {
    /// Reads a name; `base` are the settings of ours that were asked for on the command line.
    ///
    /// # Errors
    /// When there is no such policy, or a setting that there is not.
    pub(crate) fn parse(text: &str, base: &Settings) -> anyhow::Result<Self> {
        let (name, settings) = text.split_once(':').unwrap_or((text, ""));
        let kind = match name.rsplit_once('-') {
            _ if name == "kalibr" => {
                let mut own = base.clone();
                for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
                    own.set(setting)?;
                }
                Kind::Ours(Box::new(own))
            }
            _ if !settings.is_empty() => bail!("{name} takes no settings: only kalibr does"),
            Some(("always", path)) => Kind::Always(path.parse().context("always-N: N is a path's index")?),
            Some(("waiting", window)) => {
                Kind::Waiting(Some(window.parse().context("waiting-N: N is a number of decisions")?))
            }
            _ => match name {
                "uniform" => Kind::Uniform,
                "truth-ts" => Kind::Truth,
                "beta-ts" => Kind::Averaging(Weigh::Equally),
                "average" => Kind::Averaging(Weigh::ByConfidence),
                "waiting" => Kind::Waiting(None),
                "first-word" => Kind::FirstWord,
                "kalibr-like" => Kind::KalibrLike,
                "track-and-stop" => Kind::TrackAndStop,
                _ => bail!("no policy {name:?}: there are {}", NAMES.map(|(name, _)| name).join(", ")),
            },
        };
        Ok(Self { name: text.to_owned(), most_runs: None, kind })
    }

    /// An algorithm of another library.
    pub(crate) fn peer(algorithm: &str, hosts: &Arc<Hosts>, most_runs: Option<usize>) -> Self {
        let kind = Kind::Peer(algorithm.to_owned(), Arc::clone(hosts));
        Self { name: algorithm.to_owned(), most_runs, kind }
    }

    /// The same under another name.
    pub(crate) fn called(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Makes one for a run.
    ///
    /// # Errors
    /// When it lives in another process, and that fails.
    pub(crate) fn make(&self, shape: &Shape, seed: u64) -> anyhow::Result<Box<dyn Policy>> {
        let (goals, paths) = (shape.goals, shape.paths);
        Ok(match &self.kind {
            Kind::Ours(settings) => Box::new(Ours::new(settings.as_ref().clone(), shape, seed)),
            Kind::Uniform => Box::new(Uniform::new(paths, seed)),
            Kind::Always(path) => Box::new(Always(*path % paths)),
            Kind::Truth => Box::new(Told::new(goals, paths, seed)),
            Kind::Averaging(weigh) => Box::new(Averaging::new(*weigh, goals, paths, seed)),
            Kind::Waiting(window) => {
                Box::new(Waiting::new(window.unwrap_or(shape.window), goals, paths, seed))
            }
            Kind::FirstWord => Box::new(FirstWord::new(goals, paths, seed)),
            Kind::KalibrLike => Box::new(KalibrLike::new(goals, paths, seed)),
            Kind::TrackAndStop => Box::new(TrackAndStop::new(goals, paths, seed)),
            Kind::Peer(algorithm, hosts) => {
                Box::new(Peer::new(hosts, algorithm, Weigh::ByConfidence, shape, seed)?)
            }
        })
    }
}
