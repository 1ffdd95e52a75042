//! Whether memory stays flat: over very many requests, and while very many readers are slow.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::BodyExt;

use crate::ledger;
use crate::load::{self, Shape, Until};
use crate::mock::LONG;
use crate::peers::{self, Peer, Places, Running};
use crate::process::used;

/// What a slow reader takes in a second.
const READER: usize = 50_000;
/// Growth that still counts as flat: pages and caches of the allocator come and go.
const FLAT: f64 = 1.1;
const MOST_MB: (f64, f64) = (100.0, 50.0);

/// Resident memory at 10, 50 and 100 % of `requests` with learning on.
pub(crate) async fn soak(places: &Places, mock: u16, requests: u64) -> anyhow::Result<(String, bool)> {
    let running = peers::start(Peer::Learning, places, mock)?;
    let mut table =
        String::from("\n### Memory over many requests, learning on\n| requests | resident MB |\n|---|---|\n");
    table += &format!("| 0 | {:.1} |\n", used(running.door.process).resident);
    let shape = Shape { connections: 32, stream: false, size: 200 };
    let (mut done, mut sent, mut bad) = (0, 0, 0);
    let mut seen = Vec::new();
    let mut problem = None;
    for part in [10, 50, 100] {
        let target = requests * part / 100;
        let slice = load::run(&running.door, shape, Until::Requests(target - done)).await?;
        done += slice.whole.len();
        sent += slice.sent;
        bad += slice.bad;
        problem = problem.or(slice.problem);
        let resident = used(running.door.process).resident;
        seen.push(resident);
        table += &format!("| {done} | {resident:.1} |\n");
    }
    let ledger = running.ledger.as_deref().context("a learner has a ledger")?;
    let held = ledger::settled(ledger, sent).await?;
    let (first, last) = (seen[0], seen[2]);
    let verdict = if bad > 0 || held != sent {
        "VOID"
    } else if last >= MOST_MB.0 || last > first * FLAT {
        "MISSED"
    } else if last < MOST_MB.1 {
        "moonshot"
    } else {
        "hit"
    };
    table += &format!(
        "\nThe ledger holds {held} decisions of {sent} requests; {bad} were bad{}. {last:.1} MB at the end, {:.2} x of that at 10 %; the bar is < {} MB (moonshot {}), at most {FLAT} x: {verdict}\n",
        problem.map_or(String::new(), |problem| format!(", such as: {problem}")),
        last / first,
        MOST_MB.0,
        MOST_MB.1
    );
    Ok((table, verdict != "VOID"))
}

/// Reads one long stream slowly until `end`; the bytes that came.
async fn read_slowly(running: &Running, body: Bytes, end: Instant) -> anyhow::Result<usize> {
    let mut sender = load::connect(running.door.port).await?;
    let response = sender.send_request(load::request(&running.door, body)?).await?;
    anyhow::ensure!(response.status().is_success(), "status {}", response.status());
    let begun = Instant::now();
    let mut read = 0;
    let mut answer = response.into_body();
    while Instant::now() < end {
        let Some(frame) = answer.frame().await else { anyhow::bail!("a stream ended after {read} bytes") };
        read += frame?.into_data().map(|data| data.len()).unwrap_or_default();
        let due = Duration::from_secs_f64(read as f64 / READER as f64);
        tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
    }
    Ok(read)
}

/// Resident memory while `streams` readers take 50 kB/s each of streams that could come at full speed.
pub(crate) async fn slow_streams(
    places: &Places,
    mock: u16,
    streams: usize,
    time: Duration,
) -> anyhow::Result<(String, bool)> {
    let mut table = format!(
        "\n### Memory while {streams} readers take 50 kB/s each\n| | idle MB | after a quarter MB | at the end MB | kB/s a reader | a stream kB | |\n|---|---|---|---|---|---|---|\n"
    );
    let mut sound = true;
    for peer in [Peer::Bare, Peer::Learning] {
        let running = peers::start(peer, places, mock)?;
        let idle = used(running.door.process).resident;
        let asked = serde_json::json!({
            "model": running.door.model, "stream": true, "messages": [{ "role": "user", "content": LONG }],
        });
        let body = Bytes::from(asked.to_string());
        let begun = Instant::now();
        let end = begun + time;
        let readers = (0..streams).map(|_| read_slowly(&running, body.clone(), end));
        let watch = async {
            tokio::time::sleep(time / 4).await;
            let early = used(running.door.process).resident;
            tokio::time::sleep((time * 19 / 20).saturating_sub(begun.elapsed())).await;
            (early, used(running.door.process).resident)
        };
        let (read, (early, late)) =
            futures_util::future::join(futures_util::future::join_all(readers), watch).await;
        let bad = read.iter().filter(|read| read.is_err()).count();
        let bytes: usize = read.iter().flatten().sum();
        let rate = bytes as f64 / 1e3 / begun.elapsed().as_secs_f64() / streams as f64;
        let verdict = match read.into_iter().find_map(Result::err) {
            Some(error) => {
                sound = false;
                format!("VOID: {bad} bad, such as: {error}")
            }
            None if late <= early * FLAT => "flat".to_owned(),
            None => "MISSED".to_owned(),
        };
        table += &format!(
            "| {} | {idle:.1} | {early:.1} | {late:.1} | {rate:.1} | {:.1} | {verdict} |\n",
            peer.name(),
            (late - idle) * 1e3 / streams as f64,
        );
    }
    Ok((table, sound))
}
