//! What the engine knows, for people in a terminal.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use kalibr_engine::core::confidence::{Interval, IntervalKind};
use kalibr_engine::core::moved::What;
use kalibr_engine::core::safety::Side;
use kalibr_engine::{
    ChangeInfo, ClassifierInfo, Engine, Explanation, GoalInfo, LearnedScope, NotCounted, PathChecks,
    ProviderInfo,
};

/// Nothing is queued by reading: closing is quick.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) fn goals(engine: Option<&Engine>, json: bool) -> anyhow::Result<ExitCode> {
    let goals = engine.map_or_else(
        || Ok(Vec::new()),
        |engine| {
            engine.goals().into_iter().map(|goal| engine.with_checks(goal)).collect::<Result<Vec<_>, _>>()
        },
    )?;
    let providers = engine.map(Engine::providers).unwrap_or_default();
    let classifier = engine.and_then(Engine::classifier);
    engine.map(|engine| engine.close(PATIENCE));
    let text = if json {
        serde_json::to_string_pretty(&goals)? + "\n"
    } else if goals.is_empty() {
        "no goals yet: create one with PUT /v1/goals/NAME, [goals.NAME] in kalibr.toml, or Router(goal, paths) in \
         Python\n"
            .to_owned()
    } else {
        let others = providers_text(&providers).into_iter().chain(classifier.as_ref().map(classifier_text));
        goals.iter().map(goal_text).chain(others).collect::<Vec<_>>().join("\n")
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn goal_text(goal: &GoalInfo) -> String {
    let mut text = format!("{}\n", goal.name);
    if let Some(at) = &goal.frozen_at {
        let _ = writeln!(text, "  frozen since {at}: learns nothing until `kalibr thaw {}`", goal.name);
    }
    if let Some(at) = &goal.reset_at {
        let _ = writeln!(text, "  learns from scratch since {at}");
    }
    if let Some(rolled_back) = &goal.rolled_back {
        let _ = writeln!(
            text,
            "  rolled back to its baseline at {}, which was shown to serve better by {:.3} or more; `kalibr resume {}` \
             when the cause is found",
            rolled_back.at, rolled_back.baseline_better_by, goal.name
        );
    }
    for checks in goal.checks.iter().filter(|checks| checks.failed > 0) {
        let _ = writeln!(text, "  {}", checks_text(checks));
    }
    for scope in &goal.learned {
        let place = scope_name(scope);
        if !place.is_empty() {
            let _ = writeln!(text, "  {place}");
        }
        let _ = writeln!(text, "  {}", scope.verdict.sentence);
        text += &changes_text(&scope.changes);
        for (path, learned) in scope
            .paths
            .iter()
            .filter_map(|l| goal.paths.iter().find(|p| p.path_id == l.path_id).map(|p| (p, l)))
        {
            let _ = writeln!(
                text,
                "  {:>6.1} % of requests   best with {:>3.0} %, loss {:.3}   success {:.2}, {}, {}   {} graded of {}   {}",
                100.0 * learned.share,
                100.0 * learned.p_best,
                learned.expected_loss,
                learned.expected,
                interval(&learned.credible),
                interval(&learned.guaranteed),
                learned.graded,
                learned.attempts,
                path.label,
            );
        }
    }
    text
}

/// How a path breaks the contract.
fn checks_text(checks: &PathChecks) -> String {
    let PathChecks { label, checked, failed, reasons, .. } = checks;
    let reasons: Vec<String> =
        reasons.iter().map(|one| format!("{} {}", one.reason.as_str(), one.count)).collect();
    format!(
        "breaks the contract in {failed} of its latest {checked} answers ({})   {label}",
        reasons.join(", ")
    )
}

/// The last change of each thing that changed, the latest first; the level begins with a mark, for somebody should look.
fn changes_text(changes: &[ChangeInfo]) -> String {
    let mut text = String::new();
    for (at, change) in changes.iter().enumerate().rev() {
        if changes[at + 1..].iter().all(|later| later.moved.what != change.moved.what) {
            let mark = if change.moved.what == What::Level { "! " } else { "" };
            let _ = writeln!(text, "  {mark}{}", change.sentence);
        }
    }
    text
}

/// Those that did not answer everything lately; `None` while all did.
fn providers_text(providers: &[ProviderInfo]) -> Option<String> {
    let mut text =
        "providers that failed in the last hours, as a process that starts now would see them\n".to_owned();
    let mut any = false;
    for provider in providers {
        let whole = (provider.name.clone(), &provider.standing);
        let models = provider.models.iter().map(|m| (format!("{}/{}", provider.name, m.name), &m.standing));
        for (name, standing) in std::iter::once(whole).chain(models) {
            if standing.state == "up" && standing.availability == 1.0 {
                continue;
            }
            any = true;
            let next =
                standing.next_try_s.map_or_else(String::new, |s| format!("   next try in {} s", s.ceil()));
            let _ = writeln!(
                text,
                "  {:<8} answers {:>5.1} %   {name}{next}",
                standing.state,
                100.0 * standing.availability
            );
        }
    }
    any.then_some(text)
}

/// Whether the classifier model is listened to. What it was asked is known to the process that asked.
fn classifier_text(classifier: &ClassifierInfo) -> String {
    let ClassifierInfo { model, state, praises_good, praises_bad, graded, .. } = classifier;
    let because = if *state == "off" {
        ": it agrees too little with what users do; one message in twenty is still put to it"
    } else {
        ""
    };
    format!(
        "classifier model {model} is {state}{because}\n  takes {:.0} % of good answers and {:.0} % of bad ones for \
         accepted, by {graded:.0} verdicts that users have graded\n",
        100.0 * praises_good,
        100.0 * praises_bad,
    )
}

/// An interval with what it promises.
fn interval(interval: &Interval) -> String {
    let kind = match interval.kind {
        IntervalKind::Credible => "credible",
        IntervalKind::Guaranteed => "guaranteed",
    };
    format!("{kind} {:.2} to {:.2}", interval.low, interval.high)
}

fn scope_name(scope: &LearnedScope) -> String {
    let mut parts = Vec::new();
    parts.extend(scope.pipeline.as_ref().map(|pipeline| format!("pipeline {pipeline}")));
    if scope.bucket.as_str() != "all" {
        parts.push(format!("bucket {}", scope.bucket));
    }
    parts.join(", ")
}

pub(crate) fn explain(engine: Option<&Engine>, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let explanation = engine.map(|engine| engine.explain(id)).transpose()?.flatten();
    engine.map(|engine| engine.close(PATIENCE));
    let Some(explanation) = explanation else {
        anyhow::bail!(
            "no decision has this id: check it, and that KALIBR_HOME names the data folder that the decision was made in"
        );
    };
    let text = if json {
        serde_json::to_string_pretty(&explanation)? + "\n"
    } else {
        explanation_text(&explanation)
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn explanation_text(e: &Explanation) -> String {
    let mut text = format!("decision {}\n", e.trace_id);
    let kind =
        serde_json::to_value(e.kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
    let _ = writeln!(
        text,
        "  goal {}, {kind}, {} (epoch {}, table {})",
        e.goal, e.decided_at, e.epoch, e.table_version
    );
    let _ = writeln!(text, "  chosen: {} with probability {:.3}", e.chosen.label, e.propensity);
    if e.side == Some(Side::HeldOut) {
        text += "  held out: it took the baseline whatever was learned\n";
    }
    if e.rolled_back {
        text += "  the goal was rolled back to its baseline\n";
    }
    text += match e.not_counted {
        Some(NotCounted::Frozen) => "  counts nothing: the goal was frozen\n",
        Some(NotCounted::UserCap) => "  counts nothing: its user made as many before it as count\n",
        Some(NotCounted::BeforeReset) => "  counts nothing: the goal was reset since\n",
        None => "",
    };
    if !e.considered.is_empty() {
        text += "known then\n";
    }
    for c in &e.considered {
        let _ = write!(
            text,
            "  {:>6.1} %   success {:.2} ({} graded)   {}",
            100.0 * c.propensity,
            c.expected,
            c.graded,
            c.path.label
        );
        text += &c.not_eligible.as_ref().map_or_else(String::new, |why| format!("   not eligible: {why}"));
        text.push('\n');
    }
    text += "attempts\n";
    for a in &e.attempts {
        let outcome = match (a.answered, a.failure_category) {
            (Some(true), _) => "answered".to_owned(),
            (Some(false), category) => format!("failed: {}", category.map_or("unknown", |c| c.as_str())),
            (None, Some(category)) => format!("not counted: {category}"),
            (None, None) => "outcome not known".to_owned(),
        };
        let latency = a.latency_ms.map_or_else(String::new, |ms| format!(", {ms} ms"));
        let served = if a.served { ", served" } else { "" };
        let graded = match (a.graded_by, a.strength) {
            (Some(source), Some(strength)) => format!("; counts as {strength:.2} by {source}"),
            _ => "; nobody graded it yet".to_owned(),
        };
        let _ = writeln!(text, "  {}. {}: {outcome}{latency}{served}{graded}", a.index, a.path.label);
        match a.failed_checks.as_deref() {
            Some([]) => text += "     keeps the contract\n",
            Some(reasons) => {
                let reasons: Vec<&str> = reasons.iter().map(|reason| reason.as_str()).collect();
                let _ = writeln!(text, "     breaks the contract: {}", reasons.join(", "));
            }
            None => {}
        }
    }
    text += if e.evidence.is_empty() { "no evidence yet\n" } else { "evidence, as it came\n" };
    for s in &e.evidence {
        let withdrawn = if s.withdrawn { ", withdrawn" } else { "" };
        let _ = writeln!(
            text,
            "  {} {}: {} (strength {:.2}, confidence {:.2}, by {}{withdrawn})",
            s.event_time, s.source, s.value, s.strength, s.confidence, s.addressed_by
        );
    }
    if !e.effect.is_empty() {
        text += "what it changed\n";
    }
    for x in &e.effect {
        let _ = writeln!(
            text,
            "  {}: success {:.3} to {:.3}, share {:.1} % to {:.1} %; now best with {:.0} %, loss {:.3}, {}, {}",
            x.path.label,
            x.expected_without,
            x.expected_with,
            100.0 * x.share_without,
            100.0 * x.share_with,
            100.0 * x.p_best,
            x.expected_loss,
            interval(&x.credible),
            interval(&x.guaranteed)
        );
    }
    if let Some(verdict) = &e.verdict {
        let _ = writeln!(text, "in all\n  {}", verdict.sentence);
    }
    text += &changes_text(&e.changes);
    text
}
