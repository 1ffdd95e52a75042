//! The results as Markdown, and as what plots.py draws.

use serde_json::{Value, json};

use crate::bars::{ELSEWHERE, Row};
use crate::limits;
use crate::ours::PARTS;
use crate::peers::Listing;
use crate::run::Played;
use crate::stats::{self, Estimate};

/// One axis, played.
pub(crate) struct Axis {
    /// The name of its picture.
    pub(crate) name: &'static str,
    /// What is moved.
    pub(crate) title: &'static str,
    /// In what it is told.
    pub(crate) unit: &'static str,
    /// Place, label and what was played.
    pub(crate) points: Vec<(f64, String, Vec<Played>)>,
}

/// The table of bars.
pub(crate) fn head(how: &str, rows: &[Row]) -> String {
    let mut text = format!("# Results\n\n{how}\n\n");
    text += "| what | bar | moonshot | measured | | how |\n|---|---|---|---|---|---|\n";
    for row in rows {
        text += &row.markdown();
        text.push('\n');
    }
    for (what, bar, moonshot, command) in ELSEWHERE {
        text += &format!("| {what} | {bar} | {moonshot} | not by this program | | {command} |\n");
    }
    text
}

/// Which libraries took part, and what could not.
pub(crate) fn absent(listing: &Listing, absent: &[String]) -> String {
    let mut text = "\n## Who took part\n\n".to_owned();
    let others = listing.algorithms.iter().filter(|algorithm| algorithm.name != "uniform");
    for algorithm in others {
        text += &format!("- {}: {} {}\n", algorithm.name, algorithm.library, algorithm.version);
    }
    for why in absent {
        text += &format!("- **missing**: {why}\n");
    }
    text
}

/// Physical limits.
pub(crate) fn limits() -> String {
    let mut text = "\n## What no learner can beat\n\n| world | Lai-Robbins slope (regret per ln T) | 10 % wrong | 20 % wrong | 30 % wrong |\n|---|---|---|---|---|\n".to_owned();
    let worlds: [(&str, &[f64]); 3] = [
        (".80 .70 .60", &[0.8, 0.7, 0.6]),
        (".80 .75 .65", &[0.8, 0.75, 0.65]),
        ("real prompts, .777 .732 .453", &[0.7772, 0.7318, 0.4528]),
    ];
    for (name, rates) in worlds {
        let noise = |wrong| limits::noise(rates, wrong);
        text += &format!(
            "| {name} | {:.2} | x {:.2} | x {:.2} | x {:.2} |\n",
            limits::lai_robbins(rates),
            noise(0.1),
            noise(0.2),
            noise(0.3)
        );
    }
    text += &format!(
        "\nThe slope is asymptotic: at a few thousand decisions good learners are below slope x ln T. Coverage divides \
         information: at 5 % it is 20 times the slope. Finding out that a path fell takes at least {:.0} plays of it \
         (.80 to .40) or {:.0} (.80 to .62) at an error of 1 % (Lorden); telling .777 from .732 apart at 5 % takes \
         about {:.0} observations.\n",
        limits::detection(0.8, 0.4, 0.01),
        limits::detection(0.8, 0.62, 0.01),
        limits::identification(0.7772, 0.7318, 0.05),
    );
    text
}

/// One world, a line for each policy.
pub(crate) fn world(title: &str, played: &[Played]) -> String {
    let Some(first) = played.first() else { return String::new() };
    let paid = played.iter().any(|policy| policy.outcomes.iter().any(|outcome| outcome.dollars > 0.0));
    let again = played.iter().any(|policy| policy.outcomes.iter().any(|outcome| outcome.led_again.is_some()));
    let mut text =
        format!("\n## {title}\n\n| policy | runs | regret | {} / it | best path, last quarter |", first.name);
    text += if again { " leads again after |" } else { "" };
    text += if paid { " quality | $ per 1,000 |" } else { "" };
    text += "\n|---|---|---|---|---|";
    text += if again { "---|" } else { "" };
    text += if paid { "---|---|" } else { "" };
    let ours = first.each(|outcome| outcome.regret);
    let differs = differs(played);
    for (policy, differs) in played.iter().zip(differs) {
        if let Some(why) = &policy.failed {
            text += &format!("\n| {} | failed: {why} |", policy.name);
            continue;
        }
        let regret = policy.each(|outcome| outcome.regret);
        let ratio = stats::ratio(&ours[..regret.len().min(ours.len())], &regret);
        let ratio = if ratio.mean.is_finite() {
            format!("{}{}", estimate(ratio, 2), if differs { " *" } else { "" })
        } else {
            String::new()
        };
        text += &format!(
            "\n| {} | {} | {} | {ratio} | {:.2} |",
            policy.name,
            regret.len(),
            estimate(stats::mean_of(&regret), 1),
            stats::mean(&policy.each(|outcome| outcome.best_share)),
        );
        if again {
            let after: Vec<f64> = policy.outcomes.iter().filter_map(|outcome| outcome.led_again).collect();
            text += &format!(" {:.0} |", stats::median_of(&after).mean);
        }
        if paid {
            text += &format!(
                " {} | {:.2} |",
                estimate(stats::mean_of(&policy.each(|outcome| outcome.quality)), 4),
                1e3 * stats::mean(&policy.each(|outcome| outcome.dollars)),
            );
        }
    }
    text += "\n\n\\* differs from the first at 5 %, all comparisons of the table together (Holm).\n";
    text
}

