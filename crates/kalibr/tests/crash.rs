//! Promise 2, durable: what was acknowledged is there after `kill -9`, once.

mod common;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Server, ask, configure, http};
use kalibr_engine::core::evidence::{Pattern, Source};

const KILLS: usize = 10;
const CLIENTS: usize = 6;

#[test]
fn every_acknowledged_signal_survives_ten_kills_in_mid_traffic_and_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path());
    let acknowledged: Mutex<Vec<(String, String)>> = Mutex::default();
    let next = AtomicUsize::new(0);
    for kill in 0..KILLS {
        let server = Server::start(folder.path());
        let before = acknowledged.lock().unwrap().len();
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    // Until the server dies under us.
                    while let Ok((trace, _)) = ask(&server.addr) {
                        let id = format!("signal-{}", next.fetch_add(1, Ordering::Relaxed));
                        let body = format!(r#"{{"type":"user_accepted","trace_id":"{trace}","id":"{id}"}}"#);
                        // Sent twice, as a client does that heard no answer in time.
                        for _ in 0..2 {
                            match http(&server.addr, "POST", "/v1/signals", &body) {
                                Ok(reply) => {
                                    assert!(matches!(reply.status, 200 | 202), "{}", reply.body);
                                    acknowledged.lock().unwrap().push((id.clone(), trace.clone()));
                                }
                                Err(_) => return,
                            }
                        }
                    }
                });
            }
            // Long enough for traffic to flow, at a different moment of it each time.
            let deadline = Instant::now() + Duration::from_secs(30);
            while acknowledged.lock().unwrap().len() < before + 40 {
                if Instant::now() > deadline {
                    // The clients run until their server is gone.
                    kill_in_place(&server);
                    panic!("no signals are acknowledged");
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(17 * kill as u64));
            kill_in_place(&server);
        });
    }

    let ledger = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    let sound: String = ledger.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let acknowledged: BTreeSet<_> = acknowledged.into_inner().unwrap().into_iter().collect();
    assert!(acknowledged.len() >= KILLS * 20, "only {} signals were acknowledged", acknowledged.len());
    for (id, trace) in &acknowledged {
        let found: i64 = ledger
            .query_row(
                "SELECT count(*) FROM signals WHERE id = ?1 AND lower(hex(trace)) = ?2",
                [id, trace],
                |r| r.get(0),
            )
            .unwrap();
        assert_eq!(found, 1, "{id} was acknowledged and is not in the ledger");
    }

    // The counters say what the rows say: every decision once, and graded where a signal joined it.
    let count = |sql: &str| ledger.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let mut statement = ledger.prepare("SELECT pattern, n FROM counters").unwrap();
    let counters: Vec<(u32, i64)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let graded = |pattern: u32| Pattern::from_bits(pattern).winner() == Some(Source::Explicit);
    assert_eq!(counters.iter().map(|(_, n)| n).sum::<i64>(), count("SELECT count(*) FROM decisions"));
    assert_eq!(
        counters.iter().filter(|(pattern, _)| graded(*pattern)).map(|(_, n)| n).sum::<i64>(),
        count("SELECT count(DISTINCT d.trace) FROM decisions AS d JOIN signals AS s ON s.trace = d.trace")
    );
}

/// `kill -9` while clients still hold on to the server.
fn kill_in_place(server: &Server) {
    let status = std::process::Command::new("kill").args(["-9", &server.pid().to_string()]).status().unwrap();
    assert!(status.success());
}
