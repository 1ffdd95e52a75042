//! The live picture: where traffic goes, drawn anew a few times a second.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::Arc;
use std::time::Duration;

use super::tally::{State, Tally};
use super::{PATHS, PHASES};

/// Requests that "now" looks back on.
const RECENT: usize = 200;
/// Columns of the history.
const COLUMNS: usize = 60;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(crate) struct Screen {
    stop: tokio::sync::watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Screen {
    /// Draws until stopped. In a terminal the picture is drawn over itself; elsewhere a line is printed now and then.
    pub(crate) fn start(tally: Arc<Tally>, silent: bool) -> Self {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let live = std::io::stdout().is_terminal();
        let pause = Duration::from_millis(if live { 150 } else { 3_000 });
        let task = tokio::spawn(async move {
            let mut stopped = stopped;
            let mut drawn = 0;
            loop {
                let end = tokio::time::timeout(pause, stopped.changed()).await.is_ok();
                if silent && end {
                    return;
                }
                if silent {
                    continue;
                }
                let state = tally.state();
                let text = if live { picture(&state) } else { brief(&state) };
                let up = if live && drawn > 0 { format!("\x1b[{drawn}A\x1b[J") } else { String::new() };
                drawn = text.lines().count();
                let mut out = std::io::stdout();
                let _ = out.write_all((up + &text).as_bytes()).and_then(|()| out.flush());
                if end {
                    return;
                }
            }
        });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

fn recent_share(state: &State, path: usize) -> f64 {
    let recent = &state.answers[state.answers.len().saturating_sub(RECENT)..];
    recent.iter().filter(|a| a.path == path).count() as f64 / recent.len().max(1) as f64
}

fn recent_success(state: &State) -> f64 {
    let recent = &state.answers[state.answers.len().saturating_sub(RECENT)..];
    recent.iter().filter(|a| a.good).count() as f64 / recent.len().max(1) as f64
}

fn brief(state: &State) -> String {
    let shares: Vec<String> = PATHS
        .iter()
        .enumerate()
        .map(|(path, (name, _))| format!("{name} {:>3.0} %", 100.0 * recent_share(state, path)))
        .collect();
    format!(
        "{:>6} requests  {:<9} {}  success {:.2}\n",
        state.answers.len(),
        PHASES[state.phase].name,
        shares.join("  "),
        recent_success(state)
    )
}

fn picture(state: &State) -> String {
    let phase = &PHASES[state.phase];
    let total: usize = PHASES.iter().map(|phase| phase.requests).sum();
    let mut text = String::new();
    let story = match state.phase {
        0 => "all paths are well".to_owned(),
        1 => format!("{} got worse: users like {:.0} % of its answers", PATHS[0].0, 100.0 * phase.first),
        _ => format!("{} was repaired: {:.0} % again", PATHS[0].0, 100.0 * phase.first),
    };
    let _ = writeln!(text, "{:>6} of {total} requests   {}: {story}", state.answers.len(), phase.name);
    for (path, (name, _)) in PATHS.iter().enumerate() {
        let _ = writeln!(
            text,
            "  {name:<11} {} {:>3.0} % now",
            history(state, path, total),
            100.0 * recent_share(state, path)
        );
    }
    let ticks: String = (0..COLUMNS)
        .map(|column| {
            let at = |column: usize| phase_of(column * total / COLUMNS);
            if column > 0 && at(column) != at(column - 1) { '|' } else { ' ' }
        })
        .collect();
    let _ = writeln!(text, "  {:<11} {}", "", ticks.trim_end());
    let [explicit, turn, action] = state.reactions;
    let _ = writeln!(
        text,
        "  success {:.2} now, best path {:.2}   regret {:.0}   signals: {explicit} explicit, {turn} turns, {action} actions",
        recent_success(state),
        phase.best(),
        state.regret()
    );
    text
}

fn phase_of(request: usize) -> usize {
    let mut end = 0;
    PHASES
        .iter()
        .position(|phase| {
            end += phase.requests;
            request < end
        })
        .unwrap_or(PHASES.len() - 1)
}

/// A path's share of traffic over the whole demo, a column for each sixtieth of its requests.
fn history(state: &State, path: usize, total: usize) -> String {
    (0..COLUMNS)
        .map(|column| {
            let (from, to) = (column * total / COLUMNS, (column + 1) * total / COLUMNS);
            let Some(answers) =
                state.answers.get(from..to.min(state.answers.len())).filter(|a| !a.is_empty())
            else {
                return ' ';
            };
            let share = answers.iter().filter(|a| a.path == path).count() as f64 / answers.len() as f64;
            LEVELS[((share * LEVELS.len() as f64) as usize).min(LEVELS.len() - 1)]
        })
        .collect()
}