/// Which policies differ from the first beyond luck.
fn differs(played: &[Played]) -> Vec<bool> {
    let ours = played.first().map(|first| first.each(|outcome| outcome.regret)).unwrap_or_default();
    let p: Vec<f64> = played
        .iter()
        .skip(1)
        .map(|policy| {
            let its = policy.each(|outcome| outcome.regret);
            stats::paired_p(&ours[..its.len().min(ours.len())], &its)
        })
        .collect();
    std::iter::once(false).chain(stats::holm(&p).into_iter().map(|p| p < 0.05)).collect()
}

fn estimate(found: Estimate, digits: usize) -> String {
    format!("{:.digits$} [{:.digits$}, {:.digits$}]", found.mean, found.low, found.high)
}

/// An axis: mean regrets, a row for each policy.
pub(crate) fn axis(axis: &Axis) -> String {
    let labels: Vec<&str> = axis.points.iter().map(|(_, label, _)| label.as_str()).collect();
    let mut text = format!(
        "\n## Axis: {} ({})\n\nRegret.\n\n| policy | {} |\n|---|{}\n",
        axis.title,
        axis.unit,
        labels.join(" | "),
        "---|".repeat(labels.len())
    );
    let Some((_, _, first)) = axis.points.first() else { return text };
    for index in 0..first.len() {
        let cells: Vec<String> = axis
            .points
            .iter()
            .map(|(_, _, played)| match &played[index].failed {
                Some(_) => "failed".to_owned(),
                None => estimate(stats::mean_of(&played[index].each(|outcome| outcome.regret)), 0),
            })
            .collect();
        text += &format!("| {} | {} |\n", first[index].name, cells.join(" | "));
    }
    text
}

/// An axis as plots.py draws it.
pub(crate) fn axis_json(axis: &Axis) -> Value {
    let policy = |played: &Played| {
        if played.outcomes.is_empty() {
            return json!({"name": played.name, "regret": {"mean": null, "low": null, "high": null}});
        }
        json!({
            "name": played.name,
            "regret": stats::mean_of(&played.each(|outcome| outcome.regret)),
            "best_share": stats::mean_of(&played.each(|outcome| outcome.best_share)),
        })
    };
    let scenarios: Vec<Value> = axis
        .points
        .iter()
        .map(|(x, label, played)| {
            json!({"x": x, "label": label, "policies": played.iter().map(policy).collect::<Vec<_>>()})
        })
        .collect();
    json!({"name": axis.name, "title": axis.title, "unit": axis.unit, "scenarios": scenarios})
}

/// Ours without each of its parts.
pub(crate) fn parts(worlds: &[(String, Vec<Played>)]) -> String {
    if worlds.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = worlds.iter().map(|(name, _)| name.as_str()).collect();
    let mut text = format!(
        "\n## Ours without each of its parts\n\nRegret as a multiple of the whole's: above 1 the part earns its keep in \
         that world.\n\n| without | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for (index, (part, _)) in PARTS.iter().enumerate() {
        let cells: Vec<String> = worlds
            .iter()
            .map(|(_, played)| {
                let regret = |at: usize| played[at].each(|outcome| outcome.regret);
                estimate(stats::ratio(&regret(index + 1), &regret(0)), 2)
            })
            .collect();
        text += &format!("| {part} | {} |\n", cells.join(" | "));
    }
    text
}

/// Worlds in which everything is drawn: the geometric mean of ours over theirs, and how many worlds ours wins.
pub(crate) fn drawn(worlds: &[Vec<Played>]) -> String {
    let Some(first) = worlds.first() else { return String::new() };
    let mut text = format!(
        "\n## {} worlds in which everything is drawn\n\n| against | geometric mean of the ratios of regret | worlds with \
         less regret |\n|---|---|---|\n",
        worlds.len()
    );
    for (index, rival) in first.iter().enumerate().skip(1) {
        let logs: Vec<f64> = worlds
            .iter()
            .map(|played| {
                let regret = |at: usize| stats::mean(&played[at].each(|outcome| outcome.regret));
                (regret(0) / regret(index)).ln()
            })
            .collect();
        let of = |runs: &[usize]| (runs.iter().map(|&run| logs[run]).sum::<f64>() / runs.len() as f64).exp();
        let wins = logs.iter().filter(|log| **log < 0.0).count();
        let found = stats::bootstrap(logs.len(), of);
        text += &format!("| {} | {} | {wins} of {} |\n", rival.name, estimate(found, 2), logs.len());
    }
    text
}
