//! The engine: decide, complete, record, learn. The one public Rust API of Kalibr.
//!
//! A request of a goal is routed to one of the goal's paths ([`Engine::decide`], [`Engine::complete`]); what users then
//! do comes back as signals ([`Engine::signal`], [`Engine::turn`], [`Engine::action`]); a refresher turns them into new
//! policy tables, and the next requests go more often to what worked.
//!
//! Deciding reads a table and draws: it does no I/O and takes no lock that a writer holds. Everything that is recorded
//! goes through one queue to one writer, which groups it into synced transactions.
//!
//! ```
//! use std::time::Duration;
//!
//! use kalibr_engine::core::ids::Goal;
//! use kalibr_engine::core::path::PathSpec;
//! use kalibr_engine::signals::vocabulary;
//! use kalibr_engine::{Config, DecideRequest, Engine, EngineConfig, GoalSettings, Home, PathUpdate, Run, SignalMeta};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("kalibr-doc-{}", std::process::id()));
//! let config = EngineConfig::new(Home::at(&folder), &Config::default(), &|name| std::env::var(name).ok())?;
//! let engine = Engine::open(config)?;
//! let goal = Goal::new("research_summary")?;
//! let paths = [PathSpec::model("gpt-4o")?, PathSpec::model("deepseek/deepseek-chat")?];
//! engine.put_goal(&goal, &GoalSettings::default(), &paths, PathUpdate::Replace)?;
//!
//! // Make the call yourself with decision.path, or let `complete` and `stream` make it.
//! let decision = engine.decide(&DecideRequest::of(goal.clone()))?;
//!
//! let kind = vocabulary::lookup("user_accepted")?;
//! let signal = engine.signal(Run::Trace(decision.trace), kind, None, None, SignalMeta::default())?;
//! engine.send(vec![signal])?;
//!
//! assert!(engine.flush(Duration::from_secs(10))); // committed, and in the policy table
//! let learned = &engine.goal(&goal).unwrap().learned[0];
//! let accepted = learned.paths.iter().find(|path| path.path_id == decision.path_id).unwrap();
//! assert!(accepted.share > 0.5);
//! assert!(engine.close(Duration::from_secs(10)));
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # }
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod bucket;
mod call_rules;
mod calls;
mod checks;
mod classifier;
mod clock;
mod complete;
mod confidence;
mod config;
mod decide;
mod doctor;
mod edit;
mod engine;
mod erase;
mod error;
mod explain;
mod freeze;
mod goal;
mod goal_change;
mod goal_map;
mod goals;
mod home;
mod keeper;
mod learn;
mod outages;
mod prints;
mod privacy;
mod providers;
mod replay;
mod report;
mod sessions;
mod table;
mod texts;
mod traces;
mod walk;

pub use bucket::bucket_of;
pub use call_rules::CallRules;
pub use checks::{PathChecks, ReasonCount};
pub use classifier::{ClassifierConfig, ClassifierInfo, ClassifierSetup, TurnText, Unsure};
pub use clock::{Clock, moment};
pub use complete::{CompleteRequest, Completion, CompletionStream};
pub use confidence::{ChangeInfo, Conclusion};
pub use config::{Config, GoalConfig, TurnsConfig, serde_problem, toml_problem};
pub use decide::{DecideRequest, Decision, Reason};
pub use doctor::{Checkup, WrongCounter, checkup};
pub use edit::Edit;
pub use engine::{Engine, EngineConfig, Health, Refresh};
pub use erase::Erasure;
pub use error::{CompleteError, DecideError, EngineError, ExportError, GoalError, ReplayError, SignalError};
pub use explain::{
    AttemptView, ConsideredPath, Effect, EvidenceView, Explanation, NotCounted, PathName, TextView,
};
pub use goal::{Buckets, GoalSettings};
pub use goals::{GoalInfo, GoalPath, LearnedPath, LearnedScope, RollbackInfo};
pub use home::Home;
pub use prints::Prints;
pub use privacy::{KeepText, Privacy};
pub use providers::{ModelInfo, ProviderInfo, StandingInfo};
pub use replay::{Refused, ReplayOptions, ReplayReport, replay_lines};
pub use report::{PrivateText, ReportedRun, ReportedTurn, Run, RunReport, SignalMeta, fresh_signal_id};
pub use sessions::SessionsConfig;
pub use table::Fallbacks;

pub use kalibr_core as core;
pub use kalibr_evals as evals;
pub use kalibr_signals as signals;
pub use kalibr_store::{Fact, Held, PathUpdate, Receipt, StoreError, TextKind, Whose, WriterConfig};
pub use kalibr_upstream as upstream;
