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
//! # How far it is off
//! From `cargo run --release -p kalibr-core --example replay -- rows.jsonl`: root mean square error of the replayed value
//! of "always the second path" over 300 logs of 3,609 decisions, the paths being right on .777, .732 and .453 of the real
//! prompts, the router the shipped learner; in brackets mean error and share of 95 % intervals that cover:
//!
//! | classes | floor | IPS | SNIPS | DR | value | its ESS |
//! |---|---|---|---|---|---|---|
//! | one | .2 % | .078 | .035 | .037 | .030 (-.008, .98) | 323 |
//! | one | 1 % | .064 | .035 | .036 | .033 (-.007, .97) | 355 |
//! | one | 5 % | .041 | .021 | .021 | .019 (-.003, .99) | 464 |
//! | 31 sources, each learning for itself | .2 % | .067 | .035 | .037 | .034 (-.020, .91) | 449 |
//! | | 1 % | .045 | .024 | .023 | .025 (-.015, .93) | 521 |
//! | | 5 % | .031 | .017 | .016 | .017 (-.008, .95) | 763 |
//!
//! Another 300 logs of one class at 1 % gave .030, and 150 with Kalibr's own four classes, which share what they learn, .021
//! (-.004, .97): such a number is known to about a tenth, for it hangs on the few logs in which the path looked bad early
//! and was hardly tried again. That
//! is also the limit: a path's mean cannot be known better than by its variance over the decisions it got, which in these
//! logs is .023 for an estimator that weighs at best, and .020 if the model of rewards were perfect for each source. So .02
//! is out of reach in one class at a floor of 1 % for anything unbiased; a floor of 5 % has it. Other exponents than 1/2 were tried:
//! with `h = p^.75` the error is 3 % less in one class, but over 31 sources intervals cover 86 %; with `p^.33` it is the
//! other way round. A model that borrows a class's difficulty from the other paths gains 2 %.
//!
//! Adaptive weights lean downwards, as any mean does that is taken where it pays: paths that looked bad by luck are left
//! for good. The lean is a quarter of the standard error in one class, and more where many small classes each learn for
//! themselves; intervals are meant to hold it. And where most logs of the kind would be refused, those that are not are
//! those in which the path looked good: of 300 logs of 1,500 decisions 64 are enough for the third path, and lean upwards
//! by .09. A value with fewer than 60 effective decisions should be read so.
//!
//! # What a value means
//! - It is success *among graded decisions*. Nobody grades most answers, and who grades is not drawn by lot. A path's
//!   decisions in a class are taken to be graded regardless of how good the answer was; that different paths and classes
//!   are graded more or less often is corrected for in `value`, not in the other three. The share graded stands beside
//!   it, and how users grade is the reader's to judge.
//! - What a decision earned is the strength of its winning source by the ladder ([`crate::evidence::LADDER`]), as it stands
//!   now. A turn or a judge's verdict counts as if it were the truth, where it is all there is: what sources are worth is
//!   learned for choosing, and does not enter here. (It does where a learner is replayed: [`Policy::HalfLife`].)
//! - It is the value on these requests while paths were as they were. Weights look more at the times at which the log
//!   explored: where a path changed meanwhile, the value is that mix of before and after, `dr` is another,
//!   and [`Worth::moved`] says that they differ.
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
pub use policy::{Policy, Routing, UnknownPolicy};

#[cfg(test)]
mod tests;
