//! Replay: from a log of decisions with their exact propensities, what another policy would have earned.
//!
//! Each decision of the log names the probability `p` with which every path could have been chosen, so the log of one
//! policy speaks of others as well: a decision counts `w = π/p`, where `π` is the probability with which the other
//! policy would have made the same choice. Four estimates of its value are computed; `r̂` is what a model expects of a
//! path in a class of requests ([`Sample::class`]), fitted on the past of each decision alone:
//!
//! ```text
//! IPS    mean(w r)                                    unbiased, and hardly of use where p is small
//! SNIPS  Σ w r / Σ w                                  the same, self-normalised
//! DR     mean(Γ),  Γ = Σ_a π_a r̂_a + w (r − r̂)       doubly robust (Dudík, Langford and Li, 2011)
//! value  Σ_c n_c/n · Σ_t∈c h Γ / Σ_t∈c h,  h = 1/√(Σ_a π_a²/p_a)
//! ```
//!
//! The last is what is shown, with its interval. The variance of `Γ` is about `σ² Σ π²/p`, which grows without bound
//! where a router has all but stopped choosing a path; the weights `h` keep it level (for "always a", `h = √p_a`), and
//! with it the interval valid though the log was gathered by a policy that learned from itself (Hadad, Hirshberg, Zhan,
//! Wager and Athey, "Confidence intervals for policy evaluation in adaptive experiments", 2021). The weights depend on
//! the class of the request, so one sum over all classes would weigh classes by how much was explored in them: on real
//! prompts with buckets it is off by .036 and its interval covers the truth a third of the time. So each class is
//! estimated by itself and classes are summed by their share of decisions (the contextual weights of Zhan, Hadad,
//! Hirshberg and Athey, "Off-policy evaluation via adaptive weighting with data from contextual bandits", 2021).
//!
//! # What a value means
//! - It is success *among graded decisions*. Nobody grades most answers, and who grades is not drawn by lot. A path's
//!   decisions in a class are taken to be graded regardless of how good the answer was; that different paths and classes
//!   are graded more or less often is corrected for in `value`, not in the other three. The share graded stands beside
//!   it, and how users grade is the reader's to judge.
//! - It is the value on these requests while paths were as they were. Weights look more at the times at which the log
//!   explored: where a path changed meanwhile, the value is that mix of before and after, and `dr` another one.
//! - A decision's first attempt is what is evaluated. Where its provider failed there was no answer to grade.
//! - The interval is for one look at a log of fixed length. Looking daily until it excludes 0 is not what it is for.

mod estimate;
mod lines;
mod log;
mod model;
mod policy;

pub use estimate::{Estimate, Evaluation, LEAST, NotEnough, Sample, Worth, evaluate};
pub use lines::{BadLine, Head, LineReader, NamedPath};
pub use log::{Log, Logged, PathName, UnknownPath};
pub use policy::{Learner, Policy, UnknownPolicy};

#[cfg(test)]
mod tests;
