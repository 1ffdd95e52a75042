//! The simulated users: they ask, look at the answer, and some of them react, in one of three ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use kalibr_engine::upstream::simulated::is_good;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::client::Client;
use super::tally::Tally;
use super::{GOAL, PATHS, PHASES};

/// The share of users who react at all; the others are silent, and silence is nothing.
const REACTS: f64 = 0.7;
/// The share of reactions that say the opposite of what the user thinks.
const MISTAKEN: f64 = 0.03;

const PRAISE: [&str; 4] =
    ["Perfect, thanks!", "Great, exactly what I needed.", "Looks good, thank you.", "That works, thanks!"];
const COMPLAINTS: [&str; 4] = [
    "That's wrong, try again.",
    "This is not what I asked for.",
    "No, that is useless.",
    "Wrong. Please redo it.",
];

/// Sends one phase's requests, paced so that all phases together last about `length`.
pub(crate) async fn drive(
    client: &Client,
    tally: &Arc<Tally>,
    phase: usize,
    crowd: usize,
    begun: Instant,
    length: Duration,
) -> anyhow::Result<()> {
    let total: usize = PHASES.iter().map(|phase| phase.requests).sum();
    let before: usize = PHASES[..phase].iter().map(|phase| phase.requests).sum();
    let next = Arc::new(AtomicUsize::new(0));
    let mut users = tokio::task::JoinSet::new();
    for user in 0..crowd {
        let (client, tally, next) = (client.clone(), Arc::clone(tally), Arc::clone(&next));
        users.spawn(async move {
            let mut rng = rand::rngs::StdRng::seed_from_u64((phase * crowd + user) as u64);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= PHASES[phase].requests {
                    return anyhow::Ok(());
                }
                let due = length.mul_f64((before + number) as f64 / total as f64);
                tokio::time::sleep_until((begun + due).into()).await;
                ask(&client, &tally, phase, &mut rng).await?;
            }
        });
    }
    while let Some(user) = users.join_next().await {
        user??;
    }
    Ok(())
}

async fn ask(
    client: &Client,
    tally: &Tally,
    phase: usize,
    rng: &mut rand::rngs::StdRng,
) -> anyhow::Result<()> {
    let session = format!("demo-{:016x}", rng.random::<u64>());
    let request = json!({ "model": format!("goal:{GOAL}"), "messages": [{ "role": "user", "content": "Summarise this ticket." }] });
    let reply = client.post("/v1/chat/completions", Some(&session), &request).await?;
    let trace = reply.trace_id.context("the server named no trace")?;
    let model = reply.model.context("the server named no model")?;
    let path =
        PATHS.iter().position(|(name, _)| *name == model).context("the server named an unknown model")?;
    let content =
        reply.body.pointer("/choices/0/message/content").and_then(Value::as_str).unwrap_or_default();
    let good = is_good(content);
    tally.answered(phase, path, good);
    if !rng.random_bool(REACTS) {
        return Ok(());
    }
    let likes = good != rng.random_bool(MISTAKEN);
    let (level, target, body) = match rng.random_range(0..3) {
        0 => {
            let kind = if likes { "user_accepted" } else { "user_rejected" };
            (0, "/v1/signals".to_owned(), json!({ "type": kind, "trace_id": trace }))
        }
        1 => {
            let message = if likes { PRAISE.choose(rng) } else { COMPLAINTS.choose(rng) };
            (1, format!("/v1/sessions/{session}/turns"), json!({ "user_message": message }))
        }
        _ => {
            let action = if likes { "output_used_verbatim" } else { "output_discarded" };
            (2, format!("/v1/sessions/{session}/actions"), json!({ "action_type": action }))
        }
    };
    client.post(&target, None, &body).await?;
    tally.reacted(level);
    Ok(())
}
