//! What Kalibr learns, and how: pure functions and the integers they rest on.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time and randomness come in as arguments, so that a
//! run can be replayed to the last bit. Data goes one way:
//!
//! ```text
//! signals ─► Register (per attempt) ─► Pattern ─► Counters ─► Beta posterior ─► PolicyTable ─► draw + propensity
//! ```
//!
//! Everything left of the posterior is an integer and exactly reversible; everything right of it is recomputed from
//! the integers and never carried over.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod ageing;
pub mod anytime;
pub mod availability;
pub mod best;
pub mod confidence;
pub mod counters;
pub mod drift;
pub mod evidence;
pub mod fusion;
pub mod ids;
pub mod learner;
pub mod level;
pub mod maturity;
pub mod moved;
pub mod objective;
pub mod outcome;
pub mod path;
pub mod policy;
pub mod posterior;
mod quadrature;
pub mod reliability;
pub mod replay;
pub mod ripe;
pub mod rules;
pub mod safety;
pub mod series;
pub mod sharing;
pub mod sharpness;
pub mod silence;
pub mod trace;
